//! `--dry-run`: the points, and nothing simulated.

use std::fmt::Write as _;

use portcullis_reports::sweep::Shard;
use portcullis_workloads::sweep::{Axis, Point};
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
    let plan = &request.plan;
    let points = shard.len(plan.points());
    let axes = &plan.spec().axes;
    let widths: Vec<usize> = axes.iter().map(width).collect();
    let mut text = String::new();
    let mut dmas_total = 0_u64;
    if !json {
        text.push_str(" point");
        for (axis, width) in axes.iter().zip(&widths) {
            let _ = write!(text, "  {:>width$}", axis.key);
        }
        if plan.spec().repeat.is_some() {
            let _ = write!(text, "  {:>20}", "seed");
        }
        let _ = writeln!(text, "  {:>15}", "DMAs");
    }
    for ordinal in 0..points {
        interrupt::check()?;
        let index = shard.point(ordinal);
        let Point { scenario, repeat, .. } = plan.point(index).map_err(Failure::bad_input)?;
        let dmas = scenario.expected_requests();
        dmas_total = dmas_total.saturating_add(dmas);
        if json {
            continue;
        }
        let _ = write!(text, "{index:>6}");
        for (item, width) in plan.items(plan.group_of(index)).into_iter().zip(&widths) {
            let _ = write!(text, "  {:>width$}", item.text);
        }
        if repeat.is_some() {
            let _ = write!(text, "  {:>20}", scenario.seed);
        }
        let _ = writeln!(text, "  {:>15}", count(dmas));
        if text.len() >= PRINTED_AT_ONCE {
            stdout::write(text.as_bytes())?;
            text.clear();
        }
    }
    if json {
        #[derive(Serialize)]
        struct Listed {
            points_total: u64,
            dma_total: u64,
        }
        let listed = Listed { points_total: points, dma_total: dmas_total };
        text = serde_json::to_string(&listed).expect("numbers are JSON") + "\n";
    } else {
        let _ = writeln!(text, "{}, {}", counted(points, "point"), counted(dmas_total, "DMA"));
    }
    stdout::write(text.as_bytes())
}

/// Characters that the widest of an axis' texts takes.
fn width(axis: &Axis) -> usize {
    let texts = axis.items.iter().map(|item| item.text.as_str()).chain([axis.key.as_str()]);
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}
