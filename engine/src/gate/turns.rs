//! VFs that send in turn: how slices hold requests back.
//!
//! Where slices go by the clock, a request that is eligible outside one of its VF is eligible anew when the next begins, and
//! so is one that could not start before its slice ended. Where they go by work, what is eligible waits in the queue of its
//! VF, and the gate decides in the order of time who is served: an instant is decided when all that is eligible at it is
//! known.

use super::components::{Eligible, Halt, Uplink};
use super::kernel::{Columns, Gate};
use crate::request::{Intent, Sequence};
use crate::silence::{Pause, Until};
use crate::slices::{Dispatch, Served, Slice, Turns};
use crate::units::Picoseconds;

/// Slices that go by the clock.
impl Gate<'_> {
    fn slice_at(&self, vf: u32, time: Picoseconds) -> Slice {
        let slicing = self.slicing.as_ref().expect("VFs send in turn");
        let Turns::Clock(rotation) = &slicing.turns else { panic!("turns go by the clock") };
        rotation.slice_at(slicing.of_adapter(vf), time)
    }

    /// When the slice ends in which a request is eligible; where it is in none, it waits for the next.
    pub(super) fn turn_of(&mut self, request: Eligible, columns: &Columns<'_>) -> Option<Picoseconds> {
        self.note_eligible(request, columns);
        let Slice { from, until, .. } = self.slice_at(request.vf, request.time);
        if from <= request.time {
            return Some(until);
        }
        self.uplink.make_ready_in_order(request, from, columns.sequence);
        None
    }

    pub(super) fn note_eligible(&mut self, request: Eligible, columns: &Columns<'_>) {
        let Sequence(sequence) = columns.sequence[request.row as usize];
        let slicing = self.slicing.as_mut().expect("VFs send in turn");
        slicing.note_eligible(request.vf, sequence, request.time);
    }

    /// A request could not start before its slice ended at `ended`, and held up those of its VF until then.
    pub(super) fn wait_for_next_turn(
        &mut self,
        request: Eligible,
        ended: Picoseconds,
        sequence: &[Sequence],
    ) {
        self.uplink.free_at = self.uplink.free_at.max(ended);
        let Slice { from, .. } = self.slice_at(request.vf, ended);
        self.uplink.make_ready_in_order(request, from, sequence);
    }

    /// Why nothing leaves while the first of a VF waits whose slice ends at `ends`: then others may, whatever it waits for.
    pub(super) fn halt_until(&self, halt: Halt, ends: Picoseconds) -> Halt {
        match halt {
            Halt::Returns => Halt::Until(self.downlink.returns_from(self.uplink, &self.memory).min(ends)),
            halt => halt,
        }
    }

    /// The same as to be put aside, but before later ones of its VF that are there already.
    pub(super) fn put_aside_in_order(&mut self, request: Eligible, pause: Pause, sequence: &[Sequence]) {
        match pause.until {
            Until::Known(until) => self.uplink.make_ready_in_order(request, until, sequence),
            Until::NotBefore(_) | Until::NotKnown => {
                let aside = &mut self.queues[request.vf as usize].aside;
                let Sequence(number) = sequence[request.row as usize];
                let is_later = |there: &&Eligible| sequence[there.row as usize].0 > number;
                let place = aside.len() - aside.iter().rev().take_while(is_later).count();
                aside.insert(place, request);
            }
        }
        self.note_resumption(pause);
    }

    /// Notes before when nothing leaves of all that waits, as far as it does not wait for what is under way.
    pub(super) fn note_turns(&mut self, intents: &[Intent]) {
        let next = self.uplink.next.map(|next| next.time);
        let first = self.first(intents).map(|(_, first)| first.time);
        self.uplink.turns_from = next.into_iter().chain(first).min().unwrap_or(Picoseconds::MAX);
    }
}

/// Slices that go by work.
impl Gate<'_> {
    fn dispatch(&mut self) -> &mut Dispatch {
        let slicing = self.slicing.as_mut().expect("VFs send in turn");
        let Turns::Work(dispatch) = &mut slicing.turns else { panic!("turns go by work") };
        dispatch
    }

    /// Issues every request whose place in the order and whose start are known, where slices go to VFs with work; returns how
    /// many.
    pub fn issue_by_work(&mut self, columns: &mut Columns<'_>) -> u64 {
        let before = self.uplink.sent;
        let Uplink { woken, undecided, .. } = &mut *self.uplink;
        woken.append(undecided);
        self.uplink.halt = loop {
            self.wake();
            let served = self.dispatch().current;
            let halt = match served {
                Some(served) if self.first_of(served.vf).is_some() => self.serve(served, columns),
                _ => self.choose(columns),
            };
            if let Some(halt) = halt {
                break halt;
            }
        };
        if self.dispatch().with_work.is_empty() {
            self.note_turns(columns.intents);
        } else {
            self.uplink.turns_from = Picoseconds::ZERO;
        }
        self.uplink.sent - before
    }

    /// The first request of a VF, by its index within the adapter, that may be sent in its slice.
    fn first_of(&self, vf: u32) -> Option<Eligible> {
        let slicing = self.slicing.as_ref().expect("VFs send in turn");
        self.queues[slicing.of_world(vf) as usize].aside.front().copied()
    }

    /// The first request of the VF that is served leaves, or its slice is over before it could; else what it waits for.
    fn serve(&mut self, served: Served, columns: &mut Columns<'_>) -> Option<Halt> {
        let first = self.first_of(served.vf).expect("it has something to send");
        let op = columns.intents[first.row as usize].transfer.op;
        let eligible = first.time.max(served.from);
        let earliest = self.earliest_start(eligible, op);
        if self.starts_from(eligible, op, earliest) >= served.until {
            self.dispatch().clock = served.until;
            return self.choose_at(served.until, columns);
        }
        match earliest {
            Ok(start) => {
                let waiting = &mut self.queues[first.vf as usize].aside;
                waiting.pop_front();
                if waiting.is_empty() {
                    self.dispatch().with_work.remove(&served.vf);
                }
                self.send::<false, true>(first, start, columns);
                self.dispatch().clock = start;
                None
            }
            Err(halt) => Some(self.halt_until(halt, served.until)),
        }
    }

    /// Decides who is served, as soon as all that is eligible by then is known.
    fn choose(&mut self, columns: &Columns<'_>) -> Option<Halt> {
        let clock = self.dispatch().clock;
        self.choose_at(clock, columns)
    }

    /// The same at an instant: the VF that is served goes on if its slice is not over and it has something to send.
    fn choose_at(&mut self, clock: Picoseconds, columns: &Columns<'_>) -> Option<Halt> {
        self.admit(clock, columns);
        if self.horizon() <= clock {
            return Some(Halt::Horizon);
        }
        if let Some(served) = self.dispatch().current {
            if clock < served.until && self.first_of(served.vf).is_some() {
                return None;
            }
            self.dispatch().current = None;
            self.slicing.as_mut().expect("VFs send in turn").note_end_of_slice(served.vf, clock);
        }
        let slicing = self.slicing.as_mut().expect("VFs send in turn");
        let Turns::Work(dispatch) = &mut slicing.turns else { panic!("turns go by work") };
        if let Some(Served { vf, from, until }) = dispatch.choose() {
            slicing.note_slice(vf, from, until);
            return None;
        }
        let next = self.first(columns.intents).map(|(_, next)| next.time);
        let Some(next) = next.filter(|next| *next < self.horizon()) else { return Some(Halt::Horizon) };
        self.dispatch().clock = next;
        None
    }

    /// What is eligible at `until` or before waits for its turn.
    fn admit(&mut self, until: Picoseconds, columns: &Columns<'_>) {
        let limit = until.saturating_add(Picoseconds(1));
        while let Some(next) = self.next_eligible_before(limit, columns.intents) {
            self.note_eligible(next, columns);
            self.queues[next.vf as usize].aside.push_back(next);
            let slicing = self.slicing.as_mut().expect("VFs send in turn");
            let vf = slicing.of_adapter(next.vf);
            self.dispatch().with_work.insert(vf);
        }
    }
}
