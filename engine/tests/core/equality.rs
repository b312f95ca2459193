//! The engine equals the reference, and does not depend on how its work is cut.

use std::collections::BTreeSet;

use portcullis_engine::attribution::Cause;
use portcullis_engine::request::Fault;
use portcullis_engine::table::Column;
use proptest::prelude::*;

use crate::case::{Case, EscapeKind, case};
use crate::causes::{Evictions, Missed, Split};
use crate::engine::{Outcome, domains, numbers, picoseconds, plan, run, tenant_sum};
use crate::reference::vms::{down_ps, without_what_nobody_intends};
use crate::reference::{Counters, Decided, EscapeCounts, Fate, Reference, Rule};

/// What the reference says of a case, with one rule broken or none: an IOMMU at a time.
pub fn reference(case: &Case, broken: Option<Rule>) -> (Vec<Vec<Fate>>, Counters) {
    let (mut fates, mut counters) = (Vec::new(), Counters::default());
    for (of_iommu, domains) in case.iommus().iter().zip(domains(case)) {
        let of_iommu = &without_what_nobody_intends(of_iommu, broken);
        let (more, mut counted) = Reference::new(of_iommu, domains, broken).run();
        // Availability is a matter of each IOMMU's own time.
        let end = more.iter().flatten().map(|fate| fate.completed).max().unwrap_or(0).max(case.warm_up_ps);
        let stops = counted
            .stops
            .drain(..)
            .map(|(start, stop)| stop.clamp(case.warm_up_ps, end) - start.clamp(case.warm_up_ps, end));
        counted.unavailable_ps = stops.sum();
        let slices: Vec<_> = counted.slices_had.drain(..).filter(|(began, _)| *began < end).collect();
        counted.slices = slices.len() as u64;
        counted.slices_used = slices.iter().filter(|(_, used)| *used).count() as u64;
        counted.vm_down_ps = down_ps(of_iommu, (case.warm_up_ps, end));
        fates.extend(more);
        counters.add(&counted);
    }
    // Commands after the last completion are no part of the simulated time, nor are those of the warm-up.
    let last = fates.iter().flatten().map(|fate| fate.completed).max().unwrap_or(0);
    let counted = |time: u64| time.max(case.warm_up_ps).min(last.max(case.warm_up_ps));
    let busy = counters.commands.drain(..).map(|(start, end)| counted(end) - counted(start));
    counters.invalidation_busy_ps = busy.sum();
    (fates, counters)
}

/// Time in which VFs could send nothing, from their availabilities and the time of the IOMMU of each.
fn unavailable_ps(case: &Case, outcome: &Outcome, fates: &[Vec<Fate>]) -> u64 {
    let at = outcome.tenants.fields.iter().position(|field| field.name == "availability").expect("a column");
    let Column::F64(availabilities) = &outcome.tenants.columns[at] else { panic!("they are numbers") };
    let iommus = numbers(&outcome.tenants, "iommu");
    let ends = |iommu: u64| {
        let of_iommu = fates.iter().zip(&iommus).filter(|(_, of)| **of == iommu);
        of_iommu.flat_map(|(fates, _)| fates.iter().map(|fate| fate.completed)).max().unwrap_or(0)
    };
    let of_vf = |(availability, iommu): (&f64, &u64)| {
        let counted = ends(*iommu).saturating_sub(case.warm_up_ps);
        ((1.0 - availability) * counted as f64).round() as u64
    };
    availabilities.iter().zip(&iommus).map(of_vf).sum()
}

/// Every request's fate as the engine logged it, by VF and sequence.
fn fates(case: &Case, outcome: &Outcome) -> Vec<Vec<Option<Fate>>> {
    let mut fates: Vec<Vec<Option<Fate>>> =
        case.traffic.iter().map(|intents| vec![None; intents.len()]).collect();
    let column = |name: &str| numbers(&outcome.requests, name);
    let (adapter, vf, sequence) = (column("adapter"), column("vf"), column("sequence"));
    let (intended, issued, translated, completed) =
        (column("intended_ps"), column("issued_ps"), column("translated_ps"), column("completed_ps"));
    let (pa, fault_iova) = (column("pa"), column("fault_iova"));
    let (hits, misses, stale) = (column("iotlb_hits"), column("iotlb_misses"), column("stale"));
    let at = outcome.requests.fields.iter().position(|field| field.name == "outcome").expect("a column");
    let Column::Name(outcomes) = &outcome.requests.columns[at] else { panic!("outcomes are names") };
    let aborted: Vec<_> = outcomes.iter().map(|outcome| *outcome == "aborted").collect();
    let waits = Cause::ALL.map(|cause| column(&format!("{}_ps", cause.name())));
    assert!(waits.iter().flatten().all(|time| (*time < u64::MAX) == case.attribution), "where asked for");
    let split_of = |row: usize| waits.each_ref().map(|waits| if case.attribution { waits[row] } else { 0 });
    let at = outcome.requests.fields.iter().position(|field| field.name == "fault").expect("a column");
    let Column::OptionalName(fault) = &outcome.requests.columns[at] else { panic!("faults are names") };
    let at = outcome.requests.fields.iter().position(|field| field.name == "device_tlb").expect("a column");
    let Column::OptionalName(device_tlb) = &outcome.requests.columns[at] else { panic!("they are names") };
    for row in 0..outcome.requests.len() {
        let index = adapter[row] * u64::from(case.machine.topology.vfs_per_adapter) + vf[row];
        let fault =
            fault[row].map(|name| *Fault::ALL.iter().find(|fault| fault.name() == name).expect("known"));
        let fate = Fate {
            intended: intended[row],
            issued: issued[row],
            translated: translated[row],
            completed: completed[row],
            fault,
            address: if fault.is_some() { fault_iova[row] } else { pa[row] },
            hits: hits[row],
            misses: misses[row],
            joined: 0,
            stale: stale[row] > 0,
            device_tlb: device_tlb[row],
            split: split_of(row),
            missed: Missed::default(),
            lost: false,
            never: false,
            aborted: aborted[row],
            over: 0,
        };
        let place = &mut fates[index as usize][sequence[row] as usize];
        assert_eq!(*place, None, "a request is logged once");
        *place = Some(fate);
    }
    fates
}

/// The first difference between the engine's outcome and the reference's, in words.
pub fn difference(case: &Case, outcome: &Outcome, expected: &(Vec<Vec<Fate>>, Counters)) -> Option<String> {
    let (expected_fates, expected_counters) = expected;
    let all = || expected_fates.iter().flatten().filter(|fate| !fate.never);
    let counted = || all().filter(|fate| fate.intended >= case.warm_up_ps);
    let done = || counted().filter(|fate| !fate.aborted);
    let joined: u64 = done().map(|fate| fate.joined).sum();
    let differing =
        expected_fates.iter().zip(fates(case, outcome)).enumerate().flat_map(|(vf, (there, here))| {
            // What never left was never looked up, and is not in the log.
            let told = |fate: &Fate| {
                (!fate.lost).then_some(Fate { joined: 0, missed: Missed::default(), over: 0, ..*fate })
            };
            let pairs = there.iter().map(told).zip(here).enumerate();
            pairs.map(move |(number, (there, here))| (vf, number, there, here)).collect::<Vec<_>>()
        });
    // The one issued first is the most telling.
    let first = differing
        .filter(|(_, _, there, here)| there != here)
        .min_by_key(|(_, _, there, here)| there.or(*here).map(|fate| fate.issued));
    if let Some((vf, number, there, here)) = first {
        return Some(format!("VF {vf}, request {number}: {}", differing_lines(&there, &here)));
    }
    let summary = &outcome.summary;
    let stale_counted = counted().filter(|fate| fate.stale).count() as u64;
    let span = all().map(|fate| fate.completed).max().unwrap_or(0).saturating_sub(case.warm_up_ps);
    let of_time = |share: f64, servers: u32| {
        // A share of time, back in whole picoseconds.
        (share * f64::from(servers) * span as f64).round() as u64
    };
    let topology = &case.machine.topology;
    let counters = Counters {
        uplink_busy_ps: of_time(summary.upstream_utilisation, topology.adapters_per_host),
        downlink_busy_ps: of_time(summary.downstream_utilisation, topology.adapters_per_host),
        walker_busy_ps: of_time(
            summary.walker_utilisation,
            topology.iommus_per_host * case.machine.iommu.walkers.count,
        ),
        walk_wait_ps: (summary.walk_wait_mean_ns * 1e3 * summary.walks as f64).round() as u64,
        stall_ps: (summary.walker_stall_ns * 1e3).round() as u64,
        walks: summary.walks,
        walks_faulted: summary.walks_faulted,
        walk_accesses: summary.walk_accesses,
        walk_cache_hits: [
            summary.walk_cache_l2_hits,
            summary.walk_cache_l3_hits,
            summary.walk_cache_l4_hits,
            summary.walk_cache_l5_hits,
        ],
        walk_cache_misses: [
            summary.walk_cache_l2_misses,
            summary.walk_cache_l3_misses,
            summary.walk_cache_l4_misses,
            summary.walk_cache_l5_misses,
        ],
        evictions: summary.iotlb_evictions,
        queue_stalls: summary.walker_queue_stalls,
        source_stalls: summary.dma_source_stalled,
        faults_recorded: summary.faults_recorded,
        faults_lost: summary.faults_lost,
        unmaps: summary.unmaps,
        unmap_wait_ps: (summary.unmap_wait_mean_ns * summary.unmaps as f64 * 1e3).round() as u64,
        unmap_wait_max_ps: (summary.unmap_wait_max_ns * 1e3).round() as u64,
        invalidations: summary.invalidations,
        flushes: summary.invalidation_flushes,
        invalidated: summary.iotlb_invalidated,
        exposure_ps: (summary.exposure_frame_us * 1e6).round() as u64,
        overrun: summary.stale_total - stale_counted,
        // The last unmap may come after the last completion, and a share of no time says nothing.
        invalidation_busy_ps: if span == 0 {
            expected_counters.invalidation_busy_ps
        } else {
            of_time(summary.invalidation_queue_utilisation, topology.iommus_per_host)
        },
        invalidation_wait_ps: (summary.invalidation_wait_mean_ns * 1e3 * summary.invalidations as f64).round()
            as u64,
        evicted: evicted(case, outcome),
        switches: summary.switches,
        switch_ps: (summary.switch_mean_ns * summary.switches as f64 * 1e3).round() as u64,
        switch_faults: summary.switch_faults,
        switches_refused: summary.switches_refused,
        switches_aborted: summary.switches_aborted,
        switches_failed: summary.switches_failed,
        aborted: summary.dma_aborted,
        bug_checks: summary.bug_checks,
        starved: summary.dma_starved,
        lost_wait_ps: (summary.lost_wait_mean_ns * counted().filter(|fate| fate.lost).count() as f64 * 1e3)
            .round() as u64,
        held: summary.dma_held,
        forged_foreign: summary.forged_foreign,
        held_ps: (summary.held_mean_ns * summary.dma_held as f64 * 1e3).round() as u64,
        held_latency_ps: (summary.disturbed_mean_ns * expected_counters.held_over as f64 * 1e3).round()
            as u64,
        held_over: expected_counters.held_over,
        recovering: summary.dma_recovering,
        recovering_ps: (summary.recovering_mean_ns * summary.dma_recovering as f64 * 1e3).round() as u64,
        // How many they are is not told: it follows from the mean, where there is one.
        recoveries: expected_counters.recoveries,
        recovery_ps: (summary.recovery_mean_ns * expected_counters.recoveries as f64 * 1e3).round() as u64,
        recovery_max_ps: (summary.recovery_max_ns * 1e3).round() as u64,
        slices_had: Vec::new(),
        slices: summary.slices,
        slices_used: summary.slices_used,
        slice_sent: expected_counters.slice_sent,
        slice_wait_ps: (summary.slice_wait_mean_ns * expected_counters.slice_sent as f64 * 1e3).round()
            as u64,
        vm_starts: summary.vm_starts,
        vm_start_ps: (summary.vm_start_mean_ns * summary.vm_starts as f64 * 1e3).round() as u64,
        vm_stops: summary.vm_stops,
        vm_migrations: summary.vm_migrations,
        blackout_ps: (summary.blackout_mean_ns * summary.vm_migrations as f64 * 1e3).round() as u64,
        blackout_max_ps: (summary.blackout_max_ns * 1e3).round() as u64,
        vm_down_ps: (summary.vm_down_ns * 1e3).round() as u64,
        escapes: escapes(case, outcome),
        stops: Vec::new(),
        unavailable_ps: unavailable_ps(case, outcome, expected_fates),
        commands: Vec::new(),
    };
    if counters != *expected_counters {
        return Some(differing_lines(expected_counters, &counters));
    }
    let left_out = (all().count() - counted().count()) as u64;
    if (summary.dma_total, summary.dma_warmup) != (counted().count() as u64, left_out) {
        return Some(format!("{} DMAs count, {} do not", summary.dma_total, summary.dma_warmup));
    }
    let looked_up = |name| counted().filter(|fate| fate.device_tlb == Some(name)).count() as u64;
    let in_device_tlbs =
        (summary.device_tlb_hits, summary.device_tlb_misses, summary.device_tlb_misses_joined);
    if in_device_tlbs != (looked_up("hit"), looked_up("miss") + looked_up("joined"), looked_up("joined")) {
        return Some(format!("in device TLBs: {in_device_tlbs:?}"));
    }
    if summary.forged != looked_up("forged") {
        return Some(format!("{} were forged, of {}", looked_up("forged"), summary.forged));
    }
    if tenant_sum(outcome, "iotlb_misses_joined") != joined {
        return Some("misses joined differ".to_owned());
    }
    difference_of_levels(case, outcome, expected_fates)
        .or_else(|| difference_of_causes(case, outcome, expected_fates))
}

/// What escapes came to, as the engine tells.
fn escapes(case: &Case, outcome: &Outcome) -> EscapeCounts {
    let decided = outcome.escapes.iter().map(|row| {
        let class = case.class_names().iter().position(|name| *name == row.class).expect("a class");
        let kind = match (row.decision, row.escape_class) {
            ("deny", _) => EscapeKind::Denied,
            (_, "common") => EscapeKind::Allowed,
            _ => EscapeKind::Hardware,
        };
        let decided = Decided {
            packets: row.packets,
            deferred: row.deferred,
            latency_ps: (row.latency_mean_ns * row.packets as f64 * 1e3).round() as u64,
            latency_max_ps: (row.latency_max_ns * 1e3).round() as u64,
        };
        ((class, kind), decided)
    });
    let stalls = numbers(&outcome.tenants, "escape_stalls");
    let [own, others] =
        ["escape_stall_ns", "escape_stalled_ns"].map(|name| picoseconds(&outcome.tenants, name));
    assert_eq!(outcome.summary.escape_stalls, stalls.iter().sum::<u64>());
    EscapeCounts {
        decided: decided.collect(),
        stalls: stalls
            .into_iter()
            .zip(own)
            .zip(others)
            .map(|((count, own), others)| (count, own, others))
            .collect(),
    }
}

/// Whether the levels at all instants are those of the requests, counted one by one.
fn difference_of_levels(case: &Case, outcome: &Outcome, fates: &[Vec<Fate>]) -> Option<String> {
    let plan = plan(case, 1);
    let step = plan.expected_duration.0.div_ceil(u64::from(plan.report.levels)).max(1);
    let spans = |fate: &Fate| {
        [fate.intended, if fate.lost { fate.over } else { fate.issued.min(fate.over) }, fate.over]
    };
    let mut expected = Vec::new();
    let each = case.machine.topology.vfs_per_adapter as usize;
    for (of_adapter, adapter) in fates.chunks(each).zip(0_u64..) {
        let spans: Vec<_> = of_adapter.iter().flatten().filter(|fate| !fate.never).map(spans).collect();
        let instants: BTreeSet<_> = spans.iter().flatten().map(|time| time.div_ceil(step)).collect();
        let mut before = (0, 0);
        for time in instants.into_iter().map(|instant| instant * step) {
            let at_time = |from: usize| {
                spans.iter().filter(|of| of[from] <= time && time < of[from + 1]).count() as u64
            };
            let now = (at_time(0), at_time(1));
            if now != before {
                expected.push((adapter, time, now.0, now.1));
            }
            before = now;
        }
    }
    let column = |name: &str| numbers(&outcome.levels, name);
    let [adapters, times, backlogs, in_flight] = ["adapter", "time_ps", "backlog", "in_flight"].map(column);
    let found = adapters.into_iter().zip(times).zip(backlogs).zip(in_flight);
    let found: Vec<_> =
        found.map(|(((adapter, time), backlog), flight)| (adapter, time, backlog, flight)).collect();
    let differs = (0..found.len().max(expected.len())).find(|at| found.get(*at) != expected.get(*at));
    differs.map(|at| {
        format!("levels from row {at} on: reference {:?}, engine {:?}", expected.get(at), found.get(at))
    })
}

/// The lines in which two things differ.
fn differing_lines(reference: &impl core::fmt::Debug, engine: &impl core::fmt::Debug) -> String {
    let (reference, engine) = (format!("{reference:#?}"), format!("{engine:#?}"));
    let differing = reference.lines().zip(engine.lines()).filter(|(there, here)| there != here);
    let told = differing.map(|(there, here)| format!("reference {}, engine {}", there.trim(), here.trim()));
    told.collect::<Vec<_>>().join("; ")
}

/// Evictions by class, as the engine tells.
fn evicted(case: &Case, outcome: &Outcome) -> Evictions {
    let (counts, classes) = (numbers(&outcome.evictions, "evictions"), case.classes.len());
    assert_eq!(counts.len(), if case.miss_causes { classes * classes } else { 0 }, "a row for each pair");
    let mut evictions = Evictions::default();
    for (at, count) in counts.into_iter().enumerate() {
        evictions[at / classes][at % classes] = count;
    }
    evictions
}

/// What differs in what is told of causes, VF by VF.
fn difference_of_causes(case: &Case, outcome: &Outcome, expected: &[Vec<Fate>]) -> Option<String> {
    let sums = numbers(&outcome.attribution, "latency_sum_ps");
    let misses = ["cold", "capacity", "conflict", "invalidation"]
        .map(|cause| numbers(&outcome.tenants, &format!("iotlb_misses_{cause}")));
    for (vf, fates) in expected.iter().enumerate() {
        let counted = || fates.iter().filter(|fate| fate.intended >= case.warm_up_ps && !fate.lost);
        if case.attribution {
            let of_vf = &sums[vf * Cause::ALL.len()..][..Cause::ALL.len()];
            let there = counted().fold(Split::default(), |sums, fate| add(sums, fate.split));
            let latency: u64 = counted().map(|fate| fate.completed - fate.intended).sum();
            if of_vf != there || of_vf.iter().sum::<u64>() != latency {
                return Some(format!(
                    "VF {vf}: time by cause {there:?}, engine {of_vf:?}, latency {latency}"
                ));
            }
        }
        let there = counted().fold([0; 4], |sums, fate| add(sums, fate.missed));
        let here = misses.each_ref().map(|misses| misses[vf]);
        let here = if case.miss_causes { here } else { here.map(|count| u64::from(count != u64::MAX)) };
        if here != there {
            return Some(format!("VF {vf}: misses by cause {there:?}, engine {here:?}"));
        }
    }
    None
}

fn add<const N: usize>(mut sums: [u64; N], more: [u64; N]) -> [u64; N] {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    sums
}

/// Cases a property is tried on: `PORTCULLIS_CASES`, or a number that takes seconds.
pub fn cases() -> u32 {
    std::env::var("PORTCULLIS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_equals_the_reference(case in case(), batch in prop_oneof![1u32..40, Just(2_048u32)]) {
        let outcome = run(&case, batch);
        prop_assert_eq!(difference(&case, &outcome, &reference(&case, None)), None);
    }

    #[test]
    fn tables_do_not_depend_on_the_batch(case in case(), small in 1u32..40) {
        prop_assert_eq!(run(&case, small), run(&case, 2_048));
    }
}
