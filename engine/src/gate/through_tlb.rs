//! Issues the requests of an adapter with a device TLB, as far as is known.
//!
//! The device takes up the next eligible request when no TLP waits for the link, and looks it up; what follows, a
//! translation request or the translated DMA, leaves when the look-up is over and the link is free. A DMA whose
//! answer comes joins what waits for the link, and is not held up by what the next request waits for. The DMAs of a
//! packet are taken up together. Everything happens in the order of time: answers first, then what leaves, then what
//! is taken up. Where domains are switched, pauses keep requests from being taken up; what has been goes on.

use super::components::{Eligible, Grant, Halt, Uplink};
use super::kernel::{Columns, Gate};
use crate::device_tlb::{Ats, Leaving, ObserveDevice, PacketUnderWay, Route, Waiting};
use crate::link::{Issued, time_before};
use crate::request::{Intent, Op, Transfer};
use crate::silence::{Left, Pause, Until};
use crate::units::Picoseconds;

impl Gate<'_> {
    /// Takes up, looks up and sends whatever is known; returns how much happened.
    ///
    /// With `PAUSES`, switches of domains hold requests back and invalidate the TLB.
    #[inline(never)]
    pub fn issue_through_tlb<O: ObserveDevice, const PAUSES: bool>(
        &mut self,
        ats: &mut Ats,
        columns: &mut Columns<'_>,
        mut observer: O,
    ) -> u64 {
        let mut happened = 0;
        let from = loop {
            self.returns_from = self.downlink.returns_from(self.uplink, &self.memory);
            match self.step::<O, PAUSES>(ats, columns, &mut observer) {
                Ok(()) => happened += 1,
                Err(from) => break from,
            }
        };
        self.uplink.halt = Halt::Until(from);
        if PAUSES {
            self.note_frontiers(from, ats, columns);
        }
        happened
    }

    /// What happens next, or the time before which nothing leaves. Answers that are not known arrive at
    /// `returns_from` or later.
    fn step<O: ObserveDevice, const PAUSES: bool>(
        &mut self,
        ats: &mut Ats,
        columns: &mut Columns<'_>,
        observer: &mut O,
    ) -> Result<(), Picoseconds> {
        if let Some(packet) = ats.packet {
            return self.go_on_with::<O, PAUSES>(packet, ats, columns, observer);
        }
        let first_answer = ats.answers.front().map(|answer| answer.time);
        if let Some(&first) = ats.leaving.front() {
            if !first.looked_up {
                return self.leave::<O, PAUSES>(first, ats, columns, observer);
            }
            // What follows from an answer of that instant goes first.
            return match first_answer {
                Some(answer) if answer <= first.ready => {
                    self.take_answer::<O, PAUSES>(answer, ats, columns, observer)
                }
                _ if first.ready < self.returns_from => {
                    self.leave::<O, PAUSES>(first, ats, columns, observer)
                }
                _ => Err(self.returns_from),
            };
        }
        let next = self.next_to_take_up::<PAUSES>(ats, columns);
        let (Ok((_, time)) | Err(time)) = next;
        if let Some(answer) = first_answer.filter(|answer| *answer <= time) {
            if !PAUSES || ats.can_take_answer(answer) {
                self.note_wait(answer, columns, observer);
            }
            return self.take_answer::<O, PAUSES>(answer, ats, columns, observer);
        }
        match next {
            Ok((next, time)) if time < self.returns_from && (!PAUSES || ats.can_look_up(time)) => {
                self.note_wait(time, columns, observer);
                self.take_up::<O, PAUSES>(next, time, ats, columns, observer);
                Ok(())
            }
            _ => Err(time
                .saturating_add(ats.least_look_up())
                .min(self.returns_from)
                .min(first_answer.unwrap_or(Picoseconds::MAX))),
        }
    }

    /// Up to `until` no TLP waited for the link, at most the next request.
    fn note_wait<O: ObserveDevice>(&self, until: Picoseconds, columns: &Columns<'_>, observer: &mut O) {
        if O::ON {
            let waiting = |next: Eligible| Waiting {
                since: next.time,
                rate: self.uplink.limits.earliest(columns.intents[next.row as usize].transfer.op),
                slot: match self.retirement.slots.grant(self.returns_from) {
                    Grant::From(slot) => slot,
                    Grant::Unknown => Picoseconds::MAX,
                },
            };
            observer.note_wait(self.uplink.next.map(waiting), until);
        }
    }

    /// The first answer is taken, which is there at `time`.
    fn take_answer<O: ObserveDevice, const PAUSES: bool>(
        &mut self,
        time: Picoseconds,
        ats: &mut Ats,
        columns: &mut Columns<'_>,
        observer: &mut O,
    ) -> Result<(), Picoseconds> {
        if PAUSES {
            if !ats.can_take_answer(time) {
                return Err(time);
            }
            ats.invalidate_before(time);
        }
        // What waited for it is not taken up before it.
        let answer = *ats.answers.front().expect("an answer");
        ats.takes_up_from = ats.takes_up_from.max(answer.time);
        if O::ON
            && let Some(row) = ats.row_of_answer(answer)
        {
            observer.answer(row, answer.time);
        }
        let more = ats.take_answer(columns.intents, columns.translations);
        self.uplink.emitted = self.uplink.emitted.wrapping_add_signed(more);
        if PAUSES {
            ats.more_tlps += more;
        }
        Ok(())
    }

    /// The next request with the time at which it is taken up, or a time before which none is.
    #[inline(always)]
    fn next_to_take_up<const PAUSES: bool>(
        &mut self,
        ats: &mut Ats,
        columns: &Columns<'_>,
    ) -> Result<(Eligible, Picoseconds), Picoseconds> {
        loop {
            let Some(next) = self.next_eligible(columns.intents) else {
                return Err(self.horizon().max(ats.takes_up_from));
            };
            self.uplink.next = Some(next);
            let earliest = self.earliest_take_up(next, ats, columns);
            if !PAUSES {
                return earliest;
            }
            let (Ok((_, time)) | Err(time)) = earliest;
            // An answer before may let something leave whose slot comes back first. Only what comes before the end of time can
            // be known to be paused.
            let answer = ats.answers.front().map_or(Picoseconds::MAX, |answer| answer.time);
            let time = time.min(answer);
            let time = if time == Picoseconds::MAX { next.time } else { time.max(next.time) };
            let Some(pause) = self.pause_of(next, time) else { return earliest };
            let (Until::Known(until) | Until::NotBefore(until)) = pause.until else {
                // It is taken up then or later, whatever comes.
                return Err(time);
            };
            if !self.is_paused_alone() {
                self.note_resumption(pause);
                return Err(time.max(until));
            }
            self.set_aside_before_look_up(next, pause, ats);
        }
    }

    /// The pause that keeps a request from being taken up at `time`.
    fn pause_of(&mut self, next: Eligible, time: Picoseconds) -> Option<Pause> {
        self.switching.as_mut()?.pause_before(next.vf, (next.time, next.time), time)
    }

    /// A request is eligible anew when the pause of its VF ends; until the pause began it held up others.
    fn set_aside_before_look_up(&mut self, request: Eligible, pause: Pause, ats: &mut Ats) {
        self.uplink.next = None;
        ats.takes_up_from = ats.takes_up_from.max(pause.from);
        self.put_aside(request, pause);
    }

    /// When a request is taken up that is the next, or a time before which it is not.
    #[inline(always)]
    fn earliest_take_up(
        &self,
        next: Eligible,
        ats: &Ats,
        columns: &Columns<'_>,
    ) -> Result<(Eligible, Picoseconds), Picoseconds> {
        let op = columns.intents[next.row as usize].transfer.op;
        let mut time = next.time.max(ats.takes_up_from).max(self.uplink.limits.earliest(op));
        // What waits for something to come back waits for the next answer at least.
        let answer = ats.answers.front().map_or(self.returns_from, |answer| answer.time);
        if self.retirement.slots.are_limited() {
            match self.retirement.slots.grant(self.returns_from) {
                Grant::From(slot) => time = time.max(slot),
                Grant::Unknown => return Err(answer.max(time)),
            }
        }
        if self.is_first_of_packet(next, columns) {
            if ats.requests.len() >= ats.pending {
                return Err(answer.max(time));
            }
            time = Picoseconds(time.max(ats.packets_from).0.next_multiple_of(ats.slot.0.max(1)));
        }
        Ok((next, time))
    }

    fn is_first_of_packet(&self, request: Eligible, columns: &Columns<'_>) -> bool {
        let dmas = u64::from(self.queues[request.vf as usize].packet_dmas);
        columns.sequence[request.row as usize].0.is_multiple_of(dmas)
    }

    /// The packet that is being taken up goes on with the next request, or is over if that is not part of it.
    fn go_on_with<O: ObserveDevice, const PAUSES: bool>(
        &mut self,
        packet: PacketUnderWay,
        ats: &mut Ats,
        columns: &mut Columns<'_>,
        observer: &mut O,
    ) -> Result<(), Picoseconds> {
        let PacketUnderWay { vf, time } = packet;
        let next = loop {
            let next = self.next_eligible(columns.intents);
            self.uplink.next = next;
            if !PAUSES || !self.is_paused_alone() {
                break next;
            }
            // Those who are paused stand aside, and are not in the way of the rest.
            let Some(request) = next.filter(|next| next.time <= time && next.vf != vf) else { break next };
            // Whether there is a pause is known: the packet is being taken up.
            let Some(pause) = self.pause_of(request, time) else { break next };
            self.set_aside_before_look_up(request, pause, ats);
        };
        if next.is_none() && self.horizon() <= time {
            return Err(time);
        }
        let has_slot = !self.retirement.slots.are_limited()
            || matches!(self.retirement.slots.grant(self.returns_from), Grant::From(slot) if slot <= time);
        let is_part = |next: &Eligible| {
            next.vf == vf && next.time <= time && has_slot && !self.is_first_of_packet(*next, columns)
        };
        match next.filter(is_part) {
            Some(next) => self.take_up::<O, PAUSES>(next, time, ats, columns, observer),
            None => ats.packet = None,
        }
        Ok(())
    }

    /// The device takes a request up and looks it up.
    fn take_up<O: ObserveDevice, const PAUSES: bool>(
        &mut self,
        next: Eligible,
        time: Picoseconds,
        ats: &mut Ats,
        columns: &mut Columns<'_>,
        observer: &mut O,
    ) {
        let at = next.row as usize;
        let intent = columns.intents[at];
        let op = intent.transfer.op;
        let mut pauses = None;
        if PAUSES {
            ats.invalidate_before(time.saturating_add(Picoseconds(1)));
            if let Some(switching) = &mut self.switching {
                switching.note_taken_up((next.vf, columns.sequence[at].0), op, time);
                switching.note_held((next.vf, columns.sequence[at].0), intent.time, time);
                pauses = Some(switching.pauses_of(next.vf));
            }
        }
        observer.take_up(&next, intent.time, time, pauses);
        self.uplink.next = None;
        self.leave_queue(next, time);
        self.uplink.limits.start(op, time);
        if self.retirement.slots.are_limited() {
            self.retirement.slots.take();
            self.retirement.slots.send();
        }
        self.retirement.take_up(next, op, columns.sequence[at]);
        let named = (next.row, columns.sequence[at]);
        let asks = ats.look_up(time, named, &intent, &mut columns.translations[at]);
        self.uplink.emitted += u64::from(asks);
        if PAUSES {
            ats.taken_up += 1;
            ats.more_tlps += i64::from(asks);
        }
        let dmas = u64::from(self.queues[next.vf as usize].packet_dmas);
        let more = columns.sequence[at].0 % dmas + 1 < dmas;
        ats.takes_up_from = time;
        if columns.sequence[at].0.is_multiple_of(dmas) {
            ats.packets_from = time + ats.slot;
        }
        ats.packet = more.then_some(PacketUnderWay { vf: next.vf, time });
    }

    /// The first TLP that waits for the link leaves, if it is known when.
    #[inline(always)]
    fn leave<O: ObserveDevice, const PAUSES: bool>(
        &mut self,
        first: Leaving,
        ats: &mut Ats,
        columns: &mut Columns<'_>,
        observer: &mut O,
    ) -> Result<(), Picoseconds> {
        let at = first.row as usize;
        let Intent { transfer, vf, .. } = columns.intents[at];
        let posted = first.route != Route::Request && transfer.op == Op::Write;
        let mut start = first.ready.max(self.uplink.free_at);
        match self.limits.credits.grant(self.uplink.sent) {
            Grant::From(time) => start = start.max(time),
            // Without pauses the arrivals in flight are bound enough.
            Grant::Unknown if PAUSES => return Err(first.ready.max(self.credits_from())),
            Grant::Unknown => return Err(first.ready),
        }
        if !posted {
            match self.limits.tags.grant(self.uplink.reads_sent) {
                Grant::From(time) => start = start.max(time),
                Grant::Unknown => return Err(first.ready.max(self.returns_from)),
            }
        }
        ats.leaving.pop_front();
        if ats.leaving.is_empty() {
            ats.takes_up_from = ats.takes_up_from.max(start);
        }
        let translation = &mut columns.translations[at];
        if translation.route == Route::Untranslated {
            columns.issued[at] = Issued(start);
        }
        translation.route = first.route;
        let free_at = self.uplink.free_at;
        let arrival = self.uplink.send_translated(start, first, transfer, !posted);
        observer.leave(&first, free_at, start, arrival);
        if PAUSES && let Some(switching) = &mut self.switching {
            let Uplink { sent: number, free_at: left_at, .. } = *self.uplink;
            let (sequence, asks, op) = (columns.sequence[at].0, first.route == Route::Request, transfer.op);
            switching.note_left(Left { vf, sequence, op, asks, left_at, arrives_at: arrival, number });
        }
        if posted && self.retirement.is_watched() {
            let (left_at, sequence) = (self.uplink.free_at, columns.sequence[at]);
            let queue = &mut self.queues[vf as usize];
            self.retirement.leave_translated(first.row, vf, sequence, left_at, queue);
            while let Some((row, op, retired)) = self.retirement.retire_next(self.queues) {
                if op == Op::Read {
                    ats.retired_reads.push((row, retired.time));
                }
            }
        }
        Ok(())
    }
}

/// How far it is known what a device does.
impl Gate<'_> {
    /// No TLP leaves before `from` that has not left: notes before when nothing of what is in the device leaves or is
    /// refused, and before when nothing is taken up.
    fn note_frontiers(&mut self, from: Picoseconds, ats: &mut Ats, columns: &Columns<'_>) {
        let is_free = ats.packet.is_none() && ats.leaving.is_empty();
        // What waits for the link is in the way of what is to be taken up.
        let takes_up_from = if is_free {
            let (Ok((_, time)) | Err(time)) = self.next_to_take_up::<true>(ats, columns);
            ats.answers.front().map_or(time, |answer| answer.time.min(time))
        } else {
            from
        };
        self.uplink.frontier = takes_up_from;
        self.uplink.leaves_from = from.min(self.returns_from);
    }
}

impl Uplink {
    /// A translation request, or a DMA, starts at `start`; returns when it arrives.
    #[inline(always)]
    fn send_translated(
        &mut self,
        start: Picoseconds,
        leaving: Leaving,
        transfer: Transfer,
        holds_tag: bool,
    ) -> Picoseconds {
        let wire = match leaving.route {
            Route::Request => self.wires.translation_request(),
            _ => self.wires.upstream(transfer),
        };
        self.free_at = start + wire;
        self.busy_ps += wire.0;
        self.warm_up_busy_ps += time_before(self.warm_up, start, self.free_at);
        self.sent += 1;
        self.reads_sent += u64::from(holds_tag);
        let time = self.free_at + self.wires.propagation;
        self.in_flight.push(super::components::Arrival { time, row: leaving.row });
        time
    }
}
