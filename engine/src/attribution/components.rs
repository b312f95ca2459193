//! What is noted of requests under way, and what it came to.

use bevy_ecs::bundle::Bundle;
use bevy_ecs::component::Component;

use crate::units::Picoseconds;

/// Where time goes: the parts of a latency.
///
/// To add one: a variant and its name here, what it is in [`super::split`], and its columns in `account/rows.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Cause {
    /// Until the request may go on the link, or its device may look it up: in its source, its VF's queue, and for a slot
    /// of its VF.
    Held,
    /// A switch of a domain keeps the VF silent.
    Silence,
    /// The device's TLB: the look-up in it, packets before it, their slots and its limit of translation requests, and
    /// the answer to a request of another DMA.
    DeviceTlb,
    /// The adapter's next request, itself or one before it, has no flow credit, no read tag or no slot of the
    /// adapter.
    Credit,
    /// The link: busy with others, rate limits, the request's own time on the wire and through it, both ways.
    Link,
    /// The look-up itself.
    Iotlb,
    /// For a place in the walkers' queue, and in it for a walker.
    WalkQueue,
    /// The walk under way: its own, or the one it joined.
    Walk,
    /// For the walk of a translation that was cached until an invalidation dropped it, its queue included.
    Invalidation,
    /// Memory and the last-level cache; where it faulted, until its status is at the root port.
    Memory,
    /// For requests before it: reads that retire in order, writes that reach memory in order.
    Retirement,
}

impl Cause {
    /// Every cause, in the order of a request's way.
    pub const ALL: [Self; 11] = [
        Self::Held,
        Self::Silence,
        Self::DeviceTlb,
        Self::Credit,
        Self::Link,
        Self::Iotlb,
        Self::WalkQueue,
        Self::Walk,
        Self::Invalidation,
        Self::Memory,
        Self::Retirement,
    ];

    /// The name reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Silence => "silence",
            Self::DeviceTlb => "device_tlb",
            Self::Credit => "credit",
            Self::Link => "link",
            Self::Iotlb => "iotlb",
            Self::WalkQueue => "walk_queue",
            Self::Walk => "walk",
            Self::Invalidation => "invalidation",
            Self::Memory => "memory",
            Self::Retirement => "retirement",
        }
    }
}

/// Time by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split([u64; Cause::ALL.len()]);

impl Split {
    /// Picoseconds of a cause.
    #[inline]
    #[must_use]
    pub fn of(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    /// So much more of a cause.
    #[inline]
    pub fn add(&mut self, cause: Cause, time: Picoseconds) {
        self.0[cause as usize] += time.0;
    }

    /// All of another.
    #[inline]
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    /// All causes together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Gate: what a request waited for before it left.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateWaits {
    /// When it became eligible, where queues or slots held it; zero before it is, and once its waits are known.
    pub eligible: Picoseconds,
    /// Until it was eligible, and not silent.
    pub held: Picoseconds,
    /// While a switch kept its VF silent.
    pub silence: Picoseconds,
    /// From then on, while the adapter's next request had no credit, tag or slot.
    pub credit: Picoseconds,
}

/// Translation: what a request waited for at the look-up whose answer came last.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkWaits {
    /// The walk under way.
    pub walk: Picoseconds,
    /// The walk and its queue, where an invalidation is why there was one.
    pub invalidation: Picoseconds,
    /// Its misses, by [`MissCause`](super::MissCause); counted where that is asked for.
    pub misses: [u32; 4],
}

/// Memory: how a request's answer came about.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryWaits {
    /// What a write waited for those of its VF before it.
    pub turn: Picoseconds,
    /// When memory had done with it.
    pub ready: Picoseconds,
    /// When a read's data was back, where it retires in order.
    pub back: Picoseconds,
}

/// What is noted of a request, on its row; only where attribution is asked for.
#[derive(Bundle, Clone, Copy, Default)]
pub struct Waits {
    gate: GateWaits,
    walk: WalkWaits,
    memory: MemoryWaits,
}

/// What the latencies and misses of a VF came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VfAttribution {
    /// Latencies by cause.
    pub latency: Split,
    /// Misses by cause.
    pub misses: [u64; 4],
}

/// What is asked for, and what it came to by VF, on the host.
#[derive(Component, Clone, Debug, Default)]
pub struct Attribution {
    /// Whether latencies are split.
    pub latency: bool,
    /// By VF; empty where neither is asked for.
    pub of_vfs: Vec<VfAttribution>,
}

impl Attribution {
    /// Of `vfs` VFs.
    #[must_use]
    pub fn new(latency: bool, misses: bool, vfs: u32) -> Self {
        let vfs = if latency || misses { vfs as usize } else { 0 };
        Self { latency, of_vfs: vec![VfAttribution::default(); vfs] }
    }
}
