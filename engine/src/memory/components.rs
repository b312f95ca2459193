//! The downstream direction of a link, and completion times.

use core::hint::select_unpredictable;

use bevy_ecs::component::Component;

use super::spec::MemorySpec;
use crate::gate::Uplink;
use crate::link::{WriteOrder, time_before};
use crate::request::Op;
use crate::units::Picoseconds;

/// Memory: when the request was complete for the device.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Completed(pub Picoseconds);

/// The latencies of a host's memory.
#[derive(Component, Clone, Copy, Debug)]
pub struct MemoryTimes {
    /// From translation to data at the root port.
    pub read: Picoseconds,
    /// From translation until memory holds the data.
    pub write: Picoseconds,
    /// From a read's fault to its status at the root port.
    pub unsupported_request: Picoseconds,
    /// Whether writes of a VF reach memory in the order in which they were looked up.
    pub writes_in_order: bool,
}

impl MemoryTimes {
    /// From a valid specification.
    #[must_use]
    pub fn new(spec: &MemorySpec, write_order: WriteOrder) -> Self {
        Self {
            read: Picoseconds::from_ns_f64(spec.read_ns),
            write: Picoseconds::from_ns_f64(spec.write_ns),
            unsupported_request: Picoseconds::from_ns_f64(spec.unsupported_request_ns),
            writes_in_order: write_order == WriteOrder::InOrder,
        }
    }

    /// From a request's translation, or its fault, to its completion in memory or at the root port: a
    /// blocked write vanishes at once.
    #[inline]
    #[must_use]
    pub fn latency(&self, op: Op, blocked: bool) -> Picoseconds {
        let [read, write] =
            if blocked { [self.unsupported_request, Picoseconds::ZERO] } else { [self.read, self.write] };
        select_unpredictable(op == Op::Read, read, write)
    }

    /// The least time from a translation to a completion at the root port. A fault skips memory.
    #[must_use]
    pub fn least_read(&self) -> Picoseconds {
        self.read.min(self.unsupported_request)
    }
}

/// Memory's order among the writes of a VF, on the VF.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct PostedWrites {
    /// When the last write that was looked up is out of the way of those behind it; zero for relaxed order.
    pub free_at: Picoseconds,
}

impl PostedWrites {
    /// When a request that is looked up next is out of the way of those before it: a read always is.
    #[must_use]
    pub fn turn(&self, op: Op) -> Picoseconds {
        if op == Op::Read { Picoseconds::ZERO } else { self.free_at }
    }

    /// What a request known at `known_at` waits for the writes before it; they all come in the order of their
    /// look-ups. A blocked write vanishes in its turn.
    pub fn turn_wait(&mut self, op: Op, known_at: Picoseconds) -> Picoseconds {
        let turn = self.turn(op);
        if op == Op::Write {
            self.free_at = turn.max(known_at);
        }
        turn.saturating_sub(known_at)
    }
}

/// A read's completion that waits for the downstream link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Return {
    /// When its data is at the root port.
    pub ready: Picoseconds,
    /// Its row.
    pub row: u32,
}

/// The downstream direction of an adapter's link.
#[derive(Component, Clone, Debug, Default)]
pub struct Downlink {
    /// Completions to come, in the order in which their data is ready.
    pub pending: Vec<Return>,
    /// When the link is free.
    pub free_at: Picoseconds,
    /// Time the link was busy, summed.
    pub busy_ps: u64,
    /// When the warm-up ends.
    pub warm_up: Picoseconds,
    /// Time the link was busy before that.
    pub warm_up_busy_ps: u64,
}

impl Downlink {
    /// Notes how long the link will be busy in the warm-up with the completions that it serves next; `wire` is the
    /// time of a row on the wire.
    #[cold]
    #[inline(never)]
    pub fn note_warm_up(&mut self, served: &[Return], wire: impl Fn(u32) -> Picoseconds) {
        let mut free_at = self.free_at;
        for &Return { ready, row } in served {
            let start = ready.max(free_at);
            free_at = start + wire(row);
            self.warm_up_busy_ps += time_before(self.warm_up, start, free_at);
        }
    }

    /// When the first of the pending completions can be on the link.
    #[must_use]
    pub fn earliest_start(&self) -> Option<Picoseconds> {
        self.pending.first().map(|pending| pending.ready.max(self.free_at))
    }

    /// No request that has left by now, and whose return is not known, returns before this time.
    #[must_use]
    pub fn returns_from(&self, uplink: &Uplink, memory: &MemoryTimes) -> Picoseconds {
        let pending = self.pending.first().map(|pending| pending.ready);
        let in_flight = uplink.in_flight.waiting().first();
        let in_flight =
            in_flight.map(|arrival| arrival.time.max(uplink.looked_up_from) + memory.least_read());
        let ready = pending.into_iter().chain(in_flight).min();
        ready.map_or(Picoseconds::MAX, |ready| ready.max(self.free_at) + uplink.wires.least_downstream())
    }
}

/// Rows that were completed in this batch and are still to be accounted, on the IOMMU.
#[derive(Component, Clone, Debug, Default)]
pub struct CompletedRows(pub Vec<u32>);
