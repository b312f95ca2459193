//! Link.

mod spec;

pub use spec::*;
