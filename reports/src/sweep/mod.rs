//! The directory of a sweep: a data set of the reports of its points.
//!
//! ```text
//! sweep.json           the plan: what every point is, written before the first
//! point=000000/        the report of a point: it appears whole, with its columns for the axes
//! failed/              point=000007.json: a point that failed, and why
//! intervals.parquet    means over repeats, once every point is there
//! .running-XXXXXX/     where a process at work writes its points before they are renamed
//! .lock                held while a process starts
//! ```
//!
//! Invariants: `sweep.json` never changes but by `--force`; a point's directory is never changed, it is
//! there or not; processes at work share no point ([`Shard`]); what a process left that was killed
//! is told from what a living one writes by the lock that only the living hold.

mod directory;
mod failed;
mod intervals;
mod part;
mod record;
mod shard;
mod student;
mod workspace;

pub use directory::{SweepDirectory, point_name};
pub use failed::FailedPoint;
pub use intervals::IntervalRow;
pub use part::{Expected, PointState};
pub use record::{AxisRecord, SweepRecord};
pub use shard::Shard;
