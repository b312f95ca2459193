//! State of a replay.

use bevy_ecs::prelude::*;
use hashbrown::HashMap;

use super::event::Event;
use super::rows::{RefusedRow, ReplayRequestRow};
use crate::domain::{Leaf, LeafSize};
use crate::hash::MixBuildHasher;
use crate::ids::{DomainId, RequesterId};
use crate::table::Table;

/// A device seen in the trace.
#[derive(Component, Clone, Copy, Debug)]
pub struct Device(pub RequesterId);

/// The events of a batch, with the index of the first.
#[derive(Resource, Clone, Debug, Default)]
pub struct EventBatch {
    /// Index of the first event in the trace.
    pub first_row: u64,
    /// The events.
    pub events: Vec<Event>,
}

/// Dense indices of the domains and devices seen.
#[derive(Resource, Clone, Debug, Default)]
pub struct Seen {
    /// Domains.
    pub domains: HashMap<DomainId, u32, MixBuildHasher>,
    /// Devices.
    pub devices: HashMap<RequesterId, u32, MixBuildHasher>,
    /// Entities of the domains, by index.
    pub domain_entities: Vec<Entity>,
}

/// A change of the mappings that the batch made.
#[derive(Clone, Copy, Debug)]
pub enum MappingChange {
    /// A leaf was mapped in the domain of this index.
    Mapped(u32, Leaf),
    /// The leaf of this base and size was unmapped.
    Unmapped(u32, Leaf),
}

/// Changes not yet made to the mapping entities, and where those entities are.
#[derive(Resource, Clone, Debug, Default)]
pub struct MappingChanges {
    /// Changes of the batch, in order.
    pub changes: Vec<MappingChange>,
    /// The mapping entity of each leaf.
    pub entities: HashMap<(u32, LeafSize, u64), Entity, MixBuildHasher>,
}

/// What a replay counted, beside what the IOTLB counts itself.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounters {
    /// DMAs translated.
    pub translated: u64,
    /// DMAs blocked, by fault.
    pub faults: [u64; 6],
    /// IOTLB hits.
    pub hits: u64,
    /// IOTLB misses, each a walk.
    pub misses: u64,
    /// Walks that ended in a fault.
    pub walks_faulted: u64,
    /// Pages translated by an entry the table no longer holds.
    pub stale: u64,
    /// DMAs the owner map judged.
    pub audited: u64,
    /// Pages that reached a frame their domain does not own, with nothing stale.
    pub breaches: u64,
    /// Events refused.
    pub refused: u64,
}

/// Rows of the replay's tables that were not taken yet.
#[derive(Component, Clone, Debug)]
pub struct ReplayTables {
    /// A row a DMA.
    pub requests: Table,
    /// A row a refused event.
    pub refused: Table,
}

impl Default for ReplayTables {
    fn default() -> Self {
        Self { requests: Table::new::<ReplayRequestRow>(), refused: Table::new::<RefusedRow>() }
    }
}
