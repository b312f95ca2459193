//! Attaching and detaching, and whose entries serve whom.

use crate::trace::{
    K4, attach, blocked, detach, hit, invalidate_domain, miss, page, read, run, stale, unmap_deferred,
};

const DEVICE: u32 = 0x08;

#[test]
fn an_attach_replaces_another_domain_and_invalidates_nothing() {
    let outcome = run(&[
        page(1, 0x1000, 0xA000),
        page(2, 0x1000, 0xB000),
        attach(DEVICE, 1),
        read(DEVICE, 0x1000, 1),
        attach(DEVICE, 2),
        read(DEVICE, 0x1000, 1),
        attach(DEVICE, 1),
        read(DEVICE, 0x1000, 1),
        attach(DEVICE, 2),
        read(DEVICE, 0x1000, 1),
    ]);
    assert_eq!(outcome.dmas, [miss(0xA000), miss(0xB000), hit(0xA000), hit(0xB000)]);
    assert_eq!(outcome.refused, []);
    assert_eq!(outcome.summary.iotlb_invalidated, 0);
}

#[test]
fn an_attach_to_the_same_domain_is_accepted() {
    let outcome =
        run(&[page(1, 0x1000, 0xA000), attach(DEVICE, 1), attach(DEVICE, 1), read(DEVICE, 0x1000, 1)]);
    assert_eq!(outcome.refused, []);
    assert_eq!(outcome.dmas, [miss(0xA000)]);
}

#[test]
fn a_detach_invalidates_nothing() {
    let outcome = run(&[
        page(1, 0x1000, 0xA000),
        attach(DEVICE, 1),
        read(DEVICE, 0x1000, 1),
        detach(DEVICE),
        read(DEVICE, 0x1000, 1),
        attach(DEVICE, 1),
        read(DEVICE, 0x1000, 1),
    ]);
    assert_eq!(outcome.dmas, [miss(0xA000), blocked("no_context", 0x1000, 0, 0), hit(0xA000)]);
    assert_eq!(outcome.summary.iotlb_invalidated, 0);
}

#[test]
fn a_stale_entry_outlives_a_detach_and_an_attach() {
    let outcome = run(&[
        page(1, 0x1000, 0xA000),
        attach(DEVICE, 1),
        read(DEVICE, 0x1000, 1),
        unmap_deferred(1, 0x1000, K4),
        detach(DEVICE),
        attach(0x10, 1),
        read(0x10, 0x1000, 1),
    ]);
    assert_eq!(outcome.dmas, [miss(0xA000), stale(0xA000)]);
}

#[test]
fn devices_of_one_domain_share_its_entries() {
    let outcome = run(&[
        page(1, 0x1000, 0xA000),
        attach(DEVICE, 1),
        attach(0x10, 1),
        read(DEVICE, 0x1000, 1),
        read(0x10, 0x1004, 1),
        detach(DEVICE),
        read(0x10, 0x1004, 1),
        read(DEVICE, 0x1000, 1),
    ]);
    assert_eq!(outcome.dmas, [miss(0xA000), hit(0xA004), hit(0xA004), blocked("no_context", 0x1000, 0, 0)]);
}

#[test]
fn requester_ids_differ_by_their_segment() {
    let devices = [0x00_0008, 0x01_0008, 0xFF_0008, 0xFF_FFFF, 0x00_FFFF, 0];
    let mut events: Vec<_> = (0..4).map(|at| attach(devices[at], at as u32)).collect();
    events.extend((0..4).map(|domain| page(domain, 0x1000, 0xA000 + u64::from(domain) * 0x1000)));
    events.extend(devices.map(|device| read(device, 0x1000, 1)));
    let outcome = run(&events);
    let without = blocked("no_context", 0x1000, 0, 0);
    assert_eq!(outcome.dmas, [miss(0xA000), miss(0xB000), miss(0xC000), miss(0xD000), without, without]);
    assert_eq!((outcome.summary.devices, outcome.summary.domains), (6, 4));
}

#[test]
fn every_domain_number_is_its_own() {
    // Among them numbers that differ in their highest bits only.
    let domains = [0, 1, 2_048, 2_049, 0x8000_0000, 0x8000_0001, u32::MAX - 1, u32::MAX, 0x7FF, 0xFFFF];
    let mut events = Vec::new();
    for (at, domain) in domains.into_iter().enumerate() {
        events.push(attach(at as u32, domain));
        events.push(page(domain, 0x1000, at as u64 * 0x1000));
    }
    for _ in 0..2 {
        events.extend((0..domains.len() as u32).map(|device| read(device, 0x1008, 8)));
    }
    // The one with the number of the first device goes; the others stay cached.
    events.push(invalidate_domain(u32::MAX));
    events.extend((0..domains.len() as u32).map(|device| read(device, 0x1008, 8)));
    let outcome = run(&events);
    let pas = (0..domains.len() as u64).map(|at| at * 0x1000 + 8);
    let mut expected: Vec<_> = pas.clone().map(miss).chain(pas.clone().map(hit)).collect();
    expected.extend(pas.enumerate().map(|(at, pa)| if domains[at] == u32::MAX { miss(pa) } else { hit(pa) }));
    assert_eq!(outcome.dmas, expected);
    assert_eq!(outcome.summary.domains, domains.len() as u64);
}

#[test]
fn a_domain_exists_from_its_first_mention() {
    let outcome = run(&[
        attach(DEVICE, 1),
        invalidate_domain(2),
        unmap_deferred(3, 0x1000, K4),
        crate::trace::invalidate_page(4, 0x1000, K4),
        page(5, 0x1008, 0),
        read(DEVICE, 0x1000, 1),
        read(0x10, 0x1000, 1),
    ]);
    assert_eq!((outcome.summary.domains, outcome.summary.devices), (5, 2));
    assert_eq!(outcome.dmas, [blocked("not_mapped", 0x1000, 0, 1), blocked("no_context", 0x1000, 0, 0)]);
    assert_eq!(outcome.refused, [(2, "unmap_deferred", "not_a_leaf"), (4, "map", "misaligned")]);
}

#[test]
fn one_frame_may_belong_to_several_domains() {
    let outcome = run(&[
        attach(DEVICE, 1),
        attach(0x10, 2),
        page(1, 0x1000, 0xA000),
        page(1, 0x2000, 0xA000),
        page(2, 0x1000, 0xA000),
        crate::trace::unmap(1, 0x1000, K4),
        read(DEVICE, 0x2000, 1),
        read(0x10, 0x1000, 1),
        crate::trace::unmap(1, 0x2000, K4),
        read(0x10, 0x1000, 1),
    ]);
    assert_eq!(outcome.dmas, [miss(0xA000), miss(0xA000), hit(0xA000)]);
    assert_eq!((outcome.summary.audited_total, outcome.summary.breach_total), (3, 0));
}
