//! Stalls: an escape that touches hardware has the whole adapter for itself.
//!
//! The driver runs such an escape in one thread and with an idle GPU (WDDM, second-level synchronisation). So it is one more
//! thing that is due at its adapter, in turn with the switches of domains: the scheduler is suspended, what is under way
//! drains, those escapes leave the driver that are in it, the escape runs, and the scheduler resumes. Nothing is done to a
//! domain.

use super::components::{Silence, Switching, Unit};
use super::kernel::LinkState;
use super::schedule::PhaseTimes;
use super::spec::TimedPhase;
use crate::escape::{EscapeTimes, Span};
use crate::hash::mix64;
use crate::units::Picoseconds;

/// What distinguishes the phases of stalls from those of switches.
const STALLS: u64 = 0x57A1_1ED0_0000_0001;
/// How much more of the escapes than needed is asked for. Results do not depend on it.
const AHEAD: Picoseconds = Picoseconds(100_000_000);

/// A stall that is under way or to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallUnderWay {
    /// When its escape was due.
    due: Picoseconds,
    /// When it begins: what was before it at the adapter is over.
    pub(super) from: Picoseconds,
    times: PhaseTimes,
}

/// A stall that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// When its escape was due.
    pub due: Picoseconds,
    /// When it began.
    pub from: Picoseconds,
    /// When the scheduler had stopped.
    pub suspended_at: Picoseconds,
    /// When nothing was under way any more.
    pub drained_at: Picoseconds,
    /// When the escape was in the driver.
    pub in_driver: Span,
    /// When requests could leave again.
    pub resumed_at: Picoseconds,
}

impl Stall {
    /// How long nothing could leave.
    #[must_use]
    pub fn length(&self) -> Picoseconds {
        self.resumed_at - self.from
    }

    /// The phases by their names, with their beginnings and ends.
    #[must_use]
    pub fn phases(&self) -> Vec<(&'static str, Picoseconds, Picoseconds)> {
        let ends = [
            ("waiting", self.from, self.from > self.due),
            ("scheduler_suspended", self.suspended_at, true),
            ("draining", self.drained_at, true),
            ("driver_emptying", self.in_driver.begin, self.in_driver.begin > self.drained_at),
            ("in_driver", self.in_driver.end, true),
            ("resuming", self.resumed_at, true),
        ];
        let mut begin = self.due;
        let phase = |(name, end, takes_place): (&'static str, Picoseconds, bool)| {
            takes_place.then(|| (name, core::mem::replace(&mut begin, end), end))
        };
        ends.into_iter().filter_map(phase).collect()
    }
}

/// The escapes of an adapter, as far as its silence hangs on them.
#[derive(Clone, Debug)]
pub struct Escapes {
    /// Whether any of them may touch hardware.
    may_touch_hardware: bool,
    /// How long one that does is in the driver.
    hardware_access: Picoseconds,
    /// When the one was due that touches hardware and has not been in the driver.
    due: Option<Picoseconds>,
    /// No other one gets to the driver, or is due, before this time.
    known_until: Picoseconds,
    /// How far that should be known.
    wanted_until: Picoseconds,
    /// Those that have got to the driver have left it by then.
    busy_until: Picoseconds,
    /// The last stall, until it is taken.
    over: Option<Stall>,
    /// How many stalls there were.
    stalls: u64,
}

impl Escapes {
    /// None yet; whether any may touch hardware.
    #[must_use]
    pub fn new(times: &EscapeTimes, may_touch_hardware: bool) -> Self {
        Self {
            may_touch_hardware,
            hardware_access: times.hardware_access,
            due: None,
            known_until: Picoseconds::ZERO,
            wanted_until: Picoseconds::ZERO,
            busy_until: Picoseconds::ZERO,
            over: None,
            stalls: 0,
        }
    }

    /// How far the escapes should be known.
    #[must_use]
    pub fn wanted_until(&self) -> Picoseconds {
        self.wanted_until
    }

    /// How far they are.
    #[must_use]
    pub fn known_until(&self) -> Picoseconds {
        self.known_until
    }

    /// Whether one that touches hardware waits for the adapter.
    #[must_use]
    pub fn is_stalling(&self) -> bool {
        self.due.is_some()
    }

    /// The stall of the one that did, once it is over.
    pub fn take_over(&mut self) -> Option<Stall> {
        self.over.take()
    }

    /// No other escape gets to the driver, or is due, before `known_until`; those that have got there leave it by
    /// `busy_until`. Whether that is news.
    pub fn note(&mut self, known_until: Picoseconds, busy_until: Picoseconds) -> bool {
        let before = (self.known_until, self.busy_until);
        self.known_until = self.known_until.max(known_until);
        self.busy_until = busy_until;
        (self.known_until, self.busy_until) != before
    }

    /// Whether it is known which escapes get to the driver before `time`; if not, somebody wants to know.
    fn are_known_until(&mut self, time: Picoseconds) -> bool {
        // Behind one that waits none gets there.
        let known = self.due.is_some() || self.known_until >= time;
        if !known {
            self.wanted_until = self.wanted_until.max(time.saturating_add(AHEAD));
        }
        known
    }
}

impl Silence {
    /// The escapes of the adapter, as far as its silence hangs on them.
    pub fn escapes(&mut self) -> Option<&mut Escapes> {
        self.get()?.escapes.as_mut()
    }
}

impl Switching {
    /// The adapter's silence hangs on escapes from now on.
    pub fn follow_escapes(&mut self, escapes: Escapes) {
        self.escapes = Some(escapes);
    }

    /// An escape that touches hardware is due; those before it have left the driver by `busy_until`.
    ///
    /// # Panics
    /// If another is, or none may be.
    pub fn note_due_escape(&mut self, due: Picoseconds, busy_until: Picoseconds) {
        let escapes = self.escapes.as_mut().expect("its silence hangs on them");
        assert!(
            escapes.may_touch_hardware,
            "a source that was said to send none that touches hardware sent one"
        );
        assert!(escapes.due.is_none(), "one after the other");
        (escapes.due, escapes.busy_until) = (Some(due), busy_until);
        self.take_next_if_idle();
    }

    /// A unit that does nothing takes up what is next. Only one that is all of its adapter hangs on escapes.
    pub(super) fn take_next_if_idle(&mut self) {
        if self.units.len() == 1 && self.units[0].current.is_none() {
            self.take_next(0);
        }
    }

    /// Whether an escape comes before the next switch of the adapter, and begins its stall; or may come before the one that
    /// is due.
    pub(super) fn gives_way_to_escapes(&mut self) -> bool {
        let next_switch = self.units[0].due.front().map(|due| due.time);
        let from_schedule = self.schedule.peek();
        let Some(escapes) = self.escapes.as_mut().filter(|escapes| escapes.may_touch_hardware) else {
            return false;
        };
        match (escapes.due, next_switch) {
            // Where both are due at one instant the switch is first.
            (Some(due), _) if due < next_switch.unwrap_or(from_schedule) => {
                self.begin_stall(due);
                true
            }
            (None, Some(switch)) => !escapes.are_known_until(switch),
            _ => false,
        }
    }

    fn begin_stall(&mut self, due: Picoseconds) {
        let escapes = self.escapes.as_mut().expect("one is due");
        let times = PhaseTimes::of(&self.spec, mix64(self.schedule.seed() ^ STALLS), escapes.stalls);
        escapes.stalls += 1;
        let unit = &mut self.units[0];
        let from = due.max(unit.free_at);
        unit.resumes_from = from;
        unit.holds = false;
        unit.stall = Some(StallUnderWay { due, from, times });
    }

    /// Whether no escape that is not known holds back what leaves at `start`; if that is not known, somebody wants to know.
    #[inline]
    pub(super) fn no_escape_comes_before(&mut self, start: Picoseconds) -> bool {
        let escapes = self.escapes.as_mut().filter(|escapes| escapes.may_touch_hardware);
        // What is due at that very instant holds it back.
        escapes.is_none_or(|escapes| escapes.are_known_until(start.saturating_add(Picoseconds(1))))
    }

    /// When the driver can be told of a silence whose device is drained at `drained_at`: no escape is in it.
    pub(super) fn driver_is_empty_from(&self, drained_at: Picoseconds) -> Picoseconds {
        let busy_until = self.escapes.as_ref().map_or(Picoseconds::ZERO, |escapes| escapes.busy_until);
        if self.has_exclusive_windows() { drained_at.max(busy_until) } else { drained_at }
    }

    /// Whether that is known.
    pub(super) fn knows_driver_until(&mut self, drained_at: Picoseconds) -> bool {
        let has_windows = self.has_exclusive_windows();
        let escapes = self.escapes.as_mut().filter(|_| has_windows);
        escapes.is_none_or(|escapes| escapes.are_known_until(drained_at))
    }

    /// Goes on with the stall that is under way or to begin, if there is one; returns it when it is over. Else no switch
    /// begins, and nothing resumes, before what [`Unit::resumes_from`] says.
    pub(super) fn advance_stall(&mut self, link: &LinkState) -> Option<Stall> {
        let StallUnderWay { due, from, times } = self.units[0].stall?;
        let phase = |phase| times.of_phase(phase);
        let suspended_at = from + phase(TimedPhase::Suspend);
        let (drained_at, is_drained) = self.drained(0, from, suspended_at, link);
        let Escapes { busy_until, hardware_access, .. } = *self.escapes.as_ref().expect("one is due");
        let begin = drained_at.max(busy_until);
        let end = begin.saturating_add(hardware_access);
        let resumed_at = end.saturating_add(phase(TimedPhase::Resume));
        self.units[0].resumes_from = resumed_at;
        if !is_drained {
            return None;
        }
        let stall = Stall { due, from, suspended_at, drained_at, in_driver: Span { begin, end }, resumed_at };
        self.end_stall(&stall);
        Some(stall)
    }

    fn end_stall(&mut self, stall: &Stall) {
        let Stall { from, resumed_at, in_driver, .. } = *stall;
        let sets_aside = self.sets_aside();
        // What nobody can be held back by any more is not kept.
        let matters = self.closed_at.is_none_or(|closed_at| from < closed_at);
        let Unit { stall: under_way, free_at, history, pauses, .. } = &mut self.units[0];
        *under_way = None;
        *free_at = resumed_at.saturating_add(self.gap);
        if matters {
            history.push(from, resumed_at);
            if sets_aside {
                pauses.push_back((from, resumed_at));
            }
        }
        let escapes = self.escapes.as_mut().expect("one was due");
        escapes.due = None;
        escapes.over = Some(*stall);
        // The others wait until it has left.
        escapes.known_until = escapes.known_until.max(in_driver.end);
        self.take_next(0);
    }
}
