//! `--dry-run`: the points, and nothing simulated.

use std::fmt::Write as _;

use portcullis_reports::sweep::Shard;
use portcullis_workloads::sweep::{Axis, Point, SweepPlan};
use serde::Serialize;

use super::Request;
use crate::failure::Failure;
use crate::human::{count, counted};
use crate::{interrupt, stdout};

/// Bytes that are gathered before they are printed.
const PRINTED_AT_ONCE: usize = 1 << 16;

/// Prints a line for each point of the shard: its number, the axes' values, its seed where seeds are
/// repeated, and the DMAs expected; or, as JSON, how many points and DMAs there are.
///
/// # Errors
/// Stdout cannot be written, or the user asked to stop.
pub fn list(request: &Request, shard: Shard, json: bool) -> Result<(), Failure> {
    let listing = Listing::new(&request.plan);
    let points = shard.len(request.plan.points());
    let mut text = if json { String::new() } else { listing.header() };
    let mut dma_total = 0_u64;
    for ordinal in 0..points {
        interrupt::check()?;
        let point = request.plan.point(shard.point(ordinal)).map_err(Failure::bad_input)?;
        let dmas = point.scenario.expected_requests();
        dma_total = dma_total.saturating_add(dmas);
        if !json {
            listing.append(&point, dmas, &mut text);
        }
        if text.len() >= PRINTED_AT_ONCE {
            stdout::write(text.as_bytes())?;
            text.clear();
        }
    }
    if json {
        let totals = Totals { points_total: points, dma_total };
        text = serde_json::to_string(&totals).expect("numbers are JSON") + "\n";
    } else {
        let _ = writeln!(text, "{}, {}", counted(points, "point"), counted(dma_total, "DMA"));
    }
    stdout::write(text.as_bytes())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Totals {
    points_total: u64,
    dma_total: u64,
}

/// Lines of columns whose widths are known before the first: no line is kept.
struct Listing<'a> {
    plan: &'a SweepPlan,
    widths: Vec<usize>,
}

impl<'a> Listing<'a> {
    fn new(plan: &'a SweepPlan) -> Self {
        Self { plan, widths: plan.spec().axes.iter().map(width).collect() }
    }

    fn header(&self) -> String {
        let mut text = String::from(" point");
        for (axis, width) in self.plan.spec().axes.iter().zip(&self.widths) {
            let _ = write!(text, "  {:>width$}", axis.key);
        }
        if self.plan.spec().repeat.is_some() {
            let _ = write!(text, "  {:>20}", "seed");
        }
        let _ = writeln!(text, "  {:>15}", "DMAs");
        text
    }

    fn append(&self, point: &Point, dmas: u64, text: &mut String) {
        let _ = write!(text, "{:>6}", point.index);
        let items = self.plan.items(self.plan.group_of(point.index));
        for (item, width) in items.into_iter().zip(&self.widths) {
            let _ = write!(text, "  {:>width$}", item.text);
        }
        if point.repeat.is_some() {
            let _ = write!(text, "  {:>20}", point.scenario.seed);
        }
        let _ = writeln!(text, "  {:>15}", count(dmas));
    }
}

/// Characters that the widest of an axis' texts takes.
fn width(axis: &Axis) -> usize {
    let texts = axis.items.iter().map(|item| item.text.as_str()).chain([axis.key.as_str()]);
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}
