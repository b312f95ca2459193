//! Components of an IOMMU and of what it does to a request.

use bevy_ecs::component::Component;

use super::kernel::{Context, Lookups};
use super::replacement::AnyIotlb;
use crate::domain::LeafSize;
use crate::ids::Iova;
use crate::request::{Fault, Op};
use crate::units::Picoseconds;

/// The IOTLB of an IOMMU.
#[derive(Component)]
pub struct IotlbState(pub AnyIotlb);

/// A device's context entry, on its VF.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextEntry(pub Option<Context>);

/// Costs of the ordered pass, on the IOMMU.
#[derive(Component, Clone, Copy, Debug)]
pub struct TranslationTimes {
    /// What walks cost.
    pub walks: super::walkers::WalkCosts,
    /// What a look-up costs.
    pub hit: Picoseconds,
}

/// Translation: when the translation or fault was known.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Translated(pub Picoseconds);

/// Translation: what came of the request.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Physical address of the first byte; where it faulted, the first byte in the leaf that faulted.
    pub address: u64,
    /// Why it was blocked.
    pub fault: Option<Fault>,
}

/// Translation: the look-ups of the request.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookupCounts(pub Lookups);

/// Translation: when the request's look-ups began.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct LookedUpAt(pub Picoseconds);

/// Rows of the last ordered pass, in its order, on the IOMMU.
#[derive(Component, Clone, Debug, Default)]
pub struct LookedUp(pub Vec<u32>);

/// No look-up will happen before this time, on the IOMMU.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct LookupBound(pub Picoseconds);

/// When the last look-up was done, on the IOMMU: the next is not earlier.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct LookupClock(pub Picoseconds);

/// Pieces that the translations of a batch reached, for the owner map, on the IOMMU.
#[derive(Component, Clone, Debug, Default)]
pub struct Reached(pub Vec<ReachedPiece>);

/// One piece of a DMA within one leaf.
#[derive(Clone, Copy, Debug)]
pub struct ReachedPiece {
    /// The request's row.
    pub row: u32,
    /// The piece.
    pub segment: super::kernel::Segment,
}

/// A fault on its way into the fault queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultNote {
    /// When the IOMMU knew.
    pub time: Picoseconds,
    /// The VF, by its index within the host.
    pub vf: u32,
    /// First byte in the leaf that faulted.
    pub iova: Iova,
    /// Direction.
    pub op: Op,
    /// Why.
    pub fault: Fault,
}

/// The leaf size most look-ups will want, for prefetching.
pub const LIKELY_LEAF: LeafSize = LeafSize::Size4K;
