//! The ordered pass: one DMA after another, in the order in which they reach the IOMMU.

use super::iotlb::{Iotlb, leaf_code};
use super::replacement::Replacement;
use super::walkers::{WalkCosts, Walkers};
use crate::domain::{Leaf, LeafSize, PageTable};
use crate::ids::{DomainId, Iova, PhysAddr};
use crate::prefetch::prefetch;
use crate::request::{Fault, Op};
use crate::units::Picoseconds;

/// The context entry of a device: its domain, and where the domain's page table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The tag of its cached translations.
    pub domain: DomainId,
    /// Index of its page table.
    pub table: u32,
}

/// A piece of a DMA within one leaf, to be judged by the owner map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First byte.
    pub pa: PhysAddr,
    /// Bytes.
    pub length_bytes: u64,
}

/// What a DMA asks of the IOMMU.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The device's context entry.
    pub context: Option<Context>,
    /// First byte.
    pub iova: Iova,
    /// Bytes.
    pub length_bytes: u64,
    /// Direction.
    pub op: Op,
}

impl Demand {
    /// The last byte, or why nothing is looked up.
    ///
    /// # Errors
    /// `BadLength` or `AddressOverflow`.
    #[inline]
    pub fn last(&self) -> Result<Iova, Fault> {
        if self.length_bytes == 0 {
            return Err(Fault::BadLength);
        }
        self.iova.0.checked_add(self.length_bytes - 1).map(Iova).ok_or(Fault::AddressOverflow)
    }
}

/// What the look-ups of a DMA came to, whatever their times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Look-ups served by a cached entry.
    pub hits: u32,
    /// Look-ups not served by one.
    pub misses: u32,
    /// Misses that joined a walk under way.
    pub joined: u32,
}

/// The IOMMU's answer to a DMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When its look-ups were done and the next DMA's may begin.
    pub taken_up: Picoseconds,
    /// When its translation or its fault was known.
    pub translated: Picoseconds,
    /// Physical address of the first byte, or the fault and the first byte in the leaf that faulted.
    pub outcome: Result<PhysAddr, (Fault, Iova)>,
    /// Its look-ups.
    pub lookups: Lookups,
}

/// The parts of an IOMMU that the ordered pass works on.
pub struct OrderedPass<'a, P> {
    /// The cache.
    pub iotlb: &'a mut Iotlb<P>,
    /// The walkers.
    pub walkers: &'a mut Walkers,
    /// The page tables, by index.
    pub tables: &'a [PageTable],
    /// What walks cost.
    pub walk_costs: WalkCosts,
    /// What a look-up costs.
    pub hit: Picoseconds,
}

impl<P: Replacement> OrderedPass<'_, P> {
    /// Ends every walk due at or before `now`: fills come before look-ups of the same instant.
    #[inline]
    pub fn end_walks(&mut self, now: Picoseconds) {
        while let Some(walk) = self.walkers.pop_ended(now) {
            if let Some(leaf) = walk.fills {
                self.iotlb.fill(walk.key.0, &leaf);
            }
        }
    }

    /// Asks for the cache lines that the look-up of this address will want.
    #[inline]
    pub fn prefetch(&self, context: Option<Context>, iova: Iova) {
        let Some(context) = context else { return };
        self.iotlb.prefetch(context.domain, iova, LeafSize::Size4K);
        if let Some(entry) = self.tables[context.table as usize].entry_address(iova) {
            prefetch(entry);
        }
    }

    /// Looks up every leaf of a DMA that reaches the IOMMU at `now`, in order, up to the first fault.
    /// All its look-ups happen at one instant, unless a full walkers' queue stalls them.
    /// `visit` gets each translated piece; pieces of a DMA that is blocked in the end do not count.
    #[inline(always)]
    pub fn translate(&mut self, now: Picoseconds, demand: &Demand, mut visit: impl FnMut(Segment)) -> Answer {
        let mut answer = Answer {
            taken_up: now,
            translated: now + self.hit,
            outcome: Err((Fault::NoContext, demand.iova)),
            lookups: Lookups::default(),
        };
        self.end_walks(now);
        let Some(context) = demand.context else { return answer };
        let last = match demand.last() {
            Ok(last) => last,
            Err(fault) => {
                answer.outcome = Err((fault, demand.iova));
                return answer;
            }
        };
        let mut at = demand.iova;
        loop {
            let (leaf, ready) = self.look_up(context, at, demand.op, &mut answer);
            answer.translated = answer.translated.max(ready);
            let leaf = match leaf {
                Ok(leaf) => leaf,
                Err(fault) => {
                    answer.outcome = Err((fault, at));
                    return answer;
                }
            };
            let end = Iova(leaf.base.0 | (leaf.size.bytes() - 1)).min(last);
            let pa = leaf.translate(at);
            if at == demand.iova {
                answer.outcome = Ok(pa);
            }
            visit(Segment { pa, length_bytes: end.0 - at.0 + 1 });
            if end == last {
                return answer;
            }
            at = Iova(end.0 + 1);
        }
    }

    /// One look-up at `answer.taken_up`: the leaf or the fault, and when it is known.
    #[inline(always)]
    fn look_up(
        &mut self,
        context: Context,
        at: Iova,
        op: Op,
        answer: &mut Answer,
    ) -> (Result<Leaf, Fault>, Picoseconds) {
        if let Some(leaf) = self.iotlb.lookup(context.domain, at) {
            answer.lookups.hits += 1;
            return (check(leaf, op), answer.taken_up + self.hit);
        }
        answer.lookups.misses += 1;
        // The table is read here, at the look-up's place in the order, not when the walk ends.
        let found = self.tables[context.table as usize].lookup(at);
        let result = found.ok_or(Fault::NotMapped).and_then(|leaf| check(leaf, op));
        let key = (context.domain, walk_code(found, at));
        if let Some(end) = self.walkers.under_way(&key) {
            answer.lookups.joined += 1;
            return (result, end + self.hit);
        }
        let admitted = self.walkers.admission(answer.taken_up);
        if admitted > answer.taken_up {
            answer.taken_up = admitted;
            self.end_walks(admitted);
        }
        let cost = self.walk_costs.of(found.map(|leaf| leaf.size));
        let end = self.walkers.start(admitted, key, result.ok(), cost);
        (result, end + self.hit)
    }
}

/// What distinguishes walks within a domain: the leaf, or the 4 KiB page that no leaf maps.
#[inline]
fn walk_code(found: Option<Leaf>, at: Iova) -> u64 {
    const UNMAPPED: u64 = 1 << 63;
    match found {
        Some(leaf) => leaf_code(leaf.base, leaf.size),
        None => leaf_code(at, LeafSize::Size4K) | UNMAPPED,
    }
}

/// The leaf, if it grants the right.
#[inline]
pub fn check(leaf: Leaf, op: Op) -> Result<Leaf, Fault> {
    if leaf.permissions.allow(op) { Ok(leaf) } else { Err(Fault::NoPermission) }
}
