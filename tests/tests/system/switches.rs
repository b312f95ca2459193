//! Domains that are switched while everyone is at work: what silence holds back, and what goes wrong without it.

use std::collections::BTreeMap;

use portcullis_engine::escape::{Dispatched, ExclusiveWindows, Span};
use portcullis_engine::link::Retire;
use portcullis_engine::silence::{SilenceScope, SwitchSchedule};
use portcullis_engine::units::Picoseconds;
use portcullis_workloads::Scenario;
use proptest::prelude::*;

use crate::determinism::{config, difference};
use crate::escapes::{EVERY_KIND, Windows, assert_decided_one_by_one, one_by_one, stalls_of};
use crate::support::{
    Dma, HOSTILE, Outcome, VfPlace, assert_within, builtin, custom, log, names, numbers, optional_numbers,
    run, run_logged, run_plan, vf_places,
};

/// Phases of switches, by host, adapter and VF, in order: name, beginning and end.
type Phases = BTreeMap<VfPlace, Vec<(&'static str, u64, u64)>>;

/// Spans of time, by who is silent in them.
type Spans = BTreeMap<VfPlace, Vec<(u64, u64)>>;

fn phases(outcome: &Outcome) -> Phases {
    let timeline = &outcome.timeline;
    let (kinds, details) = (names(timeline, "kind"), names(timeline, "detail"));
    let (begins, ends) = (numbers(timeline, "time_ps"), optional_numbers(timeline, "end_ps"));
    let mut phases = Phases::new();
    for (row, place) in vf_places(timeline).into_iter().enumerate().filter(|(row, _)| kinds[*row] == "switch")
    {
        let end = ends[row].expect("a phase has an end");
        phases.entry(place).or_default().push((details[row], begins[row], end));
    }
    phases.values_mut().for_each(|of_vf| of_vf.sort_by_key(|(_, begin, end)| (*begin, *end)));
    phases
}

/// The spans of one phase of each adapter, or of each VF where they are silent one by one, to the end of another.
fn spans(scenario: &Scenario, phases: &Phases, first: &str, last: &str) -> Spans {
    let mut spans: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (place, of_vf) in phases {
        let of = |name: &str| of_vf.iter().filter(move |(found, ..)| *found == name).collect::<Vec<_>>();
        let (begins, ends) = (of(first), of(last));
        assert_eq!(begins.len(), ends.len(), "VF {place:?} has as many {first} as {last}");
        let of_vf = begins.iter().zip(&ends).map(|((_, begin, _), (.., end))| (*begin, *end));
        spans.entry(unit(scenario, *place)).or_default().extend(of_vf);
    }
    spans.values_mut().for_each(|of_unit| of_unit.sort_unstable());
    spans
}

/// Who is silent together with a VF.
fn unit(scenario: &Scenario, (host, adapter, vf): VfPlace) -> VfPlace {
    let adapter_wide = scenario.silence.scope == SilenceScope::Adapter;
    (host, adapter, if adapter_wide { u32::MAX } else { vf })
}

/// The protocol's phases, but for those that wait for the switch before.
const PROTOCOL: [&str; 9] = [
    "scheduler_suspended",
    "draining",
    "begin_exclusive",
    "quiescing",
    "silent",
    "invalidating",
    "attaching",
    "end_exclusive",
    "resuming",
];

/// Each switch goes through the protocol's phases in order, each from the end of the one before; returns how many there are.
fn assert_protocol(what: &str, phases: &Phases) -> usize {
    let mut switches = 0;
    for (place, of_vf) in phases {
        let of_vf: Vec<_> = of_vf.iter().filter(|(name, ..)| *name != "waiting").collect();
        assert_eq!(of_vf.len() % PROTOCOL.len(), 0, "{what}: VF {place:?}");
        // Those that take no time share their instants: by name, each comes as often as any other.
        for name in PROTOCOL {
            let times = of_vf.iter().filter(|(found, ..)| *found == name).count();
            assert_eq!(times, of_vf.len() / PROTOCOL.len(), "{what}: VF {place:?}, {name}");
        }
        for pair in PROTOCOL.windows(2) {
            let ends = of_vf.iter().filter(|(name, ..)| *name == pair[0]).map(|(.., end)| end);
            let begins = of_vf.iter().filter(|(name, ..)| *name == pair[1]).map(|(_, begin, _)| begin);
            assert!(ends.eq(begins), "{what}: VF {place:?}, {} follows {}", pair[1], pair[0]);
        }
        switches += of_vf.len() / PROTOCOL.len();
    }
    switches
}

/// DMAs of those who are silent in a span that are under way in it.
fn under_way(scenario: &Scenario, log: &[Dma], silent: &Spans) -> Vec<Dma> {
    let is_under_way = |dma: &&Dma| {
        let spans = silent.get(&unit(scenario, dma.vf)).map_or(&[][..], |spans| spans);
        // Spans of a unit follow one another.
        let next = spans.partition_point(|(_, end)| *end <= dma.issued_ps);
        spans.get(next).is_some_and(|(begin, _)| *begin < dma.completed_ps)
    };
    log.iter().filter(is_under_way).copied().collect()
}

/// What must hold of a run whose domains are switched under the protocol; returns its switches.
fn assert_silence(what: &str, scenario: &Scenario, outcome: &Outcome) -> usize {
    let summary = &outcome.summary;
    assert_eq!(summary.timeline_dropped, 0, "{what}");
    assert_eq!((summary.switch_faults, summary.stale_total, summary.breach_total), (0, 0, 0), "{what}");
    assert_eq!(outcome.breach, None, "{what}");
    let phases = phases(outcome);
    let switches = assert_protocol(what, &phases);
    let begun = spans(scenario, &phases, "begin_exclusive", "end_exclusive");
    for (unit, spans) in &begun {
        let apart = spans.windows(2).all(|pair| pair[0].1 < pair[1].0);
        assert!(apart, "{what}: {unit:?} begins again before it has ended");
    }
    // The log says when a read has retired, which in order may be long after its data is back.
    let is_over =
        scenario.device.retire == Retire::OutOfOrder || scenario.silence.scope == SilenceScope::Adapter;
    if is_over {
        let silent = spans(scenario, &phases, "silent", "end_exclusive");
        let under_way = under_way(scenario, &log(outcome), &silent);
        assert_eq!(under_way, [], "{what}: DMAs under way in silence");
    }
    switches
}

/// What devices with TLBs ask of [`HOSTILE`]: DMAs that lie in one page each.
const WITHIN_PAGES: [&str; 2] = ["tenants.crossing.cross_pages=false", "tenants.crossing.sizes=512"];

/// Room for every row of the timeline.
const ROOM: &str = "report.timeline_rows_per_host=16777216";

/// Keys with values to choose from.
const CHOICES: [(&str, &[&str]); 20] = [
    ("silence.scope", &["adapter", "vf"]),
    ("silence.durations", &["constant", "exponential"]),
    ("silence.did_reuse", &["true", "false"]),
    ("silence.suspend_us", &["0", "0.3", "20"]),
    ("silence.begin_us", &["0", "2"]),
    ("silence.quiesce_us", &["0", "0.001", "2"]),
    ("silence.attach_us", &["0", "1"]),
    ("silence.end_us", &["0", "3"]),
    ("silence.resume_us", &["0", "5"]),
    ("switches.schedule", &["periodic", "poisson"]),
    ("switches.every_us", &["7", "60", "500"]),
    ("switches.gap_us", &["0.001", "10"]),
    ("switches.waiting", &["1", "64"]),
    ("topology.adapters_per_host", &["1", "3"]),
    ("scheduler.vf_queue_entries", &["1", "3", "60"]),
    ("device.retire", &["in_order", "out_of_order"]),
    ("device.write_order", &["relaxed", "in_order"]),
    ("iommu.walk_caches.l2.entries", &["0", "8"]),
    ("device.tlb.entries", &["0", "6", "64"]),
    ("device.tlb.sharing", &["adapter", "vf"]),
];

fn changes() -> impl Strategy<Value = Vec<String>> {
    let choice = |(key, values): &(&'static str, &'static [&'static str])| {
        let key = *key;
        prop::sample::select(*values).prop_map(move |value| format!("{key}={value}"))
    };
    let choices: Vec<_> = CHOICES.iter().map(choice).collect();
    (choices, any::<u32>()).prop_map(|(mut changes, seed)| {
        changes.push(format!("seed={seed}"));
        changes
    })
}

proptest! {
    #![proptest_config(config())]

    /// Whatever the load and the schedule: nobody of a silent unit has anything under way, no DMA meets a domain in the middle
    /// of its switch, none reaches what was the old domain's.
    #[test]
    fn silence_is_silent(changes in changes()) {
        let mut all = vec!["requests=6000", "topology.hosts=1", ROOM];
        if !changes.iter().any(|change| change == "device.tlb.entries=0") {
            all.extend(WITHIN_PAGES);
        }
        all.extend(changes.iter().map(String::as_str));
        let scenario = custom(HOSTILE, &all);
        let outcome = run_logged(&scenario);
        let switches = assert_silence(&format!("{changes:?}"), &scenario, &outcome);
        let often = scenario.switches.schedule == SwitchSchedule::Periodic && scenario.switches.every_us <= 60.0;
        prop_assert!(switches > 0 || !often, "{changes:?}: nothing was switched");
    }
}

/// The same with millions of DMAs, whose VFs are seldom idle.
#[test]
fn silence_is_silent_under_millions_of_dmas() {
    let scenario = builtin("switch-storm", &["requests=2000000", "topology.adapters_per_host=2", ROOM]);
    let outcome = run_logged(&scenario);
    let switches = assert_silence("storm", &scenario, &outcome);
    assert_eq!(outcome.summary.dma_total, 2_000_000);
    assert!(switches > 100 && outcome.summary.dma_held > 100_000, "{:?}", outcome.summary);
}

/// Two VFs that read and two that write, whose requests take four microseconds to the IOMMU, while their domains are switched by
/// hosts that are quick: what is not waited for meets what comes next. All pages stay in the IOTLB, so that entries of a domain that
/// is gone are there to be found.
const HASTY: &str = r#"
name = "hasty"
requests = 60_000

[topology]
vfs_per_adapter = 4

[link]
propagation_ns = 4_000.0

[silence]
mode = "unsafe"
scope = "vf"
suspend_us = 0.05
begin_us = 0.05
quiesce_us = 0.05
detach_us = 0.05
attach_us = 0.05
end_us = 0.05
resume_us = 0.05

[host]
on_switch_fault = "record"

[switches]
schedule = "periodic"
every_us = 50

[[tenants]]
name = "readers"
count = 2
read_share = 1.0
sizes = 64
memory = { pages = 12 }
arrivals = { kind = "poisson", mops_per_vf = 1.0 }

[[tenants]]
name = "writers"
read_share = 0.0
sizes = 64
memory = { pages = 12 }
arrivals = { kind = "poisson", mops_per_vf = 1.0 }
"#;

/// Faults of DMAs that met an absent context, and DMAs that reached what was the old domain's, if these steps are left out.
fn without(steps: &str, changes: &[&str]) -> (u64, u64) {
    let skip = format!("silence.skip=[{steps}]");
    let scenario = custom(HASTY, &[&[&*skip], changes].concat());
    let outcome = run(&scenario);
    let summary = &outcome.summary;
    assert!(summary.switches > 100, "{} switches", summary.switches);
    // What is left out explains all that goes wrong: the engine itself is right.
    assert_eq!(outcome.breach, None, "without {steps}");
    assert_eq!(summary.breach_total, 0, "without {steps}");
    assert_eq!(summary.dma_total, 60_000);
    (summary.switch_faults, summary.stale_total)
}

#[test]
fn with_every_step_nothing_goes_wrong() {
    for reuse in ["silence.did_reuse=true", "silence.did_reuse=false"] {
        assert_eq!(without("", &[reuse]), (0, 0), "{reuse}");
    }
}

/// Reads that are under way meet the absent context.
#[test]
fn without_the_drain_dmas_fault() {
    let (faults, stale) = without("\"drain\"", &[]);
    assert!(faults > 100 && stale == 0, "{faults} faults, {stale} stale");
    // They are reads alone: begin waits for what is written.
    assert_eq!(without("\"drain\"", &["tenants.readers.read_share=0"]), (0, 0));
}

/// So do posted writes, which no drain waits for.
#[test]
fn without_begin_writes_fault() {
    let (faults, stale) = without("\"begin\"", &[]);
    assert!(faults > 100 && stale == 0, "{faults} faults, {stale} stale");
    // They are writes alone: where nobody writes, the drain is enough.
    assert_eq!(without("\"begin\"", &["tenants.writers.read_share=1"]), (0, 0));
}

/// Where requests go on leaving nothing is ever drained, but by chance: most switches are aborted.
#[test]
fn without_suspension_drains_are_in_vain() {
    let aborted = |rate: &str| {
        let scenario = custom(
            HASTY,
            &["silence.skip=[\"suspend\"]", "silence.drain_timeout_us=20", rate, "requests=20000"],
        );
        let summary = run(&scenario).summary;
        let wrong = (summary.stale_total, summary.breach_total, summary.dma_held);
        assert_eq!((wrong, summary.switches > 50), ((0, 0, 0), true));
        summary.switches_aborted as f64 / summary.switches as f64
    };
    let (busy, light) = (
        aborted("tenants.readers.arrivals.mops_per_vf=2"),
        aborted("tenants.readers.arrivals.mops_per_vf=0.02"),
    );
    assert!(busy > 2.0 * light, "{busy} of all where devices are busy, {light} where they are not");
}

/// New work lands in the middle of the switch.
#[test]
fn without_suspension_dmas_fault() {
    // A switch takes longer than the way to the IOMMU: what arrives then left after it began.
    let long = ["silence.attach_us=20"];
    let (faults, stale) = without("\"suspend\", \"drain\", \"begin\"", &long);
    let (fewer, _) = without("\"drain\", \"begin\"", &long);
    assert!(faults > fewer && stale == 0, "{faults} faults, {stale} stale; {fewer} where it is suspended");
}

/// The device stays in the old domain: nothing faults, and it reaches pages that are no longer its own.
#[test]
fn without_the_invalidation_of_contexts_devices_stay_in_the_old_domain() {
    for reuse in ["silence.did_reuse=true", "silence.did_reuse=false"] {
        let (faults, stale) = without("\"invalidate_context\"", &[reuse]);
        assert!(faults == 0 && stale > 1_000, "{reuse}: {faults} faults, {stale} stale");
    }
}

/// With the domain ID used again a stale translation reaches the old pages, and nothing faults; without, what is cached under
/// the old ID is never found.
#[test]
fn without_the_invalidation_of_the_iotlb_reused_domain_ids_are_stale() {
    let (faults, stale) = without("\"invalidate_iotlb\"", &["silence.did_reuse=true"]);
    assert!(faults == 0 && stale > 1_000, "{faults} faults, {stale} stale");
    assert_eq!(without("\"invalidate_iotlb\"", &["silence.did_reuse=false"]), (0, 0));
}

/// Every device has a TLB with room for all pages.
const DEVICE_TLB: &str = "device.tlb.entries=64";

/// A device with a TLB is drained when it has no translation request under way and no TLP for the link, and the TLB is
/// invalidated: nothing goes wrong.
#[test]
fn with_device_tlbs_and_every_step_nothing_goes_wrong() {
    for changes in [
        &["silence.did_reuse=true", "device.tlb.sharing=adapter"][..],
        &["silence.did_reuse=false", "device.tlb.sharing=vf"],
        &["silence.scope=adapter"],
        &["device.tlb.entries=4"],
        &["silence.mode=atomic_replace", "silence.did_reuse=true"],
    ] {
        assert_eq!(without("", &[&[DEVICE_TLB], changes].concat()), (0, 0), "{changes:?}");
    }
}

/// The device goes on using the translated addresses that it cached, whatever the number of the domain, and nothing faults.
#[test]
fn without_the_invalidation_of_device_tlbs_devices_use_what_they_cached() {
    let skip = "\"invalidate_device_tlb\"";
    for reuse in ["silence.did_reuse=true", "silence.did_reuse=false"] {
        let (faults, stale) = without(skip, &[DEVICE_TLB, reuse]);
        assert!(faults == 0 && stale > 10_000, "{reuse}: {faults} faults, {stale} stale");
        // What is evicted has to be asked for anew: a small TLB forgets the old domain.
        let (faults, fewer) = without(skip, &["device.tlb.entries=4", reuse]);
        assert!(faults == 0 && fewer < stale / 4, "{reuse}: {faults} faults, {fewer} of {stale} stale");
    }
}

/// Invalidations of the IOTLB alone do not reach what a device has cached, but what it asks for is stale without them.
#[test]
fn behind_device_tlbs_the_iotlb_is_to_be_invalidated_too() {
    let (faults, stale) = without("\"invalidate_iotlb\"", &[DEVICE_TLB, "silence.did_reuse=true"]);
    assert!(faults == 0 && stale > 1_000, "{faults} faults, {stale} stale");
    assert_eq!(without("\"invalidate_iotlb\"", &[DEVICE_TLB, "silence.did_reuse=false"]), (0, 0));
}

/// What a device has translated passes the IOMMU, whatever the context says; what it asks for meets the absent one. The device
/// answers to the invalidation when all that it has taken up is over, so nothing is stale.
#[test]
fn without_the_drain_translation_requests_fault() {
    let (many, stale) = without("\"drain\"", &["device.tlb.entries=4"]);
    assert!(many > 100 && stale == 0, "{many} faults, {stale} stale");
    let (few, stale) = without("\"drain\"", &[DEVICE_TLB]);
    assert!(few < many / 4 && stale == 0, "{few} of {many} faults, {stale} stale");
}

/// Context cache, IOTLB and device TLB are invalidated one after another, and the queue waits for the device's answer.
#[test]
fn a_device_takes_its_time_to_answer() {
    for (changes, commands, device_us) in [
        (&[DEVICE_TLB][..], 3, 5.0),
        (
            &[DEVICE_TLB, "iommu.invalidation.device_tlb_us=0.25", "iommu.invalidation.command_ns=100"],
            3,
            0.25,
        ),
        (&[DEVICE_TLB, "silence.mode=unsafe", "silence.skip=[\"invalidate_device_tlb\"]"], 2, 0.0),
        (&[], 2, 0.0),
    ] {
        let base = ["silence.mode=silence", "requests=6000", ROOM];
        let scenario = custom(HASTY, &[&base, changes].concat());
        let phases = phases(&run(&scenario));
        let expected = commands as f64 * scenario.iommu.invalidation.command_ns * 1e3 + device_us * 1e6;
        let all = phases.values().flatten().filter(|(name, ..)| *name == "invalidating");
        let times: Vec<_> = all.map(|(_, begin, end)| end - begin).collect();
        // It takes longer where what others do in memory is not over.
        assert!(times.len() > 10 && times.iter().min() == Some(&(expected as u64)), "{changes:?}: {times:?}");
        assert!(
            device_us < 1.0 || times.iter().all(|time| *time == expected as u64),
            "{changes:?}: {times:?}"
        );
    }
}

/// Hardware that replaces domains at once holds nobody back, and nothing goes wrong.
#[test]
fn domains_that_are_replaced_at_once_cost_nobody_anything() {
    let scenario = custom(HASTY, &["silence.mode=atomic_replace"]);
    let summary = run(&scenario).summary;
    assert!(summary.switches > 100);
    let wrong = (summary.switch_faults, summary.stale_total, summary.breach_total);
    assert_eq!((wrong, summary.dma_held, summary.silence_ns), ((0, 0, 0), 0, 0.0));
}

/// While an adapter's driver is between begin and end no escape gets to it; where nobody tells the driver, none waits.
#[test]
fn escapes_wait_for_the_end_of_an_exclusive_window() {
    let of = |changes: &[&str]| {
        let base = ["requests=4000", "switches.schedule=periodic", "switches.every_us=120"];
        let summary = run(&custom(EVERY_KIND, &[&base, changes].concat())).summary;
        assert!(summary.switches > 10 && summary.escapes_total > 100, "{summary:?}");
        (summary.escapes_deferred, summary.escapes_allowed, summary.escapes_denied)
    };
    let untold = ["silence.mode=unsafe", "silence.skip=[\"begin\"]", "host.on_switch_fault=record"];
    let ((deferred, allowed, denied), at_once) = (of(&[]), of(&untold));
    assert!(deferred > allowed / 20, "{deferred} of {allowed}");
    // Whether they wait changes nothing of what becomes of them.
    assert_eq!(at_once, (0, allowed, denied));
}

/// The exclusive windows that the timeline tells, by host and adapter.
fn exclusive_windows(scenario: &Scenario, outcome: &Outcome) -> Windows {
    let mut phases = phases(outcome);
    // The host keeps escapes out as soon as the device is drained.
    let is_first = |name: &str| matches!(name, "driver_emptying" | "begin_exclusive");
    for of_vf in phases.values_mut() {
        let mut told = false;
        of_vf.retain_mut(|(name, ..)| {
            let repeats = is_first(name) && core::mem::replace(&mut told, is_first(name));
            if is_first(name) {
                *name = "kept_out";
            } else {
                told = false;
            }
            !repeats
        });
    }
    let of_adapters = spans(scenario, &phases, "kept_out", "end_exclusive");
    let known = of_adapters.into_iter().map(|((host, adapter, _), spans)| {
        let mut windows = ExclusiveWindows::never();
        let spans = spans.into_iter().filter(|(begin, end)| begin < end);
        spans
            .for_each(|(begin, end)| windows.push(Span { begin: Picoseconds(begin), end: Picoseconds(end) }));
        ((host, adapter), windows)
    });
    known.collect()
}

/// A flood beside switches at random: what the timeline's windows say of every packet, one after the other, is what the run
/// says; no packet gets to the driver inside a window; and however the work is cut, as many wait.
#[test]
fn a_flood_beside_switches_is_deferred_by_the_windows_of_the_timeline() {
    let switching = ["requests=16000", ROOM, "switches.schedule=poisson", "switches.every_us=300"];
    let scenario = builtin("escape-flood", &switching);
    let outcome = run(&scenario);
    let windows = exclusive_windows(&scenario, &outcome);
    assert_decided_one_by_one(&scenario, &windows, &outcome);
    let (mut allowed, mut deferred) = (0, 0);
    let stalls = stalls_of(&outcome);
    one_by_one(&scenario, (&windows, &stalls), |packet| {
        let Dispatched { decided, deferred: waited } = packet.dispatched;
        let is_allowed = packet.key[3] == "allow";
        let outside = windows[&(packet.host, packet.adapter)].next_outside(decided) == Some(decided);
        assert!(outside || !is_allowed, "{:?} is handed over at {decided:?}, in a window", packet.key);
        allowed += u64::from(is_allowed);
        deferred += u64::from(waited);
    });
    let summary = &outcome.summary;
    assert_eq!((summary.escapes_allowed, summary.escapes_deferred), (allowed, deferred));
    assert!(
        summary.switches > 10 && deferred > 100,
        "{deferred} of {allowed}, {} switches",
        summary.switches
    );
    for (threads, cut) in [(1, (64, 256)), (1, (2_048, 131_072)), (2, (64, 256)), (2, (2_048, 131_072))] {
        let again = run_cut(&scenario, threads, cut);
        assert_eq!(again.escapes, outcome.escapes, "{threads} threads, batches and visits of {cut:?}");
        assert_eq!(again.summary.escapes_deferred, deferred);
    }
    // Who is not silenced defers nothing, and decides the same.
    let calm = run(&builtin("escape-flood", &switching[..1])).summary;
    assert_eq!(
        (calm.escapes_deferred, calm.escapes_allowed, calm.escapes_denied),
        (0, allowed, summary.escapes_denied)
    );
}

/// One VF that reads 64 bytes at random instants, hardly ever two at once on the link or in the IOMMU, from a memory that takes ten
/// microseconds; its domain is switched every so often, and seldom enough that one pause knows nothing of the one before.
const LIGHT: &str = r#"
name = "light"
requests = 300_000
audit = "off"

[topology]
vfs_per_adapter = 1

[memory]
read_ns = 10_000.0

[silence]
suspend_us = 2.0
begin_us = 3.0
quiesce_us = 1.0
detach_us = 0.5
attach_us = 0.5
end_us = 4.0
resume_us = 5.0

[switches]
schedule = "periodic"
every_us = 200

[[tenants]]
name = "all"
read_share = 1.0
sizes = 64
memory = { pages = 8 }
arrivals = { kind = "poisson", mops_per_vf = 0.3 }
"#;

/// A pause of light load, in microseconds: its mean, and the mean of its square.
///
/// A read takes L from its issue to its data, and reads come at a rate r, so that one that came within the last x of L before a switch
/// is under way for x after its beginning. Nothing is under way after y, L - y before the switch being empty: that has the probability
/// e^(-r (L - y)). The drain is over at M, the later of that and of the end of the suspension S. So
///
///   E[M]   = S + int_S^L (1 - e^(-r (L - y))) dy         = L - (1 - e^(-r (L - S))) / r
///   E[M^2] = S^2 + int_S^L 2 y (1 - e^(-r (L - y))) dy   = L^2 - 2 (L - S e^(-r (L - S))) / r + 2 (1 - e^(-r (L - S))) / r^2
///
/// All else takes its time C: the other phases, and two commands of the invalidation queue. The pause is P = M + C.
fn pause_us(scenario: &Scenario) -> (f64, f64) {
    let silence = &scenario.silence;
    let rate = scenario.total_hz() / 1e6;
    let (long, short) = (read_us(scenario), silence.suspend_us);
    let empty = (-rate * (long - short)).exp();
    let drain = long - (1.0 - empty) / rate;
    let squared = long * long - 2.0 * (long - short * empty) / rate + 2.0 * (1.0 - empty) / (rate * rate);
    let others: f64 = silence.phases().iter().map(|(_, us)| us).sum::<f64>() - short;
    let rest = others + 2.0 * scenario.iommu.invalidation.command_ns / 1e3;
    (drain + rest, squared + 2.0 * drain * rest + rest * rest)
}

/// What a read takes that waits for nobody, in microseconds.
fn read_us(scenario: &Scenario) -> f64 {
    let link = &scenario.link;
    let wire = |bytes: f64| bytes * 8.0 / link.tlp_gbps();
    let way = wire(24.0) + wire(84.0) + 2.0 * link.propagation_ns;
    (way + scenario.iommu.iotlb.hit_ns + scenario.memory.read_ns) / 1e3
}

#[test]
fn a_pause_takes_its_phases_and_the_drain() {
    for changes in [
        &[][..],
        &["silence.suspend_us=0"],
        &["silence.suspend_us=9"],
        &["tenants.all.arrivals.mops_per_vf=0.05", "requests=100000"],
        &["iommu.invalidation.command_ns=5000", "memory.read_ns=3000"],
    ] {
        let scenario = custom(LIGHT, changes);
        let summary = run(&scenario).summary;
        let (mean, _) = pause_us(&scenario);
        assert!(summary.switches > 4_000, "{} switches", summary.switches);
        assert_within(&format!("{changes:?}"), summary.switch_mean_ns / 1e3, mean, 0.02);
    }
}

/// A request that comes at random comes into a longer pause more often, and has half of it before it on average: it waits
/// E[P^2] / 2 E[P], and then takes what every other takes.
#[test]
fn a_request_that_comes_in_a_pause_waits_for_half_of_it() {
    for changes in [&[][..], &["silence.suspend_us=0", "silence.end_us=0", "silence.resume_us=0"]] {
        let scenario = custom(LIGHT, &[changes, &[ROOM]].concat());
        let outcome = run_logged(&scenario);
        let (mean, squared) = pause_us(&scenario);
        let wait = squared / (2.0 * mean);
        assert_within("held", outcome.summary.held_mean_ns / 1e3, wait, 0.02);
        let pauses = spans(&scenario, &phases(&outcome), "scheduler_suspended", "resuming");
        let pauses = &pauses[&(0, 0, u32::MAX)];
        let in_a_pause = |dma: &Dma| {
            let next = pauses.partition_point(|(_, end)| *end <= dma.intended_ps);
            pauses.get(next).is_some_and(|(begin, _)| *begin <= dma.intended_ps)
        };
        let (inside, outside): (Vec<_>, Vec<_>) = log(&outcome).into_iter().partition(in_a_pause);
        let mean_us =
            |dmas: &[Dma]| dmas.iter().map(Dma::latency_ps).sum::<u64>() as f64 / dmas.len() as f64 / 1e6;
        assert_within("in a pause", mean_us(&inside), wait + read_us(&scenario), 0.02);
        assert_within("in none", mean_us(&outside), read_us(&scenario), 0.005);
        // Those that come in pauses are as many as pauses take of the time.
        let share = inside.len() as f64 / (inside.len() + outside.len()) as f64;
        assert_within("share", share, mean / scenario.switches.every_us, 0.02);
    }
}

/// Writes that keep the link of the adapter to the host busy for a share of the time, or as long as anything may leave.
fn writes(share: f64, changes: &[&str]) -> Scenario {
    let mops = format!("tenants.all.arrivals.mops_per_vf={}", share * 1e3 / write_ns());
    let of_all = [
        "requests=2000000",
        "tenants.all.read_share=0",
        "tenants.all.sizes=256",
        "switches.every_us=100",
        "link.flow_credits=4096",
    ];
    custom(LIGHT, &[&of_all[..], &[mops.as_str()], changes].concat())
}

/// What a write of 256 bytes takes on the link, in nanoseconds.
fn write_ns() -> f64 {
    280.0 * 8.0 / custom(LIGHT, &[]).link.tlp_gbps()
}

/// The link of a saturated adapter is idle in pauses and at no other time: what is lost is r P, and is what VFs are not
/// available.
#[test]
fn a_saturated_adapter_loses_the_share_of_time_that_pauses_take() {
    let base = run(&writes(2.0, &["switches.schedule=none"])).summary;
    assert!(base.upstream_utilisation > 0.999 && base.availability >= 1.0, "{base:?}");
    for every_us in [50.0, 100.0, 400.0] {
        let summary = run(&writes(2.0, &[&format!("switches.every_us={every_us}")])).summary;
        let silent = summary.switch_mean_ns / 1e3 / every_us;
        let lost = 1.0 - summary.write_gbps / base.write_gbps;
        assert_within(&format!("every {every_us} us: throughput"), lost, silent, 0.02);
        assert_within(&format!("every {every_us} us: availability"), 1.0 - summary.availability, lost, 0.01);
    }
}

/// What is intended behind a pause P, before the last that it held back has left, finds the u P of work that came in the pause,
/// less what time has done of it since: (1 - u) of each moment. That goes on for u P, so the mean wait is u P (1 + u) / 2, but
/// that more of it is met where there is more: with n writes in a pause on average, by 1 + 1 / n.
#[test]
fn what_is_intended_in_the_recovery_waits_for_what_was_held_back() {
    for share in [0.25, 0.5] {
        let summary = run(&writes(share, &[])).summary;
        let base = run(&writes(share, &["switches.schedule=none"])).summary;
        assert_eq!((base.dma_recovering, base.recovering_mean_ns), (0, 0.0));
        let backlog_ns =
            share * summary.switch_mean_ns * (1.0 + write_ns() / (share * summary.switch_mean_ns));
        let least_ns = base.latency_mean_ns - share * write_ns() / (2.0 * (1.0 - share));
        let expected = least_ns + backlog_ns * (1.0 + share) / 2.0;
        assert_within(&format!("{share}: recovering"), summary.recovering_mean_ns, expected, 0.02);
        let met = summary.dma_recovering as f64 / summary.dma_held as f64;
        assert_within(&format!("{share}: how many"), met, share, 0.02);
        let [held, behind] = [summary.dma_held, summary.dma_recovering].map(|dmas| dmas as f64);
        let others = summary.dma_total as f64 - held - behind;
        let of_all = held * summary.disturbed_mean_ns
            + behind * summary.recovering_mean_ns
            + others * summary.undisturbed_mean_ns;
        assert_within("all of them", of_all / summary.dma_total as f64, summary.latency_mean_ns, 1e-9);
    }
}

/// Behind a pause P a link that is busy for a share u of the time has u P of work before it, which the last that came in
/// the pause waits for. As long as 1 - r P > u the work is done before long, and throughput is what it was; beyond, it falls
/// to the share 1 - r P of what the link can do.
#[test]
fn an_adapter_sustains_switches_until_what_they_leave_is_its_load() {
    for share in [0.25, 0.5] {
        let scenario = writes(share, &[]);
        let summary = run(&scenario).summary;
        assert!(1.0 - summary.switch_mean_ns / 1e5 > share, "it sustains them");
        let expected = share * summary.switch_mean_ns;
        assert_within(&format!("{share}: recovery"), summary.recovery_mean_ns, expected, 0.02);
        let offered = scenario.total_hz() * 256.0 * 8.0 / 1e9;
        assert_within(&format!("{share}: throughput"), summary.write_gbps, offered, 0.005);
        assert!(summary.disturbed_mean_ns > 10.0 * summary.undisturbed_mean_ns, "{summary:?}");
    }
    let summary = run(&writes(0.8, &["switches.every_us=40"])).summary;
    let left = 1.0 - summary.switch_mean_ns / 4e4;
    assert!(left < 0.8, "it does not sustain them");
    assert_within("throughput", summary.upstream_utilisation, left, 0.02);
}

const CUTS: [(u32, u32); 5] = [(1, 1), (37, 500), (512, 60), (2_048, 131_072), (16_384, 1 << 30)];

fn run_cut(scenario: &Scenario, threads: usize, (batch, visit): (u32, u32)) -> Outcome {
    let mut plan = scenario.plan();
    plan.log_requests = true;
    plan.report.tenant_windows = true;
    plan.report.attribution = scenario.silence.scope == SilenceScope::Adapter;
    (plan.batch.batch_requests, plan.batch.visit_requests) = (batch, visit);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| run_plan(plan))
}

#[test]
fn tables_depend_neither_on_threads_nor_on_how_the_work_is_cut() {
    let hostile = |changes: &[&str]| {
        let base = ["requests=4000", "topology.hosts=2", "switches.schedule=poisson", "switches.every_us=90"];
        custom(HOSTILE, &[&base, changes].concat())
    };
    for (name, scenario) in [
        ("adapters", hostile(&[])),
        ("VFs", hostile(&["silence.scope=vf", "silence.durations=exponential", "warmup_us=100"])),
        ("a shared domain", hostile(&["topology.domain_scope=adapter", "topology.iommus_per_host=2"])),
        ("at once", hostile(&["silence.mode=atomic_replace"])),
        (
            "unsafe",
            hostile(&[
                "silence.mode=unsafe",
                "silence.skip=[\"suspend\", \"drain\", \"begin\", \"invalidate_iotlb\"]",
                "silence.suspend_us=0.1",
                "host.on_switch_fault=record",
            ]),
        ),
        (
            "every step but two",
            custom(HASTY, &["requests=4000", "silence.skip=[\"drain\", \"invalidate_context\"]"]),
        ),
        (
            "device TLBs",
            hostile(&[&["device.tlb.entries=16", "device.tlb.pending=2"], &WITHIN_PAGES[..]].concat()),
        ),
        (
            "device TLBs, at once",
            hostile(&[&["device.tlb.entries=16", "silence.mode=atomic_replace"], &WITHIN_PAGES[..]].concat()),
        ),
        (
            "device TLBs, VFs",
            custom(
                HASTY,
                &["requests=4000", DEVICE_TLB, "silence.skip=[\"begin\", \"invalidate_device_tlb\"]"],
            ),
        ),
    ] {
        let expected = run_cut(&scenario, 1, (2_048, 131_072));
        assert!(expected.summary.switches > 0, "{name}");
        for threads in [1, 2] {
            for cut in CUTS {
                let found = run_cut(&scenario, threads, cut);
                let what = format!("{name}: {threads} threads, batches and visits of {cut:?}");
                assert_eq!(difference(&found, &expected), None, "{what}");
            }
        }
    }
}

/// The driver is told of a silence when the last escape has left it that got there before the device was drained, to the picosecond.
#[test]
fn begin_waits_for_the_escapes_in_the_driver() {
    let changes =
        ["requests=8000", "switches.schedule=poisson", "switches.every_us=400", "escape.driver_us=45", ROOM];
    let scenario = custom(EVERY_KIND, &changes);
    let outcome = run(&scenario);
    let (windows, stalls) = (exclusive_windows(&scenario, &outcome), stalls_of(&outcome));
    let mut entered = BTreeMap::<_, Vec<u64>>::new();
    one_by_one(&scenario, (&windows, &stalls), |packet| {
        let decided = packet.dispatched.decided;
        let of_adapter = (packet.host, packet.adapter);
        let stalls = stalls.get(&of_adapter).is_some_and(|of| of.iter().any(|span| span.begin == decided));
        if packet.key[3] == "allow" && !stalls {
            entered.entry(of_adapter).or_default().push(decided.0);
        }
    });
    let (mut waited, mut at_once) = (0, 0);
    for ((host, adapter, vf), of_vf) in phases(&outcome) {
        for (at, &(_, begin, _)) in
            of_vf.iter().enumerate().filter(|(_, (name, ..))| *name == "begin_exclusive")
        {
            let (before, drained, _) = of_vf[at - 1];
            let drained = if before == "driver_emptying" { drained } else { begin };
            let last = entered[&(host, adapter)].iter().filter(|time| **time < drained).max();
            let empty = last.map_or(0, |last| last + 45_000_000);
            assert_eq!(begin, drained.max(empty), "adapter {host}.{adapter}, VF {vf}");
            waited += u64::from(begin > drained);
            at_once += u64::from(begin == drained);
        }
    }
    assert!(waited > 10 && at_once > 0, "{waited} waited, {at_once} did not");
}
