//! Memory and completion: what follows a translation.
//!
//! A write is complete when memory holds it, a blocked one vanishes. A read's data, or its
//! unsupported-request status, queues for the downstream link in the order in which it is ready.
//! A last-level cache, where there is one, is touched in the order of look-ups. A device retires its requests as they are done, or in the order of their issue. Invariants: returns
//! of an adapter's reads do not decrease; one is served only when no other can still overtake it.

mod components;
mod llc;
mod retirement;
mod spec;
mod systems;
#[cfg(test)]
mod tests;
mod waits;

pub use components::*;
pub use llc::*;
pub use retirement::*;
pub use spec::*;
pub use systems::*;
pub use waits::*;
