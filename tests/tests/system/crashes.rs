//! Hosts that a fault or a hang ends: what is lost, for how long, and that they come back with nothing cached.

use portcullis_workloads::Scenario;

use crate::failures::BRITTLE;
use crate::support::{
    Outcome, VfPlace, custom, names, numbers, optional_numbers, overrides, run, run_logged, vf_places,
};

/// Two hosts on which domains are switched without the drain, so that reads meet an absent context sooner or later.
const HASTY: &str = r#"
name = "hasty"
requests = 60_000
seed = 5

[topology]
hosts = 2
vfs_per_adapter = 4

[link]
propagation_ns = 4_000.0

[silence]
mode = "unsafe"
skip = ["drain", "begin"]
suspend_us = 0.05
detach_us = 0.05
attach_us = 0.05
end_us = 0.05
resume_us = 0.05

[switches]
schedule = "periodic"
every_us = 500

[[tenants]]
name = "working"
sizes = 64
arrivals = { kind = "poisson", mops_per_vf = 1.0 }
"#;

/// Every DMA has one outcome.
fn assert_conserved(outcome: &Outcome) {
    let summary = &outcome.summary;
    let over = summary.dma_translated + summary.dma_blocked + summary.dma_aborted + summary.dma_starved;
    assert_eq!((over, summary.dma_total), (60_000, 60_000));
    assert_eq!((summary.breach_total, outcome.breach.as_deref()), (0, None));
}

#[test]
fn the_first_fault_of_a_switch_ends_its_host() {
    let outcome = run_logged(&custom(HASTY, &[]));
    assert_conserved(&outcome);
    let summary = &outcome.summary;
    assert_eq!(summary.bug_checks, 2, "one a host");
    assert_eq!(summary.switch_faults, 2, "nothing is looked up behind it");
    assert!(summary.dma_aborted > 10_000, "{} aborted", summary.dma_aborted);
    assert!(summary.host_down_ns > 0.0 && summary.host_down_ns < 2.0 * summary.simulated_ns);
    // On each host, what is over before the first that is aborted is not, and nothing is over behind it.
    let (hosts, outcomes) = (numbers(&outcome.requests, "host"), names(&outcome.requests, "outcome"));
    let completed = numbers(&outcome.requests, "completed_ps");
    for host in 0..2 {
        let of_host: Vec<_> = (0..hosts.len()).filter(|row| hosts[*row] == host).collect();
        let (lost, over): (Vec<_>, Vec<_>) = of_host.into_iter().partition(|row| outcomes[*row] == "aborted");
        let last_over = over.iter().map(|row| completed[*row]).max().expect("some were over");
        let first_lost = lost.iter().map(|row| completed[*row]).min().expect("some were lost");
        assert!(last_over < first_lost, "host {host}");
    }
}

#[test]
fn a_host_that_reboots_works_again() {
    let outcome = run(&custom(HASTY, &["host.reboot_us=1000"]));
    assert_conserved(&outcome);
    let summary = &outcome.summary;
    assert!(summary.bug_checks > 2, "{} bug checks", summary.bug_checks);
    let for_good = run(&custom(HASTY, &[])).summary;
    assert!(summary.dma_translated > for_good.dma_translated, "some are served behind a reboot");
    // All but the last of each host, which the end of the run may cut off, last as long as a reboot.
    let whole = (summary.bug_checks - 2) as f64 * 1e6;
    assert!((whole..=whole + 2e6).contains(&summary.host_down_ns), "{} ns down", summary.host_down_ns);
}

#[test]
fn recorded_faults_end_nobody() {
    let summary = run(&custom(HASTY, &["host.on_switch_fault=record"])).summary;
    assert_eq!((summary.bug_checks, summary.dma_aborted), (0, 0));
    assert!(summary.switch_faults > 10, "{} faults", summary.switch_faults);
}

#[test]
fn any_fault_may_end_a_host() {
    let outcome = run(&custom(
        HASTY,
        &[
            "switches.schedule=none",
            "silence.mode=silence",
            "silence.skip=[]",
            "host.on_fault=bugcheck",
            "tenants.working.memory.hole_share=0.01",
        ],
    ));
    assert_conserved(&outcome);
    assert_eq!((outcome.summary.bug_checks, outcome.summary.dma_blocked), (2, 0));
}

#[test]
fn tables_do_not_depend_on_the_batch() {
    let of = |batch: &str| {
        let outcome = run(&custom(HASTY, &["host.reboot_us=300", batch]));
        (outcome.summary.dma_aborted, outcome.summary.bug_checks, outcome.tenants)
    };
    assert_eq!(of("engine.batch_requests=7"), of("engine.batch_requests=2048"));
}

/// When hosts went down, and came back, and why: in microseconds.
fn bug_checks(outcome: &Outcome) -> Vec<(u64, Option<u64>, &'static str, VfPlace)> {
    let timeline = &outcome.timeline;
    let (kinds, details) = (names(timeline, "kind"), names(timeline, "detail"));
    let (begins, ends) = (numbers(timeline, "time_ps"), optional_numbers(timeline, "end_ps"));
    let us = |ps: u64| {
        assert_eq!(ps % 1_000_000, 0, "on the microsecond");
        ps / 1_000_000
    };
    let of_row = |(row, place): (usize, VfPlace)| (us(begins[row]), ends[row].map(us), details[row], place);
    vf_places(timeline)
        .into_iter()
        .enumerate()
        .filter(|(row, _)| kinds[*row] == "bug_check")
        .map(of_row)
        .collect()
}

/// A driver that does not come back from `DxgkDdiBeginExclusiveAccess`, which it was called for at 220 us, ends its host
/// `ddi_timeout_us` later, and with it everybody on it.
#[test]
fn a_stuck_driver_ends_its_host() {
    let stuck = "failures.list=[{ at_us = 200, failure = \"stuck\" }]";
    let outcome = run_logged(&custom(BRITTLE, &[stuck, "failures.ddi_timeout_us=100", "host.reboot_us=300"]));
    let (down, up) = (320, 620);
    assert_eq!(bug_checks(&outcome), [(down, Some(up), "stuck_driver", (0, 0, 1))]);
    let summary = &outcome.summary;
    assert_eq!((summary.bug_checks, summary.host_down_ns), (1, 300_000.0));
    assert_eq!((summary.switches, summary.switches_failed), (0, 0), "it is cut off");
    assert_eq!(summary.dma_total, summary.dma_translated + summary.dma_aborted);
    let (intended, completed) =
        (numbers(&outcome.requests, "intended_ps"), numbers(&outcome.requests, "completed_ps"));
    let mut aborted = 0;
    for (row, outcome) in names(&outcome.requests, "outcome").into_iter().enumerate() {
        let is_cut = intended[row] < up * 1_000_000 && completed[row] > down * 1_000_000;
        assert_eq!(outcome, if is_cut { "aborted" } else { "translated" }, "row {row}");
        aborted += u64::from(is_cut);
    }
    assert_eq!(aborted, summary.dma_aborted);
    // Three VFs send every 5 us from 200 us on, the three others from 320 us on: but for one that is under way at either end.
    assert!((3 * 84 + 3 * 60..=3 * 85 + 3 * 62).contains(&aborted), "{aborted} aborted");
}

/// Devices that do not answer a preemption request at 110, 210, 310 and 410 us, of which a host survives two within a time.
#[test]
fn too_many_hangs_end_a_host() {
    let switches =
        "switches.list=[{ at_us = 100 }, { at_us = 200, adapter = 1 }, { at_us = 300 }, { at_us = 400 }]";
    let listed = "failures.list=[{ at_us = 100, failure = \"preempt\" }, { at_us = 100, adapter = 1, failure = \"preempt\" }, \
        { at_us = 300, failure = \"preempt\" }, { at_us = 400, failure = \"preempt\" }]";
    let of = |changes: &[&str]| {
        let times = [
            "failures.preempt_timeout_us=10",
            "failures.reset_us=5",
            "failures.tdr_limit=2",
            "host.reboot_us=50",
        ];
        run(&custom(BRITTLE, &[&[switches, listed], &times[..], changes].concat()))
    };
    let within_300 = of(&["failures.tdr_limit_us=300"]);
    assert_eq!(
        bug_checks(&within_300),
        [(310, Some(360), "hangs", (0, 0, 0))],
        "the fourth is the first anew"
    );
    assert_eq!(within_300.summary.switches_failed, 3, "the third is cut off");
    let to_the_instant = of(&["failures.tdr_limit_us=200"]);
    assert_eq!(bug_checks(&to_the_instant).len(), 1, "the first is 200 us ago");
    let forgotten = of(&["failures.tdr_limit_us=199"]);
    assert_eq!((bug_checks(&forgotten), forgotten.summary.switches_failed), (Vec::new(), 4));
    let recorded = of(&["failures.tdr_limit_us=300", "host.on_hangs=record"]);
    assert_eq!((bug_checks(&recorded), recorded.summary.bug_checks), (Vec::new(), 0));
    let by_default = of(&["failures.tdr_limit=5", "failures.tdr_limit_us=60000000"]);
    assert_eq!(by_default.summary.bug_checks, 0, "a host survives five");
}

#[test]
fn what_bug_checks_do_not_go_with_is_refused() {
    for (changes, names) in [
        (&["topology.adapters_per_host=2", "topology.iommus_per_host=2"][..], "topology.iommus_per_host"),
        (&["device.tlb.entries=64"], "device.tlb.entries"),
        (&["report.miss_causes=true"], "report.miss_causes"),
        (&["host.reboot_us=0"], "host.reboot_us"),
        (&["failures.tdr_limit_us=0"], "failures.tdr_limit_us"),
    ] {
        let error = Scenario::parse("test", HASTY, &overrides(changes)).expect_err(names).to_string();
        assert!(error.contains(names), "{error}");
    }
}
