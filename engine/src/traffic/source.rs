//! The contract between a workload and the engine: a source emits the requests of one VF in the
//! order of their intended times, and depends on nothing but its own seed.

use crate::request::{Address, Intended, Transfer};
use crate::units::Picoseconds;

/// Free rows of the request pool for a source to fill: slices of one length, a row an index.
pub struct SourceRows<'a> {
    /// When the tenant intends each request, not decreasing.
    pub intended: &'a mut [Intended],
    /// The first byte's address.
    pub address: &'a mut [Address],
    /// Length and direction; the length must be at least 1.
    pub transfer: &'a mut [Transfer],
}

impl SourceRows<'_> {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.intended.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intended.is_empty()
    }
}

/// The requests of one VF, in the order of their intended times.
///
/// A source is a function of its own seed and state alone, and of the retirements it is told of. How its
/// output is cut into calls of [`Source::emit`] must not change what it emits.
pub trait Source: Send + Sync {
    /// The intended time of the next request; `None` after the last.
    fn peek(&self) -> Option<Picoseconds>;

    /// Writes the requests intended before `until` into `rows` from the front, as many as fit, and
    /// returns how many were written.
    fn emit(&mut self, until: Picoseconds, rows: SourceRows<'_>) -> usize;

    /// Asks for the cache lines that the next call will touch, as far as they lie elsewhere: a hint.
    fn prefetch(&self) {}

    /// Whether what it intends depends on when its requests retire: a closed loop. Then the least time
    /// from a retirement to the request that it makes the source intend; `None` for an open loop, and
    /// for a closed one that intends nothing more, whatever retires.
    fn feedback(&self) -> Option<Picoseconds> {
        None
    }

    /// The least time from the retirement of one of its requests to the request that this makes the source
    /// intend; for a request that it has emitted.
    fn feedback_of(&self, _sequence: u64) -> Picoseconds {
        self.feedback().unwrap_or(Picoseconds::MAX)
    }

    /// The most requests it has intended that have not retired; `None` where there is no such bound.
    fn outstanding(&self) -> Option<u32> {
        None
    }

    /// The request number `sequence` of this source (from 0) retires at `time`. Each is told once, and
    /// before anything is emitted that is intended at or after `time` plus [`Source::feedback_of`] it; those of
    /// a source come in any order. Returns what [`Source::peek`] says from then on.
    fn retire(&mut self, _sequence: u64, _time: Picoseconds) -> Option<Picoseconds> {
        self.peek()
    }

    /// Those whose requests these were are gone, and others like them begin at `time`: of a closed loop whatever retires after
    /// it was emitted before is told no more, and all its clients think from `time` on. An open loop goes on as ever.
    fn restart(&mut self, _time: Picoseconds) {}
}
