//! Where in its buffer a VF's requests go.

use std::sync::Arc;

use portcullis_engine::domain::LeafSize;
use portcullis_engine::ids::Iova;
use rand_pcg::rand_core::Rng;

use super::AliasTable;
use super::rng::{StreamRng, below, threshold};

/// The buffer that requests go to, and how they may lie in it.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// First address.
    pub base: Iova,
    /// Pages.
    pub pages: u32,
    /// Their size.
    pub page_size: LeafSize,
    /// Every address is a multiple of this many bytes, a power of two.
    pub alignment: u32,
    /// Whether a request may run into the next page.
    pub cross_pages: bool,
}

impl Layout {
    fn bytes(&self) -> u64 {
        u64::from(self.pages) << self.page_size.shift()
    }
}

/// What a class's VFs share of their pattern.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Requests one after the other through the buffer.
    Ring,
    /// Every page alike.
    Uniform,
    /// Pages by an alias table.
    Table(Arc<AliasTable>),
    /// A page every so many pages.
    Strided {
        /// Pages from one request to the next.
        stride_pages: u64,
    },
    /// Hot pages and cold pages.
    HotCold {
        /// All pages, the hot ones first.
        order: Arc<[u32]>,
        /// How many are hot.
        hot_pages: u32,
        /// Share of the requests that go to hot pages.
        hot_access_share: f64,
    },
    /// Runs of pages in order, each from a start drawn anew.
    Stream {
        /// Pages of a run.
        copy_pages: u32,
    },
}

/// Where one VF's next request goes.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Sequential(Sequential),
    Paged { pages: Pages, offsets: StreamRng },
}

/// How pages are chosen one by one.
#[derive(Clone, Debug)]
pub(super) enum Pages {
    Uniform(Uniform),
    Table(Tabled),
    Strided(Strided),
    HotCold(HotCold),
}

impl Place {
    /// The pattern of one VF, which draws from `rng` and `offsets`. The first draw of `rng` is where the
    /// VF starts, or by how much its order of pages is turned against that of its class.
    pub(super) fn new(pattern: &Pattern, layout: &Layout, mut rng: StreamRng, offsets: StreamRng) -> Self {
        let pages = layout.pages;
        let start = below((rng.next_u64() >> 32) as u32, pages);
        let paged = |pages| Self::Paged { pages, offsets };
        match pattern {
            Pattern::Ring => Self::Sequential(Sequential {
                cursor: u64::from(start) << layout.page_size.shift(),
                run_start: 0,
                run_end: layout.bytes(),
                copy_pages: None,
                rng,
            }),
            Pattern::Stream { copy_pages } => {
                let mut place =
                    Sequential { cursor: 0, run_start: 0, run_end: 0, copy_pages: Some(*copy_pages), rng };
                place.start_run(layout);
                Self::Sequential(place)
            }
            Pattern::Uniform => paged(Pages::Uniform(Uniform { pages, rng })),
            Pattern::Table(table) => {
                paged(Pages::Table(Tabled { table: Arc::clone(table), turn: Turn { by: start, pages }, rng }))
            }
            Pattern::Strided { stride_pages } => paged(Pages::Strided(Strided {
                next: start,
                stride: (stride_pages % u64::from(pages)) as u32,
                pages,
            })),
            Pattern::HotCold { order, hot_pages, hot_access_share } => paged(Pages::HotCold(HotCold {
                order: Arc::clone(order),
                hot_pages: *hot_pages,
                hot_below: threshold(*hot_access_share),
                turn: Turn { by: start, pages },
                rng,
            })),
        }
    }
}

/// Pages turned round by an offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    by: u32,
    pages: u32,
}

impl Turn {
    #[inline]
    fn apply(self, page: u32) -> u32 {
        let turned = page + self.by;
        if turned >= self.pages { turned - self.pages } else { turned }
    }
}

/// Chooses pages. One implementation for each kind, so that the loop over a batch is compiled for each.
pub(super) trait DrawPage {
    fn draw(&mut self) -> u32;
}

#[derive(Clone, Debug)]
pub(super) struct Uniform {
    pages: u32,
    rng: StreamRng,
}

impl DrawPage for Uniform {
    #[inline]
    fn draw(&mut self) -> u32 {
        below((self.rng.next_u64() >> 32) as u32, self.pages)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Tabled {
    table: Arc<AliasTable>,
    turn: Turn,
    rng: StreamRng,
}

impl DrawPage for Tabled {
    #[inline]
    fn draw(&mut self) -> u32 {
        self.turn.apply(self.table.draw(self.rng.next_u64()))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Strided {
    next: u32,
    stride: u32,
    pages: u32,
}

impl DrawPage for Strided {
    #[inline]
    fn draw(&mut self) -> u32 {
        let page = self.next;
        self.next = Turn { by: self.stride, pages: self.pages }.apply(page);
        page
    }
}

#[derive(Clone, Debug)]
pub(super) struct HotCold {
    order: Arc<[u32]>,
    hot_pages: u32,
    hot_below: u64,
    turn: Turn,
    rng: StreamRng,
}

impl DrawPage for HotCold {
    /// The lower 32 bits choose hot or cold, the upper the page.
    #[inline]
    fn draw(&mut self) -> u32 {
        let bits = self.rng.next_u64();
        let hot = u64::from(bits as u32) < self.hot_below;
        let (first, count) = match hot {
            true => (0, self.hot_pages),
            false => (self.hot_pages, self.turn.pages - self.hot_pages),
        };
        self.turn.apply(self.order[(first + below((bits >> 32) as u32, count)) as usize])
    }
}

/// Turns a page and a length into an address in the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct InPage {
    base: u64,
    bytes: u64,
    page_shift: u32,
    align_shift: u32,
}

impl InPage {
    pub(super) fn new(layout: &Layout) -> Self {
        Self {
            base: layout.base.0,
            bytes: layout.bytes(),
            page_shift: layout.page_size.shift(),
            align_shift: layout.alignment.trailing_zeros(),
        }
    }

    /// An address in `page` where `length` bytes end in the page, chosen by 32 random bits.
    #[inline]
    pub(super) fn within(&self, page: u32, length: u32, bits: u32) -> Iova {
        let room = (1_u64 << self.page_shift) - u64::from(length);
        let slots = (room >> self.align_shift) as u32 + 1;
        let offset = u64::from(below(bits, slots)) << self.align_shift;
        Iova(self.base + (u64::from(page) << self.page_shift) + offset)
    }

    /// An address in `page` where `length` bytes may run into the next pages, but not out of the
    /// buffer: there it moves back.
    #[inline]
    pub(super) fn across(&self, page: u32, length: u32, bits: u32) -> Iova {
        let slots = 1_u32 << (self.page_shift - self.align_shift);
        let offset = u64::from(below(bits, slots)) << self.align_shift;
        let last = (self.bytes - u64::from(length)) >> self.align_shift << self.align_shift;
        Iova(self.base + ((u64::from(page) << self.page_shift) + offset).min(last))
    }
}

/// Requests one after the other: through the whole buffer, or through runs of it.
#[derive(Clone, Debug)]
pub(super) struct Sequential {
    /// Where the next request goes, in bytes from the start of the buffer.
    cursor: u64,
    run_start: u64,
    run_end: u64,
    /// Pages of a run; `None` where there is one run, the buffer.
    copy_pages: Option<u32>,
    rng: StreamRng,
}

impl Sequential {
    /// The address of the next request, of `length` bytes.
    #[inline]
    pub(super) fn draw(&mut self, layout: &Layout, length: u32) -> Iova {
        let length = u64::from(length);
        let page = layout.page_size.bytes();
        let mut at = self.cursor;
        if !layout.cross_pages && (at & (page - 1)) + length > page {
            at = (at | (page - 1)) + 1;
        }
        if at + length > self.run_end {
            self.start_run(layout);
            at = self.cursor;
        }
        let alignment = u64::from(layout.alignment);
        self.cursor = (at + length + alignment - 1) & !(alignment - 1);
        Iova(layout.base.0 + at)
    }

    /// Goes to the start of the buffer, or of a run drawn anew.
    fn start_run(&mut self, layout: &Layout) {
        if let Some(copy_pages) = self.copy_pages {
            let shift = layout.page_size.shift();
            let starts = layout.pages - copy_pages + 1;
            self.run_start = u64::from(below((self.rng.next_u64() >> 32) as u32, starts)) << shift;
            self.run_end = self.run_start + (u64::from(copy_pages) << shift);
        }
        self.cursor = self.run_start;
    }
}
