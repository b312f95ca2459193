//! Replay: a trace drives the same page tables, IOTLB and owner map as a run, event by event.
//!
//! A replay is functional: each event takes full effect, walks included, before the next; nothing is
//! timed. Invariants: a refused event changes nothing; a DMA is translated, or blocked by its first
//! fault; what the owner map finds outside a stale page is a breach.

mod components;
mod event;
mod kernel;
mod raw;
mod rows;
mod session;
mod systems;

pub use components::*;
pub use event::*;
pub use kernel::*;
pub use raw::*;
pub use rows::*;
pub use session::*;
pub(crate) use systems::*;
