//! The suite itself: its numbers, its scenarios, its verdicts.

use super::*;

#[test]
fn every_section_has_rows_whose_scenarios_can_be_built() {
    for section in Section::ALL {
        assert_eq!(Section::of_number(section.number()), Some(section));
        let checks = section.checks();
        let least = match section {
            Section::Invalidation => 3,
            Section::Misses => 10,
            Section::Cliff => 19,
            _ => 21,
        };
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
