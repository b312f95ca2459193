//! VMs that start, stop and move: when nothing of theirs leaves, what is lost, what it costs those beside them.

use std::collections::BTreeSet;

use portcullis_workloads::Scenario;

use crate::determinism::difference;
use crate::support::{
    Dma, HOSTILE, Outcome, VfPlace, assert_same, custom, log, names, numbers, run, run_logged, values,
    vf_places,
};

/// An adapter of two VFs, each of which reads every 5 us, so that the device is drained when its scheduler has stopped.
const HOUSE: &str = r#"
name = "house"
duration_us = 1_000

[topology]
vfs_per_adapter = 2

[iommu.invalidation]
command_ns = 1_000.0

[silence]
suspend_us = 20.0
begin_us = 10.0
quiesce_us = 5.0
detach_us = 2.0
attach_us = 3.0
end_us = 11.0
resume_us = 21.0

[lifecycle]
schedule = "list"
list = [{ at_us = 200, event = "stop", vf = 1 }, { at_us = 400, event = "start", vf = 1 }]
reset_us = 50.0
migration_pause_us = 100.0

[[tenants]]
name = "all"
sizes = 64
memory = { pages = 4 }
arrivals = { kind = "constant", mops_per_vf = 0.2 }
"#;

/// One after the other: scheduler, begin, quiescing, detachment, two commands, end, resumption.
const DETACHES_US: u64 = 20 + 10 + 5 + 2 + 2 + 11 + 21;
/// The same with an attachment instead.
const ATTACHES_US: u64 = 20 + 10 + 5 + 3 + 11 + 21;

const US: u64 = 1_000_000;
/// More than the reads of one VF take on the link that a silence has held back.
const BACKLOG_PS: u64 = 100_000;
const STAYS: VfPlace = (0, 0, 0);
const GOES: VfPlace = (0, 0, 1);

fn of(log: &[Dma], vf: VfPlace) -> Vec<Dma> {
    log.iter().filter(|dma| dma.vf == vf).copied().collect()
}

/// The states that a VF entered, and when, in microseconds.
fn states(outcome: &Outcome, vf: VfPlace) -> Vec<(&'static str, f64)> {
    let timeline = &outcome.timeline;
    let (kinds, details) = (names(timeline, "kind"), names(timeline, "detail"));
    let (times, places) = (numbers(timeline, "time_ps"), vf_places(timeline));
    let rows = (0..timeline.len()).filter(|row| kinds[*row] == "lifecycle" && places[*row] == vf);
    let mut states: Vec<_> = rows.map(|row| (details[row], times[row] as f64 / 1e6)).collect();
    states.sort_by(|one, other| one.1.total_cmp(&other.1));
    states
}

/// What must hold of VMs that come and go under the protocol.
fn assert_sound(what: &str, outcome: &Outcome) {
    let summary = &outcome.summary;
    assert_eq!(outcome.breach, None, "{what}");
    let wrong = (
        summary.switch_faults,
        summary.stale_total,
        summary.breach_total,
        summary.bug_checks,
        summary.switches_refused,
    );
    assert_eq!(wrong, (0, 0, 0, 0, 0), "{what}");
    let tenants = &outcome.tenants;
    let [total, translated, blocked, aborted] =
        ["dma_total", "dma_translated", "dma_blocked", "dma_aborted"].map(|name| values(tenants, name));
    for vf in 0..tenants.len() {
        assert_same(what, total[vf], translated[vf] + blocked[vf] + aborted[vf]);
    }
}

#[test]
fn a_vm_that_stops_and_one_that_starts_take_their_steps() {
    let outcome = run_logged(&custom(HOUSE, &[]));
    assert_sound("stop and start", &outcome);
    assert_eq!(
        states(&outcome, GOES),
        [
            ("resetting", 200.0),
            ("powered_down", 287.0),
            ("destroyed", 289.0),
            ("created", 400.0),
            ("bus_bound", 420.0),
            ("resourced", 435.0),
            ("attached", 438.0),
            ("running", 470.0),
        ]
    );
    assert_eq!(states(&outcome, STAYS), []);
    let summary = &outcome.summary;
    assert_eq!((summary.vm_starts, summary.vm_stops, summary.vm_migrations, summary.switches), (1, 1, 0, 2));
    assert_same("started", summary.vm_start_mean_ns, ATTACHES_US as f64 * 1e3);
    assert_same("down", summary.vm_down_ns, 200e3);
    // Both are silent, one while the other goes, and the one that goes too.
    assert_same("silence", summary.silence_ns, 2.0 * (DETACHES_US + ATTACHES_US) as f64 * 1e3);
    let log = log(&outcome);
    let gone = of(&log, GOES);
    let down = |time: u64| (200 * US..400 * US).contains(&time);
    assert!(gone.iter().all(|dma| !down(dma.intended_ps)), "there is no VM to intend anything");
    assert!(gone.iter().all(|dma| !(200 * US..470 * US).contains(&dma.issued_ps)), "nothing leaves");
    // What the VM that starts intends waits until it runs.
    let waited: Vec<_> = gone.iter().filter(|dma| (400 * US..470 * US).contains(&dma.intended_ps)).collect();
    assert_eq!(waited.len(), 14, "one every 5 us");
    // What the other has held back since before goes first.
    let first = waited.iter().map(|dma| dma.issued_ps).min().expect("some waited");
    assert!((470 * US..470 * US + BACKLOG_PS).contains(&first), "{first}");
    // Frames of its own: none that the VM before reached.
    let frames = |before: bool| -> BTreeSet<u64> {
        let of_vm = gone.iter().filter(|dma| (dma.intended_ps < 300 * US) == before);
        of_vm.filter_map(|dma| dma.pa).map(|pa| pa >> 12).collect()
    };
    assert!(
        !frames(true).is_empty() && !frames(false).is_empty() && frames(true).is_disjoint(&frames(false))
    );
    let stays = of(&log, STAYS);
    assert_eq!(stays.len(), 200);
    for (begin, lasts) in [(250, DETACHES_US), (400, ATTACHES_US)] {
        let silent = begin * US..(begin + lasts) * US;
        assert!(stays.iter().all(|dma| !silent.contains(&dma.issued_ps)), "silent from {begin} us on");
    }
}

#[test]
fn what_has_not_left_when_its_vm_stops_never_does() {
    // The function that is reset at 100 us is detached from 150 us on; the other VM stops in the midst of that silence.
    let list =
        "lifecycle.list=[{ at_us = 100, event = \"stop\" }, { at_us = 200, event = \"stop\", vf = 1 }]";
    let outcome = run_logged(&custom(HOUSE, &[list]));
    assert_sound("held", &outcome);
    let log = log(&outcome);
    assert!(of(&log, GOES).iter().all(|dma| dma.issued_ps < 150 * US), "silent from then on, and then gone");
    let summary = &outcome.summary;
    assert_eq!(summary.dma_aborted, 10, "one every 5 us since 150 us");
    let mean_ns = summary.lost_wait_mean_ns;
    assert!((25_000.0 - 2_500.0..=25_000.0 + 2_500.0).contains(&mean_ns), "{mean_ns}");
    assert_eq!(
        (summary.vm_stops, summary.vm_starts),
        (1, 0),
        "nothing is over after the second: the run has ended"
    );
    assert_eq!(summary.dma_total, log.len() as u64 + 10);
}

#[test]
fn a_vm_that_moves_loses_nothing_and_waits_for_its_blackout() {
    let list = "lifecycle.list=[{ at_us = 200, event = \"migrate\", vf = 1 }]";
    for (scope, silent_us) in [("adapter", 2), ("vf", 1)] {
        let outcome = run_logged(&custom(HOUSE, &[list, &format!("silence.scope={scope}")]));
        assert_sound(scope, &outcome);
        // Copied until 300 us, detached, and a microsecond later attached.
        let runs_us = 300 + DETACHES_US + 1 + ATTACHES_US;
        let attached_us = 300.0 + DETACHES_US as f64 + 1.0;
        assert_eq!(
            states(&outcome, GOES),
            [
                ("paused", 200.0),
                ("resetting", 300.0),
                ("powered_down", 337.0),
                ("destroyed", 339.0),
                ("created", attached_us),
                ("bus_bound", attached_us + 20.0),
                ("resourced", attached_us + 35.0),
                ("attached", attached_us + 38.0),
                ("running", runs_us as f64),
            ],
            "{scope}"
        );
        let summary = &outcome.summary;
        assert_eq!((summary.vm_starts, summary.vm_stops, summary.vm_migrations), (0, 0, 1), "{scope}");
        for blackout_ns in [summary.blackout_mean_ns, summary.blackout_max_ns] {
            assert_same(scope, blackout_ns, (runs_us - 200) as f64 * 1e3);
        }
        assert_eq!((summary.dma_aborted, summary.vm_down_ns), (0, 0.0), "{scope}");
        assert_same(scope, summary.silence_ns, (silent_us * (DETACHES_US + ATTACHES_US)) as f64 * 1e3);
        let log = log(&outcome);
        let (moves, stays) = (of(&log, GOES), of(&log, STAYS));
        assert_eq!((moves.len(), stays.len()), (200, 200), "{scope}: nothing is lost");
        let blackout = 200 * US..runs_us * US;
        assert!(moves.iter().all(|dma| !blackout.contains(&dma.issued_ps)), "{scope}");
        let first = moves.iter().filter(|dma| dma.intended_ps >= 200 * US).min_by_key(|dma| dma.intended_ps);
        let first = first.expect("it goes on");
        let runs = runs_us * US..runs_us * US + BACKLOG_PS;
        assert!(runs.contains(&first.issued_ps), "{scope}: first come, first to go, at {}", first.issued_ps);
        if scope == "vf" {
            assert!(
                stays.iter().all(|dma| dma.issued_ps < dma.intended_ps + 60 * US),
                "nobody else is held up"
            );
        }
    }
}

#[test]
fn the_clients_of_a_vm_that_stops_are_gone_and_others_begin_with_the_next() {
    let closed = "tenants.all.arrivals={ kind = \"closed\", outstanding = 2, think_ns = 10_000, durations = \"fixed\" }";
    let outcome = run_logged(&custom(HOUSE, &[closed]));
    assert_sound("closed", &outcome);
    let gone = of(&log(&outcome), GOES);
    let next: Vec<_> = gone.iter().filter(|dma| dma.intended_ps >= 200 * US).collect();
    // Both think from the start on.
    assert_eq!(next.iter().filter(|dma| dma.intended_ps == 410 * US).count(), 2);
    assert_eq!(next.iter().map(|dma| dma.intended_ps).min(), Some(410 * US));
    assert!(next.iter().all(|dma| dma.issued_ps >= 470 * US));
}

/// VMs that come and go all the time on a hostile host.
fn churn(changes: &[&str]) -> Scenario {
    let always = [
        "lifecycle.schedule=churn",
        "lifecycle.up_us=160",
        "lifecycle.down_us=60",
        "lifecycle.reset_us=20",
        "silence.suspend_us=1",
        "silence.begin_us=1",
        "silence.quiesce_us=1",
        "silence.detach_us=1",
        "silence.attach_us=1",
        "silence.end_us=1",
        "silence.resume_us=1",
        "requests=6000",
    ];
    custom(HOSTILE, &[&always, changes].concat())
}

#[test]
fn any_churn_is_without_faults_of_switches_and_the_same_however_it_is_cut() {
    for scope in ["adapter", "vf"] {
        for seed in ["seed=1", "seed=2", "seed=3"] {
            let scope = format!("silence.scope={scope}");
            let outcome = run(&churn(&[&scope, seed]));
            let what = format!("{scope}, {seed}");
            assert_sound(&what, &outcome);
            assert!(
                outcome.summary.vm_stops > 3 && outcome.summary.vm_starts > 3,
                "{what}: {:?}",
                outcome.summary
            );
            for batch in ["engine.batch_requests=1", "engine.batch_requests=7"] {
                let other = run(&churn(&[&scope, seed, batch]));
                assert_eq!(difference(&other, &outcome), None, "{what}, {batch}");
            }
        }
    }
}

/// What does a live migration cost the VM that moves, and its neighbours?
#[test]
fn a_migration_costs_its_vm_the_copy_and_its_neighbours_two_silences() {
    let of = |changes: &[&str]| run(&crate::support::builtin("migration", changes));
    let (adapter, vf) = (of(&[]), of(&["silence.scope=vf"]));
    let summary = &adapter.summary;
    assert_eq!((summary.vm_migrations, summary.dma_aborted), (4, 0));
    // The pause, two switches, and what they wait for one another.
    assert!(summary.blackout_mean_ns > 1e6 && summary.blackout_max_ns < 750e6, "{summary:?}");
    assert!(adapter.summary.silence_ns > 10.0 * vf.summary.silence_ns);
}
