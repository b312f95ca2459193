//! What switches cost, on VFs and adapters.

use bevy_ecs::component::Component;

use super::components::{SwitchEnd, Switched};
use super::failures::Failure;
use super::lost::{Lost, LostTo};
use crate::escape::Span;
use crate::lifecycle::Step;
use crate::units::Picoseconds;

/// What a pause does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// It holds it back.
    Held,
    /// It is over, but not all that it held back has left when the request is intended.
    Recovery,
}

/// From the intentions of requests to their completions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Requests.
    pub requests: u64,
    /// How long they took, summed.
    pub total_ps: u128,
}

impl Latencies {
    /// One more.
    pub fn note(&mut self, latency: Picoseconds) {
        self.add(&Self { requests: 1, total_ps: u128::from(latency.0) });
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.total_ps += other.total_ps;
    }

    /// Those of `all` that are none of these.
    #[must_use]
    pub fn others_of(&self, all: &Self) -> Self {
        Self { requests: all.requests - self.requests, total_ps: all.total_ps - self.total_ps }
    }

    /// The mean, in nanoseconds; 0 for none.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.total_ps as f64 / 1e3 / self.requests as f64 }
    }
}

/// What switches did to a VF; those of the warm-up are left out.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SilenceBooks {
    /// Switches of its own domain.
    pub switches: u64,
    /// Time in which it could send nothing because of a switch.
    pub silence_ps: u64,
    /// Requests held back by pauses.
    pub held: u64,
    /// How long, summed.
    pub held_ps: u128,
    /// Of these, those that are over and were not aborted.
    pub held_over: Latencies,
    /// Of those that no pause held back, and that were intended before the last that one held back left, the same.
    pub recovering: Latencies,
    /// Requests that were aborted: their function was reset, or in quarantine.
    pub aborted: u64,
    /// Requests that never left, since nobody let them go.
    pub starved: u64,
    /// How long requests of both kinds had waited, summed.
    pub lost_ps: u128,
    /// DMAs that met a domain in the middle of its switch.
    pub faults: u64,
    /// DMAs that reached a frame of the domain that was gone, since an invalidation was left out.
    pub stale: u64,
    /// The same with none left out.
    pub breaches: u64,
}

impl SilenceBooks {
    /// A request was lost.
    pub fn lose(&mut self, lost: &Lost) {
        match lost.to {
            LostTo::Reset => self.aborted += 1,
            LostTo::Starvation => self.starved += 1,
        }
        self.lost_ps += u128::from((lost.at - lost.intended).0);
    }
}

/// The switches of an adapter, but for those of the warm-up.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwitchTotals {
    /// How many there were.
    pub switches: u64,
    /// Of these, those after which the old domain was still attached.
    pub aborted: u64,
    /// Of these, those in which something failed that was injected.
    pub failed: u64,
    /// Switches that found too many waiting.
    pub refused: u64,
    /// How long they took, summed.
    pub total_ps: u128,
    /// The longest.
    pub max: Picoseconds,
}

impl SwitchTotals {
    /// A switch is over.
    pub fn add(&mut self, switched: &Switched) {
        let took = switched.last() - switched.from;
        self.switches += 1;
        self.aborted += u64::from(switched.end.keeps_the_old_domain());
        self.failed += u64::from(matches!(switched.end, SwitchEnd::Failed(..)));
        self.total_ps += u128::from(took.0);
        self.max = self.max.max(took);
    }
}

impl Switched {
    /// When it was over; where nobody goes on, when nothing more is done.
    #[must_use]
    pub fn last(&self) -> Picoseconds {
        if self.end == SwitchEnd::NeverEnded { self.attached_at } else { self.resumed_at }
    }

    /// The time in which the host made no call into the driver, if it told the driver.
    #[must_use]
    pub fn exclusive_window(&self) -> Option<Span> {
        let window = Span { begin: self.silent.drained_at, end: self.ended_at };
        let is_told = !matches!(self.end, SwitchEnd::DrainedTooLong | SwitchEnd::Failed(Failure::Preempt, _));
        (window.begin < window.end && is_told).then_some(window)
    }

    /// The phases by the names of the protocol's states, with their beginnings and ends; those without an end last until
    /// `Picoseconds::MAX`. A replacement at once has three.
    #[must_use]
    pub fn phases(&self, is_atomic: bool) -> Vec<(&'static str, Picoseconds, Picoseconds)> {
        let mut phases = Vec::new();
        let mut begin = self.due.time;
        let mut until = |name: &'static str, end: Picoseconds| {
            phases.push((name, begin, end));
            begin = end;
        };
        if self.from > self.due.time {
            until("waiting", self.from);
        }
        if is_atomic {
            until("replacing", self.silent.detached_at);
            until("invalidating", self.invalidated_at);
        } else {
            self.steps(until);
        }
        phases
    }

    /// The escapes leave that are in the driver, if there are any.
    fn empty_driver(&self, until: &mut impl FnMut(&'static str, Picoseconds)) {
        let super::Silent { drained_at, begins_at, .. } = self.silent;
        if begins_at > drained_at {
            until("driver_emptying", begins_at);
        }
    }

    /// The driver is told, once it is empty.
    fn begin(&self, until: &mut impl FnMut(&'static str, Picoseconds)) {
        self.empty_driver(until);
        until("begin_exclusive", self.begun_at);
    }

    /// The steps of the protocol, as far as it went, and what came instead.
    fn steps(&self, mut until: impl FnMut(&'static str, Picoseconds)) {
        let super::Silent { drained_at, quiet_at, detached_at, .. } = self.silent;
        let failure = match self.end {
            SwitchEnd::Failed(failure, _) => Some(failure),
            _ => None,
        };
        until("scheduler_suspended", self.suspended_at);
        match (self.end, failure) {
            (SwitchEnd::DrainedTooLong, _) | (_, Some(Failure::Preempt)) => {
                until("draining_in_vain", drained_at);
            }
            (_, Some(Failure::Begin)) => {
                until("draining", drained_at);
                self.empty_driver(&mut until);
                until("beginning_in_vain", quiet_at);
            }
            (_, Some(Failure::Stuck)) => {
                until("draining", drained_at);
                until("stuck_in_driver", quiet_at);
            }
            (_, Some(Failure::Quiesce)) => {
                until("draining", drained_at);
                self.begin(&mut until);
                until("quiescing_in_vain", quiet_at);
            }
            _ => {
                until("draining", drained_at);
                self.begin(&mut until);
                until("quiescing", quiet_at);
                let in_vain = failure == Some(Failure::Invalidation);
                if !matches!(self.due.step, Step::Attach(_)) {
                    until("silent", detached_at);
                    until(if in_vain { "invalidating_in_vain" } else { "invalidating" }, self.invalidated_at);
                }
                if !in_vain && !matches!(self.due.step, Step::Detach(_)) {
                    until(attaching(failure), self.attached_at);
                }
            }
        }
        match self.end {
            SwitchEnd::NeverEnded => return until("starving", Picoseconds::MAX),
            SwitchEnd::Failed(_, Some((from, reset))) => {
                if failure == Some(Failure::End) {
                    until("ending_in_vain", from);
                }
                until("resetting", reset);
            }
            _ => {}
        }
        let gave_up = self.end == SwitchEnd::DrainedTooLong || failure.is_some_and(Failure::gives_up);
        if !gave_up && failure != Some(Failure::End) {
            until("end_exclusive", self.ended_at);
        }
        until("resuming", self.resumed_at);
    }
}

/// What the setting of the context entry is called.
fn attaching(failure: Option<Failure>) -> &'static str {
    match failure {
        Some(Failure::Attach) => "reattaching",
        Some(Failure::Reattach) => "attaching_in_vain",
        _ => "attaching",
    }
}
