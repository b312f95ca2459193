//! The walkers of an IOMMU: a pool of servers behind a bounded FIFO queue, and the walks under way
//! that later misses join.

use bevy_ecs::component::Component;

use super::iotlb::{Tag, Target};
use super::ring::OrderedRing;
use super::spec::{IommuSpec, WalkersSpec};
use crate::domain::LeafSize;
use crate::units::Picoseconds;

/// A walk that waits or is under way.
#[derive(Clone, Copy, Debug, Default)]
pub struct PendingWalk {
    /// When it ends.
    pub end: Picoseconds,
    /// What it is for: the leaf, or the 4 KiB page that no leaf maps.
    pub tag: Tag,
    /// What it will fill into the IOTLB; nothing where the DMA that started it faults.
    pub fills: Option<Target>,
}

/// What the walkers counted since the warm-up. A walk counts if it entered the queue since then, its wait with
/// it; times of walkers and look-ups count from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkerCounters {
    /// Walks started.
    pub walks: u64,
    /// Walks that ended in a fault.
    pub faulted: u64,
    /// Time all walkers were busy, summed.
    pub busy_ps: u64,
    /// Time walks waited for a walker, summed.
    pub wait_ps: u64,
    /// Look-ups that found the queue full.
    pub stalls: u64,
    /// Time look-ups were stalled by a full queue, summed.
    pub stall_ps: u64,
}

/// How long a walk takes, by what it finds.
#[derive(Clone, Copy, Debug)]
pub struct WalkCosts {
    by_size: [Picoseconds; 3],
    unmapped: Picoseconds,
}

impl WalkCosts {
    /// One access a level down to the leaf, or one time for all. A walk that finds nothing costs as
    /// much as one to a 4 KiB leaf.
    #[must_use]
    pub fn new(spec: &IommuSpec) -> Self {
        let levels = f64::from(spec.page_table_levels);
        let walkers = &spec.walkers;
        let memory_ns = walkers.memory_ns.unwrap_or(WalkersSpec::MEMORY_NS_DEFAULT);
        let of_levels = |levels: f64| Picoseconds::from_ns_f64(walkers.walk_ns.unwrap_or(levels * memory_ns));
        Self {
            by_size: [of_levels(levels), of_levels(levels - 1.0), of_levels(levels - 2.0)],
            unmapped: of_levels(levels),
        }
    }

    /// The cost of a walk that finds a leaf of this size, or none.
    #[inline]
    #[must_use]
    pub fn of(&self, found: Option<LeafSize>) -> Picoseconds {
        found.map_or(self.unmapped, |size| self.by_size[size as usize])
    }
}

/// The walkers, their queue and the walks under way.
#[derive(Component)]
pub struct Walkers {
    /// When each walker is free, the first first.
    free_at: OrderedRing<Picoseconds>,
    /// Starts of the last walks, as many as the queue has entries: once it is that long, a ring.
    starts: Vec<Picoseconds>,
    /// Where the earliest of the starts is.
    earliest: usize,
    queue_entries: usize,
    /// Pending walks in the order of their ends; ties as admitted.
    pending: OrderedRing<PendingWalk>,
    /// When the first pending walk ends; [`Picoseconds::MAX`] where there is none.
    next_end: Picoseconds,
    /// How many pending walks have a tag of each hash: mostly none, and then none needs to be looked for.
    tags: [u32; TAG_HASHES],
    /// When the last stall by a full queue ends.
    stalled_until: Picoseconds,
    /// When the warm-up ends, until it has; [`Picoseconds::MAX`] from then on. Its end waits among the pending walks, of no domain and before those that
    /// end at that very time: so it has its place in their order, and looking for it costs nothing.
    warm_up: Picoseconds,
    counters: WalkerCounters,
}

impl Walkers {
    /// Idle walkers, whose counters start at the end of the warm-up.
    #[must_use]
    pub fn new(spec: &WalkersSpec, warm_up: Picoseconds) -> Self {
        let mut free_at = OrderedRing::new(spec.count as usize);
        (0..spec.count).for_each(|_| free_at.insert(Picoseconds::ZERO, |at| *at));
        let mut walkers = Self {
            free_at,
            starts: Vec::new(),
            earliest: 0,
            queue_entries: spec.queue_entries as usize,
            pending: OrderedRing::new(spec.count as usize),
            next_end: Picoseconds::MAX,
            tags: [0; TAG_HASHES],
            stalled_until: Picoseconds::ZERO,
            warm_up: Picoseconds::MAX,
            counters: WalkerCounters::default(),
        };
        if warm_up > Picoseconds::ZERO {
            walkers.warm_up = warm_up;
            let mark = PendingWalk { end: warm_up, ..PendingWalk::default() };
            walkers.pending.insert(mark, |walk| walk.end);
            walkers.next_end = mark.end;
            walkers.tags[tag_hash(&mark.tag)] += 1;
        }
        walkers
    }

    /// Whether what ended at `end`, and fills nothing, was the warm-up.
    #[inline]
    #[must_use]
    pub fn is_end_of_warm_up(&self, end: Picoseconds) -> bool {
        end == self.warm_up
    }

    /// Forgets what was counted in the warm-up; no walk has entered the queue since. A walker that is busy beyond then
    /// is so without a break until it is free, by all the walks that wait for it.
    pub fn end_warm_up(&mut self) {
        let warm_up = core::mem::replace(&mut self.warm_up, Picoseconds::MAX);
        self.counters = WalkerCounters {
            busy_ps: self.free_at.iter().map(|free_at| free_at.saturating_sub(warm_up).0).sum(),
            stall_ps: self.stalled_until.saturating_sub(warm_up).0,
            ..WalkerCounters::default()
        };
    }

    /// What was counted since the warm-up.
    #[must_use]
    pub fn counters(&self) -> WalkerCounters {
        self.counters
    }

    /// Walks that wait or are under way.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len() - usize::from(self.warm_up < Picoseconds::MAX)
    }

    /// When the next pending walk ends.
    #[inline]
    #[must_use]
    pub fn next_end(&self) -> Picoseconds {
        self.next_end
    }

    /// The next walk to end at or before `now`, which is no longer pending.
    #[inline]
    pub fn pop_ended(&mut self, now: Picoseconds) -> Option<PendingWalk> {
        let walk = *self.pending.first()?;
        if walk.end > now {
            return None;
        }
        self.pending.take_first();
        self.next_end = self.pending.first().map_or(Picoseconds::MAX, |walk| walk.end);
        self.tags[tag_hash(&walk.tag)] -= 1;
        Some(walk)
    }

    /// The end of the walk for what this tag stands for, if one waits or is under way.
    #[inline]
    #[must_use]
    pub fn under_way(&self, tag: &Tag) -> Option<Picoseconds> {
        if self.tags[tag_hash(tag)] == 0 {
            return None;
        }
        self.pending.iter().find(|walk| walk.tag.is(tag)).map(|walk| walk.end)
    }

    /// When a look-up at `now` can put a walk into the queue: `now`, or when an entry becomes free.
    #[inline]
    pub fn admission(&mut self, now: Picoseconds) -> Picoseconds {
        if self.starts.len() < self.queue_entries || self.starts[self.earliest] <= now {
            return now;
        }
        let vacated = self.starts[self.earliest];
        self.counters.stalls += 1;
        self.counters.stall_ps += (vacated - now).0;
        self.stalled_until = vacated;
        vacated
    }

    /// Puts a walk of length `cost` into the queue at `now`, an admission time, and returns its end.
    #[inline(always)]
    pub fn start(
        &mut self,
        now: Picoseconds,
        tag: Tag,
        fills: Option<Target>,
        cost: Picoseconds,
    ) -> Picoseconds {
        let start = self.free_at.first().map_or(now, |free_at| now.max(*free_at));
        let end = start + cost;
        self.free_at.take_first();
        self.free_at.insert(end, |at| *at);
        self.note_start(start);
        self.pending.insert(PendingWalk { end, tag, fills }, |walk| walk.end);
        self.next_end = self.next_end.min(end);
        self.tags[tag_hash(&tag)] += 1;
        self.counters.walks += 1;
        self.counters.faulted += u64::from(fills.is_none());
        self.counters.busy_ps += cost.0;
        self.counters.wait_ps += (start - now).0;
        end
    }

    /// Starts do not decrease: the earliest makes room for this one.
    #[inline]
    fn note_start(&mut self, start: Picoseconds) {
        if self.starts.len() < self.queue_entries {
            self.starts.push(start);
            return;
        }
        self.starts[self.earliest] = start;
        self.earliest += 1;
        if self.earliest == self.queue_entries {
            self.earliest = 0;
        }
    }
}

/// Hashes that tags of walks are counted by.
const TAG_HASHES: usize = 1_024;

#[inline]
fn tag_hash(tag: &Tag) -> usize {
    tag.hash() as usize % TAG_HASHES
}
