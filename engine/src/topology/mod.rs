//! Topology.

mod spec;

pub use spec::*;
