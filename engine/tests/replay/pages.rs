//! DMAs over several leaves, and leaves of every size.

use portcullis_engine::domain::LeafSize;
use portcullis_engine::translation::{IotlbSpec, Ways};

use crate::trace::{
    G1, GIB, K4, M2, MIB2, R, RW, W, attach, blocked, hit, map, miss, page, plan, read, run, run_with, stale,
    translated, unmap_deferred, write,
};

const DEVICE: u32 = 0x08;

#[test]
fn one_look_up_a_leaf_touched() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, 0x1000, 0xC000),
        page(1, 0x2000, 0xA000),
        page(1, 0x3000, 0xB000),
        read(DEVICE, 0x1FFF, 1),
        read(DEVICE, 0x1FFF, 2),
        read(DEVICE, 0x1FFF, 0x1001),
        read(DEVICE, 0x1FFF, 0x1002),
        write(DEVICE, 0x1000, 0x3000),
        write(DEVICE, 0x2000, 0x1000),
    ]);
    assert_eq!(
        outcome.dmas,
        [
            miss(0xCFFF),
            translated(0xCFFF, 1, 1),
            translated(0xCFFF, 2, 0),
            translated(0xCFFF, 2, 1),
            translated(0xC000, 3, 0),
            hit(0xA000),
        ]
    );
    assert_eq!((outcome.summary.iotlb_hits, outcome.summary.iotlb_misses), (9, 3));
}

#[test]
fn one_look_up_a_leaf_over_leaves_of_every_size() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, GIB - MIB2 - 0x1000, 0xA000),
        map(1, GIB - MIB2, 0, M2, RW),
        map(1, GIB, GIB, G1, RW),
        page(1, 2 * GIB, 0xB000),
        read(DEVICE, GIB - MIB2 - 1, GIB + MIB2 + 2),
        read(DEVICE, GIB - MIB2 - 1, GIB + MIB2 + 2),
        read(DEVICE, GIB - 1, 2),
        read(DEVICE, GIB - MIB2 - 1, GIB + MIB2 + 0x1002),
    ]);
    assert_eq!(
        outcome.dmas,
        [
            translated(0xAFFF, 0, 4),
            translated(0xAFFF, 4, 0),
            translated(MIB2 - 1, 2, 0),
            blocked("not_mapped", 2 * GIB + 0x1000, 4, 1),
        ]
    );
}

#[test]
fn the_first_fault_blocks_the_whole_and_ends_the_look_ups() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, 0x1000, 0xA000),
        page(1, 0x3000, 0xC000),
        read(DEVICE, 0x1008, 0x2800),
        read(DEVICE, 0x1008, 8),
        read(DEVICE, 0x3008, 8),
    ]);
    // Before the hole: looked up and filled. Behind it: not looked up.
    assert_eq!(outcome.dmas, [blocked("not_mapped", 0x2000, 0, 2), hit(0xA008), miss(0xC008)]);
    assert_eq!((outcome.summary.dma_translated, outcome.summary.dma_blocked), (2, 1));
}

#[test]
fn a_right_missing_in_the_middle_blocks_the_whole() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, 0x1000, 0xA000),
        map(1, 0x2000, 0xB000, K4, R),
        map(1, 0x3000, 0xC000, K4, W),
        write(DEVICE, 0x1000, 0x3000),
        read(DEVICE, 0x1000, 0x3000),
        write(DEVICE, 0x1000, 0x3000),
        read(DEVICE, 0x1000, 0x2000),
        write(DEVICE, 0x3000, 1),
        read(DEVICE, 0x1000, 0x3000),
    ]);
    assert_eq!(
        outcome.dmas,
        [
            blocked("no_permission", 0x2000, 0, 2),
            blocked("no_permission", 0x3000, 1, 2),
            blocked("no_permission", 0x2000, 2, 0),
            translated(0xA000, 2, 0),
            miss(0xC000),
            blocked("no_permission", 0x3000, 3, 0),
        ]
    );
}

#[test]
fn a_dma_may_evict_what_it_filled_itself() {
    let iotlb = IotlbSpec { entries: 2, ways: Ways::Count(2), ..IotlbSpec::default() };
    let mut events = vec![attach(DEVICE, 1)];
    events.extend((1..4).map(|at| page(1, at * 0x1000, at * 0x1000)));
    events.extend([read(DEVICE, 0x1000, 0x3000), read(DEVICE, 0x1000, 0x3000), read(DEVICE, 0x3000, 1)]);
    let outcome = run_with(&portcullis_engine::replay::ReplayPlan { iotlb, ..plan() }, &events);
    assert_eq!(outcome.dmas, [translated(0x1000, 0, 3), translated(0x1000, 0, 3), hit(0x3000)]);
    assert_eq!(outcome.summary.iotlb_evictions, 4);
}

#[test]
fn a_leaf_of_any_size_serves_every_byte_of_it() {
    for size in LeafSize::ALL {
        let (iova, pa, last) = (2 * GIB, 5 * GIB, size.bytes() - 1);
        let outcome = run(&[
            attach(DEVICE, 1),
            map(1, iova, pa, size, RW),
            read(DEVICE, iova + last, 1),
            write(DEVICE, iova, 1),
            read(DEVICE, iova + last / 2, 8),
            read(DEVICE, iova, size.bytes()),
            read(DEVICE, iova + last, 2),
            read(DEVICE, iova - 1, 2),
        ]);
        assert_eq!(
            outcome.dmas,
            [
                miss(pa + last),
                hit(pa),
                hit(pa + last / 2),
                hit(pa),
                blocked("not_mapped", iova + last + 1, 1, 1),
                blocked("not_mapped", iova - 1, 0, 1),
            ],
            "{size}"
        );
    }
}

#[test]
fn the_smallest_of_several_cached_sizes_serves() {
    let at = GIB + MIB2 + 0x3008;
    let outcome = run(&[
        attach(DEVICE, 1),
        // Cached from the smallest to the largest: a cached smaller one would hide a larger leaf from
        // a DMA to the same page, so each is cached through another page.
        page(1, GIB + MIB2 + 0x3000, 0xA000),
        read(DEVICE, at, 1),
        unmap_deferred(1, GIB + MIB2 + 0x3000, K4),
        map(1, GIB + MIB2, 8 * MIB2, M2, RW),
        read(DEVICE, GIB + MIB2, 1),
        unmap_deferred(1, GIB + MIB2, M2),
        map(1, GIB, 5 * GIB, G1, RW),
        read(DEVICE, GIB, 1),
        // All three are cached and cover this address, or two of them, or one.
        read(DEVICE, at, 1),
        read(DEVICE, at + 0x1000, 1),
        read(DEVICE, at + MIB2, 1),
        crate::trace::invalidate_page(1, GIB + 4 * MIB2, K4),
        read(DEVICE, at, 1),
    ]);
    assert_eq!(
        outcome.dmas,
        [
            miss(0xA008),
            miss(8 * MIB2),
            miss(5 * GIB),
            stale(0xA008),
            stale(8 * MIB2 + 0x4008),
            hit(5 * GIB + 2 * MIB2 + 0x3008),
            stale(0xA008),
        ]
    );
    assert_eq!(outcome.summary.iotlb_invalidated, 1);
}

#[test]
fn a_dma_goes_on_behind_the_leaf_that_served_it() {
    // A stale 2 MiB entry serves up to its end, over 4 KiB leaves that took its place.
    let outcome = run(&[
        attach(DEVICE, 1),
        map(1, MIB2, 8 * MIB2, M2, RW),
        read(DEVICE, MIB2, 1),
        unmap_deferred(1, MIB2, M2),
        page(1, MIB2, 0xA000),
        page(1, MIB2 + 0x1000, 0xB000),
        page(1, 2 * MIB2, 0xC000),
        read(DEVICE, MIB2 + 0xFF8, MIB2 - 0xFF8 + 1),
    ]);
    let over_two = crate::trace::Dma { stale: 1, ..translated(8 * MIB2 + 0xFF8, 1, 1) };
    assert_eq!(outcome.dmas, [miss(8 * MIB2), over_two]);
}

#[test]
fn the_top_of_both_address_spaces() {
    for size in LeafSize::ALL {
        let top = size.bytes().wrapping_neg();
        let outcome = run(&[
            attach(DEVICE, u32::MAX),
            map(u32::MAX, top, top, size, RW),
            map(u32::MAX, top, 0, size, RW),
            read(DEVICE, top, size.bytes()),
            write(DEVICE, u64::MAX, 1),
            read(DEVICE, top - 1, 2),
            read(DEVICE, u64::MAX, 2),
            crate::trace::unmap(u32::MAX, top, size),
            read(DEVICE, u64::MAX, 1),
        ]);
        assert_eq!(
            outcome.dmas,
            [
                miss(top),
                hit(u64::MAX),
                blocked("not_mapped", top - 1, 0, 1),
                blocked("address_overflow", u64::MAX, 0, 0),
                blocked("not_mapped", u64::MAX, 0, 1),
            ],
            "{size}"
        );
        assert_eq!(outcome.refused, [(2, "map", "overlap")], "{size}");
    }
}
