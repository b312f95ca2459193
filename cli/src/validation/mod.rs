//! The suite of `portcullis validate`: its runs on all threads, and what is printed of them.

mod printed;
mod runner;

pub use printed::{json, table};
pub use runner::run;
