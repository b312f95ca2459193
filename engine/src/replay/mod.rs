//! Replay.

mod event;
mod rows;

pub use event::*;
pub use rows::*;
