//! What the model must reproduce: closed forms and published measurements, each beside the scenarios that
//! ask the simulator the same question.
//!
//! - `facts`: the figures, with their sources; nothing in them was made by this program;
//! - `theory`: closed forms that are computed anew;
//! - one file a section: `closed_forms`, `pcie`, `latency`, `throughput`, `misses`, `invalidation`;
//! - `check`: a figure, its tolerance, the runs that reproduce it, and the verdict.
//!
//! A new section is a file with a function that returns its checks, and a line in [`Section`]. Nothing here
//! runs anything: whoever has threads does, and hands the summaries to [`Check::judge`].

mod check;
mod cliff;
mod closed_forms;
mod facts;
mod invalidation;
mod latency;
mod misses;
mod pcie;
mod section;
mod theory;
mod throughput;

pub use check::*;
pub use section::*;

#[cfg(test)]
mod tests;
