//! Topology: hosts, IOMMUs, adapters, VFs and tenants, and how a world is built of them.
//!
//! An IOMMU with the adapters behind it is a world of its own: hosts never affect one another, and the IOMMUs
//! of a host share nothing but its memory, of which each has its own frames. Within a world, entities of a kind
//! lie in one table in the order of their dense index, counted from 0 in each world, which is what refers to
//! them in hot paths. Names in results count within the host; a [`Place`] leads from one to the other.

mod build;
mod components;
mod dense;
mod place;
mod spec;

#[cfg(test)]
mod tests;

pub use build::*;
pub use components::*;
pub(crate) use dense::{columns, columns_mut, optional_columns_mut};
pub use place::*;
pub use spec::*;
