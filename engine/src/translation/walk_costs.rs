//! What walks read, and how long it takes.

use super::latency::Latency;
use super::spec::IommuSpec;
use super::walk_cache::WalkCaches;
use super::walkers::{WalkSpan, Walkers};
use crate::domain::{Leaf, LeafSize};
use crate::ids::{DomainId, Iova};
use crate::units::Picoseconds;

/// What a whole walk costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkCost {
    /// How long it takes.
    pub time: Picoseconds,
    /// Memory accesses.
    pub accesses: u32,
}

/// A miss that starts a walk.
#[derive(Clone, Copy, Debug)]
pub struct Miss {
    /// When its walk is put into the queue.
    pub now: Picoseconds,
    /// Its domain.
    pub domain: DomainId,
    /// Its address.
    pub at: Iova,
    /// The size of the leaf in the page table; `None` where there is none.
    pub size: Option<LeafSize>,
    /// Whether its walk ends in a fault.
    pub faults: bool,
}

/// How walks go. The ordered pass is compiled once for walks that take what their leaves' sizes say, and
/// once for all others, so that the first pay nothing for what the others can do.
pub trait Walks {
    /// The warm-up is over: what is counted starts anew.
    fn start_counting(&mut self);

    /// The walk caches, where walks may go on from them.
    fn caches(&mut self) -> Option<&mut WalkCaches>;

    /// What of a leaf is cached around `at`.
    fn cached_part(&self, leaf: Leaf, at: Iova) -> Leaf;

    /// When the walk of a miss starts and ends, and what it reads.
    fn span(&mut self, walkers: &mut Walkers, miss: &Miss) -> WalkSpan;
}

/// What walks cost.
///
/// With g levels of a guest's table and h of the host's, a walk makes (g + 1)(h + 1) - 1 accesses: the host
/// translates the address of the guest's root in h, then each level of the guest is read in one, and what
/// it holds is translated in h. With one stage h is 0. A walk that finds nothing costs as much as one to a
/// 4 KiB leaf.
#[derive(Clone, Debug)]
pub struct WalkCosts {
    fixed: Option<FixedWalks>,
    /// Whether times are of whole walks, not of accesses.
    whole: bool,
    levels: u8,
    host_accesses: u32,
    /// The largest leaf that is cached as it is.
    largest_cached: LeafSize,
    /// Of an access, or of a whole walk.
    latency: Latency,
    /// Of a walk, before its accesses.
    overhead: Picoseconds,
}

impl WalkCosts {
    /// From a valid specification; `seed` is that of the IOMMU.
    #[must_use]
    pub fn new(spec: &IommuSpec, seed: u64) -> Self {
        let mut costs = Self {
            fixed: None,
            whole: spec.walkers.walk_ns.is_some(),
            levels: spec.page_table_levels,
            host_accesses: spec.host_accesses(),
            largest_cached: spec.largest_cached(),
            latency: Latency::new(&spec.walkers, seed),
            overhead: Picoseconds::from_ns_f64(spec.walkers.overhead_ns),
        };
        let plain = spec.stages == 1 && !spec.walk_caches.any();
        costs.fixed = costs.latency.constant().filter(|_| plain).map(|each| {
            FixedWalks(LeafSize::ALL.map(|size| {
                let accesses = costs.accesses(Some(size));
                let time = match spec.walkers.walk_ns_by_size() {
                    Some(whole) => Picoseconds::from_ns_f64(whole[size as usize]),
                    None => costs.overhead + Picoseconds(each.0 * u64::from(accesses)),
                };
                WalkCost { time, accesses }
            }))
        });
        costs
    }

    /// Accesses of a walk that reads everything down to a leaf of this size, or finds none.
    #[must_use]
    pub fn accesses(&self, found: Option<LeafSize>) -> u32 {
        let guest_levels = u32::from(self.levels) - found.unwrap_or(LeafSize::Size4K) as u32;
        (guest_levels + 1) * (self.host_accesses + 1) - 1
    }

    /// How walks go, where their cost depends on nothing but the size of the leaf.
    #[must_use]
    pub fn fixed(&self) -> Option<FixedWalks> {
        self.fixed
    }
}

/// Walks of one stage, without walk caches, whose accesses all take as long: their cost, by the size of the
/// leaf.
#[derive(Clone, Copy, Debug)]
pub struct FixedWalks([WalkCost; 3]);

impl Walks for FixedWalks {
    fn start_counting(&mut self) {}

    fn caches(&mut self) -> Option<&mut WalkCaches> {
        None
    }

    #[inline]
    fn cached_part(&self, leaf: Leaf, _at: Iova) -> Leaf {
        leaf
    }

    #[inline(always)]
    fn span(&mut self, walkers: &mut Walkers, miss: &Miss) -> WalkSpan {
        let WalkCost { time, accesses } = self.0[miss.size.unwrap_or(LeafSize::Size4K) as usize];
        let start = walkers.next_start(miss.now, miss.domain);
        WalkSpan { start, end: start + time, accesses }
    }
}

/// Walks in one or two stages, with walk caches or without, whose times may be drawn.
pub struct VaryingWalks<'a> {
    /// What they cost.
    pub costs: &'a WalkCosts,
    /// Where they may go on from.
    pub caches: &'a mut WalkCaches,
}

impl Walks for VaryingWalks<'_> {
    fn start_counting(&mut self) {
        self.caches.start_counting();
    }

    fn caches(&mut self) -> Option<&mut WalkCaches> {
        Some(self.caches)
    }

    /// Where the host maps a leaf of the guest in smaller ones, one of those is cached.
    #[inline]
    fn cached_part(&self, leaf: Leaf, at: Iova) -> Leaf {
        let largest = self.costs.largest_cached;
        if leaf.size > largest { leaf.part(largest, at) } else { leaf }
    }

    /// A walk begins below the deepest entry of the walk caches that serves it. Where that is still being
    /// read by another walk, it waits for it, with its walker.
    #[inline(never)]
    fn span(&mut self, walkers: &mut Walkers, miss: &Miss) -> WalkSpan {
        let costs = self.costs;
        if let Some(mut fixed) = costs.fixed {
            return fixed.span(walkers, miss);
        }
        let &Miss { now, domain, at, size, faults } = miss;
        let start = walkers.next_start(now, domain);
        let mut reads = Reads {
            latency: &costs.latency,
            walk: walkers.next_number(),
            over: start + costs.overhead,
            accesses: 0,
        };
        if costs.whole {
            reads.read(1);
            return WalkSpan { start, end: reads.over, accesses: costs.accesses(size) };
        }
        let leaf_level = size.map_or(1, |size| 1 + size as u8);
        let first_level = match self.caches.look_up(now, domain, at) {
            Some(hit) => {
                reads.over = reads.over.max(hit.ready);
                hit.level - 1
            }
            None => {
                reads.read(costs.host_accesses);
                costs.levels
            }
        };
        // An entry that outlived its table may lead below the leaf, which is read in any case.
        for level in (leaf_level..=first_level.max(leaf_level)).rev() {
            reads.read(1 + costs.host_accesses);
            if level > leaf_level && !faults {
                self.caches.note_fill(level, reads.over, domain, at);
            }
        }
        WalkSpan { start, end: reads.over, accesses: reads.accesses }
    }
}

/// The accesses of one walk, one after another.
struct Reads<'a> {
    latency: &'a Latency,
    walk: u64,
    /// When the last one is over.
    over: Picoseconds,
    accesses: u32,
}

impl Reads<'_> {
    /// So many more.
    fn read(&mut self, accesses: u32) {
        for _ in 0..accesses {
            self.over += self.latency.of(self.walk, self.accesses);
            self.accesses += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accesses(guest_levels: u8, host_levels: u8, host_page_size: LeafSize) -> [u32; 3] {
        let spec = IommuSpec {
            page_table_levels: guest_levels,
            stages: 2,
            host_levels,
            host_page_size,
            ..IommuSpec::default()
        };
        let costs = WalkCosts::new(&spec, 1);
        LeafSize::ALL.map(|size| costs.accesses(Some(size)))
    }

    /// (g + 1)(h + 1) - 1, written out.
    #[test]
    fn two_stages_read_every_table_of_the_host_for_every_table_of_the_guest() {
        assert_eq!(accesses(4, 4, LeafSize::Size4K), [24, 19, 14]);
        assert_eq!(accesses(4, 4, LeafSize::Size2M), [19, 15, 11]);
        assert_eq!(accesses(4, 4, LeafSize::Size1G), [14, 11, 8]);
        assert_eq!(accesses(5, 5, LeafSize::Size4K), [35, 29, 23]);
        assert_eq!(accesses(3, 5, LeafSize::Size4K), [23, 17, 11]);
    }

    #[test]
    fn one_stage_reads_a_table_a_level() {
        let costs = WalkCosts::new(&IommuSpec::default(), 1);
        assert_eq!(LeafSize::ALL.map(|size| costs.accesses(Some(size))), [4, 3, 2]);
        assert_eq!(costs.accesses(None), 4);
    }
}
