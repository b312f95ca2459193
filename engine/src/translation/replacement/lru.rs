//! Least recently used.

use super::Replacement;
use super::recency::Recency;

/// True LRU: hits and fills make an entry the youngest.
pub struct Lru(Recency);

impl Replacement for Lru {
    fn new(sets: u32, ways: u32, _seed: u64) -> Self {
        Self(Recency::new(sets, ways))
    }

    #[inline]
    fn on_hit(&mut self, set: u32, way: u32) {
        self.0.move_to_front(set, way);
    }

    #[inline]
    fn on_fill(&mut self, set: u32, way: u32) {
        self.0.move_to_front(set, way);
    }

    #[inline]
    fn victim(&mut self, set: u32) -> u32 {
        self.0.back(set)
    }

    fn victim_among(&mut self, set: u32, ways: u32, allowed: impl Fn(u32) -> bool) -> Option<u32> {
        self.0.rearmost(set, ways, allowed)
    }

    #[inline]
    fn replace(&mut self, set: u32) -> u32 {
        self.0.back_to_front(set)
    }

    #[inline]
    fn prefetch(&self, set: u32) {
        self.0.prefetch(set);
    }
}
