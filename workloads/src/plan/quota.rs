//! How many DMAs each VF intends, where the scenario gives their number.

/// VFs of one class on hosts of one class, which share alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// How many there are.
    pub vfs: u64,
    /// DMAs a second of each.
    pub per_vf_hz: f64,
}

/// The shares of the classes' VFs in a number of DMAs, in proportion to their rates.
///
/// By largest remainder, in whole numbers: every VF of a class has the same share rounded down, and
/// what is left goes by one to the VFs of the classes with the largest remainders; of a class to its
/// first VFs in the order of host, adapter, VF; ties to the class that stands first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quotas {
    classes: Vec<ClassQuota>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClassQuota {
    each: u64,
    /// VFs of the class that get one more.
    one_more: u64,
}

impl Quotas {
    /// Shares of `requests` among the VFs of all classes.
    #[must_use]
    pub fn new(requests: u64, classes: &[Shares]) -> Self {
        // Weights are rates in whole steps of a thousandth of a DMA a second.
        let weight = |class: &Shares| (class.per_vf_hz * 1e3 + 0.5) as u128;
        let classes: Vec<(u128, u128)> =
            classes.iter().map(|class| (u128::from(class.vfs), weight(class))).collect();
        let total: u128 = classes.iter().map(|(vfs, weight)| vfs * weight).sum();
        let requests = u128::from(requests);
        let share = |weight: u128| (requests * weight / total.max(1), requests * weight % total.max(1));
        let mut left = requests - classes.iter().map(|(vfs, weight)| vfs * share(*weight).0).sum::<u128>();
        let mut quotas: Vec<ClassQuota> = classes
            .iter()
            .map(|(_, weight)| ClassQuota { each: share(*weight).0 as u64, one_more: 0 })
            .collect();
        let mut order: Vec<usize> = (0..classes.len()).collect();
        order.sort_by_key(|class| std::cmp::Reverse(share(classes[*class].1).1));
        for class in order {
            let extra = left.min(classes[class].0);
            quotas[class].one_more = extra as u64;
            left -= extra;
        }
        Self { classes: quotas }
    }

    /// The share of the VF that stands at `ordinal` among those of its class.
    #[must_use]
    pub fn of(&self, class: usize, ordinal: u64) -> u64 {
        let quota = self.classes[class];
        quota.each + u64::from(ordinal < quota.one_more)
    }
}
