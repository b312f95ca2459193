//! What an invalidation drops, and what it leaves.

use portcullis_engine::domain::LeafSize;
use portcullis_engine::replay::Event;

use crate::trace::{
    Dma, G1, GIB, K4, M2, MIB2, RW, attach, hit, invalidate_domain, invalidate_page, map, miss, page, read,
    run, unmap, unmap_deferred,
};

const DEVICE: u32 = 0x08;
const OTHER: u32 = 0x10;

/// 4 KiB, 2 MiB and 1 GiB leaves, each with a neighbour, in two domains, all cached: 1 the first
/// device's, 2 the other's. After `event`, which of the first device's leaves are still cached.
fn still_cached(event: Event) -> Vec<(LeafSize, u64)> {
    let leaves = [
        (K4, 0x1000),
        (K4, 0x2000),
        (M2, MIB2),
        (M2, 2 * MIB2),
        (G1, GIB),
        (G1, 2 * GIB),
        (K4, 3 * GIB),
        (M2, 3 * GIB + MIB2),
    ];
    let mut events = vec![attach(DEVICE, 1), attach(OTHER, 2)];
    for domain in [1, 2] {
        events.extend(leaves.map(|(size, at)| map(domain, at, at, size, RW)));
    }
    let reads = [DEVICE, OTHER].map(|device| leaves.map(|(_, at)| read(device, at, 1))).concat();
    events.extend_from_slice(&reads);
    events.push(event);
    events.extend_from_slice(&reads);
    let outcome = run(&events);
    let cached = |dma: &Dma| *dma == hit(dma.result.expect("translated"));
    let (first, other) = outcome.dmas[16..].split_at(8);
    let dropped = outcome.dmas[16..].iter().filter(|dma| !cached(dma)).count() as u64;
    assert_eq!(outcome.summary.iotlb_invalidated, dropped, "{event:?}");
    assert_eq!(other.iter().all(cached), event != Event::InvalidateAll, "{event:?}");
    leaves.into_iter().zip(first).filter(|(_, dma)| cached(dma)).map(|(leaf, _)| leaf).collect()
}

/// [`still_cached`], the other way round.
fn dropped(event: Event) -> Vec<(LeafSize, u64)> {
    let all = still_cached(invalidate_page(1, 0x8000, K4));
    assert_eq!(all.len(), 8, "an invalidation of nothing drops nothing");
    let left = still_cached(event);
    all.into_iter().filter(|leaf| !left.contains(leaf)).collect()
}

#[test]
fn of_a_page_drops_what_overlaps_whatever_its_size() {
    assert_eq!(dropped(invalidate_page(1, 0x1000, K4)), [(K4, 0x1000)]);
    assert_eq!(dropped(invalidate_page(1, MIB2, K4)), [(M2, MIB2)]);
    assert_eq!(dropped(invalidate_page(1, 2 * MIB2 - 0x1000, K4)), [(M2, MIB2)]);
    assert_eq!(dropped(invalidate_page(1, GIB + 0x1234_5000, K4)), [(G1, GIB)]);
    assert_eq!(dropped(invalidate_page(1, 0, M2)), [(K4, 0x1000), (K4, 0x2000)]);
    assert_eq!(dropped(invalidate_page(1, 2 * MIB2, M2)), [(M2, 2 * MIB2)]);
    assert_eq!(dropped(invalidate_page(1, 3 * GIB - MIB2, M2)), [(G1, 2 * GIB)]);
    let first_gib = [(K4, 0x1000), (K4, 0x2000), (M2, MIB2), (M2, 2 * MIB2)];
    assert_eq!(dropped(invalidate_page(1, 0, G1)), first_gib);
    assert_eq!(dropped(invalidate_page(1, GIB, G1)), [(G1, GIB)]);
    assert_eq!(dropped(invalidate_page(1, 3 * GIB, G1)), [(K4, 3 * GIB), (M2, 3 * GIB + MIB2)]);
}

#[test]
fn of_a_range_that_is_not_aligned_drops_what_the_bytes_touch() {
    assert_eq!(dropped(invalidate_page(1, 0x1FFF, K4)), [(K4, 0x1000), (K4, 0x2000)]);
    assert_eq!(dropped(invalidate_page(1, 0x1001, K4)), [(K4, 0x1000), (K4, 0x2000)]);
    assert_eq!(dropped(invalidate_page(1, 0x0001, K4)), [(K4, 0x1000)]);
    assert_eq!(dropped(invalidate_page(1, 0x2FFF, K4)), [(K4, 0x2000)]);
    assert_eq!(dropped(invalidate_page(1, MIB2 - 0x800, K4)), [(M2, MIB2)]);
    let across = [(K4, 0x2000), (M2, MIB2)];
    assert_eq!(dropped(invalidate_page(1, 0x2000, M2)), across);
    assert_eq!(dropped(invalidate_page(1, MIB2 + 8, M2)), [(M2, MIB2), (M2, 2 * MIB2)]);
    assert_eq!(dropped(invalidate_page(1, 2 * GIB - 1, K4)), [(G1, GIB), (G1, 2 * GIB)]);
    let three = [(M2, 2 * MIB2), (G1, GIB)];
    assert_eq!(dropped(invalidate_page(1, 2 * MIB2 + MIB2 / 2, G1)), three);
    assert_eq!(dropped(invalidate_page(1, 2 * GIB + 0x1000, G1)), [(G1, 2 * GIB), (K4, 3 * GIB)]);
}

#[test]
fn of_a_page_needs_no_leaf_there() {
    assert_eq!(dropped(invalidate_page(1, 0x3000, K4)), []);
    assert_eq!(dropped(invalidate_page(1, 5 * GIB, G1)), []);
    assert_eq!(dropped(invalidate_page(77, 0x1000, K4)), []);
    assert_eq!(dropped(invalidate_page(1, u64::MAX, G1)), []);
}

#[test]
fn of_a_domain_drops_its_entries_only() {
    assert_eq!(still_cached(invalidate_domain(1)), []);
    assert_eq!(dropped(invalidate_domain(77)), []);
}

#[test]
fn of_all_drops_all() {
    assert_eq!(still_cached(Event::InvalidateAll), []);
}

#[test]
fn an_unmap_drops_its_own_entry() {
    // A later read finds nothing mapped: count what is left by maps of the same leaves.
    let outcome = run(&[
        attach(DEVICE, 1),
        attach(OTHER, 2),
        page(1, 0x1000, 0xA000),
        page(1, 0x2000, 0xB000),
        page(2, 0x1000, 0xC000),
        read(DEVICE, 0x1000, 0x2000),
        read(OTHER, 0x1000, 1),
        unmap(1, 0x1000, K4),
        page(1, 0x1000, 0xD000),
        read(DEVICE, 0x1000, 1),
        read(DEVICE, 0x2000, 1),
        read(OTHER, 0x1000, 1),
    ]);
    assert_eq!(outcome.dmas[2..], [miss(0xD000), hit(0xB000), hit(0xC000)]);
    assert_eq!(outcome.summary.iotlb_invalidated, 1);
}

#[test]
fn a_map_and_a_deferred_unmap_drop_nothing() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, 0x1000, 0xA000),
        read(DEVICE, 0x1000, 1),
        unmap_deferred(1, 0x1000, K4),
        page(1, 0x1000, 0xA000),
        read(DEVICE, 0x1000, 1),
    ]);
    assert_eq!(outcome.dmas, [miss(0xA000), hit(0xA000)]);
    assert_eq!(outcome.summary.iotlb_invalidated, 0);
}

#[test]
fn at_the_very_top_of_the_address_space() {
    for size in LeafSize::ALL {
        let top = size.bytes().wrapping_neg();
        // A range that would run over the end stops there.
        let endings =
            [invalidate_page(1, top, size), invalidate_page(1, u64::MAX, size), unmap(1, top, size)];
        for ending in endings {
            let outcome = run(&[
                attach(DEVICE, 1),
                map(1, top, top, size, RW),
                page(1, 0, 0xA000),
                read(DEVICE, u64::MAX, 1),
                read(DEVICE, 0, 1),
                ending,
                read(DEVICE, u64::MAX, 1),
                read(DEVICE, 0, 1),
            ]);
            assert_eq!(outcome.dmas[..2], [miss(u64::MAX), miss(0xA000)], "{ending:?}");
            assert_eq!((outcome.dmas[2].hits, outcome.dmas[2].misses), (0, 1), "{ending:?}");
            assert_eq!(outcome.dmas[3], hit(0xA000), "{ending:?}");
            assert_eq!(outcome.summary.iotlb_invalidated, 1, "{ending:?}");
        }
    }
}
