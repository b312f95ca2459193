//! Every request is somewhere, and in one place, at any time; queues and the pool keep their bounds.

use std::collections::{BTreeMap, HashSet};

use portcullis_engine::account::{VfBooks, VfIncidents};
use portcullis_engine::gate::{Candidates, Uplink, VfQueue};
use portcullis_engine::memory::{Downlink, Retirement};
use portcullis_engine::request::Intent;
use portcullis_engine::simulation::IommuSimulation;
use portcullis_engine::topology::Spans;
use portcullis_engine::traffic::{Batch, BatchLimits, Live, TrafficSource};
use portcullis_workloads::Scenario;

use crate::support::{builtin, log, numbers, run_logged, scenarios, vf_places, warm_scenarios};

/// Where the requests of a VF are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Whereabouts {
    emitted: u64,
    /// Over, and not counted.
    warm_up: u64,
    translated: u64,
    blocked: u64,
    /// Taken from the source before its time has come.
    coming: u64,
    /// Held up in the source by a full queue.
    stalled: u64,
    /// In the queue.
    queued: u64,
    /// On the link to the IOMMU, or before its look-up.
    in_flight: u64,
    /// Reads whose data is on its way back.
    returning: u64,
    /// Reads whose data is back, behind others that must retire first.
    retiring: u64,
}

impl Whereabouts {
    /// How many are in each place on their way.
    fn places(&self) -> [u64; 6] {
        let Self { coming, stalled, queued, in_flight, returning, retiring, .. } = *self;
        [coming, stalled, queued, in_flight, returning, retiring]
    }

    fn under_way(&self) -> u64 {
        self.places().iter().sum()
    }
}

/// Where the requests of every VF of a world are. Each live row of the pool must be in one place, and
/// nothing else may be anywhere.
fn whereabouts(host: &mut IommuSimulation) -> Vec<Whereabouts> {
    let world = host.world_mut();
    let batch = *world.resource::<Batch>();
    let intents: Vec<Intent> = world.query::<&Intent>().iter(world).copied().collect();
    let mut places: Vec<u32> = Vec::new();
    let mut vfs: Vec<Whereabouts> = Vec::new();
    let mut waiting = Vec::new();
    let mut query = world.query::<(&TrafficSource, &VfBooks, &VfIncidents, &VfQueue)>();
    for (source, books, incidents, queue) in query.iter(world) {
        assert!(queue.waiting <= queue.entries, "{queue:?}");
        waiting.push(u64::from(queue.waiting));
        places.extend(&queue.stalled);
        places.extend(queue.held.iter().chain(&queue.aside).map(|held| held.row));
        vfs.push(Whereabouts {
            emitted: source.emitted,
            warm_up: incidents.warm_up,
            translated: books.translated.iter().sum(),
            blocked: incidents.blocked.iter().sum(),
            stalled: queue.stalled.len() as u64,
            queued: (queue.held.len() + queue.aside.len()) as u64,
            ..Whereabouts::default()
        });
    }
    let mut query = world.query::<(&Candidates, &Uplink, &Downlink, &mut Retirement)>();
    for (candidates, uplink, downlink, mut retirement) in query.iter_mut(world) {
        let mut put = |row: u32, place: fn(&mut Whereabouts) -> &mut u64| {
            *place(&mut vfs[intents[row as usize].vf as usize]) += 1;
            places.push(row);
        };
        let queued = uplink.released.waiting().iter().map(|one| one.row);
        let queued = queued.chain(uplink.ready.waiting().iter().chain(&uplink.next).map(|ready| ready.row));
        queued.for_each(|row| put(row, |vf| &mut vf.queued));
        candidates.rows[candidates.admitted..].iter().for_each(|row| put(*row, |vf| &mut vf.coming));
        let in_flight = uplink.in_flight.waiting().iter().map(|arrival| arrival.row);
        let returning = downlink.pending.iter().map(|pending| pending.row);
        let on_the_way: HashSet<u32> = in_flight.clone().chain(returning.clone()).collect();
        in_flight.for_each(|row| put(row, |vf| &mut vf.in_flight));
        returning.for_each(|row| put(row, |vf| &mut vf.returning));
        // Where requests retire in order, all reads that have left are noted, until they retire.
        retirement.for_each_row(|row| {
            if !on_the_way.contains(row) {
                put(*row, |vf| &mut vf.retiring);
            }
        });
    }
    assert_eq!(
        vfs.iter().map(|vf| vf.queued).collect::<Vec<_>>(),
        waiting,
        "what the queues say of themselves"
    );
    let live: Vec<bool> = world.query::<&Live>().iter(world).map(|live| live.0).collect();
    let rows = (0_u32..).zip(&live).filter(|(_, live)| **live).map(|(row, _)| row);
    places.sort_unstable();
    assert!(places.iter().copied().eq(rows), "a live row is in two places, in none, or another is in one");
    assert_eq!(vfs.iter().map(|vf| vf.emitted).sum::<u64>(), batch.emitted);
    assert_eq!(vfs.iter().map(|vf| vf.warm_up + vf.translated + vf.blocked).sum::<u64>(), batch.over);
    vfs
}

/// The worlds of a scenario, cut into small batches.
fn worlds(scenario: &Scenario, batch_requests: u32) -> Vec<IommuSimulation> {
    let mut plan = scenario.plan();
    plan.batch.batch_requests = batch_requests;
    let spans = Spans::new(&plan);
    plan.hosts().flat_map(|(host, _)| IommuSimulation::of_host(&plan, &spans, host)).collect()
}

#[test]
fn every_request_is_in_one_place_at_any_time() {
    let (mut seen, mut seen_held_up) = ([0; 6], false);
    for (name, scenario) in scenarios().into_iter().chain(warm_scenarios()) {
        let mut total = 0;
        for (number, mut host) in worlds(&scenario, 200).into_iter().enumerate() {
            let rows_per_vf = u64::from(host.world_mut().resource::<BatchLimits>().rows_per_vf);
            let mut before = Vec::new();
            let mut batches = 0;
            while !host.is_finished() {
                host.step();
                batches += 1;
                let now = whereabouts(&mut host);
                for (vf, place) in now.iter().enumerate() {
                    let label = || format!("{name}, host {number}, VF {vf}, batch {batches}: {place:?}");
                    let over = place.warm_up + place.translated + place.blocked;
                    assert_eq!(place.emitted, over + place.under_way(), "{}", label());
                    for (seen, now) in seen.iter_mut().zip(place.places()) {
                        *seen = now.max(*seen);
                    }
                }
                for (earlier, later) in before.iter().zip(&now) {
                    // What is over stays over, and a source that is held up is asked for no more.
                    let Whereabouts { emitted, translated, blocked, stalled, .. } = *earlier;
                    assert!(translated <= later.translated && blocked <= later.blocked, "{name}");
                    let held_up = stalled >= rows_per_vf;
                    assert!(
                        if held_up { emitted == later.emitted } else { emitted <= later.emitted },
                        "{name}"
                    );
                    seen_held_up |= held_up;
                }
                before = now;
            }
            assert!(before.iter().all(|vf| vf.under_way() == 0), "{name}, host {number}: {before:?}");
            assert!(batches > 10, "{name} was looked at {batches} times");
            total += before.iter().map(|vf| vf.emitted).sum::<u64>();
        }
        assert_eq!(scenario.requests.unwrap_or(total), total, "{name} intends what it was asked for");
    }
    assert!(seen.iter().all(|most| *most > 0), "a place was never used: {seen:?}");
    assert!(seen_held_up, "no source was held up");
}

#[test]
fn every_request_that_is_intended_is_over_in_the_end() {
    for (name, scenario) in scenarios().into_iter().chain(warm_scenarios()) {
        let outcome = run_logged(&scenario);
        let tenants = &outcome.tenants;
        let [total, warm_up, translated, blocked, reads, writes] =
            ["dma_total", "dma_warmup", "dma_translated", "dma_blocked", "dma_reads", "dma_writes"]
                .map(|column| numbers(tenants, column));
        let mut sequences: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for dma in log(&outcome) {
            sequences.entry(dma.vf).or_default().push(dma.sequence);
        }
        for (row, vf) in vf_places(tenants).into_iter().enumerate() {
            assert_eq!(total[row], translated[row] + blocked[row], "{name}, {vf:?}");
            assert_eq!(total[row], reads[row] + writes[row], "{name}, {vf:?}");
            let mut logged = sequences.remove(&vf).unwrap_or_default();
            logged.sort_unstable();
            assert!(logged.into_iter().eq(0..total[row] + warm_up[row]), "{name}, {vf:?}: one row a request");
        }
        assert!(sequences.is_empty(), "{name}: requests of nobody");
        let [sum, left_out] = [total, warm_up].map(|column| column.iter().sum::<u64>());
        assert_eq!(sum + left_out, scenario.requests.unwrap_or(sum + left_out), "{name}");
        assert_eq!((sum, left_out), (outcome.summary.dma_total, outcome.summary.dma_warmup), "{name}");
    }
}

#[test]
fn time_goes_forward_for_every_request() {
    for (name, scenario) in scenarios() {
        let outcome = run_logged(&scenario);
        let mut by_vf: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for dma in log(&outcome) {
            assert!(dma.intended_ps <= dma.issued_ps, "{name}: {dma:?}");
            assert!(dma.issued_ps < dma.translated_ps, "{name}: {dma:?}");
            assert!(dma.translated_ps <= dma.completed_ps, "{name}: {dma:?}");
            by_vf.entry(dma.vf).or_default().push(dma);
        }
        // What a source intends stays in order.
        for (vf, mut dmas) in by_vf {
            dmas.sort_unstable_by_key(|dma| dma.sequence);
            for pair in dmas.windows(2) {
                assert!(pair[0].intended_ps <= pair[1].intended_ps, "{name}, {vf:?}: {pair:?}");
                assert!(pair[0].issued_ps < pair[1].issued_ps, "{name}, {vf:?}: {pair:?}");
            }
        }
    }
}

/// The most requests that are under way at once, of those that begin and end at the given times; one
/// that ends when another begins makes room for it.
fn most_at_once(spans: impl Iterator<Item = (u64, u64)>) -> i64 {
    let mut changes: Vec<(u64, i64)> = spans.flat_map(|(begin, end)| [(begin, 1), (end, -1)]).collect();
    changes.sort_unstable();
    let mut now = 0;
    changes
        .into_iter()
        .map(|(_, change)| {
            now += change;
            now
        })
        .max()
        .unwrap_or(0)
}

/// A read is under way from its issue to its completion. Writes count too, but the log does not say when
/// they have left the device, so only reads are counted here.
#[test]
fn no_more_reads_are_under_way_than_may_be() {
    for (name, scenario) in scenarios() {
        let mut of_adapter: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut of_vf: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for dma in log(&run_logged(&scenario)).into_iter().filter(|dma| dma.op == "r") {
            let span = (dma.issued_ps, dma.completed_ps);
            of_adapter.entry((dma.vf.0, dma.vf.1)).or_default().push(span);
            of_vf.entry(dma.vf).or_default().push(span);
        }
        let most_of_adapter = of_adapter.into_values().map(|spans| most_at_once(spans.into_iter())).max();
        let most_of_vf = of_vf.into_values().map(|spans| most_at_once(spans.into_iter())).max();
        let bound = |limit: u32| if limit == 0 { i64::MAX } else { i64::from(limit) };
        let (device, scheduler) = (&scenario.device, &scenario.scheduler);
        for (what, most, limit) in [
            ("tags", most_of_adapter, bound(device.read_tags)),
            ("an adapter's slots", most_of_adapter, bound(device.outstanding)),
            ("a VF's slots", most_of_vf, bound(scheduler.vf_outstanding)),
        ] {
            let most = most.expect("reads");
            assert!(most <= limit, "{name}: {most} reads for {limit} of {what}");
            // Where there are few, all are in use at some time.
            let least = i64::from(device.read_tags).min(bound(device.outstanding));
            let tight = if what == "a VF's slots" { limit <= 2 } else { limit <= 6 && limit == least };
            assert!(!tight || most == limit, "{name}: {most} reads at most, for {limit} of {what}");
        }
    }
}

/// Rows of the pool at the end of a run.
fn pool(scenario: &Scenario) -> usize {
    let [mut host] = <[_; 1]>::try_from(worlds(scenario, 500)).ok().expect("one world");
    while !host.is_finished() {
        host.step();
    }
    let world = host.world_mut();
    world.query::<&Live>().iter(world).len()
}

#[test]
fn memory_does_not_grow_with_simulated_time() {
    let overload = ["link.generation=1", "link.lanes=2", "scheduler.vf_queue_entries=16"];
    for (name, changes) in [("default", &[][..]), ("default", &overload), ("gpu-copy-2m", &[])] {
        let of = |requests| pool(&builtin(name, &[&[requests], changes].concat()));
        let (short, long) = (of("requests=150000"), of("requests=1500000"));
        assert_eq!(short, long, "{name}, {changes:?}");
    }
}
