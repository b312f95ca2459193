//! Components of an IOMMU and of what it does to a request.

use bevy_ecs::component::Component;

use super::kernel::{Context, Lookups};
use super::replacement::AnyIotlb;
use super::spec::IommuMode;
use super::stepwise::Stalled;
use crate::device_tlb::{Route, TlbLookup};
use crate::ids::Iova;
use crate::memory::Wait;
use crate::request::{Fault, Op};
use crate::units::Picoseconds;

/// The IOTLB of an IOMMU.
#[derive(Component)]
pub struct IotlbState(pub AnyIotlb);

/// A device's context entry, on its VF.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextEntry(pub Option<Context>);

/// Costs of the ordered pass, on the IOMMU.
#[derive(Component, Clone, Debug)]
pub struct TranslationTimes {
    /// What walks cost.
    pub walks: super::walk_costs::WalkCosts,
    /// What a look-up costs.
    pub hit: Picoseconds,
    /// Whether there is anything to look up.
    pub mode: IommuMode,
}

impl TranslationTimes {
    /// What a DMA's look-up costs: nothing where there is no IOMMU.
    #[must_use]
    pub fn look_up(&self) -> Picoseconds {
        if self.mode == IommuMode::Off { Picoseconds::ZERO } else { self.hit }
    }
}

/// Translation: what came of the request, and when.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Translation {
    /// When its look-ups began.
    pub looked_up_at: Picoseconds,
    /// When its translation or fault was known.
    pub known_at: Picoseconds,
    /// Physical address of the first byte; where it faulted, the first byte in the leaf that faulted.
    pub address: u64,
    /// Its look-ups.
    pub lookups: Lookups,
    /// Why it was blocked.
    pub fault: Option<Fault>,
    /// Whether a cached translation served it although the unmap of its page had returned.
    pub stale: bool,
    /// What became of its look-up in the device TLB.
    pub device_tlb: TlbLookup,
    /// What it, or its translation request, goes up the link as.
    pub route: Route,
}

impl Translation {
    /// Whether it has been answered to the device, which has still to send the DMA.
    #[inline]
    #[must_use]
    pub fn asked(&self) -> bool {
        self.route == Route::Request && self.fault.is_none()
    }
}

/// A request at its place in the order of look-ups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// When it reaches the IOMMU.
    pub time: Picoseconds,
    /// Its row.
    pub row: u32,
    /// The adapter whose link it came on.
    pub adapter: u32,
}

/// Arrivals of all links in one order, on the IOMMU: those whose place in it has become known.
#[derive(Component, Clone, Debug, Default)]
pub struct Arrivals {
    /// The arrivals.
    pub ordered: Vec<Arrived>,
    /// None can come before this time any more.
    pub until: Picoseconds,
    /// No control event that is not known comes before this time.
    pub controls_from: Picoseconds,
    /// Whether control events may come between them: then the pass takes from the links what it got to.
    pub stepwise: bool,
    /// Whether they come from devices with TLBs of their own.
    pub of_device_tlbs: bool,
}

/// Rows that were looked up in this batch, in the order of their look-ups, on the IOMMU.
#[derive(Component, Clone, Debug, Default)]
pub struct LookedUp {
    /// Rows of DMAs that the IOMMU let through or blocked.
    pub rows: Vec<u32>,
    /// Those from here on were looked up in the last ordered pass.
    pub last_pass: usize,
    /// What each row of the last pass waits for at memory, where anything may and the pass had to know.
    pub waits: Vec<Wait>,
    /// Where devices have TLBs of their own: rows of the last ordered pass, those among them whose translation
    /// requests were answered.
    pub with_answers: Option<Vec<u32>>,
    /// Whether there may be forged ones among them.
    pub any_forged: bool,
}

impl LookedUp {
    /// Rows of the last ordered pass that the IOMMU let through or blocked.
    #[must_use]
    pub fn in_last_pass(&self) -> &[u32] {
        &self.rows[self.last_pass..]
    }

    /// All rows of the last ordered pass.
    #[must_use]
    pub fn answered_in_last_pass(&self) -> &[u32] {
        self.with_answers.as_deref().unwrap_or_else(|| self.in_last_pass())
    }
}

/// No look-up will happen before this time, on the IOMMU.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct LookupBound(pub Picoseconds);

/// The next DMA, where its look-ups have begun and are stalled, on the IOMMU.
#[derive(Component, Clone, Debug, Default)]
pub struct StalledDma(pub Option<Stalled>);

/// When the last look-up was done, on the IOMMU: the next is not earlier.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct LookupClock(pub Picoseconds);

/// Pieces that the translations of a batch reached where a DMA has several, for the owner map, on the
/// IOMMU.
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
