//! Hosts that a fault ends: what is lost, for how long, and that they come back with nothing cached.

use portcullis_workloads::Scenario;

use crate::support::{Outcome, custom, names, numbers, overrides, run, run_logged};

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

#[test]
fn what_bug_checks_do_not_go_with_is_refused() {
    for (changes, names) in [
        (&["topology.adapters_per_host=2", "topology.iommus_per_host=2"][..], "topology.iommus_per_host"),
        (&["device.tlb.entries=64"], "device.tlb.entries"),
        (&["report.miss_causes=true"], "report.miss_causes"),
        (&["host.reboot_us=0"], "host.reboot_us"),
    ] {
        let error = Scenario::parse("test", HASTY, &overrides(changes)).expect_err(names).to_string();
        assert!(error.contains(names), "{error}");
    }
}
