//! Invalidation: what drivers map and unmap while devices are at work, and what it takes until no cached
//! translation reaches a page that was unmapped.
//!
//! A VF with *streaming* mappings (Linux's word) maps a buffer for each DMA and unmaps it afterwards. An unmap
//! takes the leaf out of the page table; the IOTLB still holds it until a command of the IOMMU's
//! invalidation queue, a serial server, has dropped it. Strict: the unmap returns when its own command is
//! complete, which is after every access that was translated before has drained. Deferred: it returns at
//! once, and a flush of the whole domain follows when enough are queued or a timer says so.
//!
//! Invariants: control events take effect in the order of time, before look-ups of the same instant; a frame
//! leaves its owner when the unmap returns; an address is handed out again only when no cached
//! translation of it is left; strict, nothing is ever stale.

mod components;
mod devices;
mod frames;
mod kernel;
mod outlook;
mod spec;
mod stream;
mod systems;
mod turns;

pub use components::*;
pub use frames::*;
pub use kernel::*;
pub use outlook::*;
pub use spec::*;
pub use stream::*;
pub use systems::*;
