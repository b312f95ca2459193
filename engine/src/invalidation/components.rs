//! The control plane of an IOMMU whose tenants map and unmap.

use bevy_ecs::component::Component;

use super::kernel::Control;

/// What maps, unmaps and invalidates, on the IOMMU; nothing where all mappings last.
#[derive(Component, Debug, Default)]
pub struct ControlPlane(pub Option<Box<Control>>);

impl ControlPlane {
    /// The control plane, where there is one.
    #[must_use]
    pub fn get(&mut self) -> Option<&mut Control> {
        self.0.as_deref_mut()
    }
}
