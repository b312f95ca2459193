//! Section 3: the latency of one read at a time over a window of pages.

use super::check::scenario;
use super::facts::LATENCY_NS;
use super::throughput::WINDOW_SWEEP;
use super::{Basis, Check, Figure, Reference, Section, Tolerance};

pub(super) fn checks() -> Vec<Check> {
    let column = |of: fn(&(u32, f64, f64)) -> f64| LATENCY_NS.map(|row| (row.0, of(&row)));
    let broadwell =
        Machine { key: "broadwell", name: "Broadwell", llc_mib: 25, latency_ns: column(|row| row.1) };
    let haswell = Machine { key: "haswell", name: "Haswell", llc_mib: 15, latency_ns: column(|row| row.2) };
    [broadwell, haswell].iter().flat_map(Machine::checks).collect()
}

struct Machine {
    key: &'static str,
    name: &'static str,
    /// The CPU's last-level cache, in 20 ways (Intel's data sheets).
    llc_mib: u32,
    /// By pages.
    latency_ns: [(u32, f64); 11],
}

impl Machine {
    fn checks(&self) -> Vec<Check> {
        let name = self.name;
        let small = self.latency_ns.iter().map(|&(pages, expected)| {
            let tolerance = if pages <= 2_048 { 0.015 } else { 0.08 };
            self.check(format!("{name}, {pages} pages"), pages, &[], expected, tolerance, Basis::Calibrated)
        });
        // Where the data leaves the cache. What that costs is the default, fitted to nothing.
        let cached = self.latency_ns.iter().filter(|(pages, _)| *pages > 2_048).map(|&(pages, expected)| {
            let what = format!("{name}, {pages} pages, with its LLC of {} MiB", self.llc_mib);
            let llc = [format!("memory.llc.bytes={}", self.llc_mib << 20), "memory.llc.ways=20".into()];
            self.check(what, pages, &llc, expected, 0.08, Basis::Calibrated)
        });
        // The windows of 2,048 pages of 4 KiB and less, in pages of 2 MiB: what a hit costs, and nothing more.
        let flat = [1, 2, 4].map(|pages| {
            let what = format!("{name}, {} pages' window in pages of 2 MiB: flat", pages * 512);
            let huge = ["tenants.device.memory.page_size=2m".into()];
            self.check(what, pages, &huge, self.latency_ns[0].1, 0.005, Basis::Predicted)
        });
        small.chain(cached).chain(flat).collect()
    }

    fn check(
        &self,
        what: String,
        pages: u32,
        changes: &[String],
        expected: f64,
        tolerance: f64,
        basis: Basis,
    ) -> Check {
        let of_row = [
            format!("machine={}", self.key),
            format!("tenants.device.memory.pages={pages}"),
            "warmup_us=2000".into(),
        ];
        Check {
            section: Section::Latency,
            what,
            reference: Reference::Measurement,
            expected,
            tolerance: Tolerance::Relative(tolerance),
            basis,
            figure: Figure::Latency,
            runs: vec![scenario(WINDOW_SWEEP, &[&of_row[..], changes].concat())],
            known_miss: None,
        }
    }
}
