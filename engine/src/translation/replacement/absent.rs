//! No cache: every look-up misses.

use super::Replacement;

/// Has nothing to replace, since nothing is filled.
pub struct Absent;

impl Replacement for Absent {
    const CACHES: bool = false;

    fn new(_sets: u32, _ways: u32, _seed: u64) -> Self {
        Self
    }

    fn on_hit(&mut self, _set: u32, _way: u32) {}

    fn on_fill(&mut self, _set: u32, _way: u32) {}

    fn victim(&mut self, _set: u32) -> u32 {
        unreachable!("nothing is cached")
    }
}
