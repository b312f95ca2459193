//! Channels of VMs, packets of a batch, and the filter of a host.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use bevy_ecs::bundle::Bundle;
use bevy_ecs::component::Component;
use bevy_ecs::resource::Resource;

use super::decision::{FilterPolicy, Ruling, Sender};
use super::kernel::EscapeTimes;
use super::source::EscapeSource;
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
    /// The stalls that they made.
    pub stalls: Stalls,
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

/// Packets of a batch, of all adapters together. Results do not depend on it.
pub const BATCH_PACKETS: usize = 4_096;
/// Bytes of guests' memory that the batches of all adapters fill before they take no more packets. Results do not depend on it.
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

/// The memory of the guests of an adapter that holds the packets of its batch.
#[derive(Component, Clone, Debug, Default)]
pub struct GuestArena(pub Vec<u8>);

/// The channels of an adapter by the time of their next packet, ties by their index.
#[derive(Component, Clone, Debug, Default)]
pub struct ChannelOrder(pub BinaryHeap<Reverse<(Picoseconds, u32)>>);

/// The stalls that escapes made at an adapter, but for those of the warm-up.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    /// How many there were.
    pub total: u64,
    /// How long nothing could leave because of them.
    pub total_ps: u64,
}

impl Stalls {
    /// One took so long.
    pub fn count(&mut self, length: Picoseconds) {
        self.total += 1;
        self.total_ps += length.0;
    }
}

/// The packets of an adapter that are worked on.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EscapeBatch {
    /// The first row of the pool that is the adapter's.
    pub first_row: usize,
    /// How many are.
    pub room: usize,
    /// Bytes of guests' memory that it fills before it takes no more packets.
    pub bytes_max: usize,
    /// Packets that have come in.
    pub rows: usize,
    /// Of these, those that are judged.
    pub judged: usize,
    /// Of these, those that have their times.
    pub dispatched: usize,
    /// Of these, those that are booked.
    pub booked: usize,
    /// Everything sent before it has come in.
    pub received_until: Picoseconds,
}

impl EscapeBatch {
    /// An empty batch of the `number`th of `adapters`.
    #[must_use]
    pub fn of_adapter(number: usize, adapters: usize) -> Self {
        let room = (BATCH_PACKETS / adapters).max(1);
        Self { first_row: number * room, room, bytes_max: BATCH_BYTES / adapters, ..Self::default() }
    }

    /// Rows of the pool, by their numbers within the batch.
    #[must_use]
    pub fn places(&self, rows: core::ops::Range<usize>) -> core::ops::Range<usize> {
        self.first_row + rows.start..self.first_row + rows.end
    }

    /// Whether every packet sent before `time` is over.
    #[must_use]
    pub fn is_over_until(&self, time: Picoseconds) -> bool {
        self.booked == self.rows && self.received_until >= time
    }
}

/// How far the packets of a world are to go.
#[derive(Resource, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EscapeRun {
    /// What is sent before it is to come in.
    pub until: Picoseconds,
    /// Whether the last run of the stage did anything.
    pub moved: bool,
}
