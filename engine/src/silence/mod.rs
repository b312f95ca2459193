//! Silence: domains that change while everyone is at work.
//!
//! A domain cannot be swapped while its devices have transactions under way, so the host stops the scheduler, waits until the
//! device is drained, has the driver keep it silent (`DxgkDdiBeginExclusiveAccess`), switches, and lets everybody go on
//! (`DxgkDdiEndExclusiveAccess`). Each adapter has [`Switching`], a state machine over what becomes silent together: all its
//! VFs, or each for itself. The gate holds back what may not leave ([`Switching::pause_before`]), completions tell when the
//! last request is over, and what is done to the domain are control events among the look-ups ([`DomainSwitches`]).
//! Invariants, where no step is left out: from silence to the end no request of the unit is under way; no DMA meets a domain
//! in the middle of a switch; none reaches what was the old domain's.

mod books;
mod components;
mod failures;
mod history;
mod holds;
mod in_device;
mod kernel;
mod lost;
mod operations;
mod schedule;
mod spec;
mod stalls;
mod systems;
#[cfg(test)]
mod tests;
mod under_way;
pub use books::*;
pub use components::*;
pub use failures::*;
pub use history::*;
pub use holds::*;
pub use in_device::*;
pub use kernel::*;
pub use lost::*;
pub use operations::*;
pub use schedule::*;
pub use spec::*;
pub use stalls::*;
pub use systems::*;
pub use under_way::*;
