//! The source of one VF: arrivals, pattern and transfers put together.

use portcullis_engine::ids::{HostIndex, VfIndex};
use portcullis_engine::request::{Address, Intended, Transfer};
use portcullis_engine::traffic::{Source, SourceRows};
use portcullis_engine::units::Picoseconds;
use rand_pcg::rand_core::Rng;

use super::pattern::{DrawPage, InPage, Pages, Place};
use super::rng::{Stream, StreamRng, stream};
use super::transfers::{DrawSize, Sizes, draw_transfer};
use super::{Arrivals, Layout, Pattern, Transfers};

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
    arrivals: Arrivals,
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
        arrivals: Arrivals,
        (pattern, layout): (&Pattern, Layout),
        transfers: Transfers,
        limit: Limit,
    ) -> Self {
        let stream = |purpose| stream(seed, host, vf, purpose);
        Self {
            arrivals,
            place: Place::new(pattern, &layout, stream(Stream::Pattern), stream(Stream::Offsets)),
            layout,
            transfers,
            transfer_rng: stream(Stream::Transfers),
            left: limit.requests,
            until: limit.until,
        }
    }

    /// Places and transfers of `address.len()` requests.
    fn fill(&mut self, address: &mut [Address], transfer: &mut [Transfer]) {
        let sizes = self.transfers.sizes.clone();
        match &sizes {
            Sizes::Fixed(bytes) => self.fill_sized(bytes, address, transfer),
            Sizes::Mixed(table) => self.fill_sized(&**table, address, transfer),
        }
    }

    fn fill_sized<S: DrawSize>(&mut self, sizes: &S, address: &mut [Address], transfer: &mut [Transfer]) {
        let read_below = self.transfers.read_below;
        let mut rng = self.transfer_rng.clone();
        let rows = Rows { sizes, read_below, rng: &mut rng, address, transfer };
        match &mut self.place {
            Place::Sequential(sequential) => {
                let layout = self.layout;
                rows.fill(|length| sequential.draw(&layout, length));
            }
            Place::Paged { pages, offsets } => match pages {
                Pages::Uniform(pages) => rows.fill_paged(&self.layout, pages, offsets),
                Pages::Table(pages) => rows.fill_paged(&self.layout, pages, offsets),
                Pages::Strided(pages) => rows.fill_paged(&self.layout, pages, offsets),
                Pages::HotCold(pages) => rows.fill_paged(&self.layout, pages, offsets),
            },
        }
        self.transfer_rng = rng;
    }
}

/// Rows to fill and what every one of them draws from, whatever the pattern.
struct Rows<'a, S> {
    sizes: &'a S,
    read_below: u64,
    rng: &'a mut StreamRng,
    address: &'a mut [Address],
    transfer: &'a mut [Transfer],
}

impl<S: DrawSize> Rows<'_, S> {
    /// Draws a transfer for each row and asks `place` for the address of so many bytes.
    #[inline]
    fn fill(self, mut place: impl FnMut(u32) -> portcullis_engine::ids::Iova) {
        for (address, transfer) in self.address.iter_mut().zip(self.transfer) {
            *transfer = draw_transfer(self.sizes, self.read_below, self.rng.next_u64());
            *address = Address(place(transfer.length_bytes));
        }
    }

    fn fill_paged<P: DrawPage>(self, layout: &Layout, pages: &mut P, offsets: &mut StreamRng) {
        let in_page = InPage::new(layout);
        if layout.cross_pages {
            self.fill(|length| in_page.across(pages.draw(), length, (offsets.next_u64() >> 32) as u32));
        } else {
            self.fill(|length| in_page.within(pages.draw(), length, (offsets.next_u64() >> 32) as u32));
        }
    }
}

impl Source for TenantSource {
    fn peek(&self) -> Option<Picoseconds> {
        let next = self.arrivals.next();
        (self.left > 0 && next < self.until).then_some(next)
    }

    fn emit(&mut self, until: Picoseconds, rows: SourceRows<'_>) -> usize {
        let room = (rows.len() as u64).min(self.left) as usize;
        let intended = &mut rows.intended[..room];
        let count =
            self.arrivals.fill(until.min(self.until), room, |row, time| intended[row] = Intended(time));
        self.fill(&mut rows.address[..count], &mut rows.transfer[..count]);
        self.left -= count as u64;
        count
    }
}
