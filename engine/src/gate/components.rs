//! State of the gate, on VFs and adapters.

use std::collections::VecDeque;

use bevy_ecs::component::Component;

use crate::fifo::Fifo;
use crate::link::{RateLimits, WireTimes};
use crate::request::{Op, Transfer};
use crate::units::Picoseconds;

/// A VF's queue.
#[derive(Component, Clone, Debug, Default)]
pub struct VfQueue {
    /// Requests it holds at most.
    pub entries: u32,
    /// Requests of the VF in the adapter's FIFO.
    pub queued: u32,
    /// Rows that wait in the source because the queue is full, in order.
    pub stalled: VecDeque<u32>,
    /// Whether the source still holds requests intended before the batch's horizon.
    pub lagging: bool,
    /// Requests that found the queue full.
    pub stalls: u64,
}

/// The new rows of a batch, on an adapter: in the order of (intended time, VF, sequence).
#[derive(Component, Clone, Debug, Default)]
pub struct Candidates {
    /// Rows.
    pub rows: Vec<u32>,
    /// How many rows from the front have entered their queues or wait in their sources.
    pub admitted: usize,
    /// Everything intended before this time is among the rows, or behind a stalled row of its VF.
    pub horizon: Picoseconds,
}

/// Why an adapter issued no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Halt {
    /// What comes next starts at or after the horizon.
    #[default]
    Horizon,
    /// The link has no flow credit.
    Credits,
    /// The device has no read tag.
    Tags,
}

/// A request on its way to the IOMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrives.
    pub time: Picoseconds,
    /// Its row.
    pub row: u32,
}

/// The upstream direction of an adapter's link and what feeds it.
#[derive(Component, Clone, Debug)]
pub struct Uplink {
    /// Rows in the VFs' queues with the time they became eligible, the first first.
    pub fifo: Fifo<(Picoseconds, u32)>,
    /// Requests that the smallest queue of its VFs holds.
    pub least_queue_entries: u32,
    /// When the link is free.
    pub free_at: Picoseconds,
    /// The device's rate limits.
    pub limits: RateLimits,
    /// Times on the wire.
    pub wires: WireTimes,
    /// Requests that have left, in order, and have not reached the IOMMU's look-ups.
    pub in_flight: Fifo<Arrival>,
    /// Requests that have left since the start.
    pub sent: u64,
    /// Reads that have left since the start.
    pub reads_sent: u64,
    /// Why it issued no more the last time.
    pub halt: Halt,
    /// Time the link was busy, summed.
    pub busy_ps: u64,
}

/// The last times at which something was given back, by a running count: what comes back first, a
/// credit or tag, is what the request that many later waits for.
#[derive(Component, Clone, Debug)]
pub struct Refunds<Kind: Send + Sync + 'static> {
    count: u64,
    /// A ring, longer than the count where that is no power of two.
    times: Vec<Picoseconds>,
    given_back: u64,
    kind: core::marker::PhantomData<Kind>,
}

/// Flow credits: given back when the IOMMU takes a request up.
#[derive(Clone, Copy, Debug)]
pub struct Credit;

/// Read tags: given back when the read completes.
#[derive(Clone, Copy, Debug)]
pub struct Tag;

/// What the nth taker must wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// It may go from this time on.
    From(Picoseconds),
    /// It waits for something whose time is not known yet.
    Unknown,
}

impl<Kind: Send + Sync + 'static> Refunds<Kind> {
    /// `count` of them, all there at the start.
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self {
            count: u64::from(count),
            times: vec![Picoseconds::ZERO; count.next_power_of_two() as usize],
            given_back: 0,
            kind: core::marker::PhantomData,
        }
    }

    #[inline]
    fn place(&self, number: u64) -> usize {
        number as usize & (self.times.len() - 1)
    }

    /// The next one comes back at `time`; times do not decrease.
    #[inline]
    pub fn give_back(&mut self, time: Picoseconds) {
        let place = self.place(self.given_back);
        self.times[place] = time;
        self.given_back += 1;
    }

    /// When the taker number `taken` (from 0) gets one.
    #[inline]
    #[must_use]
    pub fn grant(&self, taken: u64) -> Grant {
        if taken < self.count {
            return Grant::From(Picoseconds::ZERO);
        }
        let awaited = taken - self.count;
        if awaited >= self.given_back {
            return Grant::Unknown;
        }
        Grant::From(self.times[self.place(awaited)])
    }
}

impl Uplink {
    /// The request in `row` starts at `start`.
    #[inline(always)]
    pub fn send(&mut self, start: Picoseconds, transfer: Transfer, row: u32) {
        let wire = self.wires.upstream(transfer);
        self.limits.start(transfer.op, start);
        self.free_at = start + wire;
        self.busy_ps += wire.0;
        self.sent += 1;
        self.reads_sent += u64::from(transfer.op == Op::Read);
        let time = self.free_at + self.wires.propagation;
        self.in_flight.push(Arrival { time, row });
    }

    /// An idle link, fed by queues of at least `least_queue_entries`.
    #[must_use]
    pub fn new(wires: WireTimes, limits: RateLimits, least_queue_entries: u32) -> Self {
        Self {
            least_queue_entries,
            fifo: Fifo::default(),
            free_at: Picoseconds::ZERO,
            limits,
            wires,
            in_flight: Fifo::default(),
            sent: 0,
            reads_sent: 0,
            halt: Halt::Horizon,
            busy_ps: 0,
        }
    }
}
