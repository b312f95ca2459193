//! What stands where.

use bevy_ecs::component::Component;
use serde::{Deserialize, Serialize};

use crate::admission::{AttachError, Refusal};
use crate::ids::{HostIndex, IommuIndex, RequesterId};

/// A host.
#[derive(Component, Clone, Copy, Debug)]
pub struct Host(pub HostIndex);

/// An IOMMU; it serves the adapters of its world.
#[derive(Component, Clone, Copy, Debug)]
pub struct Iommu(pub IommuIndex);

/// An adapter, by its index within the host.
#[derive(Component, Clone, Copy, Debug)]
pub struct Adapter(pub u32);

/// The VFs of an adapter, by their indices within the world.
#[derive(Component, Clone, Copy, Debug)]
pub struct AdapterVfs {
    /// The first.
    pub first: u32,
    /// Behind the last.
    pub end: u32,
}

/// A virtual function.
#[derive(Component, Clone, Copy, Debug)]
pub struct Vf {
    /// What it is called on the bus.
    pub requester_id: RequesterId,
}

/// The adapter of a VF, by its index within the host.
#[derive(Component, Clone, Copy, Debug)]
pub struct AdapterOfVf(pub u32);

/// The tenant that a VF is given to.
#[derive(Component, Clone, Copy, Debug)]
pub struct TenantOf {
    /// Its VM, by its index within the host: the owner of its frames.
    pub vm: u32,
    /// VMs whose VFs share its domain: from this one on.
    pub sharing_first: u32,
    /// VMs whose VFs share its domain: up to this one, excluded.
    pub sharing_end: u32,
    /// Whether it maps a buffer for each DMA, out of frames that others use before and after.
    pub streams: bool,
}

impl TenantOf {
    /// Whether the VF of another VM is attached to the same domain.
    #[must_use]
    pub fn shares_domain_with(&self, vm: u32) -> bool {
        (self.sharing_first..self.sharing_end).contains(&vm)
    }
}

/// What a tenant is to its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmKind {
    /// A process of the host itself.
    HostProcess,
    /// A VM.
    #[default]
    Normal,
    /// A VM that gets a GPU only where the host is isolated from it, and whose escapes are confined.
    Secure,
}

impl VmKind {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::HostProcess, Self::Normal, Self::Secure];

    /// Whether it is a VM.
    #[inline]
    #[must_use]
    pub const fn is_guest(self) -> bool {
        !matches!(self, Self::HostProcess)
    }

    /// Its name in scenarios and results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HostProcess => "host_process",
            Self::Normal => "normal",
            Self::Secure => "secure",
        }
    }
}

/// A tenant: a VM of a class.
#[derive(Component, Clone, Copy, Debug)]
pub struct Vm {
    /// Index of its class.
    pub class: u32,
    /// What it is.
    pub kind: VmKind,
    /// Whether it got its VF, or why not.
    pub admission: Result<(), Refusal>,
    /// Whether its VF could be attached to a domain, or why not.
    pub attached: Result<(), AttachError>,
}
