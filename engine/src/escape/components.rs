//! Channels of VMs, packets of a batch, and the filter of a host.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use bevy_ecs::bundle::Bundle;
use bevy_ecs::component::Component;
use bevy_ecs::resource::Resource;

use super::decision::{FilterPolicy, Ruling, Sender};
use super::kernel::EscapeTimes;
use super::source::EscapeSource;
use super::windows::Span;
use crate::units::Picoseconds;

/// The channel of a VM that sends escapes.
#[derive(Component, Clone, Copy, Debug)]
pub struct EscapeChannel {
    /// Its VF, by its index within the world.
    pub vf: u32,
    /// Its adapter, by its index within the world.
    pub adapter: u32,
    /// The class of the tenant.
    pub class: u32,
    /// Who is at the other end.
    pub sender: Sender,
}

/// What a VM sends through its channel.
#[derive(Component)]
pub struct EscapeTraffic(pub Box<dyn EscapeSource>);

/// Counts of a channel.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelBooks {
    /// Packets decided on.
    pub packets: u64,
    /// Of these, denied.
    pub denied: u64,
    /// Of these, handed to the driver with a payload it does not know.
    pub exposed: u64,
}

impl ChannelBooks {
    /// Counts a packet.
    pub fn count(&mut self, verdict: &Verdict) {
        self.packets += 1;
        self.denied += u64::from(!verdict.ruling.is_allowed());
        self.exposed += u64::from(verdict.exposes);
    }
}

/// A packet that has come in.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct Message {
    /// When it was sent.
    pub arrived: Picoseconds,
    /// Through which channel, by its index within the world.
    pub channel: u32,
    /// Where its bytes begin in the guests' memory.
    pub offset: u32,
    /// How many there are.
    pub bytes: u32,
}

/// What the filter found.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub ruling: Ruling,
    /// Whether the driver gets a payload it does not know.
    pub exposes: bool,
}

impl Default for Verdict {
    fn default() -> Self {
        Self { ruling: Ruling::MALFORMED, exposes: false }
    }
}

/// When it was over.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dispatched {
    /// When it was denied, or handed to the driver.
    pub decided: Picoseconds,
    /// Whether it waited for the end of an exclusive window.
    pub deferred: bool,
}

/// A row of the pool of packets.
#[derive(Bundle, Clone, Copy, Debug, Default)]
pub struct EscapePacket {
    /// What came in.
    pub message: Message,
    /// What the filter found.
    pub verdict: Verdict,
    /// When it was over.
    pub dispatched: Dispatched,
}

/// Packets of a batch. Results do not depend on it.
pub const BATCH_PACKETS: usize = 4_096;
/// Bytes of guests' memory that a batch fills before it takes no more packets. Results do not depend on it.
pub const BATCH_BYTES: usize = 4 << 20;

/// The filter of a host, in the world of an IOMMU.
#[derive(Component, Clone, Copy, Debug)]
pub struct EscapeFilter {
    /// What it is set to.
    pub policy: FilterPolicy,
    /// How long things take.
    pub times: EscapeTimes,
    /// What is sent before it is not counted.
    pub warm_up: Picoseconds,
}

/// The memory of the guests that holds the packets of a batch.
#[derive(Component, Clone, Debug, Default)]
pub struct GuestArena(pub Vec<u8>);

/// The channels by the time of their next packet, ties by their index.
#[derive(Component, Clone, Debug, Default)]
pub struct ChannelOrder(pub BinaryHeap<Reverse<(Picoseconds, u32)>>);

/// The stalls that the last batch of packets made at an adapter, in order.
#[derive(Component, Clone, Debug, Default)]
pub struct Stalls {
    /// Those of the batch.
    pub spans: Vec<Span>,
    /// How many there were since the run began, but for the warm-up.
    pub total: u64,
    /// How long they took.
    pub total_ps: u128,
}

impl Stalls {
    /// A packet was dispatched, which counts or not, and may have stalled the adapter.
    pub fn note(&mut self, stall: Option<Span>, counts: bool) {
        let Some(stall) = stall else { return };
        self.spans.push(stall);
        if counts {
            self.total += 1;
            self.total_ps += u128::from((stall.end - stall.begin).0);
        }
    }
}

/// The batch of packets at hand.
#[derive(Resource, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EscapeBatch {
    /// Packets in the pool.
    pub rows: usize,
    /// Of these, those that have their times.
    pub dispatched: usize,
    /// Of these, those that are booked.
    pub booked: usize,
    /// Everything sent before it has come in.
    pub received_until: Picoseconds,
}

impl EscapeBatch {
    /// Whether every packet sent before `time` is over.
    #[must_use]
    pub fn is_over_until(&self, time: Picoseconds) -> bool {
        self.booked == self.rows && self.received_until >= time
    }
}
