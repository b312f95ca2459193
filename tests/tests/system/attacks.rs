//! What hostile DMAs reach, what they cost those beside them, and whether the audit would notice a broken engine.

use portcullis_engine::plan::RunPlan;

use crate::support::{Outcome, builtin, numbers, run, run_plan, values};

/// VFs 0 to 11 of `rogue-vf` are tenants; then one each.
const SCAN: usize = 12;
const REPLAY: usize = 13;
const TRESPASS: usize = 14;
const LATE: usize = 15;

fn rogues(changes: &[&str]) -> Outcome {
    run(&builtin("rogue-vf", &[&["requests=200000"], changes].concat()))
}

#[test]
fn nothing_hostile_reaches_what_is_not_its_own() {
    let outcome = rogues(&["iommu.iotlb.ways=full"]);
    assert_eq!(outcome.breach, None);
    let summary = &outcome.summary;
    assert_eq!((summary.breach_total, summary.cross_tenant_total, summary.stale_total), (0, 0, 0));
    let column = |name| numbers(&outcome.tenants, name);
    let (total, not_mapped) = (column("dma_total"), column("blocked_not_mapped"));
    for vf in [SCAN, REPLAY] {
        assert!(total[vf] > 10_000 && not_mapped[vf] == total[vf], "VF {vf}");
    }
    assert_eq!(column("blocked_no_permission")[TRESPASS], total[TRESPASS]);
    assert!(not_mapped[LATE] > 20, "late DMAs find their buffers gone: {}", not_mapped[LATE]);
    assert!(column("dma_blocked")[..SCAN].iter().all(|blocked| *blocked == 0), "tenants go on");
    // The tenants' 768 pages and 64 buffers fit, and nothing of what is blocked is cached.
    assert_eq!(summary.iotlb_evictions, 0);
}

/// In a domain that VFs share, the IOMMU lets through what it maps, and that is counted.
#[test]
fn replays_reach_the_tenants_whose_domain_they_share() {
    let outcome = rogues(&["topology.domain_scope=adapter"]);
    assert_eq!(outcome.breach, None);
    let [total, cross] = ["dma_total", "cross_tenant"].map(|name| numbers(&outcome.tenants, name));
    assert_eq!(cross[REPLAY], total[REPLAY]);
    assert_eq!(cross.iter().sum::<u64>(), total[REPLAY], "nobody else's");
}

/// Where invalidations are deferred, a late DMA is served until the flush, and no longer.
#[test]
fn late_dmas_are_stale_until_the_flush() {
    let exposure = |timer: &str| {
        let found = rogues(&["iommu.invalidation.mode=deferred", timer]).summary;
        assert_eq!(found.breach_total, 0);
        assert!(found.stale_total > 100, "{}", found.stale_total);
        found.exposure_frame_us / found.unmaps as f64
    };
    // 256 unmaps fill the queue before 10 ms are over; the timer of 100 us comes first.
    let (long, short) = (
        exposure("iommu.invalidation.flush_timer_us=10000"),
        exposure("iommu.invalidation.flush_timer_us=100"),
    );
    // A flush waits for its command, 1 us at most here.
    assert!(short <= 101.0 && long > 2.0 * short, "{short} and {long} us a frame");
}

/// Mean latency of the victims over that of the same run without the attackers.
fn slowdown(sharing: &[&str]) -> f64 {
    let scenario = builtin("iotlb-thrash", &[&["requests=300000"], sharing].concat());
    let of = |plan: RunPlan| {
        let outcome = run_plan(plan);
        let latencies = values(&outcome.tenants, "latency_mean_ns");
        latencies[..12].iter().sum::<f64>() / 12.0
    };
    let attacker = scenario.class_index("attacker").expect("there is one");
    of(scenario.plan()) / of(scenario.plan_without(&[attacker]))
}

#[test]
fn parts_of_their_own_isolate_victims() {
    let shared = slowdown(&[]);
    assert!(shared > 4.0, "{shared}");
    for (iotlb, most) in [("ways", 1.02), ("sets", 1.02), ("quota", 1.1)] {
        let iotlb = format!("iommu.iotlb.sharing={iotlb}");
        let half = slowdown(&[&iotlb]);
        let whole = slowdown(&[&iotlb, "iommu.walkers.sharing=classes"]);
        assert!(whole < most, "{iotlb}: {whole}");
        // Attackers who find every walker busy are still felt at each miss.
        assert!(half > 1.2 && half < shared / 2.0, "{iotlb}: {half}");
    }
}

/// What a class gets is what an IOTLB of that size would give it: uniform references hit as often as entries
/// there are to pages (docs/validation.md, independent references).
#[test]
fn a_part_of_the_iotlb_is_an_iotlb() {
    let pair = [
        "requests=400000",
        "warmup_us=500",
        "topology.vfs_per_adapter=2",
        "tenants.victim.count=1",
        "tenants.attacker.count=1",
        "tenants.victim.memory.pages=1024",
        "tenants.victim.arrivals.mops_per_vf=20",
    ];
    let hit_ratio = |plan: RunPlan| {
        let outcome = run_plan(plan);
        let [hits, misses] =
            ["iotlb_hits", "iotlb_misses"].map(|name| numbers(&outcome.tenants, name)[0] as f64);
        hits / (hits + misses)
    };
    for (sharing, ways) in [("ways", "full"), ("sets", "8"), ("quota", "full")] {
        let keys = [format!("iommu.iotlb.sharing={sharing}"), format!("iommu.iotlb.ways={ways}")];
        let scenario = builtin("iotlb-thrash", &[&pair[..], &[&keys[0], &keys[1]]].concat());
        let (beside, alone) = (hit_ratio(scenario.plan()), hit_ratio(scenario.plan_without(&[1])));
        assert!((beside - alone).abs() < 0.01, "{sharing}: {beside}, alone {alone}");
        // In sets of eight ways some pages get in one another's way (Smith).
        let expected = if ways == "full" { 896.0 / 1024.0 } else { 0.81 };
        assert!((beside - expected).abs() < 0.01, "{sharing}: {beside}");
    }
}

/// The audit finds an engine that is broken on purpose, and says who reached what.
#[test]
fn sabotage_is_noticed() {
    for (sabotage, cause) in [
        ("wrong_domain_tag", "which is tenant "),
        ("missed_invalidation", "outlived its page's invalidation"),
    ] {
        let outcome = rogues(&[&format!("sabotage={sabotage}")]);
        let breach = outcome.breach.expect("a breach");
        assert!(outcome.summary.breach_total > 0);
        assert!(breach.starts_with("isolation was broken: at "), "{breach}");
        assert!(breach.contains("of host 0 reached frame 0x") && breach.contains(cause), "{breach}");
    }
    let sampled = rogues(&["sabotage=wrong_domain_tag", "audit=sample"]);
    assert!(sampled.breach.is_some(), "a sample is enough where every DMA goes astray");
}
