//! Traffic.

mod source;

pub use source::*;
