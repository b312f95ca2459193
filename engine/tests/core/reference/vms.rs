//! VMs that come, go and move, as the reference has them: what they intend, when nothing of theirs leaves, what is lost.

use std::collections::{BTreeMap, VecDeque};

use portcullis_engine::hash::mix64;
use portcullis_engine::lifecycle::{Step, VmEvent, VmEventKind, VmSchedule};

use super::{Event, Id, Reference, Rule};
use crate::case::Case;

/// When a VF has VMs, as far as that is asked for: the first instant of each, and the first behind it.
struct Lives {
    events: VmSchedule,
    begins_up: bool,
    spans: Vec<(u64, u64)>,
    /// Whether the VM after the last of them is known not to come.
    complete: bool,
}

impl Lives {
    fn new(case: &Case, vf: usize) -> Self {
        let events = schedule(case, vf);
        let begins_up = events.begins_up();
        let spans = if begins_up { vec![(0, u64::MAX)] } else { Vec::new() };
        Self { events, begins_up, spans, complete: false }
    }

    /// The VM number `number`, and whether there is one.
    fn get(&mut self, number: usize) -> Option<(u64, u64)> {
        // A VM is known to the end when the next is there.
        while !self.complete && self.spans.len() < number + 2 {
            match self.events.next() {
                None => self.complete = true,
                Some(VmEvent { kind: VmEventKind::Migrate, .. }) => {}
                Some(VmEvent { kind: VmEventKind::Stop, time }) => {
                    self.spans.last_mut().expect("one stops").1 = time.0;
                }
                Some(VmEvent { kind: VmEventKind::Start, time }) => self.spans.push((time.0, u64::MAX)),
            }
        }
        self.spans.get(number).copied()
    }

    /// The number of the VM that is there at a time, or comes next.
    fn number_at(&mut self, time: u64) -> usize {
        (0..).find(|number| self.get(*number).is_none_or(|(_, until)| time < until)).expect("there is an end")
    }
}

fn schedule(case: &Case, vf: usize) -> VmSchedule {
    let vfs = case.machine.topology.vfs_per_adapter as usize;
    let (adapter, of_adapter) = (((case.first_vf + vf) / vfs) as u32, (vf % vfs) as u32);
    let seed = mix64(case.seed ^ mix64(u64::from(adapter)) ^ 1 << 61);
    VmSchedule::new(&case.machine.lifecycle, (0, adapter), of_adapter, seed)
}

/// A case in which open loops intend nothing while there is no VM: what falls into such times is left out.
pub fn without_what_nobody_intends(case: &Case, broken: Option<Rule>) -> Case {
    let mut case = case.clone();
    if !case.machine.lifecycle.is_on() || broken == Some(Rule::VmsThatAreGoneIntendNothing) {
        return case;
    }
    for vf in (0..case.traffic.len()).filter(|vf| case.loops[*vf].is_none()) {
        let mut lives = Lives::new(&case, vf);
        case.traffic[vf].retain(|intent| {
            let number = lives.number_at(intent.intended_ps);
            lives.get(number).is_some_and(|(from, _)| from <= intent.intended_ps)
        });
    }
    case
}

/// How long VFs had no VM between two times.
pub fn down_ps(case: &Case, (from, until): (u64, u64)) -> u64 {
    if !case.machine.lifecycle.is_on() {
        return 0;
    }
    let clamp = |time: u64| time.clamp(from, until);
    let of_vf = |vf: usize| {
        let (mut lives, mut behind, mut down) = (Lives::new(case, vf), 0, 0);
        for number in 0.. {
            let (up, stops) = lives.get(number).unwrap_or((u64::MAX, u64::MAX));
            down += clamp(up) - clamp(behind);
            behind = stops;
            if up >= until || stops >= until {
                break;
            }
        }
        down
    };
    (0..case.traffic.len()).map(of_vf).sum()
}

/// The VMs of a case.
#[derive(Default)]
pub struct Vms {
    /// By VF; none where VMs stay.
    lives: Vec<Lives>,
    /// How many times over each VF may not send, and what waits for the end of that.
    held: Vec<u32>,
    waiting: Vec<VecDeque<Id>>,
    /// When the last VM of each stopped.
    stopped_at: Vec<u64>,
    /// Clients of each that are about to send.
    about_to_send: Vec<usize>,
    /// What is counted: `stops`, `starts`, `migrations` and their times.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Vms {
    pub fn new(case: &Case) -> Self {
        if !case.machine.lifecycle.is_on() {
            return Self::default();
        }
        let vfs = case.traffic.len();
        Self {
            lives: (0..vfs).map(|vf| Lives::new(case, vf)).collect(),
            held: vec![0; vfs],
            waiting: vec![VecDeque::new(); vfs],
            stopped_at: vec![0; vfs],
            about_to_send: vec![0; vfs],
            counts: BTreeMap::new(),
        }
    }

    pub fn are_on(&self) -> bool {
        !self.lives.is_empty()
    }

    pub fn begins_up(&self, vf: usize) -> bool {
        self.lives[vf].begins_up
    }

    fn count(&mut self, what: &'static str, more: u64) {
        *self.counts.entry(what).or_default() += more;
    }
}

impl Reference<'_> {
    /// A VF gets the VM number `number`: the clients of a closed loop think, and send.
    pub(super) fn vm_comes(&mut self, vf: usize, number: usize) {
        let Some((from, until)) = self.vms.lives[vf].get(number) else { return };
        let Some(closed) = self.case.loops[vf].clone() else { return };
        if self.intended[vf] == self.case.traffic[vf].len() {
            return;
        }
        for client in 0..closed.clients {
            let thinks = number == 0 || self.holds(Rule::ClientsBeginAnew);
            let time = from + if thinks { closed.think(client) } else { 0 };
            if time < until {
                self.vms.about_to_send[vf] += 1;
                self.at(time, Event::Issue { vf, origin: client });
            }
        }
        if let Some((next, _)) = self.vms.lives[vf].get(number + 1) {
            self.at(next, Event::VmComes { vf, number: number + 1 });
        }
    }

    /// A client that has thought until `time` after the end of a request sends then: whether its VM is still there.
    pub(super) fn is_there_to_send(&mut self, (vf, number): Id, time: u64) -> bool {
        if !self.vms.are_on() {
            return true;
        }
        let since = self.fates[vf][number].intended;
        let number = if self.holds(Rule::ClientsAreGoneWithTheirVm) {
            self.vms.lives[vf].number_at(since)
        } else {
            self.vms.lives[vf].number_at(time)
        };
        let is_there =
            self.vms.lives[vf].get(number).is_some_and(|(from, until)| from <= time && time < until);
        self.vms.about_to_send[vf] += usize::from(is_there);
        is_there
    }

    pub(super) fn note_issue(&mut self, vf: usize) {
        if self.vms.are_on() {
            self.vms.about_to_send[vf] = self.vms.about_to_send[vf].saturating_sub(1);
        }
    }

    /// Whether a VF will intend anything more, if nothing of it is under way.
    fn will_intend(&mut self, vf: usize) -> bool {
        let left = self.case.traffic[vf].len() - self.intended[vf];
        let Some(closed) = &self.case.loops[vf] else { return left > 0 };
        if left == 0 || self.vms.about_to_send[vf] > 0 {
            return left > 0;
        }
        let least = (0..closed.clients).map(|client| closed.think(client)).min().expect("a client");
        let now = self.now;
        let lives = &mut self.vms.lives[vf];
        let mut number = lives.number_at(now);
        while let Some((from, until)) = lives.get(number) {
            if from >= now && from + least < until {
                return true;
            }
            number += 1;
        }
        false
    }

    /// Whether a DMA is under way or will be.
    pub(super) fn anything_is_to_come(&mut self) -> bool {
        let vfs = 0..self.case.traffic.len();
        let unsent: usize = vfs.clone().map(|vf| self.case.traffic[vf].len() - self.intended[vf]).sum();
        self.switches.requests_not_over() > unsent || vfs.into_iter().any(|vf| self.will_intend(vf))
    }

    /// Nothing of a VF leaves any more; what has not left is lost, where its VM has stopped.
    pub(super) fn hold_vf(&mut self, adapter: usize, vf: usize, loses: bool) {
        self.vms.held[vf] += 1;
        let state = &mut self.adapters[adapter];
        let eligible: Vec<Id> =
            state.eligible.iter().filter(|(_, _, id)| id.0 == vf).map(|(_, _, id)| *id).collect();
        let (loses, holds) = match loses {
            true => (self.holds(Rule::StopsAbortWhatHasNotLeft), true),
            false => (!self.holds(Rule::MovesLoseNothing), self.holds(Rule::NothingLeavesUntilTheVmRuns)),
        };
        if loses || holds {
            self.adapters[adapter].eligible.retain(|(_, _, id)| id.0 != vf);
        }
        if loses {
            self.vms.stopped_at[vf] = self.now;
            let unit = self.unit_number(vf);
            let of_unit = self.unit(adapter, unit);
            let mut lost: Vec<Id> = of_unit.aside.iter().filter(|id| id.0 == vf).copied().collect();
            of_unit.aside.retain(|id| id.0 != vf);
            lost.extend(self.vms.waiting[vf].drain(..));
            lost.extend(eligible);
            lost.into_iter().for_each(|id| self.abort_request(id));
        } else if holds {
            self.vms.waiting[vf].extend(eligible);
        }
        // Those behind them may leave.
        self.at(self.now, Event::Send { adapter });
    }

    /// A request becomes eligible: whether its VM has stopped, so that it is lost.
    pub(super) fn was_stopped(&mut self, id: Id) -> bool {
        let stopped = self.vms.are_on() && self.fates[id.0][id.1].intended < self.vms.stopped_at[id.0];
        if stopped {
            self.at(self.now, Event::Abort { id });
        }
        stopped
    }

    /// A request that is eligible waits for the VM that comes, if its VF is held.
    pub(super) fn waits_for_vm(&mut self, id: Id) -> bool {
        if !self.vms.are_on() || self.vms.held[id.0] == 0 || !self.holds(Rule::NothingLeavesUntilTheVmRuns) {
            return false;
        }
        self.vms.waiting[id.0].push_back(id);
        true
    }

    pub(super) fn abort_request(&mut self, id: Id) {
        self.leave_without_being_sent(id, false);
    }

    /// The domain of a VF was detached, or one attached; the switch began at a time. Returns what may go on.
    pub(super) fn vm_step_over(&mut self, vf: usize, step: Step, began_at: u64) -> VecDeque<Id> {
        let counts = self.counted(began_at);
        match step {
            Step::Detach(event) if event.kind == VmEventKind::Stop => self.vms.count("stops", counts),
            Step::Attach(event) => {
                let took = self.now - event.time.0;
                let (what, times) = match event.kind {
                    VmEventKind::Migrate => ("migrations", "blackout"),
                    _ => ("starts", "starting"),
                };
                self.vms.count(what, counts);
                self.vms.count(times, counts * took);
                if event.kind == VmEventKind::Migrate && counts == 1 {
                    let longest = self.vms.counts.entry("longest").or_default();
                    *longest = took.max(*longest);
                }
                self.vms.held[vf] -= 1;
                if self.vms.held[vf] == 0 {
                    return std::mem::take(&mut self.vms.waiting[vf]);
                }
            }
            _ => {}
        }
        VecDeque::new()
    }
}
