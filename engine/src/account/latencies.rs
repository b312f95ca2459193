//! Histograms of latencies: logarithmic buckets of nanoseconds, each within 1 % of its values.
//!
//! They are counted in one array, so that the place of a count is known without following pointers
//! and can be asked for in advance; results are read through the `histogram` crate, whose buckets
//! these are.

use bevy_ecs::component::Component;
use histogram::Histogram;

use crate::prefetch::prefetch;
use crate::units::Picoseconds;

/// Buckets a power of two: 2^7, so a bucket is at most 1/128 of its least value wide.
const GROUPING_POWER: u8 = 7;
/// Values up to 2^40 ns, 18 minutes; longer ones count in the last bucket.
const MAX_VALUE_POWER: u8 = 40;
const LONGEST_NS: u64 = (1 << MAX_VALUE_POWER) - 1;
const BUCKETS: usize = (MAX_VALUE_POWER as usize - GROUPING_POWER as usize + 1) << GROUPING_POWER;

/// An empty histogram of nanoseconds.
#[must_use]
pub fn new_histogram() -> Histogram {
    Histogram::new(GROUPING_POWER, MAX_VALUE_POWER).expect("the powers fit")
}

/// Counts a time; what is longer than any bucket in the last.
pub fn count_time(histogram: &mut Histogram, time: Picoseconds) {
    histogram.increment(time.as_ns().min(LONGEST_NS)).expect("no more than the longest");
}

/// The greatest value, in nanoseconds, of the bucket in which the share `quantile` of the values is reached, and no
/// more than `greatest` of them; 0 for an empty histogram.
#[must_use]
pub fn quantile_ns(histogram: &Histogram, quantile: f64, greatest: Picoseconds) -> u64 {
    let bucket = histogram.quantile_bucket(quantile).expect("a share");
    bucket.map_or(0, |bucket| bucket.end().min(greatest.as_ns()))
}

/// The bucket of a value: the value itself below 2^8, then 2^7 buckets a power of two.
#[inline]
fn bucket(ns: u64) -> usize {
    const LINEAR: u64 = (2 << GROUPING_POWER) - 1;
    let dropped_bits = u64::BITS - 1 - u32::from(GROUPING_POWER) - (ns | LINEAR).leading_zeros();
    ((u64::from(dropped_bits) << GROUPING_POWER) + (ns >> dropped_bits)) as usize
}

/// Several histograms of times, a row a bucket: most times fall into few buckets, so most counts lie on
/// few pages. Counters are of 16 bits, to be kind to the cache; what one carries over is counted
/// elsewhere.
#[derive(Component)]
pub struct Latencies {
    histograms: usize,
    counts: Vec<u16>,
    /// How often each count has run over; empty until one does.
    carries: Vec<u64>,
}

/// The place of a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(usize);

impl Latencies {
    /// As many empty histograms.
    #[must_use]
    pub fn new(histograms: usize) -> Self {
        Self { histograms, counts: vec![0; histograms * BUCKETS], carries: Vec::new() }
    }

    /// Where a time is counted in the histogram of this number.
    #[inline]
    #[must_use]
    pub fn place(&self, histogram: usize, time: Picoseconds) -> Place {
        Place(bucket(time.as_ns().min(LONGEST_NS)) * self.histograms + histogram)
    }

    /// Asks for the cache line of a place.
    #[inline]
    pub fn prefetch(&self, place: Place) {
        prefetch(self.counts.as_ptr().wrapping_add(place.0));
    }

    /// Counts one.
    #[inline]
    pub fn count(&mut self, place: Place) {
        let count = &mut self.counts[place.0];
        *count = count.wrapping_add(1);
        if *count == 0 {
            self.carry(place);
        }
    }

    #[cold]
    #[inline(never)]
    fn carry(&mut self, place: Place) {
        self.carries.resize(self.counts.len(), 0);
        self.carries[place.0] += 1;
    }

    /// The buckets in which any histogram counted something.
    #[must_use]
    pub fn used_buckets(&self) -> Vec<usize> {
        let is_used = |bucket: &usize| {
            let row = bucket * self.histograms..(bucket + 1) * self.histograms;
            let carries = self.carries.get(row.clone()).unwrap_or_default();
            self.counts[row].iter().any(|count| *count > 0) || carries.iter().any(|carries| *carries > 0)
        };
        (0..BUCKETS).filter(is_used).collect()
    }

    /// Adds everything in the histogram of this number to `total`, a [`new_histogram`]; `used` are the
    /// [`Self::used_buckets`].
    pub fn add_to(&self, histogram: usize, used: &[usize], total: &mut Histogram) {
        let total = total.as_mut_slice();
        for bucket in used {
            let place = bucket * self.histograms + histogram;
            let carries = self.carries.get(place).copied().unwrap_or_default();
            total[*bucket] += u64::from(self.counts[place]) + (carries << u16::BITS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_the_histogram_crate() {
        let mut latencies = Latencies::new(2);
        let mut expected = new_histogram();
        let powers =
            (0..=63).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + (1 << power) / 3]);
        for ns in powers.chain(200..600).filter(|ns| *ns < u64::MAX / 1_000) {
            latencies.count(latencies.place(1, Picoseconds(ns * 1_000 + 999)));
            expected.increment(ns.min(LONGEST_NS)).expect("in range");
        }
        // One bucket runs over, twice.
        for _ in 0..140_000 {
            latencies.count(latencies.place(1, Picoseconds(5_000)));
            expected.increment(5).expect("in range");
        }
        let (mut first, mut second) = (new_histogram(), new_histogram());
        let used = latencies.used_buckets();
        latencies.add_to(0, &used, &mut first);
        latencies.add_to(1, &used, &mut second);
        assert_eq!(first, new_histogram());
        assert_eq!(second, expected);
    }
}
