//! Translation.

pub mod replacement;
mod spec;

pub use spec::*;
