//! Histograms of latencies: logarithmic buckets of nanoseconds, each within 1 % of its values.

use histogram::{Histogram, Histogram32};

use crate::units::Picoseconds;

/// Buckets a power of two: 2^7, so a bucket is at most 1/128 of its least value wide.
const GROUPING_POWER: u8 = 7;
/// Values up to 2^40 ns, 18 minutes; longer ones count in the last bucket.
const MAX_VALUE_POWER: u8 = 40;
const LONGEST_NS: u64 = (1 << MAX_VALUE_POWER) - 1;

/// An empty histogram of nanoseconds.
#[must_use]
pub fn new_histogram() -> Histogram {
    Histogram::new(GROUPING_POWER, MAX_VALUE_POWER).expect("the powers fit")
}

/// The greatest value, in nanoseconds, of the bucket in which the share `quantile` of the values is
/// reached; 0 for an empty histogram.
#[must_use]
pub fn quantile_ns(histogram: &Histogram, quantile: f64) -> u64 {
    histogram.quantile_bucket(quantile).expect("a share").map_or(0, |bucket| bucket.end())
}

/// Latencies of one kind of request. Counters are of 32 bits, to be kind to the cache; what no longer
/// fits moves to wider ones.
pub struct Latencies {
    recent: Histogram32,
    recorded: u32,
    older: Option<Box<Histogram>>,
}

impl Default for Latencies {
    fn default() -> Self {
        let recent = Histogram32::new(GROUPING_POWER, MAX_VALUE_POWER).expect("the powers fit");
        Self { recent, recorded: 0, older: None }
    }
}

impl Latencies {
    /// Counts one latency.
    #[inline]
    pub fn record(&mut self, span: Picoseconds) {
        self.recent.increment(span.as_ns().min(LONGEST_NS)).expect("in range");
        self.recorded += 1;
        if self.recorded == u32::MAX {
            self.make_room();
        }
    }

    #[cold]
    fn make_room(&mut self) {
        let mut older = self.older.take().unwrap_or_else(|| Box::new(new_histogram()));
        add(&self.recent, &mut older);
        self.older = Some(older);
        self.recent.reset();
        self.recorded = 0;
    }

    /// Adds everything to a histogram of all.
    pub fn add_to(&self, total: &mut Histogram) {
        add(&self.recent, total);
        if let Some(older) = &self.older {
            total.checked_add_assign(older).expect("64 bits suffice");
        }
    }
}

fn add(counts: &Histogram32, total: &mut Histogram) {
    for (count, sum) in counts.as_slice().iter().zip(total.as_mut_slice()) {
        *sum += u64::from(*count);
    }
}
