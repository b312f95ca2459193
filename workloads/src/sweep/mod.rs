//! Sweeps: one scenario at many points.
//!
//! An [`Axis`] is a key of the scenario and the values it takes; a [`SweepPlan`] combines axes, as a
//! grid or in step, with repeats under other seeds, and gives the scenario of each point. What an
//! axis may look like on the command line is the grammar of `values` (lists) and `range` (ranges,
//! in exact `decimal` numbers); [`SweepFile`] is the same as a TOML file.
//!
//! Invariants: points are numbered from 0, the last axis first, repeats before all axes; a point is
//! a function of the plan and its number alone; a value that stands in an error stands there with
//! its axis.

mod axis;
mod decimal;
mod error;
mod file;
mod plan;
mod range;
mod values;

pub use axis::{Axis, AxisItem, AxisType, AxisValue};
pub use error::SweepError;
pub use file::SweepFile;
pub use plan::{POINTS_MAX, Point, REPEAT_MAX, SweepPlan, SweepSpec};

#[cfg(test)]
mod tests;
