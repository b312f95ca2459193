//! Completes what was translated.

use core::hint::select_unpredictable;

use bevy_ecs::change_detection::ContiguousMut;
use bevy_ecs::prelude::*;

use super::components::{Completed, CompletedRows, Downlink, MemoryTimes, PostedWrites, Return};
use super::llc::LastLevelCache;
use super::retirement::{Retired, Retirement};
use crate::attribution::MemoryWaits;
use crate::gate::{Refunds, Tag, Uplink, VfQueue};
use crate::merge::merge;
use crate::request::{Intent, Op, Sequence};
use crate::schedule::Progress;
use crate::topology::{columns_mut, optional_columns_mut};
use crate::traffic::{Batch, insertion_sort};
use crate::translation::{ContextEntry, LookedUp, LookupBound, Translation};
use crate::units::Picoseconds;

/// What was translated of one adapter's requests, in lists that are each all but in the order of time,
/// as all together are not: walks end late, but in order.
#[derive(Default)]
struct Sorted {
    lists: [Vec<Return>; 3],
    lengths: [usize; 3],
    /// When the last of [`IN_TURN`] is ready.
    latest: Picoseconds,
    merged: Vec<Return>,
}

/// Reads that are not ready before those before them.
const IN_TURN: usize = 0;
/// Reads that are ready before some of those before them.
const EARLY: usize = 1;
/// Writes, with the time at which they are complete.
const WRITES: usize = 2;

impl Sorted {
    /// Starts from reads that are pending already, in order, and has room for so many more requests.
    fn start(&mut self, pending: &[Return], more: usize) {
        let room = pending.len() + more;
        for list in &mut self.lists {
            list.resize(list.len().max(room), Return::default());
        }
        self.lists[IN_TURN][..pending.len()].copy_from_slice(pending);
        self.lengths = [pending.len(), 0, 0];
        self.latest = pending.last().map_or(Picoseconds::ZERO, |last| last.ready);
    }

    /// Adds one, without a branch: which list it goes to is as good as random.
    #[inline]
    fn push(&mut self, op: Op, one: Return) {
        let of_read = select_unpredictable(one.ready < self.latest, EARLY, IN_TURN);
        let list = select_unpredictable(op == Op::Read, of_read, WRITES);
        self.lists[list][self.lengths[list]] = one;
        self.lengths[list] += 1;
        let latest = self.latest.max(one.ready);
        self.latest = select_unpredictable(op == Op::Read, latest, self.latest);
    }

    /// The reads in order; completions ready at one instant stay in the order of their look-ups. Where
    /// an early one ties with one in turn, that one came first: what was the last in turn when the early
    /// one came is ready later.
    fn reads(&mut self) -> &[Return] {
        let [in_turn, early, _] = &mut self.lists;
        let (in_turn, early) = (&in_turn[..self.lengths[IN_TURN]], &mut early[..self.lengths[EARLY]]);
        if !insertion_sort(early, |one| one.ready) {
            early.sort_by_key(|one| one.ready);
        }
        merge(in_turn, early, |one| one.ready, |one, _| *one, &mut self.merged);
        &self.merged
    }

    fn writes(&self) -> &[Return] {
        &self.lists[WRITES][..self.lengths[WRITES]]
    }
}

/// What [`complete`] keeps from pass to pass: one an adapter.
#[derive(Default)]
pub struct Sorting(Vec<Sorted>);

/// Sorts what was looked up by adapter and list; `longer` says what a DMA takes beyond memory's latency, and is
/// compiled in: mostly that is nothing.
#[inline(always)]
fn sort<'a>(
    sorting: &mut [Sorted],
    memory: &MemoryTimes,
    looked_up: impl Iterator<Item = (u32, &'a Intent, &'a Translation)>,
    mut longer: impl FnMut(u32, &Intent, &Translation) -> Picoseconds,
) {
    for (row, intent, translation) in looked_up {
        let op = intent.transfer.op;
        let latency = memory.latency(op, translation.fault.is_some());
        let ready = translation.known_at + latency + longer(row, intent, translation);
        sorting[intent.adapter as usize].push(op, Return { ready, row });
    }
}

/// What a DMA takes longer for its data, whose lines it touches.
fn data_wait(
    llc: &mut LastLevelCache,
    intent: &Intent,
    contexts: &[ContextEntry],
    blocked: bool,
) -> Picoseconds {
    let Some(context) = contexts[intent.vf as usize].0.filter(|_| !blocked) else { return Picoseconds::ZERO };
    let transfer = intent.transfer;
    let cached = llc.touch(context.domain, intent.iova, u64::from(transfer.length_bytes));
    if cached || transfer.op == Op::Write { Picoseconds::ZERO } else { llc.miss }
}

/// Completes writes at once and reads in the order in which their data is ready.
pub fn complete(
    iommu: Single<(&LookedUp, &LookupBound, &MemoryTimes, &mut CompletedRows, Option<&mut LastLevelCache>)>,
    mut adapters: Query<(&mut Uplink, &mut Downlink, &mut Retirement, &mut Refunds<Tag>)>,
    mut vfs: Query<(&mut VfQueue, &ContextEntry, &mut PostedWrites)>,
    mut requests: Query<(&Intent, &Sequence, &Translation, &mut Completed)>,
    mut waits: Query<&mut MemoryWaits>,
    batch: Res<Batch>,
    mut sorting: Local<Sorting>,
    mut progress: ResMut<Progress>,
) {
    let (looked_up, bound, memory, mut done, llc) = iommu.into_inner();
    let (memory, done) = (*memory, &mut done.0);
    let (mut uplinks, mut downlinks, mut retirements, mut tags) = columns_mut!(adapters);
    let (uplinks, downlinks) = (uplinks.bypass_change_detection(), downlinks.bypass_change_detection());
    let (retirements, tags) = (retirements.bypass_change_detection(), tags.bypass_change_detection());
    let (mut queues, contexts, mut posted) = columns_mut!(vfs);
    let posted = posted.bypass_change_detection();
    let queues = queues.bypass_change_detection();
    let (intents, sequence, translations, mut completed) = columns_mut!(requests);
    let rows = batch.rows as usize;
    let (intents, translations) = (&intents[..rows], &translations[..rows]);
    let completed = &mut completed.bypass_change_detection()[..rows];

    let looked_up = looked_up.in_last_pass();
    let sorting = &mut sorting.0;
    sorting.resize_with(downlinks.len(), Sorted::default);
    for (sorted, downlink) in sorting.iter_mut().zip(&mut *downlinks) {
        sorted.start(&downlink.pending, looked_up.len());
    }
    let looked_up = looked_up.iter().map(|&row| (row, &intents[row as usize], &translations[row as usize]));
    let mut waits = optional_columns_mut!(waits);
    let mut waits = waits.as_mut().map(ContiguousMut::bypass_change_detection);
    if llc.is_none() && !memory.writes_in_order && waits.is_none() {
        sort(sorting, &memory, looked_up, |_, _, _| Picoseconds::ZERO);
    } else {
        let mut llc = llc.map(Mut::into_inner);
        sort(sorting, &memory, looked_up, |row, intent, translation| {
            let fault = translation.fault.is_some();
            let data = llc.as_mut().map(|llc| data_wait(llc, intent, contexts, fault)).unwrap_or_default();
            let op = intent.transfer.op;
            let turn = if memory.writes_in_order {
                posted[intent.vf as usize].turn_wait(op, translation.known_at)
            } else {
                Picoseconds::ZERO
            };
            if let Some(waits) = &mut waits {
                let ready = translation.known_at + turn + memory.latency(op, fault) + data;
                waits[row as usize] = MemoryWaits { turn, ready, back: Picoseconds::ZERO };
            }
            turn + data
        });
    }

    let overtaken_from = bound.0.saturating_add(memory.least_read());
    let adapters = uplinks.iter_mut().zip(downlinks).zip(retirements).zip(tags).zip(sorting);
    for ((((uplink, downlink), retirement), tags), sorted) in adapters {
        for &Return { ready, row } in sorted.writes() {
            completed[row as usize] = Completed(ready);
            done.push(row);
        }
        let reads = sorted.reads();
        let served = reads.partition_point(|pending| pending.ready < overtaken_from);
        let wires = uplink.wires;
        if downlink.free_at < downlink.warm_up {
            downlink.note_warm_up(&reads[..served], |row| {
                let with_data = translations[row as usize].fault.is_none();
                wires.downstream(intents[row as usize].transfer.length_bytes, with_data)
            });
        }
        for &Return { ready, row } in &reads[..served] {
            let at = row as usize;
            let with_data = translations[at].fault.is_none();
            let wire = wires.downstream(intents[at].transfer.length_bytes, with_data);
            downlink.free_at = ready.max(downlink.free_at) + wire;
            downlink.busy_ps += wire.0;
            let time = downlink.free_at + wires.propagation;
            tags.give_back(time);
            if retirement.is_in_order() {
                retirement.note_back(row, time);
                if let Some(waits) = &mut waits {
                    waits[at].back = time;
                }
                continue;
            }
            completed[at] = Completed(time);
            done.push(row);
            if retirement.is_watched() {
                let vf = intents[at].vf;
                let queue = &mut queues[vf as usize];
                retirement.give_back(Retired { vf, sequence: sequence[at], time }, queue);
                uplink.wake_held(vf, queue);
            }
        }
        while let Some((row, op, Retired { vf, time, .. })) = retirement.retire_next(queues) {
            uplink.wake_held(vf, &queues[vf as usize]);
            if op == Op::Read {
                completed[row as usize] = Completed(time);
                done.push(row);
            }
        }
        downlink.pending.clear();
        downlink.pending.extend_from_slice(&reads[served..]);
        progress.moved += served as u64;
    }
}
