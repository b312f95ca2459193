//! How long the memory accesses of walks take, or whole walks.

use super::spec::{WalkLatency, WalkersSpec};
use crate::hash::mix64;
use crate::units::Picoseconds;

/// A distribution of times, from which a draw depends on nothing but the seed, the number of the walk
/// and that of its access.
#[derive(Clone, Debug)]
pub struct Latency {
    times: Times,
    seed: u64,
}

#[derive(Clone, Debug)]
enum Times {
    Constant(Picoseconds),
    /// Of this mean.
    Exponential {
        mean_ns: f64,
    },
    /// Each time with the share of all draws, as a part of 2^64, that come before it.
    Empirical(Box<[(u64, Picoseconds)]>),
}

/// No access is over at once.
const LEAST: Picoseconds = Picoseconds(1);
/// Of the bits of a word: the step of splitmix64's counter.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Latency {
    /// Of an access, or of a whole walk where its time is given. `seed` is that of the IOMMU.
    #[must_use]
    pub fn new(spec: &WalkersSpec, seed: u64) -> Self {
        let ns = spec.walk_ns.or(spec.memory_ns).unwrap_or(WalkersSpec::MEMORY_NS_DEFAULT);
        let times = match spec.latency {
            WalkLatency::Constant => Times::Constant(Picoseconds::from_ns_f64(ns)),
            WalkLatency::Exponential => Times::Exponential { mean_ns: ns },
            WalkLatency::Empirical => Times::Empirical(shares(spec.empirical_ns.as_deref().unwrap_or(&[]))),
        };
        Self { times, seed: mix64(seed ^ 0x5EED_0F3A_1C5A_11E5) }
    }

    /// The one time there is, unless it is drawn.
    #[must_use]
    pub fn constant(&self) -> Option<Picoseconds> {
        match self.times {
            Times::Constant(time) => Some(time),
            _ => None,
        }
    }

    /// How long an access of a walk takes, both by their numbers.
    #[must_use]
    pub fn of(&self, walk: u64, access: u32) -> Picoseconds {
        match &self.times {
            Times::Constant(time) => *time,
            Times::Exponential { mean_ns } => {
                // Uniform over (0, 1], in steps of 2^-53.
                let uniform = ((self.word(walk, access) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
                Picoseconds::from_ns_f64(-mean_ns * libm::log(uniform)).max(LEAST)
            }
            Times::Empirical(shares) => {
                let word = self.word(walk, access);
                let behind = shares.partition_point(|(before, _)| *before <= word);
                // The first share begins at 0.
                shares[behind - 1].1
            }
        }
    }

    fn word(&self, walk: u64, access: u32) -> u64 {
        let stream = mix64(self.seed.wrapping_add(walk.wrapping_mul(STEP)));
        mix64(stream.wrapping_add((u64::from(access) + 1).wrapping_mul(STEP)))
    }
}

/// The shares of times by their weights.
fn shares(weighted: &[(f64, f64)]) -> Box<[(u64, Picoseconds)]> {
    let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
    let mut before = 0.0;
    let share = |(ns, weight): &(f64, f64)| {
        let first = (before / total * 2_f64.powi(64)) as u64;
        before += weight;
        (first, Picoseconds::from_ns_f64(*ns))
    };
    weighted.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u64 = 400_000;

    fn draws(spec: &WalkersSpec) -> Vec<f64> {
        let latency = Latency::new(spec, 7);
        (0..DRAWS).map(|number| latency.of(number / 4, number as u32 % 4).as_ns_f64()).collect()
    }

    /// The largest distance between the distribution of `draws` and another, and what it stays under in
    /// all but one of 10^6 tries (Dvoretzky, Kiefer and Wolfowitz).
    fn distance(mut draws: Vec<f64>, distribution: impl Fn(f64) -> f64) -> (f64, f64) {
        draws.sort_by(f64::total_cmp);
        let n = draws.len() as f64;
        let above = draws.iter().zip(1..).map(|(at, rank)| (f64::from(rank) / n - distribution(*at)).abs());
        (above.fold(0.0, f64::max), (2e6_f64.ln() / (2.0 * n)).sqrt())
    }

    #[test]
    fn exponential_latencies_are_exponential_with_the_mean_given() {
        let spec = WalkersSpec {
            latency: WalkLatency::Exponential,
            memory_ns: Some(80.0),
            ..WalkersSpec::default()
        };
        let (found, most) = distance(draws(&spec), |ns| 1.0 - (-ns / 80.0).exp());
        assert!(found < most, "{found}, at most {most}");
    }

    /// An access does not foretell the next one of its walk, nor the same one of the next walk.
    #[test]
    fn draws_do_not_depend_on_one_another() {
        let spec =
            WalkersSpec { latency: WalkLatency::Exponential, walk_ns: Some(1.0), ..WalkersSpec::default() };
        let draws = draws(&spec);
        for lag in [1, 4] {
            let products = draws.iter().zip(&draws[lag..]).map(|(one, other)| (one - 1.0) * (other - 1.0));
            let correlation = products.sum::<f64>() / DRAWS as f64;
            // Five standard deviations of the mean of as many products.
            assert!(correlation.abs() < 5.0 / (DRAWS as f64).sqrt(), "{lag}: {correlation}");
        }
    }

    #[test]
    fn empirical_latencies_come_by_their_weights() {
        let list = vec![(70.0, 6.0), (90.0, 3.0), (0.001, 0.5), (400.0, 0.5)];
        let spec = WalkersSpec {
            latency: WalkLatency::Empirical,
            empirical_ns: Some(list.clone()),
            ..WalkersSpec::default()
        };
        let draws = draws(&spec);
        for (ns, weight) in list {
            let found = draws.iter().filter(|draw| **draw == ns).count() as f64;
            let (expected, share) = (DRAWS as f64 * weight / 10.0, weight / 10.0);
            let deviation = (expected * (1.0 - share)).sqrt();
            assert!((found - expected).abs() < 5.0 * deviation, "{ns} ns: {found}, expected {expected}");
        }
    }

    #[test]
    fn no_access_is_over_at_once() {
        let spec =
            WalkersSpec { latency: WalkLatency::Exponential, walk_ns: Some(0.001), ..WalkersSpec::default() };
        assert!(draws(&spec).iter().all(|ns| *ns >= 0.001));
    }
}
