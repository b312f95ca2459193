//! When a host was down.

use bevy_ecs::component::Component;

use super::spec::{HostSpec, OnFault};
use crate::escape::Span;
use crate::units::Picoseconds;

/// The bug checks of a host, where there may be some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crashes {
    on_fault: bool,
    on_switch_fault: bool,
    reboot: Picoseconds,
    /// When it was down, in order; the end is `Picoseconds::MAX` for good.
    down: Vec<Span>,
}

impl Crashes {
    /// Of a host of this specification, that is up.
    #[must_use]
    pub fn new(spec: &HostSpec) -> Self {
        Self {
            on_fault: spec.on_fault == OnFault::Bugcheck,
            on_switch_fault: spec.on_switch_fault == OnFault::Bugcheck,
            reboot: spec.reboot(),
            down: Vec::new(),
        }
    }

    /// Whether the host is down at `time`, which is not before the last bug check.
    #[inline]
    #[must_use]
    pub fn is_down(&self, time: Picoseconds) -> bool {
        self.down.last().is_some_and(|last| time < last.end)
    }

    /// A DMA was blocked at `time`, in the middle of a switch or not, while the host was up: when it is up again, if that is a bug
    /// check.
    pub fn note_fault(&mut self, time: Picoseconds, of_switch: bool) -> Option<Picoseconds> {
        let ends = if of_switch { self.on_switch_fault } else { self.on_fault };
        ends.then(|| {
            let end = time.saturating_add(self.reboot);
            self.down.push(Span { begin: time, end });
            end
        })
    }

    /// Whether a request is aborted that was intended and would complete at these times.
    #[inline]
    #[must_use]
    pub fn aborts(&self, intended: Picoseconds, completed: Picoseconds) -> bool {
        self.down.iter().any(|down| intended < down.end && completed > down.begin)
    }

    /// When the host was down.
    #[must_use]
    pub fn down(&self) -> &[Span] {
        &self.down
    }
}

/// Requests that are over and not booked, since it is not known whether their host was up: on the host; nothing where hosts do
/// not crash.
#[derive(Component, Clone, Debug, Default)]
pub struct HeldBack(pub Option<Vec<u32>>);
