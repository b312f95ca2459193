//! The split of a latency, and what of the wait for a link is a wait for credits.

use std::collections::VecDeque;

use bevy_ecs::component::Component;

use super::components::{Cause, GateWaits, MemoryWaits, Split, WalkWaits};
use super::device::SplitSoFar;
use crate::device_tlb::Route;
use crate::link::{Issued, RateLimits, WireTimes};
use crate::memory::Completed;
use crate::request::{Intent, Op};
use crate::silence::PauseHistory;
use crate::translation::Translation;
use crate::units::Picoseconds;

/// All that is known of a request that is over.
#[derive(Clone, Copy, Debug)]
pub struct Over<'a> {
    /// What was intended.
    pub intent: &'a Intent,
    /// When it left.
    pub issued: Issued,
    /// What came of its look-ups.
    pub translation: &'a Translation,
    /// When it was complete.
    pub completed: Completed,
    /// Its waits at the gate.
    pub gate: &'a GateWaits,
    /// Those for walks.
    pub walk: &'a WalkWaits,
    /// Those in memory.
    pub memory: &'a MemoryWaits,
    /// Where its time went until the IOMMU had done with it, if its device has looked it up.
    pub so_far: Option<&'a SplitSoFar>,
}

/// Where the time of a request went; `hit` is what a look-up costs.
///
/// Of look-ups in parallel the one whose answer comes last counts, the first of these where several tie: without
/// it the request would have gone on earlier, without any other it would not.
#[must_use]
pub fn split(over: &Over<'_>, wires: &WireTimes, hit: Picoseconds) -> Split {
    let Over { intent, translation, completed: Completed(completed), memory, .. } = *over;
    let mut split = over.so_far.map_or_else(|| until_known(over, wires, hit), |so_far| so_far.split);
    let known_at = translation.known_at;
    let read = intent.transfer.op == Op::Read;
    let back = if read && memory.back != Picoseconds::ZERO { memory.back } else { completed };
    if translation.route == Route::Request {
        // The device was refused a translation: nothing follows but the answer, and what retires before.
        split.add(Cause::Link, back - known_at);
    } else {
        split.add(Cause::Retirement, memory.turn);
        split.add(Cause::Memory, memory.ready - (known_at + memory.turn));
        split.add(Cause::Link, back - memory.ready);
    }
    split.add(Cause::Retirement, completed - back);
    split
}

/// The same until the IOMMU knew the answer.
fn until_known(over: &Over<'_>, wires: &WireTimes, hit: Picoseconds) -> Split {
    let Over { intent, issued: Issued(issued), translation, gate, walk, .. } = *over;
    let mut split = Split::default();
    split.add(Cause::Held, gate.held);
    split.add(Cause::Silence, gate.silence);
    split.add(Cause::Credit, gate.credit);
    split.add(Cause::Link, issued - (intent.time + gate.held + gate.silence + gate.credit));
    let arrived = issued + wires.upstream(intent.transfer) + wires.propagation;
    split.add(Cause::Link, arrived - issued);
    split.add(Cause::Iotlb, hit);
    split.add(Cause::Walk, walk.walk);
    split.add(Cause::Invalidation, walk.invalidation);
    let walked = hit + walk.walk + walk.invalidation;
    split.add(Cause::WalkQueue, translation.known_at - (arrived + walked));
    split
}

/// Of the waits for an adapter's link, which are for credits, tags or slots; on the adapter.
///
/// At each instant the link waits for one request, its next. A request that is eligible and behind it waits for what
/// that one waits for.
#[derive(Component, Clone, Debug)]
pub struct LinkWaits {
    free_at: Picoseconds,
    limits: RateLimits,
    /// When the link was free and its next request had no credit, tag or slot: from when to when, in order, as far
    /// back as an eligible request may have waited.
    spans: VecDeque<(Picoseconds, Picoseconds)>,
    /// Their lengths, summed.
    total: Picoseconds,
}

impl LinkWaits {
    /// Nothing has left yet.
    #[must_use]
    pub fn new(limits: RateLimits) -> Self {
        Self { free_at: Picoseconds::ZERO, limits, spans: VecDeque::new(), total: Picoseconds::ZERO }
    }

    /// A request, eligible since `eligible`, leaves at `start` and is on the wire for `wire`: how much of its wait
    /// is for credits. Requests leave in the order in which they became eligible. Nothing is a wait for credits while the
    /// adapter is paused: `pauses` are those that are over.
    pub fn send(
        &mut self,
        eligible: Picoseconds,
        op: Op,
        (start, wire): (Picoseconds, Picoseconds),
        pauses: Option<&PauseHistory>,
    ) -> Picoseconds {
        let could = eligible.max(self.free_at).max(self.limits.earliest(op));
        self.limits.start(op, start);
        self.free_at = start + wire;
        let mut since = could;
        for (from, until) in pauses.into_iter().flat_map(|pauses| pauses.overlapping(could, start)) {
            self.add_span(since, from);
            since = until;
        }
        self.add_span(since, start);
        while let Some((from, to)) = self.spans.front().copied().filter(|(_, to)| *to <= eligible) {
            self.total = self.total - (to - from);
            self.spans.pop_front();
        }
        let before = self.spans.front().map_or(Picoseconds::ZERO, |(from, _)| eligible.saturating_sub(*from));
        self.total - before
    }

    /// The link waited for credits from `from` to `to`, if that is later.
    fn add_span(&mut self, from: Picoseconds, to: Picoseconds) {
        if to > from {
            self.spans.push_back((from, to));
            self.total += to - from;
        }
    }
}
