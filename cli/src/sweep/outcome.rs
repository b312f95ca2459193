//! What a sweep came to.

use std::path::PathBuf;

use portcullis_reports::sweep::{Shard, SweepRecord};
use portcullis_workloads::sweep::SweepPlan;
use serde::Serialize;

use super::point::Metrics;
use super::request::place;
use crate::failure::Failure;
use crate::human::{count, counted, gigabits, nanoseconds, number, seconds};
use crate::summary::{Lines, layout};

/// Counts of points, and the extremes among them.
#[derive(Debug, Default)]
pub struct Tally {
    /// Points that were there already.
    pub found: u64,
    /// Points that were simulated.
    pub finished: u64,
    /// Of these, points of which a damaged one was there.
    pub redone: u64,
    /// Points that failed.
    pub failed: u64,
    /// The first of them by number, and its error.
    first_failed: Option<(u64, String)>,
    /// Least and greatest of each figure.
    extremes: [Option<Extremes>; FIGURES.len()],
}

/// The least and the greatest value of a figure, each with the first of its points by number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Extremes {
    least: (f64, u64),
    greatest: (f64, u64),
}

/// A figure that the summary shows: its name, its value, how it reads.
type Figure = (&'static str, fn(&Metrics) -> f64, fn(f64) -> String);

const FIGURES: [Figure; 4] = [
    ("IOTLB hit ratio", |metrics| metrics.hit_ratio, |value| format!("{value:.4}")),
    ("latency p99", |metrics| metrics.latency_p99_ns, nanoseconds),
    ("throughput", |metrics| metrics.throughput_gbps, gigabits),
    ("fairness", |metrics| metrics.fairness, |value| format!("{value:.4}")),
];

impl Tally {
    /// How many points are settled.
    pub const fn points(&self) -> u64 {
        self.found + self.finished + self.failed
    }

    /// What stands behind the progress bar.
    pub fn note(&self) -> String {
        if self.failed == 0 { String::new() } else { format!("  {} failed", count(self.failed)) }
    }

    /// A point was there already.
    pub fn found(&mut self, point: u64, metrics: Metrics) {
        self.found += 1;
        self.compare(point, metrics);
    }

    /// A point is finished.
    pub fn finished(&mut self, point: u64, metrics: Metrics, redone: bool) {
        self.finished += 1;
        self.redone += u64::from(redone);
        self.compare(point, metrics);
    }

    /// A point failed.
    pub fn failed(&mut self, point: u64, error: String) {
        self.failed += 1;
        if self.first_failed.as_ref().is_none_or(|(first, _)| point < *first) {
            self.first_failed = Some((point, error));
        }
    }

    fn compare(&mut self, point: u64, metrics: Metrics) {
        for ((_, value, _), extremes) in FIGURES.iter().zip(&mut self.extremes) {
            let here = (value(&metrics), point);
            if here.0.is_nan() {
                continue;
            }
            let extremes = extremes.get_or_insert(Extremes { least: here, greatest: here });
            let Extremes { least, greatest } = extremes;
            // Points settle in any order: of equals the first by number stands.
            if here.0 < least.0 || (here.0 <= least.0 && point < least.1) {
                *least = here;
            }
            if here.0 > greatest.0 || (here.0 >= greatest.0 && point < greatest.1) {
                *greatest = here;
            }
        }
    }
}

/// A sweep that went to its end.
pub struct Outcome {
    /// The plan as the data set has it.
    pub record: SweepRecord,
    /// The points.
    pub plan: SweepPlan,
    /// The shard this process worked on.
    pub shard: Shard,
    /// Points of the shard.
    pub points: u64,
    /// What became of them.
    pub tally: Tally,
    /// Whether the intervals were written.
    pub intervals: bool,
    /// Wall time, s.
    pub wall_s: f64,
    /// The data set.
    pub path: PathBuf,
}

impl Outcome {
    /// One flat JSON object on a line.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            scenario: &'a str,
            shard: String,
            points_total: u64,
            points_done: u64,
            points_failed: u64,
            points_skipped: u64,
            points_redone: u64,
            intervals: bool,
            wall_s: f64,
            directory: String,
        }
        let object = Object {
            scenario: &self.record.scenario,
            shard: self.shard.to_string(),
            points_total: self.points,
            points_done: self.tally.finished,
            points_failed: self.tally.failed,
            points_skipped: self.tally.found,
            points_redone: self.tally.redone,
            intervals: self.intervals,
            wall_s: self.wall_s,
            directory: self.path.display().to_string(),
        };
        serde_json::to_string(&object).expect("names and numbers are JSON") + "\n"
    }

    /// A table.
    pub fn for_a_person(&self) -> String {
        let Self { record, tally, .. } = self;
        let mut title = format!("{}: {}", record.scenario, counted(self.points, "point"));
        if self.shard != Shard::WHOLE {
            title.push_str(&format!(" of {}, shard {}", count(record.points), self.shard));
        }
        let axes: Vec<String> =
            record.axes.iter().map(|axis| format!("{} ({})", axis.key, axis.values.len())).collect();
        let mut lines = Lines::new();
        if !axes.is_empty() {
            lines.push(("axes", axes.join(if record.zip { ", in step with " } else { " x " })));
        }
        if let Some(repeat) = record.repeat {
            lines.push(("repeats", format!("{repeat}, seeds from {}", record.seed)));
        }
        let redone = if tally.redone > 0 {
            format!(" ({} again: damaged)", count(tally.redone))
        } else {
            String::new()
        };
        lines.push(("simulated", format!("{}{redone}", counted(tally.finished, "point"))));
        lines.push(("resumed", counted(tally.found, "point")));
        lines.push(("failed", counted(tally.failed, "point")));
        for ((name, _, read), extremes) in FIGURES.iter().zip(&tally.extremes) {
            if let Some(extremes) = extremes {
                self.span(name, *extremes, *read, &mut lines);
            }
        }
        if tally.finished > 0 {
            let rate = tally.finished as f64 / self.wall_s;
            lines.push((
                "speed",
                format!("{} points a second, {} in all", number(rate), seconds(self.wall_s)),
            ));
        }
        if record.repeat.is_some() {
            let intervals = if self.intervals { "intervals.parquet" } else { "when all points are there" };
            lines.push(("intervals", intervals.into()));
        }
        lines.push(("data set", self.path.display().to_string()));
        layout(&title, lines)
    }

    /// The least and the greatest value of a figure, and where they are.
    fn span(&self, name: &'static str, extremes: Extremes, read: fn(f64) -> String, lines: &mut Lines) {
        let Extremes { least, greatest } = extremes;
        let [low, high] = [least, greatest].map(|(value, _)| read(value));
        if low == high {
            lines.push((name, format!("{low} at every point")));
            return;
        }
        lines.push((name, format!("{low} at {}", place(&self.plan, least.1))));
        lines.push(("to", format!("{high} at {}", place(&self.plan, greatest.1))));
    }

    /// `Ok` if every point of the shard is there.
    ///
    /// # Errors
    /// Points failed.
    pub fn verdict(&self) -> Result<(), Failure> {
        let Some((point, error)) = &self.tally.first_failed else { return Ok(()) };
        Err(Failure::failed(format_args!(
            "{} of {} failed, the first is point {point} ({}): {error}; `{}` has them all",
            count(self.tally.failed),
            counted(self.points, "point"),
            place(&self.plan, *point),
            self.path.join("failed").display(),
        )))
    }
}
