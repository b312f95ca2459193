//! When cached translations of what is unmapped go, and what that costs.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;

/// `iommu.invalidation.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InvalidationMode {
    /// An unmap returns when nothing cached translates any more.
    #[default]
    Strict,
    /// An unmap returns at once; cached translations go later, many at once.
    Deferred,
}

/// `iommu.invalidation.granularity`: what a command drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// The page that was unmapped.
    Page,
    /// Everything of its domain.
    Domain,
    /// Everything.
    Global,
}

/// `iommu.invalidation.walk_caches`: whether a command drops what walk caches hold of what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalkCacheInvalidation {
    /// No: no table was taken out of the page table, and the command says so.
    LeafOnly,
    /// Yes, at every level.
    Full,
}

/// `[iommu.invalidation]`: how unmapped pages leave the IOTLB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InvalidationSpec {
    /// `strict` or `deferred`. Default `strict` (Linux with `iommu.strict=1`).
    pub mode: InvalidationMode,
    /// What a command drops: `page`, `domain` or `global`; deferred cannot be `page`.
    /// Default `page` when strict, `domain` when deferred (Linux).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Granularity>,
    /// `leaf_only` or `full`: whether walk caches keep what a command names. Default `leaf_only` where a command
    /// drops a page: an unmap of one page takes no table out, so Linux sets the invalidation hint of VT-d, with
    /// which non-leaf entries may stay cached. Default `full` where it drops a domain or everything: such
    /// commands of VT-d have no hint (Intel VT-d specification, IOTLB Invalidate Descriptor).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub walk_caches: Option<WalkCacheInvalidation>,
    /// What the invalidation queue, a serial server, takes for a command, in nanoseconds.
    /// Default 714 (2.8 M unmaps a second on two sockets: NVIDIA NV-Kernels, pull request 182).
    pub command_ns: f64,
    /// From when the invalidation of a device TLB is carried out until the device has answered, in microseconds; the
    /// queue waits for that. A picosecond at least. Default 5 (modelled: no measurement is published).
    pub device_tlb_us: f64,
    /// `deferred`: unmaps a VF's flush queue holds; the one that fills it flushes, and waits for that.
    /// Default 256 (Linux, a CPU and domain; each VF's driver runs on one CPU).
    pub flush_entries: u32,
    /// `deferred`: time in microseconds from the first unmap in a domain's queues to their flush.
    /// Default 10,000 (Linux).
    pub flush_timer_us: f64,
}

impl Default for InvalidationSpec {
    fn default() -> Self {
        Self {
            mode: InvalidationMode::Strict,
            granularity: None,
            walk_caches: None,
            command_ns: 714.0,
            device_tlb_us: 5.0,
            flush_entries: 256,
            flush_timer_us: 10_000.0,
        }
    }
}

impl InvalidationSpec {
    /// What a command drops.
    #[must_use]
    pub fn granularity(&self) -> Granularity {
        self.granularity.unwrap_or(match self.mode {
            InvalidationMode::Strict => Granularity::Page,
            InvalidationMode::Deferred => Granularity::Domain,
        })
    }

    /// Whether walk caches keep what a command names.
    #[must_use]
    pub fn walk_caches(&self) -> WalkCacheInvalidation {
        self.walk_caches.unwrap_or(match self.granularity() {
            Granularity::Page => WalkCacheInvalidation::LeafOnly,
            Granularity::Domain | Granularity::Global => WalkCacheInvalidation::Full,
        })
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.mode == InvalidationMode::Deferred && self.granularity == Some(Granularity::Page) {
            return Err(SpecError::new(
                "iommu.invalidation.granularity",
                "is \"page\"; a deferred flush drops many pages at once: it is \"domain\" or \"global\"",
            ));
        }
        SpecError::in_range("iommu.invalidation.command_ns", self.command_ns, 0.0, 1e9)?;
        SpecError::in_range("iommu.invalidation.device_tlb_us", self.device_tlb_us, 0.0, 1e9)?;
        SpecError::in_range("iommu.invalidation.flush_entries", self.flush_entries, 1, 1 << 20)?;
        SpecError::in_range("iommu.invalidation.flush_timer_us", self.flush_timer_us, 0.001, 1e9)
    }
}
