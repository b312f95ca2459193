//! How many DMAs a second does a whole simulation do?
//!
//! `cargo bench --locked --bench end_to_end`
//!
//! From the first batch to the last DMA, its windows handed over as a run hands them to its report, from a
//! cold IOTLB to empty queues. Building the hosts and summing up at the end are not timed; nothing is written.
//!
//! - `end_to_end/fleet`: fleet-4096 cut to four of its 64 hosts;
//! - `end_to_end/dense`: dense-1024, 1,024 VFs on one adapter;
//! - `end_to_end/default`: the default scenario, 31 VFs of mixed tenants.
//!
//! Each with every translation judged by the owner map (`audit_full`) and with none (`audit_off`), on one
//! thread; fleet also on two. Hosts are what runs in parallel: the others have one.

use criterion::{BatchSize, Criterion, Throughput};
use portcullis_benches::cases::{Change, plan};
use portcullis_benches::measure::{group, run};
use portcullis_engine::simulation::Simulation;

fn main() {
    run(&[end_to_end]);
}

/// A scenario, cut to so many DMAs, on one to so many threads.
struct Case {
    id: &'static str,
    scenario: &'static str,
    changes: &'static [Change<'static>],
    threads_max: usize,
}

const CASES: [Case; 3] = [
    Case {
        id: "fleet",
        scenario: "fleet-4096",
        changes: &[("topology.hosts", "4"), ("requests", "2_000_000")],
        threads_max: 2,
    },
    Case { id: "dense", scenario: "dense-1024", changes: &[("requests", "2_000_000")], threads_max: 1 },
    Case { id: "default", scenario: "default", changes: &[("requests", "1_000_000")], threads_max: 1 },
];

fn end_to_end(criterion: &mut Criterion) {
    for case in CASES {
        let mut group = group(criterion, &format!("end_to_end/{}", case.id));
        for audit in ["full", "off"] {
            for threads in 1..=case.threads_max {
                let plan = || plan(case.scenario, &[case.changes, &[("audit", audit)]].concat());
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                group.throughput(Throughput::Elements(plan().expected_requests));
                group.bench_function(format!("audit_{audit}/threads_{threads}"), |bencher| {
                    bencher.iter_batched(
                        || pool.install(|| Simulation::build(plan()).expect("a valid machine")),
                        |simulation| pool.install(|| simulate(simulation)),
                        BatchSize::PerIteration,
                    );
                });
            }
        }
    }
}

/// To the end; the simulation is returned, to be dropped outside of the time.
fn simulate(mut simulation: Simulation) -> Simulation {
    while !simulation.advance().finished {
        simulation.drain_tables();
    }
    simulation
}
