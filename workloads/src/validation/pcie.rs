//! Section 2: what PCIe leaves to payload.

use super::check::scenario;
use super::facts::PCIE;
use super::throughput::{Direction, window};
use super::{Basis, Check, Figure, Reference, Section, Tolerance};

const LINK: &str = include_str!("../../validation/link.toml");

pub(super) fn checks() -> Vec<Check> {
    PCIE.iter()
        .flat_map(|row| of_model(row.0, row.1))
        .chain(PCIE.iter().flat_map(|row| of_hardware(row.0, row.2)))
        .collect()
}

/// A saturated link carries what the model says; of both directions at once each carries the same.
fn of_model(bytes: u32, expected: [f64; 3]) -> Vec<Check> {
    let rows = [("writes", 0.0), ("reads", 1.0), ("reads and writes", 0.5)].into_iter().zip(expected);
    rows.map(|((name, read_share), expected)| {
        let run = scenario(
            LINK,
            &[format!("tenants.all.sizes={bytes}"), format!("tenants.all.read_share={read_share}")],
        );
        let figure = if read_share == 0.5 { Figure::PayloadOfOne } else { Figure::Payload };
        Check {
            section: Section::Pcie,
            what: format!("{name} of {bytes} bytes: the model"),
            reference: Reference::Theory,
            expected,
            tolerance: Tolerance::Relative(0.005),
            basis: Basis::Predicted,
            figure,
            runs: vec![run],
            known_miss: None,
        }
    })
    .collect()
}

/// From 512 bytes on the link limits the Broadwell Xeon's device, below the device itself.
fn of_hardware(bytes: u32, expected: [f64; 2]) -> Vec<Check> {
    let rows = [Direction::Write, Direction::Read].into_iter().zip(expected);
    rows.filter(|_| bytes >= 512 || bytes == 64)
        .map(|(direction, expected)| Check {
            section: Section::Pcie,
            what: format!("{} of {bytes} bytes: Broadwell", direction.name()),
            reference: Reference::Measurement,
            expected,
            tolerance: Tolerance::Relative(0.04),
            basis: if bytes == 64 { Basis::Calibrated } else { Basis::Predicted },
            figure: Figure::Payload,
            runs: vec![window("broadwell", 64, bytes, direction, &[])],
            known_miss: None,
        })
        .collect()
}
