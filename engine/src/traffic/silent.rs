//! A tenant that intends nothing.

use super::source::{Source, SourceRows};
use crate::units::Picoseconds;

/// The source of a VF that is there and intends nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Source for Silent {
    fn peek(&self) -> Option<Picoseconds> {
        None
    }

    fn emit(&mut self, _until: Picoseconds, _rows: SourceRows<'_>) -> usize {
        0
    }

    fn outstanding(&self) -> Option<u32> {
        Some(0)
    }
}
