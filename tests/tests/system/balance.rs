//! A fleet of unequal hosts: all go to the end together, and threads have work until then.

use portcullis_engine::simulation::Simulation;
use portcullis_workloads::Scenario;

use crate::support::custom;

/// One host that does as much as 24 others, and these.
const ONE_BIG: &str = r#"
name = "one-big"
requests = 120_000

[topology]
hosts = 25
vfs_per_adapter = 2

[engine]
visit_requests = 400
batch_requests = 50

[[hosts]]
name = "big"
count = 1
topology = { adapters_per_host = 4, vfs_per_adapter = 12 }

[[hosts]]
name = "small"

[[tenants]]
name = "all"
sizes = 64
arrivals = { mops_per_vf = 1.0 }
"#;

/// Requests of each world, round by round.
fn rounds(scenario: &Scenario) -> Vec<Vec<u64>> {
    let mut simulation = Simulation::build(scenario.plan()).expect("a plan that can be built");
    let emitted = |simulation: &Simulation| -> Vec<u64> {
        simulation.worlds().iter().map(|world| world.emitted()).collect()
    };
    let (mut rounds, mut before) = (Vec::new(), emitted(&simulation));
    loop {
        let finished = simulation.advance().finished;
        let now = emitted(&simulation);
        rounds.push(now.iter().zip(&before).map(|(now, before)| now - before).collect());
        before = now;
        if finished {
            return rounds;
        }
    }
}

/// How long rounds take on two threads where each request takes as long: the longest first, each to the thread that
/// is free first.
fn on_two_threads(rounds: &[Vec<u64>]) -> u64 {
    let of_round = |round: &Vec<u64>| {
        let mut sorted = round.clone();
        sorted.sort_unstable();
        let mut threads = [0, 0];
        for work in sorted.into_iter().rev() {
            let free = usize::from(threads[1] < threads[0]);
            threads[free] += work;
        }
        threads[0].max(threads[1])
    };
    rounds.iter().map(of_round).sum()
}

#[test]
fn one_big_host_among_small_ones_leaves_no_tail() {
    let rounds = rounds(&custom(ONE_BIG, &[]));
    assert!(rounds.len() > 8, "{} rounds", rounds.len());
    let totals: Vec<u64> = (0..25).map(|world| rounds.iter().map(|round| round[world]).sum()).collect();
    let total: u64 = totals.iter().sum();
    assert_eq!((total, totals[0]), (120_000, 60_000));
    // At no time is a host further on its way than another by more than two rounds.
    let mut done = [0; 25];
    for (number, round) in rounds.iter().enumerate() {
        done.iter_mut().zip(round).for_each(|(done, more)| *done += more);
        let shares = done.iter().zip(&totals).map(|(done, total)| *done as f64 / *total as f64);
        let (least, most) = shares.fold((1.0_f64, 0.0_f64), |(a, b), share| (a.min(share), b.max(share)));
        assert!(most - least < 2.0 / rounds.len() as f64, "round {number}: from {least} to {most}");
    }
    // Two threads share the work evenly; visits of equal length would leave the big host alone for most of its time.
    let took = on_two_threads(&rounds) as f64 / (total as f64 / 2.0);
    assert!(took < 1.1, "{took} of the least");
    let visits = |total: u64| (0..total.div_ceil(400)).map(move |visit| (total - visit * 400).min(400));
    let longest = totals[0].div_ceil(400);
    let equal: Vec<Vec<u64>> = (0..longest as usize)
        .map(|round| totals.iter().filter_map(|total| visits(*total).nth(round)).collect())
        .collect();
    assert!(on_two_threads(&equal) as f64 / (total as f64 / 2.0) > 1.45);
}

#[test]
fn a_visit_is_as_long_on_average_as_it_is_asked_to_be() {
    // Loops behind a slow IOMMU take many times as long as is expected: the pace is corrected.
    let slow = [
        "tenants.all.arrivals.kind=closed",
        "tenants.all.arrivals.outstanding=2",
        "iommu.walkers.walk_ns=3000",
        "iommu.iotlb.ways=1",
        "iommu.iotlb.entries=1",
    ];
    for changes in [&[][..], &slow] {
        let rounds = rounds(&custom(ONE_BIG, changes));
        // Not the first ones, whose pace is a guess, nor the last, which end.
        let settled = &rounds[rounds.len() / 4..rounds.len() * 3 / 4];
        let visits: Vec<u64> = settled.iter().flatten().copied().filter(|visit| *visit > 0).collect();
        let mean = visits.iter().sum::<u64>() as f64 / visits.len() as f64;
        assert!((300.0..600.0).contains(&mean), "{mean} requests a visit, {changes:?}");
    }
}
