//! How many bytes a request moves, and in which direction.

use std::sync::Arc;

use portcullis_engine::request::{Op, Transfer};

use super::AliasTable;
use super::rng::threshold;
use crate::scenario::SizeMix;

/// Sizes and directions of a class, shared by its VFs.
#[derive(Clone, Debug)]
pub struct Transfers {
    pub(super) sizes: Sizes,
    /// A request reads if 32 random bits lie below.
    pub(super) read_below: u64,
}

/// A size mix, ready to draw from.
#[derive(Clone, Debug)]
pub(super) enum Sizes {
    Fixed(u32),
    Mixed(Arc<SizeTable>),
}

/// Sizes with the table that chooses one.
#[derive(Debug)]
pub(super) struct SizeTable {
    bytes: Box<[u32]>,
    choice: AliasTable,
}

impl Transfers {
    /// Requests of `sizes`, of which `read_share` read.
    #[must_use]
    pub fn new(sizes: &SizeMix, read_share: f64) -> Self {
        let mix = sizes.weighted();
        let sizes = match mix[..] {
            [(bytes, _)] => Sizes::Fixed(bytes),
            _ => {
                let (bytes, weights): (Vec<u32>, Vec<f64>) = mix.into_iter().unzip();
                Sizes::Mixed(Arc::new(SizeTable { bytes: bytes.into(), choice: AliasTable::new(&weights) }))
            }
        };
        Self { sizes, read_below: threshold(read_share) }
    }
}

/// Chooses a size by 32 random bits. One implementation for each kind, so that the loop over a batch
/// is compiled for each.
pub(super) trait DrawSize {
    fn draw(&self, bits: u32) -> u32;
}

impl DrawSize for u32 {
    #[inline]
    fn draw(&self, _: u32) -> u32 {
        *self
    }
}

impl DrawSize for SizeTable {
    #[inline]
    fn draw(&self, bits: u32) -> u32 {
        self.bytes[self.choice.draw_narrow(bits) as usize]
    }
}

/// The transfer that 64 random bits draw: the upper half chooses the size, the lower the direction.
#[inline]
pub(super) fn draw_transfer<S: DrawSize + ?Sized>(sizes: &S, read_below: u64, bits: u64) -> Transfer {
    let op = if u64::from(bits as u32) < read_below { Op::Read } else { Op::Write };
    Transfer { length_bytes: sizes.draw((bits >> 32) as u32), op }
}
