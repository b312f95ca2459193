//! The suite of `portcullis validate`, as far as it takes seconds: whole sections, or every so many rows of one.

use portcullis_engine::link::Retire;
use portcullis_engine::translation::WalkLatency;
use portcullis_workloads::validation::{Check, Figure, Section, Tolerance};
use rayon::prelude::*;

use crate::support::run;

/// What rows come to, each with its error and whether it passed.
fn judged(checks: &[Check]) -> Vec<(f64, bool)> {
    let of_row = |check: &Check| {
        let summaries: Vec<_> = check.runs.iter().map(|scenario| run(scenario).summary).collect();
        let verdict = check.judge(&summaries);
        (verdict.error, verdict.passed)
    };
    checks.par_iter().map(of_row).collect()
}

/// Rows pass, but for those that are known to miss, and these do.
#[track_caller]
fn assert_as_known(checks: &[Check]) {
    assert!(!checks.is_empty());
    for (check, (error, passed)) in checks.iter().zip(judged(checks)) {
        assert_eq!(passed, check.known_miss.is_none(), "{}: error {error:+.4}", check.what);
    }
}

/// Every so many rows, from one on.
fn some(checks: Vec<Check>, first: usize, step: usize) -> Vec<Check> {
    checks.into_iter().skip(first).step_by(step).collect()
}

#[test]
fn closed_forms_come_out_where_the_rows_are_cheap() {
    let cheap =
        |check: &Check| check.runs.iter().map(|run| run.requests.unwrap_or(0)).sum::<u64>() <= 1_000_000;
    let checks: Vec<Check> = Section::ClosedForms.checks().into_iter().filter(cheap).collect();
    assert!(checks.iter().any(|check| matches!(check.figure, Figure::Computed(_))));
    assert!(checks.iter().any(|check| matches!(check.tolerance, Tolerance::AtMost(_))));
    assert_as_known(&checks);
}

#[test]
fn broadwell_carries_what_it_carries() {
    let of_hardware = |check: &Check| check.what.contains("Broadwell");
    assert_as_known(&Section::Pcie.checks().into_iter().filter(of_hardware).collect::<Vec<_>>());
}

#[test]
fn latency_rises_past_the_iotlb_as_measured() {
    assert_as_known(&some(Section::Latency.checks(), 1, 4));
}

/// Up to 21 tenants fit, and one more falls off: every third row, those at the edge among them.
#[test]
fn many_tenants_fall_off_the_cliff_where_their_pages_no_longer_fit() {
    assert_as_known(&some(Section::Cliff.checks(), 0, 3));
    assert_as_known(&some(Section::Cliff.checks(), 2, 10));
}

#[test]
fn misses_limit_throughput_as_measured() {
    assert_as_known(&some(Section::Throughput.checks(), 2, 5));
}

/// Strict, every page costs a miss of the IOTLB; a larger ring costs more misses of the walk caches, and invalidations
/// that spare these nearly none. Throughput follows the law of the misses.
#[test]
fn rings_of_buffers_pay_for_their_misses() {
    let checks = Section::Misses.checks();
    assert_as_known(&checks);
    let strict: Vec<_> = checks.iter().filter(|check| check.figure == Figure::OfMissLaw).collect();
    let misses = |check: &&Check| {
        let summary = run(&check.runs[0]).summary;
        assert!(summary.iotlb_misses >= summary.dma_total, "{}: {summary:?}", check.what);
        assert_eq!((summary.stale_total, summary.breach_total), (0, 0), "{}", check.what);
        Check { figure: Figure::MissesAPage, ..(*check).clone() }.judge(&[summary]).simulated
    };
    let of_rings: Vec<f64> = strict.iter().map(misses).collect();
    assert_eq!(of_rings.len(), 4);
    assert!(of_rings.iter().all(|misses| *misses > 1.3), "{of_rings:?}");
    assert!(of_rings.is_sorted_by(|smaller, larger| smaller < larger), "{of_rings:?}");
    assert!(of_rings[3] - of_rings[0] > 0.15, "{of_rings:?}");
}

/// A device that retires in order waits for the longest of the walks it has under way: with walks that all take as long
/// it reads a quarter more than was measured, and so does one that retires out of order.
#[test]
fn reads_in_order_feel_how_walks_vary() {
    let what = "Broadwell, reads of 64 bytes, 256 pages";
    let checks = Section::Throughput.checks();
    let check = checks.iter().find(|check| check.what == what).expect("a row of the section");
    let of = |latency: WalkLatency, retire: Retire| {
        let mut scenario = check.runs[0].clone();
        (scenario.iommu.walkers.latency, scenario.device.retire) = (latency, retire);
        check.judge(&[run(&scenario).summary]).error
    };
    assert!(check.judge(&[run(&check.runs[0]).summary]).passed);
    assert!(of(WalkLatency::Constant, Retire::InOrder) > 0.25);
    assert!(of(WalkLatency::Exponential, Retire::OutOfOrder) > 0.25);
}

/// Numbers of a machine that is not in the list. Its writes follow min(R0, walkers / (misses x walk)), and one read at
/// a time the law of hits and walks, whatever the numbers: none of them was fitted to anything.
#[test]
fn the_laws_hold_on_any_machine() {
    let window = portcullis_workloads::builtin("window-sweep").expect("a built-in scenario").toml;
    for (entries, walkers, walk_ns, base_ns, mops) in
        [(48_u32, 2_u32, 180.0, 380.0, 30.0), (256, 8, 500.0, 620.0, 60.0), (1_024, 12, 240.0, 300.0, 100.0)]
    {
        let machine = [
            format!("iommu.iotlb.entries={entries}"),
            "iommu.iotlb.ways=full".into(),
            format!("iommu.walkers.count={walkers}"),
            format!("iommu.walkers.walk_ns={walk_ns}"),
            format!("memory.base_read_ns={base_ns}"),
            format!("device.max_write_mops={mops}"),
            "link.lanes=16".into(),
        ];
        let of = |pages: u32, more: &[&str]| {
            let pages = format!("tenants.device.memory.pages={pages}");
            let changes: Vec<&str> =
                machine.iter().map(String::as_str).chain([&*pages]).chain(more.iter().copied()).collect();
            run(&crate::support::custom(window, &changes)).summary
        };
        for times in [4, 8, 32] {
            let misses = 1.0 - 1.0 / f64::from(times);
            let what = format!("{entries} entries, {times} times as many pages");
            let latency = of(entries * times, &["requests=100000"]).latency_mean_ns;
            crate::support::assert_within(&what, latency, base_ns + walk_ns * misses, 0.015);
            let writes = of(
                entries * times,
                &[
                    "tenants.device.read_share=0",
                    "tenants.device.arrivals.outstanding=256",
                    "requests=300000",
                ],
            );
            let by_walkers = f64::from(walkers) * 1e3 / (walk_ns * misses);
            let found = writes.dma_total as f64 * 1e3 / writes.simulated_ns;
            crate::support::assert_within(&what, found, f64::min(mops, by_walkers), 0.08);
        }
    }
}
