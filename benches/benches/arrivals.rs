//! What does it cost to put the arrivals of all links of a host in one order?
//!
//! `cargo bench --locked --bench arrivals`
//!
//! The merging stage on a host under way, ECS part included, empty passes of the flow included: fleet's
//! host with 1, 2, 8 and 32 adapters of 32 VFs, each at 60 % of its link, and with as many more walkers.

use criterion::Criterion;
use portcullis_benches::cases::{Change, endless_plan};
use portcullis_benches::measure::{bench_stages, group, run};
use portcullis_engine::schedule::Stage;

fn main() {
    run(&[arrivals]);
}

/// Adapters, walkers.
const CASES: [(&str, [Change; 2]); 4] = [
    ("1_adapter", [("topology.adapters_per_host", "1"), ("iommu.walkers.count", "16")]),
    ("2_adapters", [("topology.adapters_per_host", "2"), ("iommu.walkers.count", "16")]),
    ("8_adapters", [("topology.adapters_per_host", "8"), ("iommu.walkers.count", "64")]),
    ("32_adapters", [("topology.adapters_per_host", "32"), ("iommu.walkers.count", "256")]),
];

fn arrivals(criterion: &mut Criterion) {
    let mut group = group(criterion, "arrivals");
    for (id, changes) in CASES {
        bench_stages(&mut group, id, &[Stage::Arrive], || endless_plan("fleet-4096", &changes));
    }
}
