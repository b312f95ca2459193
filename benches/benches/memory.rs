//! What does it cost to complete what was translated: memory, and the way back over the link?
//!
//! `cargo bench --locked --bench memory`
//!
//! The stage of memory and downstream link on a host under way, ECS part included, empty passes of the
//! flow included. Writes complete at once; reads are put in the order in which their data is ready and
//! queue for the link. `fleet` has 70 % reads; `reads` and `writes` are the same host with nothing else;
//! `faults` has holes in its memory, so that statuses overtake data.

use criterion::Criterion;
use portcullis_benches::cases::{Change, endless_plan};
use portcullis_benches::measure::{bench_stages, group, run};
use portcullis_engine::schedule::Stage;

fn main() {
    run(&[memory]);
}

const CASES: [(&str, &[Change]); 4] = [
    ("fleet", &[]),
    ("reads", &[("tenants.tenant.read_share", "1.0")]),
    ("writes", &[("tenants.tenant.read_share", "0.0")]),
    ("faults", &[("tenants.tenant.memory.hole_share", "0.2")]),
];

fn memory(criterion: &mut Criterion) {
    let mut group = group(criterion, "memory");
    for (id, changes) in CASES {
        bench_stages(&mut group, id, &[Stage::Complete], || endless_plan("fleet-4096", changes));
    }
}
