//! Traces by hand: short names for events, and what a replay makes of them.

use portcullis_engine::domain::{LeafSize, Permissions};
use portcullis_engine::ids::{DomainId, Iova, PhysAddr, RequesterId};
use portcullis_engine::plan::Audit;
use portcullis_engine::replay::{Event, RefusedRow, Replay, ReplayPlan, ReplayRequestRow, ReplaySummaryRow};
use portcullis_engine::request::Op;
use portcullis_engine::table::{Column, Table};
use portcullis_engine::translation::{FullWord, IotlbSpec, Ways};

use crate::reference::Reference;

pub use portcullis_engine::domain::LeafSize::{Size1G as G1, Size2M as M2, Size4K as K4};
pub use portcullis_engine::domain::Permissions::{None as NO_RIGHT, Read as R, ReadWrite as RW, Write as W};

/// Bytes of a 2 MiB leaf.
pub const MIB2: u64 = 2 << 20;
/// Bytes of a 1 GiB leaf.
pub const GIB: u64 = 1 << 30;

pub fn map(domain: u32, iova: u64, pa: u64, size: LeafSize, permissions: Permissions) -> Event {
    Event::Map { domain: DomainId(domain), iova: Iova(iova), pa: PhysAddr(pa), size, permissions }
}

/// Maps a 4 KiB page for reads and writes.
pub fn page(domain: u32, iova: u64, pa: u64) -> Event {
    map(domain, iova, pa, K4, RW)
}

pub fn unmap(domain: u32, iova: u64, size: LeafSize) -> Event {
    Event::Unmap { domain: DomainId(domain), iova: Iova(iova), size }
}

pub fn unmap_deferred(domain: u32, iova: u64, size: LeafSize) -> Event {
    Event::UnmapDeferred { domain: DomainId(domain), iova: Iova(iova), size }
}

pub fn invalidate_page(domain: u32, iova: u64, size: LeafSize) -> Event {
    Event::InvalidatePage { domain: DomainId(domain), iova: Iova(iova), size }
}

pub fn invalidate_domain(domain: u32) -> Event {
    Event::InvalidateDomain { domain: DomainId(domain) }
}

pub fn attach(device: u32, domain: u32) -> Event {
    Event::Attach { device: RequesterId(device), domain: DomainId(domain) }
}

pub fn detach(device: u32) -> Event {
    Event::Detach { device: RequesterId(device) }
}

pub fn read(device: u32, iova: u64, length_bytes: u64) -> Event {
    Event::Dma { device: RequesterId(device), iova: Iova(iova), length_bytes, op: Op::Read }
}

pub fn write(device: u32, iova: u64, length_bytes: u64) -> Event {
    Event::Dma { device: RequesterId(device), iova: Iova(iova), length_bytes, op: Op::Write }
}

/// The tables and the summary of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    pub requests: Table,
    pub refused: Table,
    pub summary: ReplaySummaryRow,
}

/// A replay that was fed in batches, with rows drained at the end of each.
pub struct Fed {
    pub replay: Replay,
    requests: Table,
    refused: Table,
}

impl Fed {
    pub fn new(plan: &ReplayPlan) -> Self {
        Self {
            replay: Replay::new(plan.clone()).expect("a valid IOTLB"),
            requests: Table::new::<ReplayRequestRow>(),
            refused: Table::new::<RefusedRow>(),
        }
    }

    pub fn take(&mut self, tables: Vec<Table>) {
        for table in tables {
            match table.name {
                "requests" => self.requests.extend(table),
                "refused" => self.refused.extend(table),
                other => panic!("unknown table {other}"),
            }
        }
    }

    pub fn drain(&mut self) {
        let tables = self.replay.drain_tables();
        self.take(tables);
    }

    /// The results; nothing may have broken the isolation.
    pub fn finish(mut self) -> Results {
        self.drain();
        let result = self.replay.finish();
        assert_eq!(result.breach, None);
        assert!(result.tables.is_empty(), "all rows were drained");
        Results { requests: self.requests, refused: self.refused, summary: result.summary }
    }
}

/// Runs events cut into batches of the given lengths; what is left over is one batch more.
pub fn replay(plan: &ReplayPlan, events: &[Event], cuts: &[usize]) -> Results {
    let mut fed = Fed::new(plan);
    for batch in batches(events, cuts) {
        fed.replay.apply(batch);
        fed.drain();
    }
    fed.finish()
}

/// Events cut into batches of the given lengths; what is left over is one batch more.
pub fn batches<'a>(events: &'a [Event], cuts: &[usize]) -> Vec<&'a [Event]> {
    let mut left = events;
    let mut batches = Vec::new();
    for cut in cuts {
        let (batch, rest) = left.split_at((*cut).min(left.len()));
        batches.push(batch);
        left = rest;
    }
    batches.push(left);
    batches
}

/// What the reference makes of the events.
pub fn referred(plan: &ReplayPlan, events: &[Event]) -> Results {
    let mut reference = Reference::new(plan, None);
    events.iter().for_each(|event| reference.apply(event));
    reference.finish()
}

/// What became of a DMA, without what the event says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dma {
    /// Physical address of the first byte, or the fault with the address that faulted.
    pub result: Result<u64, (&'static str, u64)>,
    pub hits: u32,
    pub misses: u32,
    pub stale: u32,
}

/// Translated by one hit.
pub fn hit(pa: u64) -> Dma {
    translated(pa, 1, 0)
}

/// Translated by one hit that was stale.
pub fn stale(pa: u64) -> Dma {
    Dma { stale: 1, ..hit(pa) }
}

/// Translated by one miss.
pub fn miss(pa: u64) -> Dma {
    translated(pa, 0, 1)
}

pub fn translated(pa: u64, hits: u32, misses: u32) -> Dma {
    Dma { result: Ok(pa), hits, misses, stale: 0 }
}

pub fn blocked(fault: &'static str, at: u64, hits: u32, misses: u32) -> Dma {
    Dma { result: Err((fault, at)), hits, misses, stale: 0 }
}

/// What a trace by hand came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub dmas: Vec<Dma>,
    /// Row, event and reason.
    pub refused: Vec<(u64, &'static str, &'static str)>,
    pub summary: ReplaySummaryRow,
}

/// 64 entries in one set, so that nothing is evicted unless a test wants it.
pub fn plan() -> ReplayPlan {
    let iotlb = IotlbSpec { entries: 64, ways: Ways::Full(FullWord::Full), ..IotlbSpec::default() };
    ReplayPlan { trace: "trace".to_owned(), seed: 1, iotlb, audit: Audit::Full }
}

/// Runs a trace in one batch and in batches of one event, which must not differ, nor from the reference.
pub fn run(events: &[Event]) -> Outcome {
    run_with(&plan(), events)
}

/// [`run`] under a plan of its own.
pub fn run_with(plan: &ReplayPlan, events: &[Event]) -> Outcome {
    let results = replay(plan, events, &[]);
    assert_eq!(results, replay(plan, events, &vec![1; events.len()]), "batches");
    assert_eq!(results, referred(plan, events), "the reference");
    outcome(results)
}

fn outcome(results: Results) -> Outcome {
    let requests = &results.requests;
    let [outcomes, ops] = ["outcome", "op"].map(|name| names(requests, name));
    assert!(ops.iter().all(|op| ["r", "w"].contains(op)));
    let Column::OptionalName(faults) = column(requests, "fault") else { panic!("faults are names") };
    let (fault_iovas, pas) = (optional(requests, "fault_iova"), optional(requests, "pa"));
    let [hits, misses, stale] =
        ["iotlb_hits", "iotlb_misses", "stale"].map(|name| match column(requests, name) {
            Column::U32(cells) => cells.clone(),
            other => panic!("{name} is a count: {other:?}"),
        });
    let dma = |at: usize| Dma {
        result: match (outcomes[at], pas[at], faults[at], fault_iovas[at]) {
            ("translated", Some(pa), None, None) => Ok(pa),
            ("blocked", None, Some(fault), Some(iova)) => Err((fault, iova)),
            other => panic!("row {at} contradicts itself: {other:?}"),
        },
        hits: hits[at],
        misses: misses[at],
        stale: stale[at],
    };
    let (events, reasons) = (names(&results.refused, "event"), names(&results.refused, "reason"));
    let Column::U64(rows) = column(&results.refused, "row") else { panic!("rows are numbers") };
    Outcome {
        dmas: (0..requests.len()).map(dma).collect(),
        refused: (0..rows.len()).map(|at| (rows[at], events[at], reasons[at])).collect(),
        summary: results.summary,
    }
}

/// A column by its name.
pub fn column<'a>(table: &'a Table, name: &str) -> &'a Column {
    let at = table.fields.iter().position(|field| field.name == name).expect("a column of this name");
    &table.columns[at]
}

fn names(table: &Table, name: &str) -> Vec<&'static str> {
    let Column::Name(cells) = column(table, name) else { panic!("{name} is a name") };
    cells.clone()
}

fn optional(table: &Table, name: &str) -> Vec<Option<u64>> {
    let Column::OptionalU64(cells) = column(table, name) else { panic!("{name} may be absent") };
    cells.clone()
}
