//! Walk caches: one a level of the page table above the last, each a set-associative cache of the
//! entries that walks read there, tagged (domain ID, the part of the address above what an entry covers).
//!
//! Invariants: a walk looks them up once, when its miss is taken up, the deepest first, up to the first
//! that serves it; an entry is there from the moment at which its walk has read it; until then whoever
//! needs it waits for it; a walk that faults fills nothing.

use bevy_ecs::component::Component;

use super::iotlb::{Tag, Target};
use super::replacement::{AnyIotlb, with_iotlb};
use super::spec::IommuSpec;
use super::walkers::TagCounts;
use crate::domain::LeafSize;
use crate::hash::mix64;
use crate::ids::{DomainId, Iova};
use crate::ring::OrderedRing;
use crate::units::Picoseconds;

/// Levels that can have a walk cache: 2 to 5.
pub const WALK_CACHE_LEVELS: usize = 4;

/// What the walk caches counted, by level, the deepest (2) first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkCacheCounters {
    /// Walks that went on from an entry, whether it was there or still to be read.
    pub hits: [u64; WALK_CACHE_LEVELS],
    /// Walks that looked for an entry in vain.
    pub misses: [u64; WALK_CACHE_LEVELS],
}

/// An entry that a walk can go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkCacheHit {
    /// Its level: what is below is still to be read.
    pub level: u8,
    /// When it is there.
    pub ready: Picoseconds,
}

/// An entry that a walk under way will have read.
#[derive(Clone, Copy, Debug, Default)]
struct PendingFill {
    at: Picoseconds,
    tag: Tag,
    domain: DomainId,
    region: Iova,
}

/// The cache of one level, over regions that lie as pages do: a region's number, times 4 KiB, is its address.
struct LevelCache {
    level: u8,
    cached: AnyIotlb,
    /// Fills to come in the order of their times; ties as their walks were admitted.
    pending: OrderedRing<PendingFill>,
    tags: TagCounts,
}

impl LevelCache {
    /// The region of an address.
    fn region(&self, iova: Iova) -> Iova {
        Iova(iova.0 >> (12 + 9 * (self.level - 1)) << 12)
    }

    /// Fills what was read at or before `now`: fills come before look-ups of the same instant.
    fn settle(&mut self, now: Picoseconds) {
        while let Some(fill) = self.pending.first().copied().filter(|fill| fill.at <= now) {
            self.pending.take_first();
            self.tags.remove(&fill.tag);
            with_iotlb!(&mut self.cached, |cached| cached.fill_tag(&fill.tag, Target::default()));
        }
    }

    /// When the entry for this address is there, if it is or will be.
    fn look_up(&mut self, now: Picoseconds, domain: DomainId, iova: Iova) -> Option<Picoseconds> {
        self.settle(now);
        let region = self.region(iova);
        if with_iotlb!(&mut self.cached, |cached| cached.lookup(domain, region)).is_some() {
            return Some(now);
        }
        let tag = Tag::new(domain, region, LeafSize::Size4K);
        if !self.tags.may_hold(&tag) {
            return None;
        }
        self.pending.iter().find(|fill| fill.tag.is(&tag)).map(|fill| fill.at)
    }

    fn note_fill(&mut self, at: Picoseconds, domain: DomainId, iova: Iova) {
        let region = self.region(iova);
        let tag = Tag::new(domain, region, LeafSize::Size4K);
        self.tags.add(&tag);
        self.pending.insert(PendingFill { at, tag, domain, region }, |fill| fill.at);
    }

    /// Fills to come that these are of will not.
    fn forget_pending(&mut self, is_of: impl Fn(&PendingFill) -> bool) {
        for fill in self.pending.iter().filter(|fill| is_of(fill)) {
            self.tags.remove(&fill.tag);
        }
        self.pending.retain(|fill| !is_of(fill));
    }
}

/// The walk caches of an IOMMU.
#[derive(Component)]
pub struct WalkCaches {
    /// Those that there are, the deepest first.
    caches: Vec<LevelCache>,
    counters: WalkCacheCounters,
}

impl WalkCaches {
    /// Empty caches of a valid specification; `seed` is that of the IOMMU.
    #[must_use]
    pub fn new(spec: &IommuSpec, seed: u64) -> Self {
        let caches = spec.walk_caches.levels().into_iter().filter(|(_, cache)| cache.is_on());
        let caches = caches.map(|(level, cache)| LevelCache {
            level,
            cached: AnyIotlb::new(&cache.of_pages(), mix64(seed ^ u64::from(level))),
            pending: OrderedRing::new(spec.walkers.count as usize),
            tags: TagCounts::default(),
        });
        Self { caches: caches.collect(), counters: WalkCacheCounters::default() }
    }

    /// Forgets what was counted: the warm-up is over.
    pub fn start_counting(&mut self) {
        self.counters = WalkCacheCounters::default();
    }

    /// What was counted since the warm-up.
    #[must_use]
    pub fn counters(&self) -> WalkCacheCounters {
        self.counters
    }

    /// The deepest entry that a walk can go on from, for a miss at `now`; look-ups do not go back in time.
    pub fn look_up(&mut self, now: Picoseconds, domain: DomainId, iova: Iova) -> Option<WalkCacheHit> {
        for cache in &mut self.caches {
            let place = usize::from(cache.level - 2);
            if let Some(ready) = cache.look_up(now, domain, iova) {
                self.counters.hits[place] += 1;
                return Some(WalkCacheHit { level: cache.level, ready });
            }
            self.counters.misses[place] += 1;
        }
        None
    }

    /// A walk will have read the entry of this level for `iova` at `at`. Its look-up did not find it.
    pub fn note_fill(&mut self, level: u8, at: Picoseconds, domain: DomainId, iova: Iova) {
        if let Some(cache) = self.caches.iter_mut().find(|cache| cache.level == level) {
            cache.note_fill(at, domain, iova);
        }
    }

    /// Drops at `now` every entry of the domain that covers any of the bytes from `first` to `last`: what an
    /// invalidation of these pages does that is not of leaves only. Walks under way fill none of them any more;
    /// a walk that waits for one goes on from what it will have read.
    pub fn invalidate_range(&mut self, now: Picoseconds, domain: DomainId, first: Iova, last: Iova) {
        for cache in &mut self.caches {
            cache.settle(now);
            let (from, to) = (cache.region(first), cache.region(last));
            cache.forget_pending(|fill| fill.domain == domain && (from..=to).contains(&fill.region));
            with_iotlb!(&mut cache.cached, |cached| cached.invalidate_range(domain, from, to));
        }
    }

    /// Drops at `now` every entry of the domain; walks under way fill none for it any more.
    pub fn invalidate_domain(&mut self, now: Picoseconds, domain: DomainId) {
        for cache in &mut self.caches {
            cache.settle(now);
            cache.forget_pending(|fill| fill.domain == domain);
            with_iotlb!(&mut cache.cached, |cached| cached.invalidate_domain(domain));
        }
    }

    /// Drops every entry at `now`; walks under way fill none any more.
    pub fn invalidate_all(&mut self, now: Picoseconds) {
        for cache in &mut self.caches {
            cache.settle(now);
            cache.forget_pending(|_| true);
            with_iotlb!(&mut cache.cached, |cached| cached.invalidate_all());
        }
    }

    /// Valid entries of all caches.
    #[must_use]
    pub fn valid_entries(&self) -> u32 {
        self.caches.iter().map(|cache| with_iotlb!(&cache.cached, |cached| cached.valid_entries())).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::translation::{WalkCacheSpec, WalkCachesSpec};

    fn spec(entries: [u32; WALK_CACHE_LEVELS]) -> IommuSpec {
        let [l2, l3, l4, l5] = entries.map(|entries| WalkCacheSpec { entries, ..WalkCacheSpec::default() });
        IommuSpec {
            page_table_levels: 5,
            walk_caches: WalkCachesSpec { l2, l3, l4, l5 },
            ..IommuSpec::default()
        }
    }

    /// What an entry of each level covers, in bytes, the deepest first.
    const COVERED: [u64; WALK_CACHE_LEVELS] = [2 << 20, 1 << 30, 512 << 30, 256 << 40];

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// A look-up; the walk reads the entries of all levels below what served it, one each so many later.
        Miss {
            domain: u32,
            at: u64,
            each: u64,
        },
        Range {
            domain: u32,
            first: u64,
            bytes: u64,
        },
        Domain {
            domain: u32,
        },
        All,
    }

    /// Addresses around the ends of what entries cover.
    fn address() -> impl Strategy<Value = u64> {
        let end = (0..WALK_CACHE_LEVELS, 1_u64..3).prop_map(|(place, number)| COVERED[place] * number);
        (end, -2_i64..2).prop_map(|(end, pages)| end.saturating_add_signed(pages * 4_096))
    }

    fn step() -> impl Strategy<Value = Step> {
        let domain = 1_u32..4;
        prop_oneof![
            20 => (domain.clone(), address(), 1_u64..30)
                .prop_map(|(domain, at, each)| Step::Miss { domain, at, each }),
            4 => (domain.clone(), address(), prop_oneof![Just(1_u64), 1_u64..(1 << 31)])
                .prop_map(|(domain, first, bytes)| Step::Range { domain, first, bytes }),
            1 => domain.prop_map(|domain| Step::Domain { domain }),
            1 => Just(Step::All),
        ]
    }

    proptest! {
        /// Caches in which everything fits know what a plain list of (place of the level, domain, number of
        /// what is covered, since when) knows.
        #[test]
        fn caches_are_a_list(
            on in prop::collection::vec(any::<bool>(), WALK_CACHE_LEVELS),
            steps in prop::collection::vec((0_u64..40, step()), 1..200),
        ) {
            let entries = core::array::from_fn(|place| if on[place] { 1_024 } else { 0 });
            let mut caches = WalkCaches::new(&spec(entries), 1);
            let mut list: Vec<(usize, u32, u64, u64)> = Vec::new();
            let mut now = 0;
            for (pause, step) in steps {
                now += pause;
                match step {
                    Step::Miss { domain, at, each } => {
                        let found = (0..WALK_CACHE_LEVELS).find_map(|place| {
                            let entry = list.iter().find(|(there, of, number, _)| {
                                (*there, *of, *number) == (place, domain, at / COVERED[place])
                            });
                            entry.map(|(_, _, _, since)| (place, now.max(*since)))
                        });
                        let hit = caches.look_up(Picoseconds(now), DomainId(domain), Iova(at));
                        let expected = found.map(|(place, ready)| WalkCacheHit {
                            level: place as u8 + 2,
                            ready: Picoseconds(ready),
                        });
                        prop_assert_eq!(hit, expected);
                        let (above, mut clock) = found.unwrap_or((WALK_CACHE_LEVELS, now));
                        for place in (0..above).rev() {
                            clock += each;
                            caches.note_fill(place as u8 + 2, Picoseconds(clock), DomainId(domain), Iova(at));
                            if on[place] {
                                list.push((place, domain, at / COVERED[place], clock));
                            }
                        }
                    }
                    Step::Range { domain, first, bytes } => {
                        let last = first + (bytes - 1);
                        caches.invalidate_range(Picoseconds(now), DomainId(domain), Iova(first), Iova(last));
                        list.retain(|(place, of, number, _)| {
                            let begins = number * COVERED[*place];
                            *of != domain || begins > last || begins + (COVERED[*place] - 1) < first
                        });
                    }
                    Step::Domain { domain } => {
                        caches.invalidate_domain(Picoseconds(now), DomainId(domain));
                        list.retain(|(_, of, _, _)| *of != domain);
                    }
                    Step::All => {
                        caches.invalidate_all(Picoseconds(now));
                        list.clear();
                    }
                }
            }
        }
    }

    #[test]
    fn an_entry_replaces_the_policys_victim() {
        let mut caches = WalkCaches::new(&spec([1, 0, 0, 0]), 1);
        let [first, second] = [Iova(0), Iova(COVERED[0])];
        let finds = |caches: &mut WalkCaches, now: u64, at: Iova| {
            caches.look_up(Picoseconds(now), DomainId(1), at).is_some()
        };
        assert!(!finds(&mut caches, 0, first));
        caches.note_fill(2, Picoseconds(5), DomainId(1), first);
        assert!(finds(&mut caches, 6, first) && !finds(&mut caches, 6, second));
        caches.note_fill(2, Picoseconds(9), DomainId(1), second);
        assert!(finds(&mut caches, 8, first), "it is replaced when the other is read, not before");
        assert!(!finds(&mut caches, 9, first));
        assert_eq!(caches.valid_entries(), 1);
        assert_eq!(caches.counters().hits, [2, 0, 0, 0]);
        assert_eq!(caches.counters().misses, [3, 0, 0, 0]);
    }
}
