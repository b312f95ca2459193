//! Rows, counters and batches.

use portcullis_engine::plan::Audit;
use portcullis_engine::replay::{Event, ReplayPlan, ReplaySummaryRow, empty_replay_tables};
use portcullis_engine::table::Column;
use portcullis_engine::translation::{IotlbSpec, Ways};

use crate::trace::{
    Fed, GIB, K4, R, attach, column, detach, invalidate_page, map, page, plan, read, replay, run, run_with,
    unmap, unmap_deferred, write,
};

const DEVICE: u32 = 0x01_0008;

/// Every outcome and every refusal once or more.
fn a_bit_of_everything() -> Vec<Event> {
    vec![
        read(DEVICE, 0x1000, 1),        // 0: no_context
        attach(DEVICE, 1),              // 1
        page(1, 0x1000, 0xA000),        // 2
        page(1, 0x2000, 0xB000),        // 3
        map(1, 0x4000, 0xC000, K4, R),  // 4
        map(1, 0x4000, 0xC000, K4, R),  // 5: overlap
        map(1, 0x5000, 0xC001, K4, R),  // 6: misaligned
        read(DEVICE, 0x1FF8, 0x10),     // 7: two misses
        write(DEVICE, 0x1008, 8),       // 8: a hit
        read(DEVICE, 0x1008, 0),        // 9: bad_length
        write(DEVICE, u64::MAX, 2),     // 10: address_overflow
        read(DEVICE, 0x2FF8, 0x10),     // 11: a hit, not_mapped
        write(DEVICE, 0x4008, 8),       // 12: no_permission
        unmap(1, 0x3000, K4),           // 13: not_a_leaf
        unmap_deferred(1, 0x1000, K4),  // 14
        read(DEVICE, 0x1008, 8),        // 15: stale
        invalidate_page(1, 0x1000, K4), // 16
        unmap(1, 0x2000, K4),           // 17
        detach(DEVICE),                 // 18
        detach(DEVICE),                 // 19: not_attached
    ]
}

#[test]
fn the_summary_counts_what_happened() {
    let outcome = run(&a_bit_of_everything());
    let expected = ReplaySummaryRow {
        trace: "trace".to_owned(),
        seed: 1,
        events_total: 20,
        dma_total: 8,
        dma_translated: 3,
        dma_blocked: 5,
        blocked_no_context: 1,
        blocked_bad_length: 1,
        blocked_address_overflow: 1,
        blocked_not_mapped: 1,
        blocked_no_permission: 1,
        iotlb_lookups: 7,
        iotlb_hits: 3,
        iotlb_misses: 4,
        iotlb_misses_joined: 0,
        iotlb_hit_ratio: 3.0 / 7.0,
        iotlb_evictions: 0,
        iotlb_invalidated: 2,
        walks: 4,
        walks_faulted: 2,
        stale_total: 1,
        audited_total: 3,
        breach_total: 0,
        refused_total: 4,
        domains: 1,
        devices: 1,
        leaves_mapped: 1,
        wall_simulate_s: 0.0,
        wall_events_per_s: 0.0,
        wall_peak_memory_bytes: 0,
    };
    assert_eq!(outcome.summary, expected);
}

#[test]
fn rows_say_which_event_and_what_it_asked() {
    let results = replay(&plan(), &a_bit_of_everything(), &[3, 0, 5, 1]);
    let requests = &results.requests;
    assert_eq!(*column(requests, "row"), Column::U64(vec![0, 7, 8, 9, 10, 11, 12, 15]));
    assert_eq!(*column(requests, "device"), Column::U32(vec![DEVICE; 8]));
    let iovas = vec![0x1000, 0x1FF8, 0x1008, 0x1008, u64::MAX, 0x2FF8, 0x4008, 0x1008];
    assert_eq!(*column(requests, "iova"), Column::U64(iovas));
    assert_eq!(*column(requests, "length"), Column::U64(vec![1, 16, 8, 0, 2, 16, 8, 8]));
    assert_eq!(*column(requests, "op"), Column::Name(vec!["r", "r", "w", "r", "w", "r", "w", "r"]));
    assert_eq!(*column(&results.refused, "row"), Column::U64(vec![5, 6, 13, 19]));
    assert_eq!(*column(&results.refused, "event"), Column::Name(vec!["map", "map", "unmap", "detach"]));
    let reasons = vec!["overlap", "misaligned", "not_a_leaf", "not_attached"];
    assert_eq!(*column(&results.refused, "reason"), Column::Name(reasons));
}

#[test]
fn empty_batches_and_empty_traces_are_fine() {
    let nothing = replay(&plan(), &[], &[0, 0, 0]);
    let summary = ReplaySummaryRow { trace: "trace".to_owned(), seed: 1, ..ReplaySummaryRow::default() };
    assert_eq!(nothing.summary, summary);
    assert_eq!((nothing.requests.len(), nothing.refused.len()), (0, 0));
    let events = a_bit_of_everything();
    assert_eq!(replay(&plan(), &events, &[0, 0, 1, 0, 0, 6, 0]), replay(&plan(), &events, &[]));
}

#[test]
fn events_may_come_before_any_domain_or_device() {
    let outcome = run(&[Event::InvalidateAll, read(DEVICE, 0, 1), detach(DEVICE), Event::InvalidateAll]);
    assert_eq!(outcome.refused, [(2, "detach", "not_attached")]);
    assert_eq!((outcome.summary.domains, outcome.summary.devices), (0, 1));
    let outcome = run(&[page(1, 0x1000, 0xA000), unmap(1, 0x1000, K4)]);
    assert_eq!((outcome.summary.domains, outcome.summary.devices), (1, 0));
}

#[test]
fn rows_are_drained_once() {
    let mut fed = Fed::new(&plan());
    fed.replay.apply(&[read(DEVICE, 0x1000, 1), detach(DEVICE)]);
    let drained = fed.replay.drain_tables();
    assert_eq!(
        drained.iter().map(|table| (table.name, table.len())).collect::<Vec<_>>(),
        [("requests", 1), ("refused", 1)]
    );
    assert_eq!(fed.replay.drain_tables(), []);
    fed.replay.apply(&[read(DEVICE, 0x1000, 1)]);
    let result = fed.replay.finish();
    assert_eq!(
        result.tables.iter().map(|table| (table.name, table.len())).collect::<Vec<_>>(),
        [("requests", 1)]
    );
    assert_eq!((result.summary.dma_total, result.summary.refused_total), (2, 1));
}

#[test]
fn empty_tables_have_the_columns_of_full_ones() {
    let results = replay(&plan(), &a_bit_of_everything(), &[]);
    for (empty, full) in empty_replay_tables().iter().zip([&results.requests, &results.refused]) {
        assert_eq!((empty.name, empty.fields), (full.name, full.fields));
        assert!(empty.is_empty() && !full.is_empty());
    }
}

#[test]
fn the_audit_judges_all_or_every_64th_dma_or_none() {
    let mut events = vec![attach(DEVICE, 1), page(1, 0x1000, 0xA000)];
    // Of the DMAs 0, 64 and 128, the one in the middle is blocked and reaches nothing.
    events.extend((0..130).map(|at| read(DEVICE, if at == 64 { 0x2000 } else { 0x1000 }, 8)));
    for (audit, judged) in [(Audit::Full, 129), (Audit::Sample, 2), (Audit::Off, 0)] {
        let outcome = run_with(&ReplayPlan { audit, ..plan() }, &events);
        assert_eq!(outcome.summary.audited_total, judged, "{audit:?}");
    }
}

#[test]
fn an_iotlb_that_cannot_be_built_is_refused_by_its_key() {
    let iotlb = IotlbSpec { entries: 10, ways: Ways::Count(4), ..IotlbSpec::default() };
    let error = portcullis_engine::replay::Replay::new(ReplayPlan { iotlb, ..plan() });
    assert_eq!(error.err().expect("no multiple of 4").key, "iommu.iotlb.entries");
}

#[test]
fn many_domains_and_devices_in_one_batch_and_in_many() {
    let mut events = Vec::new();
    for at in 0..300 {
        events.push(attach(at, at * 7));
        events.push(page(at * 7, u64::from(at) * GIB, u64::from(at) << 12));
        events.push(read(at, u64::from(at) * GIB + 4, 4));
    }
    let outcome = run(&events);
    assert!(
        outcome.dmas.iter().enumerate().all(|(at, dma)| *dma == crate::trace::miss((at as u64) << 12 | 4))
    );
    assert_eq!((outcome.summary.domains, outcome.summary.devices), (300, 300));
    assert_eq!((outcome.summary.iotlb_evictions, outcome.summary.leaves_mapped), (300 - 64, 300));
}
