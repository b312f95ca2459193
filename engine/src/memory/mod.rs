//! Memory.

mod spec;

pub use spec::*;
