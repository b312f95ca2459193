//! A batch of events: new domains and devices, the events, the mapping entities.

use bevy_ecs::prelude::*;

use super::components::*;
use super::event::Event;
use super::kernel::ReplayState;
use crate::account::AuditPolicy;
use crate::domain::{Domain, MappedFrames, Mapping, PageTable};
use crate::ids::{DomainId, RequesterId};
use crate::translation::replacement::with_iotlb;
use crate::translation::{ContextEntry, IotlbState};

/// Makes entities of the domains and devices that the batch mentions first.
pub fn meet(batch: Res<EventBatch>, mut seen: ResMut<Seen>, mut commands: Commands) {
    let Seen { domains, devices, domain_entities } = &mut *seen;
    for event in &batch.events {
        let (device, domain) = mentioned(event);
        if let Some(id) = domain {
            domains.entry(id).or_insert_with(|| {
                domain_entities.push(commands.spawn((Domain { id }, PageTable::new())).id());
                domain_entities.len() as u32 - 1
            });
        }
        if let Some(id) = device {
            let next = devices.len() as u32;
            devices.entry(id).or_insert_with(|| {
                commands.spawn((Device(id), ContextEntry(None)));
                next
            });
        }
    }
}

fn mentioned(event: &Event) -> (Option<RequesterId>, Option<DomainId>) {
    match *event {
        Event::Map { domain, .. }
        | Event::Unmap { domain, .. }
        | Event::UnmapDeferred { domain, .. }
        | Event::InvalidatePage { domain, .. }
        | Event::InvalidateDomain { domain } => (None, Some(domain)),
        Event::InvalidateAll => (None, None),
        Event::Attach { device, domain } => (Some(device), Some(domain)),
        Event::Detach { device } | Event::Dma { device, .. } => (Some(device), None),
    }
}

/// Applies the events in order.
pub fn apply_events(
    batch: Res<EventBatch>,
    seen: Res<Seen>,
    mut changes: ResMut<MappingChanges>,
    iommu: Single<(&mut IotlbState, &mut MappedFrames, &mut ReplayCounters, &mut ReplayTables, &AuditPolicy)>,
    mut domains: Query<&mut PageTable>,
    mut devices: Query<&mut ContextEntry, With<Device>>,
) {
    let (mut iotlb, mut frames, mut counters, mut output, audit) = iommu.into_inner();
    // A trace may name no domain or no device for a while.
    let mut tables = domains.contiguous_iter_mut().expect("page tables are kept in tables").next();
    let mut contexts = devices.contiguous_iter_mut().expect("contexts are kept in tables").next();
    with_iotlb!(&mut iotlb.0, |iotlb| {
        let mut state = ReplayState {
            iotlb,
            tables: tables.as_mut().map_or(&mut [], |tables| tables.bypass_change_detection()),
            contexts: contexts.as_mut().map_or(&mut [], |contexts| contexts.bypass_change_detection()),
            frames: &mut frames,
            audit: *audit,
            counters: &mut counters,
            output: &mut output,
            changes: &mut changes.changes,
        };
        for (row, event) in (batch.first_row..).zip(&batch.events) {
            state.apply(row, event, |id| seen.domains[&id], |id| seen.devices[&id]);
        }
    });
}

/// Makes and removes the mapping entities of the leaves that the batch mapped and unmapped.
pub fn change_mappings(world: &mut World) {
    world.resource_scope(|world, mut changes: Mut<MappingChanges>| {
        let MappingChanges { changes, entities } = &mut *changes;
        for change in changes.drain(..) {
            match change {
                MappingChange::Mapped(domain, leaf) => {
                    let mapping = Mapping {
                        domain: world.resource::<Seen>().domain_entities[domain as usize],
                        iova: leaf.base,
                        pages: 1,
                        page_size: leaf.size,
                        permissions: leaf.permissions,
                    };
                    entities.insert((domain, leaf.size, leaf.base.0), world.spawn(mapping).id());
                }
                MappingChange::Unmapped(domain, leaf) => {
                    let entity = entities.remove(&(domain, leaf.size, leaf.base.0));
                    world.despawn(entity.expect("a mapped leaf has its mapping"));
                }
            }
        }
    });
}
