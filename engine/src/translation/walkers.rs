//! The walkers of an IOMMU: a pool of servers behind a bounded FIFO queue, and the walks under way
//! that later misses join.

use bevy_ecs::component::Component;

use super::iotlb::{Tag, Target};
use super::sharing::{DomainClasses, Part};
use super::spec::WalkersSpec;
use crate::ids::{DomainId, Iova};
use crate::ring::OrderedRing;
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
    /// Memory accesses of all walks.
    pub accesses: u64,
    /// Time all walkers were busy, summed.
    pub busy_ps: u64,
    /// Time walks waited for a walker, summed.
    pub wait_ps: u64,
    /// Look-ups that found the queue full.
    pub stalls: u64,
    /// Time look-ups were stalled by a full queue, summed.
    pub stall_ps: u64,
}

/// Walkers that serve one queue.
#[derive(Clone)]
struct Pool {
    /// When each walker is free, the first first.
    free_at: OrderedRing<Picoseconds>,
    /// Starts of the last walks, as many as the queue has entries: once it is that long, a ring.
    starts: Vec<Picoseconds>,
    /// Where the earliest of the starts is.
    earliest: usize,
    queue_entries: usize,
}

impl Pool {
    /// Idle walkers.
    fn new(walkers: u32, queue_entries: u32) -> Self {
        let mut free_at = OrderedRing::new(walkers as usize);
        (0..walkers).for_each(|_| free_at.insert(Picoseconds::ZERO, |at| *at));
        Self { free_at, starts: Vec::new(), earliest: 0, queue_entries: queue_entries as usize }
    }

    /// When the queue takes another walk, at `now` or later.
    #[inline(always)]
    fn admission(&self, now: Picoseconds) -> Picoseconds {
        if self.starts.len() < self.queue_entries { now } else { now.max(self.starts[self.earliest]) }
    }

    /// A walker is busy from `start` to `end`. Starts do not decrease: the earliest makes room for this one.
    #[inline(always)]
    fn start(&mut self, start: Picoseconds, end: Picoseconds) {
        self.free_at.take_first();
        self.free_at.insert(end, |at| *at);
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

/// Pools of walkers that classes of tenants have for their own.
#[derive(Clone, Default)]
struct ClassPools {
    pools: Vec<Pool>,
    classes: DomainClasses,
}

/// The walkers, their queues and the walks under way.
#[derive(Component)]
pub struct Walkers {
    /// The walkers, where they are free for all.
    pool: Pool,
    /// Those of each class, where they are not.
    of_classes: Option<Box<ClassPools>>,
    /// Pending walks in the order of their ends; ties as admitted.
    pending: OrderedRing<PendingWalk>,
    /// When the first pending walk ends; [`Picoseconds::MAX`] where there is none.
    next_end: Picoseconds,
    tags: TagCounts,
    /// Walks whose time varied, for the numbers that their draws go by.
    numbered: u64,
    /// When the last stall by a full queue ends.
    stalled_until: Picoseconds,
    /// When the warm-up ends, until it has; [`Picoseconds::MAX`] from then on. Its end waits among the pending
    /// walks, of no domain and before those that end at that very time: so it has its place in their order, and
    /// looking for it costs nothing.
    warm_up: Picoseconds,
    counters: WalkerCounters,
}

impl Walkers {
    /// Idle walkers, whose counters start at the end of the warm-up; `parts` are those of each class of tenants,
    /// none where walkers are free for all.
    #[must_use]
    pub fn new(spec: &WalkersSpec, parts: &[Part], warm_up: Picoseconds) -> Self {
        let pools = parts.iter().map(|part| Pool::new(part.count, spec.queue_entries));
        let pools = ClassPools { pools: pools.collect(), classes: DomainClasses::default() };
        let mut walkers = Self {
            pool: Pool::new(spec.count, spec.queue_entries),
            of_classes: (!parts.is_empty()).then(|| Box::new(pools)),
            pending: OrderedRing::new(spec.count as usize),
            next_end: Picoseconds::MAX,
            tags: TagCounts::default(),
            numbered: 0,
            stalled_until: Picoseconds::ZERO,
            warm_up: Picoseconds::MAX,
            counters: WalkerCounters::default(),
        };
        if warm_up > Picoseconds::ZERO {
            walkers.warm_up = warm_up;
            let mark = PendingWalk { end: warm_up, ..PendingWalk::default() };
            walkers.pending.insert(mark, |walk| walk.end);
            walkers.next_end = mark.end;
            walkers.tags.add(&mark.tag);
        }
        walkers
    }

    /// The domain belongs to a class of tenants from now on; before any walk for it.
    pub fn assign(&mut self, domain: DomainId, class: u32) {
        if let Some(of_classes) = &mut self.of_classes {
            of_classes.classes.assign(domain, class);
        }
    }

    /// The walkers that serve a domain.
    #[inline(always)]
    fn pool(&self, domain: DomainId) -> &Pool {
        if self.of_classes.is_none() { &self.pool } else { self.pool_of_class(domain) }
    }

    #[cold]
    #[inline(never)]
    fn pool_of_class(&self, domain: DomainId) -> &Pool {
        let of_classes = self.of_classes.as_ref().expect("walkers are divided");
        &of_classes.pools[of_classes.classes.of(domain)]
    }

    /// See [`Self::pool`].
    #[inline(always)]
    fn pool_mut(&mut self, domain: DomainId) -> &mut Pool {
        if self.of_classes.is_none() { &mut self.pool } else { self.pool_of_class_mut(domain) }
    }

    #[cold]
    #[inline(never)]
    fn pool_of_class_mut(&mut self, domain: DomainId) -> &mut Pool {
        let of_classes = self.of_classes.as_mut().expect("walkers are divided");
        &mut of_classes.pools[of_classes.classes.of(domain)]
    }

    /// When each walker is free.
    fn free_at(&self) -> impl Iterator<Item = &Picoseconds> {
        let of_classes = self.of_classes.iter().flat_map(|of_classes| &of_classes.pools);
        let all = self.of_classes.is_none().then_some(&self.pool);
        all.into_iter().chain(of_classes).flat_map(|pool| pool.free_at.iter())
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
            busy_ps: self.free_at().map(|free_at| free_at.saturating_sub(warm_up).0).sum(),
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
        self.tags.remove(&walk.tag);
        Some(walk)
    }

    /// The end of the walk for what this tag stands for, if one waits or is under way.
    #[inline]
    #[must_use]
    pub fn under_way(&self, tag: &Tag) -> Option<Picoseconds> {
        if !self.tags.may_hold(tag) {
            return None;
        }
        self.pending.iter().find(|walk| walk.tag.is(tag)).map(|walk| walk.end)
    }

    /// Walks of `domain`, or of all, for anything from `first` to `last` fill nothing, and nobody joins them.
    pub fn cancel_fills(&mut self, domain: Option<DomainId>, first: Iova, last: Iova) {
        let tags = &mut self.tags;
        self.pending.for_each_mut(|walk| {
            if !walk.tag.overlaps(domain, first, last) {
                return;
            }
            tags.remove(&walk.tag);
            (walk.tag, walk.fills) = (Tag::default(), None);
            tags.add(&walk.tag);
        });
    }

    /// When a look-up at `now` can put a walk for a domain into the queue: `now`, or when an entry becomes free.
    #[inline]
    pub fn admission(&mut self, now: Picoseconds, domain: DomainId) -> Picoseconds {
        let vacated = self.pool(domain).admission(now);
        if vacated == now {
            return now;
        }
        self.counters.stalls += 1;
        self.counters.stall_ps += (vacated - now).0;
        self.stalled_until = vacated;
        vacated
    }

    /// When a walk for a domain that is put into the queue at `now` starts: walkers serve the queue in order.
    #[inline]
    #[must_use]
    pub fn next_start(&self, now: Picoseconds, domain: DomainId) -> Picoseconds {
        self.pool(domain).free_at.first().map_or(now, |free_at| now.max(*free_at))
    }

    /// The number of the next walk whose time varies.
    pub fn next_number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered - 1
    }

    /// Puts a walk into the queue at `now`, an admission time, that starts at its [`Self::next_start`] and
    /// holds its walker up to its end.
    #[inline(always)]
    pub fn start(&mut self, now: Picoseconds, tag: Tag, fills: Option<Target>, span: WalkSpan) {
        let WalkSpan { start, end, accesses } = span;
        self.pool_mut(tag.domain()).start(start, end);
        self.pending.insert(PendingWalk { end, tag, fills }, |walk| walk.end);
        self.next_end = self.next_end.min(end);
        self.tags.add(&tag);
        self.counters.walks += 1;
        self.counters.faulted += u64::from(fills.is_none());
        self.counters.accesses += u64::from(accesses);
        self.counters.busy_ps += (end - start).0;
        self.counters.wait_ps += (start - now).0;
    }
}

/// How long a walk holds its walker, and what it reads.
#[derive(Clone, Copy, Debug)]
pub struct WalkSpan {
    /// When it starts.
    pub start: Picoseconds,
    /// When it ends.
    pub end: Picoseconds,
    /// Memory accesses.
    pub accesses: u32,
}

/// Hashes that tags are counted by.
const TAG_HASHES: usize = 1_024;

/// How many of some tags have each hash: mostly none, and then none needs to be looked for.
pub struct TagCounts([u32; TAG_HASHES]);

impl Default for TagCounts {
    fn default() -> Self {
        Self([0; TAG_HASHES])
    }
}

impl TagCounts {
    #[inline]
    fn count(&mut self, tag: &Tag) -> &mut u32 {
        &mut self.0[tag.hash() as usize % TAG_HASHES]
    }

    /// Counts one more.
    #[inline]
    pub fn add(&mut self, tag: &Tag) {
        *self.count(tag) += 1;
    }

    /// Counts one less, of those that were added.
    #[inline]
    pub fn remove(&mut self, tag: &Tag) {
        *self.count(tag) -= 1;
    }

    /// Whether this tag may be among them.
    #[inline]
    #[must_use]
    pub fn may_hold(&self, tag: &Tag) -> bool {
        self.0[tag.hash() as usize % TAG_HASHES] > 0
    }
}
