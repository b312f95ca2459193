//! Switches in which something fails: how they end, who loses requests, and that everybody else goes on.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_engine::silence::Failure;
use portcullis_workloads::Scenario;

use crate::determinism::difference;
use crate::support::{
    Dma, HOSTILE, Outcome, VfPlace, assert_same, custom, log, names, numbers, optional_numbers, run,
    run_logged, run_plan, values, vf_places,
};

/// Two adapters of three VFs, each of which reads and writes every 5 us, so that the device is drained when its scheduler has
/// stopped. The domain of VF 1 of the first adapter is switched at 200 us, and what is listed fails.
pub const BRITTLE: &str = r#"
name = "brittle"
duration_us = 1_000

[topology]
adapters_per_host = 2
vfs_per_adapter = 3

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

[switches]
schedule = "list"
list = [{ at_us = 200, vf = 1 }]

[failures]
preempt_timeout_us = 50.0
quiesce_timeout_us = 40.0
invalidation_timeout_us = 60.0
reset_us = 30.0
recovery_us = 7.0

[[tenants]]
name = "all"
read_share = 0.5
sizes = 64
memory = { pages = 4 }
arrivals = { kind = "constant", mops_per_vf = 0.2 }
"#;

/// Between two DMAs of a VF.
const GAP_PS: u64 = 5_000_000;
/// When the switch is due.
const DUE_US: u64 = 200;
/// The VF whose domain is switched.
const SWITCHED: VfPlace = (0, 0, 1);

/// The phases before anything is done to the domain, in microseconds.
const SILENCED: [(&str, u64); 5] =
    [("scheduler_suspended", 20), ("draining", 0), ("begin_exclusive", 10), ("quiescing", 5), ("silent", 2)];

/// What a host survives.
const MENDED: [Failure; 7] = [
    Failure::Preempt,
    Failure::Begin,
    Failure::Quiesce,
    Failure::Invalidation,
    Failure::Attach,
    Failure::Reattach,
    Failure::End,
];

/// What a switch is made of in which this fails, in microseconds.
fn expected_phases(failure: Failure) -> Vec<(&'static str, u64)> {
    let behind = [("end_exclusive", 11), ("resuming", 21)];
    let silenced = |rest: &[(&'static str, u64)]| [&SILENCED, rest].concat();
    match failure {
        Failure::Preempt => {
            vec![("scheduler_suspended", 20), ("draining_in_vain", 30), ("resetting", 30), ("resuming", 21)]
        }
        Failure::Begin => {
            vec![("scheduler_suspended", 20), ("draining", 0), ("beginning_in_vain", 10), ("resuming", 21)]
        }
        Failure::Stuck => unreachable!("it ends the host"),
        Failure::Quiesce => {
            let rest = [("quiescing_in_vain", 40), ("resetting", 30), ("resuming", 21)];
            [&SILENCED[..3], &rest].concat()
        }
        // The first command takes its time, the second the timeout.
        Failure::Invalidation => {
            silenced(&[&[("invalidating_in_vain", 61), ("resetting", 30)], &behind[..]].concat())
        }
        // The context entry is set twice.
        Failure::Attach => silenced(&[&[("invalidating", 2), ("reattaching", 6)], &behind[..]].concat()),
        Failure::Reattach => {
            silenced(&[&[("invalidating", 2), ("attaching_in_vain", 6)], &behind[..]].concat())
        }
        Failure::End => silenced(&[
            ("invalidating", 2),
            ("attaching", 3),
            ("ending_in_vain", 11),
            ("resetting", 30),
            ("resuming", 21),
        ]),
    }
}

/// Whether the old domain stays.
fn keeps_the_old_domain(failure: Failure) -> bool {
    matches!(failure, Failure::Preempt | Failure::Begin | Failure::Quiesce | Failure::Attach)
}

/// Whose requests are lost, how many microseconds after the switch was due the first is lost, and until when, in
/// microseconds of the run, they go on to be; `u64::MAX` for good.
struct Losses {
    /// Whether the VFs of the domain alone.
    of_domain: bool,
    from_us: u64,
    until_us: u64,
}

fn expected_losses(failure: Failure) -> Option<Losses> {
    let phases = expected_phases(failure);
    let begin_of = |name: &str| {
        let before = phases.iter().take_while(|(phase, _)| *phase != name);
        DUE_US + before.map(|(_, us)| us).sum::<u64>()
    };
    match failure {
        Failure::Begin | Failure::Stuck | Failure::Attach => None,
        Failure::Preempt | Failure::Quiesce | Failure::End => {
            Some(Losses { of_domain: false, from_us: begin_of("resetting"), until_us: begin_of("resuming") })
        }
        Failure::Invalidation => {
            Some(Losses { of_domain: true, from_us: begin_of("resetting"), until_us: u64::MAX })
        }
        Failure::Reattach => {
            Some(Losses { of_domain: true, from_us: begin_of("end_exclusive"), until_us: u64::MAX })
        }
    }
}

/// The phases of each VF's switches: name, beginning and end, if there is one.
type Phases = BTreeMap<VfPlace, Vec<(&'static str, u64, Option<u64>)>>;

/// The phases of the timeline, of whichever VF: name, beginning and end.
fn phases(outcome: &Outcome) -> Phases {
    let timeline = &outcome.timeline;
    let (kinds, details) = (names(timeline, "kind"), names(timeline, "detail"));
    let (begins, ends) = (numbers(timeline, "time_ps"), optional_numbers(timeline, "end_ps"));
    let mut phases: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (row, place) in vf_places(timeline).into_iter().enumerate().filter(|(row, _)| kinds[*row] == "switch")
    {
        phases.entry(place).or_default().push((details[row], begins[row], ends[row]));
    }
    phases
}

/// The one switch of the run, as it is expected: phases from its due time on, each from the end of the one before.
fn assert_phases(what: &str, outcome: &Outcome, expected: &[(&'static str, u64)]) {
    let mut begin = DUE_US * 1_000_000;
    let expected = expected.iter().map(|(name, us)| {
        let phase = (*name, begin, Some(begin + us * 1_000_000));
        begin += us * 1_000_000;
        phase
    });
    let expected = BTreeMap::from([(SWITCHED, expected.collect::<Vec<_>>())]);
    let mut found = phases(outcome);
    // The timeline orders rows of one instant by their end, and then as it likes.
    let place = |name: &str| expected[&SWITCHED].iter().position(|(expected, ..)| *expected == name);
    found.values_mut().for_each(|of_vf| of_vf.sort_by_key(|(name, ..)| place(name)));
    assert_eq!(found, expected, "{what}");
}

/// DMAs that left, by VF and sequence.
fn sent(outcome: &Outcome) -> BTreeMap<VfPlace, BTreeMap<u64, Dma>> {
    let mut sent: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for dma in log(outcome) {
        sent.entry(dma.vf).or_default().insert(dma.sequence, dma);
    }
    sent
}

/// Counts of a tenant table's column, by VF.
fn of_vfs(outcome: &Outcome, column: &str) -> BTreeMap<VfPlace, u64> {
    vf_places(&outcome.tenants).into_iter().zip(numbers(&outcome.tenants, column)).collect()
}

/// Each VF's DMAs that never left, by when they were intended: what is intended comes at equal distances, so that those
/// between others are known, and so are those behind the last.
fn lost(outcome: &Outcome) -> BTreeMap<VfPlace, BTreeSet<u64>> {
    let total = of_vfs(outcome, "dma_total");
    let of_vf = |(place, of_vf): (VfPlace, BTreeMap<u64, Dma>)| {
        let first = of_vf[&0].intended_ps;
        let intended = |sequence: u64| first + sequence * GAP_PS;
        assert!(of_vf.values().all(|dma| dma.intended_ps == intended(dma.sequence)), "{place:?}");
        let missing = (0..total[&place]).filter(|sequence| !of_vf.contains_key(sequence));
        (place, missing.map(intended).collect())
    };
    sent(outcome).into_iter().map(of_vf).collect()
}

/// What holds of every run: each DMA has one fate, and nothing goes where it should not.
fn assert_conserved(what: &str, outcome: &Outcome) {
    let summary = &outcome.summary;
    assert_eq!((summary.stale_total, summary.breach_total), (0, 0), "{what}");
    assert_eq!(outcome.breach, None, "{what}");
    let column = |name: &str| numbers(&outcome.tenants, name);
    let [translated, blocked, aborted, starved] =
        ["dma_translated", "dma_blocked", "dma_aborted", "dma_starved"].map(column);
    for (vf, total) in column("dma_total").into_iter().enumerate() {
        let fates = [translated[vf], blocked[vf], aborted[vf], starved[vf]];
        assert_eq!(total, fates.iter().sum::<u64>(), "{what}: VF {vf}, {fates:?}");
    }
    let sums = [&translated, &blocked, &aborted, &starved].map(|of_vfs| of_vfs.iter().sum::<u64>());
    let expected = [summary.dma_translated, summary.dma_blocked, summary.dma_aborted, summary.dma_starved];
    assert_eq!(sums, expected, "{what}");
    assert_eq!(summary.dma_total, sums.iter().sum::<u64>(), "{what}");
}

/// Who loses DMAs, which, and how long these had waited; everybody else's, and every later one, is translated.
fn assert_losses(what: &str, outcome: &Outcome, losses: Option<&Losses>, is_hit: impl Fn(VfPlace) -> bool) {
    assert_conserved(what, outcome);
    assert_eq!((outcome.summary.dma_blocked, outcome.summary.switch_faults), (0, 0), "{what}");
    let total = of_vfs(outcome, "dma_total");
    let (mut count, mut waited_ps) = (0, 0);
    for (place, lost) in lost(outcome) {
        let (due, until) =
            (DUE_US * 1_000_000, losses.map_or(0, |losses| losses.until_us.saturating_mul(1_000_000)));
        let first = sent(outcome)[&place][&0].intended_ps;
        let is_lost = |intended: &u64| is_hit(place) && (due..until).contains(intended);
        let expected: BTreeSet<u64> =
            (0..total[&place]).map(|at| first + at * GAP_PS).filter(is_lost).collect();
        assert_eq!(lost, expected, "{what}: VF {place:?}");
        count += lost.len() as u64;
        let from = losses.map_or(0, |losses| losses.from_us * 1_000_000);
        waited_ps += lost.iter().map(|intended| from.saturating_sub(*intended)).sum::<u64>();
    }
    assert_eq!(count > 0, losses.is_some(), "{what}: {count} are lost");
    let summary = &outcome.summary;
    assert_eq!(summary.dma_aborted + summary.dma_starved, count, "{what}");
    assert_same(what, summary.lost_wait_mean_ns, waited_ps as f64 / 1e3 / count.max(1) as f64);
}

/// Whether the VF's domain is another at the end: the same page lies in another frame.
fn changes_domain(outcome: &Outcome, vf: VfPlace) -> bool {
    let mut frames: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for dma in sent(outcome)[&vf].values() {
        frames.entry(dma.iova / 4_096).or_default().push(dma.pa.expect("it is translated") / 4_096);
    }
    let changes: BTreeSet<bool> = frames.values().map(|pas| pas.first() != pas.last()).collect();
    assert_eq!(changes.len(), 1, "{vf:?}: all pages or none");
    changes.into_iter().next().expect("pages")
}

fn failing(failure: &str, changes: &[&str]) -> Scenario {
    let list = format!("failures.list=[{{ at_us = {DUE_US}, failure = \"{failure}\" }}]");
    custom(BRITTLE, &[&[&*list], changes].concat())
}

fn assert_failure(failure: Failure, changes: &[&str], is_silent: impl Fn(VfPlace) -> bool) {
    let what = &format!("{} {changes:?}", failure.name());
    let outcome = run_logged(&failing(failure.name(), changes));
    let summary = &outcome.summary;
    let keeps = keeps_the_old_domain(failure);
    let counts =
        [summary.switches, summary.switches_failed, summary.switches_aborted, summary.switches_refused];
    assert_eq!(counts, [1, 1, u64::from(keeps), 0], "{what}");
    assert_phases(what, &outcome, &expected_phases(failure));
    let took: u64 = expected_phases(failure).iter().map(|(_, us)| us).sum();
    assert_same(what, summary.switch_max_ns, took as f64 * 1e3);
    let losses = expected_losses(failure);
    let of_domain = losses.as_ref().is_some_and(|losses| losses.of_domain);
    assert_losses(
        what,
        &outcome,
        losses.as_ref(),
        |vf| if of_domain { vf == SWITCHED } else { is_silent(vf) },
    );
    assert_eq!(summary.dma_starved, 0, "{what}: a reset aborts");
    for vf in sent(&outcome).into_keys() {
        let gets_another = vf == SWITCHED && failure == Failure::End;
        assert_eq!(changes_domain(&outcome, vf), gets_another, "{what}: VF {vf:?}");
    }
}

/// Each failure has its phases, its end and its losses: a reset hits all that are silent, quarantine the domain's VFs, and
/// nothing that is given up in time anybody.
#[test]
fn what_fails_alone_takes_its_time_and_its_toll() {
    for failure in MENDED {
        assert_failure(failure, &[], |(_, adapter, _)| adapter == 0);
    }
}

/// Where one VF alone is silent, it alone is reset.
#[test]
fn where_a_vf_is_silent_alone_it_alone_loses() {
    for failure in MENDED {
        assert_failure(failure, &["silence.scope=vf"], |vf| vf == SWITCHED);
    }
}

/// Where the VFs of an adapter share their domain, quarantine is of all of them.
#[test]
fn quarantine_is_of_all_who_share_the_domain() {
    for failure in [Failure::Invalidation, Failure::Reattach] {
        let outcome = run_logged(&failing(failure.name(), &["topology.domain_scope=adapter"]));
        let losses = expected_losses(failure);
        assert_losses(failure.name(), &outcome, losses.as_ref(), |(_, adapter, _)| adapter == 0);
    }
}

/// With nothing listed the same run ends as every switch does: what fails above fails for that reason alone.
#[test]
fn without_failures_nothing_is_lost() {
    let outcome = run_logged(&custom(BRITTLE, &[]));
    let rest = [("invalidating", 2), ("attaching", 3), ("end_exclusive", 11), ("resuming", 21)];
    assert_phases("none", &outcome, &[&SILENCED[..], &rest].concat());
    assert_losses("none", &outcome, None, |_| false);
    assert_eq!((outcome.summary.switches_failed, outcome.summary.switches_aborted), (0, 0));
    assert!(sent(&outcome).into_keys().all(|vf| changes_domain(&outcome, vf) == (vf == SWITCHED)));
}

/// What is listed strikes the first switch of its adapter that is due then or later, and no other.
#[test]
fn a_listed_failure_strikes_one_switch_of_its_adapter() {
    let switches = "switches.list=[{ at_us = 200, vf = 1 }, { at_us = 200, adapter = 1 }, { at_us = 600 }]";
    for (at_us, adapter, expected) in [(150, 0, [1, 0, 0]), (201, 0, [0, 0, 1]), (0, 1, [0, 1, 0])] {
        let list = format!("failures.list=[{{ at_us = {at_us}, adapter = {adapter}, failure = \"begin\" }}]");
        let phases = phases(&run_logged(&custom(BRITTLE, &[switches, &list])));
        let failed = |(place, at_us): (VfPlace, u64)| {
            let in_vain = phases[&place].iter().find(|(name, ..)| *name == "beginning_in_vain");
            in_vain.is_some_and(|(_, begin, _)| *begin == (at_us + 20) * 1_000_000)
        };
        let places = [(SWITCHED, 200), ((0, 1, 0), 200), ((0, 0, 0), 600)];
        assert_eq!(
            places.map(failed),
            expected.map(|failed| failed == 1),
            "from {at_us} on adapter {adapter}"
        );
    }
}

/// A VF in quarantine has no more switches: those that are due later are refused.
#[test]
fn a_vf_in_quarantine_is_switched_no_more() {
    let switches =
        "switches.list=[{ at_us = 200, vf = 1 }, { at_us = 500, vf = 1 }, { at_us = 500, vf = 2 }]";
    let outcome = run(&failing("reattach", &[switches]));
    assert_eq!((outcome.summary.switches, outcome.summary.switches_refused), (2, 1));
}

/// The scheduler is not resumed: everybody of the adapter, or the VF alone, starves from the switch on, nobody faults, and
/// nobody elsewhere notices.
#[test]
fn without_the_end_all_who_are_silent_starve() {
    let skip = ["silence.mode=unsafe", "silence.skip=[\"end\"]"];
    for (scope, is_hit) in [
        ("silence.scope=adapter", (|(_, adapter, _)| adapter == 0) as fn(VfPlace) -> bool),
        ("silence.scope=vf", |vf| vf == SWITCHED),
    ] {
        let outcome = run_logged(&custom(BRITTLE, &[&skip[..], &[scope]].concat()));
        let attached_us = DUE_US + SILENCED.iter().map(|(_, us)| us).sum::<u64>() + 2 + 3;
        let losses = Losses { of_domain: false, from_us: attached_us, until_us: u64::MAX };
        assert_losses(scope, &outcome, Some(&losses), is_hit);
        let summary = &outcome.summary;
        assert_eq!((summary.dma_aborted, summary.switches, summary.switches_failed), (0, 1, 0), "{scope}");
        let phases = &phases(&outcome)[&SWITCHED];
        let starving: Vec<_> = phases.iter().filter(|(name, ..)| *name == "starving").collect();
        assert_eq!(starving.len(), 1, "{scope}: {phases:?}");
        assert_eq!(starving[0].1, attached_us * 1_000_000, "{scope}");
        let behind = phases.iter().any(|(name, ..)| ["end_exclusive", "resuming"].contains(name));
        assert!(!behind, "{scope}: {phases:?}");
    }
}

/// A client whose request is lost to a reset goes on `failures.recovery_us` after its function works again, and thinks first;
/// one of a VF in quarantine never does.
#[test]
fn clients_learn_of_what_is_lost_when_the_function_has_recovered() {
    let closed = "tenants.all.arrivals={ kind = \"closed\", outstanding = 2, think_ns = 4_000, durations = \"fixed\" }";
    for failure in
        [Failure::Preempt, Failure::Quiesce, Failure::End, Failure::Invalidation, Failure::Reattach]
    {
        let what = failure.name();
        let outcome = run_logged(&failing(what, &[closed]));
        assert_conserved(what, &outcome);
        let is_quarantine = expected_losses(failure).expect("it loses").of_domain;
        let resumed_us = DUE_US + expected_phases(failure).iter().map(|(_, us)| us).sum::<u64>();
        for (place, dmas) in sent(&outcome).into_iter().filter(|((_, adapter, _), _)| *adapter == 0) {
            let behind = dmas.values().filter(|dma| dma.intended_ps >= resumed_us * 1_000_000);
            let first = behind.map(|dma| dma.intended_ps).min();
            let aborted = of_vfs(&outcome, "dma_aborted")[&place];
            if is_quarantine && place == SWITCHED {
                assert_eq!((first, aborted), (None, 2), "{what}: VF {place:?}");
            } else if !is_quarantine {
                // All its clients wait for what is lost, and think for 4 us.
                assert_eq!(
                    (first, aborted),
                    (Some((resumed_us + 7 + 4) * 1_000_000), 2),
                    "{what}: VF {place:?}"
                );
            } else {
                assert_eq!(aborted, 0, "{what}: VF {place:?}");
            }
        }
    }
}

/// Shares of everything that can fail, so large that most does in a run of tens of switches, and is noticed soon.
const SHARES: [&str; 17] = [
    "host.on_hangs=record",
    "requests=8000",
    "topology.hosts=2",
    "silence.drain_timeout_us=200",
    "switches.schedule=poisson",
    "switches.every_us=90",
    "failures.preempt_share=0.15",
    "failures.begin_share=0.1",
    "failures.quiesce_share=0.15",
    "failures.invalidation_share=0.02",
    "failures.attach_share=0.1",
    "failures.reattach_share=0.02",
    "failures.end_share=0.15",
    "failures.preempt_timeout_us=40",
    "failures.quiesce_timeout_us=30",
    "failures.invalidation_timeout_us=50",
    "failures.reset_us=20",
];

fn run_cut(scenario: &Scenario, threads: usize, (batch, visit): (u32, u32)) -> Outcome {
    let mut plan = scenario.plan();
    plan.log_requests = true;
    plan.report.tenant_windows = true;
    (plan.batch.batch_requests, plan.batch.visit_requests) = (batch, visit);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| run_plan(plan))
}

#[test]
fn failures_depend_neither_on_threads_nor_on_how_the_work_is_cut() {
    let unsafe_end = ["silence.mode=unsafe", "silence.skip=[\"end\"]"];
    let starve = [&SHARES[..6], &unsafe_end, &["switches.every_us=400", "silence.scope=vf"]].concat();
    for (name, changes) in [
        ("adapters", SHARES.to_vec()),
        (
            "VFs",
            [
                &SHARES[..],
                &[
                    "silence.scope=vf",
                    "silence.durations=exponential",
                    "warmup_us=100",
                    "switches.every_us=15",
                ],
            ]
            .concat(),
        ),
        ("a shared domain", [&SHARES[..], &["topology.domain_scope=adapter"]].concat()),
        ("no end", starve),
    ] {
        let scenario = custom(HOSTILE, &changes);
        let expected = run_cut(&scenario, 1, (2_048, 131_072));
        let summary = &expected.summary;
        assert_conserved(name, &expected);
        assert_eq!(summary.switch_faults, 0, "{name}");
        let lost = summary.dma_aborted + summary.dma_starved;
        assert!(lost > 20 && summary.switches > 3, "{name}: {lost} lost in {} switches", summary.switches);
        // What is lost is in no log.
        let warm_up_ps = (summary.warmup_ns * 1e3) as u64;
        let counted = log(&expected).iter().filter(|dma| dma.intended_ps >= warm_up_ps).count() as u64;
        assert_eq!(counted + lost, summary.dma_total, "{name}");
        for threads in [1, 2] {
            for cut in [(37, 500), (2_048, 131_072)] {
                let found = run_cut(&scenario, threads, cut);
                let what = format!("{name}: {threads} threads, batches and visits of {cut:?}");
                assert_eq!(difference(&found, &expected), None, "{what}");
            }
        }
    }
}

/// As many switches fail as shares say, and each in its own way.
#[test]
fn switches_fail_as_often_as_shares_say() {
    let shares = [
        ("preempt", "draining_in_vain", 0.1),
        ("begin", "beginning_in_vain", 0.2),
        ("quiesce", "quiescing_in_vain", 0.05),
        ("attach", "reattaching", 0.15),
        ("end", "ending_in_vain", 0.1),
    ];
    let keys: Vec<String> =
        shares.iter().map(|(name, _, share)| format!("failures.{name}_share={share}")).collect();
    let often = [
        "duration_us=1000000",
        "host.on_hangs=record",
        "tenants.all.arrivals.mops_per_vf=0.004",
        "switches={ schedule = \"periodic\", every_us = 400 }",
        "report.timeline_rows_per_host=16777216",
    ];
    let changes: Vec<&str> = often.into_iter().chain(keys.iter().map(String::as_str)).collect();
    let outcome = run(&custom(BRITTLE, &changes));
    assert_conserved("shares", &outcome);
    let switches = outcome.summary.switches as f64;
    assert!(switches > 4_000.0, "{switches} switches");
    let all: Vec<_> = phases(&outcome).into_values().flatten().collect();
    let mut failed = 0;
    for (name, phase, share) in shares {
        let found = all.iter().filter(|(found, ..)| *found == phase).count();
        // Five standard deviations of a binomial count.
        let slack = 5.0 * (switches * share * (1.0 - share)).sqrt();
        assert!(
            (found as f64 - switches * share).abs() < slack,
            "{name}: {found} of {switches}, {share} expected"
        );
        failed += found as u64;
    }
    assert_eq!(outcome.summary.switches_failed, failed);
    assert_eq!(values(&outcome.tenants, "dma_starved").iter().sum::<f64>(), 0.0);
}

/// What does not go together with failures is refused in one sentence that names the key.
#[test]
fn what_does_not_go_together_is_refused() {
    let end = "failures.end_share=0.5";
    for (changes, key, word) in [
        (&[end, "switches={ schedule = \"none\" }"][..], "failures", "of which there are none"),
        (&[end, "silence.mode=unsafe"], "failures", "silence.mode"),
        (&[end, "silence.mode=atomic_replace"], "failures", "silence.mode"),
        (&[end, "device.tlb.entries=64"], "failures", "device.tlb.entries"),
        (
            &["silence.mode=unsafe", "silence.skip=[\"end\"]", "device.tlb.entries=64"],
            "silence.skip",
            "device.tlb.entries",
        ),
        (&[end, "report.attribution=true"], "report.attribution", "never leave"),
        (
            &["silence.mode=unsafe", "silence.skip=[\"end\"]", "report.attribution=true"],
            "report.attribution",
            "never leave",
        ),
        (
            &["silence.mode=unsafe", "silence.skip=[\"end\"]", "tenants.all.escapes={ packets_per_s = 5 }"],
            "tenants.all.escapes",
            "silence.skip",
        ),
        (&[end, "failures.begin_share=0.6"], "failures", "above 1"),
        (&["failures.end_share=1.5"], "failures.end_share", "between 0 and 1"),
        (&["failures.reset_us=0"], "failures.reset_us", "between 0.001"),
        (
            &["failures.list=[{ at_us = 1, failure = \"end\", adapter = 2 }]"],
            "failures.list.0.adapter",
            "between 0 and 1",
        ),
        (
            &["failures.list=[{ at_us = 1, failure = \"end\", host = 1 }]"],
            "failures.list.0.host",
            "between 0 and 0",
        ),
        (
            &["failures.list=[{ at_us = 2, failure = \"end\" }, { at_us = 1, failure = \"end\" }]"],
            "failures.list",
            "order of time",
        ),
        (
            &["failures.list=[{ at_us = 1, failure = \"drain\" }]"],
            "failures.list.0.failure",
            "must be one of",
        ),
    ] {
        let overrides: Vec<_> = changes.iter().map(|change| change.parse().expect(change)).collect();
        let error = Scenario::parse("test", BRITTLE, &overrides).expect_err(key).to_string();
        assert!(error.contains(&format!("`{key}`")) && error.contains(word), "{changes:?}: {error}");
        assert!(!error.contains('\n'), "one sentence: {error}");
    }
}
