//! What the reference notes of where time goes, why look-ups miss and who evicts whom.

use std::collections::BTreeMap;

use portcullis_engine::domain::Leaf;
use portcullis_engine::translation::{FullWord, IotlbSpec, Ways, leaf_code};

use crate::plain_iotlb::PlainIotlb;

/// Picoseconds by cause, in the order of `Cause::ALL`.
pub type Split = [u64; 11];

/// Evictions by the class that evicts and the class that is evicted.
pub type Evictions = [[u64; 3]; 3];

/// Misses by cause: cold, capacity, conflict, invalidation.
pub type Missed = [u64; 4];

pub const COLD: usize = 0;
pub const CAPACITY: usize = 1;
pub const CONFLICT: usize = 2;
pub const INVALIDATION: usize = 3;

/// A look-up of a request.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub looked_up: u64,
    /// The walk it waits for.
    pub walk: Option<usize>,
}

/// A way up the link, of a DMA whose device has a TLB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leg {
    /// Whether it goes as a translation request.
    pub asks: bool,
    /// Whether a look-up made it ready; else an answer.
    pub looked_up: bool,
    pub ready: u64,
    pub left: u64,
    pub arrived: u64,
    /// When the IOMMU had done with it.
    pub known: u64,
    /// When the answer was back.
    pub back: u64,
}

/// What is noted of a request on its way.
#[derive(Clone, Debug, Default)]
pub struct Note {
    pub eligible: u64,
    /// When its device took it up, and how it went up the link.
    pub taken_up: u64,
    pub legs: Vec<Leg>,
    pub arrived: u64,
    pub answers: Vec<Answer>,
    /// When memory takes it on.
    pub turn: u64,
    /// When memory has done with it.
    pub ready: u64,
    /// When its data is back.
    pub back: u64,
}

/// When an adapter's next request had no credit, tag or slot.
#[derive(Clone, Debug, Default)]
pub struct Blocked {
    pub since: Option<u64>,
    spans: Vec<(u64, u64)>,
}

impl Blocked {
    pub fn end(&mut self, now: u64) {
        self.spans.extend(self.since.take().map(|since| (since, now)));
    }

    /// How much of the time from `from` to `to`; of the last span alone where `last` is set.
    pub fn between(&self, from: u64, to: u64, own: bool) -> u64 {
        let overlap = |&(start, end): &(u64, u64)| end.min(to).saturating_sub(start.max(from));
        let meant = |span: &&(u64, u64)| !own || span.1 == to;
        self.spans.iter().filter(meant).map(overlap).sum()
    }
}

/// What a device with a TLB waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceWait {
    Tlb,
    Credit,
    Link,
}

/// What a device with a TLB waited for, and when.
#[derive(Clone, Debug, Default)]
pub struct DeviceWaits {
    now: Option<(u64, DeviceWait)>,
    spans: Vec<(u64, u64, DeviceWait)>,
}

impl DeviceWaits {
    pub fn begin(&mut self, now: u64, wait: DeviceWait) {
        self.now = Some((now, wait));
    }

    pub fn end(&mut self, now: u64) {
        self.spans.extend(self.now.take().map(|(since, wait)| (since, now, wait)));
    }

    /// How much of the time from `from` to `to` it waited for it.
    pub fn between(&self, wait: DeviceWait, from: u64, to: u64) -> u64 {
        let spans = self.spans.iter().filter(|(_, _, of)| *of == wait);
        spans.map(|&(start, end, _)| end.min(to).saturating_sub(start.max(from))).sum()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Past {
    Evicted,
    Invalidated,
    CachedBy(usize),
}

/// Why look-ups miss, and who evicts whom.
pub struct Book {
    past: BTreeMap<(u32, u64), Past>,
    full: PlainIotlb,
    /// Whether the full cache hears of hits.
    pub hears_hits: bool,
    /// Whether what is dropped is told from what is evicted.
    pub knows_invalidations: bool,
    pub evictions: Evictions,
}

fn key(domain: u32, leaf: &Leaf) -> (u32, u64) {
    (domain, leaf_code(leaf.base, leaf.size))
}

impl Book {
    pub fn new(spec: &IotlbSpec, seed: u64) -> Self {
        let spec = IotlbSpec { ways: Ways::Full(FullWord::Full), ..spec.clone() };
        Self {
            past: BTreeMap::new(),
            full: PlainIotlb::new(&spec, seed, None),
            hears_hits: true,
            knows_invalidations: true,
            evictions: Default::default(),
        }
    }

    pub fn hit(&mut self, domain: u32, at: u64, leaf: Leaf) {
        if self.hears_hits && self.full.lookup(domain, at).is_none() {
            self.full.fill(domain, leaf);
        }
    }

    /// The cause of a miss of what `code` stands for.
    pub fn cause(&mut self, domain: u32, code: u64, at: u64) -> usize {
        let held = self.full.lookup(domain, at).is_some();
        match self.past.get(&(domain, code)) {
            None => COLD,
            Some(Past::Invalidated) => INVALIDATION,
            Some(_) if held => CONFLICT,
            Some(_) => CAPACITY,
        }
    }

    /// A walk for a class found a leaf, and the IOTLB cached it, perhaps over another, or did not.
    pub fn fill(
        &mut self,
        domain: u32,
        leaf: Leaf,
        class: usize,
        cached: Option<Option<(u32, Leaf)>>,
        counts: bool,
    ) {
        if let Some(Some((of_other, other))) = cached
            && let Some(Past::CachedBy(victim)) = self.past.insert(key(of_other, &other), Past::Evicted)
        {
            self.evictions[class][victim] += u64::from(counts);
        }
        if cached.is_some() {
            self.past.insert(key(domain, &leaf), Past::CachedBy(class));
        }
        if !self.full.holds_leaf(domain, &leaf) {
            self.full.fill(domain, leaf);
        }
    }

    /// What was dropped, and what the command means.
    pub fn invalidate(&mut self, dropped: Vec<(u32, Leaf)>, covers: impl Fn(u32, &Leaf) -> bool) {
        let past = if self.knows_invalidations { Past::Invalidated } else { Past::Evicted };
        self.past.extend(dropped.iter().map(|(domain, leaf)| (key(*domain, leaf), past)));
        self.full.drop_where(covers);
    }
}
