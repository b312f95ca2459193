//! Section 3: the latency of one read at a time over a window of pages.

use super::check::scenario;
use super::facts::LATENCY_NS;
use super::throughput::WINDOW_SWEEP;
use super::{Basis, Check, Figure, Reference, Section, Tolerance};

pub(super) fn checks() -> Vec<Check> {
    let machines = [("broadwell", "Broadwell"), ("haswell", "Haswell")];
    machines.into_iter().flat_map(|(machine, name)| of_machine(machine, name)).collect()
}

fn of_machine(machine: &str, name: &str) -> Vec<Check> {
    let check =
        |what: String, pages: u32, page_size: &str, expected: f64, tolerance: f64, basis: Basis| Check {
            section: Section::Latency,
            what,
            reference: Reference::Measurement,
            expected,
            tolerance: Tolerance::Relative(tolerance),
            basis,
            figure: Figure::Latency,
            runs: vec![scenario(
                WINDOW_SWEEP,
                &[
                    format!("machine={machine}"),
                    format!("tenants.device.memory.pages={pages}"),
                    format!("tenants.device.memory.page_size={page_size}"),
                ],
            )],
            known_miss: None,
        };
    let small = LATENCY_NS.into_iter().map(|(pages, broadwell, haswell)| {
        let expected = if machine == "broadwell" { broadwell } else { haswell };
        let tolerance = if pages <= 2_048 { 0.015 } else { 0.08 };
        check(format!("{name}, {pages} pages"), pages, "4k", expected, tolerance, Basis::Calibrated)
    });
    let hit_ns = if machine == "broadwell" { LATENCY_NS[0].1 } else { LATENCY_NS[0].2 };
    // The windows of 2,048 pages of 4 KiB and less, in pages of 2 MiB: what a hit costs, and nothing more.
    let flat = [1, 2, 4].map(|pages| {
        let what = format!("{name}, {} pages' window in pages of 2 MiB: flat", pages * 512);
        check(what, pages, "2m", hit_ns, 0.005, Basis::Predicted)
    });
    small.chain(flat).collect()
}
