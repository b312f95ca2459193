//! Slices of time: the VFs of an adapter send in turn instead of at once, as NVIDIA's vGPU schedulers let them.
//!
//! In **fixed** and **equal share** turns go round by the clock alone ([`Rotation`]), so that it is known in advance when a VF
//! may send. In **best effort** they go round among VFs with something to send ([`Dispatch`]), decided by the gate in the
//! order of time. A request that starts in a slice may end behind it: what has left is drained in the slices of others.
//! Invariants: no request leaves outside a slice of its VF; a VF's requests leave in their order; slices do not overlap.

mod components;
mod dispatch;
mod rotation;
mod spec;
#[cfg(test)]
mod tests;

pub use components::*;
pub use dispatch::*;
pub use rotation::*;
pub use spec::*;
