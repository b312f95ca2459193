//! The IOTLB: a set-associative cache of leaves, tagged (domain ID, leaf base, leaf size).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashTable;

use super::replacement::Replacement;
use super::spec::{IotlbIndex, IotlbSpec};
use crate::domain::{Leaf, LeafSize, Permissions};
use crate::hash::{mix64, reduce};
use crate::ids::{DomainId, Iova, PhysAddr};

/// Sets of more ways find their entries through a hash table.
const WAYS_SCANNED_MAX: u32 = 16;

/// Base and size of a leaf in one number: the base over 2 KiB, with the bit of its size set. Never 0.
#[inline]
#[must_use]
pub fn leaf_code(iova: Iova, size: LeafSize) -> u64 {
    let shift = size.shift();
    (iova.0 >> shift << 1 | 1) << (shift - 12)
}

/// A cached leaf beside its tag.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Frame address, with the rights in the two lowest bits.
    target: u64,
    domain: u32,
}

/// Where the entries of a wide set are, and which of its ways are free.
#[derive(Default)]
struct WideSets {
    slots: HashTable<u32>,
    free: Vec<BinaryHeap<Reverse<u32>>>,
}

/// What the IOTLB counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IotlbCounters {
    /// Valid entries replaced.
    pub evictions: u64,
    /// Entries dropped by invalidations.
    pub invalidated: u64,
}

/// A set-associative cache of leaves under the replacement policy `P`.
pub struct Iotlb<P> {
    /// Leaf code, with the low bits of the domain ID above it; 0 where the way is invalid.
    tags: Vec<u64>,
    entries: Vec<Entry>,
    policy: P,
    sets: u32,
    ways: u32,
    index: IotlbIndex,
    /// Valid entries of each leaf size: sizes without any need no look-up.
    valid: [u32; 3],
    wide: Option<WideSets>,
    counters: IotlbCounters,
}

#[inline]
fn tag(domain: DomainId, code: u64) -> u64 {
    code | u64::from(domain.0) << 53
}

#[inline]
fn hash(domain: DomainId, code: u64) -> u64 {
    mix64(code ^ u64::from(domain.0).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

impl<P: Replacement> Iotlb<P> {
    /// An empty IOTLB of a valid specification.
    #[must_use]
    pub fn new(spec: &IotlbSpec, seed: u64) -> Self {
        let (sets, ways) = (spec.sets(), spec.ways());
        let wide = (ways > WAYS_SCANNED_MAX).then(|| WideSets {
            slots: HashTable::with_capacity(spec.entries as usize),
            free: (0..sets).map(|_| (0..ways).map(Reverse).collect()).collect(),
        });
        Self {
            tags: vec![0; spec.entries as usize],
            entries: vec![Entry::default(); spec.entries as usize],
            policy: P::new(sets, ways, seed),
            sets,
            ways,
            index: spec.index,
            valid: [0; 3],
            wide,
            counters: IotlbCounters::default(),
        }
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> IotlbCounters {
        self.counters
    }

    /// Valid entries.
    #[must_use]
    pub fn valid_entries(&self) -> u32 {
        self.valid.iter().sum()
    }

    #[inline]
    fn set(&self, domain: DomainId, code: u64, iova: Iova, size: LeafSize) -> u32 {
        match self.index {
            IotlbIndex::Hash => reduce(hash(domain, code), self.sets),
            IotlbIndex::Iova => (iova.0 >> size.shift()) as u32 & (self.sets - 1),
        }
    }

    /// The slot of exactly this leaf.
    #[inline]
    fn find(&self, domain: DomainId, iova: Iova, size: LeafSize) -> Option<u32> {
        let code = leaf_code(iova, size);
        let tag = tag(domain, code);
        if let Some(wide) = &self.wide {
            let same = |slot: &u32| {
                self.tags[*slot as usize] == tag && self.entries[*slot as usize].domain == domain.0
            };
            return wide.slots.find(hash(domain, code), same).copied();
        }
        let first = self.set(domain, code, iova, size) * self.ways;
        let tags = &self.tags[first as usize..][..self.ways as usize];
        let mut matches = 0_u32;
        for (way, there) in tags.iter().enumerate() {
            matches |= u32::from(*there == tag) << way;
        }
        // Tags hold 11 bits of the domain ID: more than one may match, at most one is ours.
        while matches != 0 {
            let slot = first + matches.trailing_zeros();
            if self.entries[slot as usize].domain == domain.0 {
                return Some(slot);
            }
            matches &= matches - 1;
        }
        None
    }

    #[inline]
    fn leaf(&self, slot: u32, iova: Iova, size: LeafSize) -> Leaf {
        let target = self.entries[slot as usize].target;
        Leaf {
            base: size.base(iova),
            target: PhysAddr(target & !3),
            size,
            permissions: Permissions::from_bits(target as u8),
        }
    }

    /// The cached leaf that serves `iova`: the smallest where several cover it. A hit counts for the
    /// replacement policy.
    #[inline]
    pub fn lookup(&mut self, domain: DomainId, iova: Iova) -> Option<Leaf> {
        for size in LeafSize::ALL {
            if self.valid[size as usize] == 0 {
                continue;
            }
            if let Some(slot) = self.find(domain, iova, size) {
                self.policy.on_hit(slot / self.ways, slot % self.ways);
                return Some(self.leaf(slot, iova, size));
            }
        }
        None
    }

    /// The tag line that a look-up of `iova` as a leaf of `size` will read, for a prefetch.
    #[inline]
    #[must_use]
    pub fn tag_address(&self, domain: DomainId, iova: Iova, size: LeafSize) -> *const u64 {
        let set = self.set(domain, leaf_code(iova, size), iova, size);
        &raw const self.tags[(set * self.ways) as usize]
    }

    /// Caches a leaf, in place of an entry for the same one, in the lowest invalid way, or in that of
    /// the policy's victim.
    pub fn fill(&mut self, domain: DomainId, leaf: &Leaf) {
        let entry = Entry { target: leaf.target.0 | leaf.permissions as u64, domain: domain.0 };
        if let Some(slot) = self.find(domain, leaf.base, leaf.size) {
            self.entries[slot as usize] = entry;
            self.policy.on_fill(slot / self.ways, slot % self.ways);
            return;
        }
        let code = leaf_code(leaf.base, leaf.size);
        let set = self.set(domain, code, leaf.base, leaf.size);
        let way = self.free_way(set).unwrap_or_else(|| {
            let way = self.policy.victim(set);
            self.counters.evictions += 1;
            self.clear(set * self.ways + way);
            way
        });
        let slot = set * self.ways + way;
        self.tags[slot as usize] = tag(domain, code);
        self.entries[slot as usize] = entry;
        self.valid[leaf.size as usize] += 1;
        if let Some(wide) = &mut self.wide {
            let (tags, entries) = (&self.tags, &self.entries);
            wide.slots.insert_unique(hash(domain, code), slot, |slot| slot_hash(tags, entries, *slot));
        }
        self.policy.on_fill(set, way);
    }

    /// The lowest invalid way of the set, which is no longer free for others.
    #[inline]
    fn free_way(&mut self, set: u32) -> Option<u32> {
        if let Some(wide) = &mut self.wide {
            return wide.free[set as usize].pop().map(|Reverse(way)| way);
        }
        let tags = &self.tags[(set * self.ways) as usize..][..self.ways as usize];
        tags.iter().position(|tag| *tag == 0).map(|way| way as u32)
    }

    /// Makes a valid slot invalid, without giving its way back.
    fn clear(&mut self, slot: u32) {
        let size = size_of_tag(self.tags[slot as usize]);
        self.valid[size as usize] -= 1;
        if let Some(wide) = &mut self.wide {
            let hash = slot_hash(&self.tags, &self.entries, slot);
            match wide.slots.find_entry(hash, |there| *there == slot) {
                Ok(found) => {
                    found.remove();
                }
                Err(_) => unreachable!("a valid slot is in the table"),
            }
        }
        self.tags[slot as usize] = 0;
    }

    fn invalidate_slot(&mut self, slot: u32) {
        self.clear(slot);
        self.counters.invalidated += 1;
        if let Some(wide) = &mut self.wide {
            wide.free[(slot / self.ways) as usize].push(Reverse(slot % self.ways));
        }
    }

    /// Drops every entry of the domain that overlaps the bytes from `first` to `last`, whatever its size.
    pub fn invalidate_range(&mut self, domain: DomainId, first: Iova, last: Iova) {
        for size in LeafSize::ALL {
            if self.valid[size as usize] == 0 {
                continue;
            }
            let (from, to) = (first.0 >> size.shift(), last.0 >> size.shift());
            if to - from >= self.tags.len() as u64 {
                self.invalidate_where(|tag, there| {
                    let number = base_of_tag(tag).0 >> size.shift();
                    there == domain.0 && size_of_tag(tag) == size && (from..=to).contains(&number)
                });
                continue;
            }
            for number in from..=to {
                if let Some(slot) = self.find(domain, Iova(number << size.shift()), size) {
                    self.invalidate_slot(slot);
                }
            }
        }
    }

    /// Drops every entry of the domain.
    pub fn invalidate_domain(&mut self, domain: DomainId) {
        self.invalidate_where(|_, there| there == domain.0);
    }

    /// Drops every entry.
    pub fn invalidate_all(&mut self) {
        self.invalidate_where(|_, _| true);
    }

    fn invalidate_where(&mut self, drops: impl Fn(u64, u32) -> bool) {
        for slot in 0..self.tags.len() as u32 {
            let tag = self.tags[slot as usize];
            if tag != 0 && drops(tag, self.entries[slot as usize].domain) {
                self.invalidate_slot(slot);
            }
        }
    }
}

#[inline]
fn code_of_tag(tag: u64) -> u64 {
    tag & ((1 << 53) - 1)
}

#[inline]
fn size_of_tag(tag: u64) -> LeafSize {
    match tag.trailing_zeros() {
        0 => LeafSize::Size4K,
        9 => LeafSize::Size2M,
        _ => LeafSize::Size1G,
    }
}

fn base_of_tag(tag: u64) -> Iova {
    let code = code_of_tag(tag);
    Iova((code & (code - 1)) << 11)
}

fn slot_hash(tags: &[u64], entries: &[Entry], slot: u32) -> u64 {
    hash(DomainId(entries[slot as usize].domain), code_of_tag(tags[slot as usize]))
}
