//! Random replacement.

use super::Replacement;
use crate::hash::{mix64, reduce};

/// A uniform way a victim, from a counter-based generator a set: what one set draws does not depend
/// on the others.
pub struct Random {
    draws: Vec<u64>,
    ways: u32,
    seed: u64,
}

impl Replacement for Random {
    fn new(sets: u32, ways: u32, seed: u64) -> Self {
        Self { draws: vec![0; sets as usize], ways, seed: mix64(seed) }
    }

    #[inline]
    fn on_hit(&mut self, _set: u32, _way: u32) {}

    #[inline]
    fn on_fill(&mut self, _set: u32, _way: u32) {}

    #[inline]
    fn victim(&mut self, set: u32) -> u32 {
        self.draw(set, self.ways)
    }

    fn victim_among(&mut self, set: u32, ways: u32, allowed: impl Fn(u32) -> bool) -> Option<u32> {
        let candidates = (0..ways).filter(|way| allowed(*way)).count() as u32;
        if candidates == 0 {
            return None;
        }
        let drawn = self.draw(set, candidates);
        (0..ways).filter(|way| allowed(*way)).nth(drawn as usize)
    }
}

impl Random {
    /// The next number below `among` that a set draws.
    #[inline]
    fn draw(&mut self, set: u32, among: u32) -> u32 {
        let draw = &mut self.draws[set as usize];
        *draw += 1;
        let stream = mix64(self.seed ^ u64::from(set));
        reduce(mix64(stream.wrapping_add(draw.wrapping_mul(0x9E37_79B9_7F4A_7C15))), among)
    }
}
