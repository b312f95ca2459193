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
    /// What an escape that touches hardware stalls the adapter for.
    pub hardware_access: Picoseconds,
    /// Allowed packets that may wait for the driver of an adapter.
    pub waiting_max: usize,
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
    stalled_until: Picoseconds,
}

impl DriverQueue {
    /// The end of the last stall: no thread that touches hardware is in the driver from then on, as far as
    /// packets were dispatched.
    #[must_use]
    pub fn free_at(&self) -> Picoseconds {
        self.stalled_until
    }

    /// The times of a packet that arrives at `arrived`, behind all others so far; with the stall it makes.
    /// `None`, and nothing happens, while it hangs on windows that are not known.
    #[inline]
    pub fn dispatch(
        &mut self,
        arrived: Picoseconds,
        ruling: &Ruling,
        windows: &ExclusiveWindows,
        times: &EscapeTimes,
    ) -> Option<(Dispatched, Option<Span>)> {
        let mut taken = arrived.max(self.filter_free_at);
        if self.waiting.len() >= times.waiting_max {
            taken = taken.max(self.waiting[self.waiting.len() - times.waiting_max]);
        }
        let judged = taken.saturating_add(times.filter);
        if !ruling.is_allowed() {
            self.filter_free_at = judged;
            return Some((Dispatched { decided: judged, deferred: false }, None));
        }
        let ready = judged.max(self.last_dispatched).max(self.stalled_until);
        let start = windows.next_outside(ready)?;
        // In a window, or behind one that is.
        let deferred = start > ready || windows.next_outside(judged) != Some(judged);
        self.filter_free_at = judged;
        self.last_dispatched = start;
        while self.waiting.front().is_some_and(|leaves| *leaves <= judged) {
            self.waiting.pop_front();
        }
        self.waiting.push_back(start);
        let stall = ruling
            .stalls_the_adapter()
            .then(|| Span { begin: start, end: start.saturating_add(times.hardware_access) });
        if let Some(stall) = stall {
            self.stalled_until = stall.end;
        }
        Some((Dispatched { decided: start, deferred }, stall))
    }
}
