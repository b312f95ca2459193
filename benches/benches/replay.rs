//! How many events a second does a replay take?
//!
//! `cargo bench --locked --bench replay`
//!
//! Traces are made up: 64 domains of 1,024 pages, pages drawn alike, an IOTLB of 8,192 entries in 8 ways, every
//! DMA judged by the owner map and left as a row, which is dropped outside of the time.
//!
//! - `replay/session`: batches of 65,536 events as the command line applies them, ECS part included: `dma`
//!   (nothing else), `churn` (of ten events an unmap and a map), `map_unmap` (nothing but those, 32,768 pages,
//!   which is mostly the entity of each mapping).
//! - `replay/kernel`: the same events through the kernel alone, which knows of no entities.
//! - `replay/csv`: the `churn` trace read from text in memory.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use portcullis_benches::measure::{Group, group, run};
use portcullis_benches::trace::{Parties, csv};
use portcullis_engine::account::AuditPolicy;
use portcullis_engine::domain::{MappedFrames, PageTable};
use portcullis_engine::plan::Audit;
use portcullis_engine::replay::{
    Event, MappingChange, Replay, ReplayCounters, ReplayPlan, ReplayState, ReplayTables,
};
use portcullis_engine::translation::{AnyIotlb, ContextEntry, IotlbSpec};
use portcullis_workloads::CsvEvents;

const PARTIES: Parties = Parties { domains: 64, pages: 1_024 };
/// Events applied together.
const BATCH: u32 = 1 << 16;

fn main() {
    run(&[session, kernel, csv_text]);
}

fn iotlb() -> IotlbSpec {
    IotlbSpec { entries: 8_192, ..IotlbSpec::default() }
}

/// A trace, and what comes before it.
struct Trace {
    before: Vec<Event>,
    events: Vec<Event>,
}

impl Trace {
    const NAMES: [&'static str; 3] = ["dma", "churn", "map_unmap"];

    fn new(name: &str) -> Self {
        let before = PARTIES.maps();
        let events = match name {
            "dma" => PARTIES.dmas(BATCH),
            "churn" => PARTIES.churn(BATCH),
            _ => map_unmap(&before),
        };
        Self { before, events }
    }
}

/// Half of the pages are unmapped, and mapped again.
fn map_unmap(mapped: &[Event]) -> Vec<Event> {
    let maps = || mapped.iter().filter(|event| matches!(event, Event::Map { .. })).step_by(2).copied();
    let unmap = |event| match event {
        Event::Map { domain, iova, size, .. } => Event::Unmap { domain, iova, size },
        other => unreachable!("{other:?} is no map"),
    };
    maps().map(unmap).chain(maps()).collect()
}

/// Something that events are applied to.
trait Subject {
    fn new() -> Self;
    fn apply(&mut self, events: &[Event]);
    /// Drops the rows of results.
    fn drop_rows(&mut self);
}

fn bench_trace<S: Subject>(group: &mut Group<'_>, name: &str) {
    let mut state = None;
    // The traces that make no full batch are a few events short of it.
    group.throughput(Throughput::Elements(u64::from(BATCH)));
    group.bench_function(name, |bencher| {
        let (subject, events) = state.get_or_insert_with(|| {
            let (mut subject, trace) = (S::new(), Trace::new(name));
            subject.apply(&trace.before);
            (subject, trace.events)
        });
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                let start = Instant::now();
                subject.apply(events);
                spent += start.elapsed();
                subject.drop_rows();
            }
            spent.mul_f64(f64::from(BATCH) / events.len() as f64)
        });
    });
}

impl Subject for Replay {
    fn new() -> Self {
        let plan = ReplayPlan { trace: String::from("made up"), seed: 1, iotlb: iotlb(), audit: Audit::Full };
        Self::new(plan).expect("a valid IOTLB")
    }

    fn apply(&mut self, events: &[Event]) {
        self.apply(events);
    }

    fn drop_rows(&mut self) {
        self.drain_tables();
    }
}

fn session(criterion: &mut Criterion) {
    let mut group = group(criterion, "replay/session");
    for name in Trace::NAMES {
        bench_trace::<Replay>(&mut group, name);
    }
}

/// What the kernel works on.
struct Kernel {
    iotlb: AnyIotlb,
    tables: Vec<PageTable>,
    contexts: Vec<ContextEntry>,
    frames: MappedFrames,
    counters: ReplayCounters,
    output: ReplayTables,
    changes: Vec<MappingChange>,
    row: u64,
}

impl Subject for Kernel {
    fn new() -> Self {
        Self {
            iotlb: AnyIotlb::new(&iotlb(), 1),
            tables: (0..PARTIES.domains).map(|_| PageTable::new()).collect(),
            contexts: (0..PARTIES.domains).map(|_| ContextEntry(None)).collect(),
            frames: MappedFrames::default(),
            counters: ReplayCounters::default(),
            output: ReplayTables::default(),
            changes: Vec::new(),
            row: 0,
        }
    }

    fn apply(&mut self, events: &[Event]) {
        let AnyIotlb::Lru(iotlb) = &mut self.iotlb else { unreachable!("LRU is the default") };
        let mut state = ReplayState {
            iotlb,
            tables: &mut self.tables,
            contexts: &mut self.contexts,
            frames: &mut self.frames,
            audit: AuditPolicy(Audit::Full),
            counters: &mut self.counters,
            output: &mut self.output,
            changes: &mut self.changes,
        };
        for (row, event) in (self.row..).zip(events) {
            state.apply(row, event, |domain| domain.0, |device| device.0);
        }
        self.row += events.len() as u64;
    }

    fn drop_rows(&mut self) {
        self.output = ReplayTables::default();
        self.changes.clear();
    }
}

fn kernel(criterion: &mut Criterion) {
    let mut group = group(criterion, "replay/kernel");
    for name in Trace::NAMES {
        bench_trace::<Kernel>(&mut group, name);
    }
}

fn csv_text(criterion: &mut Criterion) {
    let mut group = group(criterion, "replay");
    let events = PARTIES.churn(BATCH);
    let text = csv(&events);
    let mut read = Vec::with_capacity(events.len());
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("csv", |bencher| {
        bencher.iter(|| {
            read.clear();
            let mut trace = CsvEvents::new("made up", text.as_bytes()).expect("a header");
            while trace.next_batch(&mut read, BATCH as usize).expect("no malformed row") {}
            black_box(&read);
        });
    });
}
