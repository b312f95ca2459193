//! What a run reports of itself equals what its log of requests says, counted by other code.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::Hash;

use portcullis_engine::account::SummaryRow;
use portcullis_engine::table::Table;
use portcullis_workloads::Scenario;

use crate::support::{
    Dma, HOSTILE, Outcome, VfPlace, assert_same, custom, log, mappings_last, names, numbers,
    optional_numbers, run, run_logged, scenarios, values, vf_places, warm_scenarios,
};

/// Columns by their names.
type Columns = BTreeMap<&'static str, f64>;

/// What the tables of tenants and the summary both say of a number of DMAs.
fn recount(dmas: &[Dma]) -> Columns {
    let count = |is: &dyn Fn(&Dma) -> bool| dmas.iter().filter(|dma| is(dma)).count() as f64;
    let sum = |of: &dyn Fn(&Dma) -> u64| dmas.iter().map(of).sum::<u64>() as f64;
    let bytes = |op: &str| sum(&|dma| if dma.op == op && dma.translated() { dma.length } else { 0 });
    let mean_ns =
        |of: fn(&Dma) -> u64| if dmas.is_empty() { 0.0 } else { sum(&of) / 1e3 / dmas.len() as f64 };
    let max_ns = |of: fn(&Dma) -> u64| dmas.iter().map(of).max().unwrap_or(0) as f64 / 1e3;
    let fault = |fault: &str| count(&|dma| dma.fault == Some(fault));
    Columns::from([
        ("dma_total", dmas.len() as f64),
        ("dma_translated", count(&Dma::translated)),
        ("dma_blocked", count(&|dma| !dma.translated())),
        ("dma_reads", count(&|dma| dma.op == "r")),
        ("dma_writes", count(&|dma| dma.op == "w")),
        ("read_bytes", bytes("r")),
        ("write_bytes", bytes("w")),
        ("latency_mean_ns", mean_ns(Dma::latency_ps)),
        ("latency_max_ns", max_ns(Dma::latency_ps)),
        ("service_mean_ns", mean_ns(Dma::service_ps)),
        ("service_max_ns", max_ns(Dma::service_ps)),
        ("iotlb_hits", sum(&|dma| dma.hits)),
        ("iotlb_misses", sum(&|dma| dma.misses)),
        ("blocked_no_context", fault("no_context")),
        ("blocked_bad_length", fault("bad_length")),
        ("blocked_address_overflow", fault("address_overflow")),
        ("blocked_not_mapped", fault("not_mapped")),
        ("blocked_no_permission", fault("no_permission")),
        ("blocked_ats_disabled", fault("ats_disabled")),
    ])
}

/// Holds a row of a table against expected columns.
fn assert_row(what: &str, table: &Table, row: usize, expected: &Columns) {
    for (name, expected) in expected {
        assert_same(&format!("{what}: {name}"), values(table, name)[row], *expected);
    }
}

/// Holds the quantiles of a row against the latencies themselves: buckets are 1 % wide at most.
fn assert_quantiles(what: &str, table: &Table, row: usize, dmas: &[Dma]) {
    let mut latencies: Vec<u64> = dmas.iter().map(|dma| dma.latency_ps() / 1_000).collect();
    latencies.sort_unstable();
    for (name, share) in [("latency_p50_ns", 0.5), ("latency_p99_ns", 0.99), ("latency_p999_ns", 0.999)] {
        let found = numbers(table, name)[row];
        let Some(last) = latencies.len().checked_sub(1) else {
            assert_eq!(found, 0, "{what}: {name} of nothing");
            continue;
        };
        // Whether the share is reached with one more or less is a matter of taste.
        let rank = (share * latencies.len() as f64) as usize;
        let (low, high) = (latencies[rank.saturating_sub(1)], latencies[(rank + 1).min(last)]);
        let within = low <= found && found as f64 <= high as f64 * 1.01 + 1.0;
        assert!(within, "{what}: {name} is {found}, and should lie in {low}..={high}");
    }
}

fn by_vf(dmas: &[Dma]) -> BTreeMap<VfPlace, Vec<Dma>> {
    let mut by_vf: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for dma in dmas {
        by_vf.entry(dma.vf).or_default().push(*dma);
    }
    by_vf.values_mut().for_each(|dmas| dmas.sort_unstable_by_key(|dma| dma.sequence));
    by_vf
}

/// Each scenario's name and outcome, with its log.
fn logged() -> impl Iterator<Item = (&'static str, Outcome, Vec<Dma>)> {
    scenarios().into_iter().map(|(name, scenario)| {
        let outcome = run_logged(&scenario);
        let dmas = log(&outcome);
        (name, outcome, dmas)
    })
}

/// The same and those that are counted only after a warm-up, with what counts of their logs.
fn counted() -> impl Iterator<Item = (&'static str, Outcome, Vec<Dma>)> {
    let warm = warm_scenarios().into_iter().map(|(name, scenario)| {
        let outcome = run_logged(&scenario);
        let mut dmas = log(&outcome);
        let all = dmas.len();
        dmas.retain(|dma| dma.intended_ps >= warm_up_ps(&outcome));
        assert!(dmas.len() > all / 10 && dmas.len() < all * 9 / 10, "{name}: {} of {all}", dmas.len());
        (name, outcome, dmas)
    });
    logged().chain(warm)
}

/// When the counting of a run starts.
fn warm_up_ps(outcome: &Outcome) -> u64 {
    (outcome.summary.warmup_ns * 1e3).round() as u64
}

#[test]
fn the_summary_says_what_the_log_says() {
    for (name, outcome, dmas) in counted() {
        let summary: Table = std::iter::once(outcome.summary.clone()).collect();
        let mut expected = recount(&dmas);
        let all = log(&outcome);
        let simulated_ns = all.iter().map(|dma| dma.completed_ps).max().expect("DMAs") as f64 / 1e3;
        let counted_ns = simulated_ns - outcome.summary.warmup_ns;
        let lookups = expected["iotlb_hits"] + expected["iotlb_misses"];
        expected.extend([
            ("simulated_ns", simulated_ns),
            ("dma_warmup", (all.len() - dmas.len()) as f64),
            ("read_gbps", expected["read_bytes"] * 8.0 / counted_ns),
            ("write_gbps", expected["write_bytes"] * 8.0 / counted_ns),
            ("iotlb_lookups", lookups),
            ("iotlb_hit_ratio", if lookups == 0.0 { 0.0 } else { expected["iotlb_hits"] / lookups }),
        ]);
        assert_row(name, &summary, 0, &expected);
        assert_quantiles(name, &summary, 0, &dmas);
        let fairness = fairness(&all, warm_up_ps(&outcome));
        assert_same(&format!("{name}: fairness"), outcome.summary.fairness_jain, fairness);
    }
}

/// Jain's index of how fast each tenant's requests were done, of how fast it intended them, after the warm-up.
fn fairness(dmas: &[Dma], warm_up_ps: u64) -> f64 {
    let share = |dmas: &Vec<Dma>| {
        let first = dmas.first().expect("a DMA").intended_ps.max(warm_up_ps) as f64;
        let intended = dmas.last().expect("a DMA").intended_ps as f64 - first;
        let done = dmas.iter().map(|dma| dma.completed_ps).max().expect("a DMA") as f64 - first;
        intended / done
    };
    let mut by_vf = by_vf(dmas);
    by_vf.retain(|_, dmas| dmas.last().expect("a DMA").intended_ps >= warm_up_ps);
    let shares: Vec<f64> = by_vf.values().map(share).collect();
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|share| share * share).sum::<f64>());
    if squares == 0.0 { 1.0 } else { sum * sum / (squares * shares.len() as f64) }
}

#[test]
fn each_tenant_is_told_what_the_log_says_of_it() {
    for (name, outcome, dmas) in counted() {
        let mut all = by_vf(&log(&outcome));
        let mut by_vf = by_vf(&dmas);
        for (row, vf) in vf_places(&outcome.tenants).into_iter().enumerate() {
            let dmas = by_vf.remove(&vf).unwrap_or_default();
            let all = all.remove(&vf).unwrap_or_default();
            let mut expected = recount(&dmas);
            expected.insert("dma_warmup", (all.len() - dmas.len()) as f64);
            if let Some(last) = dmas.iter().map(|dma| dma.completed_ps).max() {
                let first = all[0].intended_ps.max(warm_up_ps(&outcome));
                let span_ns = (last - first) as f64 / 1e3;
                let bytes = expected["read_bytes"] + expected["write_bytes"];
                expected.insert("throughput_gbps", bytes * 8.0 / span_ns);
            }
            let what = format!("{name}, {vf:?}");
            assert_row(&what, &outcome.tenants, row, &expected);
            assert_quantiles(&what, &outcome.tenants, row, &dmas);
        }
        assert!(by_vf.is_empty(), "{name}: every VF has a row");
    }
}

#[test]
fn tenants_add_up_to_the_summary() {
    for (name, outcome, _) in counted() {
        let summary: Table = std::iter::once(outcome.summary.clone()).collect();
        let added = [
            "dma_total",
            "dma_warmup",
            "dma_translated",
            "dma_blocked",
            "dma_reads",
            "dma_writes",
            "read_bytes",
            "write_bytes",
            "dma_source_stalled",
            "iotlb_hits",
            "iotlb_misses",
            "iotlb_misses_joined",
            "blocked_no_context",
            "blocked_not_mapped",
            "blocked_no_permission",
            "blocked_ats_disabled",
            "forged",
            "forged_foreign",
        ];
        for column in added {
            let sum: f64 = values(&outcome.tenants, column).iter().sum();
            assert_same(&format!("{name}: {column}"), sum, values(&summary, column)[0]);
        }
        assert_eq!(outcome.tenants.len() as u64, outcome.summary.vfs, "{name}");
        let cross: u64 = numbers(&outcome.tenants, "cross_tenant").iter().sum();
        assert_eq!(cross, outcome.summary.cross_tenant_total, "{name}");
    }
}

#[test]
fn each_miss_starts_a_walk_or_joins_one() {
    for (name, outcome, _) in logged() {
        let summary = &outcome.summary;
        assert_eq!(summary.iotlb_misses, summary.walks + summary.iotlb_misses_joined, "{name}");
        // A walk that faults fills nothing, and nothing is evicted that was not filled.
        assert!(summary.iotlb_evictions + summary.walks_faulted <= summary.walks, "{name}");
        assert!(summary.walks_faulted <= summary.dma_blocked, "{name}");
        assert!(summary.walker_utilisation <= 1.0, "{name}: {}", summary.walker_utilisation);
        assert!(summary.upstream_utilisation <= 1.0, "{name}: {}", summary.upstream_utilisation);
        assert!(summary.downstream_utilisation <= 1.0, "{name}: {}", summary.downstream_utilisation);
    }
}

/// Holds each row of a table of windows against the DMAs that completed in it, of the same `of` as the row's place.
fn assert_windows<Of: Copy + Eq + Hash + Ord + Debug>(
    name: &str,
    windows: &Table,
    places: &[Of],
    dmas: &[Dma],
    of: impl Fn(&Dma) -> Of,
) {
    let number = numbers(windows, "window");
    let [start, end] = ["start_ns", "end_ns"].map(|column| values(windows, column));
    let length_ps = ((end[0] - start[0]) * 1e3).round();
    let mut in_window: HashMap<(u64, Of), Vec<Dma>> = HashMap::new();
    for dma in dmas {
        let window = dma.completed_ps / length_ps as u64;
        in_window.entry((window, of(dma))).or_default().push(*dma);
    }
    for row in 0..windows.len() {
        let what = format!("{name}, window {} of {:?}", number[row], places[row]);
        assert_same(&what, start[row], number[row] as f64 * length_ps / 1e3);
        assert_same(&what, end[row], (number[row] + 1) as f64 * length_ps / 1e3);
        let mut expected = recount(&in_window.remove(&(number[row], places[row])).unwrap_or_default());
        let kept = [
            "dma_translated",
            "dma_blocked",
            "read_bytes",
            "write_bytes",
            "iotlb_hits",
            "iotlb_misses",
            "latency_mean_ns",
            "latency_max_ns",
        ];
        expected.retain(|column, _| kept.contains(column));
        assert_eq!(expected.len(), kept.len());
        assert_row(&what, windows, row, &expected);
    }
    assert!(in_window.is_empty(), "{name}: what completed outside of all windows");
    let order: Vec<_> = number.iter().zip(places).collect();
    assert!(order.is_sorted_by(|one, next| one < next), "{name}: windows come in order, one row each");
}

#[test]
fn each_window_says_what_the_log_says_of_it() {
    for (name, outcome, dmas) in counted() {
        let windows = &outcome.windows;
        let iommus: Vec<(u32, u32)> = numbers(windows, "host")
            .into_iter()
            .zip(numbers(windows, "iommu"))
            .map(|(host, iommu)| (host as u32, iommu as u32))
            .collect();
        assert_windows(name, windows, &iommus, &dmas, |dma| (dma.vf.0, dma.iommu as u32));
        let of_tenants = &outcome.tenant_windows;
        assert_windows(name, of_tenants, &vf_places(of_tenants), &dmas, |dma| dma.vf);
        let summary = &outcome.summary;
        for (column, total) in
            [("dma_translated", summary.dma_translated), ("dma_blocked", summary.dma_blocked)]
        {
            assert_eq!(numbers(windows, column).iter().sum::<u64>(), total, "{name}: {column}");
        }
    }
}

#[test]
fn the_histograms_hold_every_dma_where_it_belongs() {
    for (name, outcome, dmas) in counted() {
        let table = &outcome.latency;
        let (measure, op) = (names(table, "measure"), names(table, "op"));
        let [low, high, count] = ["low_ns", "high_ns", "count"].map(|column| numbers(table, column));
        // Rows of one histogram stand together, in order.
        let mut histograms: HashMap<_, Vec<usize>> = HashMap::new();
        for row in 0..table.len() {
            histograms.entry((measure[row], op[row])).or_default().push(row);
        }
        let mut expected = vec![0; table.len()];
        for dma in &dmas {
            let word = if dma.op == "r" { "read" } else { "write" };
            for (what, ps) in [("latency", dma.latency_ps()), ("service", dma.service_ps())] {
                let ns = ps / 1_000;
                let rows = &histograms[&(what, word)];
                let row = rows[rows.partition_point(|row| low[*row] <= ns) - 1];
                assert!((low[row]..=high[row]).contains(&ns), "{name}: {ns} ns of {dma:?} have no bucket");
                expected[row] += 1;
            }
        }
        assert_eq!(count, expected, "{name}");
    }
}

#[test]
fn the_timeline_shows_faults_that_the_log_knows() {
    let mut shown = 0;
    for (name, outcome, dmas) in logged() {
        let summary = &outcome.summary;
        let timeline = &outcome.timeline;
        assert_eq!(summary.faults_recorded + summary.faults_lost, summary.dma_blocked, "{name}");
        assert_eq!(timeline.len() as u64 + summary.timeline_dropped, summary.faults_recorded, "{name}");
        assert_eq!(summary.fault_overflow, summary.faults_lost > 0, "{name}");
        let mut faults: HashMap<(VfPlace, u64, &str, Option<u64>), u64> = HashMap::new();
        for dma in dmas.iter().filter(|dma| !dma.translated()) {
            let key = (dma.vf, dma.translated_ps, dma.fault.unwrap_or_default(), dma.fault_iova);
            *faults.entry(key).or_default() += 1;
        }
        let (time, detail) = (numbers(timeline, "time_ps"), names(timeline, "detail"));
        let iova = optional_numbers(timeline, "iova");
        for (row, vf) in vf_places(timeline).into_iter().enumerate() {
            let left = faults.get_mut(&(vf, time[row], detail[row], iova[row]));
            let left = left.filter(|left| **left > 0);
            *left.unwrap_or_else(|| panic!("{name}: row {row} is no fault of the log")) -= 1;
        }
        shown += timeline.len();
    }
    assert!(shown > 1_000, "the hostile scenarios fault");
}

/// Otherwise most of what these tests hold true would be true of nothing.
#[test]
fn the_hostile_scenario_is_hard_on_everything() {
    let outcome = run_logged(&custom(HOSTILE, &[]));
    let SummaryRow {
        dma_source_stalled,
        walker_queue_stalls,
        iotlb_misses_joined,
        iotlb_evictions,
        walks_faulted,
        blocked_no_context,
        blocked_not_mapped,
        blocked_no_permission,
        faults_lost,
        timeline_dropped,
        ..
    } = outcome.summary;
    for (what, count) in [
        ("held in the source", dma_source_stalled),
        ("stalled by walkers", walker_queue_stalls),
        ("joined", iotlb_misses_joined),
        ("evicted", iotlb_evictions),
        ("walks faulted", walks_faulted),
        ("no context", blocked_no_context),
        ("not mapped", blocked_not_mapped),
        ("no permission", blocked_no_permission),
        ("fault records lost", faults_lost),
        ("rows of the timeline dropped", timeline_dropped),
        ("over several pages", log(&outcome).iter().filter(|dma| dma.hits + dma.misses > 2).count() as u64),
        (
            "deep in backlog",
            log(&outcome).iter().filter(|dma| dma.issued_ps > dma.intended_ps + 1_000_000).count() as u64,
        ),
    ] {
        assert!(count > 50, "{what}: {count}");
    }
}

/// Little's law: requests under way on average = rate x mean time, on a run that is complete. The
/// left side is an integral over the log, event by event; the right side is the summary's. After a warm-up it
/// holds of the requests that count, over the time after it.
#[test]
fn littles_law_holds() {
    for (name, outcome, dmas) in counted() {
        let summary = &outcome.summary;
        for (what, start, mean_ns) in [
            ("latency", (|dma| dma.intended_ps) as fn(&Dma) -> u64, summary.latency_mean_ns),
            ("service", |dma| dma.issued_ps, summary.service_mean_ns),
        ] {
            let begins = dmas.iter().map(|dma| (start(dma), 1_i64));
            let mut events: Vec<(u64, i64)> =
                begins.chain(dmas.iter().map(|dma| (dma.completed_ps, -1))).collect();
            events.sort_unstable();
            let (mut under_way, mut integral, mut before) = (0_i64, 0_u128, 0);
            for (time, change) in events {
                integral += u128::try_from(under_way).expect("nobody leaves before it comes")
                    * u128::from(time - before);
                (under_way, before) = (under_way + change, time);
            }
            assert_eq!(under_way, 0, "{name}: the run is complete");
            let counted_ns = summary.simulated_ns - summary.warmup_ns;
            let mean_under_way = integral as f64 / 1e3 / counted_ns;
            let rate_per_ns = summary.dma_total as f64 / counted_ns;
            assert_same(&format!("{name}: {what}"), mean_under_way, rate_per_ns * mean_ns);
        }
    }
}

/// The hardware's counters start at the end of the warm-up, whatever is under way then: those of two parts of a run
/// add up to those of the whole.
#[test]
fn a_warm_up_and_what_comes_after_it_make_the_whole() {
    let all = scenarios().into_iter().chain(warm_scenarios());
    for (name, scenario) in all.filter(|(_, scenario)| mappings_last(scenario)) {
        let whole = run(&Scenario { warmup_us: 0.0, ..scenario.clone() }).summary;
        let after = |ns: f64| run(&Scenario { warmup_us: ns / 1e3, ..scenario.clone() }).summary;
        let middle = after(whole.simulated_ns.round() / 3.0);
        let late = after(whole.simulated_ns.round() * 0.6);
        let busy = |row: &SummaryRow, share: f64| share * (row.simulated_ns - row.warmup_ns);
        for (what, of) in [
            ("DMAs", (|row| row.dma_total as f64) as fn(&SummaryRow) -> f64),
            ("walks", |row| row.walks as f64),
            ("evictions", |row| row.iotlb_evictions as f64),
            ("faults", |row| (row.faults_recorded + row.faults_lost) as f64),
        ] {
            let [all, middle, late] = [&whole, &middle, &late].map(of);
            assert!(all >= middle && middle >= late, "{name}: {what} {all}, {middle}, {late}");
            assert!(all == 0.0 || late < all, "{name}: {what} of the warm-up");
        }
        for (what, of) in [
            ("to hosts", (|row| row.upstream_utilisation) as fn(&SummaryRow) -> f64),
            ("from hosts", |row| row.downstream_utilisation),
            ("walkers", |row| row.walker_utilisation),
        ] {
            let [all, middle, late] = [&whole, &middle, &late].map(|row| busy(row, of(row)));
            // No server is busy for longer than there is time between.
            assert!(all >= middle && middle >= late, "{name}: {what} {all}, {middle}, {late}");
            assert!(
                middle - late <= 0.6 * whole.simulated_ns - whole.simulated_ns / 3.0 + 1.0,
                "{name}: {what}"
            );
            assert!(of(&whole) <= 1.0, "{name}: {what}");
        }
        assert_eq!(whole.simulated_ns, late.simulated_ns, "{name}: nothing else changes");
        assert_eq!(whole.audited_total, late.audited_total, "{name}: isolation is judged from the start");
    }
}
