//! Stale pages: a cached entry serves what the table no longer holds so.

use crate::trace::{
    Dma, G1, GIB, K4, M2, MIB2, R, RW, attach, blocked, hit, invalidate_domain, invalidate_page, map, miss,
    page, read, run, stale, translated, unmap, unmap_deferred, write,
};
use portcullis_engine::replay::Event;

const DEVICE: u32 = 0x08;

/// A cached page whose leaf is gone, and the next events.
fn after_a_deferred_unmap(next: &[Event]) -> crate::trace::Outcome {
    let before =
        [attach(DEVICE, 1), page(1, 0x1000, 0xA000), read(DEVICE, 0x1008, 8), unmap_deferred(1, 0x1000, K4)];
    run(&[&before, next].concat())
}

#[test]
fn a_deferred_unmap_leaves_a_stale_entry() {
    let outcome = after_a_deferred_unmap(&[read(DEVICE, 0x1008, 8), write(DEVICE, 0x1FF8, 8)]);
    assert_eq!(outcome.dmas, [miss(0xA008), stale(0xA008), stale(0xAFF8)]);
    assert_eq!((outcome.summary.stale_total, outcome.summary.iotlb_invalidated), (2, 0));
    assert_eq!((outcome.summary.leaves_mapped, outcome.summary.breach_total), (0, 0));
}

#[test]
fn a_page_that_was_not_cached_is_not_stale() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, 0x1000, 0xA000),
        unmap_deferred(1, 0x1000, K4),
        read(DEVICE, 0x1008, 8),
    ]);
    assert_eq!(outcome.dmas, [blocked("not_mapped", 0x1008, 0, 1)]);
}

#[test]
fn a_page_remapped_elsewhere_is_stale() {
    let outcome = after_a_deferred_unmap(&[page(1, 0x1000, 0xB000), read(DEVICE, 0x1008, 8)]);
    assert_eq!(outcome.dmas, [miss(0xA008), stale(0xA008)]);
    assert_eq!(outcome.refused, []);
}

#[test]
fn a_page_remapped_with_other_rights_is_stale() {
    let outcome = after_a_deferred_unmap(&[map(1, 0x1000, 0xA000, K4, R), write(DEVICE, 0x1008, 8)]);
    assert_eq!(outcome.dmas, [miss(0xA008), stale(0xA008)]);
}

#[test]
fn a_page_remapped_by_another_size_is_stale_though_the_address_is_the_same() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, MIB2 + 0x1000, MIB2 + 0x1000),
        read(DEVICE, MIB2 + 0x1008, 8),
        unmap_deferred(1, MIB2 + 0x1000, K4),
        map(1, MIB2, MIB2, M2, RW),
        read(DEVICE, MIB2 + 0x1008, 8),
        read(DEVICE, MIB2 + 0x2008, 8),
    ]);
    assert_eq!(outcome.dmas, [miss(MIB2 + 0x1008), stale(MIB2 + 0x1008), miss(MIB2 + 0x2008)]);
}

#[test]
fn a_page_remapped_the_same_is_not_stale() {
    let outcome = after_a_deferred_unmap(&[
        page(1, 0x1000, 0xB000),
        read(DEVICE, 0x1008, 8),
        unmap_deferred(1, 0x1000, K4),
        page(1, 0x1000, 0xA000),
        read(DEVICE, 0x1008, 8),
    ]);
    assert_eq!(outcome.dmas, [miss(0xA008), stale(0xA008), hit(0xA008)]);
    assert_eq!(outcome.summary.stale_total, 1);
}

#[test]
fn any_invalidation_of_the_entry_ends_it() {
    let endings = [invalidate_page(1, 0x1000, K4), invalidate_domain(1), Event::InvalidateAll];
    for ending in endings {
        let outcome = after_a_deferred_unmap(&[read(DEVICE, 0x1008, 8), ending, read(DEVICE, 0x1008, 8)]);
        assert_eq!(
            outcome.dmas,
            [miss(0xA008), stale(0xA008), blocked("not_mapped", 0x1008, 0, 1)],
            "{ending:?}"
        );
        assert_eq!(outcome.summary.iotlb_invalidated, 1, "{ending:?}");
    }
}

#[test]
fn an_invalidation_of_something_else_does_not_end_it() {
    let others = [invalidate_page(1, 0x2000, K4), invalidate_page(2, 0x1000, K4), invalidate_domain(2)];
    for other in others {
        let outcome = after_a_deferred_unmap(&[other, read(DEVICE, 0x1008, 8)]);
        assert_eq!(outcome.dmas, [miss(0xA008), stale(0xA008)], "{other:?}");
    }
}

#[test]
fn the_unmap_of_what_took_its_place_ends_it() {
    let outcome =
        after_a_deferred_unmap(&[page(1, 0x1000, 0xB000), unmap(1, 0x1000, K4), read(DEVICE, 0x1008, 8)]);
    assert_eq!(outcome.dmas, [miss(0xA008), blocked("not_mapped", 0x1008, 0, 1)]);
    assert_eq!(outcome.summary.iotlb_invalidated, 1);
}

#[test]
fn an_unmap_drops_stale_entries_of_every_size_that_overlap() {
    // A stale 1 GiB entry under a 4 KiB leaf, and a stale 4 KiB entry under a 1 GiB leaf.
    let outcome = run(&[
        attach(DEVICE, 1),
        map(1, GIB, GIB, G1, RW),
        read(DEVICE, GIB + 0x5008, 8),
        unmap_deferred(1, GIB, G1),
        page(1, GIB + 0x5000, 0xA000),
        read(DEVICE, GIB + 0x5008, 8),
        unmap(1, GIB + 0x5000, K4),
        read(DEVICE, GIB + 0x5008, 8),
        page(1, GIB + 0x5000, 0xA000),
        read(DEVICE, GIB + 0x5008, 8),
        unmap_deferred(1, GIB + 0x5000, K4),
        map(1, GIB, GIB, G1, RW),
        read(DEVICE, GIB + 0x5008, 8),
        unmap(1, GIB, G1),
        read(DEVICE, GIB + 0x5008, 8),
    ]);
    assert_eq!(
        outcome.dmas,
        [
            miss(GIB + 0x5008),
            stale(GIB + 0x5008),
            blocked("not_mapped", GIB + 0x5008, 0, 1),
            miss(0xA008),
            stale(0xA008),
            blocked("not_mapped", GIB + 0x5008, 0, 1),
        ]
    );
    assert_eq!(outcome.summary.iotlb_invalidated, 2);
}

#[test]
fn after_a_strict_unmap_nothing_is_stale() {
    let mut events = vec![attach(DEVICE, 1)];
    for round in 0..8 {
        for at in 0..8 {
            events.push(page(1, at * 0x1000, (round * 8 + at) * 0x1000));
        }
        events.push(read(DEVICE, 0, 0x8000));
        events.extend((0..8).map(|at| unmap(1, at * 0x1000, K4)));
        events.push(read(DEVICE, 0, 0x8000));
    }
    let outcome = run(&events);
    let rounds = (0..8).flat_map(|round| [translated(round * 0x8000, 0, 8), blocked("not_mapped", 0, 0, 1)]);
    assert_eq!(outcome.dmas, rounds.collect::<Vec<_>>());
    assert_eq!((outcome.summary.stale_total, outcome.summary.iotlb_invalidated), (0, 64));
}

#[test]
fn stale_counts_pages_not_dmas() {
    let outcome = run(&[
        attach(DEVICE, 1),
        page(1, 0x1000, 0xA000),
        page(1, 0x2000, 0xB000),
        page(1, 0x3000, 0xC000),
        read(DEVICE, 0x1000, 0x3000),
        unmap_deferred(1, 0x1000, K4),
        unmap_deferred(1, 0x3000, K4),
        read(DEVICE, 0x1800, 0x2000),
        read(DEVICE, 0x1800, 0x3000),
    ]);
    assert_eq!(
        outcome.dmas,
        [
            translated(0xA000, 0, 3),
            Dma { stale: 2, ..translated(0xA800, 3, 0) },
            Dma { stale: 2, ..blocked("not_mapped", 0x4000, 3, 1) },
        ]
    );
    assert_eq!(outcome.summary.stale_total, 4);
}
