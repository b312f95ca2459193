//! A plain IOTLB: a list of ways a set, linear searches, a stamp a use. It shares the specification
//! and the hash with the engine's IOTLB and nothing else.

use portcullis_engine::domain::{Leaf, LeafSize};
use portcullis_engine::hash::{mix64, reduce};
use portcullis_engine::ids::Iova;
use portcullis_engine::translation::replacement::ReplacementPolicy;
use portcullis_engine::translation::{IotlbIndex, IotlbSharing, IotlbSpec, leaf_code};

/// The policies that have a plain twin here. One without is held to the contract of all policies only
/// (`engine/src/translation/replacement/tests.rs`).
pub const POLICIES: [ReplacementPolicy; 4] =
    [ReplacementPolicy::Lru, ReplacementPolicy::Fifo, ReplacementPolicy::Plru, ReplacementPolicy::Random];

/// The rules of an IOTLB that can be broken one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IotlbRule {
    InvalidWaysFirst,
    HitsCountForReplacement,
    SmallestServes,
}

#[derive(Clone, Copy)]
struct Entry {
    domain: u32,
    leaf: Leaf,
    used: u64,
}

impl Entry {
    fn is(&self, domain: u32, base: Iova, size: LeafSize) -> bool {
        self.domain == domain && self.leaf.base == base && self.leaf.size == size
    }
}

pub struct PlainIotlb {
    spec: IotlbSpec,
    seed: u64,
    broken: Option<IotlbRule>,
    sets: Vec<Vec<Option<Entry>>>,
    uses: u64,
    draws: Vec<u64>,
    trees: Vec<Vec<bool>>,
    /// How many ways, sets or entries each class of tenants has; none where all are free for all.
    parts: Vec<u32>,
    /// The class of the domain that has this number less one.
    classes: Vec<usize>,
    /// Valid entries replaced.
    pub evictions: u64,
    /// Entries dropped by invalidations.
    pub invalidated: u64,
}

impl PlainIotlb {
    /// An empty IOTLB, with one rule broken or none; `seed` is that of random replacement.
    pub fn new(spec: &IotlbSpec, seed: u64, broken: Option<IotlbRule>) -> Self {
        let (sets, ways) = (spec.sets() as usize, spec.ways() as usize);
        Self {
            spec: spec.clone(),
            seed,
            broken,
            sets: vec![vec![None; ways]; sets],
            uses: 0,
            draws: vec![0; sets],
            trees: vec![vec![false; 2 * ways]; sets],
            parts: Vec::new(),
            classes: Vec::new(),
            evictions: 0,
            invalidated: 0,
        }
    }

    /// Divides it among classes of tenants.
    #[allow(dead_code, reason = "in a replay there are no classes")]
    pub fn divide(&mut self, parts: Vec<u32>, classes: Vec<usize>) {
        (self.parts, self.classes) = (parts, classes);
    }

    fn class(&self, domain: u32) -> usize {
        self.classes[domain as usize - 1]
    }

    /// The ways, or the sets, that are a domain's own, where these are what is divided.
    fn own(&self, domain: u32, by: IotlbSharing, all: usize) -> core::ops::Range<usize> {
        if self.parts.is_empty() || self.spec.sharing != by {
            return 0..all;
        }
        let class = self.class(domain);
        let before: u32 = self.parts[..class].iter().sum();
        before as usize..(before + self.parts[class]) as usize
    }

    fn holds(&self, rule: IotlbRule) -> bool {
        self.broken != Some(rule)
    }

    fn set_of(&self, domain: u32, base: Iova, size: LeafSize) -> usize {
        let own = self.own(domain, IotlbSharing::Sets, self.sets.len());
        own.start
            + match self.spec.index {
                IotlbIndex::Iova => (base.0 / size.bytes()) as usize % own.len(),
                IotlbIndex::Hash => {
                    let mixed = u64::from(domain).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    reduce(mix64(leaf_code(base, size) ^ mixed), own.len() as u32) as usize
                }
            }
    }

    /// The cached leaf that serves the address, the smallest first.
    pub fn lookup(&mut self, domain: u32, at: u64) -> Option<Leaf> {
        let mut sizes = LeafSize::ALL;
        if !self.holds(IotlbRule::SmallestServes) {
            sizes.reverse();
        }
        for size in sizes {
            let base = Iova(at / size.bytes() * size.bytes());
            let set = self.set_of(domain, base, size);
            let way = self.sets[set]
                .iter()
                .position(|entry| entry.is_some_and(|entry| entry.is(domain, base, size)));
            if let Some(way) = way {
                if self.holds(IotlbRule::HitsCountForReplacement) {
                    self.note_use(set, way, false);
                }
                return self.sets[set][way].map(|entry| entry.leaf);
            }
        }
        None
    }

    /// Whether the very leaf is cached.
    #[allow(dead_code, reason = "in a replay there are no device TLBs")]
    pub fn caches(&self, domain: u32, leaf: &Leaf) -> bool {
        self.sets.iter().flatten().flatten().any(|entry| entry.is(domain, leaf.base, leaf.size))
    }

    /// Whether exactly this leaf is cached.
    #[allow(dead_code, reason = "only the reference of runs asks")]
    pub fn holds_leaf(&self, domain: u32, leaf: &Leaf) -> bool {
        let set = &self.sets[self.set_of(domain, leaf.base, leaf.size)];
        set.iter().flatten().any(|entry| entry.is(domain, leaf.base, leaf.size))
    }

    /// Caches a leaf: over an entry for the same one, in an invalid way, or over a victim, which is returned.
    pub fn fill(&mut self, domain: u32, leaf: Leaf) -> Option<Option<(u32, Leaf)>> {
        if !self.spec.enabled {
            return None;
        }
        let set = self.set_of(domain, leaf.base, leaf.size);
        let there = self.sets[set]
            .iter()
            .position(|entry| entry.is_some_and(|entry| entry.is(domain, leaf.base, leaf.size)));
        let mut ways: Vec<usize> = self.own(domain, IotlbSharing::Ways, self.sets[set].len()).collect();
        if !self.parts.is_empty() && self.spec.sharing == IotlbSharing::Quota {
            let is_own = |entry: &Option<Entry>| {
                entry.is_some_and(|entry| self.class(entry.domain) == self.class(domain))
            };
            let held = self.sets.iter().flatten().filter(|entry| is_own(entry)).count();
            if held >= self.parts[self.class(domain)] as usize {
                ways.retain(|way| is_own(&self.sets[set][*way]));
            }
        }
        let first = ways.first()?;
        let invalid = ways.iter().copied().find(|way| self.sets[set][*way].is_none());
        let all_valid_or_ignored = invalid.is_none()
            || (!self.holds(IotlbRule::InvalidWaysFirst) && self.sets[set][*first].is_some());
        let way = match there {
            Some(way) => way,
            None if all_valid_or_ignored => {
                let way = self.victim(set, &ways);
                self.evictions += u64::from(self.sets[set][way].is_some());
                way
            }
            None => invalid.expect("one is invalid"),
        };
        let before = self.sets[set][way].replace(Entry { domain, leaf, used: 0 });
        self.note_use(set, way, true);
        Some(before.filter(|_| there.is_none()).map(|entry| (entry.domain, entry.leaf)))
    }

    fn note_use(&mut self, set: usize, way: usize, filled: bool) {
        self.uses += 1;
        match self.spec.replacement {
            ReplacementPolicy::Lru => {
                self.sets[set][way].as_mut().expect("valid").used = self.uses;
            }
            ReplacementPolicy::Fifo if filled => {
                self.sets[set][way].as_mut().expect("valid").used = self.uses;
            }
            ReplacementPolicy::Plru => {
                let ways = self.sets[set].len();
                let mut node = ways + way;
                while node > 1 {
                    // Each bit points away from the child that was used.
                    self.trees[set][node / 2] = node.is_multiple_of(2);
                    node /= 2;
                }
            }
            _ => {}
        }
    }

    /// Which of these ways of a set is replaced.
    fn victim(&mut self, set: usize, among: &[usize]) -> usize {
        let ways = self.sets[set].len();
        match self.spec.replacement {
            ReplacementPolicy::Lru | ReplacementPolicy::Fifo => among
                .iter()
                .copied()
                .filter(|way| self.sets[set][*way].is_some())
                .min_by_key(|way| self.sets[set][*way].expect("valid").used)
                .expect("a way"),
            ReplacementPolicy::Plru => {
                let mut node = 1;
                while node < ways {
                    let pointed = 2 * node + usize::from(self.trees[set][node]);
                    // Nobody goes where no way can be replaced.
                    let leads_there = |from: usize| {
                        among.iter().any(|way| {
                            core::iter::successors(Some(ways + way), |at| Some(at / 2))
                                .take_while(|at| *at > 0)
                                .any(|at| at == from)
                        })
                    };
                    node = if leads_there(pointed) { pointed } else { pointed ^ 1 };
                }
                node - ways
            }
            // Random, the last of `POLICIES`.
            _ => {
                self.draws[set] += 1;
                let stream = mix64(mix64(self.seed) ^ set as u64);
                let draw = self.draws[set].wrapping_mul(0x9E37_79B9_7F4A_7C15);
                among[reduce(mix64(stream.wrapping_add(draw)), among.len() as u32) as usize]
            }
        }
    }

    /// Drops every entry of the domain that overlaps the bytes from `first` to `last`.
    pub fn invalidate_range(&mut self, domain: u32, first: u64, last: u64) {
        self.drop_where(|there, leaf| {
            let leaf_last = leaf.base.0 + (leaf.size.bytes() - 1);
            there == domain && leaf.base.0 <= last && leaf_last >= first
        });
    }

    /// Drops every entry of the domain.
    pub fn invalidate_domain(&mut self, domain: u32) {
        self.drop_where(|there, _| there == domain);
    }

    /// Drops every entry.
    pub fn invalidate_all(&mut self) {
        self.drop_where(|_, _| true);
    }

    /// Drops every entry whose domain and leaf say so, and returns them.
    pub fn drop_where(&mut self, drops: impl Fn(u32, &Leaf) -> bool) -> Vec<(u32, Leaf)> {
        let mut dropped = Vec::new();
        for entry in self.sets.iter_mut().flatten() {
            if let Some(there) = entry.filter(|entry| drops(entry.domain, &entry.leaf)) {
                *entry = None;
                self.invalidated += 1;
                dropped.push((there.domain, there.leaf));
            }
        }
        dropped
    }
}
