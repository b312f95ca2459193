//! Escapes: the packets that a VM's driver sends past the host's scheduler straight to the driver of the
//! adapter, and the host's filter that decides what gets there.
//!
//! A packet is real bytes in a guest's memory ([`Header`] gives the layout). The host copies it once
//! ([`CaptureBuffer`]), parses the copy with bounds checked ([`parse`]), decides ([`decide`]: a table, the
//! first row that matches), and hands the very copy to the driver. What is allowed waits for the end of an
//! exclusive window ([`ExclusiveWindows`]) and of a stall by an escape that touches hardware, which has the whole
//! adapter for itself ([`DriverQueue`], [`Stall`](crate::silence::Stall)); a denial needs no driver and waits for neither.
//!
//! Batches of packets, one an adapter, are rows of a pool, worked on as columns: `receive` writes them, `judge` rules over
//! chunks in parallel, `dispatch` gives them their times in order, `book` counts. A world whose VMs send no
//! escapes has neither rows nor systems.
//!
//! Invariants: a byte of guest memory is read once, and what the driver gets is what was judged; every packet
//! has one decision and one reason; what is allowed is dispatched in order and never inside a window; memory
//! does not grow with what guests send.

mod books;
mod capture;
mod components;
mod decision;
mod driver;
mod handles;
mod kernel;
mod known;
mod packet;
mod source;
mod spec;
mod systems;
mod windows;

#[cfg(test)]
mod tests;

pub use books::*;
pub use capture::*;
pub use components::*;
pub use decision::*;
pub use driver::*;
pub use handles::*;
pub use kernel::*;
pub use known::*;
pub use packet::*;
pub use source::*;
pub use spec::*;
pub use systems::*;
pub use windows::*;
