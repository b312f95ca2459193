//! The arrivals of all links in one order: ties by adapter, then in the order of the link.

use bevy_ecs::prelude::*;

use super::components::{Arrivals, Arrived};
use crate::gate::{Arrival, Candidates, Uplink};
use crate::invalidation::ControlPlane;
use crate::memory::{Downlink, MemoryTimes};
use crate::merge::merge;
use crate::silence::Silence;
use crate::topology::{ADAPTERS_MAX, columns_mut};
use crate::units::Picoseconds;

/// The time before which no request can arrive behind those in flight.
fn earliest_unknown(
    uplink: &Uplink,
    candidates: &Candidates,
    downlink: &Downlink,
    memory: &MemoryTimes,
) -> Picoseconds {
    let earliest_start = uplink.earliest_start(candidates, downlink.returns_from(uplink, memory));
    earliest_start.saturating_add(uplink.wires.least_upstream())
}

/// Takes from the links every arrival whose place in the order is known.
pub fn order_arrivals(
    iommu: Single<(&mut Arrivals, &MemoryTimes, &ControlPlane)>,
    mut adapters: Query<(&Candidates, &Downlink, &mut Uplink, &Silence)>,
) {
    let (mut arrivals, memory, control) = iommu.into_inner();
    let arrivals = &mut *arrivals;
    let (candidates, downlinks, mut uplinks, silences) = columns_mut!(adapters);
    let uplinks = uplinks.bypass_change_detection();
    let mut behind = [Picoseconds::MAX; ADAPTERS_MAX];
    for (adapter, uplink) in uplinks.iter().enumerate() {
        behind[adapter] = earliest_unknown(uplink, &candidates[adapter], &downlinks[adapter], memory);
    }
    let mut in_flight: [&[Arrival]; ADAPTERS_MAX] = [&[]; ADAPTERS_MAX];
    for (flight, uplink) in in_flight.iter_mut().zip(&*uplinks) {
        *flight = uplink.in_flight.waiting();
    }
    let links = uplinks.len();
    let mut taken = [0; ADAPTERS_MAX];
    arrivals.until = match (&in_flight[..links], &behind[..links]) {
        (&[first, second], &[behind_first, behind_second]) => {
            let (until, of_two) =
                merge_two([first, second], [behind_first, behind_second], &mut arrivals.ordered);
            taken[..2].copy_from_slice(&of_two);
            until
        }
        (in_flight, behind) => merge_any(in_flight, behind, &mut taken[..links], &mut arrivals.ordered),
    };
    if arrivals.stepwise {
        let limit = control.0.as_ref().map_or(Picoseconds::MAX, |control| {
            earliest_unmap_by_a_read(uplinks, downlinks, memory).saturating_add(control.least_reaction())
        });
        let switches = silences.iter().filter_map(|silence| silence.0.as_deref());
        let limit = switches.map(|switching| switching.controls_from).fold(limit, Picoseconds::min);
        // A control event comes before an arrival at that very time.
        let known = arrivals.ordered.partition_point(|arrived| arrived.time < limit);
        arrivals.ordered.truncate(known);
        arrivals.until = arrivals.until.min(limit);
        arrivals.controls_from = limit;
        return;
    }
    for (uplink, taken) in uplinks.iter_mut().zip(taken) {
        uplink.in_flight.take(taken);
    }
}

/// No read of a VF with streaming mappings whose completion is not known is complete before this time.
fn earliest_unmap_by_a_read(uplinks: &[Uplink], downlinks: &[Downlink], memory: &MemoryTimes) -> Picoseconds {
    let streams = uplinks.iter().zip(downlinks).filter(|(uplink, _)| uplink.streams);
    let returns = streams.map(|(uplink, downlink)| downlink.returns_from(uplink, memory));
    returns.min().unwrap_or(Picoseconds::MAX)
}

/// Merges what is in flight on two links, as far as nothing can come before it; `behind` bounds what
/// follows on each, and is not before the last in flight. Returns the bound of what follows in all,
/// and what it took from each.
fn merge_two(
    in_flight: [&[Arrival]; 2],
    behind: [Picoseconds; 2],
    ordered: &mut Vec<Arrived>,
) -> (Picoseconds, [usize; 2]) {
    // Where they tie, the first link goes first.
    let [first, second] = in_flight;
    let until = behind[0].min(behind[1]);
    let taken = if behind[0] <= behind[1] {
        [first.len(), second.partition_point(|arrival| arrival.time < until)]
    } else {
        [first.partition_point(|arrival| arrival.time <= until), second.len()]
    };
    merge(
        &first[..taken[0]],
        &second[..taken[1]],
        |arrival| arrival.time,
        |&Arrival { time, row }, is_second| Arrived { time, row, adapter: u32::from(is_second) },
        ordered,
    );
    (until, taken)
}

/// The same for any number of links, run by run.
fn merge_any(
    in_flight: &[&[Arrival]],
    behind: &[Picoseconds],
    taken: &mut [usize],
    ordered: &mut Vec<Arrived>,
) -> Picoseconds {
    ordered.clear();
    let mut next = [Picoseconds::MAX; ADAPTERS_MAX];
    let next = &mut next[..in_flight.len()];
    for (adapter, next) in next.iter_mut().enumerate() {
        *next = in_flight[adapter].first().map_or(behind[adapter], |arrival| arrival.time);
    }
    loop {
        // The link that comes first, and the first time at which another may come between.
        let (mut first, mut time) = (0, next[0]);
        let mut others = Picoseconds::MAX;
        for (adapter, &candidate) in next.iter().enumerate().skip(1) {
            if candidate < time {
                // An adapter before this one comes first where they tie.
                others = time;
                (first, time) = (adapter, candidate);
            } else {
                // This one has to wait where they tie.
                others = others.min(candidate.saturating_add(Picoseconds(1)));
            }
        }
        let waiting = &in_flight[first][taken[first]..];
        if waiting.is_empty() {
            return time;
        }
        let adapter = first as u32;
        let run = waiting.iter().take_while(|arrival| arrival.time < others).count();
        ordered.extend(waiting[..run].iter().map(|&Arrival { time, row }| Arrived { time, row, adapter }));
        taken[first] += run;
        next[first] = waiting.get(run).map_or(behind[first], |arrival| arrival.time);
    }
}
