//! The gate: what may issue, in which order, and when it leaves on the link.
//!
//! Each VF has a bounded queue that pushes back on its source, and may have only so many requests under
//! way; so may the adapter. Among the requests in the queues the first eligible goes first, ties by VF.
//! Invariants: a queue never holds more than its entries; a VF and an adapter never have more under way
//! than their slots; what a source intended stays in order; nothing is dropped.

mod components;
mod credits;
mod kernel;
mod slots;
mod spec;
mod systems;
#[cfg(test)]
mod tests;
mod through_tlb;
mod turns;

pub use components::*;
pub use credits::*;
pub use kernel::*;
pub use slots::*;
pub use spec::*;
pub use systems::*;
