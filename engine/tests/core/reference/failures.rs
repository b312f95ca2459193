//! What fails in switches, as the reference has it, and the requests that never leave because of it.

use portcullis_engine::silence::{Due, Failure, PhaseTimes, ProtocolStep, TimedPhase};

use super::switches::Stage;
use super::{Event, Id, Reference, Rule};

/// A function that cannot be used: until when, and whether its requests are held for good instead of aborted.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub until: u64,
    pub starves: bool,
}

/// What became of the requests that never left.
#[derive(Clone, Copy, Debug, Default)]
pub struct LostCounts {
    pub aborted: u64,
    pub starved: u64,
    pub waited_ps: u64,
    pub in_warm_up: u64,
}

fn ps(us: f64) -> u64 {
    (us * 1e6).round() as u64
}

impl Reference<'_> {
    fn current(&mut self, adapter: usize, unit: usize) -> (Due, PhaseTimes) {
        self.unit(adapter, unit).current.expect("a switch")
    }

    /// What fails in the switch that is under way.
    pub(super) fn failure(&mut self, adapter: usize, unit: usize) -> Option<Failure> {
        self.unit(adapter, unit).current.and_then(|(due, _)| due.failure)
    }

    /// Whether a VF's function is lost for good.
    pub(super) fn is_gone(&self, vf: usize) -> bool {
        self.switches
            .outages
            .get(vf)
            .is_some_and(|outage| outage.is_some_and(|outage| outage.until == u64::MAX))
    }

    /// A switch has begun: its device does not answer the preemption request.
    pub(super) fn hang(&mut self, adapter: usize, unit: usize) {
        self.unit(adapter, unit).stage = Stage::Failing;
        let timeout = ps(self.case.machine.failures.preempt_timeout_us);
        self.at(self.now + timeout, Event::Reset { adapter, unit });
    }

    /// The device is drained; whether the switch fails before anything is done to the domain.
    pub(super) fn fails_when_drained(&mut self, adapter: usize, unit: usize) -> bool {
        let Some(failure) = self.failure(adapter, unit) else { return false };
        let (_, times) = self.current(adapter, unit);
        let begin = times.of_phase(TimedPhase::Begin).0;
        let failures = &self.case.machine.failures;
        let (after, event) = match failure {
            Failure::Begin => (begin, Event::GivenUp { adapter, unit }),
            Failure::Stuck => (ps(failures.ddi_timeout_us), Event::GivenUp { adapter, unit }),
            Failure::Quiesce => (begin + ps(failures.quiesce_timeout_us), Event::Reset { adapter, unit }),
            _ => return false,
        };
        self.unit(adapter, unit).stage = Stage::Failing;
        self.at(self.now + after, event);
        true
    }

    /// A switch is given up, and the old domain stays.
    pub(super) fn given_up(&mut self, adapter: usize, unit: usize) {
        if self.failure(adapter, unit) == Some(Failure::Stuck) {
            self.note_hang(true);
        }
        self.count_failure(adapter, unit, true);
        let (_, times) = self.current(adapter, unit);
        self.window_ends_at(adapter, self.now);
        self.at(self.now + times.of_phase(TimedPhase::Resume).0, Event::SwitchResume { adapter, unit });
    }

    fn count_failure(&mut self, adapter: usize, unit: usize, keeps_old: bool) {
        let of_unit = self.unit(adapter, unit);
        (of_unit.failed, of_unit.kept) = (true, keeps_old);
    }

    /// Those who are silent are reset.
    pub(super) fn reset(&mut self, adapter: usize, unit: usize) {
        let failure = self.failure(adapter, unit).expect("something failed");
        if failure == Failure::Preempt {
            self.note_hang(false);
        }
        let (_, times) = self.current(adapter, unit);
        let until = self.now + ps(self.case.machine.failures.reset_us);
        self.count_failure(adapter, unit, failure != Failure::End);
        let vfs = self.silent(adapter, unit);
        self.lose(vfs, Outage { until, starves: false });
        self.window_ends_at(adapter, until);
        self.at(until + times.of_phase(TimedPhase::Resume).0, Event::SwitchResume { adapter, unit });
    }

    /// The last invalidation of a switch was never complete; whether that is what fails.
    pub(super) fn fails_when_invalidated(&mut self, vf: usize) -> bool {
        let (adapter, unit) = (self.adapter_of(vf), self.unit_number(vf));
        if self.failure(adapter, unit) != Some(Failure::Invalidation) {
            return false;
        }
        self.quarantine(vf);
        let (_, times) = self.current(adapter, unit);
        let rest = times.of_phase(TimedPhase::End).0 + times.of_phase(TimedPhase::Resume).0;
        let reset = ps(self.case.machine.failures.reset_us);
        self.window_ends_at(adapter, self.now + reset + times.of_phase(TimedPhase::End).0);
        self.at(self.now + reset + rest, Event::SwitchResume { adapter, unit });
        true
    }

    fn quarantine(&mut self, vf: usize) {
        let vfs = self.switches.domain_vfs(vf);
        let (adapter, unit) = (self.adapter_of(vf), self.unit_number(vf));
        self.count_failure(adapter, unit, false);
        self.lose(vfs, Outage { until: u64::MAX, starves: false });
    }

    /// A context entry is to be set: what comes of it, where that fails. `None` where nothing does; whether the old domain is
    /// attached again.
    pub(super) fn fails_to_attach(&mut self, vf: usize) -> Option<bool> {
        let (adapter, unit) = (self.adapter_of(vf), self.unit_number(vf));
        let failure = self.failure(adapter, unit);
        if !matches!(failure, Some(Failure::Attach | Failure::Reattach)) {
            return None;
        }
        if failure == Some(Failure::Reattach) {
            self.quarantine(vf);
        } else {
            self.count_failure(adapter, unit, true);
        }
        Some(failure == Some(Failure::Attach))
    }

    /// Whether the context entry that is to be set now cannot be: another try follows.
    pub(super) fn tries_again(&mut self, vf: usize) -> bool {
        let (adapter, unit) = (self.adapter_of(vf), self.unit_number(vf));
        let fails = matches!(self.failure(adapter, unit), Some(Failure::Attach | Failure::Reattach));
        let (_, times) = self.current(adapter, unit);
        let of_unit = self.unit(adapter, unit);
        if !fails || std::mem::replace(&mut of_unit.tried, true) {
            return false;
        }
        self.at(self.now + times.of_phase(TimedPhase::Attach).0, Event::Attach { vf });
        true
    }

    /// The domain is attached: what follows, where nobody ends the silence, or the end fails. Whether it is one of these.
    pub(super) fn fails_to_end(&mut self, vf: usize) -> bool {
        let (adapter, unit) = (self.adapter_of(vf), self.unit_number(vf));
        let (_, times) = self.current(adapter, unit);
        if self.failure(adapter, unit) == Some(Failure::End) {
            self.at(self.now + times.of_phase(TimedPhase::End).0, Event::Reset { adapter, unit });
            return true;
        }
        if !self.case.machine.silence.skips(ProtocolStep::End) {
            return false;
        }
        let vfs = self.silent(adapter, unit);
        if !self.skips(ProtocolStep::Suspend) {
            self.unit(adapter, unit).pause_for_good();
        }
        self.lose(vfs, Outage { until: u64::MAX, starves: true });
        self.note_switch(adapter, unit);
        self.unit(adapter, unit).current = None;
        self.begin_next(adapter, unit);
        true
    }

    /// The VFs that are silent together.
    pub(super) fn silent(&self, adapter: usize, unit: usize) -> Vec<usize> {
        let first = adapter * self.switches.vfs_per_adapter;
        if self.switches.adapters[adapter].units.len() == 1 {
            (first..first + self.switches.vfs_per_adapter).collect()
        } else {
            vec![first + unit]
        }
    }

    /// The functions of these VFs cannot be used: what has not left is lost.
    fn lose(&mut self, vfs: Vec<usize>, outage: Outage) {
        if !self.holds(Rule::ResetsAbort) {
            return;
        }
        for &vf in vfs.iter().filter(|vf| !self.is_gone(**vf)).collect::<Vec<_>>() {
            let (adapter, unit) = (self.adapter_of(vf), self.unit_number(vf));
            let told_at = outage.until.saturating_add(ps(self.case.machine.failures.recovery_us));
            let resume = self.unit(adapter, unit).current.expect("a switch").1.of_phase(TimedPhase::Resume).0;
            self.switches.outages[vf] = Some(outage);
            self.switches.lost_spans.push((vf, (self.now, outage.until)));
            self.switches.told_at[vf] = told_at.saturating_add(resume);
            let state = &mut self.adapters[adapter];
            let waiting: Vec<Id> =
                state.eligible.iter().filter(|(_, _, id)| id.0 == vf).map(|(_, _, id)| *id).collect();
            state.eligible.retain(|(_, _, id)| id.0 != vf);
            let of_unit = self.unit(adapter, unit);
            let aside: Vec<Id> = of_unit.aside.iter().filter(|id| id.0 == vf).copied().collect();
            of_unit.aside.retain(|id| id.0 != vf);
            waiting.into_iter().chain(aside).for_each(|id| self.lose_request(id));
        }
    }

    /// A client waits for good: when the last of a VF does, what the VF has not sent is never sent.
    fn lose_client(&mut self, vf: usize) {
        let Some(closed) = &self.case.loops[vf] else { return };
        self.switches.gone_clients[vf] += 1;
        if self.switches.gone_clients[vf] == closed.clients {
            let rest = self.case.traffic[vf].len() - self.intended[vf];
            self.switches.never_sent(rest);
        }
    }

    /// A request becomes eligible: whether it is lost instead.
    pub(super) fn loses(&mut self, id: Id) -> bool {
        let outage = self.switches.outages.get(id.0).copied().flatten();
        let lost = outage.is_some_and(|outage| self.now < outage.until);
        if lost {
            self.at(self.now, Event::Lose { id });
        }
        lost
    }

    /// A request is over and has never left: its place and its slot go to the next.
    pub(super) fn lose_request(&mut self, id: Id) {
        let outage = self.switches.outages[id.0].expect("it is lost to something");
        self.leave_without_being_sent(id, outage.starves);
        if outage.until == u64::MAX && self.holds(Rule::WhoIsGoneIsNotTold) {
            return self.lose_client(id.0);
        }
        let waits = self.holds(Rule::ClientsWaitForTheRecovery) && outage.until < u64::MAX;
        let told_at = if waits { self.switches.told_at[id.0] } else { self.now };
        self.think_from(id, told_at);
    }

    /// The same, whatever its client hears of it.
    pub(super) fn leave_without_being_sent(&mut self, id: Id, starves: bool) {
        let (vf, number) = id;
        let intended = self.fates[vf][number].intended;
        (self.fates[vf][number].lost, self.fates[vf][number].over) = (true, self.now);
        self.switches.note_end_of_request(self.now);
        let counts = &mut self.switches.lost;
        if intended < self.case.warm_up_ps {
            counts.in_warm_up += 1;
        } else {
            counts.aborted += u64::from(!starves);
            counts.starved += u64::from(starves);
            counts.waited_ps += self.now - intended;
        }
        self.queued[vf] -= 1;
        if let Some(released) = self.stalled[vf].pop_front() {
            self.enter(released, true);
        }
        match self.held[vf].pop_front() {
            Some(next) => self.make_eligible(next, false),
            None => self.slots[vf] += 1,
        }
    }
}

impl Reference<'_> {
    /// What the last invalidation of a switch takes, where one that is complete takes `cost`.
    pub(super) fn cost_of_the_last(&mut self, vf: usize, cost: u64) -> u64 {
        let (adapter, unit) = (self.adapter_of(vf), self.unit_number(vf));
        if self.failure(adapter, unit) == Some(Failure::Invalidation) {
            return ps(self.case.machine.failures.invalidation_timeout_us);
        }
        cost
    }
}
