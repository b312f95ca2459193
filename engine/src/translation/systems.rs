//! Takes arrivals in order from every link and runs the ordered pass over them.

use bevy_ecs::prelude::*;

use super::components::*;
use super::faults::FaultQueue;
use super::kernel::{Context, Demand, OrderedPass, Segment};
use super::replacement::{Replacement, with_iotlb};
use super::walkers::Walkers;
use crate::account::AuditPolicy;
use crate::domain::PageTable;
use crate::gate::{Candidates, Credit, Halt, Refunds, Uplink};
use crate::memory::Downlink;
use crate::request::{Address, Sequence, SourceVf, Transfer};
use crate::schedule::Progress;
use crate::topology::{columns, columns_mut};
use crate::units::Picoseconds;

/// Arrivals whose cache lines are asked for in advance.
const PREFETCH_DISTANCE: usize = 16;

/// Adapters a host can have.
const ADAPTERS_MAX: usize = 64;

/// The next arrival of an adapter, or a time before which none can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Known(Picoseconds),
    NotBefore(Picoseconds),
}

/// The next arrivals of all adapters.
struct NextArrivals {
    /// The time of each, exact or a bound.
    times: [Picoseconds; ADAPTERS_MAX],
    /// A bit for each time that is exact.
    known: u64,
    adapters: usize,
}

impl NextArrivals {
    #[inline]
    fn set(&mut self, adapter: usize, next: Next) {
        let (time, known) = match next {
            Next::Known(time) => (time, true),
            Next::NotBefore(time) => (time, false),
        };
        self.times[adapter] = time;
        self.known = self.known & !(1 << adapter) | u64::from(known) << adapter;
    }

    /// The adapter of the earliest, the lowest where several tie.
    #[inline]
    fn first(&self) -> usize {
        let times = &self.times[..self.adapters];
        let mut first = 0;
        for (adapter, time) in times.iter().enumerate().skip(1) {
            if *time < times[first] {
                first = adapter;
            }
        }
        first
    }
}

/// `drained` says that the adapter had nothing in flight when the pass began, so that all its reads
/// without a completion are pending on the downlink.
fn next_arrival(uplink: &Uplink, candidates: &Candidates, downlink: &Downlink, drained: bool) -> Next {
    if let Some(arrival) = uplink.in_flight.waiting().first() {
        return Next::Known(arrival.time);
    }
    let least_start = match uplink.halt {
        Halt::Horizon => candidates.horizon,
        Halt::Tags if drained => downlink
            .earliest_start()
            .map_or(Picoseconds::ZERO, |start| start + uplink.wires.least_downstream()),
        // What it waits for came during this pass: nothing is known but that the link is free.
        Halt::Credits | Halt::Tags => Picoseconds::ZERO,
    };
    Next::NotBefore(least_start.max(uplink.free_at).saturating_add(uplink.wires.least_upstream()))
}

/// What the ordered pass reads of a request and writes to it.
struct Columns<'a> {
    source: &'a [SourceVf],
    sequence: &'a [Sequence],
    address: &'a [Address],
    transfer: &'a [Transfer],
    looked_up_at: &'a mut [LookedUpAt],
    translated: &'a mut [Translated],
    resolution: &'a mut [Resolution],
    counts: &'a mut [LookupCounts],
}

/// Where the ordered pass leaves what is not a column.
struct Notes<'a> {
    looked_up: &'a mut Vec<u32>,
    reached: &'a mut Vec<ReachedPiece>,
    faults: &'a mut FaultQueue,
    audit: AuditPolicy,
}

/// The ordered pass over every arrival whose place in the order is known: ties by adapter, then in
/// the order of the link.
#[expect(clippy::type_complexity, reason = "the query is the stage's data flow")]
pub fn translate(
    iommu: Single<(
        &mut IotlbState,
        &mut Walkers,
        &TranslationTimes,
        &AuditPolicy,
        &mut FaultQueue,
        &mut LookupClock,
        &mut LookupBound,
        &mut LookedUp,
        &mut Reached,
    )>,
    mut adapters: Query<(&Candidates, &Downlink, &mut Uplink, &mut Refunds<Credit>)>,
    vfs: Query<&ContextEntry>,
    tables: Query<&PageTable>,
    mut requests: Query<(
        &SourceVf,
        &Sequence,
        &Address,
        &Transfer,
        &mut LookedUpAt,
        &mut Translated,
        &mut Resolution,
        &mut LookupCounts,
    )>,
    mut progress: ResMut<Progress>,
) {
    let (mut iotlb, mut walkers, times, audit, mut faults, mut clock, mut bound, mut looked_up, mut reached) =
        iommu.into_inner();
    let (candidates, downlinks, mut uplinks, mut credits) = columns_mut!(adapters);
    let (uplinks, credits) = (uplinks.bypass_change_detection(), credits.bypass_change_detection());
    let (source, sequence, address, transfer, mut looked_up_at, mut translated, mut resolution, mut counts) =
        columns_mut!(requests);
    let mut columns = Columns {
        source,
        sequence,
        address,
        transfer,
        looked_up_at: looked_up_at.bypass_change_detection(),
        translated: translated.bypass_change_detection(),
        resolution: resolution.bypass_change_detection(),
        counts: counts.bypass_change_detection(),
    };
    looked_up.0.clear();
    let mut notes =
        Notes { looked_up: &mut looked_up.0, reached: &mut reached.0, faults: &mut faults, audit: *audit };
    let contexts = columns!(vfs);
    let tables = columns!(tables);
    with_iotlb!(&mut iotlb.0, |iotlb| {
        let mut pass =
            OrderedPass { iotlb, walkers: &mut walkers, tables, walk_costs: times.walks, hit: times.hit };
        bound.0 = run_pass(
            &mut pass,
            candidates,
            downlinks,
            uplinks,
            credits,
            contexts,
            &mut columns,
            &mut notes,
            &mut clock.0,
        );
        if bound.0 == Picoseconds::MAX {
            pass.end_walks(Picoseconds::MAX);
        }
    });
    progress.0 += looked_up.0.len() as u64;
}

/// Merges the links' arrivals; returns the time before which no further look-up can happen.
#[expect(clippy::too_many_arguments, reason = "one slice a component; a struct would only rename them")]
fn run_pass<P: Replacement>(
    pass: &mut OrderedPass<'_, P>,
    candidates: &[Candidates],
    downlinks: &[Downlink],
    uplinks: &mut [Uplink],
    credits: &mut [Refunds<Credit>],
    contexts: &[ContextEntry],
    columns: &mut Columns<'_>,
    notes: &mut Notes<'_>,
    clock: &mut Picoseconds,
) -> Picoseconds {
    let mut drained = 0_u64;
    let mut next =
        NextArrivals { times: [Picoseconds::MAX; ADAPTERS_MAX], known: 0, adapters: uplinks.len() };
    for (adapter, uplink) in uplinks.iter().enumerate() {
        let waiting = uplink.in_flight.waiting();
        drained |= u64::from(waiting.is_empty()) << adapter;
        next.set(
            adapter,
            next_arrival(uplink, &candidates[adapter], &downlinks[adapter], waiting.is_empty()),
        );
        for arrival in waiting.iter().take(PREFETCH_DISTANCE) {
            prefetch_row(pass, contexts, columns, arrival.row);
        }
    }
    loop {
        let adapter = next.first();
        if next.known >> adapter & 1 == 0 {
            return next.times[adapter].max(*clock);
        }
        let uplink = &mut uplinks[adapter];
        let waiting = uplink.in_flight.waiting();
        let arrival = waiting[0];
        if let Some(ahead) = waiting.get(PREFETCH_DISTANCE) {
            prefetch_row(pass, contexts, columns, ahead.row);
        }
        uplink.in_flight.take_first();
        let now = arrival.time.max(*clock);
        *clock = translate_row(pass, contexts, columns, notes, arrival.row, now);
        credits[adapter].give_back(*clock + uplink.wires.propagation);
        let drained = drained >> adapter & 1 != 0;
        next.set(adapter, next_arrival(uplink, &candidates[adapter], &downlinks[adapter], drained));
    }
}

#[inline]
fn prefetch_row<P: Replacement>(
    pass: &OrderedPass<'_, P>,
    contexts: &[ContextEntry],
    columns: &Columns<'_>,
    row: u32,
) {
    let context = contexts[columns.source[row as usize].0 as usize].0;
    pass.prefetch(context, columns.address[row as usize].0);
}

#[inline]
fn translate_row<P: Replacement>(
    pass: &mut OrderedPass<'_, P>,
    contexts: &[ContextEntry],
    columns: &mut Columns<'_>,
    notes: &mut Notes<'_>,
    row: u32,
    now: Picoseconds,
) -> Picoseconds {
    let at = row as usize;
    let vf = columns.source[at].0;
    let context: Option<Context> = contexts[vf as usize].0;
    let Transfer { length_bytes, op } = columns.transfer[at];
    let demand = Demand { context, iova: columns.address[at].0, length_bytes: u64::from(length_bytes), op };
    let audited = notes.audit.judges(columns.sequence[at].0);
    let first_piece = notes.reached.len();
    let answer = pass.translate(now, &demand, |segment: Segment| {
        if audited {
            notes.reached.push(ReachedPiece { row, segment });
        }
    });
    columns.looked_up_at[at] = LookedUpAt(now);
    columns.translated[at] = Translated(answer.translated);
    columns.counts[at] = LookupCounts(answer.lookups);
    columns.resolution[at] = match answer.outcome {
        Ok(pa) => Resolution { address: pa.0, fault: None },
        Err((fault, iova)) => {
            // A blocked DMA touches no memory, whatever its first leaves translated to.
            notes.reached.truncate(first_piece);
            notes.faults.note(FaultNote { time: answer.translated, vf, iova, op, fault });
            Resolution { address: iova.0, fault: Some(fault) }
        }
    };
    notes.looked_up.push(row);
    answer.taken_up
}
