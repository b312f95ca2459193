//! What translation costs without an engine: one loop over columns of requests.
//!
//! An IOTLB of 8 ways under true LRU, tagged by domain and page, over a dense page table: an array that
//! holds the frame of every page of every tenant. A miss fills at once. No time, no walkers, no faults, no
//! rights, no leaf sizes, no entities: a request goes in as a tenant and an address and comes out as one
//! physical address. Whatever the engine adds is measured against this.
//!
//! An address chooses its set as in the engine, by hash of domain and page, so that hits and misses are
//! those of the engine's own IOTLB where that is filled at once too.

use portcullis_engine::domain::{LeafSize, PageTable};
use portcullis_engine::hash::{mix64, reduce};
use portcullis_engine::ids::Iova;
use portcullis_engine::prefetch::prefetch;
use portcullis_engine::translation::leaf_code;

use crate::captured::Requests;

/// Ways of the bare IOTLB.
pub const WAYS: usize = 8;

/// Requests by which the prefetching loop runs ahead of itself.
const AHEAD: usize = 24;

/// The ways of a set from the youngest to the oldest, four bits each: way 7 is the first to be filled.
const ORDER_AT_START: u32 = 0x7654_3210;
const ONES: u32 = 0x1111_1111;

/// A set of the IOTLB, in two cache lines.
#[derive(Clone, Copy)]
#[repr(C, align(128))]
struct Set {
    /// Domain and page in one number: their place in the dense page table, plus one; 0 in an invalid way.
    tags: [u32; WAYS],
    order: u32,
    /// Frame addresses.
    frames: [u64; WAYS],
}

/// What a request is looked up by.
#[derive(Clone, Copy)]
struct Key {
    set: u32,
    /// Place in the dense page table.
    page: u32,
}

/// The bare loop and what it works on.
pub struct BareLoop {
    sets: Vec<Set>,
    /// Frame addresses of all pages of all tenants.
    frames: Vec<u64>,
    first_page: u64,
    pages_per_tenant: u64,
    keys: Vec<Key>,
}

impl BareLoop {
    /// An empty IOTLB of `sets` sets, over `pages` pages from `first` on of every tenant.
    ///
    /// # Panics
    /// If there are 2^32 pages or more, or if a page is not mapped by a 4 KiB leaf.
    #[must_use]
    pub fn new(sets: u32, tables: &[PageTable], first: Iova, pages: u64) -> Self {
        let first_page = first.0 >> 12;
        let frame = |(table, page): (&PageTable, u64)| {
            let leaf = table.lookup(Iova((first_page + page) << 12)).expect("every page is mapped");
            assert_eq!(leaf.size, LeafSize::Size4K, "pages are of 4 KiB");
            leaf.target.0
        };
        let frames: Vec<u64> =
            tables.iter().flat_map(|table| (0..pages).map(move |page| (table, page))).map(frame).collect();
        assert!(u32::try_from(frames.len()).is_ok(), "tags have 32 bits");
        let empty = Set { tags: [0; WAYS], order: ORDER_AT_START, frames: [0; WAYS] };
        Self {
            sets: vec![empty; sets as usize],
            frames,
            first_page,
            pages_per_tenant: pages,
            keys: Vec::new(),
        }
    }

    /// Translates the requests in order, one physical address each, appended to `addresses`; returns how
    /// many hit.
    pub fn translate(&mut self, requests: Requests<'_>, addresses: &mut Vec<u64>) -> u64 {
        self.translate_ahead::<0>(requests, addresses)
    }

    /// The same, but asks for the cache lines of a request before it is its turn.
    pub fn translate_prefetching(&mut self, requests: Requests<'_>, addresses: &mut Vec<u64>) -> u64 {
        self.translate_ahead::<AHEAD>(requests, addresses)
    }

    fn translate_ahead<const AHEAD: usize>(
        &mut self,
        requests: Requests<'_>,
        addresses: &mut Vec<u64>,
    ) -> u64 {
        let mut keys = core::mem::take(&mut self.keys);
        keys.clear();
        let rows = requests.tenant.iter().zip(requests.iova);
        keys.extend(rows.map(|(tenant, iova)| self.key(*tenant, *iova)));
        let mut hits = 0;
        addresses.extend(keys.iter().zip(requests.iova).enumerate().map(|(row, (key, iova))| {
            if AHEAD > 0
                && let Some(ahead) = keys.get(row + AHEAD)
            {
                self.ask_for(*ahead);
            }
            let (frame, hit) = self.look_up(*key);
            hits += u64::from(hit);
            frame | (iova & 0xFFF)
        }));
        self.keys = keys;
        hits
    }

    /// The physical address of one request, and whether it hit.
    #[inline]
    pub fn translate_one(&mut self, tenant: u16, iova: u64) -> (u64, bool) {
        let (frame, hit) = self.look_up(self.key(tenant, iova));
        (frame | (iova & 0xFFF), hit)
    }

    #[inline]
    fn key(&self, tenant: u16, iova: u64) -> Key {
        let page = u64::from(tenant) * self.pages_per_tenant + ((iova >> 12) - self.first_page);
        Key { set: set_of(tenant, Iova(iova), self.sets.len() as u32), page: page as u32 }
    }

    #[inline]
    fn ask_for(&self, key: Key) {
        let set = self.sets.as_ptr().wrapping_add(key.set as usize).cast::<u8>();
        prefetch(set);
        prefetch(set.wrapping_add(64));
        prefetch(self.frames.as_ptr().wrapping_add(key.page as usize));
    }

    /// The frame of a page, and whether it was cached; it is afterwards.
    #[inline]
    fn look_up(&mut self, key: Key) -> (u64, bool) {
        let set = &mut self.sets[key.set as usize];
        let tag = key.page + 1;
        let mut equal = 0;
        for (way, there) in set.tags.iter().enumerate() {
            equal |= u32::from(*there == tag) << way;
        }
        if equal != 0 {
            let way = equal.trailing_zeros();
            set.order = to_front(set.order, way);
            return (set.frames[way as usize], true);
        }
        let frame = self.frames[key.page as usize];
        // The oldest way: an invalid one while there are any, for only look-ups and fills move a way.
        let way = set.order >> (4 * (WAYS - 1));
        set.order = set.order << 4 | way;
        set.tags[way as usize] = tag;
        set.frames[way as usize] = frame;
        (frame, false)
    }
}

/// The set of a tenant's page, as the engine's hashed index has it.
#[inline]
#[must_use]
pub fn set_of(tenant: u16, iova: Iova, sets: u32) -> u32 {
    let domain = u64::from(tenant) + 1;
    let code = leaf_code(iova, LeafSize::Size4K);
    reduce(mix64(code ^ domain.wrapping_mul(0x9E37_79B9_7F4A_7C15)), sets)
}

/// Moves the four bits that equal `way` to the lowest place.
#[inline]
fn to_front(order: u32, way: u32) -> u32 {
    // They become zero, and the lowest zero nibble is found by borrow.
    let differences = order ^ (ONES * way);
    let zeros = differences.wrapping_sub(ONES) & !differences & (ONES << 3);
    // All bits up to that nibble's top one.
    let reach = zeros ^ (zeros - 1);
    order & !reach | (order << 4 | way) & reach
}

#[cfg(test)]
mod tests {
    use portcullis_engine::domain::{Leaf, Permissions};
    use portcullis_engine::ids::PhysAddr;
    use portcullis_engine::translation::{AnyIotlb, IotlbSpec, Ways};

    use super::*;
    use crate::boxed_objects::BoxedObjects;
    use crate::captured::RequestColumns;
    use crate::entity_per_request::EntityPerRequest;
    use crate::functional::translate_functionally;

    const FIRST: Iova = Iova(1 << 30);

    /// A table a tenant; frames are scattered over physical memory.
    fn tables(tenants: u64, pages: u64) -> Vec<PageTable> {
        let table = |tenant| {
            let mut table = PageTable::new();
            for page in 0..pages {
                let frame = mix64(tenant * pages + page) & 0xFFFF_FFFF;
                let leaf = Leaf {
                    base: Iova(FIRST.0 + (page << 12)),
                    target: PhysAddr(frame << 12),
                    size: LeafSize::Size4K,
                    permissions: Permissions::ReadWrite,
                };
                table.map(leaf).expect("pages do not overlap");
            }
            table
        };
        (0..tenants).map(table).collect()
    }

    /// Requests drawn from a seed; of two draws the nearer page, so that some are hotter.
    fn requests(seed: u64, count: u64, tenants: u32, pages: u32) -> RequestColumns {
        let mut columns = RequestColumns::default();
        for number in 0..count {
            let draw = |purpose: u64, bound| u64::from(reduce(mix64(mix64(seed ^ number) ^ purpose), bound));
            let page = draw(1, pages).min(draw(2, pages));
            let tenant = u16::try_from(draw(3, tenants)).expect("few tenants");
            columns.push(tenant, FIRST.0 + (page << 12 | draw(4, 4_096)));
        }
        columns
    }

    #[test]
    fn hits_misses_and_addresses_are_those_of_the_engines_iotlb_filled_at_once() {
        for (sets, tenants, pages) in [(1, 1, 12), (1, 3, 5), (3, 4, 64), (16, 16, 64), (64, 5, 700)] {
            let tables = tables(u64::from(tenants), u64::from(pages));
            let spec = IotlbSpec { entries: sets * 8, ways: Ways::Count(8), ..IotlbSpec::default() };
            let AnyIotlb::Lru(mut iotlb) = AnyIotlb::new(&spec, 0) else { panic!("LRU is the default") };
            let mut bare = BareLoop::new(sets, &tables, FIRST, u64::from(pages));
            let mut prefetching = BareLoop::new(sets, &tables, FIRST, u64::from(pages));
            let mut entities = EntityPerRequest::new(sets, &tables, FIRST, u64::from(pages));
            let mut objects = BoxedObjects::new(sets, &tables);
            let mut total = 0;
            for seed in 0..5 {
                let columns = requests(seed, 5_000, tenants, pages);
                // The last of them fewer than it looks ahead.
                for requests in columns.chunks(1_247) {
                    let mut expected = Vec::new();
                    let hits = translate_functionally(&mut iotlb, &tables, requests, &mut expected);
                    let mut addresses = Vec::new();
                    assert_eq!(bare.translate(requests, &mut addresses), hits, "{sets} sets");
                    assert_eq!(addresses, expected);
                    addresses.clear();
                    assert_eq!(prefetching.translate_prefetching(requests, &mut addresses), hits);
                    assert_eq!(addresses, expected);
                    addresses.clear();
                    assert_eq!(entities.translate(requests, &mut addresses), hits, "an entity a request");
                    assert_eq!(addresses, expected);
                    addresses.clear();
                    assert_eq!(objects.translate(requests, &mut addresses), hits, "boxed objects");
                    assert_eq!(addresses, expected);
                    total += hits;
                }
            }
            assert!(total > 0, "{sets} sets");
        }
    }

    #[test]
    fn the_oldest_of_eight_goes() {
        let tables = tables(1, 9);
        let mut bare = BareLoop::new(1, &tables, FIRST, 9);
        let mut hits = |pages: &[u64]| {
            let mut columns = RequestColumns::default();
            pages.iter().for_each(|page| columns.push(0, FIRST.0 + (page << 12)));
            columns.chunks(100).map(|requests| bare.translate(requests, &mut Vec::new())).sum::<u64>()
        };
        assert_eq!(hits(&[0, 1, 2, 3, 4, 5, 6, 7]), 0);
        assert_eq!(hits(&[0, 2]), 2);
        // 1 is now the oldest, and goes for 8; 3 then goes for 1.
        assert_eq!(hits(&[8, 1]), 0);
        assert_eq!(hits(&[0, 2, 4, 5, 6, 7, 8, 1]), 8);
        assert_eq!(hits(&[3]), 0);
    }
}
