//! Lifecycle: VMs that start, stop and move while others are at work.
//!
//! A VF goes through the states of [`VfState`], from one to the next only as its table allows. When its VM starts, stops or is
//! moved is known in advance ([`VmSchedule`]): its source intends nothing while it is down ([`Living`]), and its domain is
//! detached and attached in switches like any other ([`Steps`], [`crate::silence`]). Invariants: a VF sends nothing from the stop
//! or the beginning of the move of its VM until the VM that comes runs; no domain is attached meanwhile but by its switch; what
//! had not left when its VM stopped never leaves.

mod books;
mod components;
mod partitions;
mod schedule;
mod source;
mod spec;
mod states;
mod steps;
#[cfg(test)]
mod tests;
pub use books::*;
pub use components::*;
pub use partitions::*;
pub use schedule::*;
pub use source::*;
pub use spec::*;
pub use states::*;
pub use steps::*;
