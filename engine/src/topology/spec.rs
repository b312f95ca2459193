//! How many of everything there are, and who shares a domain.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;
use crate::ids::IommuIndex;

/// Most hosts a fleet can have.
pub const HOSTS_MAX: u32 = 65_536;

/// Most VFs a fleet can have.
pub const VFS_MAX: u64 = 1 << 20;

/// Most adapters a host can have.
pub const ADAPTERS_MAX: usize = 64;

/// Who shares an IOMMU domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainScope {
    /// A domain a VF: SR-IOV, each VF has a requester ID of its own.
    #[default]
    Vf,
    /// A domain an adapter: GPU-PV, all VFs of a logical adapter share one.
    Adapter,
}

/// `[topology]`: the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopologySpec {
    /// Hosts in the fleet. Default 1.
    pub hosts: u32,
    /// IOMMUs a host, each with its share of the adapters. Default 1.
    pub iommus_per_host: u32,
    /// Adapters (GPUs) a host, divided among its IOMMUs. Default 1.
    pub adapters_per_host: u32,
    /// Virtual functions an adapter. Default 31 (Intel Flex: 31, Xe SR-IOV documentation).
    pub vfs_per_adapter: u32,
    /// Who shares a domain: `vf` (SR-IOV) or `adapter` (GPU-PV). Default `vf`.
    pub domain_scope: DomainScope,
}

impl Default for TopologySpec {
    fn default() -> Self {
        Self {
            hosts: 1,
            iommus_per_host: 1,
            adapters_per_host: 1,
            vfs_per_adapter: 31,
            domain_scope: DomainScope::Vf,
        }
    }
}

impl TopologySpec {
    /// VFs a host.
    #[must_use]
    pub fn vfs_per_host(&self) -> u32 {
        self.adapters_per_host * self.vfs_per_adapter
    }

    /// The adapters behind an IOMMU, by their indices within the host: as many behind each, the first ones
    /// take what is left over.
    #[must_use]
    pub fn adapters_behind(&self, iommu: IommuIndex) -> core::ops::Range<u32> {
        let (each, left) =
            (self.adapters_per_host / self.iommus_per_host, self.adapters_per_host % self.iommus_per_host);
        let first = |iommu: u32| iommu * each + iommu.min(left);
        first(iommu.0)..first(iommu.0 + 1)
    }

    /// VFs behind the IOMMU that has most of them.
    #[must_use]
    pub fn vfs_per_iommu(&self) -> u32 {
        self.adapters_per_host.div_ceil(self.iommus_per_host) * self.vfs_per_adapter
    }

    /// VFs in the fleet.
    #[must_use]
    pub fn vfs(&self) -> u64 {
        u64::from(self.hosts) * u64::from(self.vfs_per_host())
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("topology.hosts", self.hosts, 1, HOSTS_MAX)?;
        SpecError::in_range("topology.adapters_per_host", self.adapters_per_host, 1, ADAPTERS_MAX as u32)?;
        SpecError::in_range("topology.iommus_per_host", self.iommus_per_host, 1, ADAPTERS_MAX as u32)?;
        if self.iommus_per_host > self.adapters_per_host {
            return Err(SpecError::new(
                "topology.iommus_per_host",
                format!(
                    "is {}, but a host has {} adapters (`topology.adapters_per_host`); each IOMMU needs one behind it",
                    self.iommus_per_host, self.adapters_per_host
                ),
            ));
        }
        SpecError::in_range("topology.vfs_per_adapter", self.vfs_per_adapter, 1, 2_048)?;
        if self.vfs_per_iommu() >= 1 << 16 {
            return Err(SpecError::new(
                "topology.vfs_per_adapter",
                format!(
                    "makes {} VFs an IOMMU; domain IDs have 16 bits, so at most 65535 can be told apart",
                    self.vfs_per_iommu()
                ),
            ));
        }
        if self.vfs() > VFS_MAX {
            return Err(SpecError::new(
                "topology",
                format!("asks for {} VFs in all; at most {VFS_MAX} can be built", self.vfs()),
            ));
        }
        Ok(())
    }
}
