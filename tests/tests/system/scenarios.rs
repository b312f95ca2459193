//! Each built-in scenario answers its question, in the direction that its text claims.

use portcullis_engine::account::SummaryRow;
use portcullis_engine::table::Column;
use portcullis_workloads::builtins;

use crate::support::{Outcome, assert_within, builtin, column, run, values};

fn summary(name: &str, changes: &[&str]) -> SummaryRow {
    run(&builtin(name, changes)).summary
}

/// What the VFs of a class add up to, column by column.
fn of_class(outcome: &Outcome, class: &str, name: &str) -> f64 {
    let Column::Text(classes) = column(&outcome.tenants, "class") else { panic!("classes are text") };
    let cells = values(&outcome.tenants, name);
    classes.iter().zip(cells).filter(|(found, _)| *found == class).map(|(_, cell)| cell).sum()
}

fn hit_ratio(outcome: &Outcome, class: &str) -> f64 {
    let [hits, misses] = ["iotlb_hits", "iotlb_misses"].map(|name| of_class(outcome, class, name));
    hits / (hits + misses)
}

/// Mean latency of a class whose VFs are all alike.
fn latency_ns(outcome: &Outcome, class: &str) -> f64 {
    let Column::Text(classes) = column(&outcome.tenants, "class") else { panic!("classes are text") };
    let vfs = classes.iter().filter(|found| *found == class).count();
    of_class(outcome, class, "latency_mean_ns") / vfs as f64
}

#[test]
fn every_builtin_comes_to_its_end() {
    for found in builtins() {
        let scenario = builtin(found.name, &["requests=20000"]);
        let outcome = run(&scenario);
        assert_eq!(outcome.summary.dma_total, 20_000, "{}", found.name);
        assert_eq!(outcome.breach, None, "{}", found.name);
        assert_eq!(outcome.summary.scenario, found.name);
        let vfs = scenario.host_groups().iter().map(|group| group.machine.topology.vfs()).sum::<u64>();
        assert_eq!(outcome.tenants.len() as u64, vfs, "{}", found.name);
    }
}

/// How do 31 VFs of mixed tenants share one GPU's link, IOTLB and walkers?
#[test]
fn in_the_default_scenario_nothing_saturates_and_pages_of_2_mib_are_worth_their_name() {
    let outcome = run(&builtin("default", &["requests=300000"]));
    let summary = &outcome.summary;
    assert!(summary.upstream_utilisation.max(summary.downstream_utilisation) < 0.7, "{summary:?}");
    assert!(summary.walker_utilisation < 0.5 && summary.dma_source_stalled == 0, "{summary:?}");
    let classes = ["inference", "training", "graphics", "video"];
    let [inference, training, graphics, video] = classes.map(|class| hit_ratio(&outcome, class));
    // Weights in 4 KiB pages miss most, a hot set and a ring of frames less, copies over 2 MiB hardly ever.
    assert!(training > 0.99, "{training}");
    assert!(inference < graphics.min(video) && graphics.max(video) < 0.9, "{inference} {graphics} {video}");
    // Tenants of a class fare alike.
    let latencies = &values(&outcome.tenants, "latency_mean_ns")[..12];
    let (least, most) = latencies.iter().fold((f64::MAX, 0.0_f64), |(a, b), c| (a.min(*c), b.max(*c)));
    assert!(most / least < 1.05, "inference: from {least} to {most} ns");
}

/// How close do large copies over 2 MiB pages come to the link's bandwidth?
#[test]
fn large_copies_over_2_mib_pages_fill_the_link() {
    let changes = ["requests=200000"];
    let scenario = builtin("gpu-copy-2m", &changes);
    let huge = summary("gpu-copy-2m", &changes);
    assert!(huge.upstream_utilisation > 0.95, "{}", huge.upstream_utilisation);
    assert!(huge.iotlb_hit_ratio > 0.99, "{}", huge.iotlb_hit_ratio);
    // A write takes its 16 TLPs upstream, a read its 8 requests: 2,336 bytes on average for 2,048 of payload
    // a direction.
    let carried = scenario.link.tlp_gbps() * 2.0 * 2_048.0 / 2_336.0;
    assert_within("payload", huge.read_gbps + huge.write_gbps, carried, 0.01);

    let small = summary("gpu-copy-2m", &[&changes[..], &["tenants.copy.memory.page_size=4k"]].concat());
    assert!(small.iotlb_hit_ratio < 0.7, "{}", small.iotlb_hit_ratio);
    let dearer_ns = small.service_mean_ns - huge.service_mean_ns;
    assert!(dearer_ns > 50.0, "4 KiB pages cost {dearer_ns} ns a DMA");
}

/// What do a map and an unmap a packet cost, and what does it save to defer invalidations?
#[test]
fn strict_invalidation_bounds_packets_and_deferred_does_not() {
    let changes = ["requests=100000"];
    let strict = run(&builtin("nic-rings", &changes));
    let deferred = run(&builtin("nic-rings", &["requests=100000", "iommu.invalidation.mode=deferred"]));
    // A packet is a command of 714 ns; the last unmaps come after the last packet.
    let in_flight = 16.0 * 256.0;
    let packets_per_s = |of: &Outcome| (of.summary.unmaps as f64 - in_flight) / of.summary.simulated_ns * 1e9;
    assert_within("strict", packets_per_s(&strict), 1e9 / 714.0, 0.02);
    assert!(packets_per_s(&deferred) > 5.0 * packets_per_s(&strict), "{}", packets_per_s(&deferred));
    // A buffer is new to the IOTLB each time, the descriptors are not.
    for of in [&strict, &deferred] {
        let [receive, descriptors] = ["receive", "descriptors"].map(|class| hit_ratio(of, class));
        assert!(receive < 0.01 && descriptors > 0.9, "buffers {receive}, descriptors {descriptors}");
    }
}

/// What does one tenant that thrashes the IOTLB cost its quiet neighbours?
#[test]
fn a_noisy_neighbour_costs_the_quiet_ones_their_hits() {
    let changes = ["requests=300000"];
    let alone = ["tenants.noisy.count=0", "tenants.quiet.count=16"];
    let with = run(&builtin("noisy-neighbour", &changes));
    let without = run(&builtin("noisy-neighbour", &[&changes[..], &alone].concat()));
    let [noisy, quiet] = ["noisy", "quiet"].map(|class| hit_ratio(&with, class));
    assert!(noisy < 0.05, "the noisy one hits {noisy}");
    let before = hit_ratio(&without, "quiet");
    assert!(before > 0.8 && quiet < before - 0.3, "from {before} to {quiet}");
    // What they miss, they wait for: a walk of 320 ns each.
    let cost_ns = latency_ns(&with, "quiet") - latency_ns(&without, "quiet");
    assert_within("cost", cost_ns, (before - quiet) * 320.0, 0.1);
    // It is the hits that are lost: the walkers are not, and the link is nearly idle.
    assert!(with.summary.walker_utilisation < 0.7 && with.summary.upstream_utilisation < 0.2);
}

/// How do 4,096 VFs on 64 hosts fare with a hashed IOTLB at 60 % of the link? Three of the hosts.
#[test]
fn the_fleet_hits_in_five_to_seven_of_ten_at_six_tenths_of_the_link() {
    let fleet = summary("fleet-4096", &["topology.hosts=3", "requests=3000000"]);
    assert_eq!(fleet.vfs, 3 * 64);
    assert!((0.5..0.7).contains(&fleet.iotlb_hit_ratio), "{}", fleet.iotlb_hit_ratio);
    assert!((0.55..0.62).contains(&fleet.downstream_utilisation), "{}", fleet.downstream_utilisation);
    assert!((0.25..0.4).contains(&fleet.walker_utilisation), "{}", fleet.walker_utilisation);
    assert_eq!(fleet.dma_source_stalled, 0);
}

/// Can one adapter carry 1,024 VFs whose pages far outnumber the IOTLB's entries?
#[test]
fn an_adapter_carries_1024_vfs_that_miss_in_seven_of_ten() {
    let dense = summary("dense-1024", &["requests=2000000"]);
    assert_eq!(dense.vfs, 1_024);
    assert!((0.25..0.35).contains(&dense.iotlb_hit_ratio), "{}", dense.iotlb_hit_ratio);
    assert!(dense.downstream_utilisation < 0.65 && dense.walker_utilisation < 0.4, "{dense:?}");
    // The latency is that of misses, not of a queue.
    assert!(dense.walk_wait_mean_ns < 0.01 * 320.0, "{}", dense.walk_wait_mean_ns);
    assert!(dense.walker_queue_stalls == 0 && dense.dma_source_stalled == 0, "{dense:?}");
}

/// Which hosts of a mixed fleet does translation hold back: dense, training or old ones?
#[test]
fn in_the_mixed_fleet_old_hosts_are_held_back_and_training_is_not() {
    let outcome = run(&builtin("mixed-fleet", &["requests=1000000"]));
    let Column::Text(classes) = column(&outcome.tenants, "host_class") else { panic!("classes are text") };
    let sum = |class: &str, name: &str| {
        let cells = values(&outcome.tenants, name);
        classes.iter().zip(cells).filter(|(found, _)| *found == class).map(|(_, cell)| cell).sum::<f64>()
    };
    let ratio = |class: &str| {
        let [hits, misses] = ["iotlb_hits", "iotlb_misses"].map(|name| sum(class, name));
        hits / (hits + misses)
    };
    let [dense, training, older] = ["dense", "training", "older"].map(ratio);
    assert!(training > 0.99, "{training}");
    assert!(older < dense, "{older} {dense}");
    // Of the same class of tenants on both, those on old hosts wait longer.
    let Column::Text(tenants) = column(&outcome.tenants, "class") else { panic!("classes are text") };
    let mean = |class: &str| {
        let cells = values(&outcome.tenants, "latency_mean_ns");
        let of = classes.iter().zip(tenants).zip(cells);
        let of: Vec<f64> = of
            .filter(|((host, tenant), _)| *host == class && *tenant == "inference")
            .map(|(_, cell)| cell)
            .collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let [dense, older] = ["dense", "older"].map(mean);
    assert!(older > 1.2 * dense, "{older} {dense}");
}

/// What do IOTLB misses cost a device that touches N pages at random?
#[test]
fn a_window_beyond_the_iotlb_costs_walks_one_at_a_time_and_throughput_many_at_a_time() {
    let of = |pages: u32, more: &[&str]| {
        let pages = format!("tenants.device.memory.pages={pages}");
        summary("window-sweep", &[&["requests=100000", &*pages], more].concat())
    };
    let (inside, beyond) = (of(64, &[]), of(4_096, &[]));
    assert_within("a hit", inside.latency_mean_ns, 432.0, 0.005);
    assert_within(
        "a miss",
        beyond.latency_mean_ns - inside.latency_mean_ns,
        290.0 * (1.0 - 118.0 / 4_096.0),
        0.01,
    );
    // Open and closed sources saturate alike.
    let closed = of(4_096, &["tenants.device.arrivals.outstanding=256"]).read_gbps;
    let open = ["tenants.device.arrivals.kind=constant", "tenants.device.arrivals.link_load=1.2"];
    assert_within("throughput", of(4_096, &open).read_gbps, closed, 0.01);
    assert_within("throughput", closed, 64.0 * 8.0 * 6.0 / 290.0, 0.05);
}

/// What do VMs that come and go on dense GPUs cost those that stay?
#[test]
fn vms_that_come_and_go_cost_those_that_stay_their_tails_unless_they_are_silent_alone() {
    let of = |changes: &[&str]| summary("switch-storm", &[&["requests=200000"], changes].concat());
    let (adapter, vf, at_once) = (of(&[]), of(&["silence.scope=vf"]), of(&["silence.mode=atomic_replace"]));
    for found in [&adapter, &vf, &at_once] {
        let wrong = (found.switch_faults, found.stale_total, found.breach_total);
        assert_eq!((found.switches > 30, wrong), (true, (0, 0, 0)), "{found:?}");
    }
    // A pause of 70 us every 500 us: a seventh of the DMAs comes in one, where all of an adapter are silent.
    assert!(adapter.latency_p99_ns > 50_000 && vf.latency_p99_ns < 20_000, "{adapter:?} {vf:?}");
    assert!(at_once.latency_max_ns < 5_000.0 && at_once.dma_held == 0, "{at_once:?}");
    assert!(adapter.dma_held > 10 * vf.dma_held && vf.dma_held > 0, "{adapter:?} {vf:?}");
}

/// What does silence cost an adapter, a VF alone, and nobody where hardware replaces domains at once?
#[test]
fn silence_costs_an_adapter_as_many_times_as_it_has_vfs() {
    let of = |changes: &[&str]| summary("silence-vs-atomic", &[&["requests=400000"], changes].concat());
    let (adapter, vf) = (of(&[]), of(&["silence.scope=vf"]));
    let at_once = of(&["silence.mode=atomic_replace"]);
    assert_eq!((adapter.switches, vf.switches), (at_once.switches, at_once.switches));
    // As long a pause each time, of sixteen VFs or of one.
    assert_within("silence", adapter.silence_ns / vf.silence_ns, 16.0, 0.01);
    assert_within(
        "silence",
        adapter.silence_ns,
        16.0 * adapter.switches as f64 * adapter.switch_mean_ns,
        1e-9,
    );
    // Requests that come in a pause wait for half of it on average.
    assert_within("held", adapter.held_mean_ns, adapter.switch_mean_ns / 2.0, 0.02);
    assert!(
        adapter.latency_mean_ns > 5.0 * vf.latency_mean_ns && vf.latency_mean_ns > at_once.latency_mean_ns
    );
    assert_eq!((at_once.silence_ns, at_once.dma_held), (0.0, 0));
}

/// What goes wrong when a domain is switched and steps of the protocol are left out?
#[test]
fn steps_that_are_left_out_fault_or_are_stale_and_the_protocol_is_neither() {
    let of = |changes: &[&str]| {
        let found = summary("unsafe-switch", &[&["requests=200000"], changes].concat());
        assert!(found.switches > 50 && found.breach_total == 0, "{found:?}");
        (found.switch_faults, found.stale_total)
    };
    let (faults, stale) = of(&[]);
    assert!(faults > 200 && stale > 500, "{faults} faults, {stale} stale");
    let (faults, stale) = of(&["silence.did_reuse=false"]);
    assert!(faults > 200 && stale == 0, "{faults} faults, {stale} stale");
    assert_eq!(of(&["silence.mode=silence", "silence.skip=[]"]), (0, 0));
}
