//! The split of a latency, and what of the wait for a link is a wait for credits.

use std::collections::VecDeque;

use bevy_ecs::component::Component;

use super::components::{Cause, GateWaits, MemoryWaits, Split, WalkWaits};
use crate::link::{Issued, RateLimits, WireTimes};
use crate::memory::Completed;
use crate::request::{Intent, Op};
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
}

/// Where the time of a request went; `hit` is what a look-up costs.
///
/// Of look-ups in parallel the one whose answer comes last counts, the first of these where several tie: without
/// it the request would have gone on earlier, without any other it would not.
#[must_use]
pub fn split(over: &Over<'_>, wires: &WireTimes, hit: Picoseconds) -> Split {
    let Over { intent, issued: Issued(issued), translation, completed: Completed(completed), .. } = *over;
    let (gate, walk, memory) = (over.gate, over.walk, over.memory);
    let op = intent.transfer.op;
    let mut split = Split::default();
    split.add(Cause::Held, gate.held);
    split.add(Cause::Credit, gate.credit);
    split.add(Cause::Link, issued - (intent.time + gate.held + gate.credit));
    let arrived = issued + wires.upstream(intent.transfer) + wires.propagation;
    split.add(Cause::Link, arrived - issued);
    split.add(Cause::Iotlb, hit);
    split.add(Cause::Walk, walk.walk);
    split.add(Cause::Invalidation, walk.invalidation);
    let known_at = translation.known_at;
    split.add(Cause::WalkQueue, known_at - (arrived + hit + walk.walk + walk.invalidation));
    split.add(Cause::Retirement, memory.turn);
    split.add(Cause::Memory, memory.ready - (known_at + memory.turn));
    if op == Op::Read {
        let back = if memory.back == Picoseconds::ZERO { completed } else { memory.back };
        split.add(Cause::Link, back - memory.ready);
        split.add(Cause::Retirement, completed - back);
    }
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
    /// is for credits. Requests leave in the order in which they became eligible.
    pub fn send(
        &mut self,
        eligible: Picoseconds,
        op: Op,
        start: Picoseconds,
        wire: Picoseconds,
    ) -> Picoseconds {
        let could = eligible.max(self.free_at).max(self.limits.earliest(op));
        self.limits.start(op, start);
        self.free_at = start + wire;
        if start > could {
            self.spans.push_back((could, start));
            self.total += start - could;
        }
        while let Some((from, to)) = self.spans.front().copied().filter(|(_, to)| *to <= eligible) {
            self.total = self.total - (to - from);
            self.spans.pop_front();
        }
        let before = self.spans.front().map_or(Picoseconds::ZERO, |(from, _)| eligible.saturating_sub(*from));
        self.total - before
    }
}
