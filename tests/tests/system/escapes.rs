//! Escapes and admission in whole runs.

use std::collections::BTreeMap;

use portcullis_engine::escape::{
    CaptureBuffer, Dispatch, Dispatched, DriverQueue, EscapeFlags, ExclusiveWindows, Handles, Sender, Span,
    adapter_handle, filter, is_well_formed,
};
use portcullis_engine::ids::{HostIndex, VfIndex};
use portcullis_engine::table::Column;
use portcullis_engine::units::Picoseconds;
use portcullis_workloads::Scenario;

use crate::support::{
    Outcome, VfPlace, assert_same, builtin, custom, log, names, numbers, optional_numbers, run, run_logged,
    texts, values, vf_places,
};

/// Tenants of every kind that send every kind of packet.
pub const EVERY_KIND: &str = r#"
name = "every-kind"
requests = 4000
[topology]
hosts = 2
adapters_per_host = 2
vfs_per_adapter = 5
[escape]
filter_ns = 700
hardware_access_us = 9
waiting_packets = 3
wddm = "3.0"
allow_test_types = true
[[tenants]]
name = "normal"
arrivals = { mops_per_vf = 0.1 }
[tenants.escapes]
packets_per_s = 90_000
mix = { known = 1, common = 1, conventional = 1, hardware_access = 0.5, test = 1, runtime = 1, malformed = 1, boundary = 1, spoofed_flags = 1, foreign_handle = 1, malformed_payload = 1, random = 1, corpus = 1 }
sizes = [8, 64, 4096]
corpus = ["", "4553433101003000", "00ff"]
[[tenants]]
name = "bursts"
count = 1
vm = { escapes_enabled = false }
arrivals = { mops_per_vf = 0.1 }
[tenants.escapes]
packets_per_s = 30_000
on_us = 50
off_us = 300
[[tenants]]
name = "secure"
count = 1
vm = { kind = "secure" }
arrivals = { mops_per_vf = 0.1 }
escapes = { packets_per_s = 50_000, mix = { known = 1, common = 1, conventional = 1, malformed_payload = 1 } }
[[tenants]]
name = "host"
count = 1
vm = { kind = "host_process" }
arrivals = { mops_per_vf = 0.1 }
escapes = { packets_per_s = 50_000, mix = { test = 1, conventional = 1, boundary = 1 } }
"#;

/// Class of tenant, kind of VM, kind of escape, decision, reason.
pub type Key = [String; 5];

/// Packets, bytes, those exposed, those deferred, greatest and summed latency in picoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub packets: u64,
    bytes: u64,
    exposed: u64,
    pub deferred: u64,
    pub latency_max_ps: u64,
    latency_sum_ps: u128,
}

/// The exclusive windows of adapters by host and adapter; of those that are not there, none.
pub type Windows = BTreeMap<(u32, u32), ExclusiveWindows>;

/// When escapes that touch hardware were in the driver, by host and adapter, in order.
pub type Stalls = BTreeMap<(u32, u32), Vec<Span>>;

/// Phases of the timeline's stalls: host, adapter and VF, name, beginning and end.
fn stall_phases(outcome: &Outcome) -> Vec<(VfPlace, &'static str, u64, u64)> {
    let timeline = &outcome.timeline;
    let (kinds, details) = (names(timeline, "kind"), names(timeline, "detail"));
    let (begins, ends) = (numbers(timeline, "time_ps"), optional_numbers(timeline, "end_ps"));
    let places = vf_places(timeline).into_iter().enumerate().filter(|(row, _)| kinds[*row] == "escape_stall");
    places.map(|(row, place)| (place, details[row], begins[row], ends[row].expect("it ends"))).collect()
}

/// The same, as packets one after the other need them.
pub fn stalls_of(outcome: &Outcome) -> Stalls {
    assert_eq!(outcome.summary.timeline_dropped, 0, "all stalls are told");
    let mut stalls = Stalls::new();
    for ((host, adapter, _), phase, begin, end) in stall_phases(outcome) {
        if phase == "in_driver" {
            let span = Span { begin: Picoseconds(begin), end: Picoseconds(end) };
            stalls.entry((host, adapter)).or_default().push(span);
        }
    }
    stalls.values_mut().for_each(|of| of.sort_by_key(|span| span.begin));
    stalls
}

/// What became of a packet.
pub struct Decided {
    pub host: u32,
    pub adapter: u32,
    pub key: Key,
    pub bytes: u64,
    pub exposes: bool,
    pub arrived: Picoseconds,
    pub dispatched: Dispatched,
}

/// Every packet of the run one after the other, adapter by adapter, with no batch and no system.
pub fn one_by_one(
    scenario: &Scenario,
    (windows, stalls): (&Windows, &Stalls),
    mut note: impl FnMut(Decided),
) {
    let plan = scenario.plan();
    let machine = scenario.machine();
    let (policy, times) = (machine.escape.policy(), machine.escape.times());
    let per_adapter = machine.topology.vfs_per_adapter;
    let adapters = machine.topology.adapters_per_host;
    for (host, adapter) in
        (0..machine.topology.hosts).flat_map(|host| (0..adapters).map(move |of| (host, of)))
    {
        let mut packets = Vec::new();
        for vf in adapter * per_adapter..(adapter + 1) * per_adapter {
            let tenant = (plan.tenants)(HostIndex(host), VfIndex(vf));
            let sender = Sender {
                vm: vf,
                kind: tenant.vm.kind,
                escapes_enabled: tenant.vm.escapes_enabled,
                adapter: adapter_handle(adapter),
                handles: Handles::of_vm(vf),
            };
            let Some(mut source) = tenant.escapes else { continue };
            while let Some(time) = source.peek() {
                let mut bytes = Vec::new();
                source.emit(&mut bytes);
                packets.push((time, vf, tenant.class, sender, bytes));
            }
        }
        packets.sort_by_key(|(time, vf, ..)| (*time, *vf));
        let mut queue = DriverQueue::default();
        let none = ExclusiveWindows::never();
        let windows = windows.get(&(host, adapter)).unwrap_or(&none);
        let mut stalls = stalls.get(&(host, adapter)).into_iter().flatten();
        for (arrived, _, class, sender, bytes) in packets {
            let memory = &&bytes[..];
            let knows = |payload: &[u8], flags: EscapeFlags| {
                flags.has(EscapeFlags::DRIVER_KNOWN) || is_well_formed(payload)
            };
            let (ruling, known) = filter(memory, &sender, &policy, &mut CaptureBuffer::default(), |handed| {
                knows(handed.payload, handed.ruling.flags)
            });
            let dispatched = match queue.dispatch(arrived, &ruling, windows, &times) {
                Dispatch::Over(dispatched) => dispatched,
                Dispatch::Due(due) => {
                    let stall = stalls.next().expect("one that touches hardware stalls the adapter");
                    assert!(stall.begin >= due && stall.end == stall.begin + times.hardware_access);
                    queue.stalled(*stall, windows)
                }
                Dispatch::NotKnown(_) => panic!("all are known"),
            };
            let key = [
                &plan.classes[class as usize],
                sender.kind.name(),
                ruling.class.name(),
                ruling.decision.name(),
                ruling.reason.name(),
            ];
            let key = key.map(ToOwned::to_owned);
            let (bytes, exposes) = (bytes.len() as u64, known == Some(false));
            note(Decided { host, adapter, key, bytes, exposes, arrived, dispatched });
        }
        assert_eq!(stalls.next(), None, "no other stalls an adapter");
    }
}

/// The same, counted by their keys.
fn plainly(scenario: &Scenario, known: (&Windows, &Stalls)) -> BTreeMap<Key, Counts> {
    let mut counts = BTreeMap::<Key, Counts>::new();
    one_by_one(scenario, known, |decided| {
        let Decided { key, bytes, exposes, arrived, dispatched, .. } = decided;
        let latency = (dispatched.decided - arrived).0;
        let counts = counts.entry(key).or_default();
        counts.packets += 1;
        counts.bytes += bytes;
        counts.exposed += u64::from(exposes);
        counts.deferred += u64::from(dispatched.deferred);
        counts.latency_max_ps = counts.latency_max_ps.max(latency);
        counts.latency_sum_ps += u128::from(latency);
    });
    counts
}

/// Sees that the table of escapes says what packets one after the other come to; returns these.
pub fn assert_decided_one_by_one(
    scenario: &Scenario,
    windows: &Windows,
    outcome: &Outcome,
) -> BTreeMap<Key, Counts> {
    let (expected, found) = (plainly(scenario, (windows, &stalls_of(outcome))), by_key(outcome));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, expected) in &expected {
        let (counts, mean_ns) = found[key];
        assert_eq!(counts, Counts { latency_sum_ps: 0, ..*expected }, "{key:?}");
        let mean = expected.latency_sum_ps as f64 / expected.packets as f64 / 1e3;
        assert!((mean_ns - mean).abs() < 1e-6 * mean.max(1.0), "{key:?}: {mean_ns} for {mean}");
    }
    expected
}

/// The table of escapes, by its keys.
fn by_key(outcome: &Outcome) -> BTreeMap<Key, (Counts, f64)> {
    let table = &outcome.escapes;
    let text = |name| names(table, name);
    let keys = texts(table, "class").into_iter().zip(text("vm_kind")).zip(text("escape_class"));
    let keys = keys.zip(text("decision").into_iter().zip(text("reason")));
    let (packets, bytes) = (numbers(table, "packets"), numbers(table, "message_bytes"));
    let (exposed, deferred) = (numbers(table, "kmd_exposed"), numbers(table, "deferred"));
    let (mean, max) = (values(table, "latency_mean_ns"), values(table, "latency_max_ns"));
    keys.enumerate()
        .map(|(row, (((class, kind), escape), (decision, reason)))| {
            let key = [&class, kind, escape, decision, reason].map(ToOwned::to_owned);
            let counts = Counts {
                packets: packets[row],
                bytes: bytes[row],
                exposed: exposed[row],
                deferred: deferred[row],
                latency_max_ps: (max[row] * 1e3).round() as u64,
                latency_sum_ps: 0,
            };
            (key, (counts, mean[row]))
        })
        .collect()
}

#[test]
fn a_run_decides_as_packets_one_after_the_other_do() {
    let scenario = custom(EVERY_KIND, &["requests=40000", "report.timeline_rows_per_host=16777216"]);
    let outcome = run(&scenario);
    let expected = assert_decided_one_by_one(&scenario, &Windows::new(), &outcome);
    let total: u64 = expected.values().map(|counts| counts.packets).sum();
    let summary = &outcome.summary;
    assert!(total > 10_000, "{total} packets are more than a batch");
    assert_eq!(summary.escapes_total, total);
    assert_eq!(summary.escapes_allowed + summary.escapes_denied, total);
    assert_eq!(summary.kmd_exposed, expected.values().map(|counts| counts.exposed).sum::<u64>());
    assert_eq!(numbers(&outcome.tenants, "escapes_total").iter().sum::<u64>(), total);
    assert_eq!(numbers(&outcome.tenants, "escapes_denied").iter().sum::<u64>(), summary.escapes_denied);
    assert_eq!(numbers(&outcome.tenants, "kmd_exposed").iter().sum::<u64>(), summary.kmd_exposed);
    let stalls: u64 = stalls_of(&outcome).values().map(|of| of.len() as u64).sum();
    assert_eq!(summary.escape_stalls, stalls);
    // Hardly a reason is missing.
    let reasons: std::collections::BTreeSet<_> = expected.keys().map(|key| &key[4]).collect();
    assert_eq!(reasons.len(), 15, "{reasons:?}");
}

#[test]
fn a_warm_up_is_left_out() {
    let scenario = custom(EVERY_KIND, &["warmup_us=900"]);
    let whole = run(&custom(EVERY_KIND, &[]));
    let warm = run(&scenario);
    let sent_before: u64 = {
        let plan = scenario.plan();
        let of_vf = |(host, vf)| {
            let tenant = (plan.tenants)(HostIndex(host), VfIndex(vf));
            let mut source = tenant.escapes.expect("every tenant sends");
            let mut sent = 0;
            while source.peek().is_some_and(|time| time < Picoseconds::from_us(900)) {
                source.emit(&mut Vec::new());
                sent += 1;
            }
            sent
        };
        (0..2).flat_map(|host| (0..10).map(move |vf| (host, vf))).map(of_vf).sum()
    };
    assert!(sent_before > 100);
    assert_eq!(warm.summary.escapes_total, whole.summary.escapes_total - sent_before);
}

/// None of the packets can touch hardware.
const HARDLESS: [&str; 3] = [
    "tenants.normal.escapes.mix.hardware_access=0",
    "tenants.normal.escapes.mix.spoofed_flags=0",
    "tenants.normal.escapes.mix.random=0",
];

#[test]
fn escapes_that_leave_hardware_alone_change_no_dma_and_dmas_no_escape() {
    let with = run(&custom(EVERY_KIND, &HARDLESS));
    let mut silent = custom(EVERY_KIND, &HARDLESS);
    silent.tenants.iter_mut().for_each(|class| class.escapes = None);
    let without = run(&silent);
    for name in ["dma_translated", "latency_mean_ns", "latency_max_ns", "iotlb_hits", "walks"] {
        let of = |outcome: &Outcome| values(&std::iter::once(outcome.summary.clone()).collect(), name);
        assert_eq!(of(&with), of(&without), "{name}");
    }
    assert_eq!(with.windows, without.windows);
    assert!(without.escapes.is_empty());
    // As many adapters behind one IOMMU or two.
    let apart = run(&custom(EVERY_KIND, &[&HARDLESS[..], &["topology.iommus_per_host=2"]].concat()));
    assert_eq!(apart.escapes, with.escapes);
}

#[test]
fn what_reaches_the_driver_is_what_the_kind_of_vm_allows() {
    let outcome = run(&builtin("secure-vms", &["requests=100000"]));
    let rows = by_key(&outcome);
    let exposed = |class: &str, escape: &str| -> u64 {
        rows.iter()
            .filter(|(key, _)| key[0] == class && key[2] == escape)
            .map(|(_, (counts, _))| counts.exposed)
            .sum()
    };
    assert!(exposed("normal", "conventional") > 0 && exposed("normal", "common") > 0);
    assert_eq!(exposed("sandbox", "conventional"), 0, "conventional escapes are disabled");
    assert!(exposed("sandbox", "common") > 0, "common ones are not");
    for escape in ["known", "common", "conventional", "test", "malformed", "ambiguous"] {
        assert_eq!(exposed("secure", escape), 0, "{escape}");
    }
    let allowed = rows.keys().filter(|key| key[0] == "secure" && key[3] == "allow").map(|key| &key[4]);
    assert_eq!(allowed.collect::<Vec<_>>(), ["known"], "all that a secure VM may send");
}

#[test]
fn a_flood_costs_its_victims_their_time_and_a_secure_flood_exposes_nothing() {
    let latency = |changes: &[&str]| {
        let outcome = run(&builtin("escape-flood", &[&["requests=32000"], changes].concat()));
        let rows = by_key(&outcome);
        let of_victims = rows.iter().filter(|(key, _)| key[0] == "victim" && key[3] == "allow");
        let (packets, sum) = of_victims.fold((0, 0.0), |(packets, sum), (_, (counts, mean))| {
            (packets + counts.packets, sum + counts.packets as f64 * mean)
        });
        (sum / packets as f64, outcome.summary)
    };
    let (flooded, summary) = latency(&[]);
    let (quiet, _) = latency(&["tenants.flood.escapes.packets_per_s=1000"]);
    let (secured, secure) = latency(&["tenants.flood.vm.kind=secure"]);
    assert!(flooded > 5.0 * quiet, "{flooded} ns for {quiet}");
    assert!(
        secured > 2.0 * quiet && secured < flooded,
        "{secured} ns: the filter is as busy, the driver is not"
    );
    assert!(summary.kmd_exposed > 1_000 && summary.escape_stalls > 0);
    assert_eq!((secure.kmd_exposed, secure.escape_stalls), (0, 0));
}

/// Who is admitted, by the columns of the tenants.
fn admissions(outcome: &Outcome) -> BTreeMap<(String, String), u64> {
    let mut found = BTreeMap::new();
    let classes = texts(&outcome.tenants, "class").into_iter().zip(names(&outcome.tenants, "admission"));
    let owned = classes.map(|(class, admission)| (class, admission.to_owned()));
    owned.for_each(|key| *found.entry(key).or_default() += 1);
    found
}

#[test]
fn a_secure_vm_that_is_not_isolated_gets_nothing() {
    for (changes, reason) in [
        (&["admission.iommu_isolation=false"][..], "capabilities_disagree"),
        (&["admission.vidmm_secure_mode=false"], "capabilities_disagree"),
        (&["admission.vidmm_secure_mode=false", "admission.iommu_isolation=false"], "not_supported"),
        (&["iommu.mode=off"], "no_iommu"),
        (&["iommu.mode=passthrough"], "passthrough"),
        (&["tenants.secure.attached=false"], "not_attached"),
        (
            &["tenants.secure.attached=false", "tenants.secure.attach_error=already_attached"],
            "already_attached",
        ),
        (
            &["tenants.secure.attached=false", "tenants.secure.attach_error=type_not_allowed"],
            "type_not_allowed",
        ),
        (
            &["tenants.secure.attached=false", "tenants.secure.attach_error=out_of_resources"],
            "out_of_resources",
        ),
    ] {
        let outcome = run(&builtin("secure-vms", &[&["requests=20000"], changes].concat()));
        let text = |class: &str, admission: &str| (class.to_owned(), admission.to_owned());
        let expected = [
            (text("host", "admitted"), 1),
            (text("normal", "admitted"), 12),
            (text("sandbox", "admitted"), 1),
            (text("secure", reason), 2),
        ];
        assert_eq!(admissions(&outcome), BTreeMap::from(expected), "{changes:?}");
        assert_eq!(outcome.summary.vms_refused, 2);
        assert_eq!(names(&outcome.timeline, "detail")[..2], [reason, reason]);
        assert_eq!(names(&outcome.timeline, "kind")[..2], ["admission", "admission"]);
        let secure =
            texts(&outcome.tenants, "class").into_iter().zip(0..).filter(|(class, _)| class == "secure");
        for (_, row) in secure {
            for column in ["dma_total", "dma_blocked", "escapes_total"] {
                assert_eq!(numbers(&outcome.tenants, column)[row], 0, "{changes:?}: {column}");
            }
        }
        // What was planned for them is not intended.
        assert_eq!(outcome.summary.dma_total, 20_000 * 14 / 16);
        assert_eq!(outcome.breach, None);
    }
}

#[test]
fn isolation_that_is_required_holds_for_every_tenant() {
    let refused = |changes: &[&str]| {
        let required = ["requests=20000", "admission.isolation_required=true"];
        let outcome = run(&builtin("secure-vms", &[&required, changes].concat()));
        assert_eq!(outcome.timeline.len() as u64, outcome.summary.vfs, "each is a row of the timeline");
        outcome.summary.vms_refused
    };
    assert_eq!(refused(&[]), 0);
    assert_eq!(refused(&["iommu.mode=off"]), 16);
    assert_eq!(refused(&["tenants.normal.attached=false"]), 12);
    assert_eq!(refused(&["admission.iommu_isolation=false"]), 2, "a normal VM needs no capability");
}

#[test]
fn a_tenant_that_is_refused_changes_nothing_for_the_others() {
    let changes =
        ["requests=20000", "tenants.secure.attached=false", "tenants.secure.arrivals.mops_per_vf=0.000001"];
    let refused = run(&builtin("secure-vms", &changes));
    let mut silent = builtin("secure-vms", &changes);
    silent.tenants.iter_mut().filter(|class| class.name == "secure").for_each(|class| {
        class.vm.kind = portcullis_engine::topology::VmKind::Normal;
        class.escapes = None;
    });
    let absent = run(&silent);
    assert_eq!(refused.summary.vms_refused, 2);
    assert_eq!(refused.windows, absent.windows);
    for column in ["latency_mean_ns", "iotlb_hits"] {
        assert_eq!(values(&refused.tenants, column)[..12], values(&absent.tenants, column)[..12]);
    }
}

/// A VM whose VF could not be attached, and who needs no isolation, keeps it: its DMAs are blocked, and its row says why.
#[test]
fn who_could_not_be_attached_is_told_why() {
    let changes = ["tenants.normal.attached=false", "tenants.normal.attach_error=out_of_resources"];
    let outcome = run(&builtin("secure-vms", &[&["requests=20000"][..], &changes].concat()));
    let at = outcome.tenants.fields.iter().position(|field| field.name == "attach_error").expect("a column");
    let Column::OptionalName(errors) = &outcome.tenants.columns[at] else { panic!("errors are names") };
    let blocked = numbers(&outcome.tenants, "dma_blocked");
    for ((class, error), blocked) in texts(&outcome.tenants, "class").into_iter().zip(errors).zip(blocked) {
        let expected = (class == "normal").then_some("out_of_resources");
        assert_eq!((*error, blocked > 0), (expected, class == "normal"), "{class}");
    }
    let timeline = names(&outcome.timeline, "kind").into_iter().zip(names(&outcome.timeline, "detail"));
    let told = timeline.filter(|(kind, _)| *kind == "attach").map(|(_, detail)| detail);
    assert_eq!(told.collect::<Vec<_>>(), ["out_of_resources"; 12]);
}

/// One VM that now and then sends an escape which touches hardware, beside two that only read, one at a time, from a memory that
/// takes forty microseconds.
const HARDWARE: &str = r#"
name = "hardware"
requests = 6000
[topology]
vfs_per_adapter = 3
[memory]
read_ns = 40_000.0
[escape]
hardware_access_us = 70
driver_us = 0
[silence]
suspend_us = 3
resume_us = 7
[[tenants]]
name = "hostile"
count = 1
arrivals = { mops_per_vf = 0.0001 }
escapes = { packets_per_s = 1500, mix = { hardware_access = 1 } }
[[tenants]]
name = "victim"
read_share = 1.0
sizes = 64
arrivals = { kind = "closed", outstanding = 1, think_ns = 1_000 }
"#;

/// An allowed escape that touches hardware has the adapter for itself: nothing leaves from the first instant of its stall to the
/// last, nothing is under way while it is in the driver, and what it cost whom is in the columns.
#[test]
fn an_escape_that_touches_hardware_stalls_its_adapter() {
    let outcome = run_logged(&custom(HARDWARE, &[]));
    let (mut stalls, mut first) = (Vec::new(), 0);
    for (place, phase, begin, end) in stall_phases(&outcome) {
        assert_eq!(place.2, 0, "the hostile VM's");
        match phase {
            "scheduler_suspended" => {
                assert_eq!(end - begin, 3_000_000);
                first = begin;
            }
            "draining" => {
                // A read takes its time on the link and some forty microseconds of memory, and began before.
                assert!(end - begin <= 41_000_000, "{}", end - begin);
            }
            "in_driver" => {
                assert_eq!(end - begin, 70_000_000);
                stalls.push((first, begin, end, end + 7_000_000));
            }
            "resuming" => assert_eq!(end - begin, 7_000_000),
            other => assert_eq!(other, "waiting"),
        }
    }
    assert!(stalls.len() > 50, "{} stalls", stalls.len());
    let mut drained_late = 0;
    for &(from, begin, end, resumed) in &stalls {
        drained_late += u64::from(begin > from + 3_000_000);
        for dma in log(&outcome) {
            let held = dma.issued_ps >= from && dma.issued_ps < resumed;
            assert!(!held, "a DMA left at {} in {from}..{resumed}", dma.issued_ps);
            assert!(dma.completed_ps <= begin || dma.issued_ps >= end, "{dma:?} in {begin}..{end}");
        }
    }
    assert!(drained_late > 20, "{drained_late} had to drain");
    let total: u64 = stalls.iter().map(|(from, .., resumed)| resumed - from).sum();
    let column = |name: &str| values(&outcome.tenants, name);
    assert_eq!(numbers(&outcome.tenants, "escape_stalls"), [stalls.len() as u64, 0, 0]);
    let total_ns = total as f64 / 1e3;
    for (name, expected) in
        [("escape_stall_ns", [total_ns, 0.0, 0.0]), ("escape_stalled_ns", [0.0, total_ns, total_ns])]
    {
        column(name)
            .into_iter()
            .zip(expected)
            .for_each(|(found, expected)| assert_same(name, found, expected));
    }
    assert_same("summary", outcome.summary.escape_stall_ns, total_ns);
    assert!(outcome.summary.dma_held > 50 && outcome.summary.silence_ns == 0.0, "{:?}", outcome.summary);
    assert!(column("availability").iter().all(|availability| *availability < 0.95));
    // The same packets, and none of them may touch hardware: nobody is stalled, and the reads take their time.
    let calm = run(&custom(HARDWARE, &["tenants.hostile.vm.kind=secure"])).summary;
    assert_eq!((calm.escape_stalls, calm.dma_held, calm.availability), (0, 0, 1.0));
    assert!(calm.latency_max_ns < 42_000.0 && outcome.summary.latency_max_ns > 110_000.0);
}

/// What cannot go with stalls is refused, in one sentence that names the key.
#[test]
fn what_does_not_go_with_stalls_is_refused() {
    let switched = "switches.schedule=periodic";
    for (changes, key) in [
        (&[switched, "silence.scope=vf"][..], "silence.scope"),
        (&[switched, "silence.mode=atomic_replace"], "silence.mode"),
        (&[switched, "silence.mode=unsafe", "silence.skip=[\"suspend\"]"], "silence.skip"),
        (&["host.on_fault=bugcheck"], "host.on_fault"),
    ] {
        let refused = |mix: &[&str]| {
            let all = [changes, mix].concat();
            Scenario::parse("test", HARDWARE, &crate::support::overrides(&all)).err()
        };
        let error = refused(&[]).expect("it is refused").to_string();
        assert!(error.contains(key) && error.contains("touch hardware"), "{error}");
        // Where no packet may touch hardware it is not.
        let mix = ["tenants.hostile.escapes.mix={ common = 1 }", "host.on_switch_fault=record"];
        let other = refused(&mix).map(|error| error.to_string()).unwrap_or_default();
        assert!(!other.contains("touch hardware"), "{other}");
    }
}
