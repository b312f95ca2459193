//! Section 4: throughput over a window of pages.

use super::check::scenario;
use super::facts::{HASWELL_WRITES, THROUGHPUT, WITHOUT_IOMMU};
use super::{Basis, Check, Figure, Reference, Section, Tolerance};
use crate::Scenario;

/// The built-in scenario that asks the questions of sections 3 and 4.
pub(super) const WINDOW_SWEEP: &str = include_str!("../../scenarios/window-sweep.toml");

/// Which way the data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From host memory.
    Read,
    /// To host memory.
    Write,
}

impl Direction {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Write => "writes",
        }
    }
}

/// As many DMAs under way over `pages` pages as the machine bears.
pub(super) fn window(
    machine: &str,
    pages: u32,
    bytes: u32,
    direction: Direction,
    changes: &[String],
) -> Scenario {
    let read_share = if direction == Direction::Read { 1 } else { 0 };
    let of_row = [
        "requests=400000".into(),
        format!("machine={machine}"),
        format!("tenants.device.memory.pages={pages}"),
        format!("tenants.device.sizes={bytes}"),
        format!("tenants.device.read_share={read_share}"),
        "tenants.device.arrivals.outstanding=256".into(),
    ];
    scenario(WINDOW_SWEEP, &[&of_row[..], changes].concat())
}

const COLUMNS: [(Direction, u32); 7] = [
    (Direction::Read, 64),
    (Direction::Read, 128),
    (Direction::Read, 256),
    (Direction::Read, 512),
    (Direction::Write, 64),
    (Direction::Write, 128),
    (Direction::Write, 256),
];

pub(super) fn checks() -> Vec<Check> {
    let of_column =
        |column: usize| THROUGHPUT.into_iter().map(move |(pages, row)| broadwell(column, pages, row[column]));
    (0..COLUMNS.len()).flat_map(of_column).chain(haswell()).collect()
}

fn check(what: String, direction: Direction, expected: f64, basis: Basis, run: Scenario) -> Check {
    Check {
        section: Section::Throughput,
        what,
        reference: Reference::Measurement,
        expected,
        tolerance: Tolerance::Relative(if direction == Direction::Read { 0.2 } else { 0.08 }),
        basis,
        figure: Figure::Payload,
        runs: vec![run],
        known_miss: None,
    }
}

/// A cell of the table. What the device does of a size without an IOMMU is its own limit there.
fn broadwell(column: usize, pages: u32, expected: f64) -> Check {
    let (direction, bytes) = COLUMNS[column];
    let mops = WITHOUT_IOMMU[column] * 1e3 / 8.0 / f64::from(bytes);
    let key = if direction == Direction::Read { "max_read_mops" } else { "max_write_mops" };
    let run = window("broadwell", pages, bytes, direction, &[format!("device.{key}={mops:.2}")]);
    // All fits in the IOTLB: the limit alone. The walkers were counted by the writes' curves, the order of
    // retirement was chosen by the reads of 64 bytes over 128 pages.
    let chosen_by = |rows: &[(u32, u32)]| direction == Direction::Read && rows.contains(&(bytes, pages));
    let fitted = pages == 64
        || direction == Direction::Write
        || chosen_by(&[(64, 128)])
        || chosen_by(&CHOSE_EXPONENTIAL_WALKS);
    let basis = if fitted { Basis::Calibrated } else { Basis::Predicted };
    let what = format!("Broadwell, {} of {bytes} bytes, {pages} pages", direction.name());
    check(what, direction, expected, basis, run)
}

/// Bytes and pages of the reads that told exponential walks from constant ones: with those they come out 22 to 30 % too fast.
const CHOSE_EXPONENTIAL_WALKS: [(u32, u32); 6] =
    [(64, 256), (128, 256), (256, 512), (256, 1_024), (256, 4_096), (256, 16_384)];

/// The law of the Haswell Xeon's writes, where it and not the device limits.
fn haswell() -> Vec<Check> {
    let (entries, miss_ns) = HASWELL_WRITES;
    [512, 1_024, 4_096, 16_384]
        .map(|pages| {
            let misses = 1.0 - entries / f64::from(pages);
            let expected = 64.0 * 8.0 / (misses * miss_ns);
            let what = format!("Haswell, writes of 64 bytes, {pages} pages: the law");
            let run = window("haswell", pages, 64, Direction::Write, &[]);
            check(what, Direction::Write, expected, Basis::Calibrated, run)
        })
        .into()
}
