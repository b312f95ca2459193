//! What does it cost to make traffic: to draw it, and to put it in order?
//!
//! `cargo bench --locked --bench traffic`
//!
//! - `traffic/stage`: rows of finished DMAs are reused, every source emits what it intends in a batch, the
//!   pool takes it in the order of time. On a host under way, ECS part included: default (31 VFs of mixed
//!   tenants), fleet (64 VFs), dense (1,024 VFs).
//! - `traffic/source`: one source alone, 32 requests a call, as a batch asks for them where VFs are many.
//!   Its state stays in the cache.
//! - `traffic/order`: a batch of 64 VFs or of 1,024 put in order by the stage's kernel, and beside it by two sorts
//!   of the standard library: of the same packed keys, and of positions by time.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use portcullis_benches::cases::{Change, endless_plan};
use portcullis_benches::measure::{bench_stages, group, run};
use portcullis_engine::ids::{HostIndex, VfIndex};
use portcullis_engine::request::Intended;
use portcullis_engine::schedule::Stage;
use portcullis_engine::topology::Place;
use portcullis_engine::traffic::{SortScratch, Staged, order};
use portcullis_engine::units::Picoseconds;

fn main() {
    run(&[stage, source, ordering]);
}

fn stage(criterion: &mut Criterion) {
    let mut group = group(criterion, "traffic/stage");
    for (id, scenario) in [("default", "default"), ("fleet", "fleet-4096"), ("dense", "dense-1024")] {
        bench_stages(&mut group, id, &[Stage::Reuse, Stage::Traffic], || endless_plan(scenario, &[]));
    }
}

/// Requests a source is asked for in one call.
const ROWS: usize = 32;
/// Calls an iteration.
const CALLS: usize = 64;

/// Arrivals and patterns.
const SOURCES: [(&str, &[Change]); 6] = [
    ("poisson_zipf", &[]),
    ("poisson_uniform", &[("tenants.tenant.pattern.kind", "uniform")]),
    ("poisson_ring", &[("tenants.tenant.pattern.kind", "ring")]),
    ("poisson_hot_cold", &[("tenants.tenant.pattern.kind", "hot_cold")]),
    (
        "constant_stream",
        &[("tenants.tenant.arrivals.kind", "constant"), ("tenants.tenant.pattern.kind", "stream")],
    ),
    ("onoff_zipf", &[("tenants.tenant.arrivals.kind", "onoff")]),
];

/// One VF, so that its share of the DMAs is all of them.
const ONE_VF: [Change; 3] =
    [("topology.hosts", "1"), ("topology.adapters_per_host", "1"), ("topology.vfs_per_adapter", "1")];

fn source(criterion: &mut Criterion) {
    let mut group = group(criterion, "traffic/source");
    group.throughput(Throughput::Elements((ROWS * CALLS) as u64));
    for (id, changes) in SOURCES {
        let mut source = None;
        let mut staged = Staged::default();
        group.bench_function(id, |bencher| {
            let source = source.get_or_insert_with(|| {
                let plan = endless_plan("fleet-4096", &[&ONE_VF, changes].concat());
                (plan.tenants)(HostIndex(0), VfIndex(0)).source
            });
            bencher.iter(|| {
                staged.len = 0;
                for _ in 0..CALLS {
                    staged.take_from(source.as_mut(), 0, Picoseconds::MAX, ROWS);
                }
                assert_eq!(staged.len, ROWS * CALLS, "the source is exhausted");
                black_box(&staged);
            });
        });
    }
}

/// A batch of an IOMMU as its sources leave it, about 2,048 requests, and its span of time.
struct Batch {
    staged: Staged,
    first: Picoseconds,
    last: Picoseconds,
}

impl Batch {
    fn new(scenario: &str, vfs: u32) -> Self {
        let plan = endless_plan(scenario, &[]);
        let span = Place::of_host(&plan, HostIndex(0))[0].batch_span(&plan);
        // After a while, so that no source is at its start.
        let first = Picoseconds(20 * span.0);
        let last = first + span;
        let mut staged = Staged::default();
        for vf in 0..vfs {
            let mut source = (plan.tenants)(HostIndex(0), VfIndex(vf)).source;
            Staged::default().take_from(source.as_mut(), vf, first, 1 << 12);
            staged.take_from(source.as_mut(), vf, last, 1 << 12);
        }
        Self { staged, first, last }
    }

    fn times(&self) -> &[Intended] {
        &self.staged.intended[..self.staged.len]
    }
}

fn ordering(criterion: &mut Criterion) {
    let mut group = group(criterion, "traffic/order");
    for (id, scenario, vfs) in [("64_vfs", "fleet-4096", 64), ("1024_vfs", "dense-1024", 1_024)] {
        let batch = Batch::new(scenario, vfs);
        group.throughput(Throughput::Elements(batch.staged.len as u64));
        let (mut scratch, mut sorted) = (SortScratch::default(), Vec::new());
        group.bench_function(format!("{id}/kernel"), |bencher| {
            bencher.iter(|| {
                order(&batch.staged, batch.first, batch.last, &mut scratch, &mut sorted);
                black_box(&sorted);
            });
        });
        let mut keys: Vec<u64> = Vec::new();
        group.bench_function(format!("{id}/sort_of_keys"), |bencher| {
            bencher.iter(|| {
                keys.clear();
                let times = batch.times().iter().zip(0..);
                keys.extend(times.map(|(time, number)| (time.0 - batch.first).0 << 24 | number));
                keys.sort_unstable();
                black_box(&keys);
            });
        });
        let mut positions: Vec<u32> = Vec::new();
        group.bench_function(format!("{id}/sort_of_positions"), |bencher| {
            bencher.iter(|| {
                positions.clear();
                positions.extend((0..).take(batch.staged.len));
                positions.sort_by_key(|at| batch.times()[*at as usize].0);
                black_box(&positions);
            });
        });
    }
}
