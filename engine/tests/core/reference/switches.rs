//! Switches of domains, as the reference has them: who is silent, for whom they wait, what they do to the IOMMU.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use portcullis_engine::domain::{Leaf, LeafSize, Permissions};
use portcullis_engine::hash::mix64;
use portcullis_engine::ids::{Iova, PhysAddr};
use portcullis_engine::lifecycle::Step;
use portcullis_engine::request::Op;
use portcullis_engine::silence::{
    AdapterPlace, Due, Failure, PhaseTimes, ProtocolStep, Schedule, SilenceScope, SwitchMode, TimedPhase,
};
use portcullis_engine::topology::DomainScope;

use super::failures::{LostCounts, Outage};
use super::{Command, Event, Id, Reference, Rule};
use crate::case::Case;

/// What a command of a switch invalidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidated {
    Contexts,
    Domain(u32),
    DeviceTlbs,
}

/// What a unit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Idle,
    Suspending,
    Draining,
    /// For escapes to leave the driver.
    Emptying,
    Beginning,
    Quiescing,
    Switching,
    /// What fails is known, and waited for.
    Failing,
}

/// An adapter, or one of its VFs, where they are silent one by one.
#[derive(Clone, Default)]
pub struct Unit {
    due: VecDeque<Due>,
    pub current: Option<(Due, PhaseTimes)>,
    /// When the escape was due that waits for the adapter; the phases of its stall, once that is under way.
    pub escape_due: Option<u64>,
    pub stall: Option<PhaseTimes>,
    pub stage: Stage,
    free_at: u64,
    pub began_at: u64,
    /// Whether the new context entry could not be set.
    pub tried: bool,
    /// Whether the old domain stays; whether something failed.
    pub kept: bool,
    pub failed: bool,
    /// Whether nothing may leave.
    paused: bool,
    /// Requests that may not, in order.
    pub aside: VecDeque<Id>,
    /// Reads whose data is not back, writes that have not left, writes that are not in memory.
    reads_out: usize,
    leaving: usize,
    writes_out: BTreeSet<Id>,
    /// Of these, those that were under way when the device was drained.
    to_flush: BTreeSet<Id>,
    /// Requests that a device with a TLB has taken up and that have not left as themselves.
    in_device: BTreeSet<Id>,
    /// Requests that were taken up, or have left, and are not over.
    under_way: BTreeSet<Id>,
    /// The command that its device has to answer, and what it had taken up when it heard of it.
    to_answer: Option<usize>,
    to_end: BTreeSet<Id>,
    ended_at: u64,
    /// The pauses that are over.
    pauses: Vec<(u64, u64)>,
    /// When the last request left that each held back.
    last_held: BTreeMap<usize, u64>,
}

impl Unit {
    /// The pause that is under way has no end.
    pub fn pause_for_good(&mut self) {
        self.pauses.push((self.began_at, u64::MAX));
    }
}

impl OfAdapter {
    pub fn schedule_seed(&self) -> u64 {
        self.schedule.seed()
    }
}

/// A switch that is over.
#[derive(Clone, Copy, Debug)]
struct Over {
    began_at: u64,
    ended_at: u64,
    kept: bool,
    failed: bool,
}

/// The switches of an adapter.
pub struct OfAdapter {
    schedule: Schedule,
    pub units: Vec<Unit>,
}

/// A device's context entry: in memory, and what look-ups use.
#[derive(Clone, Copy, Default)]
struct Context {
    entry: Option<(u32, usize)>,
    used: Option<(u32, usize)>,
    cached: bool,
    attached: bool,
    switching: bool,
}

/// A domain and its two page tables.
#[derive(Clone)]
struct Domain {
    vfs: Vec<usize>,
    tables: [usize; 2],
    current: usize,
    id: u32,
    /// The ID that it had before the switch that is under way.
    old: u32,
    released: [bool; 2],
}

/// See above.
#[derive(Default)]
pub struct Switches {
    pub adapters: Vec<OfAdapter>,
    /// Whether VFs are silent one by one.
    alone: bool,
    /// Whether each VF is silent when it is to be.
    obeys: Vec<bool>,
    pub vfs_per_adapter: usize,
    /// Which VFs' functions cannot be used, or could not at last.
    pub outages: Vec<Option<Outage>>,
    /// When their clients learn of it.
    pub told_at: Vec<u64>,
    /// Clients of each VF that wait for good.
    pub gone_clients: Vec<u64>,
    pub lost: LostCounts,
    contexts: Vec<Context>,
    domains: Vec<Domain>,
    /// Domain IDs that were given out and are free, and the first that was not given out.
    free: BTreeSet<u32>,
    fresh: u32,
    /// Accesses after which the frames of a domain's page table are nobody's.
    leaving: Vec<(usize, usize, BTreeSet<Id>)>,
    /// Requests that are not over on the bus.
    remaining: usize,
    last_over: u64,
    over: Vec<Over>,
    pub faults: u64,
    pub refused: u64,
    /// Requests that were held back, and for how long.
    pub held: u64,
    pub held_ps: u64,
    /// Those of them that count.
    held_ids: Vec<Id>,
    /// Those that count and that were intended before the last of them had left, behind which they left.
    recovering_ids: Vec<Id>,
    /// When the requests of VFs were lost, by VF.
    pub lost_spans: Vec<(usize, (u64, u64))>,
}

impl Switches {
    /// Of a case whose domains are these, the second ones behind the first.
    pub fn new(case: &Case, domains: &[(u32, Vec<Leaf>)]) -> Self {
        let machine = &case.machine;
        let switches = machine.switches_domains();
        if !switches && case.escapes.iter().all(Vec::is_empty) {
            return Self::default();
        }
        let vfs = machine.topology.vfs_per_adapter as usize;
        let of_adapter = |adapter: usize| {
            let number = (case.first_vf / vfs + adapter) as u32;
            let place = AdapterPlace { host: 0, adapter: number, vfs: vfs as u32 };
            let seed = mix64(case.seed ^ mix64(u64::from(number)) ^ 1 << 61);
            let alone = switches && machine.silence.scope == SilenceScope::Vf;
            OfAdapter {
                schedule: if machine.lifecycle.is_on() {
                    Schedule::of_vms(&machine.lifecycle, place, seed)
                } else {
                    Schedule::new(&machine.switches, &machine.failures, place, seed)
                },
                units: vec![Unit::default(); if alone { vfs } else { 1 }],
            }
        };
        let count = if switches { domains.len() / 2 } else { 0 };
        let shared = machine.topology.domain_scope == DomainScope::Adapter;
        let each = if shared { vfs } else { 1 };
        let domain = |number: usize| Domain {
            vfs: (number * each..(number + 1) * each).collect(),
            tables: [number, count + number],
            current: 0,
            id: domains[number].0,
            old: 0,
            released: [false, true],
        };
        let context = |vf: usize| {
            let domain = vf / each;
            let context = case.attached[vf].then_some((domains[domain].0, domain));
            Context { entry: context, used: context, attached: context.is_some(), ..Context::default() }
        };
        Self {
            adapters: (0..machine.topology.adapters_per_host as usize).map(of_adapter).collect(),
            alone: switches && machine.silence.scope == SilenceScope::Vf,
            vfs_per_adapter: vfs,
            obeys: case.obeys.clone(),
            outages: vec![None; case.traffic.len()],
            told_at: vec![0; case.traffic.len()],
            gone_clients: vec![0; case.traffic.len()],
            contexts: (0..if switches { case.traffic.len() } else { 0 }).map(context).collect(),
            domains: (0..count).map(domain).collect(),
            fresh: count as u32 + 1,
            remaining: case.traffic.iter().map(Vec::len).sum(),
            ..Self::default()
        }
    }

    /// A VF has no domain yet.
    pub fn begin_without_domain(&mut self, vf: usize, reuses_ids: bool) {
        let domain = &mut self.domains[vf];
        (domain.current, domain.released) = (1, [true, true]);
        if reuses_ids {
            self.free.insert(domain.id);
        }
        (self.contexts[vf].entry, self.contexts[vf].used) = (None, None);
    }

    pub fn requests_not_over(&self) -> usize {
        self.remaining
    }

    /// Whether adapters may be silent: because of switches or of escapes.
    fn follow(&self) -> bool {
        !self.adapters.is_empty()
    }

    /// Whether domains are switched.
    fn are_on(&self) -> bool {
        !self.contexts.is_empty()
    }

    fn unit_of(&mut self, vf: usize) -> &mut Unit {
        let units = &mut self.adapters[vf / self.vfs_per_adapter].units;
        let at = if units.len() == 1 { 0 } else { vf % self.vfs_per_adapter };
        &mut units[at]
    }

    /// How much of the time from `from` to `to` a VF could send nothing because of a switch.
    pub fn paused(&self, vf: usize, from: u64, to: u64) -> u64 {
        let Some(of_adapter) = self.adapters.get(vf / self.vfs_per_adapter.max(1)) else { return 0 };
        let at = if of_adapter.units.len() == 1 { 0 } else { vf % self.vfs_per_adapter };
        let overlap = |&(start, end): &(u64, u64)| end.min(to).saturating_sub(start.max(from));
        of_adapter.units[at].pauses.iter().map(overlap).sum()
    }

    pub fn pauses_of(&self, vf: usize) -> &[(u64, u64)] {
        let Some(of_adapter) = self.adapters.get(vf / self.vfs_per_adapter.max(1)) else { return &[] };
        let at = if of_adapter.units.len() == 1 { 0 } else { vf % self.vfs_per_adapter };
        &of_adapter.units[at].pauses
    }

    /// Whether the VFs of an adapter stand aside one by one.
    fn sets_aside_of(&self, adapter: usize) -> bool {
        let first = adapter * self.vfs_per_adapter;
        self.alone || self.obeys[first..first + self.vfs_per_adapter].contains(&false)
    }

    /// Whether an adapter as a whole is paused.
    pub fn is_paused(&self, adapter: usize) -> bool {
        !self.adapters.is_empty()
            && !self.sets_aside_of(adapter)
            && self.adapters.get(adapter).is_some_and(|of| of.units[0].paused)
    }

    /// Whether a request that becomes eligible waits for the end of its VF's own pause.
    pub fn sets_aside(&mut self, adapter: usize, id: Id) -> bool {
        if self.adapters.get(adapter).is_none() || !self.sets_aside_of(adapter) || !self.obeys[id.0] {
            return false;
        }
        let unit = self.unit_of(id.0);
        if unit.paused {
            unit.aside.push_back(id);
        }
        unit.paused
    }

    /// A request is over, or lost.
    pub fn note_end_of_request(&mut self, now: u64) {
        self.remaining -= 1;
        self.last_over = now;
    }

    /// So many requests will never be intended.
    pub fn never_sent(&mut self, count: usize) {
        self.remaining -= count;
    }

    /// The context cache is empty.
    pub fn forget_contexts(&mut self) {
        for context in &mut self.contexts {
            context.cached = false;
            context.used = context.entry;
        }
    }

    /// Whether a VF's domain is in the middle of a switch.
    pub fn is_in_a_switch(&self, vf: usize) -> bool {
        self.are_on() && self.contexts[vf].switching
    }

    /// The VFs that share a VF's domain.
    pub fn domain_vfs(&self, vf: usize) -> Vec<usize> {
        self.domains[self.domain_of(vf)].vfs.clone()
    }

    fn domain_of(&self, vf: usize) -> usize {
        self.domains.iter().position(|domain| domain.vfs.contains(&vf)).expect("a domain")
    }

    pub fn invalidate_contexts(&mut self, vf: usize) {
        for vf in self.domains[self.domain_of(vf)].vfs.clone() {
            let context = &mut self.contexts[vf];
            context.cached = false;
            context.used = context.entry;
        }
    }

    fn set_entries(&mut self, domain: usize, entry: Option<(u32, usize)>) {
        for &vf in &self.domains[domain].vfs {
            let context = &mut self.contexts[vf];
            if context.attached {
                context.entry = entry;
                context.switching = entry.is_none();
                if !context.cached {
                    context.used = entry;
                }
            }
        }
    }

    fn take_id(&mut self) -> u32 {
        self.free.pop_first().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh - 1
        })
    }

    /// A new domain takes the place of another, or the old one comes back.
    fn replace(&mut self, domain: usize, is_new: bool) {
        let id = self.take_id();
        let of = &mut self.domains[domain];
        of.current ^= usize::from(is_new);
        (of.old, of.id) = (of.id, id);
        of.released[of.current] = false;
        let current = of.current;
        self.leaving.retain(|(other, image, _)| (*other, *image) != (domain, current));
        let of = &self.domains[domain];
        let table = of.tables[of.current];
        self.set_entries(domain, Some((id, table)));
    }

    /// An access to memory has ended.
    pub fn note_access_end(&mut self, id: Id, _now: u64) {
        for (_, _, accesses) in &mut self.leaving {
            accesses.remove(&id);
        }
        self.release();
    }

    fn release(&mut self) {
        let domains = &mut self.domains;
        self.leaving.retain(|(domain, image, accesses)| {
            if accesses.is_empty() {
                domains[*domain].released[*image] = true;
            }
            !accesses.is_empty()
        });
    }
}

impl Reference<'_> {
    fn phase(&self, times: &PhaseTimes, phase: TimedPhase) -> u64 {
        times.of_phase(phase).0
    }

    pub(super) fn skips(&self, step: ProtocolStep) -> bool {
        let silence = &self.case.machine.silence;
        // Stalls alone leave nothing out.
        self.switches.are_on() && (silence.mode == SwitchMode::AtomicReplace || silence.skips(step))
    }

    pub(super) fn unit(&mut self, adapter: usize, unit: usize) -> &mut Unit {
        &mut self.switches.adapters[adapter].units[unit]
    }

    /// The context entry that a look-up of a VF uses: domain ID and page table.
    pub(super) fn context(&mut self, vf: usize) -> Option<(u32, usize)> {
        if !self.switches.are_on() {
            let table = self.table_of(vf);
            return self.case.attached[vf].then(|| (self.domains[table].0, table));
        }
        let context = &mut self.switches.contexts[vf];
        context.cached = context.used.is_some();
        context.used
    }

    /// The next switch of an adapter comes when it is due.
    pub(super) fn expect_switch(&mut self, adapter: usize) {
        let time = self.switches.adapters[adapter].schedule.peek().0;
        if time < u64::MAX {
            self.at(time, Event::SwitchDue { adapter });
        }
    }

    /// Whether a transaction is over now or later.
    fn goes_on(&mut self) -> bool {
        let to_come =
            if self.vms.are_on() { self.anything_is_to_come() } else { self.switches.remaining > 0 };
        to_come || self.switches.last_over >= self.now
    }

    pub(super) fn switch_due(&mut self, adapter: usize) {
        if !self.goes_on() {
            return;
        }
        let due = self.switches.adapters[adapter].schedule.take().expect("it is due");
        let units = self.switches.adapters[adapter].units.len();
        let unit = if units == 1 { 0 } else { due.vf as usize };
        if let Step::Hold { loses, .. } = due.step {
            self.hold_vf(adapter, adapter * self.switches.vfs_per_adapter + due.vf as usize, loses);
            return self.expect_switch(adapter);
        }
        let (now, waiting) = (self.now, self.case.machine.switches.waiting as usize);
        let bounded = self.holds(Rule::WaitingSwitchesAreBounded);
        let of_unit = self.unit(adapter, unit);
        let is_of_vm = due.step != Step::Replace;
        if of_unit.due.len() >= waiting && bounded && !is_of_vm {
            self.switches.refused += self.counted(now);
        } else {
            of_unit.due.push_back(due);
            self.switch_next(adapter, unit);
        }
        self.expect_switch(adapter);
    }

    /// A unit that is free begins its next switch.
    pub(super) fn switch_next(&mut self, adapter: usize, unit: usize) {
        let (now, goes_on) = (self.now, self.goes_on());
        let of_unit = self.unit(adapter, unit);
        if of_unit.current.is_some() || of_unit.stall.is_some() || now < of_unit.free_at {
            return;
        }
        let switch_due = of_unit.due.front().map(|due| due.time.0);
        let escape_due = of_unit.escape_due;
        let in_turn = self.holds(Rule::StallsTakeTheirTurn);
        match (escape_due, switch_due.filter(|_| goes_on)) {
            (Some(escape), Some(switch)) if in_turn && escape < switch => self.begin_stall(adapter),
            (Some(_), None) => self.begin_stall(adapter),
            (_, Some(_)) => self.begin_switch(adapter, unit),
            (None, None) => {}
        }
    }

    /// The next switch of a unit begins.
    fn begin_switch(&mut self, adapter: usize, unit: usize) {
        let seed = self.switches.adapters[adapter].schedule.seed();
        let Some(due) = self.unit(adapter, unit).due.pop_front() else { return };
        if self.is_gone(adapter * self.switches.vfs_per_adapter + due.vf as usize) {
            self.switches.refused += self.counted(due.time.0);
            return self.switch_next(adapter, unit);
        }
        let times = PhaseTimes::of(&self.case.machine.silence, seed, due.number);
        let now = self.now;
        let pauses = !self.skips(ProtocolStep::Suspend) && self.holds(Rule::SuspendedSchedulersIssueNothing);
        let of_unit = self.unit(adapter, unit);
        of_unit.current = Some((due, times));
        of_unit.began_at = now;
        if self.case.machine.silence.mode == SwitchMode::AtomicReplace {
            return self.quiet(adapter, unit);
        }
        self.unit(adapter, unit).tried = false;
        self.suspend(adapter, unit, pauses);
        if due.failure == Some(Failure::Preempt) {
            return self.hang(adapter, unit);
        }
        let suspend = if pauses { self.phase(&times, TimedPhase::Suspend) } else { 0 };
        self.at(self.now + suspend, Event::Suspended { adapter, unit, number: due.number });
        if !self.skips(ProtocolStep::Drain) && self.holds(Rule::DrainsTimeOut) && !self.vms.are_on() {
            let timeout = (self.case.machine.silence.drain_timeout_us * 1e6).round() as u64;
            self.at(self.now + timeout, Event::DrainTimeout { adapter, unit, number: due.number });
        }
    }

    /// A unit's scheduler is suspended, where anything `pauses`.
    pub(super) fn suspend(&mut self, adapter: usize, unit: usize, pauses: bool) {
        let now = self.now;
        let of_unit = self.unit(adapter, unit);
        of_unit.stage = Stage::Suspending;
        of_unit.began_at = now;
        of_unit.paused = pauses;
        if pauses && !self.switches.sets_aside_of(adapter) {
            self.adapters[adapter].blocked.end(now);
            self.at(now, Event::Send { adapter });
        }
        if pauses && self.switches.sets_aside_of(adapter) {
            let silent = self.silent(adapter, unit);
            let obeys = self.switches.obeys.clone();
            let eligible = &mut self.adapters[adapter].eligible;
            let held: Vec<_> =
                eligible.iter().filter(|(_, _, id)| silent.contains(&id.0) && obeys[id.0]).copied().collect();
            held.iter().for_each(|key| {
                eligible.remove(key);
            });
            self.unit(adapter, unit).aside.extend(held.into_iter().map(|(_, _, id)| id));
            // Those behind them may leave.
            self.at(self.now, Event::Send { adapter });
        }
    }

    /// A drain has taken too long, if it is not over.
    pub(super) fn drain_timeout(&mut self, adapter: usize, unit: usize, number: u64) {
        let of_unit = self.unit(adapter, unit);
        let Some((due, times)) = of_unit.current else { return };
        if due.number != number || !matches!(of_unit.stage, Stage::Suspending | Stage::Draining) {
            return;
        }
        of_unit.stage = Stage::Idle;
        of_unit.kept = true;
        self.at(self.now + self.phase(&times, TimedPhase::Resume), Event::SwitchResume { adapter, unit });
    }

    pub(super) fn suspended(&mut self, adapter: usize, unit: usize, number: u64) {
        let of_unit = self.unit(adapter, unit);
        let is_current = of_unit.current.is_some_and(|(due, _)| due.number == number);
        if !is_current || of_unit.stage != Stage::Suspending {
            return;
        }
        self.unit(adapter, unit).stage = Stage::Draining;
        self.go_on_waiting(adapter, unit);
    }

    pub(super) fn quiesced(&mut self, adapter: usize, unit: usize) {
        self.unit(adapter, unit).stage = Stage::Quiescing;
        self.go_on_waiting(adapter, unit);
    }

    /// What a unit waits for may have happened.
    pub(super) fn go_on_waiting(&mut self, adapter: usize, unit: usize) {
        let Unit { stage, mut reads_out, mut leaving, writes_out, to_flush, current, in_device, .. } =
            self.unit(adapter, unit).clone();
        if !self.holds(Rule::DrainsWaitForTheDevice) {
            let reads = in_device.iter().filter(|id| self.intent(**id).op == Op::Read).count();
            reads_out -= reads;
            leaving -= in_device.len() - reads;
        }
        let drains = !self.skips(ProtocolStep::Drain) && self.holds(Rule::DrainsWaitForReads);
        let begins = !self.skips(ProtocolStep::Begin);
        let drained = !drains || reads_out + leaving == 0;
        let flushed = to_flush.is_empty() || !self.holds(Rule::QuiescingWaitsForWrites);
        if self.unit(adapter, unit).stall.is_some() {
            let drained = reads_out + leaving == 0 || !self.holds(Rule::StallsWaitForTheDrain);
            let waits = stage == Stage::Draining && drained;
            if (waits || stage == Stage::Emptying) && !self.driver_is_in_the_way(adapter) {
                self.run_stall(adapter);
            } else if waits {
                self.unit(adapter, unit).stage = Stage::Emptying;
            }
            return;
        }
        if stage == Stage::Draining && drained && begins {
            self.unit(adapter, unit).to_flush = writes_out;
            if self.window_begins(adapter) {
                self.unit(adapter, unit).stage = Stage::Emptying;
                return;
            }
        }
        let is_empty = stage == Stage::Emptying && !self.is_busy(adapter);
        let drained = drained && stage == Stage::Draining;
        match stage {
            _ if (drained || is_empty) && self.fails_when_drained(adapter, unit) => {}
            _ if (drained && begins) || is_empty => {
                let (_, times) = current.expect("a switch");
                let to_begin =
                    self.phase(&times, TimedPhase::Begin) + self.phase(&times, TimedPhase::Quiesce);
                self.unit(adapter, unit).stage = Stage::Beginning;
                self.at(self.now + to_begin, Event::Quiesced { adapter, unit });
            }
            _ if drained => self.quiet(adapter, unit),
            Stage::Quiescing if flushed => self.quiet(adapter, unit),
            _ => {}
        }
    }

    /// The domain can be switched.
    fn quiet(&mut self, adapter: usize, unit: usize) {
        let (due, times) = self.unit(adapter, unit).current.expect("a switch");
        self.unit(adapter, unit).stage = Stage::Switching;
        let vf = adapter * self.switches.vfs_per_adapter + due.vf as usize;
        if matches!(due.step, Step::Attach(_)) && self.holds(Rule::StartsDetachNothing) {
            let attach = self.phase(&times, TimedPhase::Attach).max(1);
            return self.at(self.now + attach, Event::Attach { vf });
        }
        self.at(self.now + self.phase(&times, TimedPhase::Detach), Event::Detach { vf });
    }

    pub(super) fn note_sent(&mut self, adapter: usize, id: Id) {
        if !self.switches.follow() {
            return;
        }
        if !self.is_waited_for(id) {
            return;
        }
        self.note_taken_up(id);
        let free = self.adapters[adapter].link_free;
        self.note_leaving(id, free);
    }

    /// Whether a switch waits for a request: what is not held back is not known to anybody.
    fn is_waited_for(&self, id: Id) -> bool {
        self.switches.obeys[id.0] || !self.holds(Rule::WhoDoesNotObeyIsNotWaitedFor)
    }

    /// A request leaves its queue: for the link, or to be looked up by its device.
    pub(super) fn note_taken_up(&mut self, id: Id) {
        if !self.switches.follow() {
            return;
        }
        let op = self.intent(id).op;
        let (now, intended) = (self.now, self.fates[id.0][id.1].intended);
        let unit = self.switches.unit_of(id.0);
        unit.in_device.insert(id);
        unit.under_way.insert(id);
        match op {
            Op::Read => unit.reads_out += 1,
            Op::Write => {
                unit.writes_out.insert(id);
                unit.leaving += 1;
            }
        }
        let held = self.switches.paused(id.0, intended, now);
        let unit = self.switches.unit_of(id.0);
        for (number, (from, until)) in unit.pauses.iter().enumerate() {
            if now.min(*until) > intended.max(*from) {
                unit.last_held.insert(number, now);
            }
        }
        let is_behind = unit.last_held.values().any(|left| intended < *left);
        if self.counted(intended) == 1
            && held == 0
            && is_behind
            && self.holds(Rule::WhatLeavesBehindTheHeldRecovers)
        {
            self.switches.recovering_ids.push(id);
        }
        if held > 0 && self.counted(intended) == 1 {
            self.switches.held_ids.push(id);
            self.switches.held += 1;
            self.switches.held_ps += held;
        }
    }

    /// What switches cost those whom they disturbed: latencies, how long all took to go on, and when nothing could leave.
    pub(super) fn count_disturbances(&mut self) {
        let latency = |id: &Id| self.fates[id.0][id.1].completed - self.fates[id.0][id.1].intended;
        let over = self.switches.held_ids.iter().filter(|id| !self.fates[id.0][id.1].aborted);
        let (held_over, held_latency_ps) = (over.clone().count() as u64, over.map(latency).sum());
        (self.counters.held_over, self.counters.held_latency_ps) = (held_over, held_latency_ps);
        let over = self.switches.recovering_ids.iter().filter(|id| !self.fates[id.0][id.1].aborted);
        let (recovering, recovering_ps) = (over.clone().count() as u64, over.map(latency).sum());
        (self.counters.recovering, self.counters.recovering_ps) = (recovering, recovering_ps);
        for unit in self.switches.adapters.iter().flat_map(|adapter| &adapter.units) {
            for (number, left) in &unit.last_held {
                let (from, until) = unit.pauses[*number];
                if self.counted(from) == 1 {
                    self.counters.recoveries += 1;
                    self.counters.recovery_ps += left - until;
                    self.counters.recovery_max_ps = self.counters.recovery_max_ps.max(left - until);
                }
            }
        }
        for vf in (0..self.fates.len()).filter(|vf| self.case.obeys[*vf]) {
            let lost = self.switches.lost_spans.iter().filter(|(of, _)| *of == vf).map(|(_, span)| *span);
            let mut spans: Vec<_> = lost.chain(self.switches.pauses_of(vf).iter().copied()).collect();
            spans.sort_unstable();
            // What overlaps is counted once.
            let mut behind = 0;
            for (from, until) in spans {
                self.counters.stops.push((from.max(behind), until.max(behind)));
                behind = until.max(behind);
            }
        }
    }

    /// A request goes up the link as itself, until `free`.
    pub(super) fn note_leaving(&mut self, id: Id, free: u64) {
        if !self.switches.follow() {
            return;
        }
        self.switches.unit_of(id.0).in_device.remove(&id);
        if self.intent(id).op == Op::Write {
            self.at(free, Event::LeftDevice { id });
        }
        if !self.holds(Rule::DrainsWaitForTheDevice) {
            self.check_unit(id.0);
        }
    }

    /// A request was refused the translation that its device asked for, and is over.
    pub(super) fn note_refused(&mut self, id: Id) {
        if !self.switches.follow() {
            return;
        }
        let unit = self.switches.unit_of(id.0);
        unit.in_device.remove(&id);
        if self.intent(id).op == Op::Write {
            self.switches.unit_of(id.0).leaving -= 1;
        }
        self.note_over(id);
    }

    /// A write has left the device.
    pub(super) fn note_left(&mut self, id: Id) {
        if self.switches.follow() && self.is_waited_for(id) {
            self.switches.unit_of(id.0).leaving -= 1;
            self.check_unit(id.0);
        }
    }

    /// A transaction is over: a read's data is back, a write is in memory.
    pub(super) fn note_over(&mut self, id: Id) {
        if !self.switches.follow() {
            return;
        }
        self.switches.note_end_of_request(self.now);
        if !self.is_waited_for(id) {
            return;
        }
        let now = self.now;
        let op = self.intent(id).op;
        let unit = self.switches.unit_of(id.0);
        match op {
            Op::Read => unit.reads_out -= 1,
            Op::Write => {
                unit.writes_out.remove(&id);
                unit.to_flush.remove(&id);
            }
        }
        unit.under_way.remove(&id);
        if unit.to_end.remove(&id) {
            unit.ended_at = now;
        }
        if unit.to_end.is_empty()
            && let Some(command) = unit.to_answer.take()
        {
            // Nothing is the cause of what was before it.
            self.at(now + 1, Event::DeviceAnswers { command });
        }
        self.check_unit(id.0);
    }

    /// What a device takes to answer to an invalidation, at least.
    pub(super) fn device_answer_time(&self) -> u64 {
        let time = (self.case.machine.iommu.invalidation.device_tlb_us * 1e6).round() as u64;
        if self.holds(Rule::DevicesTakeTimeToAnswer) { time.max(1) } else { 1 }
    }

    /// A device answers to the invalidation of its TLB, unless what it was doing is not over.
    pub(super) fn device_answers(&mut self, command: usize) {
        let (vf, ..) = self.commands[command].switch.expect("of a switch");
        let (now, waits) = (self.now, self.holds(Rule::DevicesAnswerWhenAllIsOver));
        let unit = self.switches.unit_of(vf);
        if waits && !unit.to_end.is_empty() {
            unit.to_answer = Some(command);
        } else if waits && unit.ended_at == now {
            self.at(now + 1, Event::DeviceAnswers { command });
        } else {
            self.commands[command].answered = true;
            self.complete_commands();
        }
    }

    /// The devices of a VF's domain drop what they hold of it.
    pub(super) fn invalidate_device_tlbs(&mut self, vf: usize) {
        let unit = self.switches.unit_of(vf);
        unit.to_end = unit.under_way.clone();
        for vf in self.switches.domains[self.switches.domain_of(vf)].vfs.clone() {
            let tag = self.tag_of(vf);
            self.device_tlb(vf).drop_where(|there, _| there == tag);
            let adapter = self.adapter_of(vf);
            let asked = self.adapters[adapter].asked.iter_mut();
            asked
                .filter(|asked| asked.page.is_some_and(|(there, _)| there == tag))
                .for_each(|asked| asked.cancelled = true);
        }
    }

    /// The ID of a VF's domain.
    pub(super) fn current_domain(&self, vf: usize) -> Option<u32> {
        self.switches.are_on().then(|| self.switches.domains[self.switches.domain_of(vf)].id)
    }

    fn check_unit(&mut self, vf: usize) {
        let adapter = self.adapter_of(vf);
        let unit = self.unit_number(vf);
        self.go_on_waiting(adapter, unit);
    }

    pub(super) fn detach(&mut self, vf: usize) {
        let domain = self.switches.domain_of(vf);
        let atomic = self.case.machine.silence.mode == SwitchMode::AtomicReplace;
        let old = self.switches.domains[domain].id;
        if atomic {
            self.switches.replace(domain, true);
        } else {
            self.switches.domains[domain].old = old;
            self.switches.set_entries(domain, None);
        }
        let silence = &self.case.machine.silence;
        let contexts =
            !silence.skips(ProtocolStep::InvalidateContext) && self.holds(Rule::ContextsAreInvalidated);
        let iotlb =
            !silence.skips(ProtocolStep::InvalidateIotlb) && self.holds(Rule::SwitchedDomainsAreInvalidated);
        let devices = self.case.machine.device.tlb.entries > 0
            && !silence.skips(ProtocolStep::InvalidateDeviceTlb)
            && self.holds(Rule::DeviceTlbsAreInvalidated);
        let steps = [
            (contexts, Invalidated::Contexts),
            (iotlb, Invalidated::Domain(old)),
            (devices, Invalidated::DeviceTlbs),
        ];
        let steps: Vec<_> = steps.into_iter().filter(|(taken, _)| *taken).collect();
        let table = self.switches.domains[domain].tables[0];
        for (number, (_, what)) in steps.iter().enumerate() {
            let switch = Some((vf, *what, number + 1 == steps.len()));
            self.submit(Command {
                table,
                drops: super::Granularity::Domain,
                flushes: Vec::new(),
                waiter: None,
                switch,
                accesses: None,
                answered: *what != Invalidated::DeviceTlbs,
            });
        }
        if steps.is_empty() {
            self.invalidated(vf);
        }
    }

    /// The ID of the domain that a command is about.
    pub(super) fn domain_of_command(&self, number: usize, table: usize) -> u32 {
        match self.commands[number].switch {
            Some((_, Invalidated::Domain(id), _)) => id,
            _ => self.domains[table].0,
        }
    }

    /// All that a switch invalidates is gone.
    pub(super) fn invalidated(&mut self, vf: usize) {
        let domain = self.switches.domain_of(vf);
        let atomic = self.case.machine.silence.mode == SwitchMode::AtomicReplace;
        let of = &self.switches.domains[domain];
        let (gone, old) = (if atomic { of.current ^ 1 } else { of.current }, of.old);
        self.switches.leaving.push((domain, gone, self.accesses.clone()));
        self.switches.release();
        let adapter = self.adapter_of(vf);
        if self.fails_when_invalidated(vf) {
            return;
        }
        if self.case.machine.silence.did_reuse && self.holds(Rule::DomainIdsAreReused) {
            self.switches.free.insert(old);
        }
        if atomic {
            let unit = self.unit_number(vf);
            return self.at(self.now, Event::SwitchResume { adapter, unit });
        }
        let unit = self.unit_number(vf);
        let (due, times) = self.unit(adapter, unit).current.expect("a switch");
        if matches!(due.step, Step::Detach(_)) {
            let rest = self.phase(&times, TimedPhase::End) + self.phase(&times, TimedPhase::Resume);
            return self.at(self.now + rest, Event::SwitchResume { adapter, unit });
        }
        self.at(self.now + self.phase(&times, TimedPhase::Attach), Event::Attach { vf });
    }

    pub(super) fn unit_number(&self, vf: usize) -> usize {
        let adapter = &self.switches.adapters[self.adapter_of(vf)];
        if adapter.units.len() == 1 { 0 } else { vf % self.switches.vfs_per_adapter }
    }

    pub(super) fn attach(&mut self, vf: usize) {
        if self.tries_again(vf) {
            return;
        }
        let domain = self.switches.domain_of(vf);
        match self.fails_to_attach(vf) {
            None => {
                let is_new = !self.vms.are_on() || self.holds(Rule::TheNextVmHasItsOwnMemory);
                self.switches.replace(domain, is_new);
            }
            Some(true) => self.switches.replace(domain, !self.holds(Rule::OldDomainsAreReattached)),
            Some(false) => {}
        }
        if self.fails_to_end(vf) {
            return;
        }
        let (adapter, unit) = (self.adapter_of(vf), self.unit_number(vf));
        let (_, times) = self.unit(adapter, unit).current.expect("a switch");
        let end = self.phase(&times, TimedPhase::End);
        self.window_ends_at(adapter, self.now + end);
        let rest = end + self.phase(&times, TimedPhase::Resume);
        self.at(self.now + rest, Event::SwitchResume { adapter, unit });
    }

    /// A switch is over: what it held back goes on.
    pub(super) fn switch_over(&mut self, adapter: usize, unit: usize) {
        let (now, pauses) = (self.now, !self.skips(ProtocolStep::Suspend));
        let of_unit = self.unit(adapter, unit);
        let began_at = of_unit.began_at;
        let due = of_unit.current.take().map(|(due, _)| due);
        let was_stall = of_unit.stall.take().is_some();
        of_unit.stage = Stage::Idle;
        of_unit.paused = false;
        if pauses {
            of_unit.pauses.push((began_at, now));
        }
        let aside: Vec<Id> = of_unit.aside.drain(..).collect();
        if !was_stall {
            self.note_switch(adapter, unit);
        }
        let of_vm = due.filter(|due| due.step != Step::Replace).map(|due| {
            let vf = adapter * self.switches.vfs_per_adapter + due.vf as usize;
            self.vm_step_over(vf, due.step, began_at)
        });
        for id in of_vm.into_iter().flatten().chain(aside) {
            self.make_eligible(id, false);
        }
        self.at(now, Event::Send { adapter });
        self.begin_next(adapter, unit);
    }

    /// A switch is over.
    pub(super) fn note_switch(&mut self, adapter: usize, unit: usize) {
        let (now, began_at) = (self.now, self.unit(adapter, unit).began_at);
        let of_unit = self.unit(adapter, unit);
        let [kept, failed] = [&mut of_unit.kept, &mut of_unit.failed].map(std::mem::take);
        self.switches.over.push(Over { began_at, ended_at: now, kept, failed });
    }

    /// Counts the switches that were over while their host was up.
    pub(super) fn count_switches(&mut self) {
        let over = std::mem::take(&mut self.switches.over);
        for Over { began_at, ended_at, kept, failed } in over {
            let counts = self.counted(began_at) * u64::from(!self.crashes.cuts(began_at, ended_at));
            self.counters.switches += counts;
            self.counters.switch_ps += counts * (ended_at - began_at);
            self.counters.switches_aborted += counts * u64::from(kept);
            self.counters.switches_failed += counts * u64::from(failed);
        }
    }

    /// A unit has no switch any more: the next comes after a while.
    pub(super) fn begin_next(&mut self, adapter: usize, unit: usize) {
        let now = self.now;
        let gap = (self.case.machine.switches.gap_us * 1e6).round() as u64;
        self.unit(adapter, unit).free_at = now + gap;
        self.at(now + gap, Event::SwitchNext { adapter, unit });
    }

    /// A DMA found no context entry: its domain may be in the middle of a switch.
    pub(super) fn note_switch_fault(&mut self, id: Id) {
        if self.switches.are_on() && self.switches.contexts[id.0].switching {
            self.switches.faults += self.counted(self.fates[id.0][id.1].intended);
        }
    }

    /// A DMA that its device has translated passes: whose frame does it reach?
    pub(super) fn judge_passing(&mut self, id: Id) {
        if self.holds(Rule::TranslatedOnesAreJudgedAsTheyPass) {
            let target = PhysAddr(self.fates[id.0][id.1].address);
            let permissions = Permissions::ReadWrite;
            self.judge(id, Leaf { base: Iova(0), target, size: LeafSize::Size4K, permissions });
        }
    }

    /// A leaf served a DMA: whose frame does it reach?
    pub(super) fn judge(&mut self, id: Id, leaf: Leaf) {
        if !self.switches.are_on() {
            return;
        }
        let domain = &self.switches.domains[self.switches.domain_of(id.0)];
        let holds = |table: usize| {
            let leaves = self.domains[table].1.iter();
            let mut covering = leaves.filter(|there| {
                there.target <= leaf.target && leaf.target.0 < there.target.0 + there.size.bytes()
            });
            covering.next().is_some()
        };
        let image = domain.tables.iter().position(|table| holds(*table));
        self.fates[id.0][id.1].stale |= image.is_none_or(|image| domain.released[image]);
    }
}
