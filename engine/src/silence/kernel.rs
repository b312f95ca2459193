//! How far the switches of an adapter are known.

use super::components::{Flow, Silent, Switch, SwitchEnd, Switched, Switching, Unit};
use super::failures::Failure;
use super::operations::Attached;
use super::spec::{SwitchMode, TimedPhase};
use super::under_way::Idle;
use crate::crash::Hang;
use crate::invalidation::Control;
use crate::lifecycle::Step;
use crate::request::Op;
use crate::units::Picoseconds;

/// What is known of an adapter's link when its requests have been issued.
#[derive(Clone, Copy, Debug)]
pub struct LinkState {
    /// Nothing leaves before this time that has not left, or is taken up that was not, where a device has a TLB.
    pub frontier: Picoseconds,
    /// Nothing that is in a device with a TLB leaves it, or is refused, before this time.
    pub leaves_from: Picoseconds,
    /// Requests that have left and have been looked up.
    pub looked_up: u64,
    /// Nothing else is looked up before this time.
    pub looked_up_from: Picoseconds,
}

impl Flow {
    /// Whether it is known when everything that has left is over.
    fn is_known(&self) -> bool {
        self.over == self.sent
    }

    /// What has left is over at or after this time.
    pub(super) fn over_from(&self, link: &LinkState) -> Picoseconds {
        let in_flight = self.sent > 0 && self.last_number > link.looked_up;
        self.over_from.max(if in_flight { link.looked_up_from } else { Picoseconds::ZERO })
    }
}

/// When a unit is silent, or at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quiet {
    /// Nothing is under way; then, or not before, where it is not `is_drained`.
    drained_at: Picoseconds,
    is_drained: bool,
    /// The driver is told: no escape is in it; then, or not before, where it is not `is_begun`.
    begins_at: Picoseconds,
    is_begun: bool,
    /// The device is silent; then, or not before, where that is not known.
    quiet_at: Picoseconds,
    is_known: bool,
}

/// How a switch is given up.
#[derive(Clone, Copy, Debug)]
struct GivenUp {
    /// When the device was drained, if it ever was.
    drained_at: Picoseconds,
    /// When the driver was told, if it ever was.
    begins_at: Picoseconds,
    /// When.
    at: Picoseconds,
    end: SwitchEnd,
    /// Whether that is known though it is not known when the device is drained.
    is_certain: bool,
}

impl GivenUp {
    /// What hangs then.
    fn hang(&self) -> Option<Hang> {
        match self.end {
            SwitchEnd::Failed(Failure::Preempt, _) => Some(Hang::Preemption),
            SwitchEnd::Failed(Failure::Stuck, _) => Some(Hang::Driver),
            _ => None,
        }
    }

    /// When what follows from it is over.
    fn last(&self) -> Picoseconds {
        match self.end {
            SwitchEnd::Failed(_, Some((_, until))) => until,
            _ => self.at,
        }
    }
}

impl Switching {
    /// When a unit is silent for its switch, as far as that is known.
    fn quiet(&mut self, number: usize, switch: &Switch, link: &LinkState) -> Quiet {
        let from = switch.from;
        if self.spec.mode == SwitchMode::AtomicReplace {
            let [drained_at, begins_at, quiet_at] = [from; 3];
            let [is_drained, is_begun, is_known] = [true; 3];
            return Quiet { drained_at, is_drained, begins_at, is_begun, quiet_at, is_known };
        }
        if self.follows {
            let unit = &mut self.units[number];
            return match unit.under_way.idle_from(from, self.drains, self.quiesces, link) {
                Idle::At(drained_at, written) => {
                    self.quiet_once_drained(switch, (drained_at, true), (written, true))
                }
                Idle::NotBefore { idle, written, is_drained } => {
                    self.quiet_once_drained(switch, (idle, is_drained), (written, false))
                }
            };
        }
        let suspend =
            if self.pauses { switch.times.of_phase(TimedPhase::Suspend) } else { Picoseconds::ZERO };
        let drained = self.drained(number, from, from + suspend, link);
        let unit = &self.units[number];
        let writes = &unit.flows[Op::Write as usize];
        let written = writes.over_from(link).max(unit.leaves_from(Op::Write, link));
        let is_written = writes.is_known();
        self.quiet_once_drained(switch, drained, (written, is_written))
    }

    /// When nothing of a unit is under way for what began at `from`, and whether that is known; else it is not before. The
    /// scheduler has stopped at `suspended_at`.
    pub(super) fn drained(
        &self,
        number: usize,
        from: Picoseconds,
        suspended_at: Picoseconds,
        link: &LinkState,
    ) -> (Picoseconds, bool) {
        let unit = &self.units[number];
        // What may still leave before the pause is to be waited for, or goes on before it.
        let mut is_drained = link.frontier >= from || !self.pauses;
        if !self.drains {
            return (suspended_at, is_drained);
        }
        let [reads, writes] = [&unit.flows[Op::Read as usize], &unit.flows[Op::Write as usize]];
        let [reads_leave, writes_leave] = [Op::Read, Op::Write].map(|op| unit.leaves_from(op, link));
        is_drained &= reads.is_known() && unit.device_is_empty();
        let drained_at = suspended_at.max(reads.over_from(link)).max(writes.last_left);
        (drained_at.max(reads_leave).max(writes_leave), is_drained)
    }

    /// When a unit is silent that is drained at a time, or not before, and whose writes are in memory at another.
    fn quiet_once_drained(
        &mut self,
        switch: &Switch,
        (drained_at, is_drained): (Picoseconds, bool),
        (written, is_written): (Picoseconds, bool),
    ) -> Quiet {
        let begins_at = self.driver_is_empty_from(drained_at);
        let is_begun = is_drained && self.knows_driver_until(drained_at);
        let to_begin = switch.times.of_phase(TimedPhase::Begin) + switch.times.of_phase(TimedPhase::Quiesce);
        let quiet_at = if self.quiesces { (begins_at + to_begin).max(written) } else { drained_at };
        let is_known = is_begun && (is_written || !self.quiesces);
        Quiet { drained_at, is_drained, begins_at, is_begun, quiet_at, is_known }
    }

    /// Goes on with every current switch that takes place, where a request of the IOMMU is over at `evidence` or later. Whether
    /// more is known than before.
    pub fn advance(
        &mut self,
        evidence: Picoseconds,
        link: &LinkState,
        mut control: Option<&mut Control>,
    ) -> bool {
        let before =
            (self.controls_from, self.resumes_from, self.device_invalidations_from, self.loses_from());
        // What was sure to be over then still is, or was.
        self.evidence = self.evidence.max(evidence);
        let evidence = self.evidence;
        self.draw_until(evidence);
        self.go_on_with_escapes(link);
        // What is not drawn yet changes nothing at its very instant.
        self.controls_from = self.schedule.peek().saturating_add(Picoseconds(1));
        self.device_invalidations_from = self.controls_from;
        self.windows_from = self.schedule.peek();
        let mut resumes_from = Picoseconds::MAX;
        for number in self.active.clone() {
            let number = number as usize;
            self.skip_refused(number, evidence);
            if self.units[number].current.is_none() {
                continue;
            }
            let control = control.as_deref_mut().expect("domains are switched");
            let (from, of_unit) = self.advance_unit(number, evidence, link, control);
            self.units[number].resumes_from = of_unit;
            self.controls_from = self.controls_from.min(from);
            let invalidations_from = self.unit_invalidates_from(number, from, control);
            self.device_invalidations_from = self.device_invalidations_from.min(invalidations_from);
            if self.units[number].holds {
                resumes_from = resumes_from.min(of_unit);
            }
        }
        resumes_from = resumes_from.min(self.bound_what_waits()).min(self.holds_last_until());
        self.resumes_from = if self.pauses { resumes_from } else { Picoseconds::MAX };
        (self.controls_from, self.resumes_from, self.device_invalidations_from, self.loses_from()) != before
    }

    /// The stall that is under way, if there is one, goes on; else what is next begins, if that is known.
    fn go_on_with_escapes(&mut self, link: &LinkState) {
        if self.escapes.is_none() {
            return;
        }
        self.take_next_if_idle();
        let stalled = self.advance_stall(link);
        self.stalled.extend(stalled);
    }

    /// Bounds what comes of switches that wait for escapes, and of a stall: nothing that it holds back leaves before the time
    /// that is returned.
    fn bound_what_waits(&mut self) -> Picoseconds {
        if self.escapes.is_none() || self.units.len() > 1 {
            return Picoseconds::MAX;
        }
        let unit = &self.units[0];
        let due = unit.due.front().map_or(self.schedule.peek(), |due| due.time);
        if unit.current.is_some() || due == Picoseconds::MAX {
            return self.resumption_of_stall();
        }
        let stalled_until =
            unit.stall.as_ref().map_or(Picoseconds::ZERO, |_| unit.resumes_from.saturating_add(self.gap));
        let begins_from = due.max(unit.free_at).max(stalled_until);
        let controls_from = begins_from.saturating_add(Picoseconds(1));
        self.windows_from = begins_from;
        (self.controls_from, self.device_invalidations_from) = (controls_from, controls_from);
        self.resumption_of_stall()
    }

    /// What a stall holds back does not leave before this time.
    fn resumption_of_stall(&self) -> Picoseconds {
        let Unit { stall, holds, resumes_from, .. } = &self.units[0];
        if stall.is_some() && *holds { *resumes_from } else { Picoseconds::MAX }
    }

    /// The same for one unit: no control event of its switches comes before the first time, and nothing resumes before the
    /// second.
    fn advance_unit(
        &mut self,
        number: usize,
        evidence: Picoseconds,
        link: &LinkState,
        control: &mut Control,
    ) -> (Picoseconds, Picoseconds) {
        let mut switch = self.units[number].current.expect("an active unit has a switch");
        let vf = self.first_vf + switch.due.vf;
        if switch.silent.is_none() {
            let quiet = self.quiet(number, &switch, link);
            let Quiet { drained_at, begins_at, quiet_at, .. } = quiet;
            let takes_place = switch.from <= evidence && (link.frontier >= switch.from || !self.pauses);
            let given_up = self.given_up(&switch, (drained_at, begins_at));
            if takes_place
                && let Some(given_up) = given_up.filter(|given_up| quiet.is_begun || given_up.is_certain)
            {
                if let Some(hang) = given_up.hang() {
                    control.hang(vf, given_up.at, hang);
                }
                let resumed_at = self.give_up(number, &given_up);
                self.windows_from = self.windows_from.min(resumed_at);
                return (resumed_at.saturating_add(Picoseconds(1)), resumed_at);
            }
            let changed_at = quiet_at + switch.first_change();
            if quiet.is_known && given_up.is_none() && switch.from <= evidence {
                let detached_at = if switch.attaches_only() { quiet_at } else { changed_at };
                switch.silent = Some(Silent { drained_at, begins_at, quiet_at, detached_at });
                self.begin(&switch, changed_at, control);
                self.units[number].current = Some(switch);
            } else {
                let given_up_at = given_up.map_or(Picoseconds::MAX, |given_up| given_up.at);
                self.windows_from = self.windows_from.min(drained_at).min(given_up_at);
                self.units[number].loses_from = given_up.map_or(changed_at, |given_up| given_up.at);
                let bounds = (changed_at, changed_at + self.behind(&switch));
                return self.or_given_up(bounds, &switch, given_up, quiet.is_drained);
            }
        }
        let silent = switch.silent.expect("its domain is being switched");
        self.windows_from = self.windows_from.min(silent.drained_at);
        let heard_at = control.device_heard_at(vf);
        let is_done = heard_at.map(|heard_at| self.device_is_done(number, heard_at, link));
        let device_answers_from = control.await_device(vf, is_done);
        self.units[number].loses_from = control.switch_goes_on_from(vf);
        let resumes_from = control.switch_goes_on_from(vf) + self.behind(&switch);
        // The next switch of the unit comes behind this one.
        (device_answers_from.min(resumes_from.saturating_add(Picoseconds(1))), resumes_from)
    }

    /// The switches of a unit invalidate no device TLB before this time that has not been; no control event of them that is
    /// not known comes before `unknown_from`.
    fn unit_invalidates_from(
        &self,
        number: usize,
        unknown_from: Picoseconds,
        control: &Control,
    ) -> Picoseconds {
        let switch = self.units[number].current.as_ref().filter(|switch| switch.silent.is_some());
        let vf = switch.map(|switch| self.first_vf + switch.due.vf);
        let own = vf.and_then(|vf| control.switches.as_ref()?.device_invalidated_from(vf));
        own.unwrap_or(unknown_from).saturating_add(Picoseconds(1))
    }

    /// The least time from what is last done to the domain until requests leave again.
    fn behind(&self, switch: &Switch) -> Picoseconds {
        let phase = |phase| switch.times.of_phase(phase);
        match self.spec.mode {
            SwitchMode::AtomicReplace => self.gap,
            _ => phase(TimedPhase::End) + phase(TimedPhase::Resume),
        }
    }

    /// The first that is done to the domain of a switch is done at `changed_at`.
    fn begin(&self, switch: &Switch, changed_at: Picoseconds, control: &mut Control) {
        let vf = self.first_vf + switch.due.vf;
        if switch.attaches_only() {
            return control.attach(vf, changed_at);
        }
        let attaches = !matches!(switch.due.step, Step::Detach(_));
        let attach = attaches.then(|| switch.times.of_phase(TimedPhase::Attach));
        let failure = switch.due.failure.map(|failure| (failure, self.failure_times.invalidation));
        control.switch(vf, changed_at, (attach, failure));
    }

    /// How a switch is given up before anything is done to the domain, where the device is drained and the driver is told at
    /// these times or later.
    fn given_up(
        &self,
        switch: &Switch,
        (drained_at, begins_at): (Picoseconds, Picoseconds),
    ) -> Option<GivenUp> {
        let times = &self.failure_times;
        let too_late = switch.from.saturating_add(self.drain_timeout);
        let reset = |from: Picoseconds| Some((from, from.saturating_add(times.reset)));
        let begun_at = begins_at + switch.times.of_phase(TimedPhase::Begin);
        let failure = switch.due.failure.filter(|failure| failure.gives_up());
        let (at, end, is_certain) = match failure {
            Some(Failure::Preempt) => {
                let at = switch.from.saturating_add(times.preempt);
                (at, SwitchEnd::Failed(Failure::Preempt, reset(at)), true)
            }
            _ if self.drains && drained_at > too_late => (too_late, SwitchEnd::DrainedTooLong, true),
            Some(Failure::Begin) => (begun_at, SwitchEnd::Failed(Failure::Begin, None), false),
            Some(Failure::Stuck) => {
                (drained_at.saturating_add(times.ddi), SwitchEnd::Failed(Failure::Stuck, None), false)
            }
            Some(Failure::Quiesce) => {
                let at = begun_at.saturating_add(times.quiesce);
                (at, SwitchEnd::Failed(Failure::Quiesce, reset(at)), false)
            }
            _ => return None,
        };
        let (drained_at, begins_at) = if end == SwitchEnd::DrainedTooLong || failure == Some(Failure::Preempt)
        {
            (at, at)
        } else {
            (drained_at, begins_at)
        };
        Some(GivenUp { drained_at, begins_at, at, end, is_certain })
    }

    /// The bounds of [`Self::advance_unit`], where the switch may be given up before.
    fn or_given_up(
        &self,
        (detached_from, resumes_from): (Picoseconds, Picoseconds),
        switch: &Switch,
        given_up: Option<GivenUp>,
        is_drained: bool,
    ) -> (Picoseconds, Picoseconds) {
        let resume = switch.times.of_phase(TimedPhase::Resume);
        let resumed_from = |at: Picoseconds| at.saturating_add(resume);
        let mut bounds = match given_up {
            Some(given_up) => {
                let resumed_at = resumed_from(given_up.last());
                let next_from = resumed_at.saturating_add(self.gap);
                (if given_up.hang().is_some() { given_up.at } else { next_from }, resumed_at)
            }
            None => (detached_from, resumes_from),
        };
        if self.drains && !is_drained {
            let resumed_at = resumed_from(switch.from.saturating_add(self.drain_timeout));
            bounds = (bounds.0.min(resumed_at.saturating_add(self.gap)), bounds.1.min(resumed_at));
        }
        bounds
    }

    /// A domain is attached, or will not be: the unit's switch is over.
    pub fn finish(&mut self, attached: &Attached) -> Switched {
        let number = self.unit_of(attached.vf);
        let unit = &mut self.units[number];
        let switch = unit.current.take().expect("a switch is under way");
        let silent = switch.silent.expect("its domain is attached");
        let phase = |phase| switch.times.of_phase(phase);
        let waits = self.spec.mode != SwitchMode::AtomicReplace;
        let after = |time: Picoseconds, of: TimedPhase| if waits { time + phase(of) } else { time };
        let reset = |from: Picoseconds| Some((from, from.saturating_add(self.failure_times.reset)));
        let Attached { vf, invalidated_at, attached_at } = *attached;
        let ended_at = after(attached_at, TimedPhase::End);
        let (end, ended_at) = match switch.due.failure {
            None if !self.ends => (SwitchEnd::NeverEnded, Picoseconds::MAX),
            None => (SwitchEnd::Done, ended_at),
            Some(Failure::Invalidation) => {
                // The function is reset before the others may go on.
                let reset = reset(attached_at);
                let until = reset.map_or(attached_at, |(_, until)| until);
                (SwitchEnd::Failed(Failure::Invalidation, reset), after(until, TimedPhase::End))
            }
            Some(Failure::End) => {
                let reset = reset(ended_at);
                (SwitchEnd::Failed(Failure::End, reset), reset.map_or(ended_at, |(_, until)| until))
            }
            Some(failure) => (SwitchEnd::Failed(failure, None), ended_at),
        };
        let begun_at =
            if self.quiesces { after(silent.begins_at, TimedPhase::Begin) } else { silent.drained_at };
        let suspended_at = if self.pauses { after(switch.from, TimedPhase::Suspend) } else { switch.from };
        let resumed_at = if waits { ended_at.saturating_add(phase(TimedPhase::Resume)) } else { ended_at };
        let switched = Switched {
            vf,
            due: switch.due,
            from: switch.from,
            suspended_at,
            silent,
            begun_at,
            invalidated_at,
            attached_at,
            ended_at,
            resumed_at,
            end,
        };
        self.let_go(number, &switched);
        switched
    }

    /// The switch of a unit is given up; when its requests leave again.
    fn give_up(&mut self, number: usize, given_up: &GivenUp) -> Picoseconds {
        let switch = self.units[number].current.take().expect("a switch is under way");
        let GivenUp { drained_at, begins_at, at, end, .. } = *given_up;
        let suspend =
            if self.pauses { switch.times.of_phase(TimedPhase::Suspend) } else { Picoseconds::ZERO };
        let begun_at = (begins_at + switch.times.of_phase(TimedPhase::Begin)).min(at);
        let resumed_at = given_up.last().saturating_add(switch.times.of_phase(TimedPhase::Resume));
        let switched = Switched {
            vf: self.first_vf + switch.due.vf,
            due: switch.due,
            from: switch.from,
            suspended_at: (switch.from + suspend).min(drained_at),
            silent: Silent { drained_at, begins_at, quiet_at: at, detached_at: at },
            begun_at,
            invalidated_at: at,
            attached_at: at,
            ended_at: given_up.last(),
            resumed_at,
            end,
        };
        self.let_go(number, &switched);
        self.aborted.push(switched);
        resumed_at
    }

    /// A switch of a unit is over: the next may come.
    fn let_go(&mut self, number: usize, switched: &Switched) {
        let Switched { from, resumed_at, .. } = *switched;
        self.units[number].free_at = switched.last() + self.gap;
        if self.pauses {
            self.units[number].history.push(from, resumed_at);
            if self.sets_aside() {
                self.units[number].pauses.push_back((from, resumed_at));
            }
        }
        self.note_outage(switched);
        if matches!(switched.due.step, Step::Attach(_)) {
            self.end_hold(switched.vf, resumed_at);
        }
        self.leave_to_next(number, from);
    }

    /// No request is under way or to come: what would begin after the last was over at `last_over` does not take place.
    pub fn close(&mut self, last_over: Picoseconds) {
        if self.closed_at.is_some() {
            return;
        }
        self.draw_until(last_over);
        self.schedule.close();
        self.closed_at = Some(last_over);
        (0..self.units.len()).for_each(|unit| self.skip_refused(unit, last_over));
        let takes_place = |switch: &Switch| switch.silent.is_some() || switch.from <= last_over;
        self.units.iter_mut().for_each(|unit| unit.due.retain(|due| due.time <= last_over));
        for number in core::mem::take(&mut self.active) {
            let unit = &mut self.units[number as usize];
            if unit.current.as_ref().is_some_and(takes_place) {
                self.active.push(number);
                continue;
            }
            let waits = unit.current.take().is_some_and(|switch| switch.due.time <= last_over);
            self.refuse(number as usize, Picoseconds::MAX, self.waiting - u32::from(waits));
            self.units[number as usize].due.clear();
        }
        self.take_next_if_idle();
    }
}
