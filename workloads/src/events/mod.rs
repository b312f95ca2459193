//! Traces of events for a replay.
//!
//! What a row means is the engine's (`portcullis_engine::replay::RawEvent`), so that every format
//! agrees on it; here is the reading of CSV.

mod csv;
mod error;

pub use self::csv::*;
pub use error::*;

#[cfg(test)]
mod tests;
