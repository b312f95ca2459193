//! The IOTLB: a set-associative cache of leaves, tagged (domain ID, leaf base, leaf size).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashTable;

use super::replacement::Replacement;
use super::spec::{IotlbIndex, IotlbSpec};
use crate::domain::{Leaf, LeafSize, Permissions};
use crate::hash::{mix64, reduce};
use crate::ids::{DomainId, Iova, PhysAddr};
use crate::prefetch::prefetch;

/// Sets of more ways find their entries through a hash table.
const WAYS_SCANNED_MAX: u32 = 16;

/// Base and size of a leaf in one number: the base over 2 KiB, with the bit of its size set. Never 0.
#[inline]
#[must_use]
pub fn leaf_code(iova: Iova, size: LeafSize) -> u64 {
    let shift = size.shift();
    (iova.0 >> shift << 1 | 1) << (shift - 12)
}

/// A cached leaf with its tag.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Leaf code; 0 where the way is invalid.
    code: u64,
    /// Frame address, with the rights in the two lowest bits.
    target: u64,
    domain: u32,
}

impl Entry {
    #[inline]
    fn is(&self, domain: DomainId, code: u64) -> bool {
        self.code == code && self.domain == domain.0
    }
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
    /// Fifteen hash bits a way, four ways a word: a look-up reads an entry only where they agree.
    /// 0 where the way is invalid.
    fingerprints: Vec<u64>,
    words_per_set: u32,
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

/// Each of the four lanes of a word.
const LANES: u64 = 0x0001_0001_0001_0001;
/// The top bit of each lane.
const LANE_TOPS: u64 = LANES << 15;
/// A lane that no fingerprint equals: for the ways that fill up the last word of a set.
const NO_WAY: u64 = 0x8000;

/// 1 to 0x7FFF.
#[inline]
fn fingerprint(hash: u64) -> u64 {
    (hash & 0x7FFF).max(1)
}

/// The top bits of the lanes that are zero. Lanes above the lowest such one may be marked though they
/// are not.
#[inline]
fn zero_lanes(word: u64) -> u64 {
    word.wrapping_sub(LANES) & !word & LANE_TOPS
}

#[inline]
fn hash(domain: DomainId, code: u64) -> u64 {
    mix64(code ^ u64::from(domain.0).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// What a 4 KiB page is looked up by: its leaf code, and the hash of that and the domain.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageKey {
    domain: DomainId,
    code: u64,
    hash: u64,
}

impl PageKey {
    /// Of the page of `iova`.
    #[inline]
    #[must_use]
    pub fn new(domain: DomainId, iova: Iova) -> Self {
        let code = leaf_code(iova, LeafSize::Size4K);
        Self { domain, code, hash: hash(domain, code) }
    }
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
        let words_per_set = ways.div_ceil(4);
        let mut last_word = 0;
        for lane in (ways % 4..4).filter(|_| ways % 4 != 0) {
            last_word |= NO_WAY << (16 * lane);
        }
        let mut set = vec![0; words_per_set as usize];
        set[words_per_set as usize - 1] = last_word;
        Self {
            fingerprints: if wide.is_some() { Vec::new() } else { set.repeat(sets as usize) },
            words_per_set,
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
    fn set(&self, hash: u64, iova: Iova, size: LeafSize) -> u32 {
        match self.index {
            IotlbIndex::Hash => reduce(hash, self.sets),
            IotlbIndex::Iova => (iova.0 >> size.shift()) as u32 & (self.sets - 1),
        }
    }

    /// Set and way of exactly this leaf.
    fn find(&self, domain: DomainId, iova: Iova, size: LeafSize) -> Option<(u32, u32)> {
        let code = leaf_code(iova, size);
        let hash = hash(domain, code);
        self.find_in(self.set(hash, iova, size), &PageKey { domain, code, hash })
    }

    /// The way of exactly this leaf in its set.
    #[inline(always)]
    fn find_in(&self, set: u32, key: &PageKey) -> Option<(u32, u32)> {
        if self.wide.is_some() {
            return self.find_wide(key);
        }
        let first = (set * self.words_per_set) as usize;
        let words = &self.fingerprints[first..first + self.words_per_set as usize];
        let ways = &self.entries[(set * self.ways) as usize..((set + 1) * self.ways) as usize];
        let lanes = LANES * fingerprint(key.hash);
        for (number, word) in words.iter().enumerate() {
            let mut equal = zero_lanes(word ^ lanes);
            while equal != 0 {
                let way = number * 4 + equal.trailing_zeros() as usize / 16;
                if ways[way].is(key.domain, key.code) {
                    return Some((set, way as u32));
                }
                equal &= equal - 1;
            }
        }
        None
    }

    #[inline(never)]
    fn find_wide(&self, key: &PageKey) -> Option<(u32, u32)> {
        let same = |slot: &u32| self.entries[*slot as usize].is(key.domain, key.code);
        let slot = self.wide.as_ref()?.slots.find(key.hash, same)?;
        Some((slot / self.ways, slot % self.ways))
    }

    /// Writes the fingerprint of a way; 0 makes it invalid.
    #[inline]
    fn set_fingerprint(&mut self, set: u32, way: u32, fingerprint: u64) {
        if self.wide.is_none() {
            let shift = 16 * (way % 4);
            let word = &mut self.fingerprints[(set * self.words_per_set + way / 4) as usize];
            *word = *word & !(0xFFFF << shift) | fingerprint << shift;
        }
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
    pub fn lookup(&mut self, domain: DomainId, iova: Iova) -> Option<Leaf> {
        for size in LeafSize::ALL {
            if self.valid[size as usize] == 0 {
                continue;
            }
            if let Some((set, way)) = self.find(domain, iova, size) {
                self.policy.on_hit(set, way);
                return Some(self.leaf(set * self.ways + way, iova, size));
            }
        }
        None
    }

    /// Whether every cached leaf is a 4 KiB page, so that [`Self::find_page`] finds what serves an address.
    #[inline]
    #[must_use]
    pub fn holds_pages_only(&self) -> bool {
        self.valid[1] | self.valid[2] == 0
    }

    /// Set and way of the 4 KiB page of `iova`, whose key this is.
    #[inline(always)]
    #[must_use]
    pub fn find_page(&self, key: &PageKey, iova: Iova) -> Option<(u32, u32)> {
        self.find_in(self.set(key.hash, iova, LeafSize::Size4K), key)
    }

    /// The 4 KiB page of `iova` in this set and way; a hit for the replacement policy.
    #[inline(always)]
    pub fn hit_page(&mut self, (set, way): (u32, u32), iova: Iova) -> Leaf {
        self.policy.on_hit(set, way);
        self.leaf(set * self.ways + way, iova, LeafSize::Size4K)
    }

    /// Asks for the cache lines that [`Self::find_page`] may want.
    #[inline]
    pub fn prefetch_page(&self, key: &PageKey, iova: Iova) {
        let set = self.set(key.hash, iova, LeafSize::Size4K);
        prefetch(self.fingerprints.as_ptr().wrapping_add((set * self.words_per_set) as usize));
        prefetch(self.entries.as_ptr().wrapping_add((set * self.ways) as usize));
    }

    /// Caches a leaf that is not cached, in the lowest invalid way, or in that of the policy's victim.
    pub fn fill(&mut self, domain: DomainId, leaf: &Leaf) {
        debug_assert!(self.find(domain, leaf.base, leaf.size).is_none(), "one entry a leaf");
        let code = leaf_code(leaf.base, leaf.size);
        let hash = hash(domain, code);
        let set = self.set(hash, leaf.base, leaf.size);
        // Once every way is in use there is no free one to look for.
        let full = self.valid_entries() as usize == self.entries.len();
        let free = if full { None } else { self.free_way(set) };
        let way = free.unwrap_or_else(|| {
            let way = self.policy.victim(set);
            self.counters.evictions += 1;
            self.forget(set * self.ways + way);
            way
        });
        let slot = set * self.ways + way;
        let target = leaf.target.0 | leaf.permissions as u64;
        self.entries[slot as usize] = Entry { code, target, domain: domain.0 };
        self.set_fingerprint(set, way, fingerprint(hash));
        self.valid[leaf.size as usize] += 1;
        if let Some(wide) = &mut self.wide {
            let entries = &self.entries;
            wide.slots.insert_unique(hash, slot, |slot| entry_hash(&entries[*slot as usize]));
        }
        self.policy.on_fill(set, way);
    }

    /// The lowest invalid way of the set, which is no longer free for others.
    #[inline]
    fn free_way(&mut self, set: u32) -> Option<u32> {
        if let Some(wide) = &mut self.wide {
            return wide.free[set as usize].pop().map(|Reverse(way)| way);
        }
        let first = (set * self.words_per_set) as usize;
        let words = &self.fingerprints[first..first + self.words_per_set as usize];
        words.iter().zip((0..).step_by(4)).find_map(|(word, way)| {
            let free = zero_lanes(*word);
            (free != 0).then(|| way + free.trailing_zeros() / 16)
        })
    }

    /// Takes a valid entry out of the counts and the table of wide sets; its way is not given back.
    #[inline]
    fn forget(&mut self, slot: u32) {
        // Mostly all entries are of one size, and then there is no need to read this one.
        let size = match self.valid {
            [_, 0, 0] => LeafSize::Size4K,
            [0, _, 0] => LeafSize::Size2M,
            _ => size_of_code(self.entries[slot as usize].code),
        };
        self.valid[size as usize] -= 1;
        if let Some(wide) = &mut self.wide {
            match wide.slots.find_entry(entry_hash(&self.entries[slot as usize]), |there| *there == slot) {
                Ok(found) => {
                    found.remove();
                }
                Err(_) => unreachable!("a valid slot is in the table"),
            }
        }
    }

    fn invalidate_slot(&mut self, slot: u32) {
        let (set, way) = (slot / self.ways, slot % self.ways);
        self.forget(slot);
        self.entries[slot as usize] = Entry::default();
        self.set_fingerprint(set, way, 0);
        self.counters.invalidated += 1;
        if let Some(wide) = &mut self.wide {
            wide.free[set as usize].push(Reverse(way));
        }
    }

    /// Drops every entry of the domain that overlaps the bytes from `first` to `last`, whatever its size.
    pub fn invalidate_range(&mut self, domain: DomainId, first: Iova, last: Iova) {
        for size in LeafSize::ALL {
            if self.valid[size as usize] == 0 {
                continue;
            }
            let (from, to) = (first.0 >> size.shift(), last.0 >> size.shift());
            if to - from >= self.entries.len() as u64 {
                self.invalidate_where(|entry| {
                    let number = base_of_code(entry.code).0 >> size.shift();
                    entry.domain == domain.0
                        && size_of_code(entry.code) == size
                        && (from..=to).contains(&number)
                });
                continue;
            }
            for number in from..=to {
                if let Some((set, way)) = self.find(domain, Iova(number << size.shift()), size) {
                    self.invalidate_slot(set * self.ways + way);
                }
            }
        }
    }

    /// Drops every entry of the domain.
    pub fn invalidate_domain(&mut self, domain: DomainId) {
        self.invalidate_where(|entry| entry.domain == domain.0);
    }

    /// Drops every entry.
    pub fn invalidate_all(&mut self) {
        self.invalidate_where(|_| true);
    }

    fn invalidate_where(&mut self, drops: impl Fn(&Entry) -> bool) {
        for slot in 0..self.entries.len() as u32 {
            let entry = &self.entries[slot as usize];
            if entry.code != 0 && drops(entry) {
                self.invalidate_slot(slot);
            }
        }
    }
}

fn size_of_code(code: u64) -> LeafSize {
    match code.trailing_zeros() {
        0 => LeafSize::Size4K,
        9 => LeafSize::Size2M,
        _ => LeafSize::Size1G,
    }
}

fn base_of_code(code: u64) -> Iova {
    Iova((code & (code - 1)) << 11)
}

fn entry_hash(entry: &Entry) -> u64 {
    hash(DomainId(entry.domain), entry.code)
}
