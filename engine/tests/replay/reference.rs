//! The reference: an ordered map of leaves a domain, a plain IOTLB, one event after another. It
//! shares the events and the rows with the engine and nothing else.
//!
//! A [`Rule`] can be broken on purpose, to see that the comparison finds it.

use std::collections::BTreeMap;

use portcullis_engine::domain::{Leaf, LeafSize};
use portcullis_engine::ids::Iova;
use portcullis_engine::plan::Audit;
use portcullis_engine::replay::{Event, RefusedRow, ReplayPlan, ReplayRequestRow, ReplaySummaryRow};
use portcullis_engine::request::Op;
use portcullis_engine::table::Table;

use crate::plain_iotlb::{IotlbRule, PlainIotlb};
use crate::trace::Results;

/// The rules of a replay that can be broken one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    MapInvalidatesNothing,
    UnmapInvalidates,
    UnmapDropsEverySize,
    ADeferredUnmapInvalidatesNothing,
    ARefusedUnmapInvalidatesNothing,
    InvalidationDropsEverySize,
    InvalidationEndsWithItsRange,
    AttachInvalidatesNothing,
    DetachInvalidatesNothing,
    DetachNeedsADomain,
    EntriesAreTaggedByTheWholeDomain,
    ContextIsCheckedBeforeLength,
    TheLastByteIsReachable,
    AFaultFillsNothing,
    AHitThatFaultsCounts,
    LookupsBeforeAFaultFill,
    AMissIsCheckedToo,
    RemappedElsewhereIsStale,
    RemappedTheSameIsNotStale,
    InvalidWaysFirst,
    HitsCountForReplacement,
    SmallestServes,
}

impl Rule {
    pub const ALL: [Self; 22] = [
        Self::MapInvalidatesNothing,
        Self::UnmapInvalidates,
        Self::UnmapDropsEverySize,
        Self::ADeferredUnmapInvalidatesNothing,
        Self::ARefusedUnmapInvalidatesNothing,
        Self::InvalidationDropsEverySize,
        Self::InvalidationEndsWithItsRange,
        Self::AttachInvalidatesNothing,
        Self::DetachInvalidatesNothing,
        Self::DetachNeedsADomain,
        Self::EntriesAreTaggedByTheWholeDomain,
        Self::ContextIsCheckedBeforeLength,
        Self::TheLastByteIsReachable,
        Self::AFaultFillsNothing,
        Self::AHitThatFaultsCounts,
        Self::LookupsBeforeAFaultFill,
        Self::AMissIsCheckedToo,
        Self::RemappedElsewhereIsStale,
        Self::RemappedTheSameIsNotStale,
        Self::InvalidWaysFirst,
        Self::HitsCountForReplacement,
        Self::SmallestServes,
    ];
}

/// A fault by its name, with the address that faulted.
type Blocked = (&'static str, u64);

#[derive(Default)]
struct Lookups {
    hits: u32,
    misses: u32,
    stale: u32,
}

pub struct Reference {
    broken: Option<Rule>,
    audit: Audit,
    iotlb: PlainIotlb,
    domains: BTreeMap<u32, BTreeMap<u64, Leaf>>,
    /// Leaves that were ever unmapped, for a rule that is broken.
    unmapped: Vec<(u32, Leaf)>,
    devices: BTreeMap<u32, Option<u32>>,
    requests: Vec<ReplayRequestRow>,
    refused: Vec<RefusedRow>,
    summary: ReplaySummaryRow,
}

fn last_byte(leaf: &Leaf) -> u64 {
    leaf.base.0 + (leaf.size.bytes() - 1)
}

impl Reference {
    pub fn new(plan: &ReplayPlan, broken: Option<Rule>) -> Self {
        let broken_in_iotlb = match broken {
            Some(Rule::InvalidWaysFirst) => Some(IotlbRule::InvalidWaysFirst),
            Some(Rule::HitsCountForReplacement) => Some(IotlbRule::HitsCountForReplacement),
            Some(Rule::SmallestServes) => Some(IotlbRule::SmallestServes),
            _ => None,
        };
        Self {
            broken,
            audit: plan.audit,
            iotlb: PlainIotlb::new(&plan.iotlb, plan.seed, broken_in_iotlb),
            domains: BTreeMap::new(),
            unmapped: Vec::new(),
            devices: BTreeMap::new(),
            requests: Vec::new(),
            refused: Vec::new(),
            summary: ReplaySummaryRow { trace: plan.trace.clone(), seed: plan.seed, ..Default::default() },
        }
    }

    fn holds(&self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    /// Every leaf with its domain's number, in order.
    pub fn leaves(&self) -> Vec<(u32, Leaf)> {
        let of = |(domain, leaves): (&u32, &BTreeMap<u64, Leaf>)| {
            leaves.values().map(|leaf| (*domain, *leaf)).collect::<Vec<_>>()
        };
        self.domains.iter().flat_map(of).collect()
    }

    pub fn apply(&mut self, event: &Event) {
        let row = self.summary.events_total;
        self.summary.events_total += 1;
        if let Err(reason) = self.attempt(row, event) {
            self.refused.push(RefusedRow { row, event: event.name(), reason });
        }
    }

    fn attempt(&mut self, row: u64, event: &Event) -> Result<(), &'static str> {
        match *event {
            Event::Map { domain, iova, pa, size, permissions } => {
                self.map(domain.0, Leaf { base: iova, target: pa, size, permissions })
            }
            Event::Unmap { domain, iova, size } => {
                let removed = self.unmap(domain.0, iova, size);
                let invalidates = removed.is_ok() || !self.holds(Rule::ARefusedUnmapInvalidatesNothing);
                if invalidates && self.holds(Rule::UnmapInvalidates) {
                    self.invalidate(domain.0, iova, size, self.holds(Rule::UnmapDropsEverySize));
                }
                removed
            }
            Event::UnmapDeferred { domain, iova, size } => {
                self.unmap(domain.0, iova, size)?;
                if !self.holds(Rule::ADeferredUnmapInvalidatesNothing) {
                    self.invalidate(domain.0, iova, size, true);
                }
                Ok(())
            }
            Event::InvalidatePage { domain, iova, size } => {
                self.domains.entry(domain.0).or_default();
                self.invalidate(domain.0, iova, size, self.holds(Rule::InvalidationDropsEverySize));
                Ok(())
            }
            Event::InvalidateDomain { domain } => {
                self.domains.entry(domain.0).or_default();
                self.iotlb.invalidate_domain(domain.0);
                Ok(())
            }
            Event::InvalidateAll => {
                self.iotlb.invalidate_all();
                Ok(())
            }
            Event::Attach { device, domain } => {
                self.domains.entry(domain.0).or_default();
                let before = self.devices.insert(device.0, Some(domain.0)).flatten();
                if let Some(before) = before.filter(|_| !self.holds(Rule::AttachInvalidatesNothing)) {
                    self.iotlb.invalidate_domain(before);
                }
                Ok(())
            }
            Event::Detach { device } => {
                let before = self.devices.insert(device.0, None).flatten();
                if let Some(before) = before.filter(|_| !self.holds(Rule::DetachInvalidatesNothing)) {
                    self.iotlb.invalidate_domain(before);
                }
                let allowed = before.is_some() || !self.holds(Rule::DetachNeedsADomain);
                if allowed { Ok(()) } else { Err("not_attached") }
            }
            Event::Dma { device, iova, length_bytes, op } => {
                self.dma(row, device.0, iova.0, length_bytes, op);
                Ok(())
            }
        }
    }

    fn map(&mut self, domain: u32, leaf: Leaf) -> Result<(), &'static str> {
        let leaves = self.domains.entry(domain).or_default();
        if !leaf.base.0.is_multiple_of(leaf.size.bytes()) || !leaf.target.0.is_multiple_of(leaf.size.bytes())
        {
            return Err("misaligned");
        }
        if leaves.values().any(|there| there.base.0 <= last_byte(&leaf) && last_byte(there) >= leaf.base.0) {
            return Err("overlap");
        }
        leaves.insert(leaf.base.0, leaf);
        if !self.holds(Rule::MapInvalidatesNothing) {
            self.invalidate(domain, leaf.base, leaf.size, true);
        }
        Ok(())
    }

    fn unmap(&mut self, domain: u32, iova: Iova, size: LeafSize) -> Result<(), &'static str> {
        let leaves = self.domains.entry(domain).or_default();
        match leaves.get(&iova.0) {
            Some(leaf) if leaf.size == size => {
                self.unmapped.push((domain, *leaf));
                leaves.remove(&iova.0);
                Ok(())
            }
            _ => Err("not_a_leaf"),
        }
    }

    fn invalidate(&mut self, domain: u32, iova: Iova, size: LeafSize, every_size: bool) {
        let beyond = if self.holds(Rule::InvalidationEndsWithItsRange) { 0 } else { 1 };
        let last = iova.0.saturating_add(size.bytes() - 1 + beyond);
        if every_size {
            self.iotlb.invalidate_range(domain, iova.0, last);
        } else {
            self.iotlb.drop_where(|there, leaf| {
                there == domain && leaf.size == size && leaf.base.0 <= last && last_byte(leaf) >= iova.0
            });
        }
    }

    fn dma(&mut self, row: u64, device: u32, iova: u64, length: u64, op: Op) {
        let context = *self.devices.entry(device).or_default();
        let mut lookups = Lookups::default();
        let result = self.translate(context, iova, length, op, &mut lookups);
        let judged = match self.audit {
            Audit::Full => true,
            Audit::Sample => self.requests.len().is_multiple_of(64),
            Audit::Off => false,
        };
        self.summary.audited_total += u64::from(judged && result.is_ok());
        self.requests.push(ReplayRequestRow {
            row,
            device,
            iova,
            length,
            op: op.letter(),
            outcome: if result.is_ok() { "translated" } else { "blocked" },
            fault: result.err().map(|(fault, _)| fault),
            fault_iova: result.err().map(|(_, at)| at),
            pa: result.ok(),
            iotlb_hits: lookups.hits,
            iotlb_misses: lookups.misses,
            stale: lookups.stale,
        });
    }

    /// The physical address of the first byte, or why not.
    fn translate(
        &mut self,
        context: Option<u32>,
        iova: u64,
        length: u64,
        op: Op,
        lookups: &mut Lookups,
    ) -> Result<u64, Blocked> {
        if length == 0 && !self.holds(Rule::ContextIsCheckedBeforeLength) {
            return Err(("bad_length", iova));
        }
        let domain = context.ok_or(("no_context", iova))?;
        if length == 0 {
            return Err(("bad_length", iova));
        }
        let end = u128::from(iova) + u128::from(length);
        if end > (1 << 64) || (end == 1 << 64 && !self.holds(Rule::TheLastByteIsReachable)) {
            return Err(("address_overflow", iova));
        }
        let mut fills = Vec::new();
        let mut first = None;
        let mut at = u128::from(iova);
        while at < end {
            let leaf = self.look_up(domain, at as u64, op, lookups, &mut fills)?;
            first.get_or_insert(leaf.target.0 + (at as u64 - leaf.base.0));
            at = u128::from(leaf.base.0) + u128::from(leaf.size.bytes());
        }
        for leaf in fills {
            self.iotlb.fill(domain, leaf);
        }
        Ok(first.expect("at least one byte"))
    }

    /// The leaf that serves the address. `fills` takes the leaves to be filled at the end, which is
    /// a rule broken.
    fn look_up(
        &mut self,
        domain: u32,
        at: u64,
        op: Op,
        lookups: &mut Lookups,
        fills: &mut Vec<Leaf>,
    ) -> Result<Leaf, Blocked> {
        let whole_tag = self.holds(Rule::EntriesAreTaggedByTheWholeDomain);
        let cached_as = if whole_tag { domain } else { domain % 2_048 };
        let mapped = self.domains[&domain].range(..=at).next_back().map(|(_, leaf)| *leaf);
        let mapped = mapped.filter(|leaf| last_byte(leaf) >= at);
        if let Some(cached) = self.iotlb.lookup(cached_as, at) {
            let allowed = cached.permissions.allow(op);
            lookups.hits += u32::from(allowed || self.holds(Rule::AHitThatFaultsCounts));
            lookups.stale += u32::from(self.is_stale(domain, cached, mapped));
            return if allowed { Ok(cached) } else { Err(("no_permission", at)) };
        }
        lookups.misses += 1;
        self.summary.walks += 1;
        let allowed = mapped.is_some_and(|leaf| leaf.permissions.allow(op));
        self.summary.walks_faulted += u64::from(!allowed);
        let leaf = mapped.ok_or(("not_mapped", at))?;
        if !allowed && !self.holds(Rule::AFaultFillsNothing) {
            self.iotlb.fill(cached_as, leaf);
        }
        if !allowed && self.holds(Rule::AMissIsCheckedToo) {
            return Err(("no_permission", at));
        }
        if self.holds(Rule::LookupsBeforeAFaultFill) {
            self.iotlb.fill(cached_as, leaf);
        } else {
            fills.push(leaf);
        }
        Ok(leaf)
    }

    fn is_stale(&self, domain: u32, cached: Leaf, mapped: Option<Leaf>) -> bool {
        if !self.holds(Rule::RemappedElsewhereIsStale) {
            return mapped.is_none();
        }
        let once_unmapped = self.unmapped.contains(&(domain, cached));
        if !self.holds(Rule::RemappedTheSameIsNotStale) && once_unmapped {
            return true;
        }
        mapped != Some(cached)
    }

    /// Everything the replay leaves.
    pub fn finish(mut self) -> Results {
        let blocked = |fault| self.requests.iter().filter(|row| row.fault == Some(fault)).count() as u64;
        let sum = |of: fn(&ReplayRequestRow) -> u32| self.requests.iter().map(|row| u64::from(of(row))).sum();
        let summary = &mut self.summary;
        summary.dma_total = self.requests.len() as u64;
        summary.dma_translated = self.requests.iter().filter(|row| row.pa.is_some()).count() as u64;
        summary.dma_blocked = summary.dma_total - summary.dma_translated;
        summary.blocked_no_context = blocked("no_context");
        summary.blocked_bad_length = blocked("bad_length");
        summary.blocked_address_overflow = blocked("address_overflow");
        summary.blocked_not_mapped = blocked("not_mapped");
        summary.blocked_no_permission = blocked("no_permission");
        summary.iotlb_hits = sum(|row| row.iotlb_hits);
        summary.iotlb_misses = sum(|row| row.iotlb_misses);
        summary.iotlb_lookups = summary.iotlb_hits + summary.iotlb_misses;
        if summary.iotlb_lookups > 0 {
            summary.iotlb_hit_ratio = summary.iotlb_hits as f64 / summary.iotlb_lookups as f64;
        }
        summary.iotlb_evictions = self.iotlb.evictions;
        summary.iotlb_invalidated = self.iotlb.invalidated;
        summary.stale_total = sum(|row| row.stale);
        summary.refused_total = self.refused.len() as u64;
        summary.domains = self.domains.len() as u64;
        summary.devices = self.devices.len() as u64;
        summary.leaves_mapped = self.domains.values().map(|leaves| leaves.len() as u64).sum();
        Results {
            requests: self.requests.into_iter().collect::<Table>(),
            refused: self.refused.into_iter().collect::<Table>(),
            summary: self.summary,
        }
    }
}
