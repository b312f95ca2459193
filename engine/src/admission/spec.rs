//! `[admission]`: what the driver declares and what the host requires.

use serde::{Deserialize, Serialize};

/// `[admission]`: what a secure VM's admission depends on, beside the IOMMU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionSpec {
    /// What the driver declares in `DXGK_VIDMMCAPS`: `IoMmuSecureModeSupported`. Default true.
    pub vidmm_secure_mode: bool,
    /// What it declares in `DXGK_IOMMU_CAPS`: `IommuIsolationSupported`. Default true.
    pub iommu_isolation: bool,
    /// Whether no device starts without an IOMMU that isolates it. Default false.
    pub isolation_required: bool,
}

impl Default for AdmissionSpec {
    fn default() -> Self {
        Self { vidmm_secure_mode: true, iommu_isolation: true, isolation_required: false }
    }
}
