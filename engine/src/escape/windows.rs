//! Exclusive windows of an adapter, in which the host makes no call into its driver.

use std::collections::VecDeque;

use bevy_ecs::component::Component;

use crate::units::Picoseconds;

/// A span of time: from `begin` up to `end`, which is no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first instant.
    pub begin: Picoseconds,
    /// The first behind it.
    pub end: Picoseconds,
}

/// The exclusive windows of an adapter (WDDM: from `DxgkDdiBeginExclusiveAccess` to
/// `DxgkDdiEndExclusiveAccess`), as far as they are known: sorted, apart from one another.
///
/// Whoever makes them says how far they are known. A window begins when the host keeps escapes out; it calls the driver once those
/// have left that are in it ([`DriverQueue::busy_until`](super::DriverQueue::busy_until)).
#[derive(Component, Clone, Debug, PartialEq, Eq)]
pub struct ExclusiveWindows {
    known: VecDeque<Span>,
    /// No window begins before it but those above; one that is under way has an end at or behind it.
    known_until: Picoseconds,
}

impl Default for ExclusiveWindows {
    fn default() -> Self {
        Self::never()
    }
}

impl ExclusiveWindows {
    /// An adapter that never has one.
    #[must_use]
    pub fn never() -> Self {
        Self { known: VecDeque::new(), known_until: Picoseconds::MAX }
    }

    /// An adapter of which nothing is known yet.
    #[must_use]
    pub fn unknown() -> Self {
        Self { known: VecDeque::new(), known_until: Picoseconds::ZERO }
    }

    /// Adds a window behind the others.
    ///
    /// # Panics
    /// If it is empty, or begins before the last ends.
    pub fn push(&mut self, window: Span) {
        assert!(window.begin < window.end, "a window takes time");
        assert!(self.known.back().is_none_or(|last| last.end <= window.begin), "windows come in order");
        self.known.push_back(window);
        self.known_until = self.known_until.max(window.end);
    }

    /// No window begins before `until` but those that were added.
    pub fn know_until(&mut self, until: Picoseconds) {
        self.known_until = self.known_until.max(until);
    }

    /// How far they are known.
    #[must_use]
    pub fn known_until(&self) -> Picoseconds {
        self.known_until
    }

    /// The first instant from `time` on that lies in no window, `Picoseconds::MAX` where the last has no end; `None` while it
    /// is not known.
    #[inline]
    #[must_use]
    pub fn next_outside(&self, time: Picoseconds) -> Option<Picoseconds> {
        let mut time = time;
        for window in &self.known {
            if time < window.begin {
                break;
            }
            // One window may begin where another ends.
            time = time.max(window.end);
        }
        (time < self.known_until || time == Picoseconds::MAX).then_some(time)
    }

    /// Whether one of those that are known was open at some time from `from` on and before `until`.
    #[must_use]
    pub fn are_open_between(&self, from: Picoseconds, until: Picoseconds) -> bool {
        self.known.iter().any(|window| window.begin < until && from < window.end)
    }

    /// Forgets the windows that end at or before `time`.
    pub fn forget_until(&mut self, time: Picoseconds) {
        while self.known.front().is_some_and(|window| window.end <= time) {
            self.known.pop_front();
        }
    }
}
