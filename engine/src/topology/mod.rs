//! Topology: hosts, IOMMUs, adapters, VFs and tenants, and how a world is built of them.
//!
//! A host is a world of its own: hosts never affect one another. Within it, entities of a kind lie in
//! one table in the order of their dense index, which is what refers to them in hot paths.

mod build;
mod components;
mod dense;
mod spec;

pub use build::*;
pub use components::*;
pub(crate) use dense::{columns, columns_mut};
pub use spec::*;
