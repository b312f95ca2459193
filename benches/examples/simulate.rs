//! Simulates a scenario, built in or from a TOML file, without reports, for profilers:
//! `cargo run --release -p portcullis-benches --example simulate -- fleet-4096 10000000 1`, and overrides
//! like `engine.batch_requests=4096` behind that.

use std::time::Instant;

use portcullis_engine::simulation::Simulation;
use portcullis_workloads::{Override, Scenario, builtin};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "fleet-4096".to_owned());
    let requests = arguments.next().unwrap_or_else(|| "10000000".to_owned());
    let threads = arguments.next().map_or(1, |threads| threads.parse().expect("a number of threads"));
    let text = match builtin(&name) {
        Some(found) => found.toml.to_owned(),
        None => std::fs::read_to_string(&name).expect("a built-in scenario or the path of a TOML file"),
    };
    let mut overrides = vec![Override::new("requests", &requests)];
    overrides.extend(arguments.map(|argument| {
        let (key, value) = argument.split_once('=').expect("key=value");
        Override::new(key, value)
    }));
    let scenario = Scenario::parse(&name, &text, &overrides).expect("a scenario");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    pool.install(|| {
        let started = Instant::now();
        let mut simulation = Simulation::build(scenario.plan()).expect("built-ins can be built");
        let built = Instant::now();
        while !simulation.advance().finished {
            simulation.drain_tables();
        }
        let seconds = built.elapsed().as_secs_f64();
        let summary = simulation.finish().summary;
        println!(
            "{name}: {} DMAs in {seconds:.2} s, {:.1} M/s, {:.1} ns each; built in {:.2} s; hit ratio {:.3}, \
             walkers {:.2}, p50 {} ns, p99 {} ns, max {:.0} ns",
            summary.dma_total,
            summary.dma_total as f64 / seconds / 1e6,
            seconds * 1e9 / summary.dma_total as f64,
            (built - started).as_secs_f64(),
            summary.iotlb_hit_ratio,
            summary.walker_utilisation,
            summary.latency_p50_ns,
            summary.latency_p99_ns,
            summary.latency_max_ns,
        );
    });
}
