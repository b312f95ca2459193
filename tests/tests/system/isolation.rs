//! No tenant reaches what is another's, and the owner map would notice.

use std::collections::HashMap;

use portcullis_engine::account::VfIncidents;
use portcullis_engine::domain::{Leaf, PageTable};
use portcullis_engine::ids::{HostIndex, VfIndex};
use portcullis_engine::invalidation::InvalidationMode;
use portcullis_engine::plan::{RunPlan, TenantPlan};
use portcullis_engine::simulation::IommuSimulation;
use portcullis_engine::topology::Spans;
use portcullis_engine::traffic::{Source, SourceRows};
use portcullis_engine::units::Picoseconds;

use crate::support::{
    HOSTILE, builtin, custom, log, mappings_last, numbers, run, run_logged, run_plan, scenarios,
};

#[test]
fn every_translation_is_judged_and_none_is_astray() {
    for (name, scenario) in scenarios() {
        let outcome = run(&scenario);
        let summary = &outcome.summary;
        assert_eq!(outcome.breach, None, "{name}");
        assert_eq!(summary.audited_total, summary.dma_translated, "{name}");
        assert_eq!((summary.breach_total, summary.cross_tenant_total), (0, 0), "{name}");
        // Only what is unmapped and invalidated later can be reached by what is cached.
        let deferred = scenario.iommu.invalidation.mode == InvalidationMode::Deferred;
        assert_eq!(summary.stale_total > 0, deferred, "{name}: {} are stale", summary.stale_total);
    }
}

#[test]
fn a_sample_judges_every_64th_request_of_a_vf() {
    for changes in [&[][..], &["topology.domain_scope=adapter"]] {
        let outcome = run_logged(&custom(HOSTILE, &[&["audit=sample"], changes].concat()));
        let sampled = log(&outcome).into_iter().filter(|dma| dma.translated() && dma.sequence % 64 == 0);
        assert_eq!(outcome.summary.audited_total, sampled.count() as u64);
    }
    assert_eq!(run(&custom(HOSTILE, &["audit=off"])).summary.audited_total, 0);
}

#[test]
fn a_frame_serves_one_tenant_and_a_page_has_one_frame() {
    // What is mapped for one DMA is another tenant's soon after.
    for (name, scenario) in scenarios().into_iter().filter(|(_, scenario)| mappings_last(scenario)) {
        let mut tenant_of = HashMap::new();
        let mut frame_of = HashMap::new();
        for dma in log(&run_logged(&scenario)) {
            let Some(pa) = dma.pa else { continue };
            assert_eq!(pa % 4_096, dma.iova % 4_096, "{name}: {dma:?}");
            let tenant = *tenant_of.entry((dma.vf.0, pa >> 12)).or_insert(dma.vf);
            assert_eq!(tenant, dma.vf, "{name}: {dma:?}");
            let frame = *frame_of.entry((dma.vf, dma.iova >> 12)).or_insert(pa >> 12);
            assert_eq!(frame, pa >> 12, "{name}: {dma:?}");
        }
        assert!(!frame_of.is_empty(), "{name} translates something");
    }
}

#[test]
fn what_may_not_be_done_is_blocked() {
    let outcome = run_logged(&custom(HOSTILE, &[]));
    let class_of: HashMap<u32, &str> = HashMap::from([
        (0, "quiet"),
        (1, "quiet"),
        (2, "holes"),
        (3, "unattached"),
        (4, "read-only"),
        (5, "crossing"),
        (6, "closed"),
        (7, "large"),
    ]);
    let mut blocked = HashMap::new();
    for dma in log(&outcome) {
        let class = class_of[&dma.vf.2];
        match (class, dma.op, dma.fault) {
            ("unattached", _, Some("no_context")) | ("read-only", "w", Some("no_permission")) => {}
            ("holes", _, Some("not_mapped") | None) | ("read-only", "r", None) => {}
            ("quiet" | "crossing" | "closed" | "large", _, None) => {}
            _ => panic!("{class}: {dma:?}"),
        }
        if dma.fault.is_some() {
            *blocked.entry(class).or_insert(0_u64) += 1;
        }
    }
    assert!(["unattached", "read-only", "holes"].iter().all(|class| blocked[class] > 100), "{blocked:?}");
}

/// Otherwise a tenant could drive out the entries of others by addresses it may not touch.
#[test]
fn a_walk_that_faults_fills_nothing() {
    for hostile in ["permissions=none", "hole_share=1"] {
        let hostile = format!("tenants.noisy.memory.{hostile}");
        let outcome =
            run(&builtin("noisy-neighbour", &["requests=50000", "iommu.iotlb.ways=full", &hostile]));
        let [blocked, hits] = ["dma_blocked", "iotlb_hits"].map(|name| numbers(&outcome.tenants, name));
        let noisy = blocked.len() - 1;
        assert!(blocked[noisy] > 10_000 && hits[noisy] == 0, "{hostile}: {blocked:?} {hits:?}");
        // The quiet tenants' 960 pages fit, so each of them is walked for once, and none goes.
        let quiet: u64 = numbers(&outcome.tenants, "iotlb_misses")[..noisy].iter().sum();
        let joined: u64 = numbers(&outcome.tenants, "iotlb_misses_joined")[..noisy].iter().sum();
        assert_eq!(quiet - joined, 960, "{hostile}");
        assert_eq!(outcome.summary.iotlb_evictions, 0, "{hostile}");
    }
}

/// A source that reaches for addresses beside its own.
struct Shifted {
    inner: Box<dyn Source>,
    by: u64,
}

impl Source for Shifted {
    fn peek(&self) -> Option<Picoseconds> {
        self.inner.peek()
    }

    fn emit(&mut self, until: Picoseconds, rows: SourceRows<'_>) -> usize {
        let SourceRows { intended, address, transfer } = rows;
        let count = self.inner.emit(until, SourceRows { intended, address: &mut *address, transfer });
        address[..count].iter_mut().for_each(|address| address.0.0 += self.by);
        count
    }

    fn feedback(&self) -> Option<Picoseconds> {
        self.inner.feedback()
    }

    fn outstanding(&self) -> Option<u32> {
        self.inner.outstanding()
    }

    fn retire(&mut self, sequence: u64, time: Picoseconds) -> Option<Picoseconds> {
        self.inner.retire(sequence, time)
    }
}

/// A domain that VFs share is cut into parts of so many bytes, one a VF.
const PART_BYTES: u64 = 1 << 40;

/// A plan in which the first VF of each host reaches for the addresses of the next.
fn with_an_intruder(mut plan: RunPlan) -> RunPlan {
    let honest = std::mem::replace(&mut plan.tenants, Box::new(|_, _| unreachable!()));
    plan.tenants = Box::new(move |host, vf| {
        let plan = honest(host, vf);
        let by = if vf == VfIndex(0) { PART_BYTES } else { 0 };
        TenantPlan { source: Box::new(Shifted { inner: plan.source, by }), ..plan }
    });
    plan
}

#[test]
fn an_intruder_is_blocked_by_a_domain_of_its_own_and_counted_in_a_shared_one() {
    let scenario = |scope: &str| {
        let scope = format!("topology.domain_scope={scope}");
        builtin("noisy-neighbour", &["requests=20000", "topology.hosts=2", &scope])
    };
    let own = run_plan(with_an_intruder(scenario("vf").plan()));
    let intruder = 0;
    let [total, blocked] = ["dma_total", "blocked_not_mapped"].map(|name| numbers(&own.tenants, name));
    assert!(total[intruder] > 0);
    assert_eq!(blocked[intruder], total[intruder]);
    assert_eq!(own.summary.cross_tenant_total, 0);

    let shared = run_plan(with_an_intruder(scenario("adapter").plan()));
    let [total, cross] = ["dma_translated", "cross_tenant"].map(|name| numbers(&shared.tenants, name));
    assert!(total[intruder] > 0);
    for (vf, (total, cross)) in total.iter().zip(cross).enumerate() {
        let expected = if vf % 16 == intruder { *total } else { 0 };
        assert_eq!(cross, expected, "VF {vf}");
    }
    // The IOMMU guards the host, not one guest from another: no breach of it.
    assert_eq!((shared.breach, own.breach), (None, None));
}

/// Runs the only host of a plan, after `corrupt` was at its page tables; breaches by VF.
fn breaches(corrupt: impl Fn(&mut [&mut PageTable])) -> Vec<u64> {
    let plan = builtin("noisy-neighbour", &["requests=20000"]).plan();
    let mut host = IommuSimulation::of_host(&plan, &Spans::new(&plan), HostIndex(0)).remove(0);
    let world = host.world_mut();
    let mut query = world.query::<&mut PageTable>();
    let mut tables: Vec<_> = query.iter_mut(world).collect();
    let mut tables: Vec<&mut PageTable> = tables.iter_mut().map(|table| &mut **table).collect();
    corrupt(&mut tables);
    while !host.is_finished() {
        host.step();
    }
    let world = host.world_mut();
    world.query::<&VfIncidents>().iter(world).map(|incidents| incidents.breaches).collect()
}

#[test]
fn a_page_table_that_leads_astray_is_noticed() {
    assert!(breaches(|_| ()).iter().all(|count| *count == 0));
    // One page of VF 3 leads to a frame of VF 5.
    let found = breaches(|tables| {
        let target = tables[5].iter().next().expect("a leaf").target;
        let leaf = tables[3].iter().next().expect("a leaf");
        tables[3].unmap(leaf.base, leaf.size).expect("it is there");
        tables[3].map(Leaf { target, ..leaf }).expect("it is free");
    });
    for (vf, count) in found.iter().enumerate() {
        assert_eq!(*count > 0, vf == 3, "VF {vf}: {count} breaches");
    }
}
