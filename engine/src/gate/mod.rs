//! Gate.

mod spec;

pub use spec::*;
