//! The decision on a tenant.

use serde::{Deserialize, Serialize};

use super::spec::AdmissionSpec;
use crate::topology::VmKind;
use crate::translation::IommuMode;

/// Why a VF could not be attached to a domain: the errors of the call that does it (Microsoft, `IommuDomainAttachDevice`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachError {
    /// It is attached already: `STATUS_INVALID_PARAMETER`.
    AlreadyAttached,
    /// Domains of this type are not allowed for it: `STATUS_ACCESS_DENIED`.
    TypeNotAllowed,
    /// Something has run out: `STATUS_INSUFFICIENT_RESOURCES`.
    OutOfResources,
    /// Nobody attaches it: no call fails.
    #[default]
    NotAttached,
}

impl AttachError {
    /// Its name in scenarios and results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AlreadyAttached => "already_attached",
            Self::TypeNotAllowed => "type_not_allowed",
            Self::OutOfResources => "out_of_resources",
            Self::NotAttached => "not_attached",
        }
    }
}

/// Why a tenant does not get its VF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The driver declares isolation in neither of its capability structures.
    NotSupported,
    /// It declares it in one of them only.
    CapabilitiesDisagree,
    /// There is no IOMMU, or it is off.
    NoIommu,
    /// There is one, and it lets everything pass.
    Passthrough,
    /// The VF could not be attached.
    Attach(AttachError),
}

impl Refusal {
    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotSupported => "not_supported",
            Self::CapabilitiesDisagree => "capabilities_disagree",
            Self::NoIommu => "no_iommu",
            Self::Passthrough => "passthrough",
            Self::Attach(error) => error.name(),
        }
    }
}

/// The name, in results, of what a tenant was told.
#[must_use]
pub const fn outcome_name(outcome: Result<(), Refusal>) -> &'static str {
    match outcome {
        Ok(()) => "admitted",
        Err(refusal) => refusal.name(),
    }
}

impl AdmissionSpec {
    /// Whether anything is asked of a tenant of this kind.
    #[must_use]
    pub fn examines(&self, kind: VmKind) -> bool {
        kind == VmKind::Secure || self.isolation_required
    }

    /// Whether a tenant gets its VF: a function of its arguments alone.
    ///
    /// That a secure VM needs both capabilities, an IOMMU and an attachment, and that a device of which
    /// isolation is required does not start without the last two, is documented (Microsoft, WDDM:
    /// GPU isolation); that passthrough is no isolation, and the order of the reasons, is modelled.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn admit(
        &self,
        kind: VmKind,
        iommu: IommuMode,
        attached: Result<(), AttachError>,
    ) -> Result<(), Refusal> {
        if !self.examines(kind) {
            return Ok(());
        }
        if kind == VmKind::Secure {
            match (self.vidmm_secure_mode, self.iommu_isolation) {
                (true, true) => {}
                (false, false) => return Err(Refusal::NotSupported),
                _ => return Err(Refusal::CapabilitiesDisagree),
            }
        }
        match iommu {
            IommuMode::Off => Err(Refusal::NoIommu),
            IommuMode::Passthrough => Err(Refusal::Passthrough),
            IommuMode::Translate => attached.map_err(Refusal::Attach),
        }
    }
}
