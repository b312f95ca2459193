//! Account.

mod rows;

pub use rows::*;
