//! The suite itself: its numbers, its scenarios, its verdicts.

use portcullis_engine::account::{RequestRow, SummaryRow};
use portcullis_engine::table::Table;

use super::*;

#[test]
fn every_section_has_rows_whose_scenarios_can_be_built() {
    for section in Section::ALL {
        assert_eq!(Section::of_number(section.number()), Some(section));
        let checks = section.checks();
        let least = if section == Section::Invalidation { 3 } else { 21 };
        assert!(checks.len() >= least, "{section:?}");
        for check in &checks {
            assert_eq!(check.section, section, "{}", check.what);
            let computed = matches!(check.figure, Figure::Computed(_));
            assert_eq!(check.runs.is_empty(), computed, "{}", check.what);
        }
        let mut names: Vec<_> = checks.iter().map(|check| &check.what).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), checks.len(), "rows of {section:?} are told apart");
    }
    assert_eq!((Section::of_number(0), Section::of_number(99)), (None, None));
}

#[test]
fn a_verdict_is_that_of_its_tolerance() {
    let judged = |tolerance, computed| {
        let mut check = Section::ClosedForms.checks().remove(0);
        (check.runs, check.figure, check.expected) = (Vec::new(), Figure::Computed(computed), 2.0);
        check.tolerance = tolerance;
        check.judge(&[])
    };
    assert!(judged(Tolerance::Absolute(0.125), 2.125).passed);
    assert!(!judged(Tolerance::Absolute(0.125), 1.75).passed);
    assert!(judged(Tolerance::Relative(0.125), 1.75).passed);
    assert!(!judged(Tolerance::Relative(0.125), 2.5).passed);
    assert!(judged(Tolerance::AtMost(0.0), 1.0).passed);
    assert!(!judged(Tolerance::AtMost(0.0), 2.125).passed);
    assert!(!judged(Tolerance::AtMost(1.0), f64::NAN).passed);
    assert_eq!(judged(Tolerance::Relative(0.125), 2.5).error, 0.25);
}

/// Two requests under way for 30 ns each in 40 ns, one before the other: 1.5 on average.
#[test]
fn littles_law_is_judged_by_the_log() {
    let mut log = Table::new::<RequestRow>();
    for (intended_ps, completed_ps) in [(5_000, 9_000), (20_000, 50_000), (30_000, 60_000)] {
        log.push(RequestRow { intended_ps, completed_ps, ..RequestRow::default() });
    }
    let mut under_way = UnderWay::new(20_000);
    under_way.add(&log);
    let books = |latency_mean_ns: f64| SummaryRow {
        dma_total: 2,
        dma_warmup: 1,
        simulated_ns: 60.0,
        warmup_ns: 20.0,
        latency_mean_ns,
        ..SummaryRow::default()
    };
    assert_eq!(under_way.deviation(&books(30.0)), 0.0);
    assert_eq!(under_way.deviation(&books(60.0)), 1.0);
    for (worst, passes) in [(0.0009, true), (-0.0009, true), (0.0011, false), (-0.0011, false)] {
        let check = Check::of_little(Section::Pcie, &[0.0, worst, 0.0001]);
        assert_eq!(check.judge(&[]).passed, passes, "{worst}");
    }
}

/// A scenario of a row takes the machine's values but for what the row is about.
#[test]
fn rows_of_hardware_run_on_their_machine() {
    let checks = Section::Throughput.checks().into_iter().chain(Section::Latency.checks());
    for check in checks {
        let walk_ns = if check.what.starts_with("Haswell") { 228.0 } else { 290.0 };
        for run in &check.runs {
            assert_eq!(run.iommu.walkers.walk_ns, Some(walk_ns), "{}", check.what);
            assert_eq!((run.iommu.iotlb.entries, run.device.outstanding), (118, 31), "{}", check.what);
        }
    }
}
