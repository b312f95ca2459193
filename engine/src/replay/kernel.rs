//! One event after another, on plain slices.

use super::components::{MappingChange, ReplayCounters, ReplayTables};
use super::event::Event;
use super::rows::{RefusedRow, ReplayRequestRow};
use crate::account::AuditPolicy;
use crate::domain::{Leaf, LeafSize, MapError, MappedFrames, PageTable};
use crate::ids::{DomainId, Iova, PhysAddr, RequesterId};
use crate::request::{Fault, Op};
use crate::translation::replacement::Replacement;
use crate::translation::{Context, ContextEntry, Demand, Iotlb, check};

/// Everything the events act on.
pub struct ReplayState<'a, P> {
    /// The cache.
    pub iotlb: &'a mut Iotlb<P>,
    /// The page tables, by index of their domain.
    pub tables: &'a mut [PageTable],
    /// The context entries, by index of their device.
    pub contexts: &'a mut [ContextEntry],
    /// Who owns which frame.
    pub frames: &'a mut MappedFrames,
    /// Which DMAs are judged.
    pub audit: AuditPolicy,
    /// What is counted.
    pub counters: &'a mut ReplayCounters,
    /// Rows of the results.
    pub output: &'a mut ReplayTables,
    /// Changes to be made to the mapping entities.
    pub changes: &'a mut Vec<MappingChange>,
}

/// What became of a DMA.
struct DmaResult {
    outcome: Result<PhysAddr, (Fault, Iova)>,
    hits: u32,
    misses: u32,
    stale: u32,
}

impl<P: Replacement> ReplayState<'_, P> {
    /// Applies one event. `domain` and `device` give the indices of those seen.
    pub fn apply(
        &mut self,
        row: u64,
        event: &Event,
        domain: impl Fn(DomainId) -> u32,
        device: impl Fn(RequesterId) -> u32,
    ) {
        let refused = match *event {
            Event::Map { domain: id, iova, pa, size, permissions } => {
                self.map(id, domain(id), Leaf { base: iova, target: pa, size, permissions })
            }
            Event::Unmap { domain: id, iova, size } => {
                let refused = self.unmap(id, domain(id), iova, size);
                if refused.is_none() {
                    self.iotlb.invalidate_range(id, iova, last_byte(iova, size));
                }
                refused
            }
            Event::UnmapDeferred { domain: id, iova, size } => self.unmap(id, domain(id), iova, size),
            Event::InvalidatePage { domain, iova, size } => {
                self.iotlb.invalidate_range(domain, iova, last_byte(iova, size));
                None
            }
            Event::InvalidateDomain { domain } => {
                self.iotlb.invalidate_domain(domain);
                None
            }
            Event::InvalidateAll => {
                self.iotlb.invalidate_all();
                None
            }
            Event::Attach { device: id, domain: to } => {
                let context = Context { domain: to, table: domain(to) };
                self.contexts[device(id) as usize] = ContextEntry(Some(context));
                None
            }
            Event::Detach { device: id } => {
                let before = self.contexts[device(id) as usize].0.take();
                before.is_none().then_some("not_attached")
            }
            Event::Dma { device: id, iova, length_bytes, op } => {
                let context = self.contexts[device(id) as usize].0;
                self.dma(row, id, &Demand { context, iova, length_bytes, op });
                None
            }
        };
        if let Some(reason) = refused {
            self.counters.refused += 1;
            self.output.refused.push(RefusedRow { row, event: event.name(), reason });
        }
    }

    fn map(&mut self, id: DomainId, domain: u32, leaf: Leaf) -> Option<&'static str> {
        match self.tables[domain as usize].map(leaf) {
            Ok(()) => {
                self.frames.add(id, &leaf);
                self.changes.push(MappingChange::Mapped(domain, leaf));
                None
            }
            Err(MapError::Misaligned) => Some("misaligned"),
            Err(MapError::Overlap) => Some("overlap"),
        }
    }

    fn unmap(&mut self, id: DomainId, domain: u32, iova: Iova, size: LeafSize) -> Option<&'static str> {
        let Ok(leaf) = self.tables[domain as usize].unmap(iova, size) else { return Some("not_a_leaf") };
        self.frames.remove(id, &leaf);
        self.changes.push(MappingChange::Unmapped(domain, leaf));
        None
    }

    fn dma(&mut self, row: u64, device: RequesterId, demand: &Demand) {
        let number = self.counters.translated + self.counters.faults.iter().sum::<u64>();
        let judged = self.audit.judges(number);
        let result = self.translate(demand, judged);
        let counters = &mut *self.counters;
        counters.hits += u64::from(result.hits);
        counters.misses += u64::from(result.misses);
        counters.stale += u64::from(result.stale);
        match result.outcome {
            Ok(_) => {
                counters.translated += 1;
                counters.audited += u64::from(judged);
            }
            Err((fault, _)) => counters.faults[fault as usize] += 1,
        }
        self.output.requests.push(ReplayRequestRow {
            row,
            device: device.0,
            iova: demand.iova.0,
            length: demand.length_bytes,
            op: demand.op.letter(),
            outcome: if result.outcome.is_ok() { "translated" } else { "blocked" },
            fault: result.outcome.err().map(|(fault, _)| fault.name()),
            fault_iova: result.outcome.err().map(|(_, iova)| iova.0),
            pa: result.outcome.ok().map(|pa| pa.0),
            iotlb_hits: result.hits,
            iotlb_misses: result.misses,
            stale: result.stale,
        });
    }

    /// Leaf by leaf, one look-up each, up to the first fault.
    fn translate(&mut self, demand: &Demand, judged: bool) -> DmaResult {
        let mut result =
            DmaResult { outcome: Err((Fault::NoContext, demand.iova)), hits: 0, misses: 0, stale: 0 };
        let Some(context) = demand.context else { return result };
        let last = match demand.last() {
            Ok(last) => last,
            Err(fault) => {
                result.outcome = Err((fault, demand.iova));
                return result;
            }
        };
        let mut breaches = 0;
        let mut at = demand.iova;
        loop {
            let stale_before = result.stale;
            let leaf = match self.look_up(context, at, demand.op, &mut result) {
                Ok(leaf) => leaf,
                Err(fault) => {
                    result.outcome = Err((fault, at));
                    return result;
                }
            };
            let pa = leaf.translate(at);
            if at == demand.iova {
                result.outcome = Ok(pa);
            }
            if judged && result.stale == stale_before && !self.frames.owns(context.domain, pa) {
                breaches += 1;
            }
            let end = leaf.last();
            if end >= last {
                self.counters.breaches += breaches;
                return result;
            }
            at = Iova(end.0 + 1);
        }
    }

    fn look_up(&mut self, context: Context, at: Iova, op: Op, result: &mut DmaResult) -> Result<Leaf, Fault> {
        let table = &self.tables[context.table as usize];
        if let Some(cached) = self.iotlb.lookup(context.domain, at) {
            result.hits += 1;
            result.stale += u32::from(table.lookup(at) != Some(cached));
            return check(cached, op);
        }
        result.misses += 1;
        let walked = table.lookup(at).ok_or(Fault::NotMapped).and_then(|leaf| check(leaf, op));
        match walked {
            Ok(leaf) => self.iotlb.fill(context.domain, &leaf),
            Err(_) => self.counters.walks_faulted += 1,
        }
        walked
    }
}

fn last_byte(iova: Iova, size: LeafSize) -> Iova {
    Iova(iova.0.saturating_add(size.bytes() - 1))
}
