//! When a host was down.

use std::collections::VecDeque;

use bevy_ecs::component::Component;

use super::spec::{HostSpec, OnFault};
use crate::escape::Span;
use crate::silence::FailuresSpec;
use crate::units::Picoseconds;

/// The bug checks of a host, where there may be some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crashes {
    on_fault: bool,
    on_switch_fault: bool,
    on_hangs: bool,
    reboot: Picoseconds,
    tdr_limit: u32,
    /// How long a hang counts.
    tdr_limit_time: Picoseconds,
    /// Hangs that count, the first first.
    hangs: VecDeque<Picoseconds>,
    /// When and why it was down, in order.
    bug_checks: Vec<BugCheck>,
}

impl Crashes {
    /// Of a host of this specification, that is up and survives as many hangs as `failures` says.
    #[must_use]
    pub fn new(spec: &HostSpec, failures: &FailuresSpec) -> Self {
        Self {
            on_fault: spec.on_fault == OnFault::Bugcheck,
            on_switch_fault: spec.on_switch_fault == OnFault::Bugcheck,
            on_hangs: spec.on_hangs == OnFault::Bugcheck,
            reboot: spec.reboot(),
            tdr_limit: failures.tdr_limit,
            tdr_limit_time: Picoseconds::from_ns_f64(failures.tdr_limit_us * 1e3),
            hangs: VecDeque::new(),
            bug_checks: Vec::new(),
        }
    }

    /// Whether the host is down at `time`, which is not before the last bug check.
    #[inline]
    #[must_use]
    pub fn is_down(&self, time: Picoseconds) -> bool {
        self.bug_checks.last().is_some_and(|last| time < last.down.end)
    }

    /// A DMA of a VF was blocked at `time`, in the middle of a switch or not, while the host was up: when it is up again, if that is a bug
    /// check.
    pub fn note_fault(&mut self, time: Picoseconds, vf: u32, of_switch: bool) -> Option<Picoseconds> {
        let ends = if of_switch { self.on_switch_fault } else { self.on_fault };
        let cause = if of_switch { BugCheckCause::SwitchFault } else { BugCheckCause::Fault };
        ends.then(|| self.go_down(time, vf, cause))
    }

    /// A device hangs at `time` in a switch of a VF, or a thread is stuck in its driver: when the host is up again, if that is a
    /// bug check. Hangs are noted in the order of time; what happens to a host that is down is nothing to it.
    pub fn note_hang(&mut self, time: Picoseconds, vf: u32, hang: Hang) -> Option<Picoseconds> {
        if self.is_down(time) {
            return None;
        }
        if hang == Hang::Preemption {
            while self.hangs.pop_front_if(|hang| time - *hang > self.tdr_limit_time).is_some() {}
            self.hangs.push_back(time);
            if !self.on_hangs || self.hangs.len() as u64 <= u64::from(self.tdr_limit) {
                return None;
            }
        }
        let cause = if hang == Hang::Driver { BugCheckCause::StuckDriver } else { BugCheckCause::Hangs };
        Some(self.go_down(time, vf, cause))
    }

    /// The host goes down at `time`, and forgets its hangs; when it is up again.
    fn go_down(&mut self, time: Picoseconds, vf: u32, cause: BugCheckCause) -> Picoseconds {
        let end = time.saturating_add(self.reboot);
        self.bug_checks.push(BugCheck { vf, cause, down: Span { begin: time, end } });
        self.hangs.clear();
        end
    }

    /// Whether a request is aborted that was intended and would complete at these times.
    #[inline]
    #[must_use]
    pub fn aborts(&self, intended: Picoseconds, completed: Picoseconds) -> bool {
        self.aborted_at(intended, completed).is_some()
    }

    /// When the host goes down that aborts it, if any does.
    #[inline]
    #[must_use]
    pub fn aborted_at(&self, intended: Picoseconds, completed: Picoseconds) -> Option<Picoseconds> {
        let mut downs = self.bug_checks.iter().map(|bug_check| &bug_check.down);
        downs.find(|down| intended < down.end && completed > down.begin).map(|down| down.begin)
    }

    /// The bug checks until `last`: a device may hang after all is over.
    pub fn until(&self, last: Picoseconds) -> impl Iterator<Item = &BugCheck> {
        self.bug_checks.iter().filter(move |bug_check| bug_check.down.begin <= last)
    }
}

/// An end of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BugCheck {
    /// The VF whose DMA or whose switch was its end, by its index within the world.
    pub vf: u32,
    /// Why.
    pub cause: BugCheckCause,
    /// When it was down; the end is `Picoseconds::MAX` for good.
    pub down: Span,
}

/// What ends a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BugCheckCause {
    /// A DMA that was blocked.
    Fault,
    /// A DMA that met its domain in the middle of a switch.
    SwitchFault,
    /// Too many hangs.
    Hangs,
    /// A thread that did not come back from the driver.
    StuckDriver,
}

impl BugCheckCause {
    /// The name that results use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::SwitchFault => "switch_fault",
            Self::Hangs => "hangs",
            Self::StuckDriver => "stuck_driver",
        }
    }
}

/// What hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hang {
    /// A device does not answer a preemption request (TDR).
    Preemption,
    /// A thread does not come back from the driver (bug check 0x116).
    Driver,
}

/// Requests that are over and not booked, since it is not known whether their host was up: on the host; nothing where hosts do
/// not crash.
#[derive(Component, Clone, Debug, Default)]
pub struct HeldBack(pub Option<Vec<u32>>);
