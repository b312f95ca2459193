//! Domain IDs: the lowest free one is given out first, as Linux does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bevy_ecs::component::Component;

use crate::ids::DomainId;

/// Gives out the domain IDs of one IOMMU. ID 0 is reserved, as on VT-d.
#[derive(Component, Clone, Debug)]
pub struct DidAllocator {
    released: BinaryHeap<Reverse<u32>>,
    next: u32,
    limit: u32,
}

impl DidAllocator {
    /// IDs 1 to `limit - 1`; VT-d's IDs have 16 bits.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { released: BinaryHeap::new(), next: 1, limit }
    }

    /// The same, for a study in which no ID is used twice: there are more than hardware has.
    #[must_use]
    pub fn without_limit(self) -> Self {
        Self { limit: u32::MAX, ..self }
    }

    /// The lowest free ID, or `None` if all are taken.
    pub fn allocate(&mut self) -> Option<DomainId> {
        if let Some(Reverse(id)) = self.released.pop() {
            return Some(DomainId(id));
        }
        (self.next < self.limit).then(|| {
            self.next += 1;
            DomainId(self.next - 1)
        })
    }

    /// Takes back an ID that was given out and not yet taken back.
    pub fn release(&mut self, id: DomainId) {
        assert!(id.0 >= 1 && id.0 < self.next, "domain ID {} was never given out", id.0);
        debug_assert!(!self.released.iter().any(|free| free.0 == id.0), "domain ID released twice");
        self.released.push(Reverse(id.0));
    }
}
