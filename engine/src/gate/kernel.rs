//! Issues the requests of one adapter, as far as is known.
//!
//! Requests become eligible when they have a place in their VF's queue and one of its slots. They leave
//! in the order of the times at which they became so, and each as soon as link, credits, tags and the
//! adapter's slots allow. Starts may lie far behind the horizon: only the order must be known.

use super::components::{Candidates, Credit, Eligible, Grant, Halt, Refunds, Tag, Uplink, VfQueue};
use crate::attribution::GateWaits;
use crate::link::Issued;
use crate::memory::{Downlink, MemoryTimes, Retired, Retirement};
use crate::request::{Intent, Op, Sequence};
use crate::silence::{Lost, LostTo, Pause, Sent, Switching, Until};
use crate::slices::Slicing;
use crate::translation::Translation;
use crate::units::Picoseconds;

/// What an adapter's requests wait for.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Flow credits of the link.
    pub credits: &'a Refunds<Credit>,
    /// Read tags of the device.
    pub tags: &'a Refunds<Tag>,
}

/// The columns that issuing reads and writes.
pub struct Columns<'a> {
    /// What is intended.
    pub intents: &'a [Intent],
    /// Which request of its VF it is.
    pub sequence: &'a [Sequence],
    /// When it left.
    pub issued: &'a mut [Issued],
    /// What becomes of it in a device TLB.
    pub translations: &'a mut [Translation],
    /// What it waited for; only where that is asked for.
    pub waits: Option<&'a mut [GateWaits]>,
}

/// One adapter's gate.
pub struct Gate<'a> {
    /// The link and what is next on it.
    pub uplink: &'a mut Uplink,
    /// What is intended.
    pub candidates: &'a mut Candidates,
    /// The queues of all VFs of the host.
    pub queues: &'a mut [VfQueue],
    /// Credits and tags.
    pub limits: Limits<'a>,
    /// What is under way, and the adapter's slots.
    pub retirement: &'a mut Retirement,
    /// No request under way whose return is not known returns before this time.
    pub returns_from: Picoseconds,
    /// The downstream direction of the link.
    pub downlink: &'a Downlink,
    /// The latencies of memory.
    pub memory: MemoryTimes,
    /// The switches of its domains, where there are any.
    pub switching: Option<&'a mut Switching>,
    /// The slices of its VFs, where they send in turn.
    pub slicing: Option<&'a mut Slicing>,
}

/// Where the next eligible request comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Candidate,
    Ready,
    Released,
}

impl Gate<'_> {
    /// Issues every request whose place in the order and whose start are known; returns how many.
    ///
    /// At one instant, slots come back first, then requests become eligible in the order of their VFs,
    /// then the link takes one; what enters the place that it vacates follows behind.
    ///
    /// With `PAUSES`, switches of domains hold requests back; with `TURNS`, VFs send in slices that go by the clock.
    pub fn issue<const PAUSES: bool, const TURNS: bool>(&mut self, columns: &mut Columns<'_>) -> u64 {
        let before = self.uplink.sent;
        let Uplink { woken, undecided, .. } = &mut *self.uplink;
        woken.append(undecided);
        let retires = self.retirement.is_watched() || self.retirement.slots.are_limited();
        self.uplink.halt = loop {
            self.wake();
            if !PAUSES
                && !TURNS
                && self.queues_are_idle(columns.intents)
                && let Some(halt) = if retires {
                    self.issue_unqueued::<true>(columns)
                } else {
                    self.issue_unqueued::<false>(columns)
                }
            {
                break halt;
            }
            let Some(next) = self.next_eligible(columns.intents) else { break Halt::Horizon };
            self.uplink.next = None;
            if PAUSES && self.lose_if_lost(next, columns) {
                continue;
            }
            let turn_ends = if TURNS { self.turn_of(next, columns) } else { Some(Picoseconds::MAX) };
            let Some(turn_ends) = turn_ends else { continue };
            let op = columns.intents[next.row as usize].transfer.op;
            let earliest = self.earliest_start(next.time, op);
            if PAUSES && let Some(paused) = self.pause_before(next, earliest, turn_ends, columns.intents) {
                if let Some(at) = paused.lost_at {
                    // Until its VM stopped it held up others.
                    self.uplink.free_at = self.uplink.free_at.max(paused.from);
                    self.lose(next, (at, LostTo::Reset, Picoseconds::MAX), columns);
                    continue;
                }
                if paused.until == Until::NotKnown {
                    // It leaves then or later, whatever comes.
                    self.uplink.next = Some(next);
                    break earliest.map_or_else(|halt| halt, Halt::Until);
                }
                if paused.of_vm || self.is_paused_alone() {
                    self.set_aside::<TURNS>(next, paused, columns.sequence);
                    continue;
                }
                self.uplink.next = Some(next);
                self.note_resumption(paused);
                break Halt::Paused;
            }
            if TURNS && self.starts_from(next.time, op, earliest) >= turn_ends {
                self.wait_for_next_turn(next, turn_ends, columns.sequence);
                continue;
            }
            match earliest {
                Ok(start) => self.send::<PAUSES, TURNS>(next, start, columns),
                Err(halt) => {
                    self.uplink.next = Some(next);
                    break if TURNS { self.halt_until(halt, turn_ends) } else { halt };
                }
            }
        };
        if TURNS {
            self.note_turns(columns.intents);
        }
        self.uplink.sent - before
    }

    /// Nothing that becomes eligible before this time is unknown.
    pub(super) fn horizon(&self) -> Picoseconds {
        horizon(self.uplink, self.candidates, self.returns_from)
    }

    /// When a request eligible since `eligible` can start, or what it waits for.
    #[inline(always)]
    pub(super) fn earliest_start(&self, eligible: Picoseconds, op: Op) -> Result<Picoseconds, Halt> {
        self.earliest_start_of::<true>(eligible, op)
    }

    /// The same; the places of requests under way are looked at only with `RETIRES`.
    #[inline(always)]
    fn earliest_start_of<const RETIRES: bool>(
        &self,
        eligible: Picoseconds,
        op: Op,
    ) -> Result<Picoseconds, Halt> {
        let mut start = eligible.max(self.uplink.free_at).max(self.uplink.limits.earliest(op));
        match self.limits.credits.grant(self.uplink.sent) {
            Grant::From(time) => start = start.max(time),
            Grant::Unknown => return Err(Halt::Credits),
        }
        if op == Op::Read {
            match self.limits.tags.grant(self.uplink.reads_sent) {
                Grant::From(time) => start = start.max(time),
                Grant::Unknown => return Err(Halt::Returns),
            }
        }
        if RETIRES && self.retirement.slots.are_limited() {
            match self.retirement.slots.grant(self.returns_from) {
                Grant::From(time) => start = start.max(time),
                Grant::Unknown => return Err(Halt::Returns),
            }
        }
        Ok(start)
    }

    /// Whether no request waits anywhere, so that queues and slots need no look.
    #[inline]
    fn queues_are_idle(&self, intents: &[Intent]) -> bool {
        let uplink = &*self.uplink;
        let next_time = || self.candidates.next(intents).map_or(Picoseconds::MAX, |(time, _)| time);
        !uplink.vfs_limited
            && uplink.next.is_none()
            && uplink.released.waiting().is_empty()
            && (uplink.queues_never_fill || uplink.last_vacated < next_time())
    }

    /// Issues candidates one after the other while the queues are as good as empty: fewer requests wait
    /// than one queue holds, so none can be full, and the order is that of the candidates. Returns why
    /// it issued no more, or `None` where queues must be looked at.
    ///
    /// Without `RETIRES` the adapter neither limits the requests under way nor does anything depend on when they retire.
    fn issue_unqueued<const RETIRES: bool>(&mut self, columns: &mut Columns<'_>) -> Option<Halt> {
        let (issued, intents) = (&mut *columns.issued, columns.intents);
        let intents = &intents[..issued.len()];
        let first = self.candidates.admitted;
        let never_fill = self.uplink.queues_never_fill;
        let least_entries = self.uplink.least_queue_entries as usize;
        let horizon = self.candidates.horizon;
        let mut at = first;
        let halt = loop {
            let Some(&row) = self.candidates.rows.get(at) else { break Some(Halt::Horizon) };
            let Intent { time, transfer, vf, .. } = intents[row as usize];
            if time >= horizon {
                break Some(Halt::Horizon);
            }
            let start = match self.earliest_start_of::<RETIRES>(time, transfer.op) {
                Ok(start) => start,
                Err(halt) => break Some(halt),
            };
            if !never_fill
                && let Some(&behind) = self.candidates.rows.get(at + least_entries)
                && intents[behind as usize].time <= start
            {
                break None;
            }
            at += 1;
            issued[row as usize] = Issued(start);
            self.uplink.send(start, transfer, row);
            if RETIRES && self.retirement.is_watched() {
                let sent = Eligible { time, vacated: false, vf, row };
                self.note_under_way(sent, columns.intents, columns.sequence);
            }
        };
        self.candidates.admitted = at;
        if !never_fill {
            self.remember_vacated(first..at, columns);
        }
        halt
    }

    /// Tells the queues of the places that candidates issued without a look at them vacate only after
    /// the next candidate may come.
    fn remember_vacated(&mut self, issued: core::ops::Range<usize>, columns: &Columns<'_>) {
        let next = self.candidates.next(columns.intents).map_or(Picoseconds::MAX, |(time, _)| time);
        let from = next.min(self.candidates.horizon);
        let rows = &self.candidates.rows[issued];
        let start = |row: &u32| columns.issued[*row as usize].0;
        let late = rows.iter().rev().take_while(|row| start(row) >= from).count();
        for row in &rows[rows.len() - late..] {
            let vf = columns.intents[*row as usize].vf as usize;
            self.queues[vf].vacate(start(row), from);
            self.uplink.last_vacated = start(row);
        }
    }

    /// Gives slots that have become known to the rows that wait for them.
    pub(super) fn wake(&mut self) {
        while let Some(vf) = self.uplink.woken.pop() {
            let queue = &mut self.queues[vf as usize];
            while let Some(&request) = queue.held.front() {
                let Grant::From(slot) = queue.slots.grant(self.returns_from) else {
                    if queue.slots.is_undecided() {
                        self.uplink.undecided.push(vf);
                    }
                    break;
                };
                queue.slots.take();
                queue.held.pop_front();
                self.uplink.vfs_held -= u32::from(queue.held.is_empty());
                self.uplink.make_ready(request, slot);
            }
        }
    }

    /// The request that is eligible first, if that is known. It has its place and its slot.
    pub(super) fn next_eligible(&mut self, intents: &[Intent]) -> Option<Eligible> {
        if self.uplink.next.is_some() {
            return self.uplink.next;
        }
        self.next_eligible_before(Picoseconds::MAX, intents)
    }

    /// The same, of those that are eligible before `limit`, and none that is the next already.
    #[inline(always)]
    pub(super) fn next_eligible_before(
        &mut self,
        limit: Picoseconds,
        intents: &[Intent],
    ) -> Option<Eligible> {
        loop {
            let (origin, eligible) = self.first(intents)?;
            if eligible.time >= self.horizon().min(limit) {
                return None;
            }
            match origin {
                Origin::Ready => {
                    self.uplink.ready.take_first();
                    return Some(eligible);
                }
                Origin::Released => self.uplink.released.take_first(),
                Origin::Candidate => {
                    self.candidates.admitted += 1;
                    if !self.enter(eligible) {
                        continue;
                    }
                }
            }
            if self.take_slot(eligible) {
                return Some(eligible);
            }
        }
    }

    /// What comes first of all that is known: at one instant, slots and candidates by VF, then what
    /// enters a vacated place.
    pub(super) fn first(&self, intents: &[Intent]) -> Option<(Origin, Eligible)> {
        let candidate_of = |(time, row): (Picoseconds, u32)| {
            let vf = intents[row as usize].vf;
            Eligible { time, vacated: false, vf, row }
        };
        let ready = self.uplink.ready.waiting().first().map(|ready| (Origin::Ready, *ready));
        let candidate = self.candidates.next(intents).map(candidate_of);
        let candidate = candidate.map(|first| (Origin::Candidate, first));
        let released = self.uplink.released.waiting().first().map(|first| (Origin::Released, *first));
        // The first of equal ones: a row that waited for a slot goes before a later one of its VF.
        [ready, candidate, released].into_iter().flatten().min_by_key(|(_, first)| first.order())
    }

    /// Lets a new request into its VF's queue. Where that is full it waits for the first place that is
    /// vacated, and the answer is `false`.
    fn enter(&mut self, eligible: Eligible) -> bool {
        let queue = &mut self.queues[eligible.vf as usize];
        if queue.has_place(eligible.time) {
            queue.waiting += 1;
            return true;
        }
        queue.stalls += u64::from(eligible.time >= self.uplink.warm_up);
        let known = if queue.stalled.is_empty() { queue.vacated.pop_front() } else { None };
        match known {
            Some(vacated) => {
                queue.waiting += 1;
                let released = Eligible { time: vacated, vacated: true, ..eligible };
                self.uplink.released.insert_in_order(released, Eligible::order);
            }
            None => queue.stalled.push_back(eligible.row),
        }
        false
    }

    /// Whether a request in its VF's queue has a slot already. If not, it will come back when it has.
    fn take_slot(&mut self, request: Eligible) -> bool {
        let queue = &mut self.queues[request.vf as usize];
        if !queue.slots.are_limited() {
            return true;
        }
        let grant = if queue.held.is_empty() { queue.slots.grant(self.returns_from) } else { Grant::Unknown };
        match grant {
            Grant::From(slot) => {
                queue.slots.take();
                if slot <= request.time {
                    return true;
                }
                self.uplink.make_ready(request, slot);
            }
            Grant::Unknown => {
                if queue.held.is_empty() {
                    self.uplink.vfs_held += 1;
                    if queue.slots.is_undecided() {
                        self.uplink.undecided.push(request.vf);
                    }
                }
                queue.held.push_back(request);
            }
        }
        false
    }

    /// The next request leaves at `start`.
    pub(super) fn send<const PAUSES: bool, const TURNS: bool>(
        &mut self,
        next: Eligible,
        start: Picoseconds,
        columns: &mut Columns<'_>,
    ) {
        self.leave_queue(next, start);
        let Intent { time: intended, transfer, .. } = columns.intents[next.row as usize];
        columns.issued[next.row as usize] = Issued(start);
        if let Some(waits) = &mut columns.waits {
            waits[next.row as usize].eligible = next.time;
        }
        self.uplink.send(start, transfer, next.row);
        if TURNS && let Some(slicing) = &mut self.slicing {
            slicing.note_sent(next.vf, intended, start);
        }
        if PAUSES && let Some(switching) = &mut self.switching {
            let Uplink { sent: number, free_at: left_at, wires, .. } = *self.uplink;
            let Sequence(sequence) = columns.sequence[next.row as usize];
            let arrives_at = left_at + wires.propagation;
            let (vf, op) = (next.vf, transfer.op);
            switching.note_sent(Sent { vf, sequence, op, start, left_at, arrives_at, number });
            switching.note_held((vf, sequence), intended, start);
        }
        if self.retirement.is_watched() {
            self.note_under_way(next, columns.intents, columns.sequence);
        }
    }

    /// The next request leaves its queue at `start`, and its place goes to the next.
    #[inline(always)]
    pub(super) fn leave_queue(&mut self, next: Eligible, start: Picoseconds) {
        let queue = &mut self.queues[next.vf as usize];
        queue.waiting -= 1;
        if let Some(row) = queue.stalled.pop_front() {
            queue.waiting += 1;
            let released = Eligible { time: start, vacated: true, vf: next.vf, row };
            self.uplink.released.insert_in_order(released, Eligible::order);
        } else {
            queue.vacate(start, next.time);
            self.uplink.last_vacated = start;
        }
        if queue.lagging && queue.stalled.is_empty() {
            // What the source holds back would enter next, and is not here yet.
            self.candidates.horizon = self.candidates.horizon.min(start);
        }
    }

    /// A request leaves its queue at `at` since it is lost. What found the queue full because of it did not, where it came
    /// later.
    fn leave_queue_lost(&mut self, request: Eligible, at: Picoseconds, intents: &[Intent]) {
        let queue = &mut self.queues[request.vf as usize];
        let Some(&row) = queue.stalled.front() else { return self.leave_queue(request, at) };
        queue.stalled.pop_front();
        let intended = intents[row as usize].time;
        let came_later = intended > at;
        queue.stalls -= u64::from(came_later && intended >= self.uplink.warm_up);
        let released = Eligible { time: intended.max(at), vacated: !came_later, vf: request.vf, row };
        self.uplink.released.insert_in_order(released, Eligible::order);
    }

    /// Keeps the account of slots for a request that has just left.
    fn note_under_way(&mut self, sent: Eligible, intents: &[Intent], sequence: &[Sequence]) {
        let op = intents[sent.row as usize].transfer.op;
        let queue = &mut self.queues[sent.vf as usize];
        let (vfs_limited, limited) = (self.uplink.vfs_limited, self.retirement.slots.are_limited());
        if vfs_limited {
            queue.slots.send();
            self.uplink.wake_held(sent.vf, queue);
        }
        if limited {
            self.retirement.slots.take();
            self.retirement.slots.send();
        }
        if op == Op::Read && (vfs_limited || limited) {
            self.returns_from = self.downlink.returns_from(self.uplink, &self.memory);
        }
        let sequence = sequence[sent.row as usize];
        self.retirement.leave(sent, op, sequence, self.uplink.free_at, queue);
        if self.retirement.is_in_order() && op == Op::Write {
            while let Some((_, _, retired)) = self.retirement.retire_next(self.queues) {
                self.uplink.wake_held(retired.vf, &self.queues[retired.vf as usize]);
            }
        }
    }
}

/// What pauses do.
impl Gate<'_> {
    /// The pause that holds a request back before `until`, which starts at `earliest` or waits for something.
    fn pause_before(
        &mut self,
        next: Eligible,
        earliest: Result<Picoseconds, Halt>,
        until: Picoseconds,
        intents: &[Intent],
    ) -> Option<Pause> {
        let op = intents[next.row as usize].transfer.op;
        let start = self.starts_from(next.time, op, earliest).min(until - Picoseconds(1));
        let intended = intents[next.row as usize].time;
        self.switching.as_mut()?.pause_before(next.vf, (intended, next.time), start)
    }

    /// A request that is eligible since `eligible` starts at `earliest`, or if that is not known, at this time or later.
    pub(super) fn starts_from(
        &self,
        eligible: Picoseconds,
        op: Op,
        earliest: Result<Picoseconds, Halt>,
    ) -> Picoseconds {
        let Err(halt) = earliest else { return earliest.expect("it is known") };
        let alone = eligible.max(self.uplink.free_at).max(self.uplink.limits.earliest(op));
        let awaited = match halt {
            Halt::Returns => self.downlink.returns_from(self.uplink, &self.memory),
            _ => self.credits_from(),
        };
        // Only what comes before the end of time can be known to be paused.
        if awaited == Picoseconds::MAX { eligible } else { alone.max(awaited) }
    }

    /// A request that its VF's outage strikes is over without having left; whether one does.
    fn lose_if_lost(&mut self, request: Eligible, columns: &mut Columns<'_>) -> bool {
        let Some(switching) = &mut self.switching else { return false };
        let Some(outage) = switching.outage_of(request.vf, request.time) else { return false };
        let told_at = if outage.until < Picoseconds::MAX { outage.told_at } else { Picoseconds::MAX };
        self.lose(request, (request.time.max(outage.from), outage.to, told_at), columns);
        true
    }

    /// A request is over at a time without having left; its client learns of it at another, which may be never.
    fn lose(
        &mut self,
        request: Eligible,
        (at, to, told_at): (Picoseconds, LostTo, Picoseconds),
        columns: &mut Columns<'_>,
    ) {
        let Some(switching) = &mut self.switching else { return };
        let intended = columns.intents[request.row as usize].time;
        let Eligible { vf, row, .. } = request;
        switching.note_lost(Lost { row, vf, intended, at, to });
        self.uplink.emitted -= 1;
        self.leave_queue_lost(request, at, columns.intents);
        let queue = &mut self.queues[vf as usize];
        if queue.slots.are_limited() {
            match queue.held.pop_front() {
                Some(next) => {
                    self.uplink.vfs_held -= u32::from(queue.held.is_empty());
                    self.uplink.make_ready(next, at);
                }
                None => queue.slots.give_up(),
            }
        }
        let sequence = columns.sequence[row as usize];
        self.retirement.abandon(Retired { vf, sequence, time: told_at }, &self.queues[vf as usize]);
    }

    /// No flow credit that is not back comes back before this time.
    pub(super) fn credits_from(&self) -> Picoseconds {
        let Uplink { in_flight, looked_up_from, wires, credits_from, .. } = &*self.uplink;
        let first = in_flight.waiting().first().filter(|_| !self.memory.writes_in_order);
        let first = first.map(|arrival| arrival.time.max(*looked_up_from) + wires.propagation);
        first.unwrap_or(*credits_from)
    }

    /// Whether not all VFs of the adapter are paused together.
    pub(super) fn is_paused_alone(&self) -> bool {
        self.switching.as_ref().is_some_and(|switching| switching.sets_aside())
    }

    /// A request is eligible anew when the pause of its VF ends; until the pause began it held up others.
    fn set_aside<const TURNS: bool>(&mut self, request: Eligible, pause: Pause, sequence: &[Sequence]) {
        self.uplink.free_at = self.uplink.free_at.max(pause.from);
        if TURNS { self.put_aside_in_order(request, pause, sequence) } else { self.put_aside(request, pause) }
    }

    /// A request waits for the end of the pause of its VF.
    pub(super) fn put_aside(&mut self, request: Eligible, pause: Pause) {
        match pause.until {
            Until::Known(until) => self.uplink.make_ready(request, until),
            Until::NotBefore(_) | Until::NotKnown => {
                self.queues[request.vf as usize].aside.push_back(request);
            }
        }
        self.note_resumption(pause);
    }

    /// Nothing that a pause holds back leaves before it ends.
    pub(super) fn note_resumption(&mut self, pause: Pause) {
        if let Until::NotBefore(until) = pause.until {
            self.uplink.resumes_from = self.uplink.resumes_from.min(until);
        }
    }

    /// Notes how far requests are known to have left or to be lost, and when functions may work again that lost some.
    pub fn note_losses(&mut self, intents: &[Intent]) {
        let processed = match (self.uplink.next, self.first(intents)) {
            (Some(next), Some((_, first))) => next.time.min(first.time),
            (Some(next), None) => next.time,
            (None, _) => self.horizon(),
        };
        let Some(switching) = self.switching.as_mut().filter(|switching| switching.loses) else { return };
        let queues = &self.queues;
        let rows = &self.candidates.rows[self.candidates.admitted..];
        let waits = |vf: u32, until: Picoseconds| {
            let queue = &queues[vf as usize];
            let is_of_it = |intent: &Intent| intent.vf == vf && intent.time < until;
            queue.waiting > 0
                || !queue.stalled.is_empty()
                || rows.iter().any(|row| is_of_it(&intents[*row as usize]))
        };
        // What a source holds back was intended before what is known.
        let may_come = |vf: u32, until: Picoseconds| queues[vf as usize].lagging || waits(vf, until);
        switching.forget_holds(processed.min(self.candidates.horizon), may_come);
        switching.note_processed((processed, self.candidates.horizon), waits);
        self.uplink.processed = processed;
        let unsent = switching.passing.iter().filter(|passing| !passing.waits);
        self.uplink.passing.clear();
        self.uplink.passing.extend(unsent.filter_map(|passing| Some((passing.alone?, passing.until))));
        self.uplink.recovers_from = switching.recovers_from();
    }

    /// Notes that nothing leaves any more before what is known now.
    pub fn note_frontier(&mut self) {
        let returns_from = self.downlink.returns_from(self.uplink, &self.memory);
        let frontier = self.uplink.earliest_start(self.candidates, returns_from);
        let credits = if self.uplink.halt == Halt::Credits { self.credits_from() } else { Picoseconds::ZERO };
        self.uplink.frontier = frontier.max(credits);
        if self.uplink.halt == Halt::Credits {
            self.uplink.halt = Halt::Until(self.uplink.frontier);
        }
    }
}

/// Nothing that becomes eligible before this time is unknown, if what is under way returns at
/// `returns_from` or later.
#[must_use]
pub fn horizon(uplink: &Uplink, candidates: &Candidates, returns_from: Picoseconds) -> Picoseconds {
    let horizon = candidates.horizon.min(uplink.resumes_from);
    if uplink.vfs_held > 0 { horizon.min(returns_from) } else { horizon }
}

impl Candidates {
    /// The next candidate and when it is intended.
    #[inline]
    fn next(&self, intents: &[Intent]) -> Option<(Picoseconds, u32)> {
        self.rows.get(self.admitted).map(|row| (intents[*row as usize].time, *row))
    }
}
