//! Where in its buffer a VF's requests go.

use std::hint::select_unpredictable;
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
    Paged { pages: Pages, turns: Turns },
}

/// How pages are chosen one by one.
#[derive(Clone, Debug)]
pub(super) enum Pages {
    Uniform(Uniform),
    Table(Tabled),
    UniformWide(Wide<Uniform>),
    TableWide(Wide<Tabled>),
    Strided(Strided),
    HotCold(Wide<HotCold>),
}

/// Most pages that 32 random bits choose from; more take 64 bits of their own. At this bound, a page's
/// share is still exact to 2^-16 of a mean share.
const NARROW_PAGES: u32 = 1 << 16;

/// What changes from one page to the next.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    pub rng: StreamRng,
    /// The next page of a strided pattern.
    pub next_page: u32,
}

impl Place {
    /// The pattern of one VF. The first draw of `rng` is where the VF starts, or by how much its order of
    /// pages is turned against that of its class.
    pub(super) fn new(pattern: &Pattern, layout: &Layout, mut rng: StreamRng) -> Self {
        let pages = layout.pages;
        let start = below((rng.next_u64() >> 32) as u32, pages);
        let turn = Turn { by: start, pages };
        let narrow = pages <= NARROW_PAGES;
        let pages = match pattern {
            Pattern::Ring => return Self::Sequential(Sequential::ring(layout, start, rng)),
            Pattern::Stream { copy_pages } => {
                return Self::Sequential(Sequential::stream(layout, *copy_pages, rng));
            }
            Pattern::Uniform if narrow => Pages::Uniform(Uniform { pages }),
            Pattern::Uniform => Pages::UniformWide(Wide(Uniform { pages })),
            Pattern::Table(table) => {
                let tabled = Tabled { table: Arc::clone(table), turn };
                if narrow { Pages::Table(tabled) } else { Pages::TableWide(Wide(tabled)) }
            }
            Pattern::Strided { stride_pages } => {
                let by = (stride_pages % u64::from(pages)) as u32;
                Pages::Strided(Strided { stride: Turn { by, pages } })
            }
            Pattern::HotCold { order, hot_pages, hot_access_share } => Pages::HotCold(Wide(HotCold {
                order: Arc::clone(order),
                hot_pages: *hot_pages,
                hot_below: threshold(*hot_access_share),
                turn,
            })),
        };
        Self::Paged { pages, turns: Turns { rng, next_page: start } }
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
        select_unpredictable(turned >= self.pages, turned.wrapping_sub(self.pages), turned)
    }
}

/// Chooses a page by 32 random bits of the request's own draw, or by what it keeps in `turns`. One
/// implementation for each kind, so that the loop over a batch is compiled for each.
pub(super) trait ChoosePage {
    fn choose(&self, bits: u32, turns: &mut Turns) -> u32;
}

/// Chooses a page by 64 random bits.
pub(super) trait ChoosePageWide {
    fn choose(&self, bits: u64) -> u32;
}

/// A choice that takes 64 bits of its own.
#[derive(Clone, Debug)]
pub(super) struct Wide<P>(P);

impl<P: ChoosePageWide> ChoosePage for Wide<P> {
    #[inline]
    fn choose(&self, _: u32, turns: &mut Turns) -> u32 {
        self.0.choose(turns.rng.next_u64())
    }
}

#[derive(Clone, Debug)]
pub(super) struct Uniform {
    pages: u32,
}

impl ChoosePage for Uniform {
    #[inline]
    fn choose(&self, bits: u32, _: &mut Turns) -> u32 {
        below(bits, self.pages)
    }
}

impl ChoosePageWide for Uniform {
    #[inline]
    fn choose(&self, bits: u64) -> u32 {
        ((u128::from(bits) * u128::from(self.pages)) >> 64) as u32
    }
}

#[derive(Clone, Debug)]
pub(super) struct Tabled {
    table: Arc<AliasTable>,
    turn: Turn,
}

impl ChoosePage for Tabled {
    #[inline]
    fn choose(&self, bits: u32, _: &mut Turns) -> u32 {
        self.turn.apply(self.table.draw_narrow(bits))
    }
}

impl ChoosePageWide for Tabled {
    #[inline]
    fn choose(&self, bits: u64) -> u32 {
        self.turn.apply(self.table.draw(bits))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Strided {
    stride: Turn,
}

impl ChoosePage for Strided {
    #[inline]
    fn choose(&self, _: u32, turns: &mut Turns) -> u32 {
        let page = turns.next_page;
        turns.next_page = self.stride.apply(page);
        page
    }
}

#[derive(Clone, Debug)]
pub(super) struct HotCold {
    order: Arc<[u32]>,
    hot_pages: u32,
    hot_below: u64,
    turn: Turn,
}

impl ChoosePageWide for HotCold {
    /// The lower 32 bits choose hot or cold, the upper the page.
    #[inline]
    fn choose(&self, bits: u64) -> u32 {
        let hot = u64::from(bits as u32) < self.hot_below;
        let cold_pages = self.turn.pages - self.hot_pages;
        let first = select_unpredictable(hot, 0, self.hot_pages);
        let count = select_unpredictable(hot, self.hot_pages, cold_pages);
        self.turn.apply(self.order[(first + below((bits >> 32) as u32, count)) as usize])
    }
}

/// Turns a page and a length into an address in the page. It multiplies where it could shift: a
/// multiplication by a variable is the cheaper of the two.
#[derive(Clone, Copy, Debug)]
pub(super) struct InPage {
    base: u64,
    bytes: u64,
    page_bytes: u64,
    alignment: u64,
    align_shift: u32,
    /// Slots of a whole page.
    slots: u32,
}

impl InPage {
    pub(super) fn new(layout: &Layout) -> Self {
        let align_shift = layout.alignment.trailing_zeros();
        Self {
            base: layout.base.0,
            bytes: layout.bytes(),
            page_bytes: layout.page_size.bytes(),
            alignment: u64::from(layout.alignment),
            align_shift,
            slots: 1 << (layout.page_size.shift() - align_shift),
        }
    }

    /// An address in `page` where `length` bytes end in the page, chosen by 32 random bits.
    #[inline]
    pub(super) fn within(&self, page: u32, length: u32, bits: u32) -> Iova {
        let room = self.page_bytes - u64::from(length);
        let slot = below(bits, (room >> self.align_shift) as u32 + 1);
        Iova(self.base + u64::from(page) * self.page_bytes + u64::from(slot) * self.alignment)
    }

    /// An address in `page` where `length` bytes may run into the next pages, but not out of the
    /// buffer: there it moves back.
    #[inline]
    pub(super) fn across(&self, page: u32, length: u32, bits: u32) -> Iova {
        let slot = below(bits, self.slots);
        let last = (self.bytes - u64::from(length)) & !(self.alignment - 1);
        let offset = u64::from(page) * self.page_bytes + u64::from(slot) * self.alignment;
        Iova(self.base + offset.min(last))
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
    /// Through the whole buffer, from the page `start`.
    fn ring(layout: &Layout, start: u32, rng: StreamRng) -> Self {
        let cursor = u64::from(start) << layout.page_size.shift();
        Self { cursor, run_start: 0, run_end: layout.bytes(), copy_pages: None, rng }
    }

    /// Through runs of `copy_pages`.
    fn stream(layout: &Layout, copy_pages: u32, rng: StreamRng) -> Self {
        let mut place = Self { cursor: 0, run_start: 0, run_end: 0, copy_pages: Some(copy_pages), rng };
        place.start_run(layout);
        place
    }

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
