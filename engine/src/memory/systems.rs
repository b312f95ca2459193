//! Completes what was translated.

use core::hint::select_unpredictable;

use bevy_ecs::change_detection::ContiguousMut;
use bevy_ecs::prelude::*;

use super::components::{Completed, CompletedRows, Downlink, MemoryTimes, PostedWrites, Return};
use super::llc::LastLevelCache;
use super::retirement::{Retired, Retirement};
use super::waits::{Wait, Waits};
use crate::attribution::MemoryWaits;
use crate::device_tlb::{Ats, DeviceTlb, Route};
use crate::gate::{Credit, HeldCredits, Refunds, Tag, Uplink, VfQueue};
use crate::merge::merge;
use crate::request::{Intent, Op, Sequence};
use crate::schedule::Progress;
use crate::silence::{Silence, Switching};
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

/// Sorts what was looked up by adapter and list; `ready` says as what it returns and when it is ready, and is compiled
/// in: mostly that is memory's latency later.
#[inline(always)]
fn sort<'a>(
    sorting: &mut [Sorted],
    looked_up: impl Iterator<Item = (u32, &'a Intent, &'a Translation)>,
    mut ready: impl FnMut(u32, &Intent, &Translation) -> (Op, Picoseconds),
) {
    for (row, intent, translation) in looked_up {
        let (op, ready) = ready(row, intent, translation);
        sorting[intent.adapter as usize].push(op, Return { ready, row });
    }
}

/// An adapter, as completing reads and changes it.
type AdapterQuery<'w, 's> = Query<
    'w,
    's,
    (
        &'static mut Uplink,
        &'static mut Downlink,
        &'static mut Retirement,
        &'static mut Refunds<Tag>,
        &'static mut HeldCredits,
        &'static mut Refunds<Credit>,
        &'static mut DeviceTlb,
        &'static mut Silence,
    ),
>;

/// Completes writes at once, or in their turn, and reads in the order in which their data is ready.
#[expect(clippy::too_many_arguments, reason = "the queries are the stage's data flow")]
pub fn complete(
    iommu: Single<(&LookedUp, &LookupBound, &MemoryTimes, &mut CompletedRows, Option<&mut LastLevelCache>)>,
    mut adapters: AdapterQuery<'_, '_>,
    mut vfs: Query<(&mut VfQueue, &ContextEntry, &mut PostedWrites)>,
    mut requests: Query<(&Intent, &Sequence, &Translation, &mut Completed)>,
    mut noted: Query<&mut MemoryWaits>,
    batch: Res<Batch>,
    mut sorting: Local<Sorting>,
    mut progress: ResMut<Progress>,
) {
    let (looked_up, bound, memory, mut done, llc) = iommu.into_inner();
    let (memory, done) = (*memory, &mut done.0);
    let (mut uplinks, mut downlinks, mut retirements, mut tags, mut held, mut refunds, tlbs, mut silences) =
        columns_mut!(adapters);
    let silences = silences.bypass_change_detection();
    let (uplinks, downlinks) = (uplinks.bypass_change_detection(), downlinks.bypass_change_detection());
    let (retirements, tags) = (retirements.bypass_change_detection(), tags.bypass_change_detection());
    let (mut queues, contexts, mut posted) = columns_mut!(vfs);
    let posted = posted.bypass_change_detection();
    let queues = queues.bypass_change_detection();
    let (intents, sequence, translations, mut completed) = columns_mut!(requests);
    let rows = batch.rows as usize;
    let (intents, translations) = (&intents[..rows], &translations[..rows]);
    let completed = &mut completed.bypass_change_detection()[..rows];

    let waits = &looked_up.waits;
    let with_answers = looked_up.with_answers.is_some();
    let looked_up = looked_up.answered_in_last_pass();
    let sorting = &mut sorting.0;
    sorting.resize_with(downlinks.len(), Sorted::default);
    for (sorted, downlink) in sorting.iter_mut().zip(&mut *downlinks) {
        sorted.start(&downlink.pending, looked_up.len());
    }
    if silences[0].0.is_some() {
        note_looked_up(silences, looked_up, (intents, sequence, translations), &memory);
    }
    let looked_up = looked_up.iter().map(|&row| (row, &intents[row as usize], &translations[row as usize]));
    let mut noted = optional_columns_mut!(noted);
    let mut noted = noted.as_mut().map(ContiguousMut::bypass_change_detection);
    let in_memory = |intent: &Intent, translation: &Translation| {
        let op = intent.transfer.op;
        (op, translation.known_at + memory.latency(op, translation.fault.is_some()))
    };
    let data_may_take_longer = llc.is_some();
    let mut beyond = Waits::new(&memory, llc.map(Mut::into_inner), posted, contexts);
    if beyond.is_none() && !with_answers && noted.is_none() {
        sort(sorting, looked_up, |_, intent, translation| in_memory(intent, translation));
    } else {
        if memory.writes_in_order {
            held.iter_mut().zip(refunds.iter_mut()).for_each(|(held, refunds)| held.take_over(refunds));
        }
        // Where the pass had to know, it has asked already.
        let mut asked = waits.iter().copied();
        sort(sorting, looked_up, |row, intent, translation| {
            let is_request = translation.route == Route::Request;
            let wait = match (&mut beyond, is_request) {
                (Some(_), false) if !waits.is_empty() => asked.next().expect("one a row"),
                (Some(beyond), false) => beyond.of(intent, translation, false),
                _ => Wait::default(),
            };
            if memory.writes_in_order {
                let adapter = intent.adapter as usize;
                held[adapter].hold(wait.turn + uplinks[adapter].wires.propagation);
            }
            if is_request {
                return (Op::Read, translation.known_at);
            }
            let (op, ready) = in_memory(intent, translation);
            let ready = ready + wait.longer;
            if let Some(noted) = &mut noted {
                let turn = wait.turn.saturating_sub(translation.known_at);
                noted[row as usize] = MemoryWaits { turn, ready, back: Picoseconds::ZERO };
            }
            (op, ready)
        });
        if memory.writes_in_order {
            for ((held, refunds), uplink) in held.iter_mut().zip(refunds.iter_mut()).zip(&mut *uplinks) {
                progress.moved += held.settle(refunds, uplink, bound.0);
                uplink.credits_from = held.back_from;
            }
        }
    }

    let overtaken_from = bound.0.saturating_add(memory.least_read());
    let adapters = uplinks.iter_mut().zip(downlinks).zip(retirements).zip(tags).zip(tlbs);
    for (((((uplink, downlink), retirement), tags), tlb), (sorted, silence)) in
        adapters.zip(sorting.iter_mut().zip(silences))
    {
        for &Return { ready, row } in sorted.writes() {
            completed[row as usize] = Completed(ready);
            done.push(row);
        }
        if let Some(switching) = silence.get() {
            let writes = sorted.writes().iter();
            let name = |row: u32| (intents[row as usize].vf, sequence[row as usize].0);
            writes.for_each(|write| switching.note_over(name(write.row), Op::Write, write.ready));
        }
        let reads = sorted.reads();
        let served = reads.partition_point(|pending| pending.ready < overtaken_from);
        if data_may_take_longer && let Some(switching) = silence.get() {
            for &Return { ready, row } in &reads[served..] {
                let name = (intents[row as usize].vf, sequence[row as usize].0);
                switching.note_looked_up(name, Op::Read, ready);
            }
        }
        let mut returning = Returning {
            uplink,
            downlink,
            retirement,
            tags,
            queues: &mut *queues,
            columns: Columns { intents, sequence, translations, completed: &mut *completed },
            done: &mut *done,
            noted: noted.as_deref_mut(),
            switching: silence.get(),
        };
        let wires = returning.uplink.wires;
        let by_length =
            |intent: &Intent, with_data: bool| wires.downstream(intent.transfer.length_bytes, with_data);
        let by_address = |intent: &Intent, with_data: bool| {
            wires.downstream_from(intent.iova, intent.transfer.length_bytes, with_data)
        };
        match tlb.get() {
            None if returning.switching.is_some() => {
                returning.serve::<false, true>(&reads[..served], None, by_address);
            }
            Some(ats) if returning.switching.is_some() => {
                for (row, time) in ats.retired_reads.drain(..) {
                    returning.complete(row, time);
                }
                returning.serve::<true, true>(&reads[..served], Some(ats), by_address);
            }
            None if wires.knows_addresses() => {
                returning.serve::<false, false>(&reads[..served], None, by_address)
            }
            None => returning.serve::<false, false>(&reads[..served], None, by_length),
            Some(ats) => {
                for (row, time) in ats.retired_reads.drain(..) {
                    returning.complete(row, time);
                }
                if wires.knows_addresses() {
                    returning.serve::<true, false>(&reads[..served], Some(ats), by_address);
                } else {
                    returning.serve::<true, false>(&reads[..served], Some(ats), by_length);
                }
            }
        }
        returning.retire_in_order();
        downlink.pending.clear();
        downlink.pending.extend_from_slice(&reads[served..]);
        progress.moved += served as u64;
    }
}

/// Tells the switches of domains of what was looked up.
fn note_looked_up(
    silences: &mut [Silence],
    looked_up: &[u32],
    (intents, sequence, translations): (&[Intent], &[Sequence], &[Translation]),
    memory: &MemoryTimes,
) {
    for &row in looked_up {
        let Intent { adapter, vf, transfer, .. } = intents[row as usize];
        let Translation { known_at, fault, route, .. } = translations[row as usize];
        let over_from = known_at + memory.latency(transfer.op, fault.is_some());
        if let Some(switching) = silences[adapter as usize].get() {
            if route == Route::Request {
                switching.note_not_before((vf, sequence[row as usize].0), transfer.op, known_at);
                continue;
            }
            switching.note_looked_up((vf, sequence[row as usize].0), transfer.op, over_from);
        }
    }
}

/// The columns that completion reads and writes.
struct Columns<'a> {
    intents: &'a [Intent],
    sequence: &'a [Sequence],
    translations: &'a [Translation],
    completed: &'a mut [Completed],
}

/// The way back to an adapter.
struct Returning<'a> {
    uplink: &'a mut Uplink,
    downlink: &'a mut Downlink,
    retirement: &'a mut Retirement,
    tags: &'a mut Refunds<Tag>,
    queues: &'a mut [VfQueue],
    columns: Columns<'a>,
    done: &'a mut Vec<u32>,
    /// Where it is asked how answers come about.
    noted: Option<&'a mut [MemoryWaits]>,
    /// The switches of the adapter's domains, where there are any.
    switching: Option<&'a mut Switching>,
}

impl Returning<'_> {
    /// Serves completions in their order, which nothing can overtake any more. With `ANSWERS`, some are those of
    /// translation requests. With `SWITCHES`, switches of domains are told of what is back. `of_data` is the time of others on the wire, and is compiled in.
    #[inline(always)]
    fn serve<const ANSWERS: bool, const SWITCHES: bool>(
        &mut self,
        reads: &[Return],
        mut ats: Option<&mut Ats>,
        of_data: impl Fn(&Intent, bool) -> Picoseconds,
    ) {
        let wires = self.uplink.wires;
        let is_answer = |translation: &Translation| ANSWERS && translation.route == Route::Request;
        let wire = |row: u32, columns: &Columns<'_>| {
            let translation = &columns.translations[row as usize];
            let with_data = translation.fault.is_none();
            if is_answer(translation) {
                return wires.translation_answer(with_data);
            }
            of_data(&columns.intents[row as usize], with_data)
        };
        if self.downlink.free_at < self.downlink.warm_up {
            let columns = &self.columns;
            self.downlink.note_warm_up(reads, |row| wire(row, columns));
        }
        for &Return { ready, row } in reads {
            let at = row as usize;
            let wire = wire(row, &self.columns);
            self.downlink.free_at = ready.max(self.downlink.free_at) + wire;
            self.downlink.busy_ps += wire.0;
            let time = self.downlink.free_at + wires.propagation;
            self.tags.give_back(time);
            let answers = is_answer(&self.columns.translations[at]);
            let refused = answers && self.columns.translations[at].fault.is_some();
            if SWITCHES && let Some(switching) = &mut self.switching {
                let name = (self.columns.intents[at].vf, self.columns.sequence[at].0);
                if answers {
                    switching.note_answer(name, self.columns.intents[at].transfer.op, time, refused);
                } else {
                    switching.note_over(name, Op::Read, time);
                }
            }
            if let Some(ats) = ats.as_deref_mut().filter(|_| answers) {
                ats.note_answer(row, time, refused);
                if !refused {
                    continue;
                }
                if self.columns.intents[at].transfer.op == Op::Write {
                    self.complete(row, time);
                }
            }
            if self.retirement.is_in_order() {
                self.retirement.note_back(row, time);
                if let Some(noted) = &mut self.noted {
                    noted[at].back = time;
                }
                continue;
            }
            if !(ANSWERS && self.columns.intents[at].transfer.op == Op::Write) {
                self.complete(row, time);
            }
            if self.retirement.is_watched() {
                let vf = self.columns.intents[at].vf;
                let queue = &mut self.queues[vf as usize];
                self.retirement.give_back(Retired { vf, sequence: self.columns.sequence[at], time }, queue);
                self.uplink.wake_held(vf, queue);
            }
        }
    }

    /// The request in `row` is complete at `time`.
    #[inline(always)]
    fn complete(&mut self, row: u32, time: Picoseconds) {
        self.columns.completed[row as usize] = Completed(time);
        self.done.push(row);
    }

    /// Retires what can retire in the order of issue.
    fn retire_in_order(&mut self) {
        while let Some((row, op, Retired { vf, time, .. })) = self.retirement.retire_next(self.queues) {
            self.uplink.wake_held(vf, &self.queues[vf as usize]);
            if op == Op::Read {
                self.complete(row, time);
            }
        }
    }
}
