//! Section 5: what the misses of a ring of receive buffers leave of a NIC's throughput.

use super::check::scenario;
use super::facts::{MISSES, RINGS};
use super::theory::miss_law_gbps;
use super::{Basis, Check, Figure, Reference, Section, Tolerance};
use crate::Scenario;

const SCENARIO: &str = include_str!("../../validation/rings.toml");

/// How far throughput may be from the law at the misses of the run.
const WITHIN: f64 = 0.10;

/// A ring of so many buffers, and four times as many addresses.
fn ring(buffers: u32, changes: &[&str]) -> Scenario {
    let of_ring = [
        format!("tenants.receive.arrivals.outstanding={buffers}"),
        format!("tenants.receive.memory.pages={}", 4 * buffers),
    ];
    let changes = changes.iter().map(|change| String::from(*change));
    scenario(SCENARIO, &of_ring.into_iter().chain(changes).collect::<Vec<_>>())
}

pub(super) fn checks() -> Vec<Check> {
    let check =
        |what: String, expected: f64, tolerance: Tolerance, figure: Figure, runs: Vec<Scenario>| Check {
            section: Section::Misses,
            what,
            reference: Reference::Measurement,
            expected,
            tolerance,
            basis: Basis::Calibrated,
            figure,
            runs,
            known_miss: None,
        };
    // The authors' two points: the law was fitted to them, and is read right.
    let points = MISSES.map(|(flows, misses, gbps)| {
        let figure = Figure::Computed(miss_law_gbps(misses));
        check(
            format!("law at {misses} misses a page: {flows} flows"),
            gbps,
            Tolerance::Relative(0.01),
            figure,
            vec![],
        )
    });
    // l0 and l_m are the machine's, from the law; how many misses there are comes out of the run.
    let of_rings = RINGS.map(|buffers| {
        let runs = vec![ring(buffers, &[])];
        let what = format!("ring of {buffers} buffers, strict: throughput over the law's at its misses");
        check(what, 1.0, Tolerance::Relative(WITHIN), Figure::OfMissLaw, runs)
    });
    let predicted = |check: Check| Check { basis: Basis::Predicted, ..check };
    let leaf_only = RINGS.map(|buffers| {
        let runs = vec![ring(buffers, &["iommu.invalidation.walk_caches=leaf_only"])];
        let what = format!(
            "ring of {buffers} buffers, strict, leaf-only: misses a page, of which 1 is of the IOTLB"
        );
        predicted(check(what, 1.0, Tolerance::Absolute(0.05), Figure::MissesAPage, runs))
    });
    points.into_iter().chain(of_rings).chain(leaf_only).collect()
}
