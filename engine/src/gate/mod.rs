//! The gate: what may issue, in which order, and when it leaves on the link.
//!
//! Each VF has a bounded queue that pushes back on its source. Among the requests in the queues the
//! first eligible goes first: the adapter serves one FIFO in the order in which requests entered
//! their queues. Invariants: a VF never has more than its queue's entries in that FIFO; what its
//! source intended stays in order; nothing is dropped.

mod components;
mod kernel;
mod spec;
mod systems;
#[cfg(test)]
mod tests;

pub use components::*;
pub use kernel::*;
pub use spec::*;
pub use systems::*;
