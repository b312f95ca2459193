//! The state of an adapter whose domains are switched.

use std::collections::{BTreeMap, VecDeque};

use bevy_ecs::component::Component;

use super::books::Disturbance;
use super::failures::{Failure, FailureTimes, FailuresSpec};
use super::history::{PauseHistory, Recoveries};
use super::holds::Hold;
use super::in_device::{InDevice, TakenUps};
use super::lost::{Gone, Lost, Outage, Passing};
use super::schedule::{AdapterPlace, Due, PhaseTimes, Schedule};
use super::spec::{ProtocolStep, SilenceScope, SilenceSpec, SwitchMode, SwitchesSpec, TimedPhase};
use super::stalls::{Escapes, Stall, StallUnderWay};
use super::under_way::UnderWay;
use crate::lifecycle::{LifecycleSpec, Step, VmSchedule};
use crate::request::Op;
use crate::units::Picoseconds;

/// The switches of an adapter, on the adapter; nothing where domains are never switched.
#[derive(Component, Debug, Default)]
pub struct Silence(pub Option<Box<Switching>>);

impl Silence {
    /// The switches, where there are any.
    #[inline]
    #[must_use]
    pub fn get(&mut self) -> Option<&mut Switching> {
        self.0.as_deref_mut()
    }
}

/// What a unit of silence has under way in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Requests that left.
    pub sent: u64,
    /// Of these, those of which it is known when they are over: a read when its data is back, a write when it is in memory.
    pub over: u64,
    /// When the last request had left.
    pub last_left: Picoseconds,
    /// The last is over at or after this time.
    pub over_from: Picoseconds,
    /// How many requests of the adapter had left with the last one.
    pub last_number: u64,
}

/// A request that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its VF, by its index within the world.
    pub vf: u32,
    /// Which of its VF's it is.
    pub sequence: u64,
    /// Its direction.
    pub op: Op,
    /// When it started.
    pub start: Picoseconds,
    /// When it had left the device.
    pub left_at: Picoseconds,
    /// When it reaches the IOMMU.
    pub arrives_at: Picoseconds,
    /// How many requests of the adapter had left with it.
    pub number: u64,
}

/// A switch that is under way or due next.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    /// When it was due, which VF's, which of the adapter's.
    pub due: Due,
    /// When it begins: those before it are over.
    pub from: Picoseconds,
    /// What its phases take.
    pub times: PhaseTimes,
    /// When the device was drained and silent, once its domain is being switched.
    pub silent: Option<Silent>,
}

impl Switch {
    /// Whether there is no domain to detach.
    #[must_use]
    pub fn attaches_only(&self) -> bool {
        matches!(self.due.step, Step::Attach(_))
    }

    /// What it takes from silence until the first that is done to the domain: a picosecond at least, as [`PhaseTimes`] say.
    #[must_use]
    pub fn first_change(&self) -> Picoseconds {
        match self.attaches_only() {
            true => self.times.of_phase(TimedPhase::Attach).max(Picoseconds(1)),
            false => self.times.of_phase(TimedPhase::Detach),
        }
    }
}

/// How a device became silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    /// The last read is back.
    pub drained_at: Picoseconds,
    /// No escape is in the driver any more: the host tells it.
    pub begins_at: Picoseconds,
    /// The last write is in memory, and the driver has silenced the device.
    pub quiet_at: Picoseconds,
    /// The context entry is cleared.
    pub detached_at: Picoseconds,
}

/// What becomes silent together: an adapter, or a VF.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    /// Switches that are due behind the current one, in order.
    pub due: VecDeque<Due>,
    /// The current one.
    pub current: Option<Switch>,
    /// What is under way, by direction.
    pub flows: [Flow; 2],
    /// What of that is in a device with a TLB.
    pub in_device: [InDevice; 2],
    /// What such a device has taken up, where nothing pauses.
    pub taken_up: TakenUps,
    /// What is under way, where requests leave during switches too.
    pub under_way: UnderWay,
    /// The pauses that are over.
    pub history: PauseHistory,
    /// Resets that are over of requests that nothing paused.
    pub resets: PauseHistory,
    /// Pauses that are over and that requests may still not have been asked about, where VFs are silent one by one.
    pub pauses: VecDeque<(Picoseconds, Picoseconds)>,
    /// Its next switch does not begin before this time.
    pub free_at: Picoseconds,
    /// What the current switch holds back does not leave before this time.
    pub resumes_from: Picoseconds,
    /// No request is lost to the current switch before this time.
    pub loses_from: Picoseconds,
    /// Whether it holds anything back, as far as requests have been asked about.
    pub holds: bool,
    /// The stall by an escape that is under way or to begin, where no switch is.
    pub stall: Option<StallUnderWay>,
}

impl Unit {
    /// One that counts from the end of the warm-up on.
    fn counting_from(warm_up: Picoseconds) -> Self {
        let history = PauseHistory::counting_from(warm_up);
        Self { resets: history.clone(), history, ..Self::default() }
    }

    /// Time from the end of the warm-up until `end` in which it could send nothing, but for what is lost for good.
    pub(super) fn unavailable_ps(&self, end: Picoseconds) -> u64 {
        self.history.counted_ps(end) + self.resets.counted_ps(end)
    }
}

/// A pause of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When it began.
    pub from: Picoseconds,
    /// When it ends.
    pub until: Until,
    /// Whether it is one of a VF alone, since its VM comes or goes.
    pub of_vm: bool,
    /// When the request is lost instead, since its VM has stopped.
    pub lost_at: Option<Picoseconds>,
}

impl Pause {
    /// One of a unit.
    fn of_unit(from: Picoseconds, until: Until) -> Self {
        Self { from, until, of_vm: false, lost_at: None }
    }

    /// Whether it began before a time and is not known to last until then.
    pub(super) fn ends_before(&self, time: Picoseconds) -> bool {
        let until = match self.until {
            Until::Known(until) | Until::NotBefore(until) => until,
            Until::NotKnown => self.from,
        };
        self.from < time && until < time
    }
}

/// When a pause ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Then.
    Known(Picoseconds),
    /// Then or later.
    NotBefore(Picoseconds),
    /// It is not known whether there is one.
    NotKnown,
}

/// A switch that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switched {
    /// The VF whose domain was switched, by its index within the world.
    pub vf: u32,
    /// The switch.
    pub due: Due,
    /// When it began.
    pub from: Picoseconds,
    /// When the scheduler had stopped.
    pub suspended_at: Picoseconds,
    /// See [`Silent`].
    pub silent: Silent,
    /// The driver had been told.
    pub begun_at: Picoseconds,
    /// When the last invalidation was complete.
    pub invalidated_at: Picoseconds,
    /// When the new context entry was there.
    pub attached_at: Picoseconds,
    /// When the driver was told of the end.
    pub ended_at: Picoseconds,
    /// When requests could leave again.
    pub resumed_at: Picoseconds,
    /// How it ended.
    pub end: SwitchEnd,
}

/// How a switch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchEnd {
    /// Its VF has its new domain.
    Done,
    /// The same, but `DxgkDdiEndExclusiveAccess` was left out: nobody goes on.
    NeverEnded,
    /// The drain took too long: the old domain stays.
    DrainedTooLong,
    /// Something failed. Those who were silent are being reset from the first time to the second.
    Failed(Failure, Option<(Picoseconds, Picoseconds)>),
}

impl SwitchEnd {
    /// Whether the old domain stays.
    #[must_use]
    pub fn keeps_the_old_domain(self) -> bool {
        match self {
            Self::DrainedTooLong => true,
            Self::Failed(failure, _) => failure.gives_up() || failure == Failure::Attach,
            Self::Done | Self::NeverEnded => false,
        }
    }
}

/// What the requests of a VF lost to switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldBooks {
    /// Requests that a pause kept from leaving for some time.
    pub requests: u64,
    /// How long, summed.
    pub held_ps: u128,
}

/// The switches of an adapter.
#[derive(Debug)]
pub struct Switching {
    /// How they go.
    pub spec: SilenceSpec,
    /// When they are due.
    pub schedule: Schedule,
    /// Those that become silent together: one, or one a VF.
    pub units: Vec<Unit>,
    /// Units with a current switch.
    pub active: Vec<u32>,
    /// The first VF, by its index within the world.
    pub first_vf: u32,
    /// Switches of a unit that wait at most.
    pub waiting: u32,
    /// Those that were refused, after the warm-up.
    pub refused: u64,
    /// Nothing is over after this time, once that is known.
    pub closed_at: Option<Picoseconds>,
    /// Least time between two switches of a unit.
    pub gap: Picoseconds,
    /// What each VF lost.
    pub held: Vec<HeldBooks>,
    /// Requests that pauses disturbed, that count, and that are not over, by VF and sequence.
    pub disturbed: BTreeMap<(u32, u64), Disturbance>,
    /// No control event of a switch that is not known comes before this time.
    pub controls_from: Picoseconds,
    /// No invalidation of a device TLB by a switch that is not known comes before this time.
    pub device_invalidations_from: Picoseconds,
    /// No request that a pause holds back leaves before this time.
    pub resumes_from: Picoseconds,
    /// No exclusive window begins before this time but those that are over.
    pub windows_from: Picoseconds,
    /// When the last request was over, as far as that is known.
    pub last_over: Picoseconds,
    /// The last request that has left is over at or after this time.
    pub over_from: Picoseconds,
    /// A request of the IOMMU is over at this time or later.
    pub evidence: Picoseconds,
    /// Requests that have left of which it is not known when they are over.
    pub open: u64,
    /// Whether the gate holds requests back.
    pub pauses: bool,
    /// Whether reads are waited for.
    pub drains: bool,
    /// Whether posted writes are waited for.
    pub quiesces: bool,
    /// Whether it must be known what is under way at each moment: something is waited for, and requests go on leaving.
    pub follows: bool,
    /// How long a drain may take.
    pub drain_timeout: Picoseconds,
    /// Whether those who were silent are let go.
    pub ends: bool,
    /// How long failures take to be noticed and mended.
    pub failure_times: FailureTimes,
    /// Whether the VFs share one domain.
    pub shares_domain: bool,
    /// Switches that were given up and have not been booked.
    pub aborted: Vec<Switched>,
    /// The spans in which each VF's requests are lost.
    pub outages: Vec<VecDeque<Outage>>,
    /// Those of them that end, as long as some requests may still be lost in them.
    pub passing: Vec<Passing>,
    /// For each VF, since when all its requests are lost for good.
    pub gone: Vec<Option<Gone>>,
    /// When the first began of those that requests have not been asked about.
    pub new_outage_from: Picoseconds,
    /// Whether requests may be lost.
    pub loses: bool,
    /// Whether each VF of the adapter sends nothing while it is to be silent; empty where all do.
    pub obeys: Vec<bool>,
    /// Requests that were lost and have not been booked.
    pub lost: Vec<Lost>,
    /// For each VF, when nothing of it leaves since its VM comes or goes; empty where VMs stay.
    pub holds: Vec<VecDeque<Hold>>,
    /// For each VF, when VMs stopped whose requests may still be there.
    pub stops: Vec<VecDeque<Picoseconds>>,
    /// When the VMs of each VF come and go; empty where they stay.
    pub vms: Vec<VmSchedule>,
    /// Counting starts.
    pub warm_up: Picoseconds,
    /// The adapter's escapes, where its silence hangs on them.
    pub escapes: Option<Escapes>,
    /// Stalls that are over and whose adapter has not gone on.
    pub stalled: Vec<Stall>,
}

impl Switching {
    /// Of the adapter at `place`, whose first VF has this index within the world.
    #[must_use]
    pub fn new(
        (spec, switches, failures, lifecycle): (&SilenceSpec, &SwitchesSpec, &FailuresSpec, &LifecycleSpec),
        place: AdapterPlace,
        (first_vf, shares_domain): (u32, bool),
        seed: u64,
        warm_up: Picoseconds,
    ) -> Self {
        let at = (place.host, place.adapter);
        let vms = (0..place.vfs).map(|vf| VmSchedule::new(lifecycle, at, vf, seed));
        let units = if spec.scope == SilenceScope::Adapter { 1 } else { place.vfs };
        let waits = spec.mode != SwitchMode::AtomicReplace;
        let [pauses, drains, quiesces] = [ProtocolStep::Suspend, ProtocolStep::Drain, ProtocolStep::Begin]
            .map(|step| waits && !spec.skips(step));
        Self {
            schedule: if lifecycle.is_on() {
                Schedule::of_vms(lifecycle, place, seed)
            } else {
                Schedule::new(switches, failures, place, seed)
            },
            units: vec![Unit::counting_from(warm_up); units as usize],
            active: Vec::new(),
            first_vf,
            // A VM that comes or goes is not turned away.
            waiting: if lifecycle.is_on() { u32::MAX } else { switches.waiting },
            refused: 0,
            closed_at: None,
            gap: Picoseconds::from_ns_f64(switches.gap_us * 1e3),
            held: vec![HeldBooks::default(); place.vfs as usize],
            disturbed: BTreeMap::new(),
            controls_from: Picoseconds::ZERO,
            device_invalidations_from: Picoseconds::ZERO,
            resumes_from: Picoseconds::MAX,
            windows_from: Picoseconds::ZERO,
            last_over: Picoseconds::ZERO,
            over_from: Picoseconds::ZERO,
            evidence: Picoseconds::ZERO,
            open: 0,
            pauses,
            drains,
            quiesces,
            follows: !pauses && (drains || quiesces),
            drain_timeout: if lifecycle.is_on() {
                Picoseconds::MAX
            } else {
                Picoseconds::from_ns_f64(spec.drain_timeout_us * 1e3)
            },
            ends: !(waits && spec.skips(ProtocolStep::End)),
            failure_times: FailureTimes::new(failures),
            shares_domain,
            aborted: Vec::new(),
            outages: vec![VecDeque::new(); place.vfs as usize],
            passing: Vec::new(),
            obeys: Vec::new(),
            gone: vec![None; place.vfs as usize],
            new_outage_from: Picoseconds::MAX,
            loses: lifecycle.is_on() || failures.are_on() || (waits && spec.skips(ProtocolStep::End)),
            lost: Vec::new(),
            stops: if lifecycle.is_on() { vec![VecDeque::new(); place.vfs as usize] } else { Vec::new() },
            holds: if lifecycle.is_on() { vec![VecDeque::new(); place.vfs as usize] } else { Vec::new() },
            vms: if lifecycle.is_on() { vms.collect() } else { Vec::new() },
            warm_up,
            spec: spec.clone(),
            escapes: None,
            stalled: Vec::new(),
        }
    }

    /// The unit of a VF, by its index within the world.
    #[inline]
    #[must_use]
    pub fn unit_of(&self, vf: u32) -> usize {
        if self.units.len() == 1 { 0 } else { (vf - self.first_vf) as usize }
    }

    /// Whether a VF, by its index within the world, is one of the adapter's.
    #[must_use]
    pub fn has(&self, vf: u32) -> bool {
        (self.first_vf..self.first_vf + self.held.len() as u32).contains(&vf)
    }

    /// Whether all VFs are silent together.
    #[must_use]
    pub fn is_of_adapter(&self) -> bool {
        self.spec.scope == SilenceScope::Adapter
    }

    /// Notes which of the adapter's VFs obey silence.
    pub fn note_obedience(&mut self, obeys: &[bool]) {
        if obeys.contains(&false) {
            self.obeys = obeys.to_vec();
        }
    }

    /// Whether a VF, by its index within the world, obeys silence.
    #[inline]
    #[must_use]
    pub fn obeys(&self, vf: u32) -> bool {
        self.obeys.is_empty() || self.obeys[(vf - self.first_vf) as usize]
    }

    /// Whether requests that a pause holds back stand aside for those of others, since not all of the adapter's are held back.
    #[inline]
    #[must_use]
    pub fn sets_aside(&self) -> bool {
        !self.is_of_adapter() || !self.obeys.is_empty()
    }

    /// Whether the driver of the adapter is told of its silence: where VFs are silent one by one, others go on with it.
    #[must_use]
    pub fn has_exclusive_windows(&self) -> bool {
        self.quiesces && self.is_of_adapter()
    }

    /// Takes up every switch that is due at or before `time`.
    pub fn draw_until(&mut self, time: Picoseconds) {
        while self.schedule.peek() <= time {
            let Some(due) = self.schedule.take() else { return };
            if let Step::Hold { loses, attach_due } = due.step {
                self.hold(due.vf, Hold::new(due.time, loses, attach_due));
                continue;
            }
            let unit = if self.units.len() == 1 { 0 } else { due.vf };
            self.units[unit as usize].due.push_back(due);
            if self.units[unit as usize].current.is_none() {
                self.take_next(unit);
            }
        }
    }

    /// The next switch of a unit without a current one becomes that, if it takes place.
    pub fn take_next(&mut self, unit: u32) {
        if self.units[unit as usize].stall.is_some()
            || (self.escapes.is_some() && self.gives_way_to_escapes())
        {
            return;
        }
        let of_unit = &mut self.units[unit as usize];
        let Some(due) = of_unit.due.front().copied() else { return };
        let from = due.time.max(of_unit.free_at);
        if self.closed_at.is_some_and(|closed_at| from > closed_at) {
            self.refuse(unit as usize, Picoseconds::MAX, self.waiting);
            self.units[unit as usize].due.clear();
            return self.take_next_if_idle();
        }
        of_unit.due.pop_front();
        let times = PhaseTimes::of(&self.spec, self.schedule.seed(), due.number);
        (of_unit.resumes_from, of_unit.loses_from) = (from, from);
        of_unit.holds = false;
        of_unit.current = Some(Switch { due, from, times, silent: None });
        self.active.push(unit);
    }

    /// Current switches of a unit that would begin at or before `until` are refused where their VF has lost its function for
    /// good.
    pub fn skip_refused(&mut self, unit: usize, until: Picoseconds) {
        while let Some(Switch { due, from, .. }) = self.units[unit].current
            && from <= until
            && self.is_lost_for_good(self.first_vf + due.vf)
        {
            self.units[unit].current = None;
            self.refused += u64::from(due.time >= self.warm_up);
            self.leave_to_next(unit, from);
        }
    }

    /// A unit has no current switch any more, one that began at `from`: the next may come.
    pub(super) fn leave_to_next(&mut self, unit: usize, from: Picoseconds) {
        let place = self.active.iter().position(|active| *active as usize == unit).expect("it was active");
        self.active.remove(place);
        // The current one waited too until it began.
        self.refuse(unit, from, self.waiting - 1);
        self.take_next(unit as u32);
    }

    /// Refuses the switches of a unit that were due before `before` and found no room behind `room` others.
    pub fn refuse(&mut self, unit: usize, before: Picoseconds, room: u32) {
        let warm_up = self.warm_up;
        let mut kept = 0;
        let refused = &mut self.refused;
        self.units[unit].due.retain(|due| {
            let stays = due.time >= before || kept < room;
            kept += u32::from(stays);
            *refused += u64::from(!stays && due.time >= warm_up);
            stays
        });
    }

    /// The first pause that holds back a request of a VF which was intended and is eligible since the times given and would
    /// leave at `start`, or later. Requests of a VF are asked about in the order in which they become eligible.
    #[inline]
    pub fn pause_before(
        &mut self,
        vf: u32,
        (intended, eligible): (Picoseconds, Picoseconds),
        start: Picoseconds,
    ) -> Option<Pause> {
        let of_unit = self.pause_of_unit(vf, eligible, start);
        if self.holds.is_empty() {
            return of_unit;
        }
        self.or_held(vf, (intended, eligible), start, of_unit)
    }

    /// The same where VMs stay.
    #[inline]
    fn pause_of_unit(&mut self, vf: u32, eligible: Picoseconds, start: Picoseconds) -> Option<Pause> {
        if !self.pauses || !self.obeys(vf) {
            return None;
        }
        self.draw_until(start);
        if self.escapes.is_some() {
            // More of them may be known by now.
            self.take_next_if_idle();
        }
        let unit = self.unit_of(vf);
        self.skip_refused(unit, start);
        let unit = &mut self.units[unit];
        while unit.pauses.pop_front_if(|(_, until)| *until <= eligible).is_some() {}
        if let Some(&(from, until)) = unit.pauses.front().filter(|(from, _)| *from <= start) {
            return Some(Pause::of_unit(from, Until::Known(until)));
        }
        let current = unit.current.as_ref().map(|current| current.from);
        let current = current.or(unit.stall.as_ref().map(|stall| stall.from));
        if let Some(from) = current.filter(|from| *from <= start) {
            unit.holds = true;
            return Some(Pause::of_unit(from, Until::NotBefore(unit.resumes_from)));
        }
        (!self.no_escape_comes_before(start)).then_some(Pause::of_unit(start, Until::NotKnown))
    }

    /// A request has left.
    pub fn note_sent(&mut self, sent: Sent) {
        if self.follows {
            self.draw_until(sent.start);
        }
        self.open += 1;
        if !self.obeys(sent.vf) {
            self.over_from = self.over_from.max(sent.arrives_at);
            return;
        }
        let unit = self.unit_of(sent.vf);
        let unit = &mut self.units[unit];
        let flow = &mut unit.flows[sent.op as usize];
        flow.sent += 1;
        flow.last_left = sent.left_at;
        flow.over_from = flow.over_from.max(sent.arrives_at);
        self.over_from = self.over_from.max(sent.arrives_at);
        flow.last_number = sent.number;
        if self.follows {
            if unit.current.is_none() {
                unit.under_way.forget();
            }
            unit.under_way.push(sent);
        }
    }

    /// The pauses of a VF that are over.
    #[must_use]
    pub fn pauses_of(&self, vf: u32) -> &PauseHistory {
        &self.units[self.unit_of(vf)].history
    }

    /// A request, by its VF and sequence, that was intended at `intended` leaves at `start`: whether pauses held it
    /// back, and how long, or what they held back is before it.
    pub fn note_held(&mut self, (vf, sequence): (u32, u64), intended: Picoseconds, start: Picoseconds) {
        if !self.obeys(vf) {
            return;
        }
        let unit = self.unit_of(vf);
        let history = &mut self.units[unit].history;
        let held = history.between(intended, start);
        let counts = intended >= self.warm_up;
        if held == Picoseconds::ZERO {
            if counts && history.is_recovering(intended) {
                self.disturbed.insert((vf, sequence), Disturbance::Recovery);
            }
            return;
        }
        history.note_left(intended, start);
        if !counts {
            return;
        }
        let books = &mut self.held[(vf - self.first_vf) as usize];
        books.requests += 1;
        books.held_ps += u128::from(held.0);
        self.disturbed.insert((vf, sequence), Disturbance::Held);
    }

    /// A request, by its VF and sequence, is over: what pauses did to it, if it counts.
    pub fn take_disturbed(&mut self, request: (u32, u64)) -> Option<Disturbance> {
        self.disturbed.remove(&request)
    }

    /// How long it took after switches until all that they held back had left.
    #[must_use]
    pub fn recoveries(&self) -> Recoveries {
        let mut recoveries = Recoveries::default();
        self.units.iter().for_each(|unit| recoveries.add(&unit.history.recoveries()));
        recoveries
    }

    /// Time from the end of the warm-up until `end` in which a VF could send nothing: pauses, resets, and all that comes
    /// after it lost its function for good, or nobody let it go. In picoseconds.
    #[must_use]
    pub fn unavailable_ps(&self, vf: u32, end: Picoseconds) -> u64 {
        match self.gone[(vf - self.first_vf) as usize] {
            Some(gone) if gone.from < end => gone.unavailable_ps + (end - gone.from.max(self.warm_up)).0,
            _ if !self.obeys(vf) => 0,
            _ => self.units[self.unit_of(vf)].unavailable_ps(end),
        }
    }

    /// Time from the end of the warm-up until `end` in which a VF, by its index within the world, had no VM, in picoseconds.
    #[must_use]
    pub fn down_ps(&self, vf: u32, end: Picoseconds) -> u64 {
        let schedule = self.vms.get((vf - self.first_vf) as usize);
        schedule.map_or(0, |schedule| schedule.clone().down_ps(self.warm_up, end))
    }

    /// A request was looked up, and is over at `over_from` or later.
    pub fn note_looked_up(&mut self, (vf, sequence): (u32, u64), op: Op, over_from: Picoseconds) {
        self.over_from = self.over_from.max(over_from);
        if !self.obeys(vf) {
            return;
        }
        let unit = self.unit_of(vf);
        let flow = &mut self.units[unit].flows[op as usize];
        flow.over_from = flow.over_from.max(over_from);
        if self.follows {
            self.units[unit].under_way.note(vf, sequence, over_from, false);
        }
        if !self.pauses {
            self.note_done_not_before((vf, sequence), over_from);
        }
    }

    /// It is known that a request is over at `time`.
    pub fn note_over(&mut self, (vf, sequence): (u32, u64), op: Op, time: Picoseconds) {
        self.open -= 1;
        self.last_over = self.last_over.max(time);
        self.over_from = self.over_from.max(time);
        if !self.obeys(vf) {
            return;
        }
        let unit = self.unit_of(vf);
        let flow = &mut self.units[unit].flows[op as usize];
        flow.over += 1;
        flow.over_from = flow.over_from.max(time);
        if self.follows {
            self.units[unit].under_way.note(vf, sequence, time, true);
        }
        if !self.pauses {
            self.note_done((vf, sequence), time);
        }
    }
}
