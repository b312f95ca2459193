//! A source of packets: DMAs that are intended together.

use std::sync::Arc;

use portcullis_engine::ids::Iova;
use portcullis_engine::request::{Address, Intended, Transfer};
use portcullis_engine::traffic::{Source, SourceRows};
use portcullis_engine::units::Picoseconds;

use super::{Arrivals, Limit};

/// One DMA of every packet: the start of a page of its buffer.
#[derive(Clone, Copy, Debug)]
pub struct PacketPart {
    /// First address of the buffer.
    pub base: Iova,
    /// Pages, and their size in bytes.
    pub pages: u64,
    /// See above.
    pub page_bytes: u64,
    /// Packets that go to one page after another.
    pub packets_per_page: u64,
    /// Length and direction.
    pub transfer: Transfer,
}

impl PacketPart {
    /// Where the DMA of a packet goes, by the packet's number.
    fn address(&self, packet: u64) -> Iova {
        Iova(self.base.0 + packet / self.packets_per_page % self.pages * self.page_bytes)
    }
}

/// The packets of one VF.
#[derive(Clone, Debug)]
pub struct PacketSource {
    arrivals: Arrivals,
    parts: Arc<[PacketPart]>,
    /// The packet under way, its next DMA, and when it is intended.
    packet: u64,
    next_part: usize,
    intended: Picoseconds,
    /// DMAs left to emit.
    left: u64,
    until: Picoseconds,
}

impl PacketSource {
    /// A packet of these DMAs, one at least, at each arrival, until the limit.
    #[must_use]
    pub fn new(arrivals: Arrivals, parts: Arc<[PacketPart]>, limit: Limit) -> Self {
        let Limit { requests, until } = limit;
        Self { arrivals, parts, packet: 0, next_part: 0, intended: Picoseconds::ZERO, left: requests, until }
    }

    /// When the next DMA is intended.
    fn next(&self) -> Picoseconds {
        if self.next_part > 0 { self.intended } else { self.arrivals.next() }
    }
}

impl Source for PacketSource {
    fn peek(&self) -> Option<Picoseconds> {
        let next = self.next();
        (self.left > 0 && next < self.until).then_some(next)
    }

    fn emit(&mut self, until: Picoseconds, rows: SourceRows<'_>) -> usize {
        let mut count = 0;
        while count < rows.len() && self.peek().is_some_and(|next| next < until) {
            if self.next_part == 0 {
                self.intended = self.arrivals.next();
                self.arrivals.fill(Picoseconds::MAX, 1, |_, _| ());
            }
            let part = self.parts[self.next_part];
            rows.intended[count] = Intended(self.intended);
            rows.address[count] = Address(part.address(self.packet));
            rows.transfer[count] = part.transfer;
            count += 1;
            self.left -= 1;
            self.next_part += 1;
            if self.next_part == self.parts.len() {
                self.next_part = 0;
                self.packet += 1;
            }
        }
        count
    }
}
