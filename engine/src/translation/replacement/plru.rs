//! Tree pseudo-LRU.

use super::Replacement;

/// Tree-PLRU: a bit at each inner node of a binary tree over the ways points at the half that was
/// used longer ago. Hits and fills turn the bits on their path away from themselves.
///
/// Nodes are numbered as in a heap: the root is 1, the children of `n` are `2n` and `2n + 1`.
pub struct TreePlru {
    bits: Vec<u64>,
    words_per_set: usize,
    levels: u32,
}

impl TreePlru {
    #[inline]
    fn point_away(&mut self, set: u32, way: u32) {
        let words = &mut self.bits[set as usize * self.words_per_set..][..self.words_per_set];
        let mut node = 1_usize;
        for level in (0..self.levels).rev() {
            let half = way as usize >> level & 1;
            let (word, bit) = (node / 64, node % 64);
            words[word] = words[word] & !(1 << bit) | ((half as u64 ^ 1) << bit);
            node = node * 2 + half;
        }
    }
}

impl Replacement for TreePlru {
    fn check(ways: u32) -> Result<(), &'static str> {
        if ways.is_power_of_two() { Ok(()) } else { Err("the tree of \"plru\" needs a power of two") }
    }

    fn new(sets: u32, ways: u32, _seed: u64) -> Self {
        let words_per_set = (ways as usize).div_ceil(64);
        Self { bits: vec![0; sets as usize * words_per_set], words_per_set, levels: ways.trailing_zeros() }
    }

    #[inline]
    fn on_hit(&mut self, set: u32, way: u32) {
        self.point_away(set, way);
    }

    #[inline]
    fn on_fill(&mut self, set: u32, way: u32) {
        self.point_away(set, way);
    }

    #[inline]
    fn victim(&mut self, set: u32) -> u32 {
        let words = &self.bits[set as usize * self.words_per_set..][..self.words_per_set];
        let mut node = 1_usize;
        for _ in 0..self.levels {
            node = node * 2 + (words[node / 64] >> (node % 64) & 1) as usize;
        }
        node as u32 - (1 << self.levels)
    }

    /// Where the bits lead, but for halves without an allowed way, which are not entered.
    fn victim_among(&mut self, set: u32, _ways: u32, allowed: impl Fn(u32) -> bool) -> Option<u32> {
        let words = &self.bits[set as usize * self.words_per_set..][..self.words_per_set];
        let (mut node, mut first) = (1_usize, 0);
        for level in (0..self.levels).rev() {
            let any = |half: u32| (0..1 << level).any(|way| allowed(first + (half << level) + way));
            let pointed = (words[node / 64] >> (node % 64) & 1) as u32;
            let half = if any(pointed) { pointed } else { pointed ^ 1 };
            node = node * 2 + half as usize;
            first += half << level;
        }
        allowed(first).then_some(first)
    }
}
