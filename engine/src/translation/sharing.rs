//! How classes of tenants share the IOTLB and the walkers: freely, or each in a part of its own.

use serde::{Deserialize, Serialize};

use super::spec::IommuSpec;
use crate::error::SpecError;
use crate::ids::DomainId;

/// `iommu.iotlb.sharing`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IotlbSharing {
    /// Every entry is free for all.
    #[default]
    Shared,
    /// Each class fills, and replaces, in ways of its own in every set (as cache allocation technology does with a
    /// last-level cache).
    Ways,
    /// Each class has sets of its own (as page colouring does).
    Sets,
    /// Each class holds so many entries at most, wherever they are.
    Quota,
}

/// `iommu.walkers.sharing`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WalkerSharing {
    /// Walkers serve one queue.
    #[default]
    Shared,
    /// Each class has walkers of its own, with a queue of `iommu.walkers.queue_entries` before them.
    Classes,
}

/// What a class of tenants gets of hardware that is not free for all, as shares of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassShare {
    /// Of the ways, sets or entries of the IOTLB; `None` for an equal part of what the others leave.
    pub iotlb: Option<f64>,
    /// Of the walkers; `None` as above.
    pub walkers: Option<f64>,
}

/// A class's part of something that is counted: from `first` on, `count` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// Every class's part of the IOTLB and of the walkers of a machine; empty where they are free for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Ways, sets or entries.
    pub iotlb: Vec<Part>,
    /// Walkers.
    pub walkers: Vec<Part>,
}

impl Parts {
    /// The parts of classes of these names and shares.
    ///
    /// # Errors
    /// The key of the first share that does not come out.
    pub fn new(spec: &IommuSpec, names: &[String], shares: &[ClassShare]) -> Result<Self, SpecError> {
        let mut parts = Self::default();
        let iotlb = &spec.iotlb;
        let (units, what) = match iotlb.sharing {
            IotlbSharing::Shared => (0, ""),
            IotlbSharing::Ways => (iotlb.ways(), "ways"),
            IotlbSharing::Sets => (iotlb.sets(), "sets"),
            IotlbSharing::Quota => (iotlb.entries, "entries"),
        };
        if units > 0 {
            let of = shares.iter().map(|share| share.iotlb).collect();
            parts.iotlb = Division { key: "iotlb_share", units, what, names, shares: of }.parts()?;
        }
        if iotlb.sharing == IotlbSharing::Sets {
            iotlb.validate_parts_of_sets(&parts.iotlb)?;
        }
        if spec.walkers.sharing == WalkerSharing::Classes {
            let shares = shares.iter().map(|share| share.walkers).collect();
            let division =
                Division { key: "walker_share", units: spec.walkers.count, what: "walkers", names, shares };
            parts.walkers = division.parts()?;
        }
        Ok(parts)
    }
}

/// Something that is divided among classes.
struct Division<'a> {
    key: &'static str,
    units: u32,
    what: &'static str,
    names: &'a [String],
    shares: Vec<Option<f64>>,
}

impl Division<'_> {
    fn parts(&self) -> Result<Vec<Part>, SpecError> {
        let key = |class: usize| format!("tenants.{}.{}", self.names[class], self.key);
        let (units, what) = (self.units, self.what);
        let mut counts = Vec::with_capacity(self.shares.len());
        for (class, share) in self.shares.iter().enumerate() {
            counts.push(match share {
                None => None,
                Some(share) => Some(whole(*share * f64::from(units)).ok_or_else(|| {
                    SpecError::new(
                        key(class),
                        format!("is {share}, which of {units} {what} is no whole number"),
                    )
                })?),
            });
        }
        let given: u64 = counts.iter().flatten().map(|count| u64::from(*count)).sum();
        if given > u64::from(units) {
            let class = self.shares.iter().rposition(Option::is_some).expect("some are given");
            let all = self.shares.iter().flatten().sum::<f64>();
            return Err(SpecError::new(
                key(class),
                format!("brings the shares to {all}, which is more than 1"),
            ));
        }
        let open = counts.iter().filter(|count| count.is_none()).count() as u32;
        let rest = units - given as u32;
        if let Some(class) = counts.iter().position(Option::is_none)
            && (rest < open || !rest.is_multiple_of(open))
        {
            return Err(SpecError::new(
                key(class),
                format!(
                    "is missing; {rest} of {units} {what} are left, no whole number for each of {open} classes"
                ),
            ));
        }
        let mut next = 0;
        let parts = counts.into_iter().map(|count| {
            let part = Part { first: next, count: count.unwrap_or_else(|| rest / open) };
            next += part.count;
            part
        });
        Ok(parts.collect())
    }
}

/// This number, if it is a whole one of 1 or more but for rounding.
fn whole(number: f64) -> Option<u32> {
    let nearest = (number + 0.5).floor();
    (nearest >= 1.0 && (number - nearest).abs() < 1e-6).then_some(nearest as u32)
}

/// Which class of tenants each domain belongs to, by domain ID.
#[derive(Clone, Debug, Default)]
pub struct DomainClasses(Vec<u32>);

impl DomainClasses {
    /// The domain belongs to this class from now on.
    pub fn assign(&mut self, domain: DomainId, class: u32) {
        let at = domain.0 as usize;
        self.0.resize(self.0.len().max(at + 1), 0);
        self.0[at] = class;
    }

    /// The class of a domain.
    #[inline]
    #[must_use]
    pub fn of(&self, domain: DomainId) -> usize {
        self.0[domain.0 as usize] as usize
    }
}

/// How the classes share an IOTLB that is not free for all.
#[derive(Clone, Debug)]
pub struct IotlbParts {
    /// By what it is divided: never [`IotlbSharing::Shared`].
    pub by: IotlbSharing,
    /// Every class's part.
    pub parts: Vec<Part>,
    /// The class of every domain.
    pub classes: DomainClasses,
    /// Entries that each class holds.
    pub held: Vec<u32>,
}

impl IotlbParts {
    /// Nothing held, no domain known yet.
    #[must_use]
    pub fn new(by: IotlbSharing, parts: &[Part]) -> Self {
        Self { by, parts: parts.to_vec(), classes: DomainClasses::default(), held: vec![0; parts.len()] }
    }

    /// Which of the parts a way lies in, where each class has ways of its own; else there is one.
    #[must_use]
    pub fn part_of_way(&self, way: u32) -> usize {
        if self.by != IotlbSharing::Ways {
            return 0;
        }
        self.parts
            .iter()
            .position(|part| (part.first..part.first + part.count).contains(&way))
            .unwrap_or(self.parts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translation::{IotlbSpec, Ways};

    fn parts(sharing: IotlbSharing, shares: &[Option<f64>]) -> Result<Vec<u32>, String> {
        let iotlb = IotlbSpec { entries: 64, ways: Ways::Count(8), sharing, ..IotlbSpec::default() };
        let names: Vec<_> = (0..shares.len()).map(|class| format!("c{class}")).collect();
        let shares: Vec<_> = shares.iter().map(|share| ClassShare { iotlb: *share, walkers: None }).collect();
        let parts = Parts::new(&IommuSpec { iotlb, ..IommuSpec::default() }, &names, &shares);
        parts
            .map(|parts| parts.iotlb.iter().map(|part| part.count).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn who_says_nothing_gets_an_equal_part_of_the_rest() {
        assert_eq!(parts(IotlbSharing::Ways, &[None, None]), Ok(vec![4, 4]));
        assert_eq!(parts(IotlbSharing::Ways, &[Some(0.25), None, None]), Ok(vec![2, 3, 3]));
        assert_eq!(parts(IotlbSharing::Sets, &[Some(0.5), None]), Ok(vec![4, 4]));
        assert_eq!(parts(IotlbSharing::Quota, &[Some(0.75), Some(0.125)]), Ok(vec![48, 8]));
        assert_eq!(parts(IotlbSharing::Shared, &[Some(0.3), None]), Ok(vec![]));
    }

    #[test]
    fn shares_that_do_not_come_out_are_refused_by_their_key() {
        let refused = |shares: &[Option<f64>]| parts(IotlbSharing::Ways, shares).unwrap_err();
        assert!(refused(&[Some(0.3), None]).starts_with("`tenants.c0.iotlb_share` is 0.3, which of 8 ways"));
        assert!(refused(&[Some(0.75), Some(0.5)]).contains("c1.iotlb_share` brings the shares to 1.25"));
        assert!(refused(&[Some(1.0), None]).contains("c1.iotlb_share` is missing; 0 of 8 ways"));
        assert!(refused(&[Some(0.125), None, None]).contains("c1.iotlb_share` is missing; 7 of 8 ways"));
    }
}
