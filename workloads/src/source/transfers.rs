//! How many bytes a request moves, and in which direction.

use std::hint::select_unpredictable;
use std::sync::Arc;

use portcullis_engine::request::{Op, Transfer};

use super::AliasTable;
use crate::scenario::SizeMix;

/// Sizes and directions of a class, drawn together; shared by its VFs.
#[derive(Clone, Debug)]
pub struct Transfers {
    lines: Arc<[Line]>,
}

/// A line of an alias table with what it stands for, so that a draw reads one line and no more.
#[derive(Clone, Copy, Debug)]
struct Line {
    threshold: u32,
    /// Below the threshold.
    own: Packed,
    /// Above it.
    alias: Packed,
}

/// A transfer in one word, so that choosing between two takes one instruction: its length, which is
/// below 2^31, and the direction above.
#[derive(Clone, Copy, Debug)]
struct Packed(u32);

impl Packed {
    fn new(transfer: Transfer) -> Self {
        assert!(transfer.length_bytes < 1 << 31, "the length of a transfer is bounded");
        Self(transfer.length_bytes | u32::from(transfer.op == Op::Write) << 31)
    }

    #[inline]
    fn unpack(self) -> Transfer {
        let op = if self.0 >> 31 == 0 { Op::Read } else { Op::Write };
        Transfer { length_bytes: self.0 & 0x7FFF_FFFF, op }
    }
}

impl Transfers {
    /// Requests of `sizes`, of which `read_share` read, whatever their size.
    #[must_use]
    pub fn new(sizes: &SizeMix, read_share: f64) -> Self {
        let (transfers, weights): (Vec<Transfer>, Vec<f64>) = sizes
            .weighted()
            .into_iter()
            .flat_map(|(length_bytes, weight)| {
                let transfer = |op, share| (Transfer { length_bytes, op }, weight * share);
                [transfer(Op::Read, read_share), transfer(Op::Write, 1.0 - read_share)]
            })
            .filter(|(_, weight)| *weight > 0.0)
            .unzip();
        let lines = AliasTable::new(&weights)
            .lines()
            .enumerate()
            .map(|(own, (threshold, alias))| Line {
                threshold,
                own: Packed::new(transfers[own]),
                alias: Packed::new(transfers[alias as usize]),
            })
            .collect();
        Self { lines }
    }

    /// The transfer that 32 random bits draw, and 32 bits for its offset in the page.
    ///
    /// The product of the bits with the number of lines chooses a line by what is above 2^32 and throws its
    /// coin by what is below. The coin is all but decided by its upper half, so its lower half is as good
    /// as independent of it, and is the upper half of the bits for the offset.
    #[inline]
    pub(super) fn draw(&self, bits: u32) -> (Transfer, u32) {
        let scaled = u64::from(bits) * self.lines.len() as u64;
        let line = &self.lines[(scaled >> 32) as usize];
        let coin = scaled as u32;
        let drawn = select_unpredictable(coin < line.threshold, line.own.0, line.alias.0);
        (Packed(drawn).unpack(), coin << 16)
    }
}
