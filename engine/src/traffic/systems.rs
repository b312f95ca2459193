//! Begins a batch: reuses rows, takes what the sources intend, orders it.

use bevy_ecs::prelude::*;

use super::components::{Batch, BatchLimits, Live, NextIntended, TrafficSource};
use super::kernel::{SortScratch, append, compact, compaction, number, order};
use super::source::SourceRows;
use super::staging::Staged;
use crate::account::RequestLog;
use crate::gate::{Candidates, Uplink, VfQueue};
use crate::link::Issued;
use crate::memory::{Completed, Downlink};
use crate::request::{DmaRequest, Intent, Sequence};
use crate::topology::{AdapterVfs, columns_mut};
use crate::translation::Translation;
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
    mut adapters: Query<(&mut Candidates, &mut Uplink, &mut Downlink)>,
    mut vfs: Query<&mut VfQueue>,
    mut log: Single<&mut RequestLog>,
) {
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
    for (mut candidates, _, _) in &mut adapters {
        let admitted = core::mem::take(&mut candidates.admitted);
        candidates.rows.drain(..admitted);
    }
    if moves.is_empty() {
        return;
    }
    compact(intents.bypass_change_detection(), moves);
    compact(sequence.bypass_change_detection(), moves);
    compact(issued.bypass_change_detection(), moves);
    compact(translations.bypass_change_detection(), moves);
    compact(completed.bypass_change_detection(), moves);
    let renumber = |row: &mut u32| *row = renumbered[*row as usize];
    for (mut candidates, mut uplink, mut downlink) in &mut adapters {
        candidates.rows.iter_mut().for_each(renumber);
        uplink.fifo.waiting_mut().iter_mut().for_each(|(_, row)| renumber(row));
        uplink.in_flight.waiting_mut().iter_mut().for_each(|arrival| renumber(&mut arrival.row));
        downlink.pending.iter_mut().for_each(|pending| renumber(&mut pending.row));
    }
    for mut queue in &mut vfs {
        queue.stalled.iter_mut().for_each(renumber);
    }
    log.rows.iter_mut().for_each(renumber);
}

/// Adds rows to the pool: the only place a request entity is made.
pub fn spawn_rows(world: &mut World, rows: usize) {
    world.spawn_batch((0..rows).map(|_| DmaRequest::default()));
}

/// Grows the pool, where more requests are under way than ever before.
pub fn grow_pool(world: &mut World) {
    let batch = *world.resource::<Batch>();
    let limits = *world.resource::<BatchLimits>();
    let vfs = world.query::<&TrafficSource>().iter(world).len() as u32;
    let wanted = (batch.rows + vfs * limits.rows_per_vf) as usize;
    let there = world.query::<&Live>().iter(world).len();
    if there < wanted {
        // A quarter more than wanted: growth is rare.
        spawn_rows(world, wanted + wanted / 4 - there);
    }
}

/// Takes from every source what it intends before the new horizon, and puts it in order.
pub fn emit(
    mut batch: ResMut<Batch>,
    limits: Res<BatchLimits>,
    mut ordering: Local<Ordering>,
    mut vfs: Query<(&mut TrafficSource, &mut NextIntended, &mut VfQueue)>,
    mut adapters: Query<(&AdapterVfs, &Uplink, &mut Candidates)>,
    mut requests: Query<(&mut Live, &mut Intent, &mut Sequence)>,
) {
    let (mut sources, mut next_intended, mut queues) = columns_mut!(vfs);
    let (sources, queues) = (sources.bypass_change_detection(), queues.bypass_change_detection());
    let next_intended = next_intended.bypass_change_detection();
    let (adapter_vfs, uplinks, mut candidates) = columns_mut!(adapters);
    let candidates = candidates.bypass_change_detection();
    let (mut live, mut intents, mut sequence) = columns_mut!(requests);
    let live = live.bypass_change_detection();
    let (intents, sequence) = (intents.bypass_change_detection(), sequence.bypass_change_detection());

    // Time in which nothing can leave, or nothing is intended, is skipped.
    let reached = candidates.iter().map(|candidates| candidates.horizon).min().expect("an adapter");
    let links_free = uplinks.iter().map(|uplink| uplink.free_at).min().expect("an adapter");
    let next = next_intended.iter().map(|next| next.0).min().expect("a VF");
    batch.exhausted = next == Picoseconds::MAX;
    let reached = reached.max(links_free).max(if batch.exhausted { Picoseconds::ZERO } else { next });
    // Requests that live on are moved once a batch: the more there are, the longer the batch.
    let spans = 1 + u64::from(batch.rows) / u64::from(limits.rows_per_vf * sources.len() as u32);
    batch.horizon = reached.saturating_add(Picoseconds(limits.span.0.saturating_mul(spans)));
    let before = batch.rows;
    let Ordering { staged, scratch, sorted } = &mut *ordering;
    for ((vfs, candidates), adapter) in adapter_vfs.iter().zip(&mut *candidates).zip(0..) {
        staged.len = 0;
        let (mut first, mut last) = (batch.horizon, Picoseconds::ZERO);
        candidates.horizon = batch.horizon;
        for vf in vfs.first..vfs.end {
            let at = vf as usize;
            let ahead = at + SOURCES_AHEAD;
            if let (Some(next), Some(from)) = (next_intended.get(ahead), sources.get(ahead))
                && next.0 < batch.horizon
            {
                from.prefetch();
            }
            let queue = &mut queues[at];
            queue.lagging = false;
            if next_intended[at].0 >= batch.horizon {
                continue;
            }
            first = first.min(next_intended[at].0);
            let from = &mut sources[at];
            if (queue.stalled.len() as u32) < limits.rows_per_vf {
                stage(from, vf, staged, batch.horizon, limits.rows_per_vf as usize);
                last = last.max(staged.intended[..staged.len].last().copied().unwrap_or_default().0);
            }
            let next = from.source.peek().unwrap_or(Picoseconds::MAX);
            next_intended[at] = NextIntended(next);
            if next < batch.horizon {
                // Behind a full queue nothing enters before a place is vacated, which the gate watches.
                queue.lagging = !queue.stalled.is_empty() || queue.queued >= queue.entries;
                if !queue.lagging {
                    candidates.horizon = candidates.horizon.min(next);
                }
            }
        }
        order(staged, first, last.max(first), scratch, sorted);
        let first_row = batch.rows;
        batch.rows += staged.len as u32;
        let rows = first_row as usize..batch.rows as usize;
        live[rows.clone()].fill(Live(true));
        let pool = intents[rows.clone()].iter_mut().zip(&mut sequence[rows]);
        for (key, (intent, sequence)) in sorted.iter().zip(pool) {
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
        append(&mut candidates.rows, first_row..batch.rows, intents);
    }
    batch.emitted += u64::from(batch.rows - before);
    if batch.exhausted {
        batch.horizon = Picoseconds::MAX;
        candidates.iter_mut().for_each(|candidates| candidates.horizon = Picoseconds::MAX);
    }
}

/// VFs whose sources are asked for in advance.
const SOURCES_AHEAD: usize = 2;

/// Takes from one source what it intends before `horizon`, at most `room` requests.
fn stage(from: &mut TrafficSource, vf: u32, staged: &mut Staged, horizon: Picoseconds, room: usize) {
    staged.make_room(room);
    let start = staged.len;
    let rows = SourceRows {
        intended: &mut staged.intended[start..start + room],
        address: &mut staged.address[start..start + room],
        transfer: &mut staged.transfer[start..start + room],
    };
    let emitted = from.source.emit(horizon, rows);
    let rows = start..start + emitted;
    staged.vf[rows.clone()].fill(vf);
    for (sequence, number) in staged.sequence[rows.clone()].iter_mut().zip(from.emitted..) {
        *sequence = Sequence(number);
    }
    if from.iova_offset != 0 {
        staged.address[rows.clone()].iter_mut().for_each(|address| address.0.0 += from.iova_offset);
    }
    if let [first, .., last] | [first @ last] = &staged.intended[rows.clone()] {
        from.intended = Some((from.intended.map_or(first.0, |(first, _)| first), last.0));
    }
    from.emitted += emitted as u64;
    staged.len = rows.end;
}
