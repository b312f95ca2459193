//! Domain.

mod leaf;

pub use leaf::*;
