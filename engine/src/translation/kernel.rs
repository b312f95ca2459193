//! The ordered pass: one DMA after another, in the order in which they reach the IOMMU.

use super::components::Translation;
use super::iotlb::{Iotlb, PageKey, leaf_code};
use super::replacement::Replacement;
use super::walkers::{WalkCosts, Walkers};
use crate::domain::{Leaf, LeafSize, PageTable};
use crate::ids::{DomainId, Iova, PhysAddr};
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
    /// What came of it.
    pub translation: Translation,
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
    /// The pieces of the last DMA, where it has several and was not blocked; empty otherwise.
    pub pieces: Vec<Segment>,
}

impl<P: Replacement> OrderedPass<'_, P> {
    /// Ends every walk due at or before `now`: fills come before look-ups of the same instant.
    #[inline(never)]
    pub fn end_walks(&mut self, now: Picoseconds) {
        while let Some(walk) = self.walkers.pop_ended(now) {
            if let Some(leaf) = walk.fills {
                self.iotlb.fill(walk.key.0, &leaf);
            }
        }
    }

    /// Looks up every leaf of a DMA that reaches the IOMMU at `now`, in order, up to the first fault.
    /// All its look-ups happen at one instant, unless a full walkers' queue stalls them. `key` is that
    /// of the DMA's first page, where it has a context.
    #[inline(always)]
    pub fn translate(&mut self, now: Picoseconds, demand: &Demand, key: &PageKey) -> Answer {
        if self.walkers.next_end() <= now {
            self.end_walks(now);
        }
        // What most DMAs are: one page, and the IOTLB knows nothing larger.
        if let Some(context) = demand.context
            && self.iotlb.holds_pages_only()
            && let Ok(last) = demand.last()
        {
            let Some(found) = self.iotlb.find_page(key, demand.iova) else {
                return self.translate_miss(now, context, demand, last);
            };
            if last.0 >> 12 == demand.iova.0 >> 12 {
                let leaf = self.iotlb.hit_page(found, demand.iova);
                let (address, fault) = match check(leaf, demand.op) {
                    Ok(leaf) => (leaf.translate(demand.iova).0, None),
                    Err(fault) => (demand.iova.0, Some(fault)),
                };
                let lookups = Lookups { hits: 1, misses: 0, joined: 0 };
                let known_at = now + self.hit;
                let translation = Translation { looked_up_at: now, known_at, address, lookups, fault };
                return Answer { taken_up: now, translation };
            }
        }
        self.translate_any(now, demand)
    }

    /// No answer yet.
    #[inline]
    fn unanswered(&self, now: Picoseconds, demand: &Demand, fault: Fault) -> Answer {
        let translation = Translation {
            looked_up_at: now,
            known_at: now + self.hit,
            address: demand.iova.0,
            lookups: Lookups::default(),
            fault: Some(fault),
        };
        Answer { taken_up: now, translation }
    }

    /// Any DMA.
    #[inline(never)]
    fn translate_any(&mut self, now: Picoseconds, demand: &Demand) -> Answer {
        let Some(context) = demand.context else { return self.unanswered(now, demand, Fault::NoContext) };
        let last = match demand.last() {
            Ok(last) => last,
            Err(fault) => return self.unanswered(now, demand, fault),
        };
        let mut answer = self.unanswered(now, demand, Fault::NotMapped);
        let first = self.look_up(context, demand.iova, demand.op, &mut answer);
        self.translate_rest(context, demand, last, first, &mut answer);
        answer
    }

    /// A DMA whose first leaf is not cached.
    #[inline(never)]
    fn translate_miss(&mut self, now: Picoseconds, context: Context, demand: &Demand, last: Iova) -> Answer {
        let mut answer = self.unanswered(now, demand, Fault::NotMapped);
        let first = self.walk(context, demand.iova, demand.op, &mut answer);
        self.translate_rest(context, demand, last, first, &mut answer);
        answer
    }

    /// A DMA, from what the look-up of its first leaf gave.
    #[inline]
    fn translate_rest(
        &mut self,
        context: Context,
        demand: &Demand,
        last: Iova,
        first: Result<Leaf, Fault>,
        answer: &mut Answer,
    ) {
        let translation = &mut answer.translation;
        match first {
            Ok(leaf) => {
                translation.address = leaf.translate(demand.iova).0;
                translation.fault = None;
                if leaf.last() < last {
                    self.translate_pieces(context, demand, last, leaf, answer);
                }
            }
            Err(fault) => translation.fault = Some(fault),
        }
    }

    /// The leaves of a DMA that has several.
    #[inline(never)]
    fn translate_pieces(
        &mut self,
        context: Context,
        demand: &Demand,
        last: Iova,
        first: Leaf,
        answer: &mut Answer,
    ) {
        let mut at = demand.iova;
        let mut leaf = first;
        loop {
            let end = leaf.last().min(last);
            self.pieces.push(Segment { pa: leaf.translate(at), length_bytes: end.0 - at.0 + 1 });
            if end == last {
                return;
            }
            at = Iova(end.0 + 1);
            leaf = match self.look_up(context, at, demand.op, answer) {
                Ok(leaf) => leaf,
                Err(fault) => {
                    // A blocked DMA touches no memory, whatever its first leaves translated to.
                    self.pieces.clear();
                    answer.translation.address = at.0;
                    answer.translation.fault = Some(fault);
                    return;
                }
            };
        }
    }

    /// One look-up at `answer.taken_up`: the leaf or the fault.
    fn look_up(&mut self, context: Context, at: Iova, op: Op, answer: &mut Answer) -> Result<Leaf, Fault> {
        if let Some(leaf) = self.iotlb.lookup(context.domain, at) {
            let translation = &mut answer.translation;
            translation.lookups.hits += 1;
            translation.known_at = translation.known_at.max(answer.taken_up + self.hit);
            return check(leaf, op);
        }
        self.walk(context, at, op, answer)
    }

    /// A look-up that missed.
    #[inline]
    fn walk(&mut self, context: Context, at: Iova, op: Op, answer: &mut Answer) -> Result<Leaf, Fault> {
        let translation = &mut answer.translation;
        translation.lookups.misses += 1;
        // The table is read here, at the look-up's place in the order, not when the walk ends.
        let found = self.tables[context.table as usize].lookup(at);
        let result = found.ok_or(Fault::NotMapped).and_then(|leaf| check(leaf, op));
        let key = (context.domain, walk_code(found, at));
        let end = if let Some(end) = self.walkers.under_way(&key) {
            translation.lookups.joined += 1;
            end
        } else {
            let admitted = self.walkers.admission(answer.taken_up);
            if admitted > answer.taken_up {
                answer.taken_up = admitted;
                self.end_walks(admitted);
            }
            let cost = self.walk_costs.of(found.map(|leaf| leaf.size));
            self.walkers.start(admitted, key, result.ok(), cost)
        };
        translation.known_at = translation.known_at.max(end + self.hit);
        result
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
