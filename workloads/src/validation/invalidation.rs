//! Section 7: what invalidations leave of many NVMe devices' I/O.

use super::check::scenario;
use super::facts::NVME;
use super::{Basis, Check, Figure, Reference, Section, Tolerance};

const SCENARIO: &str = include_str!("../../validation/nvme.toml");

/// Deferred invalidation leaves 0.97 of passthrough at least: so much less than measured, in millions a second.
const DEFERRED_WITHIN: f64 = 0.395;
/// How far strict may be from what is measured.
const STRICT_WITHIN: f64 = 0.15;

pub(super) fn checks() -> Vec<Check> {
    let [passthrough, deferred, strict] = NVME;
    let check = |what: &str, key: &str, expected: f64, tolerance: Tolerance, basis: Basis| Check {
        section: Section::Invalidation,
        what: format!("2 sockets, 8 NVMe devices, 4 KiB random reads: {what}"),
        reference: Reference::Measurement,
        expected,
        tolerance,
        basis,
        figure: Figure::Rate,
        runs: vec![scenario(SCENARIO, &[key.into()])],
        known_miss: None,
    };
    vec![
        // The devices' own limit is that of passthrough, and a command takes what strict does.
        check(
            "passthrough",
            "iommu.mode=passthrough",
            passthrough,
            Tolerance::Relative(0.01),
            Basis::Calibrated,
        ),
        check(
            "deferred",
            "iommu.invalidation.mode=deferred",
            deferred,
            Tolerance::Absolute(DEFERRED_WITHIN),
            Basis::Predicted,
        ),
        check(
            "strict",
            "iommu.invalidation.mode=strict",
            strict,
            Tolerance::Relative(STRICT_WITHIN),
            Basis::Calibrated,
        ),
    ]
}
