//! The IOMMU: IOTLB, walkers, fault queue.

use serde::{Deserialize, Serialize};

use super::replacement::ReplacementPolicy;
use crate::error::SpecError;
use crate::invalidation::InvalidationSpec;

/// `iommu.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IommuMode {
    /// Every DMA is translated through its domain.
    #[default]
    Translate,
    /// No IOMMU: devices reach all of memory.
    Off,
    /// Identity domains: devices that have a context reach all of memory, untranslated.
    Passthrough,
}

/// `[iommu]`: the IOMMU of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IommuSpec {
    /// `translate`, `off` or `passthrough`. Default `translate`.
    pub mode: IommuMode,
    /// Levels of the page table, 3 to 5: what a walk to a 4 KiB leaf reads. Default 4 (48-bit IOVAs).
    pub page_table_levels: u8,
    /// The IOTLB.
    pub iotlb: IotlbSpec,
    /// The page-table walkers.
    pub walkers: WalkersSpec,
    /// When cached translations of what is unmapped go.
    pub invalidation: InvalidationSpec,
    /// The fault queue.
    pub faults: FaultQueueSpec,
}

impl Default for IommuSpec {
    fn default() -> Self {
        Self {
            mode: IommuMode::Translate,
            page_table_levels: 4,
            iotlb: IotlbSpec::default(),
            walkers: WalkersSpec::default(),
            invalidation: InvalidationSpec::default(),
            faults: FaultQueueSpec::default(),
        }
    }
}

impl IommuSpec {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        self.invalidation.validate()?;
        SpecError::in_range("iommu.page_table_levels", self.page_table_levels, 3, 5)?;
        self.iotlb.validate()?;
        self.walkers.validate()?;
        self.faults.validate()
    }
}

/// How an address chooses its set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IotlbIndex {
    /// The low bits of the page number, whatever the domain; sets must be a power of two.
    Iova,
    /// A hash of domain, page number and leaf size; any number of sets.
    #[default]
    Hash,
}

/// `iommu.iotlb.ways`: a number, or `"full"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number of ways, or \"full\"")]
pub enum Ways {
    /// This many ways a set.
    Count(u32),
    /// One set of all entries.
    Full(FullWord),
}

/// The word `"full"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FullWord {
    /// `"full"`.
    Full,
}

/// `[iommu.iotlb]`: the cache of translations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IotlbSpec {
    /// Entries in all, a multiple of `ways`. Default 1,024 (QEMU's emulated IOMMU).
    pub entries: u32,
    /// Ways a set, or `"full"`. Default 8 (modelled).
    pub ways: Ways,
    /// Replacement policy: `lru`, `fifo`, `plru` (tree; ways a power of two) or `random`. Default `lru`.
    pub replacement: ReplacementPolicy,
    /// How an address chooses its set: `iova` or `hash`. Default `hash`.
    pub index: IotlbIndex,
    /// Look-up latency in nanoseconds, paid by every translation. Default 2 (HyperTRIO, ISCA 2020).
    pub hit_ns: f64,
}

impl Default for IotlbSpec {
    fn default() -> Self {
        Self {
            entries: 1_024,
            ways: Ways::Count(8),
            replacement: ReplacementPolicy::default(),
            index: IotlbIndex::Hash,
            hit_ns: 2.0,
        }
    }
}

impl IotlbSpec {
    /// Ways a set.
    #[must_use]
    pub fn ways(&self) -> u32 {
        match self.ways {
            Ways::Count(ways) => ways,
            Ways::Full(_) => self.entries,
        }
    }

    /// Sets.
    #[must_use]
    pub fn sets(&self) -> u32 {
        self.entries / self.ways()
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("iommu.iotlb.entries", self.entries, 1, 1 << 24)?;
        let ways = self.ways();
        SpecError::in_range("iommu.iotlb.ways", ways, 1, self.entries)?;
        if !self.entries.is_multiple_of(ways) {
            return Err(SpecError::new(
                "iommu.iotlb.entries",
                format!("is {}, which is no multiple of its {ways} ways", self.entries),
            ));
        }
        if self.index == IotlbIndex::Iova && !self.sets().is_power_of_two() {
            return Err(SpecError::new(
                "iommu.iotlb.entries",
                format!(
                    "makes {} sets of {ways} ways; the index \"iova\" needs a power of two of sets",
                    self.sets()
                ),
            ));
        }
        self.replacement.validate(ways)?;
        SpecError::in_range("iommu.iotlb.hit_ns", self.hit_ns, 0.0, 1e6)
    }
}

/// `[iommu.walkers]`: the page-table walkers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WalkersSpec {
    /// Walks that can be under way at once. Default 16 (gem5's SMMUv3).
    pub count: u32,
    /// Walks that can wait for a walker; a full queue stalls the look-ups. Default 64 (modelled).
    pub queue_entries: u32,
    /// One memory access of a walk in nanoseconds; excludes `walk_ns`.
    /// Default 80 (rounded from pcie-bench: about 330 ns for the four of a walk).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_ns: Option<f64>,
    /// A whole walk in nanoseconds, whatever its leaf; excludes `memory_ns`. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub walk_ns: Option<f64>,
}

impl Default for WalkersSpec {
    fn default() -> Self {
        Self { count: 16, queue_entries: 64, memory_ns: None, walk_ns: None }
    }
}

impl WalkersSpec {
    /// What one memory access takes where neither key is set, in nanoseconds.
    pub const MEMORY_NS_DEFAULT: f64 = 80.0;

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("iommu.walkers.count", self.count, 1, 65_536)?;
        SpecError::in_range("iommu.walkers.queue_entries", self.queue_entries, 1, 1 << 20)?;
        match (self.memory_ns, self.walk_ns) {
            (Some(_), Some(_)) => Err(SpecError::new(
                "iommu.walkers.walk_ns",
                "excludes `iommu.walkers.memory_ns`: give a whole walk or an access, not both",
            )),
            (Some(ns), None) => SpecError::in_range("iommu.walkers.memory_ns", ns, 0.001, 1e6),
            (None, Some(ns)) => SpecError::in_range("iommu.walkers.walk_ns", ns, 0.001, 1e6),
            (None, None) => Ok(()),
        }
    }
}

/// `[iommu.faults]`: the bounded queue of fault records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultQueueSpec {
    /// Records the queue holds; a fault that finds it full is lost and counted. Default 256 (VT-d: one page of records).
    pub queue_entries: u32,
    /// What the host's driver takes to consume a record, in nanoseconds. Default 2,000 (modelled).
    pub service_ns: f64,
}

impl Default for FaultQueueSpec {
    fn default() -> Self {
        Self { queue_entries: 256, service_ns: 2_000.0 }
    }
}

impl FaultQueueSpec {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("iommu.faults.queue_entries", self.queue_entries, 1, 1 << 20)?;
        SpecError::in_range("iommu.faults.service_ns", self.service_ns, 0.0, 1e9)
    }
}
