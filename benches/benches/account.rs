//! What does it cost to end a batch: to judge what was reached, to book what is over, to record faults, to
//! log?
//!
//! `cargo bench --locked --bench account`
//!
//! - `account/audit`: the owner map judges every translation, every 64th, none. What is left without
//!   judging is one pass over the rows that were looked up.
//! - `account/books`: every DMA that is over goes into the books of its VF, a window and two histograms:
//!   default (31 VFs), fleet (64), dense (1,024, whose histograms do not fit into the cache).
//! - `account/faults`: the fault queue, with no fault and with holes in a fifth of the memory; its timeline is
//!   soon full, as in a long run.
//! - `account/log`: a row a DMA, where that is asked for; the rows are dropped outside of the time.
//! - `account/latencies`: histograms alone, 128 or 2,048 of them, for latencies of the size a run has: as
//!   the books count them, the same with the line of each count asked for in advance, and by the
//!   `histogram` crate, one histogram after the other.
//!
//! The first four are stages on a host under way, ECS part included.

use criterion::{Criterion, Throughput};
use portcullis_benches::cases::{Change, endless_plan};
use portcullis_benches::measure::{Group, bench_stages, group, run};
use portcullis_engine::account::{Latencies, new_histogram};
use portcullis_engine::hash::{mix64, reduce};
use portcullis_engine::schedule::Stage;
use portcullis_engine::units::Picoseconds;

fn main() {
    run(&[audit, books, faults, log, latencies]);
}

fn audit(criterion: &mut Criterion) {
    let mut group = group(criterion, "account/audit");
    for audit in ["full", "sample", "off"] {
        bench_stages(&mut group, audit, &[Stage::Audit], || endless_plan("fleet-4096", &[("audit", audit)]));
    }
}

fn books(criterion: &mut Criterion) {
    let mut group = group(criterion, "account/books");
    for (id, scenario) in [("default", "default"), ("fleet", "fleet-4096"), ("dense", "dense-1024")] {
        bench_stages(&mut group, id, &[Stage::Account], || endless_plan(scenario, &[]));
    }
}

fn faults(criterion: &mut Criterion) {
    const CASES: [(&str, &[Change]); 2] =
        [("none", &[]), ("holes", &[("tenants.tenant.memory.hole_share", "0.2")])];
    let mut group = group(criterion, "account/faults");
    for (id, changes) in CASES {
        bench_stages(&mut group, id, &[Stage::Faults], || endless_plan("fleet-4096", changes));
    }
}

fn log(criterion: &mut Criterion) {
    let mut group = group(criterion, "account/log");
    for (id, on) in [("off", false), ("on", true)] {
        bench_stages(&mut group, id, &[Stage::Log], || {
            let mut plan = endless_plan("fleet-4096", &[]);
            plan.log_requests = on;
            plan
        });
    }
}

/// DMAs whose latencies are counted in an iteration.
const COUNTED: usize = 16_384;
/// Latencies that the iterations go round: their counts lie in more cache lines than those of a few would.
const DRAWN: u64 = 1 << 18;
/// Counts by which a prefetch runs ahead.
const AHEAD: usize = 24;

/// Histogram and latency of each DMA: 200 ns to 1.2 us, now and then up to 10 us.
fn counts(histograms: u32) -> Vec<(usize, Picoseconds)> {
    let of_dma = |number: u64| {
        let longest = if number.is_multiple_of(16) { 10_000_000 } else { 1_200_000 };
        let latency_ps = 200_000 + reduce(mix64(!number), longest - 200_000);
        (reduce(mix64(number + 1), histograms) as usize, Picoseconds(u64::from(latency_ps)))
    };
    (0..DRAWN).map(of_dma).collect()
}

fn latencies(criterion: &mut Criterion) {
    let mut group = group(criterion, "account/latencies");
    for histograms in [128, 2_048] {
        let counts = counts(histograms);
        let mut latencies = Latencies::new(histograms as usize);
        bench_counts(&mut group, format!("{histograms}/counted"), &counts, |counts| {
            for &(histogram, latency) in counts {
                latencies.count(latencies.place(histogram, latency));
            }
        });
        bench_counts(&mut group, format!("{histograms}/prefetched"), &counts, |counts| {
            for (number, &(histogram, latency)) in counts.iter().enumerate() {
                if let Some(&(histogram, latency)) = counts.get(number + AHEAD) {
                    latencies.prefetch(latencies.place(histogram, latency));
                }
                latencies.count(latencies.place(histogram, latency));
            }
        });
        let mut crates = vec![new_histogram(); histograms as usize];
        bench_counts(&mut group, format!("{histograms}/histogram_crate"), &counts, |counts| {
            for &(histogram, latency) in counts {
                crates[histogram].increment(latency.as_ns()).expect("in range");
            }
        });
    }
}

/// Measures the counting of some after some.
fn bench_counts(
    group: &mut Group<'_>,
    id: String,
    counts: &[(usize, Picoseconds)],
    mut count: impl FnMut(&[(usize, Picoseconds)]),
) {
    let mut parts = counts.chunks(COUNTED).cycle();
    group.throughput(Throughput::Elements(COUNTED as u64));
    group.bench_function(id, |bencher| {
        bencher.iter(|| count(parts.next().expect("it goes round")));
    });
}
