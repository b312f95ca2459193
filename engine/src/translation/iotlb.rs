//! The IOTLB: a set-associative cache of leaves, tagged (domain ID, leaf base, leaf size).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashTable;

use super::replacement::Replacement;
use super::sharing::{IotlbParts, IotlbSharing, Part};
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

/// Where a leaf maps to: the frame address, with the rights in the two lowest bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target(u64);

impl Target {
    /// Of this leaf.
    #[inline]
    #[must_use]
    pub fn new(leaf: &Leaf) -> Self {
        Self(leaf.target.0 | leaf.permissions as u64)
    }

    /// The leaf of this size at `iova` that maps there.
    #[inline]
    fn leaf(self, iova: Iova, size: LeafSize) -> Leaf {
        Leaf {
            base: size.base(iova),
            target: PhysAddr(self.0 & !3),
            size,
            permissions: Permissions::from_bits(self.0 as u8),
        }
    }
}

/// A cached leaf with its tag.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Leaf code; 0 where the way is invalid.
    code: u64,
    target: Target,
    domain: DomainId,
}

impl Entry {
    #[inline]
    fn is(&self, tag: &Tag) -> bool {
        self.code == tag.code && self.domain == tag.domain
    }
}

/// Where the entries of a wide set are, and which of its ways are free.
#[derive(Default)]
struct WideSets {
    slots: HashTable<u32>,
    /// Set by set; where classes have ways of their own, class by class in each.
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

/// What came of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Nothing is cached.
    Nowhere,
    /// The leaf is, in a way that was free.
    Free,
    /// The leaf is, in the place of another, of this domain and leaf code.
    Over((DomainId, u64)),
}

/// A set-associative cache of leaves under the replacement policy `P`.
pub struct Iotlb<P> {
    /// Seven hash bits a way, eight ways a word: a look-up reads an entry only where they agree.
    /// 0 where the way is invalid.
    fingerprints: Vec<u64>,
    words_per_set: u32,
    entries: Vec<Entry>,
    policy: P,
    sets: u32,
    ways: u32,
    index: Index,
    /// Valid entries of each leaf size: sizes without any need no look-up.
    valid: [u32; 3],
    wide: Option<WideSets>,
    /// 1 where classes of tenants have sets of their own, else 0.
    sets_divided: u32,
    /// How classes of tenants share it; `None` where every entry is free for all.
    parts: Option<Box<IotlbParts>>,
    counters: IotlbCounters,
    /// What invalidations dropped, where somebody wants to know.
    dropped: Option<Vec<(DomainId, u64)>>,
}

/// How a leaf chooses its set.
#[derive(Clone, Copy)]
enum Index {
    Hash,
    Iova,
    /// By hash among the sets of its domain's class.
    HashOfClass,
    /// By IOVA among them.
    IovaOfClass,
}

/// Each of the lanes of a word of fingerprints.
const LANES: u64 = 0x0101_0101_0101_0101;
/// The top bit of each lane.
const LANE_TOPS: u64 = LANES << 7;
const LANE_BITS: u32 = 8;
const LANES_PER_WORD: u32 = u64::BITS / LANE_BITS;
/// A lane that no fingerprint equals: for the ways that fill up the last word of a set.
const NO_WAY: u64 = 1;

/// 0x80 to 0xFF.
#[inline]
fn fingerprint(hash: u64) -> u64 {
    (hash & 0x7F) | 0x80
}

/// The top bits of the lanes that are zero. Lanes above the lowest such one may be marked though they
/// are not.
#[inline]
fn zero_lanes(word: u64) -> u64 {
    word.wrapping_sub(LANES) & !word & LANE_TOPS
}

/// The bit of a tag that stands for a page without a leaf.
const UNMAPPED: u64 = 1 << 63;

/// What a leaf is looked up by: its domain and code, and their hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tag {
    domain: DomainId,
    code: u64,
    hash: u64,
}

impl Tag {
    /// Of the leaf of this size that covers `iova`.
    #[inline]
    #[must_use]
    pub fn new(domain: DomainId, iova: Iova, size: LeafSize) -> Self {
        Self::of_code(domain, leaf_code(iova, size))
    }

    #[inline]
    fn of_code(domain: DomainId, code: u64) -> Self {
        let hash = mix64(code ^ u64::from(domain.0).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self { domain, code, hash }
    }

    /// Of the 4 KiB page of `iova`, whose hash is known.
    #[inline]
    #[must_use]
    pub fn of_page(domain: DomainId, iova: Iova, hash: u64) -> Self {
        Self { domain, code: leaf_code(iova, LeafSize::Size4K), hash }
    }

    /// The same, of a page that no leaf maps: no leaf has this tag.
    #[inline]
    #[must_use]
    pub fn unmapped(self) -> Self {
        Self { code: self.code | UNMAPPED, ..self }
    }

    /// Whether it stands for anything of `domain`, or of any, from `first` to `last`.
    #[must_use]
    pub fn overlaps(&self, domain: Option<DomainId>, first: Iova, last: Iova) -> bool {
        let code = self.code & !UNMAPPED;
        if code == 0 || domain.is_some_and(|domain| domain != self.domain) {
            return false;
        }
        let (base, end) = self.range();
        base <= last && first <= end
    }

    /// Whether both stand for the same.
    #[inline]
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.code == other.code && self.domain == other.domain
    }

    /// Its domain.
    #[inline]
    #[must_use]
    pub fn domain(&self) -> DomainId {
        self.domain
    }

    /// The hash of both.
    #[inline]
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Domain and leaf code; those of its 4 KiB page where no leaf maps it.
    #[must_use]
    pub fn key(&self) -> (DomainId, u64) {
        (self.domain, self.code & !UNMAPPED)
    }

    /// The same, where a page without a leaf is told from the leaf of that page.
    #[must_use]
    pub fn key_of_walk(&self) -> (DomainId, u64) {
        (self.domain, self.code)
    }

    /// The first and the last byte of what it stands for.
    #[must_use]
    pub fn range(&self) -> (Iova, Iova) {
        let code = self.code & !UNMAPPED;
        let base = base_of_code(code);
        (base, Iova(base.0 + (size_of_code(code).bytes() - 1)))
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
        // Wide sets are found by their table alone.
        let words_per_set = if wide.is_some() { 0 } else { ways.div_ceil(LANES_PER_WORD) };
        let mut set = vec![0; words_per_set as usize];
        if let Some(last_word) = set.last_mut() {
            for way in ways..words_per_set * LANES_PER_WORD {
                *last_word |= NO_WAY << (LANE_BITS * (way % LANES_PER_WORD));
            }
        }
        Self {
            fingerprints: set.repeat(sets as usize),
            words_per_set,
            entries: vec![Entry::default(); spec.entries as usize],
            policy: P::new(sets, ways, seed),
            sets,
            ways,
            index: match spec.index {
                IotlbIndex::Iova => Index::Iova,
                IotlbIndex::Hash => Index::Hash,
            },
            valid: [0; 3],
            wide,
            sets_divided: 0,
            parts: None,
            counters: IotlbCounters::default(),
            dropped: None,
        }
    }

    /// Notes from now on what invalidations drop.
    pub fn note_dropped(&mut self) {
        self.dropped = Some(Vec::new());
    }

    /// What was dropped since the last call, by domain and leaf code.
    pub fn take_dropped(&mut self) -> impl Iterator<Item = (DomainId, u64)> + '_ {
        self.dropped.iter_mut().flat_map(|dropped| dropped.drain(..))
    }

    /// Whether exactly this leaf is cached.
    #[must_use]
    pub fn holds(&self, tag: &Tag) -> bool {
        let set = self.set(tag.domain, tag.hash, base_of_code(tag.code), size_of_code(tag.code));
        self.find_in(set, tag).is_some()
    }

    /// The same, divided among classes of tenants as these parts say; none for an IOTLB that is free for all.
    #[must_use]
    pub fn divided(spec: &IotlbSpec, seed: u64, parts: &[Part]) -> Self {
        let mut iotlb = Self::new(spec, seed);
        if parts.is_empty() {
            return iotlb;
        }
        let divided = IotlbParts::new(spec.sharing, parts);
        if spec.sharing == IotlbSharing::Sets {
            iotlb.sets_divided = 1;
            iotlb.index = match spec.index {
                IotlbIndex::Iova => Index::IovaOfClass,
                IotlbIndex::Hash => Index::HashOfClass,
            };
        }
        if let Some(wide) = &mut iotlb.wide
            && spec.sharing == IotlbSharing::Ways
        {
            let of_set =
                parts.iter().map(|part| (part.first..part.first + part.count).map(Reverse).collect());
            let of_set: Vec<_> = of_set.collect();
            wide.free = (0..iotlb.sets).flat_map(|_| of_set.clone()).collect();
        }
        iotlb.parts = Some(Box::new(divided));
        iotlb
    }

    /// The domain belongs to a class of tenants from now on; before anything of it is cached.
    pub fn assign(&mut self, domain: DomainId, class: u32) {
        if let Some(parts) = &mut self.parts {
            parts.classes.assign(domain, class);
        }
    }

    /// Forgets what was counted so far.
    pub fn start_counting(&mut self) {
        self.counters = IotlbCounters::default();
    }

    /// What was counted since the start, or since [`Self::start_counting`].
    #[must_use]
    pub fn counters(&self) -> IotlbCounters {
        self.counters
    }

    /// Valid entries.
    #[must_use]
    pub fn valid_entries(&self) -> u32 {
        self.valid.iter().sum()
    }

    /// The set of a leaf of this size.
    #[inline]
    fn set(&self, domain: DomainId, hash: u64, iova: Iova, size: LeafSize) -> u32 {
        match self.index {
            Index::Hash => reduce(hash, self.sets),
            Index::Iova => (iova.0 >> size.shift()) as u32 & (self.sets - 1),
            Index::HashOfClass | Index::IovaOfClass => self.set_of_class(domain, hash, iova, size),
        }
    }

    #[cold]
    #[inline(never)]
    fn set_of_class(&self, domain: DomainId, hash: u64, iova: Iova, size: LeafSize) -> u32 {
        let parts = self.parts.as_ref().expect("sets are divided");
        let Part { first, count } = parts.parts[parts.classes.of(domain)];
        first
            + match self.index {
                Index::Hash | Index::HashOfClass => reduce(hash, count),
                Index::Iova | Index::IovaOfClass => (iova.0 >> size.shift()) as u32 & (count - 1),
            }
    }

    /// The set of the 4 KiB page of `iova`, whose hash this is, where classes have no sets of their own: for
    /// look-ups while [`Self::holds_pages_only`].
    #[inline]
    #[must_use]
    pub fn set_of_page(&self, hash: u64, iova: Iova) -> u32 {
        match self.index {
            Index::Iova => (iova.0 >> LeafSize::Size4K.shift()) as u32 & (self.sets - 1),
            _ => reduce(hash, self.sets),
        }
    }

    /// Set and way of exactly this leaf.
    fn find(&self, domain: DomainId, iova: Iova, size: LeafSize) -> Option<(u32, u32)> {
        let tag = Tag::new(domain, iova, size);
        let set = match self.index {
            Index::Hash => reduce(tag.hash, self.sets),
            Index::Iova => (iova.0 >> size.shift()) as u32 & (self.sets - 1),
            // The last thing it does: a call in between would make every look-up save registers.
            Index::HashOfClass | Index::IovaOfClass => return self.find_of_class(&tag, iova, size),
        };
        self.find_in(set, &tag).map(|way| (set, way))
    }

    #[cold]
    #[inline(never)]
    fn find_of_class(&self, tag: &Tag, iova: Iova, size: LeafSize) -> Option<(u32, u32)> {
        let set = self.set_of_class(tag.domain, tag.hash, iova, size);
        self.find_in(set, tag).map(|way| (set, way))
    }

    /// The words of a set.
    #[inline(always)]
    fn words(&self, set: u32) -> &[u64] {
        let first = (set * self.words_per_set) as usize;
        &self.fingerprints[first..first + self.words_per_set as usize]
    }

    /// The way of exactly this leaf in its set.
    #[inline(always)]
    #[must_use]
    pub fn find_in(&self, set: u32, tag: &Tag) -> Option<u32> {
        let first_slot = set * self.ways;
        // Most sets have one word; a loop over one costs as much again as what it does.
        if self.words_per_set == 1 {
            let slot = self.find_in_word(self.fingerprints[set as usize], first_slot, tag)?;
            return Some(slot - first_slot);
        }
        self.find_in_words(set, tag)
    }

    #[inline(never)]
    fn find_in_words(&self, set: u32, tag: &Tag) -> Option<u32> {
        if self.wide.is_some() {
            return self.find_wide(tag);
        }
        let first_slot = set * self.ways;
        let slots = (first_slot..).step_by(LANES_PER_WORD as usize);
        let found =
            self.words(set).iter().zip(slots).find_map(|(word, at)| self.find_in_word(*word, at, tag));
        found.map(|slot| slot - first_slot)
    }

    /// The slot of exactly this leaf among those of a word, the first of which is given.
    #[inline(always)]
    fn find_in_word(&self, word: u64, first_slot: u32, tag: &Tag) -> Option<u32> {
        let mut equal = zero_lanes(word ^ (LANES * fingerprint(tag.hash)));
        while equal != 0 {
            let slot = first_slot + equal.trailing_zeros() / LANE_BITS;
            if self.entries[slot as usize].is(tag) {
                return Some(slot);
            }
            equal &= equal - 1;
        }
        None
    }

    #[inline(never)]
    fn find_wide(&self, tag: &Tag) -> Option<u32> {
        let same = |slot: &u32| self.entries[*slot as usize].is(tag);
        let slot = self.wide.as_ref()?.slots.find(tag.hash, same)?;
        Some(slot % self.ways)
    }

    /// Writes the fingerprint of a way; 0 makes it invalid.
    #[inline]
    fn set_fingerprint(&mut self, set: u32, way: u32, fingerprint: u64) {
        if self.wide.is_none() {
            let shift = LANE_BITS * (way % LANES_PER_WORD);
            let word = &mut self.fingerprints[(set * self.words_per_set + way / LANES_PER_WORD) as usize];
            *word = *word & !(0xFF << shift) | fingerprint << shift;
        }
    }

    #[inline]
    fn leaf(&self, slot: u32, iova: Iova, size: LeafSize) -> Leaf {
        self.entries[slot as usize].target.leaf(iova, size)
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

    /// Whether every cached leaf is a 4 KiB page, so that [`Self::find_in`] finds what serves an address in its
    /// [`Self::set_of_page`].
    #[inline]
    #[must_use]
    pub fn holds_pages_only(&self) -> bool {
        self.valid[1] | self.valid[2] | self.sets_divided == 0
    }

    /// The 4 KiB page of `iova` in this set and way; a hit for the replacement policy.
    #[inline(always)]
    pub fn hit_page(&mut self, set: u32, way: u32, iova: Iova) -> Leaf {
        self.policy.on_hit(set, way);
        self.leaf(set * self.ways + way, iova, LeafSize::Size4K)
    }

    /// Asks for the cache lines of a set that say where its entries are.
    #[inline]
    pub fn prefetch_set(&self, set: u32) {
        prefetch(self.fingerprints.as_ptr().wrapping_add((set * self.words_per_set) as usize));
        self.policy.prefetch(set);
    }

    /// Asks for the entry that a look-up will read first, as it seems from what the set holds now.
    #[inline]
    pub fn prefetch_entry(&self, set: u32, hash: u64) {
        let Some(word) = self.fingerprints.get((set * self.words_per_set) as usize) else { return };
        let way = zero_lanes(word ^ (LANES * fingerprint(hash))).trailing_zeros() / LANE_BITS;
        prefetch(self.entries.as_ptr().wrapping_add((set * self.ways + way) as usize));
    }

    /// Caches a leaf that is not cached.
    pub fn fill(&mut self, domain: DomainId, leaf: &Leaf) {
        self.fill_tag(&Tag::new(domain, leaf.base, leaf.size), Target::new(leaf));
    }

    /// Caches a leaf that is not cached, by its tag, in the lowest invalid way, or in that of the policy's victim;
    /// where classes share the IOTLB in parts, among the ways that its class may use. Where a class's quota is used
    /// up and the set holds none of its entries, nothing is cached.
    pub fn fill_tag(&mut self, tag: &Tag, target: Target) {
        if P::CACHES {
            self.fill_noting(tag, target, |_| {});
        }
    }

    /// The same; says what came of it.
    pub fn fill_over(&mut self, tag: &Tag, target: Target) -> Filled {
        let mut filled = Filled::Nowhere;
        if !P::CACHES {
            return filled;
        }
        self.fill_noting(tag, target, |before| {
            filled = if before.code == 0 { Filled::Free } else { Filled::Over((before.domain, before.code)) };
        });
        filled
    }

    /// The same; `note` sees what is in the way until then: an entry without a code where it is free.
    #[inline(always)]
    fn fill_noting(&mut self, tag: &Tag, target: Target, note: impl FnOnce(&Entry)) {
        let size = size_of_code(tag.code);
        let set = self.set(tag.domain, tag.hash, base_of_code(tag.code), size);
        debug_assert!(self.find_in(set, tag).is_none(), "one entry a leaf");
        let way = if self.parts.is_none() {
            self.make_room(set)
        } else {
            match self.make_room_for(tag.domain, set) {
                Some(way) => way,
                None => return,
            }
        };
        let slot = set * self.ways + way;
        note(&self.entries[slot as usize]);
        self.entries[slot as usize] = Entry { code: tag.code, target, domain: tag.domain };
        self.valid[size as usize] += 1;
        if self.wide.is_some() {
            self.note_wide(slot, tag.hash);
        } else {
            self.set_fingerprint(set, way, fingerprint(tag.hash));
        }
    }

    /// The way of a set for a new entry, which is free for all.
    #[inline(always)]
    fn make_room(&mut self, set: u32) -> u32 {
        // Once every way is in use there is no free one to look for.
        let full = self.valid_entries() as usize == self.entries.len();
        let free = if full { None } else { self.free_way(set) };
        match free {
            Some(way) => {
                self.policy.on_fill(set, way);
                way
            }
            None => {
                let way = self.policy.replace(set);
                self.counters.evictions += 1;
                self.forget(set * self.ways + way);
                way
            }
        }
    }

    /// The way of a set for a new entry of a domain, among those that its class may use, if there is one.
    #[inline(never)]
    fn make_room_for(&mut self, domain: DomainId, set: u32) -> Option<u32> {
        let first_slot = (set * self.ways) as usize;
        let parts = self.parts.as_deref()?;
        let class = parts.classes.of(domain);
        let Part { first, count } = parts.parts[class];
        let by_ways = parts.by == IotlbSharing::Ways;
        let at_quota = parts.by == IotlbSharing::Quota && parts.held[class] == count;
        let way = match (by_ways, at_quota) {
            (_, true) => None,
            (true, _) => self.free_way_among(set, class, first..first + count),
            (false, _) => self.free_way(set),
        };
        let way = match way {
            Some(way) => way,
            None => {
                let Self { policy, entries, parts, ways, .. } = self;
                let parts = parts.as_deref()?;
                let own = |way: u32| parts.classes.of(entries[first_slot + way as usize].domain) == class;
                let way = if by_ways {
                    policy.victim_among(set, *ways, |way| (first..first + count).contains(&way))
                } else if at_quota {
                    let valid = |way: u32| entries[first_slot + way as usize].code != 0;
                    policy.victim_among(set, *ways, |way| valid(way) && own(way))
                } else {
                    Some(policy.victim(set))
                }?;
                self.counters.evictions += 1;
                self.forget(set * self.ways + way);
                way
            }
        };
        self.policy.on_fill(set, way);
        self.parts.as_mut()?.held[class] += 1;
        Some(way)
    }

    /// The lowest invalid way of the set among these, which are a class's own.
    fn free_way_among(&mut self, set: u32, class: usize, ways: core::ops::Range<u32>) -> Option<u32> {
        let classes = self.parts.as_ref()?.parts.len();
        if let Some(wide) = &mut self.wide {
            return wide.free[set as usize * classes + class].pop().map(|Reverse(way)| way);
        }
        let first_slot = set * self.ways;
        ways.into_iter().find(|way| self.entries[(first_slot + way) as usize].code == 0)
    }

    #[inline(never)]
    fn note_wide(&mut self, slot: u32, hash: u64) {
        let Some(wide) = &mut self.wide else { return };
        let entries = &self.entries;
        wide.slots.insert_unique(hash, slot, |slot| entry_hash(&entries[*slot as usize]));
    }

    /// The lowest invalid way of the set, which is no longer free for others.
    #[inline]
    fn free_way(&mut self, set: u32) -> Option<u32> {
        if let Some(wide) = &mut self.wide {
            return wide.free[set as usize].pop().map(|Reverse(way)| way);
        }
        let first_ways = (0..).step_by(LANES_PER_WORD as usize);
        self.words(set).iter().zip(first_ways).find_map(|(word, first_way)| {
            let free = zero_lanes(*word);
            (free != 0).then(|| first_way + free.trailing_zeros() / LANE_BITS)
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
        if self.wide.is_some() {
            self.forget_wide(slot);
        }
        if self.parts.is_some() {
            self.forget_held(slot);
        }
    }

    /// The class of an entry that goes holds one less.
    #[cold]
    #[inline(never)]
    fn forget_held(&mut self, slot: u32) {
        let Some(parts) = &mut self.parts else { return };
        let class = parts.classes.of(self.entries[slot as usize].domain);
        parts.held[class] -= 1;
    }

    #[inline(never)]
    fn forget_wide(&mut self, slot: u32) {
        let Some(wide) = &mut self.wide else { return };
        match wide.slots.find_entry(entry_hash(&self.entries[slot as usize]), |there| *there == slot) {
            Ok(found) => {
                found.remove();
            }
            Err(_) => unreachable!("a valid slot is in the table"),
        }
    }

    fn invalidate_slot(&mut self, slot: u32) {
        let (set, way) = (slot / self.ways, slot % self.ways);
        self.forget(slot);
        let Entry { domain, code, .. } = core::mem::take(&mut self.entries[slot as usize]);
        self.dropped.iter_mut().for_each(|dropped| dropped.push((domain, code)));
        self.set_fingerprint(set, way, 0);
        self.counters.invalidated += 1;
        if let Some(wide) = &mut self.wide {
            let (classes, of_way) = match self.parts.as_deref() {
                Some(parts) if parts.by == IotlbSharing::Ways => (parts.parts.len(), parts.part_of_way(way)),
                _ => (1, 0),
            };
            wide.free[set as usize * classes + of_way].push(Reverse(way));
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
                    entry.domain == domain
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
        self.invalidate_where(|entry| entry.domain == domain);
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
    Tag::of_code(entry.domain, entry.code).hash
}
