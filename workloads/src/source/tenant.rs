//! The source of one VF: arrivals, pattern and transfers put together.

use portcullis_engine::ids::{HostIndex, Iova, VfIndex};
use portcullis_engine::request::{Address, Intended, Transfer};
use portcullis_engine::traffic::{Source, SourceRows};
use portcullis_engine::units::Picoseconds;
use rand_pcg::rand_core::Rng;

use super::pattern::{ChoosePage, InPage, Pages, Place, Turns};
use super::rng::{Stream, StreamRng, stream};
use super::{Arrivals, Clients, Layout, Pattern, Transfers};

/// When a VF's requests are intended.
#[derive(Clone, Debug)]
pub enum When {
    /// Whatever retires.
    Open(Arrivals),
    /// As its clients have done with the requests before.
    Closed(Clients),
}

// Clients make the source of an open loop no greater.
const _: () = assert!(size_of::<Clients>() <= size_of::<Arrivals>());

impl When {
    #[inline]
    fn next(&self) -> Picoseconds {
        match self {
            Self::Open(arrivals) => arrivals.next(),
            Self::Closed(clients) => clients.next(),
        }
    }
}

/// When a source ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Requests it emits at most.
    pub requests: u64,
    /// It emits what it intends before this time.
    pub until: Picoseconds,
}

/// The requests of one VF.
#[derive(Clone, Debug)]
pub struct TenantSource {
    when: When,
    place: Place,
    layout: Layout,
    transfers: Transfers,
    transfer_rng: StreamRng,
    left: u64,
    until: Picoseconds,
}

impl TenantSource {
    /// The source of VF `vf` of host `host`: when, where and what, until the limit.
    #[must_use]
    pub fn new(
        (seed, host, vf): (u64, HostIndex, VfIndex),
        when: When,
        (pattern, layout): (&Pattern, Layout),
        transfers: Transfers,
        limit: Limit,
    ) -> Self {
        let stream = |purpose| stream(seed, host, vf, purpose);
        Self {
            when,
            place: Place::new(pattern, &layout, stream(Stream::Pattern)),
            layout,
            transfers,
            transfer_rng: stream(Stream::Transfers),
            left: limit.requests,
            until: limit.until,
        }
    }

    /// Places and transfers of `address.len()` requests.
    ///
    /// Generators and cursors are copied out, worked on and copied back, so that they stay in registers
    /// through the loop.
    fn fill(&mut self, address: &mut [Address], transfer: &mut [Transfer]) {
        let layout = self.layout;
        let rows = Rows { transfers: &self.transfers, address, transfer };
        let rng = self.transfer_rng.clone();
        self.transfer_rng = match &mut self.place {
            Place::Sequential(sequential) => {
                let mut local = sequential.clone();
                let rng = rows.fill(rng, |draw| local.draw(&layout, draw.length));
                *sequential = local;
                rng
            }
            Place::Paged { pages, turns } => match pages {
                Pages::Uniform(pages) => rows.fill_paged(rng, &layout, pages, turns),
                Pages::Table(pages) => rows.fill_paged(rng, &layout, pages, turns),
                Pages::UniformWide(pages) => rows.fill_paged(rng, &layout, pages, turns),
                Pages::TableWide(pages) => rows.fill_paged(rng, &layout, pages, turns),
                Pages::Strided(pages) => rows.fill_paged(rng, &layout, pages, turns),
                Pages::HotCold(pages) => rows.fill_paged(rng, &layout, pages, turns),
            },
        };
    }
}

/// What the place of a request is drawn from: its length, and random bits for page and offset.
struct PlaceDraw {
    length: u32,
    page: u32,
    offset: u32,
}

/// Rows to fill, and what their transfers are drawn from.
struct Rows<'a> {
    transfers: &'a Transfers,
    address: &'a mut [Address],
    transfer: &'a mut [Transfer],
}

impl Rows<'_> {
    /// Draws a transfer for each row and asks `place` for the address of so many bytes; returns the
    /// generator for the rows after these. The upper 32 bits of a draw are for the page, the lower ones
    /// choose the transfer and the offset.
    #[inline]
    fn fill(self, mut rng: StreamRng, mut place: impl FnMut(PlaceDraw) -> Iova) -> StreamRng {
        for (address, transfer) in self.address.iter_mut().zip(self.transfer) {
            let bits = rng.next_u64();
            let (drawn, offset_bits) = self.transfers.draw(bits as u32);
            *transfer = drawn;
            let draw =
                PlaceDraw { length: drawn.length_bytes, page: (bits >> 32) as u32, offset: offset_bits };
            *address = Address(place(draw));
        }
        rng
    }

    fn fill_paged<P: ChoosePage>(
        self,
        rng: StreamRng,
        layout: &Layout,
        pages: &P,
        turns: &mut Turns,
    ) -> StreamRng {
        let in_page = InPage::new(layout);
        let mut local = turns.clone();
        let rng = match layout.cross_pages {
            false => self.fill(rng, |draw| {
                in_page.within(pages.choose(draw.page, &mut local), draw.length, draw.offset)
            }),
            true => self.fill(rng, |draw| {
                in_page.across(pages.choose(draw.page, &mut local), draw.length, draw.offset)
            }),
        };
        *turns = local;
        rng
    }
}

impl Source for TenantSource {
    fn peek(&self) -> Option<Picoseconds> {
        let next = self.when.next();
        (self.left > 0 && next < self.until).then_some(next)
    }

    fn emit(&mut self, until: Picoseconds, rows: SourceRows<'_>) -> usize {
        let room = (rows.len() as u64).min(self.left) as usize;
        let intended = &mut rows.intended[..room];
        let until = until.min(self.until);
        let write = |row: usize, time| intended[row] = Intended(time);
        let count = match &mut self.when {
            When::Open(arrivals) => arrivals.fill(until, room, write),
            When::Closed(clients) => clients.fill(until, room, write),
        };
        self.fill(&mut rows.address[..count], &mut rows.transfer[..count]);
        self.left -= count as u64;
        count
    }

    fn prefetch(&self) {
        if let When::Closed(clients) = &self.when {
            clients.prefetch();
        }
    }

    fn feedback(&self) -> Option<Picoseconds> {
        match &self.when {
            When::Closed(clients) if self.left > 0 => Some(clients.least_think()),
            _ => None,
        }
    }

    fn feedback_of(&self, sequence: u64) -> Picoseconds {
        match &self.when {
            When::Closed(clients) if self.left > 0 => clients.think_after(sequence),
            _ => Picoseconds::MAX,
        }
    }

    fn outstanding(&self) -> Option<u32> {
        match &self.when {
            When::Closed(clients) => Some(clients.count()),
            When::Open(_) => None,
        }
    }

    fn restart(&mut self, time: Picoseconds) {
        if let When::Closed(clients) = &mut self.when {
            clients.restart(time);
        }
    }

    fn retire(&mut self, sequence: u64, time: Picoseconds) -> Option<Picoseconds> {
        if let When::Closed(clients) = &mut self.when {
            clients.retire(sequence, time);
        }
        self.peek()
    }
}
