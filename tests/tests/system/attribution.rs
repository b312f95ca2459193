//! Where time goes, why look-ups miss and who evicts whom: everything adds up, and nothing else changes.

use portcullis_engine::attribution::Cause;
use portcullis_engine::plan::ReportSpec;
use portcullis_workloads::Scenario;

use crate::determinism::difference;
use crate::invalidation::CHURN;
use crate::support::{
    HOSTILE, Outcome, assert_within, builtin, column, custom, numbers, optional_numbers, run, run_plan,
    scenarios, values, warm_scenarios,
};

const MISS_CAUSES: [&str; 4] = ["cold", "capacity", "conflict", "invalidation"];

/// Runs a scenario with everything attributed and logged.
fn attributed(scenario: &Scenario) -> Outcome {
    let mut plan = scenario.plan();
    plan.log_requests = true;
    plan.report.attribution = true;
    plan.report.miss_causes = true;
    run_plan(plan)
}

/// Scenarios whose devices have TLBs of their own: below the cliff and beyond it, and with all that can come between.
fn cliffs() -> Vec<(&'static str, Scenario)> {
    let cliff = |changes: &[&'static str]| {
        builtin("multi-tenant-cliff", &[&["requests=9000", "topology.vfs_per_adapter=64"], changes].concat())
    };
    let narrow = ["link.generation=1", "link.lanes=2", "link.flow_credits=2", "device.read_tags=3"];
    let few = ["iommu.walkers.count=2", "iommu.walkers.queue_entries=2", "device.outstanding=7"];
    vec![
        ("beyond the cliff", cliff(&[])),
        ("beyond the cliff, 32 pending", cliff(&["device.tlb.pending=32"])),
        ("beyond the cliff, an IOTLB", cliff(&["device.tlb.pending=32", "iommu.iotlb.enabled=true"])),
        ("beyond the cliff, a narrow link", cliff(&[&narrow[..], &["device.tlb.pending=4"]].concat())),
        ("beyond the cliff, few walkers and slots", cliff(&[&few[..], &["device.tlb.pending=4"]].concat())),
        (
            "beyond the cliff, all in order",
            cliff(&["device.retire=in_order", "device.write_order=in_order", "device.tlb.pending=32"]),
        ),
        ("beyond the cliff, warm", cliff(&["warmup_us=40.0005", "device.tlb.sharing=vf"])),
    ]
}

/// All of which it can be told: every scenario that is built in, and those that are hard on the machine.
fn every_scenario() -> impl Iterator<Item = (&'static str, Scenario)> {
    let builtins = portcullis_workloads::builtins().iter().map(|of| {
        let short = ["requests=20000", "topology.hosts=1"];
        (of.name, builtin(of.name, if of.name == "mixed-fleet" { &short[..1] } else { &short }))
    });
    let asked = ReportSpec { attribution: true, miss_causes: true, ..ReportSpec::default() };
    let can_tell = move |(_, scenario): &(&str, Scenario)| {
        scenario.plan().host_classes.iter().all(|class| asked.validate_on(&class.machine).is_ok())
    };
    builtins.chain(cliffs()).chain(scenarios()).chain(warm_scenarios()).filter(can_tell)
}

/// Misses of each VF by cause.
fn misses(outcome: &Outcome) -> [Vec<u64>; 4] {
    MISS_CAUSES.map(|cause| {
        let cells = optional_numbers(&outcome.tenants, &format!("iotlb_misses_{cause}"));
        cells.iter().map(|cell| cell.expect("asked for")).collect()
    })
}

/// The picoseconds of every request by cause, and its latency.
fn split_of_requests(outcome: &Outcome) -> Vec<([u64; Cause::ALL.len()], u64)> {
    let causes = Cause::ALL.map(|cause| optional_numbers(&outcome.requests, &format!("{}_ps", cause.name())));
    let [intended, completed] = ["intended_ps", "completed_ps"].map(|name| numbers(&outcome.requests, name));
    let split = |row: usize| causes.each_ref().map(|cells| cells[row].expect("asked for"));
    (0..outcome.requests.len()).map(|row| (split(row), completed[row] - intended[row])).collect()
}

#[test]
fn causes_add_up_to_the_latency_of_every_request_and_tenant() {
    for (name, scenario) in every_scenario() {
        let outcome = attributed(&scenario);
        let of_requests = split_of_requests(&outcome);
        for (row, (split, latency)) in of_requests.iter().enumerate() {
            assert_eq!(split.iter().sum::<u64>(), *latency, "{name}: row {row}, {split:?}");
        }
        // The log has the warm-up too, the table of tenants has not.
        let [intended, host, adapter, vf] =
            ["intended_ps", "host", "adapter", "vf"].map(|name| numbers(&outcome.requests, name));
        let place = |row: usize| (host[row], adapter[row], vf[row]);
        let warm_up_ps = (outcome.summary.warmup_ns * 1e3).round() as u64;
        let mut of_vfs = std::collections::BTreeMap::<_, [u64; Cause::ALL.len()]>::new();
        for (row, (split, _)) in
            of_requests.iter().enumerate().filter(|(row, _)| intended[*row] >= warm_up_ps)
        {
            let sums = of_vfs.entry(place(row)).or_default();
            sums.iter_mut().zip(split).for_each(|(sum, more)| *sum += more);
        }
        let sums = numbers(&outcome.attribution, "latency_sum_ps");
        let [host, adapter, vf] = ["host", "adapter", "vf"].map(|name| numbers(&outcome.tenants, name));
        let [total, mean_ns] = ["dma_total", "latency_mean_ns"].map(|name| values(&outcome.tenants, name));
        for (at, of_vf) in sums.chunks(Cause::ALL.len()).enumerate() {
            let expected = of_vfs.get(&(host[at], adapter[at], vf[at])).copied().unwrap_or_default();
            assert_eq!(of_vf, expected, "{name}: VF {at}");
            let sum_ps = of_vf.iter().sum::<u64>() as f64;
            assert!((sum_ps - mean_ns[at] * total[at] * 1e3).abs() <= sum_ps * 1e-12, "{name}: VF {at}");
        }
        let summary = &outcome.summary;
        let means = [
            summary.latency_held_mean_ns,
            summary.latency_silence_mean_ns,
            summary.latency_device_tlb_mean_ns,
            summary.latency_credit_mean_ns,
            summary.latency_link_mean_ns,
            summary.latency_iotlb_mean_ns,
            summary.latency_walk_queue_mean_ns,
            summary.latency_walk_mean_ns,
            summary.latency_invalidation_mean_ns,
            summary.latency_memory_mean_ns,
            summary.latency_retirement_mean_ns,
        ];
        let sum_ns: f64 = means.map(|mean| mean.expect("asked for")).iter().sum();
        assert_within(name, sum_ns, summary.latency_mean_ns, 1e-9);
    }
}

#[test]
fn every_miss_has_one_cause_and_every_eviction_an_evictor() {
    for (name, scenario) in every_scenario() {
        let outcome = attributed(&scenario);
        let all = numbers(&outcome.tenants, "iotlb_misses");
        let by_cause = misses(&outcome);
        for (vf, misses) in all.iter().enumerate() {
            assert_eq!(by_cause.iter().map(|of| of[vf]).sum::<u64>(), *misses, "{name}: VF {vf}");
        }
        let evictions: u64 = numbers(&outcome.evictions, "evictions").iter().sum();
        assert_eq!(evictions, outcome.summary.iotlb_evictions, "{name}");
        assert_eq!(outcome.evictions.len(), scenario.tenants.len().pow(2), "{name}");
        let cold: u64 = by_cause[0].iter().sum();
        assert_eq!(outcome.summary.iotlb_misses_cold, Some(cold), "{name}");
    }
}

/// Who watches changes nothing of what he watches.
#[test]
fn nothing_else_changes() {
    for (name, scenario) in every_scenario() {
        let plain = run(&scenario);
        let mut found = attributed(&scenario);
        let of_plain = optional_numbers(&plain.tenants, "iotlb_misses_cold");
        assert!(of_plain.iter().all(Option::is_none), "{name}: nobody asked");
        found.summary = portcullis_engine::account::SummaryRow {
            latency_held_mean_ns: None,
            latency_silence_mean_ns: None,
            latency_device_tlb_mean_ns: None,
            latency_credit_mean_ns: None,
            latency_link_mean_ns: None,
            latency_iotlb_mean_ns: None,
            latency_walk_queue_mean_ns: None,
            latency_walk_mean_ns: None,
            latency_invalidation_mean_ns: None,
            latency_memory_mean_ns: None,
            latency_retirement_mean_ns: None,
            iotlb_misses_cold: None,
            iotlb_misses_capacity: None,
            iotlb_misses_conflict: None,
            iotlb_misses_invalidation: None,
            ..found.summary
        };
        for cause in MISS_CAUSES {
            let name = format!("iotlb_misses_{cause}");
            let at = found.tenants.fields.iter().position(|field| field.name == name).expect("a column");
            found.tenants.columns[at] = column(&plain.tenants, &name).clone();
        }
        found.requests = plain.requests.clone();
        found.attribution = plain.attribution.clone();
        found.evictions = plain.evictions.clone();
        assert_eq!(difference(&plain, &found), None, "{name}");
    }
}

/// An IOTLB without sets has no conflicts; one with sets that all use the same one has no others.
#[test]
fn conflicts_are_of_sets() {
    for policy in ["lru", "fifo", "random"] {
        let replacement = format!("iommu.iotlb.replacement={policy}");
        let full = attributed(&custom(HOSTILE, &["iommu.iotlb.ways=full", &replacement]));
        assert_eq!(full.summary.iotlb_misses_conflict, Some(0), "{policy}");
        assert!(full.summary.iotlb_misses_capacity > Some(1_000), "{policy}");
    }
    // Pages 64 apart share a set of 64 sets: 16 of them have room in the cache and not in their set.
    let same_set = custom(
        r#"
        name = "same-set"
        requests = 4_000

        [topology]
        vfs_per_adapter = 1

        [iommu.iotlb]
        entries = 64
        ways = 1
        index = "iova"

        [[tenants]]
        name = "strides"
        sizes = 64
        memory = { pages = 1024 }
        arrivals = { kind = "closed", outstanding = 1, think_ns = 100 }
        pattern = { kind = "strided", stride_pages = 64 }
        "#,
        &[],
    );
    let found = attributed(&same_set).summary;
    let [cold, conflict] = [found.iotlb_misses_cold, found.iotlb_misses_conflict].map(Option::unwrap);
    assert_eq!((found.iotlb_misses_capacity, found.iotlb_misses_invalidation), (Some(0), Some(0)));
    assert_eq!(cold + conflict, found.iotlb_misses);
    assert!(conflict > 3_000 && cold <= 1_024, "{cold} cold, {conflict} conflicts");
}

/// Each bottleneck is seen where it is.
#[test]
fn time_goes_where_the_bottleneck_is() {
    let greatest = |changes: &[&str]| {
        let found = attributed(&builtin("default", &[&["requests=30000"], changes].concat())).attribution;
        let sums = numbers(&found, "latency_sum_ps");
        let of_cause = |cause: Cause| sums.iter().skip(cause as usize).step_by(Cause::ALL.len()).sum::<u64>();
        Cause::ALL.into_iter().max_by_key(|cause| of_cause(*cause)).expect("causes")
    };
    // What does not fit into its VF's queue is held, whatever the link waits for.
    let queue = "scheduler.vf_queue_entries=4096";
    assert_eq!(greatest(&[queue, "link.generation=1", "link.lanes=2"]), Cause::Link);
    assert_eq!(greatest(&[queue, "device.read_tags=1"]), Cause::Credit);
    assert_eq!(greatest(&["scheduler.vf_outstanding=1", "memory.read_ns=9000"]), Cause::Held);
    assert_eq!(greatest(&["iommu.walkers.memory_ns=2000", "iommu.walkers.count=256"]), Cause::Walk);
    assert_eq!(
        greatest(&[
            "iommu.walkers.memory_ns=800",
            "iommu.walkers.count=1",
            "link.flow_credits=65536",
            "device.read_tags=65536"
        ]),
        Cause::WalkQueue
    );
    assert_eq!(greatest(&["memory.read_ns=5000", "memory.write_ns=5000"]), Cause::Memory);
    assert_eq!(greatest(&["iommu.iotlb.hit_ns=9000"]), Cause::Iotlb);
}

/// An unmap costs the next access to its address a walk: where addresses go round, each DMA's but the first.
#[test]
fn invalidations_cost_walks() {
    let found = attributed(&custom(CHURN, &[])).summary;
    let [cold, invalidation] = [found.iotlb_misses_cold, found.iotlb_misses_invalidation].map(Option::unwrap);
    assert_eq!(cold + invalidation, found.iotlb_misses, "{found:?}");
    assert!(invalidation > 10 * cold && found.iotlb_misses > 50_000, "{cold}, {invalidation}");
    let [walk, of_invalidation] = [found.latency_walk_mean_ns, found.latency_invalidation_mean_ns];
    assert!(of_invalidation > walk.map(|walk| 10.0 * walk), "{of_invalidation:?}, {walk:?}");
}
