//! What does it cost to issue: the VFs' queues, flow credits, read tags, and the time on the link?
//!
//! `cargo bench --locked --bench issue`
//!
//! The stage of gate and link on a host under way, ECS part included, empty passes of the flow included:
//!
//! - `queues_empty`: fleet's host at 60 % of its links: almost no DMA waits behind another;
//! - `mixed`: default's, bursts among its VFs;
//! - `queues_full`: fleet's host at 120 %: every queue is full and pushes back on its source;
//! - `few_tags`: fleet's host with 8 read tags an adapter: its reads wait for those before them, so that a
//!   batch takes many short passes of the flow.

use criterion::Criterion;
use portcullis_benches::cases::{Change, endless_plan};
use portcullis_benches::measure::{bench_stages, group, run};
use portcullis_engine::schedule::Stage;

fn main() {
    run(&[issue]);
}

const CASES: [(&str, &str, &[Change]); 4] = [
    ("queues_empty", "fleet-4096", &[]),
    ("mixed", "default", &[]),
    ("queues_full", "fleet-4096", &[("tenants.tenant.arrivals.link_load", "1.2")]),
    ("few_tags", "fleet-4096", &[("device.read_tags", "8")]),
];

fn issue(criterion: &mut Criterion) {
    let mut group = group(criterion, "issue");
    for (id, scenario, changes) in CASES {
        bench_stages(&mut group, id, &[Stage::Issue], || endless_plan(scenario, changes));
    }
}
