//! Begins a batch: reuses rows, takes what the sources intend, orders it.

use bevy_ecs::prelude::*;

use super::components::{Batch, BatchLimits, Feedback, Live, NextIntended, TrafficSource};
use super::kernel::{SortScratch, append, compact, compaction, number, order};
use super::staging::Staged;
use crate::account::RequestLog;
use crate::attribution::{GateWaits, MemoryWaits, SplitSoFar, Waits, WalkWaits};
use crate::crash::HeldBack;
use crate::device_tlb::DeviceTlb;
use crate::gate::{Candidates, Halt, Uplink, VfQueue};
use crate::hash::mix64;
use crate::invalidation::{Control, ControlPlane};
use crate::link::Issued;
use crate::memory::{Completed, Downlink, MemoryTimes, Retired, Retirement};
use crate::prefetch::prefetch;
use crate::request::{DmaRequest, Intent, Sequence};
use crate::topology::{AdapterVfs, columns_mut, optional_columns_mut};
use crate::translation::{Translation, TranslationTimes};
use crate::units::Picoseconds;

/// Buffers the stage keeps from batch to batch.
#[derive(Default)]
pub struct Scratch {
    renumbered: Vec<u32>,
    moves: Vec<(u32, u32)>,
}

/// Where [`emit`] puts new requests in order.
#[derive(Default)]
pub struct Ordering {
    staged: Staged,
    scratch: SortScratch,
    sorted: Vec<u64>,
}

/// Moves the requests that are not over to the front of the pool.
pub fn reuse_rows(
    mut batch: ResMut<Batch>,
    mut scratch: Local<Scratch>,
    mut requests: Query<(
        &mut Live,
        &mut Intent,
        &mut Sequence,
        &mut Issued,
        &mut Translation,
        &mut Completed,
    )>,
    mut waits: (
        Query<&mut GateWaits>,
        Query<&mut WalkWaits>,
        Query<&mut MemoryWaits>,
        Query<&mut SplitSoFar>,
    ),
    mut adapters: Query<(&mut Candidates, &mut Uplink, &mut Downlink, &mut Retirement, &mut DeviceTlb)>,
    mut vfs: Query<&mut VfQueue>,
    log: Single<(&mut RequestLog, &mut HeldBack)>,
) {
    let (mut log, mut held_back) = log.into_inner();
    for (mut candidates, ..) in &mut adapters {
        let admitted = core::mem::take(&mut candidates.admitted);
        candidates.rows.drain(..admitted);
    }
    if batch.over_since_reuse * 2 < u64::from(batch.rows) {
        // Moving what lives on pays when at least as much is over.
        return;
    }
    batch.over_since_reuse = 0;
    let Scratch { renumbered, moves } = &mut *scratch;
    let (mut live, mut intents, mut sequence, mut issued, mut translations, mut completed) =
        columns_mut!(requests);
    let live = &mut live.bypass_change_detection()[..batch.rows as usize];
    let kept = compaction(live, renumbered);
    moves.clear();
    moves.extend(
        renumbered
            .iter()
            .zip(0_u32..)
            .filter(|(to, from)| **to != u32::MAX && *to != from)
            .map(|(to, from)| (from, *to)),
    );
    live[..kept as usize].fill(Live(true));
    live[kept as usize..].fill(Live(false));
    batch.rows = kept;
    if moves.is_empty() {
        return;
    }
    compact(intents.bypass_change_detection(), moves);
    compact(sequence.bypass_change_detection(), moves);
    compact(issued.bypass_change_detection(), moves);
    compact(translations.bypass_change_detection(), moves);
    compact(completed.bypass_change_detection(), moves);
    if let Some(mut gate) = optional_columns_mut!(waits.0) {
        compact(gate.bypass_change_detection(), moves);
    }
    if let Some(mut walk) = optional_columns_mut!(waits.1) {
        compact(walk.bypass_change_detection(), moves);
    }
    if let Some(mut memory) = optional_columns_mut!(waits.2) {
        compact(memory.bypass_change_detection(), moves);
    }
    if let Some(mut so_far) = optional_columns_mut!(waits.3) {
        compact(so_far.bypass_change_detection(), moves);
    }
    let renumber = |row: &mut u32| *row = renumbered[*row as usize];
    for (mut candidates, mut uplink, mut downlink, mut retirement, mut tlb) in &mut adapters {
        candidates.rows.iter_mut().for_each(renumber);
        uplink.for_each_row(renumber);
        downlink.pending.iter_mut().for_each(|pending| renumber(&mut pending.row));
        retirement.for_each_row(renumber);
        if let Some(ats) = tlb.get() {
            ats.for_each_row(renumber);
        }
    }
    for mut queue in &mut vfs {
        let VfQueue { stalled, held, aside, .. } = &mut *queue;
        let waiting = held.iter_mut().chain(aside).map(|waiting| &mut waiting.row);
        stalled.iter_mut().chain(waiting).for_each(renumber);
    }
    log.rows.iter_mut().chain(held_back.0.iter_mut().flatten()).for_each(renumber);
}

/// Adds rows to the pool: the only place a request entity is made.
pub fn spawn_rows(world: &mut World, rows: usize) {
    let BatchLimits { attributed, of_device_tlbs, .. } = *world.resource::<BatchLimits>();
    let row = DmaRequest::default();
    let (waits, so_far) = (Waits::default(), SplitSoFar::default());
    match (attributed, of_device_tlbs) {
        (false, _) => drop(world.spawn_batch((0..rows).map(|_| row))),
        (true, false) => drop(world.spawn_batch((0..rows).map(|_| (row, waits)))),
        (true, true) => drop(world.spawn_batch((0..rows).map(|_| (row, waits, so_far)))),
    }
}

/// Grows the pool, where more requests are under way than ever before.
pub fn grow_pool(world: &mut World, vfs: &mut QueryState<&TrafficSource>, rows: &mut QueryState<&Live>) {
    let batch = *world.resource::<Batch>();
    let limits = *world.resource::<BatchLimits>();
    let vfs = vfs.iter(world).len() as u32;
    let wanted = (batch.rows + vfs * limits.rows_per_vf) as usize;
    let there = rows.iter(world).len();
    if there < wanted {
        // A quarter more than wanted: growth is rare.
        spawn_rows(world, wanted + wanted / 4 - there);
    }
}

/// What [`emit`] reads and writes of the VFs: columns of one length.
struct VfColumns<'a> {
    sources: &'a mut [TrafficSource],
    next_intended: &'a mut [NextIntended],
    feedback: &'a mut [Feedback],
    queues: &'a mut [VfQueue],
    control: Option<&'a mut Control>,
}

/// What [`emit`] writes of the pool: columns of one length.
struct PoolColumns<'a> {
    live: &'a mut [Live],
    intents: &'a mut [Intent],
    sequence: &'a mut [Sequence],
}

impl PoolColumns<'_> {
    /// Puts the staged requests of an adapter into `rows`, in the order of `sorted`.
    fn fill(&mut self, rows: core::ops::Range<u32>, staged: &Staged, sorted: &[u64], adapter: u32) {
        let rows = rows.start as usize..rows.end as usize;
        self.live[rows.clone()].fill(Live(true));
        let places = self.intents[rows.clone()].iter_mut().zip(&mut self.sequence[rows]);
        for (key, (intent, sequence)) in sorted.iter().zip(places) {
            let from = number(*key);
            *intent = Intent {
                time: staged.intended[from].0,
                iova: staged.address[from].0,
                transfer: staged.transfer[from],
                vf: staged.vf[from],
                adapter,
            };
            *sequence = staged.sequence[from];
        }
    }
}

/// What [`emit`] reads and writes of an adapter.
struct AdapterParts<'a> {
    vfs: AdapterVfs,
    uplink: &'a mut Uplink,
    candidates: &'a mut Candidates,
    retirement: &'a mut Retirement,
    downlink: &'a Downlink,
    memory: &'a MemoryTimes,
    /// The least time from a look-up to its answer.
    least_answer: Picoseconds,
}

/// Takes from every source what it intends before the new horizon, and puts it in order.
pub fn emit(
    mut batch: ResMut<Batch>,
    limits: Res<BatchLimits>,
    mut ordering: Local<Ordering>,
    iommu: Single<(&MemoryTimes, &TranslationTimes, &mut ControlPlane)>,
    mut vfs: Query<(&mut TrafficSource, &mut NextIntended, &mut Feedback, &mut VfQueue)>,
    mut adapters: Query<(&AdapterVfs, &mut Uplink, &mut Candidates, &mut Retirement, &Downlink)>,
    mut requests: Query<(&mut Live, &mut Intent, &mut Sequence)>,
) {
    let (memory, times, mut control) = iommu.into_inner();
    let (mut sources, mut next_intended, mut feedback, mut queues) = columns_mut!(vfs);
    let mut vfs = VfColumns {
        sources: sources.bypass_change_detection(),
        next_intended: next_intended.bypass_change_detection(),
        feedback: feedback.bypass_change_detection(),
        queues: queues.bypass_change_detection(),
        control: control.get(),
    };
    let (mut live, mut intents, mut sequence) = columns_mut!(requests);
    let mut pool = PoolColumns {
        live: live.bypass_change_detection(),
        intents: intents.bypass_change_detection(),
        sequence: sequence.bypass_change_detection(),
    };

    let mut feed_back = false;
    for (adapter, _, _, mut retirement, _) in &mut adapters {
        tell_of_unmaps(*adapter, &mut retirement, &mut vfs);
        feed_back |= tell_sources(&mut retirement, &mut vfs);
    }
    if let Some(control) = &mut vfs.control {
        control.told.clear();
        control.noted = 0;
    }
    let next = vfs.next_intended.iter().map(|next| next.0).min().expect("a VF");
    batch.exhausted = next == Picoseconds::MAX && !feed_back;
    // Time in which nothing is intended is skipped, and such in which nothing can leave, unless what waits
    // for the link holds back those behind it: it would only wait in the pool instead of in its source. Where
    // requests are lost, what is behind one that waits may have to be known before the others can go on.
    let reached = adapters.iter().map(|(_, _, candidates, ..)| candidates.horizon).min().expect("an adapter");
    batch.reached = reached;
    let busy_until = |uplink: &Uplink| match uplink.queues_never_fill {
        _ if uplink.recovery < Picoseconds::MAX => uplink.frontier,
        true => Picoseconds::ZERO,
        false => uplink.free_at,
    };
    let of_adapter = |uplink: &Uplink, candidates: &Candidates| candidates.horizon.max(busy_until(uplink));
    let reached = adapters.iter().map(|(_, uplink, candidates, ..)| of_adapter(uplink, candidates)).min();
    let reached = reached.expect("an adapter");
    let reached = reached.max(if next == Picoseconds::MAX { Picoseconds::ZERO } else { next });
    // Requests that live on are moved once a batch: the more there are, the longer the batch.
    let spans = 1 + u64::from(batch.rows) / u64::from(limits.rows_per_vf * vfs.sources.len() as u32);
    let span = Picoseconds(limits.span.0.saturating_mul(spans));
    batch.horizon = if batch.exhausted { Picoseconds::MAX } else { reached.saturating_add(span) };
    let before = batch.rows;
    let Ordering { staged, scratch, sorted } = &mut *ordering;
    for ((adapter_vfs, mut uplink, mut candidates, mut retirement, downlink), adapter) in
        (&mut adapters).into_iter().zip(0..)
    {
        let mut parts = AdapterParts {
            vfs: *adapter_vfs,
            uplink: &mut uplink,
            candidates: &mut candidates,
            retirement: &mut retirement,
            downlink,
            memory,
            least_answer: times.look_up(),
        };
        // Where clients wait for good, more could follow from what is under way, and does not.
        let closed = if batch.exhausted { Picoseconds::MAX } else { closed_horizon(&parts, &mut vfs) };
        parts.candidates.horizon = batch.horizon.min(closed);
        staged.len = 0;
        let (first, last) = stage_all(&mut parts, &mut vfs, staged, limits.rows_per_vf);
        order(staged, first, last.max(first), scratch, sorted);
        let rows = batch.rows..batch.rows + staged.len as u32;
        uplink.emitted += staged.len as u64;
        batch.rows = rows.end;
        pool.fill(rows.clone(), staged, sorted, adapter);
        append(&mut candidates.rows, rows, pool.intents);
    }
    batch.emitted += u64::from(batch.rows - before);
    let horizons = adapters.iter().map(|(_, _, candidates, ..)| candidates.horizon.0);
    batch.horizons = horizons.fold(0, |all, horizon| mix64(all ^ horizon));
}

/// Tells the sources of an adapter's VFs with streaming mappings which unmaps have returned.
fn tell_of_unmaps(adapter: AdapterVfs, retirement: &mut Retirement, vfs: &mut VfColumns<'_>) {
    let Some(control) = &vfs.control else { return };
    let of_adapter = control.told.iter().filter(|told| (adapter.first..adapter.end).contains(&told.vf));
    let before = retirement.untold.len() as u64;
    retirement.untold.extend(of_adapter);
    retirement.open -= retirement.untold.len() as u64 - before;
}

/// Tells the sources that feed back which of their requests have retired. Whether anything more may come
/// of that, for any of them.
fn tell_sources(retirement: &mut Retirement, vfs: &mut VfColumns<'_>) -> bool {
    for (number, &Retired { vf, sequence, time }) in retirement.untold.iter().enumerate() {
        if let Some(ahead) = retirement.untold.get(number + 3 * TOLD_AHEAD) {
            prefetch(&raw const vfs.sources[ahead.vf as usize]);
        }
        if let Some(ahead) = retirement.untold.get(number + 2 * TOLD_AHEAD) {
            vfs.sources[ahead.vf as usize].prefetch();
        }
        if let Some(ahead) = retirement.untold.get(number + TOLD_AHEAD) {
            vfs.sources[ahead.vf as usize].source.prefetch();
        }
        let at = vf as usize;
        let next = vfs.sources[at].source.retire(sequence.0, time);
        vfs.next_intended[at] = NextIntended(next.unwrap_or(Picoseconds::MAX));
    }
    retirement.untold.clear();
    retirement.open > 0
}

/// Nothing that the adapter's sources will intend because of a retirement not yet known lies before this.
fn closed_horizon(adapter: &AdapterParts<'_>, vfs: &mut VfColumns<'_>) -> Picoseconds {
    if !adapter.retirement.any_feeds_back() {
        return Picoseconds::MAX;
    }
    let range = adapter.vfs.first as usize..adapter.vfs.end as usize;
    let unmaps = unmap_horizon(adapter, vfs);
    let (mut wait, mut next) = (Picoseconds::MAX, Picoseconds::MAX);
    for (at, next_intended) in range.clone().zip(&vfs.next_intended[range.clone()]) {
        let streams = adapter.uplink.streams && vfs.queues[at].streams;
        let of_vf = if streams { Picoseconds::MAX } else { vfs.feedback[at].0 };
        let feeds_back = of_vf < Picoseconds::MAX;
        wait = wait.min(of_vf);
        next = next.min(if feeds_back { next_intended.0 } else { Picoseconds::MAX });
    }
    if wait == Picoseconds::MAX {
        return unmaps;
    }
    let AdapterParts { uplink, downlink, candidates, memory, .. } = adapter;
    let wires = &uplink.wires;
    let least_read = wires.least_upstream() + memory.least_read() + wires.least_downstream();
    let least = least_read.min(wires.least_write());
    let returns_from = downlink.returns_from(uplink, memory);
    // What has not left yet leaves behind what has: a backlog on the link is lookahead.
    let earliest_start =
        uplink.earliest_start(candidates, returns_from).max(turns_from(uplink, &vfs.next_intended[range]));
    let waits = uplink.emitted > uplink.sent;
    let eligible_from = if waits { uplink.eligible_from(candidates, returns_from) } else { Picoseconds::MAX };
    let mut leaves_from = earliest_start.max(next.min(eligible_from));
    if uplink.recovery < Picoseconds::MAX {
        // One that is lost does not wait for the link.
        let to_come = uplink.passing.iter().filter(|(vf, until)| vfs.next_intended[*vf as usize].0 < *until);
        let to_come = to_come.map(|(_, until)| *until).min().unwrap_or(Picoseconds::MAX);
        let recovers_from = uplink.recovers_from.min(to_come);
        leaves_from = leaves_from.min(if waits { recovers_from } else { recovers_from.max(next) });
    }
    let answered_from = leaves_from.saturating_add(least.min(uplink.recovery));
    returns_from.min(answered_from).saturating_add(wait).min(unmaps)
}

/// Where VFs send in turn, nothing leaves before this time but because of what is under way.
fn turns_from(uplink: &Uplink, next_intended: &[NextIntended]) -> Picoseconds {
    if !uplink.takes_turns || uplink.halt != Halt::Horizon {
        return Picoseconds::ZERO;
    }
    let intended = next_intended.iter().map(|next| next.0).min().expect("a VF");
    uplink.turns_from.min(uplink.resumes_from).min(intended)
}

/// Nothing that the adapter's sources will intend because of an unmap that has not returned lies before this.
fn unmap_horizon(adapter: &AdapterParts<'_>, vfs: &mut VfColumns<'_>) -> Picoseconds {
    let AdapterParts { uplink, downlink, candidates, memory, .. } = adapter;
    let Some(control) = vfs.control.as_deref_mut().filter(|_| uplink.streams) else {
        return Picoseconds::MAX;
    };
    let range = adapter.vfs.first as usize..adapter.vfs.end as usize;
    let streams = || range.clone().filter(|at| vfs.queues[*at].streams);
    let wait = streams().map(|at| vfs.feedback[at].0).min().unwrap_or(Picoseconds::MAX);
    if wait == Picoseconds::MAX {
        return Picoseconds::MAX;
    }
    let next = streams().map(|at| vfs.next_intended[at].0).min().unwrap_or(Picoseconds::MAX);
    let returns_from = downlink.returns_from(uplink, memory);
    // A blocked write is over as soon as that is known.
    let in_flight = uplink.in_flight.waiting().first().map(|arrival| arrival.time.max(uplink.looked_up_from));
    let earliest_start = uplink.earliest_start(candidates, returns_from);
    let least_cycle = |leaves_from: Picoseconds| {
        let arrives_from = leaves_from.saturating_add(uplink.wires.least_upstream());
        arrives_from.saturating_add(adapter.least_answer)
    };
    // Of what is emitted, it is known how long its clients will think.
    let in_flight =
        in_flight.map_or(Picoseconds::MAX, |arrives| arrives.saturating_add(adapter.least_answer));
    let to_leave = if uplink.emitted > uplink.sent { least_cycle(earliest_start) } else { Picoseconds::MAX };
    let over_from = in_flight.min(to_leave).min(returns_from);
    let think = control.outlook.least_think_of_unknown();
    let unknown = over_from.saturating_add(control.least_reaction()).saturating_add(think);
    let over_from = least_cycle(earliest_start.max(next));
    let not_emitted = over_from.saturating_add(control.least_reaction()).saturating_add(wait);
    unknown.min(not_emitted).min(control.outlook.known_send_from())
}

/// Takes what the adapter's sources intend before its horizon, as far as there is room; returns the first
/// and the last intended time. Where a source has more, the horizon is set back.
fn stage_all(
    adapter: &mut AdapterParts<'_>,
    vfs: &mut VfColumns<'_>,
    staged: &mut Staged,
    rows_per_vf: u32,
) -> (Picoseconds, Picoseconds) {
    let until = adapter.candidates.horizon;
    let never_fill = adapter.uplink.queues_never_fill;
    let any_feeds_back = adapter.retirement.any_feeds_back();
    let (mut first, mut last) = (until, Picoseconds::ZERO);
    for vf in adapter.vfs.first..adapter.vfs.end {
        let at = vf as usize;
        let ahead = at + SOURCES_AHEAD;
        if let (Some(next), Some(from)) = (vfs.next_intended.get(ahead), vfs.sources.get(ahead))
            && next.0 < until
        {
            from.prefetch();
        }
        let ahead = at + SOURCES_AHEAD / 2;
        if any_feeds_back
            && let (Some(next), Some(from)) = (vfs.next_intended.get(ahead), vfs.sources.get(ahead))
            && next.0 < until
        {
            from.source.prefetch();
        }
        let queue = &mut vfs.queues[at];
        if !never_fill {
            queue.lagging = false;
        }
        if vfs.next_intended[at].0 >= until {
            continue;
        }
        first = first.min(vfs.next_intended[at].0);
        let from = &mut vfs.sources[at];
        let feeds_back = adapter.retirement.feeds_back(queue);
        if never_fill || (queue.stalled.len() as u32) < rows_per_vf {
            let before = staged.len;
            let control = vfs.control.as_deref_mut().filter(|control| control.stream(vf).is_some());
            stage(from, vf, staged, until, rows_per_vf as usize, control);
            last = last.max(staged.intended[..staged.len].last().copied().unwrap_or_default().0);
            if feeds_back {
                adapter.retirement.open += (staged.len - before) as u64;
            }
        }
        if feeds_back {
            vfs.feedback[at] = Feedback::new(from.source.feedback());
        }
        let next = from.source.peek().unwrap_or(Picoseconds::MAX);
        vfs.next_intended[at] = NextIntended(next);
        if next < until {
            // Behind a full queue nothing enters before a place is vacated, which the gate watches.
            let is_full = |queue: &VfQueue| !queue.stalled.is_empty() || queue.waiting >= queue.entries;
            let lagging = !never_fill && is_full(queue);
            if lagging {
                queue.lagging = true;
            } else {
                adapter.candidates.horizon = adapter.candidates.horizon.min(next);
            }
        }
    }
    (first, last)
}

/// VFs whose sources are asked for in advance.
const SOURCES_AHEAD: usize = 4;
/// The same, where they are told of retirements, which come from all VFs in turn.
const TOLD_AHEAD: usize = 8;

/// Takes from one source what it intends before `horizon`, at most `room` requests.
fn stage(
    from: &mut TrafficSource,
    vf: u32,
    staged: &mut Staged,
    horizon: Picoseconds,
    room: usize,
    control: Option<&mut Control>,
) {
    let rows = staged.take_from(from.source.as_mut(), vf, horizon, room);
    for (sequence, number) in staged.sequence[rows.clone()].iter_mut().zip(from.emitted..) {
        *sequence = Sequence(number);
    }
    if let Some(control) = control {
        let addresses = &mut staged.address[rows.clone()];
        let sequence = from.emitted..from.emitted + rows.len() as u64;
        sequence.for_each(|sequence| control.outlook.emit(vf, from.source.feedback_of(sequence)));
        control.streams[vf as usize].as_mut().expect("it streams").place(from.emitted, addresses);
    } else if from.iova_offset != 0 {
        staged.address[rows.clone()].iter_mut().for_each(|address| address.0.0 += from.iova_offset);
    }
    if let [first, .., last] | [first @ last] = &staged.intended[rows.clone()] {
        from.intended = Some((from.intended.map_or(first.0, |(first, _)| first), last.0));
    }
    from.emitted += rows.len() as u64;
}
