//! The ordered pass: one DMA after another, in the order in which they reach the IOMMU.

use super::components::{Arrived, ContextEntry, Translation};
use super::iotlb::{Iotlb, Tag, Target};
use super::observe::{Missed, Observe};
use super::replacement::Replacement;
use super::walk_costs::{Miss, Walks};
use super::walkers::Walkers;
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

/// A DMA whose look-up is prepared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prepared {
    /// When it reaches the IOMMU, in which row, on which link.
    pub arrived: Arrived,
    /// First byte.
    pub iova: Iova,
    /// The hash and the set of its first page, where the device has a context.
    pub hash: u64,
    /// See above.
    pub set: u32,
    /// Bytes.
    pub length_bytes: u32,
    /// The device's context entry.
    pub context: Option<Context>,
    /// Direction.
    pub op: Op,
}

impl Prepared {
    /// Whether all its bytes, at least one, lie in one 4 KiB page.
    #[inline]
    fn is_in_page(&self) -> bool {
        let offset = self.iova.0 as u32 & 0xFFF;
        self.length_bytes.wrapping_sub(1) < 0x1000 - offset
    }

    fn demand(&self) -> Demand {
        let Self { context, iova, length_bytes, op, .. } = *self;
        Demand { context, iova, length_bytes: u64::from(length_bytes), op }
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
#[derive(Debug)]
pub struct Answer<'a> {
    /// When its look-ups were done and the next DMA's may begin.
    pub taken_up: Picoseconds,
    /// What came of it.
    pub translation: &'a mut Translation,
}

/// The parts of an IOMMU that the ordered pass works on.
pub struct OrderedPass<'a, P, W, O> {
    /// The cache.
    pub iotlb: &'a mut Iotlb<P>,
    /// The walkers.
    pub walkers: &'a mut Walkers,
    /// The context entries, by VF.
    pub contexts: &'a [ContextEntry],
    /// The page tables, by index.
    pub tables: &'a mut [PageTable],
    /// How walks go.
    pub walks: W,
    /// What a look-up costs.
    pub hit: Picoseconds,
    /// The pieces of the last DMA, where it has several and was not blocked; empty otherwise.
    pub pieces: Vec<Segment>,
    /// Who watches.
    pub observer: O,
}

impl<P: Replacement, W: Walks, O: Observe> OrderedPass<'_, P, W, O> {
    /// Ends every walk due at or before `now`: fills come before look-ups of the same instant.
    #[inline(never)]
    pub fn end_walks(&mut self, now: Picoseconds) {
        while let Some(walk) = self.walkers.pop_ended(now) {
            self.observer.end_walk(self.iotlb, &walk);
            if walk.fills.is_none() && self.walkers.is_end_of_warm_up(walk.end) {
                return self.end_warm_up(now);
            }
        }
    }

    /// Counts anew, and goes on with the walks due at or before `now`.
    #[cold]
    #[inline(never)]
    fn end_warm_up(&mut self, now: Picoseconds) {
        self.walkers.end_warm_up();
        self.iotlb.start_counting();
        self.walks.start_counting();
        self.observer.start_counting();
        self.end_walks(now);
    }

    /// Looks up every leaf of a DMA that reaches the IOMMU at `now`, in order, up to the first fault.
    /// All its look-ups happen at one instant, unless a full walkers' queue stalls them. Returns when
    /// they were done and the next DMA's may begin.
    #[inline(always)]
    pub fn translate(
        &mut self,
        now: Picoseconds,
        dma: &Prepared,
        translation: &mut Translation,
    ) -> Picoseconds {
        if self.walkers.next_end() <= now {
            self.end_walks(now);
        }
        // What most DMAs are: in one page, and the IOTLB knows nothing larger.
        if let Some(context) = dma.context
            && dma.is_in_page()
            && self.iotlb.holds_pages_only()
        {
            let tag = Tag::of_page(context.domain, dma.iova, dma.hash);
            let Some(way) = self.iotlb.find_in(dma.set, &tag) else {
                return self.translate_miss(now, context, dma, &tag, translation);
            };
            let leaf = self.iotlb.hit_page(dma.set, way, dma.iova);
            let (address, fault) = match check(leaf, dma.op) {
                Ok(leaf) => (leaf.translate(dma.iova).0, None),
                Err(fault) => (dma.iova.0, Some(fault)),
            };
            let lookups = Lookups { hits: 1, misses: 0, joined: 0 };
            let known_at = now + self.hit;
            self.observer.note_hit(context.domain, dma.iova, &leaf, known_at);
            *translation = Translation {
                looked_up_at: now,
                known_at,
                address,
                lookups,
                fault,
                ..Translation::default()
            };
            return now;
        }
        self.translate_any(now, &dma.demand(), translation)
    }

    /// A DMA in one page that is not cached.
    #[inline(never)]
    fn translate_miss(
        &mut self,
        now: Picoseconds,
        context: Context,
        dma: &Prepared,
        tag: &Tag,
        translation: &mut Translation,
    ) -> Picoseconds {
        let walk = self.walk(now, context, dma.iova, dma.op, tag);
        let (address, fault) = match walk.result {
            Ok(leaf) => (leaf.translate(dma.iova).0, None),
            Err(fault) => (dma.iova.0, Some(fault)),
        };
        let lookups = Lookups { hits: 0, misses: 1, joined: u32::from(walk.joined) };
        let known_at = walk.end + self.hit;
        *translation =
            Translation { looked_up_at: now, known_at, address, lookups, fault, ..Translation::default() };
        walk.taken_up
    }

    /// No look-up and no fault yet.
    #[inline]
    fn unanswered<'t>(&self, now: Picoseconds, iova: Iova, translation: &'t mut Translation) -> Answer<'t> {
        *translation = Translation {
            looked_up_at: now,
            known_at: now + self.hit,
            address: iova.0,
            lookups: Lookups::default(),
            ..Translation::default()
        };
        Answer { taken_up: now, translation }
    }

    /// Any DMA.
    #[inline(never)]
    fn translate_any(
        &mut self,
        now: Picoseconds,
        demand: &Demand,
        translation: &mut Translation,
    ) -> Picoseconds {
        let mut answer = self.unanswered(now, demand.iova, translation);
        let last = demand.context.ok_or(Fault::NoContext).and_then(|context| Ok((context, demand.last()?)));
        let first = last.and_then(|(context, last)| {
            let leaf = self.look_up(context, demand.iova, demand.op, &mut answer)?;
            Ok((context, last, leaf))
        });
        match first {
            Ok((context, last, leaf)) => {
                answer.translation.address = leaf.translate(demand.iova).0;
                if leaf.last() < last {
                    self.translate_pieces(context, demand, last, leaf, &mut answer);
                }
            }
            Err(fault) => answer.translation.fault = Some(fault),
        }
        answer.taken_up
    }

    /// Answers a device's request for the translation of one address: the leaf, unless it is refused.
    pub fn answer(
        &mut self,
        now: Picoseconds,
        demand: &Demand,
        translation: &mut Translation,
    ) -> (Picoseconds, Option<Leaf>) {
        if self.walkers.next_end() <= now {
            self.end_walks(now);
        }
        let Translation { device_tlb, route, .. } = *translation;
        let mut answer = self.unanswered(now, demand.iova, translation);
        let found = demand
            .context
            .ok_or(Fault::NoContext)
            .and_then(|context| self.look_up(context, demand.iova, demand.op, &mut answer));
        answer.translation.fault = found.err();
        let taken_up = answer.taken_up;
        (translation.device_tlb, translation.route) = (device_tlb, route);
        (taken_up, found.ok())
    }

    /// The leaves of a DMA that has several.
    #[inline(never)]
    fn translate_pieces(
        &mut self,
        context: Context,
        demand: &Demand,
        last: Iova,
        first: Leaf,
        answer: &mut Answer<'_>,
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
    fn look_up(
        &mut self,
        context: Context,
        at: Iova,
        op: Op,
        answer: &mut Answer<'_>,
    ) -> Result<Leaf, Fault> {
        if let Some(leaf) = self.iotlb.lookup(context.domain, at) {
            let translation = &mut *answer.translation;
            let known_at = answer.taken_up + self.hit;
            self.observer.note_hit(context.domain, at, &leaf, known_at);
            translation.lookups.hits += 1;
            translation.known_at = translation.known_at.max(known_at);
            return check(leaf, op);
        }
        let page = Tag::new(context.domain, at, LeafSize::Size4K);
        let walk = self.walk(answer.taken_up, context, at, op, &page);
        answer.taken_up = walk.taken_up;
        let translation = &mut *answer.translation;
        translation.lookups.misses += 1;
        translation.lookups.joined += u32::from(walk.joined);
        translation.known_at = translation.known_at.max(walk.end + self.hit);
        walk.result
    }

    /// A look-up at `now` that missed; `page` is the tag of the 4 KiB page.
    #[inline(always)]
    fn walk(&mut self, now: Picoseconds, context: Context, at: Iova, op: Op, page: &Tag) -> Walk {
        // The table is read here, at the look-up's place in the order, not when the walk ends.
        let mapped = self.tables[context.table as usize].lookup(at);
        let found = mapped.map(|leaf| self.walks.cached_part(leaf, at));
        let result = found.ok_or(Fault::NotMapped).and_then(|leaf| check(leaf, op));
        // What distinguishes walks within a domain: the leaf, or the 4 KiB page that no leaf maps.
        let tag = match found {
            Some(Leaf { size: LeafSize::Size4K, .. }) => *page,
            Some(leaf) => Tag::new(context.domain, at, leaf.size),
            None => page.unmapped(),
        };
        let (domain, hit) = (context.domain, self.hit);
        let missed = |now, began, end| Missed { now, domain, at, tag, began, end, known_at: end + hit };
        if let Some(end) = self.walkers.under_way(&tag) {
            self.observer.note_miss(&missed(now, None, end));
            return Walk { result, end, joined: true, taken_up: now };
        }
        let taken_up = self.walkers.admission(now, context.domain);
        if taken_up > now {
            self.end_walks(taken_up);
        }
        let fills = result.ok().map(|leaf| Target::new(&leaf));
        let size = mapped.map(|leaf| leaf.size);
        let miss = Miss { now: taken_up, domain: context.domain, at, size, faults: fills.is_none() };
        let span = self.walks.span(self.walkers, &miss);
        self.walkers.start(taken_up, tag, fills, span);
        self.observer.note_miss(&missed(taken_up, Some(span.start), span.end));
        Walk { result, end: span.end, joined: false, taken_up }
    }
}

/// What a look-up that missed came to.
struct Walk {
    result: Result<Leaf, Fault>,
    end: Picoseconds,
    /// Whether the walk was under way already.
    joined: bool,
    /// When the look-up was done.
    taken_up: Picoseconds,
}

/// The leaf, if it grants the right.
#[inline]
pub fn check(leaf: Leaf, op: Op) -> Result<Leaf, Fault> {
    if leaf.permissions.allow(op) { Ok(leaf) } else { Err(Fault::NoPermission) }
}
