//! Says where the time of a host goes, stage by stage:
//! `cargo run --release -p portcullis-benches --example stages -- fleet-4096 10000000`, and overrides like
//! `device.read_tags=8` behind that.
//!
//! The first host of a built-in scenario is advanced by so many DMAs after a tenth as many that are not timed.

use portcullis_benches::cases::endless_plan;
use portcullis_benches::staged_host::StagedHost;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "fleet-4096".to_owned());
    let dmas = arguments.next().map_or(10_000_000, |dmas| dmas.parse().expect("a number of DMAs"));
    let changes: Vec<(String, String)> = arguments
        .map(|argument| {
            let (key, value) = argument.split_once('=').expect("key=value");
            (key.to_owned(), value.to_owned())
        })
        .collect();
    let changes: Vec<(&str, &str)> =
        changes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut host = StagedHost::new(&endless_plan(&name, &changes));
    host.advance(dmas / 10);
    let (dmas, times) = host.advance(dmas);
    let ns_per_dma = |seconds: f64| seconds * 1e9 / dmas as f64;
    let mut total = 0.0;
    for (stage, time) in times.each() {
        println!("{:<10} {:>7.2} ns a DMA", format!("{stage:?}"), ns_per_dma(time.as_secs_f64()));
        total += ns_per_dma(time.as_secs_f64());
    }
    println!("{:<10} {total:>7.2} ns a DMA", "all");
}
