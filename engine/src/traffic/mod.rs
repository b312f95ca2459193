//! Traffic: what the tenants intend.
//!
//! Each VF has a source; a batch takes from it what is intended before the batch's horizon. The rows
//! of requests that are over are reused: those that live on move to the front of the pool first.
//! Sources write into a staging area, VF after VF; the pool takes their requests in the order of
//! their intended times, so that later stages go through its columns from front to back.
//! Invariants: rows of a VF are in the order of their intended times; a batch holds everything
//! intended before its adapter's horizon, but for what lies behind a stalled row of the same VF.

mod components;
mod kernel;
mod silent;
mod source;
mod staging;
mod systems;

pub use components::*;
pub use kernel::*;
pub use silent::*;
pub use source::*;
pub use staging::*;
pub use systems::*;
