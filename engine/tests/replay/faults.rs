//! What a DMA is checked for, and in which order.

use crate::trace::{
    GIB, K4, NO_RIGHT, R, RW, W, attach, blocked, detach, hit, map, miss, page, read, run, translated, unmap,
    write,
};

const DEVICE: u32 = 0x08;
const LAST_PAGE: u64 = 0xFFFF_FFFF_FFFF_F000;

#[test]
fn without_a_domain_nothing_is_looked_up() {
    let outcome = run(&[
        page(1, 0x1000, 0xA000),
        read(DEVICE, 0x1008, 8),
        attach(DEVICE, 1),
        detach(DEVICE),
        write(DEVICE, 0x1010, 8),
    ]);
    assert_eq!(outcome.dmas, [blocked("no_context", 0x1008, 0, 0), blocked("no_context", 0x1010, 0, 0)]);
    assert_eq!((outcome.summary.blocked_no_context, outcome.summary.walks), (2, 0));
}

#[test]
fn an_empty_dma_is_blocked_before_any_look_up() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, 0x1000, 0xA000),
        read(DEVICE, 0x1008, 0),
        write(DEVICE, 0x9008, 0),
        read(DEVICE, u64::MAX, 0),
    ]);
    let expected = [0x1008, 0x9008, u64::MAX].map(|iova| blocked("bad_length", iova, 0, 0));
    assert_eq!(outcome.dmas, expected);
    assert_eq!((outcome.summary.blocked_bad_length, outcome.summary.iotlb_lookups), (3, 0));
}

#[test]
fn a_dma_beyond_the_address_space_is_blocked_before_any_look_up() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, LAST_PAGE, 0xA000),
        read(DEVICE, LAST_PAGE, 0x1001),
        write(DEVICE, u64::MAX, 2),
        read(DEVICE, 1, u64::MAX),
        read(DEVICE, u64::MAX, u64::MAX),
        read(DEVICE, 2, u64::MAX),
    ]);
    // 1 + (2^64 - 1) is 2^64 exactly: that DMA ends with the last byte.
    assert_eq!(
        outcome.dmas,
        [
            blocked("address_overflow", LAST_PAGE, 0, 0),
            blocked("address_overflow", u64::MAX, 0, 0),
            blocked("not_mapped", 1, 0, 1),
            blocked("address_overflow", u64::MAX, 0, 0),
            blocked("address_overflow", 2, 0, 0),
        ]
    );
    assert_eq!((outcome.summary.blocked_address_overflow, outcome.summary.walks), (4, 1));
}

#[test]
fn a_dma_may_end_with_the_last_byte_of_the_address_space() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, LAST_PAGE, 0xA000),
        page(1, LAST_PAGE - 0x1000, 0xB000),
        read(DEVICE, LAST_PAGE, 0x1000),
        write(DEVICE, u64::MAX, 1),
        read(DEVICE, LAST_PAGE - 0x1000, 0x2000),
    ]);
    assert_eq!(outcome.dmas, [miss(0xA000), hit(0xAFFF), translated(0xB000, 1, 1)]);
}

#[test]
fn no_context_comes_before_bad_length_and_overflow() {
    let outcome = run(&[read(DEVICE, 0x10, 0), read(DEVICE, u64::MAX, 2), read(DEVICE, u64::MAX, 0)]);
    let expected = [0x10, u64::MAX, u64::MAX].map(|iova| blocked("no_context", iova, 0, 0));
    assert_eq!(outcome.dmas, expected);
}

#[test]
fn an_unmapped_page_is_one_miss_each_time_and_fills_nothing() {
    let outcome = run(&[
        attach(DEVICE, 1),
        read(DEVICE, 0x1008, 8),
        write(DEVICE, 0x1010, 8),
        page(1, 0x1000, 0xA000),
        read(DEVICE, 0x1008, 8),
        unmap(1, 0x1000, K4),
        read(DEVICE, 0x1008, 8),
    ]);
    assert_eq!(
        outcome.dmas,
        [
            blocked("not_mapped", 0x1008, 0, 1),
            blocked("not_mapped", 0x1010, 0, 1),
            miss(0xA008),
            blocked("not_mapped", 0x1008, 0, 1),
        ]
    );
    assert_eq!((outcome.summary.walks, outcome.summary.walks_faulted), (4, 3));
}

#[test]
fn a_missing_right_found_by_a_walk_is_a_miss_and_fills_nothing() {
    let outcome = run(&[
        attach(DEVICE, 1),
        map(1, 0x1000, 0xA000, K4, R),
        map(1, 0x2000, 0xB000, K4, W),
        map(1, 0x3000, 0xC000, K4, RW),
        map(1, 0x4000, 0xD000, K4, NO_RIGHT),
        write(DEVICE, 0x1008, 8),
        write(DEVICE, 0x1008, 8),
        read(DEVICE, 0x2008, 8),
        read(DEVICE, 0x2008, 8),
        read(DEVICE, 0x4008, 8),
        write(DEVICE, 0x4008, 8),
        read(DEVICE, 0x1008, 8),
        write(DEVICE, 0x2008, 8),
        write(DEVICE, 0x3008, 8),
        read(DEVICE, 0x3008, 8),
    ]);
    assert_eq!(
        outcome.dmas,
        [
            blocked("no_permission", 0x1008, 0, 1),
            blocked("no_permission", 0x1008, 0, 1),
            blocked("no_permission", 0x2008, 0, 1),
            blocked("no_permission", 0x2008, 0, 1),
            blocked("no_permission", 0x4008, 0, 1),
            blocked("no_permission", 0x4008, 0, 1),
            miss(0xA008),
            miss(0xB008),
            miss(0xC008),
            hit(0xC008),
        ]
    );
    assert_eq!((outcome.summary.blocked_no_permission, outcome.summary.walks_faulted), (6, 6));
}

#[test]
fn a_missing_right_of_a_cached_entry_is_a_hit() {
    let outcome = run(&[
        attach(DEVICE, 1),
        map(1, 0x1000, 0xA000, K4, R),
        map(1, 0x2000, 0xB000, K4, W),
        read(DEVICE, 0x1008, 8),
        write(DEVICE, 0x1010, 8),
        write(DEVICE, 0x2008, 8),
        read(DEVICE, 0x2010, 8),
        read(DEVICE, 0x1008, 8),
    ]);
    assert_eq!(
        outcome.dmas,
        [
            miss(0xA008),
            blocked("no_permission", 0x1010, 1, 0),
            miss(0xB008),
            blocked("no_permission", 0x2010, 1, 0),
            hit(0xA008),
        ]
    );
    assert_eq!((outcome.summary.walks, outcome.summary.walks_faulted), (2, 0));
}

#[test]
fn a_fault_names_the_first_byte_in_the_leaf_that_faulted() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, 0x1000, 0xA000),
        map(1, 0x2000, 0xB000, K4, R),
        map(1, GIB, GIB, crate::trace::G1, R),
        write(DEVICE, 0x1FF8, 0x10),
        write(DEVICE, 0x1FF8, 0x8),
        write(DEVICE, GIB + 0x1234_5678, 8),
        read(DEVICE, 0x2FFF, 2),
    ]);
    assert_eq!(
        outcome.dmas,
        [
            blocked("no_permission", 0x2000, 0, 2),
            hit(0xAFF8),
            blocked("no_permission", GIB + 0x1234_5678, 0, 1),
            blocked("not_mapped", 0x3000, 0, 2),
        ]
    );
}
