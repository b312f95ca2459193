//! The walkers of an IOMMU: a pool of servers behind a bounded FIFO queue, and the walks under way
//! that later misses join.

use bevy_ecs::component::Component;

use super::spec::{IommuSpec, WalkersSpec};
use crate::domain::{Leaf, LeafSize};
use crate::fifo::Fifo;
use crate::ids::DomainId;
use crate::units::Picoseconds;

/// What a walk is for: the domain, and the code of the leaf (or of the 4 KiB page that no leaf maps).
pub type WalkKey = (DomainId, u64);

/// A walk that waits or is under way.
#[derive(Clone, Copy, Debug)]
pub struct PendingWalk {
    /// When it ends.
    pub end: Picoseconds,
    /// What it is for.
    pub key: WalkKey,
    /// What it will fill into the IOTLB; nothing where the DMA that started it faults.
    pub fills: Option<Leaf>,
}

/// What the walkers counted.
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
    free_at: Fifo<Picoseconds>,
    /// Starts of the last walks, as many as the queue has entries; not decreasing.
    starts: Fifo<Picoseconds>,
    queue_entries: usize,
    /// Pending walks in the order of their ends; ties as admitted.
    pending: Fifo<PendingWalk>,
    /// How many pending walks have a key of each hash: mostly none, and then none needs to be looked for.
    keys: [u32; KEY_HASHES],
    counters: WalkerCounters,
}

impl Walkers {
    /// Idle walkers.
    #[must_use]
    pub fn new(spec: &WalkersSpec) -> Self {
        let mut free_at = Fifo::default();
        (0..spec.count).for_each(|_| free_at.push(Picoseconds::ZERO));
        Self {
            free_at,
            starts: Fifo::default(),
            queue_entries: spec.queue_entries as usize,
            pending: Fifo::default(),
            keys: [0; KEY_HASHES],
            counters: WalkerCounters::default(),
        }
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> WalkerCounters {
        self.counters
    }

    /// Walks that wait or are under way.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.waiting().len()
    }

    /// When the next pending walk ends.
    #[inline]
    #[must_use]
    pub fn next_end(&self) -> Picoseconds {
        self.pending.waiting().first().map_or(Picoseconds::MAX, |walk| walk.end)
    }

    /// The next walk to end at or before `now`, which is no longer pending.
    #[inline]
    pub fn pop_ended(&mut self, now: Picoseconds) -> Option<PendingWalk> {
        let walk = *self.pending.waiting().first()?;
        if walk.end > now {
            return None;
        }
        self.pending.take_first();
        self.keys[key_hash(&walk.key)] -= 1;
        Some(walk)
    }

    /// The end of the walk for `key`, if one waits or is under way.
    #[inline]
    #[must_use]
    pub fn under_way(&self, key: &WalkKey) -> Option<Picoseconds> {
        if self.keys[key_hash(key)] == 0 {
            return None;
        }
        self.pending.waiting().iter().find(|walk| walk.key == *key).map(|walk| walk.end)
    }

    /// When a look-up at `now` can put a walk into the queue: `now`, or when an entry becomes free.
    #[inline]
    pub fn admission(&mut self, now: Picoseconds) -> Picoseconds {
        let starts = self.starts.waiting();
        if starts.len() < self.queue_entries {
            return now;
        }
        let vacated = starts[0];
        if vacated <= now {
            return now;
        }
        self.counters.stalls += 1;
        self.counters.stall_ps += (vacated - now).0;
        vacated
    }

    /// Puts a walk of length `cost` into the queue at `now`, an admission time, and returns its end.
    pub fn start(
        &mut self,
        now: Picoseconds,
        key: WalkKey,
        fills: Option<Leaf>,
        cost: Picoseconds,
    ) -> Picoseconds {
        let start = now.max(self.free_at.waiting()[0]);
        let end = start + cost;
        self.free_at.take_first();
        self.free_at.insert_in_order(end, |at| *at);
        if self.starts.waiting().len() == self.queue_entries {
            self.starts.take_first();
        }
        self.starts.push(start);
        self.pending.insert_in_order(PendingWalk { end, key, fills }, |walk| walk.end);
        self.keys[key_hash(&key)] += 1;
        self.counters.walks += 1;
        self.counters.faulted += u64::from(fills.is_none());
        self.counters.busy_ps += cost.0;
        self.counters.wait_ps += (start - now).0;
        end
    }
}

/// Hashes that keys of walks are counted by.
const KEY_HASHES: usize = 1_024;

#[inline]
fn key_hash(key: &WalkKey) -> usize {
    let mixed = (key.1 ^ u64::from(key.0.0) << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 54) as usize
}
