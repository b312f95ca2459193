//! What the model must reproduce: closed forms and published measurements, each beside the scenarios that
//! ask the simulator the same question.
//!
//! - `facts`: the figures, with their sources; nothing in them was made by this program;
//! - `theory`: closed forms that are computed anew;
//! - one file a section: `closed_forms`, `pcie`, `latency`, `throughput`;
//! - `little`: Little's law, a row a section, of every run there is;
//! - `check`: a figure, its tolerance, the runs that reproduce it, and the verdict.
//!
//! A new section is a file with a function that returns its checks, and a line in [`Section`]. Nothing here
//! runs anything: whoever has threads does, hands the summaries to [`Check::judge`] and the logs of requests to [`UnderWay`].

mod check;
mod closed_forms;
mod facts;
mod invalidation;
mod latency;
mod little;
mod pcie;
mod section;
mod theory;
mod throughput;

pub use check::*;
pub use little::UnderWay;
pub use section::*;

#[cfg(test)]
mod tests;
