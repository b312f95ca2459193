//! The ordered pass where something comes between look-ups: control events change page tables and drop
//! cached translations, so a DMA whose look-ups are stalled goes on in a later pass, if what happens
//! meanwhile is not known yet. Slower than the plain pass, and the same where nothing happens.

use super::components::{StalledDma, Translation};
use super::iotlb::{Tag, Target};
use super::kernel::{Context, Demand, Lookups, OrderedPass, Segment, check};
use super::observe::{Missed, Observe};
use super::replacement::Replacement;
use super::spec::IommuMode;
use super::walk_costs::{Miss, Walks};
use crate::domain::{Leaf, LeafSize, Permissions};
use crate::ids::{Iova, PhysAddr};
use crate::invalidation::{Control, Hardware};
use crate::request::{Fault, Op};
use crate::units::Picoseconds;

/// What came of a DMA's look-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// They are done.
    Done,
    /// The next has to wait until then: the walkers' queue is full.
    Stalled(Picoseconds),
}

/// A leaf that served a look-up.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The leaf.
    pub leaf: Leaf,
    /// Whether the page table no longer holds it so.
    pub unheld: bool,
    /// When the look-up was done.
    pub looked_up_at: Picoseconds,
}

/// The ordered pass with control events between.
pub struct StepwisePass<'a, 'b, P, W, O> {
    /// The IOMMU's parts.
    pub pass: &'b mut OrderedPass<'a, P, W, O>,
    /// Where control events come from.
    pub control: Option<&'b mut Control>,
    /// Where the look-ups of the next DMA go on.
    pub stalled: &'b mut StalledDma,
    /// Whether there is anything to look up.
    pub mode: IommuMode,
    /// Leaves that served the last DMA.
    pub served: Vec<Served>,
}

impl<P: Replacement, W: Walks, O: Observe> StepwisePass<'_, '_, P, W, O> {
    /// Lets everything happen that is due at or before `now`: at one instant walks end first.
    pub fn advance(&mut self, now: Picoseconds) {
        let Some(control) = self.control.as_deref_mut() else { return self.pass.end_walks(now) };
        loop {
            let (walk, event) = (self.pass.walkers.next_end(), control.next_time());
            if walk.min(event) > now || walk.min(event) == Picoseconds::MAX {
                return;
            }
            if walk <= event {
                self.pass.end_walks(walk);
                continue;
            }
            let OrderedPass { iotlb, walkers, tables, walks, observer, .. } = &mut *self.pass;
            let walk_caches = walks.caches();
            control.step(&mut Hardware { iotlb, walk_caches, walkers, tables, observer });
        }
    }

    /// The context entry that a look-up of a VF uses.
    pub fn context_of(&mut self, vf: u32) -> Option<Context> {
        match self.control.as_deref_mut().and_then(|control| control.switches.as_mut()) {
            Some(switches) => switches.use_context(vf),
            None => self.pass.contexts[vf as usize].0,
        }
    }

    /// A DMA that its device has translated passes at `now`.
    pub fn let_pass(&mut self, now: Picoseconds, demand: &Demand, translation: &mut Translation) {
        (translation.looked_up_at, translation.known_at) = (now, now);
        // What is judged is where it goes.
        let target = PhysAddr(translation.address);
        let leaf =
            Leaf { base: demand.iova, target, size: LeafSize::Size4K, permissions: Permissions::ReadWrite };
        self.served.clear();
        self.served.push(Served { leaf, unheld: false, looked_up_at: now });
    }

    /// The look-ups at `now` of a DMA of a VF, from where they were stalled.
    pub fn translate(
        &mut self,
        now: Picoseconds,
        vf: u32,
        demand: &Demand,
        translation: &mut Translation,
    ) -> Step {
        let from = match self.stalled.0.take() {
            Some(stalled) => {
                self.pass.pieces = stalled.pieces;
                self.served = stalled.served;
                stalled.at
            }
            None => {
                self.pass.observer.begin(vf);
                let known_at = if self.mode == IommuMode::Off { now } else { now + self.pass.hit };
                let Translation { device_tlb, route, .. } = *translation;
                let unanswered = Translation { known_at, address: demand.iova.0, ..Translation::default() };
                *translation = Translation { device_tlb, route, ..unanswered };
                self.pass.pieces.clear();
                self.served.clear();
                demand.iova
            }
        };
        translation.looked_up_at = now;
        if self.control.as_deref().is_some_and(|control| control.is_down(now)) {
            // What becomes of it is settled: it is aborted.
            translation.address = demand.iova.0;
            translation.known_at = translation.known_at.max(now + self.pass.hit);
            translation.fault = Some(Fault::NoContext);
            self.pass.pieces.clear();
            return Step::Done;
        }
        let result = match self.mode {
            IommuMode::Translate => self.look_up_from(now, from, demand, translation),
            IommuMode::Passthrough if demand.context.is_none() => Err(Ended::Fault(Fault::NoContext)),
            IommuMode::Off | IommuMode::Passthrough => {
                translation.address = self.untranslated(demand);
                Ok(())
            }
        };
        match result {
            Ok(()) => Step::Done,
            Err(Ended::Fault(fault)) => {
                self.pass.pieces.clear();
                translation.fault = Some(fault);
                Step::Done
            }
            Err(Ended::Stalled(at, until)) => {
                let pieces = core::mem::take(&mut self.pass.pieces);
                let served = core::mem::take(&mut self.served);
                self.stalled.0 = Some(Stalled { at, pieces, served });
                Step::Stalled(until)
            }
        }
    }

    /// Where a DMA goes that no IOMMU translates: to the frame its driver has in mind, or to the address itself.
    fn untranslated(&self, demand: &Demand) -> u64 {
        let leaf = demand.context.and_then(|context| {
            let table = &self.pass.tables[context.table as usize];
            table.lookup(demand.iova)
        });
        leaf.map_or(demand.iova.0, |leaf| leaf.translate(demand.iova).0)
    }

    fn look_up_from(
        &mut self,
        now: Picoseconds,
        from: Iova,
        demand: &Demand,
        translation: &mut Translation,
    ) -> Result<(), Ended> {
        let Some(context) = demand.context else {
            translation.address = from.0;
            translation.known_at = translation.known_at.max(now + self.pass.hit);
            return Err(Ended::Fault(Fault::NoContext));
        };
        let last = demand.last().map_err(Ended::Fault)?;
        let mut at = from;
        loop {
            let leaf = match self.look_up(now, context, at, demand.op, translation) {
                Err(Ended::Fault(fault)) => {
                    translation.address = at.0;
                    return Err(Ended::Fault(fault));
                }
                other => other?,
            };
            if at == demand.iova {
                translation.address = leaf.translate(at).0;
            }
            let end = leaf.last().min(last);
            if at != demand.iova || end < last {
                self.pass.pieces.push(Segment { pa: leaf.translate(at), length_bytes: end.0 - at.0 + 1 });
            }
            if end == last {
                return Ok(());
            }
            at = Iova(end.0 + 1);
        }
    }

    fn look_up(
        &mut self,
        now: Picoseconds,
        context: Context,
        at: Iova,
        op: Op,
        translation: &mut Translation,
    ) -> Result<Leaf, Ended> {
        let pass = &mut *self.pass;
        let table = &pass.tables[context.table as usize];
        if let Some(leaf) = pass.iotlb.lookup(context.domain, at) {
            let known_at = now + pass.hit;
            pass.observer.note_hit(context.domain, at, &leaf, known_at);
            translation.lookups.hits += 1;
            translation.known_at = translation.known_at.max(known_at);
            let held = table.lookup(at).map(|leaf| pass.walks.cached_part(leaf, at));
            let unheld = held != Some(leaf);
            self.served.push(Served { leaf, unheld, looked_up_at: now });
            return check(leaf, op).map_err(Ended::Fault);
        }
        let mapped = table.lookup(at);
        let found = mapped.map(|leaf| pass.walks.cached_part(leaf, at));
        let result = found.ok_or(Fault::NotMapped).and_then(|leaf| check(leaf, op));
        let tag = match found {
            Some(leaf) => Tag::new(context.domain, at, leaf.size),
            None => Tag::new(context.domain, at, LeafSize::Size4K).unmapped(),
        };
        let (began, end) = match pass.walkers.under_way(&tag) {
            Some(end) => (None, end),
            None => {
                let admitted = pass.walkers.admission(now, context.domain);
                if admitted > now {
                    return Err(Ended::Stalled(at, admitted));
                }
                let fills = result.ok().map(|leaf| Target::new(&leaf));
                let size = mapped.map(|leaf| leaf.size);
                let miss = Miss { now, domain: context.domain, at, size, faults: fills.is_none() };
                let span = pass.walks.span(pass.walkers, &miss);
                pass.walkers.start(now, tag, fills, span);
                (Some(span.start), span.end)
            }
        };
        let known_at = end + pass.hit;
        pass.observer.note_miss(&Missed { now, domain: context.domain, at, tag, began, end, known_at });
        let Lookups { misses, joined: all_joined, .. } = &mut translation.lookups;
        *misses += 1;
        *all_joined += u32::from(began.is_none());
        translation.known_at = translation.known_at.max(known_at);
        self.served.extend(found.map(|leaf| Served { leaf, unheld: false, looked_up_at: now }));
        result.map_err(Ended::Fault)
    }
}

/// Why a DMA's look-ups go no further for now.
enum Ended {
    Fault(Fault),
    Stalled(Iova, Picoseconds),
}

/// Where the look-ups of a DMA go on, and what they came to so far.
#[derive(Clone, Debug)]
pub struct Stalled {
    /// The address that is looked up next.
    pub at: Iova,
    /// The pieces before it.
    pub pieces: Vec<Segment>,
    /// The leaves that served them.
    pub served: Vec<Served>,
}
