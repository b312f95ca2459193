//! What is refused: it is recorded and changes nothing.

use portcullis_engine::domain::LeafSize;

use crate::trace::{
    G1, GIB, K4, M2, MIB2, R, RW, attach, blocked, detach, hit, map, miss, page, read, run, unmap,
    unmap_deferred,
};

const DEVICE: u32 = 0x08;

#[test]
fn a_map_over_any_part_of_a_leaf_is_an_overlap() {
    for there in LeafSize::ALL {
        for here in LeafSize::ALL {
            // First over last, and last over first: a smaller leaf at either end of a larger one.
            let larger = there.max(here);
            for end in [GIB, GIB + larger.bytes() - 1] {
                let (there_at, here_at) = (end & !(there.bytes() - 1), end & !(here.bytes() - 1));
                let outcome = run(&[
                    attach(DEVICE, 1),
                    map(1, there_at, 0, there, RW),
                    map(1, here_at, GIB, here, RW),
                    read(DEVICE, end, 1),
                    unmap(1, there_at, there),
                    map(1, here_at, GIB, here, RW),
                    read(DEVICE, end, 1),
                ]);
                assert_eq!(outcome.refused, [(2, "map", "overlap")], "{there} then {here} at {end:#x}");
                let pas = [end & (there.bytes() - 1), GIB + (end & (here.bytes() - 1))];
                assert_eq!(outcome.dmas, pas.map(miss), "{there} then {here} at {end:#x}");
                assert_eq!((outcome.summary.refused_total, outcome.summary.leaves_mapped), (1, 1));
            }
        }
    }
}

#[test]
fn neighbours_do_not_overlap() {
    for size in LeafSize::ALL {
        let bytes = size.bytes();
        for beside in LeafSize::ALL {
            let outcome = run(&[
                map(1, 2 * GIB, 0, G1, RW),
                map(1, 3 * GIB, 0, size, RW),
                map(1, 2 * GIB - beside.bytes(), 0, beside, RW),
                map(1, 3 * GIB + bytes, 0, size, RW),
            ]);
            assert_eq!(outcome.refused, [], "{size} beside {beside}");
            assert_eq!(outcome.summary.leaves_mapped, 4);
        }
    }
}

#[test]
fn an_overlap_is_one_of_the_same_domain_only() {
    let outcome = run(&[page(1, 0x1000, 0xA000), page(2, 0x1000, 0xB000), map(3, 0, 0, G1, RW)]);
    assert_eq!(outcome.refused, []);
    assert_eq!(outcome.summary.leaves_mapped, 3);
}

#[test]
fn the_same_leaf_again_is_an_overlap_too_and_keeps_its_rights() {
    let outcome = run(&[
        attach(DEVICE, 1),
        map(1, 0x1000, 0xA000, K4, R),
        map(1, 0x1000, 0xA000, K4, RW),
        map(1, 0x1000, 0xA000, K4, R),
        crate::trace::write(DEVICE, 0x1000, 1),
    ]);
    assert_eq!(outcome.refused, [(2, "map", "overlap"), (3, "map", "overlap")]);
    assert_eq!(outcome.dmas, [blocked("no_permission", 0x1000, 0, 1)]);
}

#[test]
fn iova_and_pa_must_be_multiples_of_the_size() {
    for size in LeafSize::ALL {
        let mut events = vec![attach(DEVICE, 1)];
        let mut expected = Vec::new();
        let offs = [1, 0x800, size.bytes() / 2, size.bytes() - 1];
        for off in offs {
            for (iova, pa) in [(GIB + off, GIB), (GIB, GIB + off), (GIB + off, GIB + off)] {
                expected.push((events.len() as u64, "map", "misaligned"));
                events.push(map(1, iova, pa, size, RW));
            }
        }
        events.push(read(DEVICE, GIB, 1));
        let outcome = run(&events);
        assert_eq!(outcome.refused, expected, "{size}");
        assert_eq!(outcome.dmas, [blocked("not_mapped", GIB, 0, 1)], "{size}");
        assert_eq!((outcome.summary.refused_total, outcome.summary.leaves_mapped), (12, 0));
    }
}

#[test]
fn only_exactly_a_leaf_is_unmapped() {
    type Unmap = fn(u32, u64, LeafSize) -> portcullis_engine::replay::Event;
    for (name, remove) in [("unmap", unmap as Unmap), ("unmap_deferred", unmap_deferred)] {
        let wrong = [
            // Nothing there, in a domain that has leaves and in one that has none.
            remove(1, 0x9000, K4),
            remove(2, 0x1000, K4),
            // Not its first address.
            remove(1, 0x1008, K4),
            remove(1, MIB2 + 0x1000, M2),
            remove(1, GIB + MIB2, G1),
            // Another size: smaller and larger, at the base and inside.
            remove(1, 0x1000, M2),
            remove(1, 0, M2),
            remove(1, 0, G1),
            remove(1, MIB2, K4),
            remove(1, MIB2 + 0x1000, K4),
            remove(1, MIB2, G1),
            remove(1, GIB, K4),
            remove(1, GIB, M2),
            remove(1, GIB + MIB2, M2),
        ];
        let mut events = vec![
            attach(DEVICE, 1),
            page(1, 0x1000, 0xA000),
            map(1, MIB2, MIB2, M2, RW),
            map(1, GIB, GIB, G1, RW),
        ];
        let reads = [0x1000, MIB2, GIB].map(|iova| read(DEVICE, iova, 1));
        events.extend(reads);
        events.extend(wrong);
        events.extend(reads);
        let outcome = run(&events);
        let expected: Vec<_> = (7..7 + wrong.len() as u64).map(|row| (row, name, "not_a_leaf")).collect();
        assert_eq!(outcome.refused, expected);
        // What was refused invalidated nothing.
        let pas = [0xA000, MIB2, GIB];
        assert_eq!(outcome.dmas, [pas.map(miss), pas.map(hit)].concat());
        assert_eq!((outcome.summary.iotlb_invalidated, outcome.summary.leaves_mapped), (0, 3));
    }
}

#[test]
fn a_leaf_is_unmapped_once() {
    let outcome = run(&[
        page(1, 0x1000, 0xA000),
        unmap(1, 0x1000, K4),
        unmap(1, 0x1000, K4),
        unmap_deferred(1, 0x1000, K4),
    ]);
    assert_eq!(outcome.refused, [(2, "unmap", "not_a_leaf"), (3, "unmap_deferred", "not_a_leaf")]);
    assert_eq!(outcome.summary.leaves_mapped, 0);
}

#[test]
fn an_unmap_of_one_domain_leaves_the_others() {
    let outcome = run(&[
        attach(DEVICE, 2),
        page(2, 0x1000, 0xA000),
        read(DEVICE, 0x1000, 1),
        page(1, 0x1000, 0xA000),
        unmap(1, 0x1000, K4),
        read(DEVICE, 0x1000, 1),
        unmap(1, 0x1000, K4),
        read(DEVICE, 0x1000, 1),
    ]);
    assert_eq!(outcome.refused, [(6, "unmap", "not_a_leaf")]);
    assert_eq!(outcome.dmas, [miss(0xA000), hit(0xA000), hit(0xA000)]);
}

#[test]
fn only_a_device_with_a_domain_is_detached() {
    let outcome = run(&[
        detach(DEVICE),
        attach(DEVICE, 1),
        detach(DEVICE),
        detach(DEVICE),
        detach(0x10),
        attach(DEVICE, 1),
        attach(DEVICE, 2),
        detach(DEVICE),
        detach(DEVICE),
    ]);
    let expected = [0, 3, 4, 8].map(|row| (row, "detach", "not_attached"));
    assert_eq!(outcome.refused, expected);
    assert_eq!((outcome.summary.refused_total, outcome.summary.devices), (4, 2));
}
