//! The device TLB of an adapter.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;
use crate::translation::replacement::ReplacementPolicy;
use crate::translation::{FullWord, IotlbIndex, IotlbSpec, Ways};

/// `device.tlb.sharing`: who shares a device TLB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlbSharing {
    /// All VFs of an adapter share one.
    #[default]
    Adapter,
    /// Each VF has one.
    Vf,
}

/// `[device.tlb]`: the translations that an adapter caches itself (PCIe ATS).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceTlbSpec {
    /// Entries of each, a multiple of `ways`; 0, the default, is off: the IOMMU translates every DMA.
    pub entries: u32,
    /// Ways a set, or `"full"`. Default `"full"` (HyperTRIO, ISCA 2020).
    pub ways: Ways,
    /// Replacement policy: `lru`, `fifo`, `plru` (tree; ways a power of two) or `random`. Default `lru`.
    pub replacement: ReplacementPolicy,
    /// How an address chooses its set: `iova` or `hash`. Default `hash`.
    pub index: IotlbIndex,
    /// From the look-up to the TLP that follows from it, in nanoseconds. Default 2 (HyperTRIO).
    pub hit_ns: f64,
    /// `adapter`: one for all VFs of an adapter; `vf`: one a VF. Default `adapter`.
    pub sharing: TlbSharing,
    /// Translation requests an adapter may have under way when it takes up a packet. Default 32 (HyperTRIO's larger
    /// pending translation buffer).
    pub pending: u32,
}

impl Default for DeviceTlbSpec {
    fn default() -> Self {
        Self {
            entries: 0,
            ways: Ways::Full(FullWord::Full),
            replacement: ReplacementPolicy::default(),
            index: IotlbIndex::Hash,
            hit_ns: 2.0,
            sharing: TlbSharing::default(),
            pending: 32,
        }
    }
}

impl DeviceTlbSpec {
    /// Whether there is one.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.entries > 0
    }

    /// The same as an IOTLB.
    #[must_use]
    pub fn of_iotlb(&self) -> IotlbSpec {
        let Self { entries, ways, replacement, index, hit_ns, .. } = *self;
        IotlbSpec { entries, ways, replacement, index, hit_ns, ..IotlbSpec::default() }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("device.tlb.pending", self.pending, 1, 4_096)?;
        if !self.is_on() {
            return Ok(());
        }
        self.of_iotlb().validate("device.tlb")
    }
}
