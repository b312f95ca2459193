//! The work on packets, over slices: judging them, and giving them their times.

use std::collections::VecDeque;

use bevy_ecs::component::Component;

use super::capture::{CaptureBuffer, GuestMemory};
use super::components::{Dispatched, Verdict};
use super::decision::{EscapeClass, FilterPolicy, Ruling, Sender, decide_packet};
use super::driver::is_well_formed;
use super::windows::{ExclusiveWindows, Span};
use crate::units::Picoseconds;

/// What the driver gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed<'a> {
    /// The private payload: the host's copy.
    pub payload: &'a [u8],
    /// The ruling, with the flags it gets.
    pub ruling: Ruling,
}

/// One packet's way through the filter: captured, parsed, decided on and, if it is allowed, handed to `driver`.
#[inline]
pub fn filter<R>(
    memory: &impl GuestMemory,
    sender: &Sender,
    policy: &FilterPolicy,
    buffer: &mut CaptureBuffer,
    driver: impl FnOnce(Handed<'_>) -> R,
) -> (Ruling, Option<R>) {
    let captured = buffer.capture(memory, policy.capture_bytes_max(sender));
    let Ok(packet) = captured.packet() else { return (Ruling::MALFORMED, None) };
    let ruling = decide_packet(&packet, sender, policy);
    let handed = ruling.is_allowed().then_some(Handed { payload: packet.payload, ruling });
    (ruling, handed.map(driver))
}

/// The verdict on one packet.
#[inline]
pub fn judge_packet(
    memory: &impl GuestMemory,
    sender: &Sender,
    policy: &FilterPolicy,
    buffer: &mut CaptureBuffer,
) -> Verdict {
    let exposes = |handed: Handed<'_>| {
        // A known escape was checked in full; what is in the others nobody before the driver can tell.
        handed.ruling.class != EscapeClass::Known && !is_well_formed(handed.payload)
    };
    let (ruling, exposes) = filter(memory, sender, policy, buffer, exposes);
    Verdict { ruling, exposes: exposes.unwrap_or(false) }
}

/// How long things take at an adapter's driver and before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EscapeTimes {
    /// What the host takes to copy a packet and to judge it.
    pub filter: Picoseconds,
    /// What an escape takes in the driver that does not touch hardware. Any number may be in it at a time.
    pub driver: Picoseconds,
    /// What one takes that touches hardware, and has the adapter for itself.
    pub hardware_access: Picoseconds,
    /// Allowed packets that may wait for the driver of an adapter.
    pub waiting_max: usize,
}

/// What becomes of a packet, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// It was denied, or handed to the driver.
    Over(Dispatched),
    /// It touches hardware, and waits for the adapter from this time on: until that is told by [`DriverQueue::stalled`],
    /// nothing is known of those behind it.
    Due(Picoseconds),
    /// Nothing happens: it hangs on windows that are not known, and gets to the driver at this time or later.
    NotKnown(Picoseconds),
}

/// The way from the filter of an adapter into its driver.
///
/// The filter is a serial server. What it denies is answered when it is done with it. What it allows goes into
/// the driver in order: behind what was allowed before, not inside a window, and not while the adapter is
/// stalled. Only so many may wait there; while that is full, the filter takes no more, and packets wait
/// with their senders.
#[derive(Component, Clone, Debug, Default)]
pub struct DriverQueue {
    /// When those that were allowed, and had not left when the last packet came, leave: in order.
    waiting: VecDeque<Picoseconds>,
    filter_free_at: Picoseconds,
    last_dispatched: Picoseconds,
    /// When the one was judged that waits for the adapter.
    due: Option<Picoseconds>,
    stalled_until: Picoseconds,
    busy_until: Picoseconds,
}

impl DriverQueue {
    /// Those that have got to the driver, and did not have it for themselves, have left it by then.
    #[must_use]
    pub fn busy_until(&self) -> Picoseconds {
        self.busy_until
    }

    /// When a packet is judged that arrives at `arrived`, behind all others so far.
    fn judged_at(&self, arrived: Picoseconds, times: &EscapeTimes) -> Picoseconds {
        let mut taken = arrived.max(self.filter_free_at);
        if self.waiting.len() >= times.waiting_max {
            taken = taken.max(self.waiting[self.waiting.len() - times.waiting_max]);
        }
        taken.saturating_add(times.filter)
    }

    /// A packet that arrives at `arrived` or later, behind all others so far, does not get to the driver before this time.
    #[must_use]
    pub fn ready_from(&self, arrived: Picoseconds, times: &EscapeTimes) -> Picoseconds {
        self.judged_at(arrived, times).max(self.last_dispatched).max(self.stalled_until)
    }

    /// What becomes of a packet that arrives at `arrived`, behind all others so far, of which none may wait for the adapter.
    #[inline]
    pub fn dispatch(
        &mut self,
        arrived: Picoseconds,
        ruling: &Ruling,
        windows: &ExclusiveWindows,
        times: &EscapeTimes,
    ) -> Dispatch {
        debug_assert!(self.due.is_none(), "one behind the other");
        let judged = self.judged_at(arrived, times);
        if !ruling.is_allowed() {
            self.filter_free_at = judged;
            return Dispatch::Over(Dispatched { decided: judged, deferred: false });
        }
        let ready = judged.max(self.last_dispatched).max(self.stalled_until);
        if ruling.stalls_the_adapter() {
            self.due = Some(judged);
            return Dispatch::Due(ready);
        }
        let Some(start) = windows.next_outside(ready) else { return Dispatch::NotKnown(ready) };
        self.busy_until = self.busy_until.max(start.saturating_add(times.driver));
        Dispatch::Over(self.hand_over(judged, start, windows))
    }

    /// The packet that waited for the adapter had it, and was in the driver during `in_driver`.
    ///
    /// # Panics
    /// If none waited.
    pub fn stalled(&mut self, in_driver: Span, windows: &ExclusiveWindows) -> Dispatched {
        let judged = self.due.take().expect("one waits");
        self.stalled_until = in_driver.end;
        self.hand_over(judged, in_driver.begin, windows)
    }

    /// A packet that was judged at a time gets to the driver at `start`.
    #[inline]
    fn hand_over(
        &mut self,
        judged: Picoseconds,
        start: Picoseconds,
        windows: &ExclusiveWindows,
    ) -> Dispatched {
        self.filter_free_at = judged;
        self.last_dispatched = start;
        while self.waiting.front().is_some_and(|leaves| *leaves <= judged) {
            self.waiting.pop_front();
        }
        self.waiting.push_back(start);
        Dispatched { decided: start, deferred: windows.are_open_between(judged, start) }
    }
}
