//! Components of domains and mappings.

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;

use super::{LeafSize, Permissions};
use crate::ids::{DomainId, Iova};

/// An IOMMU domain: the tag of its cached translations. Its page table is a component beside this one.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The ID cached translations carry.
    pub id: DomainId,
}

/// One map call, as an address descriptor list: what the control plane holds to be mapped.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The domain entity it belongs to.
    pub domain: Entity,
    /// First address.
    pub iova: Iova,
    /// Number of leaves.
    pub pages: u64,
    /// Size of each leaf.
    pub page_size: LeafSize,
    /// Rights of each leaf.
    pub permissions: Permissions,
}
