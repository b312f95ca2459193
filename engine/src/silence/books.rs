//! What switches cost, on VFs and adapters.

use bevy_ecs::component::Component;

use super::components::Switched;
use crate::escape::Span;
use crate::units::Picoseconds;

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
    /// DMAs that met a domain in the middle of its switch.
    pub faults: u64,
    /// DMAs that reached a frame of the domain that was gone, since an invalidation was left out.
    pub stale: u64,
    /// The same with none left out.
    pub breaches: u64,
}

/// The switches of an adapter, but for those of the warm-up.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwitchTotals {
    /// How many there were.
    pub switches: u64,
    /// Of these, those whose drain took too long.
    pub aborted: u64,
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
        let took = switched.resumed_at - switched.from;
        self.switches += 1;
        self.aborted += u64::from(switched.aborted);
        self.total_ps += u128::from(took.0);
        self.max = self.max.max(took);
    }
}

impl Switched {
    /// The time in which the host made no call into the driver, if it told the driver.
    #[must_use]
    pub fn exclusive_window(&self) -> Option<Span> {
        let window = Span { begin: self.silent.drained_at, end: self.ended_at };
        (window.begin < window.end && !self.aborted).then_some(window)
    }

    /// The phases by the names of the protocol's states, with their beginnings and ends. A replacement at once has three.
    #[must_use]
    pub fn phases(&self, is_atomic: bool) -> Vec<(&'static str, Picoseconds, Picoseconds)> {
        let super::Silent { drained_at, quiet_at, detached_at } = self.silent;
        let mut phases = Vec::new();
        if self.from > self.due.time {
            phases.push(("waiting", self.due.time, self.from));
        }
        if self.aborted {
            phases.push(("scheduler_suspended", self.from, self.suspended_at));
            phases.push(("draining_in_vain", self.suspended_at, drained_at));
            phases.push(("resuming", drained_at, self.resumed_at));
            return phases;
        }
        if is_atomic {
            phases.push(("replacing", self.from, detached_at));
            phases.push(("invalidating", detached_at, self.invalidated_at));
            return phases;
        }
        let times = [
            ("scheduler_suspended", self.suspended_at),
            ("draining", drained_at),
            ("begin_exclusive", self.begun_at),
            ("quiescing", quiet_at),
            ("silent", detached_at),
            ("invalidating", self.invalidated_at),
            ("attaching", self.attached_at),
            ("end_exclusive", self.ended_at),
            ("resuming", self.resumed_at),
        ];
        let mut begin = self.from;
        for (name, end) in times {
            phases.push((name, begin, end));
            begin = end;
        }
        phases
    }
}
