//! Memory and completion: what follows a translation.
//!
//! A write is complete when memory holds it, a blocked one vanishes. A read's data, or its
//! unsupported-request status, queues for the downstream link in the order in which it is ready.
//! Invariants: completions of an adapter's reads do not decrease; one is served only when no other
//! can still overtake it.

mod components;
mod spec;
mod systems;

pub use components::*;
pub use spec::*;
pub use systems::*;
