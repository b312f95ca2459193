//! A sweep under way.
//!
//! - `request`: from the arguments to a checked plan;
//! - `listing`: `--dry-run`;
//! - `runner`: the threads: jobs that simulate and write, publishers that bring points to disk;
//! - `point`: what one job does with one point, by the same function as `run`;
//! - `outcome`: what was done, for a person and for a program.

mod listing;
mod outcome;
mod point;
mod request;
mod runner;

pub use listing::list;
pub use request::Request;
pub use runner::run;
