//! Replay.

mod event;
mod raw;
mod rows;

pub use event::*;
pub use raw::*;
pub use rows::*;
