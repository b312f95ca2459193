//! Closed loops and limits of requests under way, against what must hold of them.

use portcullis_workloads::Scenario;

use crate::support::{Dma, assert_within, builtin, custom, log, run, run_logged};

/// Clients that read 64 bytes, one after the other, each time from another page: every DMA walks. Link and
/// IOTLB take next to nothing.
const LOOP: &str = r#"
name = "loop"
requests = 200_000
audit = "off"

[topology]
vfs_per_adapter = 4

[device]
read_tags = 65_536

[iommu.iotlb]
entries = 1
ways = 1

[iommu.walkers]
count = 4
walk_ns = 400.0

[[tenants]]
name = "all"
read_share = 1.0
sizes = 64
memory = { pages = 1_000_000, page_size = "4k" }
arrivals = { kind = "closed", outstanding = 4, durations = "fixed" }
"#;

fn scenario(outstanding: u32, walkers: u32, think_ns: f64) -> Scenario {
    let changes = [
        format!("tenants.all.arrivals.outstanding={outstanding}"),
        format!("tenants.all.arrivals.think_ns={think_ns}"),
        format!("iommu.walkers.count={walkers}"),
    ];
    custom(LOOP, &changes.each_ref().map(String::as_str))
}

/// An unloaded read without its walk, in nanoseconds: there, look-up, memory, back.
fn round_trip_ns(scenario: &Scenario) -> f64 {
    let link = &scenario.link;
    let wire = |bytes: f64| bytes * 8.0 / link.tlp_gbps();
    wire(24.0)
        + 2.0 * link.propagation_ns
        + scenario.iommu.iotlb.hit_ns
        + scenario.memory.read_ns
        + wire(84.0)
}

/// O under way, latency L, K walkers of W: throughput is at most min(O / (L + W + Z), K / W) with a think
/// time Z; near it where one of the two is far below the other.
#[test]
fn throughput_is_bounded_by_clients_and_by_walkers() {
    for (outstanding, walkers, think_ns) in [
        (1, 4, 0.0),
        (1, 64, 0.0),
        (2, 64, 3_000.0),
        (4, 4, 0.0),
        (32, 4, 0.0),
        (32, 1, 1_000.0),
        (8, 64, 0.0),
    ] {
        let scenario = scenario(outstanding, walkers, think_ns);
        let clients = f64::from(outstanding * scenario.topology.vfs_per_adapter);
        let by_clients = clients / (round_trip_ns(&scenario) + 400.0 + think_ns);
        let by_walkers = f64::from(walkers) / 400.0;
        let summary = run(&scenario).summary;
        let found = summary.dma_total as f64 / summary.simulated_ns;
        let bound = by_clients.min(by_walkers);
        let what = format!("{outstanding} a VF, {walkers} walkers, {think_ns} ns of thought");
        assert!(found <= bound * 1.000_1, "{what}: {found} DMAs a ns, at most {bound}");
        if by_clients.max(by_walkers) > 2.0 * bound {
            assert_within(&what, found, bound, 0.02);
        }
    }
}

/// The mean number of requests between two moments of theirs, by integration over the run.
fn mean_under_way(dmas: &[Dma], from: impl Fn(&Dma) -> u64, to: impl Fn(&Dma) -> u64) -> f64 {
    let mut changes: Vec<(u64, i64)> = dmas.iter().flat_map(|dma| [(from(dma), 1), (to(dma), -1)]).collect();
    changes.sort_unstable();
    let (mut area, mut under_way, mut before) = (0.0, 0, 0);
    for (time, change) in changes {
        area += (time - before) as f64 * under_way as f64;
        under_way += change;
        before = time;
    }
    area / before as f64
}

/// Little's law, and what the population of a closed loop without thought must be.
#[test]
fn under_way_are_as_many_as_there_are_clients() {
    let scenario = scenario(8, 4, 0.0);
    let outcome = run_logged(&scenario);
    let summary = &outcome.summary;
    let rate = summary.dma_total as f64 / summary.simulated_ns;
    let integral = mean_under_way(&log(&outcome), |dma| dma.intended_ps, |dma| dma.completed_ps);
    assert_within("rate x latency", rate * summary.latency_mean_ns, integral, 0.001);
    // The clients begin at once; at the end they stop one after the other.
    assert_within("clients", integral, 32.0, 0.001);
}

/// The most requests that were between two moments of theirs at any time, of each group.
fn most_under_way<K: Ord>(
    dmas: &[Dma],
    group: impl Fn(&Dma) -> K,
    done: impl Fn(&Dma) -> u64,
) -> Vec<(K, i64)> {
    let mut groups = std::collections::BTreeMap::<K, Vec<(u64, i64)>>::new();
    for dma in dmas {
        // What is done at one instant makes room for what is issued at it.
        groups.entry(group(dma)).or_default().extend([(dma.issued_ps, 1), (done(dma), -1)]);
    }
    groups
        .into_iter()
        .map(|(group, mut changes)| {
            changes.sort_unstable();
            let mut under_way = 0;
            let mut most = 0;
            for (_, change) in changes {
                under_way += change;
                most = most.max(under_way);
            }
            (group, most)
        })
        .collect()
}

/// An adapter that is offered more than it may have under way has just that under way, and each VF too.
#[test]
fn limits_of_requests_under_way_are_reached_and_kept() {
    let reads = ["requests=20000", "tenants.copy.read_share=1.0", "tenants.copy.sizes=512"];
    let limited = |more: &[&str]| builtin("gpu-copy-2m", &[&reads[..], more].concat());
    let done = |dma: &Dma| dma.completed_ps;
    for retire in ["out_of_order", "in_order"] {
        let retire = format!("device.retire={retire}");
        let adapter = limited(&["device.outstanding=31", &retire]);
        let dmas = log(&run_logged(&adapter));
        assert_eq!(most_under_way(&dmas, |_| (), done), [((), 31)], "{retire}");

        let vfs = limited(&["scheduler.vf_outstanding=3", &retire]);
        let dmas = log(&run_logged(&vfs));
        let most = most_under_way(&dmas, |dma| dma.vf, done);
        assert_eq!(most.len(), 8);
        assert!(most.iter().all(|(_, most)| *most == 3), "{retire}: {most:?}");
    }
}

/// In order, an adapter's reads complete in the order of their issue, and so a long walk holds up those
/// behind it: throughput is less than out of order.
#[test]
fn retirement_in_order_holds_up_what_is_done() {
    let machine = |retire: &str| {
        let retire = format!("device.retire={retire}");
        // Few walks, but long ones, and walkers enough.
        let mut changes =
            vec!["requests=50000", "tenants.quiet.arrivals.mops_per_vf=20", "device.outstanding=16"];
        changes.extend(["iommu.walkers.memory_ns=500", "iommu.walkers.count=64", &retire]);
        run_logged(&builtin("noisy-neighbour", &changes))
    };
    let (in_order, out_of_order) = (machine("in_order"), machine("out_of_order"));
    let mut reads: Vec<_> = log(&in_order)
        .iter()
        .filter(|dma| dma.op == "r")
        .map(|dma| (dma.issued_ps, dma.completed_ps))
        .collect();
    reads.sort_unstable();
    assert!(reads.windows(2).all(|pair| pair[0].1 <= pair[1].1), "reads complete in the order of issue");
    let span = |outcome: &crate::support::Outcome| outcome.summary.simulated_ns;
    assert!(
        span(&in_order) > 1.05 * span(&out_of_order),
        "in order {} ns, out of order {} ns",
        span(&in_order),
        span(&out_of_order)
    );
}
