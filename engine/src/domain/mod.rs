//! Domains: what a device may reach.
//!
//! A mapping is the control plane's truth; the page table is derived from it and is what a walker
//! reads; the owner map is kept apart from both and judges every translation.
//!
//! Invariants: leaves of a table never overlap; the lowest free domain ID is given out first; a
//! frame has an owner from the moment its tenant gets it until an unmap returns.

mod components;
mod did;
mod leaf;
mod owner;
mod page_table;
mod sparse;
#[cfg(test)]
mod tests;

pub use components::*;
pub use did::*;
pub use leaf::*;
pub use owner::*;
pub use page_table::*;
