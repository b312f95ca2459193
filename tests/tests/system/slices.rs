//! VFs that send in slices of time: when each DMA leaves, to the picosecond, what it waits for, and what it is good for.

use std::collections::BTreeMap;

use portcullis_engine::link::WireTimes;
use portcullis_engine::request::{Op, Transfer};
use portcullis_workloads::Scenario;

use crate::support::{
    Dma, Outcome, assert_same, assert_within, builtin, custom, log, numbers, run, run_logged, values,
};

/// Four VFs that write at random, so seldom that the link is mostly idle: five slots of 50 us, the last one empty, with
/// world switches of 3 us.
const SELDOM: &str = r#"
name = "seldom"
requests = 200_000

[topology]
vfs_per_adapter = 4

[scheduler]
policy = "fixed_share"
partitions = 5
slice_us = 50
switch_us = 3

[[tenants]]
name = "all"
read_share = 0.0
sizes = 64
memory = { pages = 8 }
arrivals = { kind = "poisson", mops_per_vf = 0.02 }
"#;

/// The time of a write of 64 bytes on the link.
fn wire_ps(scenario: &Scenario) -> u64 {
    let transfer = Transfer { length_bytes: 64, op: Op::Write };
    WireTimes::new(&scenario.machine().link).upstream(transfer).0
}

/// The DMAs of each VF of a host with one adapter, in the order in which they were intended.
fn by_vf(outcome: &Outcome) -> BTreeMap<u32, Vec<Dma>> {
    let mut of_vfs: BTreeMap<u32, Vec<Dma>> = BTreeMap::new();
    for dma in log(outcome) {
        of_vfs.entry(dma.vf.2).or_default().push(dma);
    }
    of_vfs.values_mut().for_each(|dmas| dmas.sort_by_key(|dma| dma.sequence));
    of_vfs
}

const US: u64 = 1_000_000;

/// Slots of 53 us, the first 3 of which nobody sends in: VF v may send from 53 v + 3 us on, for 50 us, every 265 us.
#[test]
fn each_dma_leaves_in_the_first_slice_of_its_vf_in_which_it_can() {
    let scenario = custom(SELDOM, &["requests=20000"]);
    let outcome = run_logged(&scenario);
    let wire = wire_ps(&scenario);
    let (mut waited, mut used, mut sent_late) = (0, 0, 0);
    for (vf, dmas) in by_vf(&outcome) {
        let first = (53 * u64::from(vf) + 3) * US;
        let (mut free_at, mut last_slice) = (0, None);
        for dma in dmas {
            let mut start = dma.intended_ps.max(free_at);
            let into = |start: u64| (start + 265 * US - first) % (265 * US);
            if into(start) >= 50 * US {
                start += 265 * US - into(start);
            }
            assert_eq!(dma.issued_ps, start, "{dma:?}");
            sent_late += u64::from(into(start) + wire > 50 * US);
            let slice = (start - first) / (265 * US);
            used += u64::from(last_slice != Some(slice));
            last_slice = Some(slice);
            // All of the wait but what it waits behind others of its VF in a slice.
            let behind = if into(dma.intended_ps) < 50 * US && into(start) >= into(dma.intended_ps) {
                start - dma.intended_ps
            } else {
                into(start)
            };
            let behind = if start - dma.intended_ps < 265 * US { behind } else { unreachable!("{dma:?}") };
            waited += start - dma.intended_ps - behind;
            free_at = start + wire;
        }
    }
    let summary = &outcome.summary;
    assert_same("wait", summary.slice_wait_mean_ns, waited as f64 / 20_000.0 / 1e3);
    let last = log(&outcome).iter().map(|dma| dma.completed_ps).max().expect("a DMA");
    let begun = |vf: u64| last.saturating_sub((53 * vf + 3) * US).div_ceil(265 * US);
    assert_eq!(summary.slices, (0..4).map(begun).sum::<u64>());
    assert_eq!(numbers(&outcome.tenants, "slices"), (0..4).map(begun).collect::<Vec<_>>());
    assert_eq!(summary.slices_used, used);
    assert!(used < summary.slices && sent_late < 20, "{used} of {}, {sent_late}", summary.slices);
}

/// A DMA that comes in the time A between two slices of its VF waits for half of it, and comes then with probability A / P.
#[test]
fn the_mean_wait_is_half_of_the_time_away_as_often_as_it_takes() {
    let cases: [(&[&str], f64, f64); 3] = [
        (&[], 215.0, 265.0),
        (&["scheduler.switch_us=0"], 200.0, 250.0),
        (&["scheduler.policy=equal_share"], 162.0, 212.0),
    ];
    for (changes, away, period) in cases {
        let scenario = custom(SELDOM, changes);
        let summary = run(&scenario).summary;
        let expected = away * away / (2.0 * period);
        assert_within(&format!("{changes:?}"), summary.slice_wait_mean_ns / 1e3, expected, 0.02);
        let at_once = run(&custom(SELDOM, &["scheduler.policy=concurrent"])).summary;
        assert_eq!((at_once.slices, at_once.slice_wait_mean_ns), (0, 0.0));
        let longer = (summary.latency_mean_ns - at_once.latency_mean_ns) / 1e3;
        assert_within(&format!("{changes:?}: latency"), longer, expected, 0.02);
    }
}

/// Four VFs whose clients write as fast as the link lets them.
fn saturated(changes: &[&str]) -> Outcome {
    const TOML: &str = r#"
name = "saturated"
requests = 1_500_000

[topology]
vfs_per_adapter = 4

[scheduler]
slice_us = 20
switch_us = 4

[[tenants]]
name = "all"
read_share = 0.0
sizes = 64
memory = { pages = 8 }
arrivals = { kind = "closed", outstanding = 16, think_ns = 0 }
"#;
    run(&custom(TOML, changes))
}

/// Who always has something to send gets the share of the link that its slices are of the time.
#[test]
fn saturated_vfs_get_the_share_of_their_slices() {
    let of = |changes: &[&str]| values(&saturated(changes).tenants, "throughput_gbps");
    let at_once: f64 = of(&[]).iter().sum();
    for (changes, share) in [
        (&["scheduler.policy=fixed_share", "scheduler.partitions=6"][..], 20.0 / 144.0),
        (&["scheduler.policy=equal_share"], 20.0 / 96.0),
        (&["scheduler.policy=equal_share", "scheduler.switch_us=0"], 0.25),
        (&["scheduler.policy=best_effort"], 20.0 / 96.0),
    ] {
        for throughput in of(changes) {
            assert_within(&format!("{changes:?}"), throughput, share * at_once, 0.02);
        }
    }
}

/// Where one VF alone has work, best effort is as good as no slices at all.
#[test]
fn best_effort_conserves_work() {
    let alone = ["topology.vfs_per_adapter=5", "requests=50000"];
    let text = SELDOM.replace("name = \"all\"", "name = \"all\"\ncount = 1")
        + "[[tenants]]\nname = \"idle\"\ncount = 4\nread_share = 0.0\nsizes = 64\n\
           arrivals = { kind = \"poisson\", mops_per_vf = 0.000001 }\n";
    let of = |policy: &str| {
        let policy = format!("scheduler.policy={policy}");
        run(&custom(&text, &[&alone[..], &[&policy, "tenants.all.arrivals.mops_per_vf=2.0"]].concat()))
            .summary
    };
    let (at_once, by_work, by_clock) = (of("concurrent"), of("best_effort"), of("equal_share"));
    assert_eq!(by_work.latency_mean_ns, at_once.latency_mean_ns);
    assert_eq!((by_work.slice_wait_mean_ns, by_work.slices_used), (0.0, by_work.slices));
    assert!(by_clock.latency_mean_ns > 50.0 * at_once.latency_mean_ns, "{by_clock:?}");
}

/// Two VFs that send every 100 us each, none while the other does: each DMA finds the adapter idle, and waits for the world
/// switch where the last one was the other's.
#[test]
fn an_idle_adapter_switches_to_whoever_sends_next() {
    let changes = [
        "scheduler.policy=best_effort",
        "topology.vfs_per_adapter=2",
        "requests=400",
        "tenants.all.arrivals.kind=constant",
        "tenants.all.arrivals.mops_per_vf=0.01",
    ];
    let outcome = run_logged(&custom(SELDOM, &changes));
    let mut dmas = log(&outcome);
    dmas.sort_by_key(|dma| dma.intended_ps);
    let mut last = None;
    let mut switched = 0;
    for dma in &dmas {
        let switches = last.is_some_and(|last| last != dma.vf);
        assert_eq!(dma.issued_ps, dma.intended_ps + u64::from(switches) * 3 * US, "{dma:?}");
        (last, switched) = (Some(dma.vf), switched + u64::from(switches));
    }
    assert!(switched > 390, "they come in turn");
    assert_same("wait", outcome.summary.slice_wait_mean_ns, 3_000.0 * switched as f64 / 400.0);
    assert_eq!((outcome.summary.slices, outcome.summary.slices_used), (400, 400));
}

/// Slices go on by the clock while an adapter is silent, and nothing leaves outside them.
#[test]
fn slices_go_on_while_domains_are_switched() {
    let switches = ["switches.schedule=periodic", "switches.every_us=400", "requests=40000"];
    for scope in ["silence.scope=adapter", "silence.scope=vf"] {
        let outcome = run_logged(&custom(SELDOM, &[&switches[..], &[scope]].concat()));
        let summary = &outcome.summary;
        assert!(summary.switches > 500 && summary.dma_held > 1_000, "{summary:?}");
        assert_eq!((summary.switch_faults, summary.stale_total, summary.breach_total), (0, 0, 0));
        for dma in log(&outcome) {
            let into = (dma.issued_ps + 265 * US - (53 * u64::from(dma.vf.2) + 3) * US) % (265 * US);
            assert!(into < 50 * US, "{scope}: {dma:?}");
        }
    }
}

/// What do SR-IOV's queues give over slices of time, and what does conserving work save?
#[test]
fn slices_cost_latency_and_only_conserving_work_keeps_throughput() {
    let of = |policy: &str| {
        let outcome =
            run(&builtin("time-slices", &[&format!("scheduler.policy={policy}"), "requests=120000"]));
        let [latency, throughput] =
            ["latency_mean_ns", "throughput_gbps"].map(|name| values(&outcome.tenants, name));
        let mean = |cells: &[f64]| cells.iter().sum::<f64>() / cells.len() as f64;
        (mean(&latency[..6]) / 1e3, mean(&throughput[6..]))
    };
    let (at_once, work, equal) = (of("concurrent"), of("best_effort"), of("equal_share"));
    // Away for 740 us of 840.
    assert_within("latency", equal.0 - at_once.0, 740.0 * 740.0 / (2.0 * 840.0), 0.05);
    assert!(
        at_once.0 < 3.0 && work.0 > 5.0 * at_once.0 && work.0 < equal.0 / 5.0,
        "{at_once:?} {work:?} {equal:?}"
    );
    assert_within("throughput", equal.1 / at_once.1, 100.0 / 840.0, 0.1);
    assert!(work.1 > 2.0 * equal.1 && work.1 < at_once.1, "{at_once:?} {work:?} {equal:?}");
}
