//! What translation costs with an entity a request: spawned when it comes, despawned when it is done.
//!
//! The look-ups are the bare loop's; only where a request's fields live differs.

use bevy_ecs::prelude::*;
use bevy_ecs::system::RunSystemOnce;
use portcullis_engine::domain::PageTable;
use portcullis_engine::ids::Iova;

use crate::bare_loop::BareLoop;
use crate::captured::Requests;

/// Whose a request is.
#[derive(Component, Clone, Copy)]
struct Tenant(u16);

/// Its first byte.
#[derive(Component, Clone, Copy)]
struct Address(u64);

/// Where that is in memory.
#[derive(Component, Clone, Copy, Default)]
struct Translated(u64);

/// The IOTLB and page tables.
#[derive(Resource)]
struct Tables(BareLoop);

/// Hits so far.
#[derive(Resource, Default)]
struct Hits(u64);

/// A world of requests.
pub struct EntityPerRequest {
    world: World,
    requests: Vec<Entity>,
}

impl EntityPerRequest {
    /// An empty IOTLB of `sets` sets, over `pages` pages from `first` on of every tenant.
    #[must_use]
    pub fn new(sets: u32, tables: &[PageTable], first: Iova, pages: u64) -> Self {
        let mut world = World::new();
        world.insert_resource(Tables(BareLoop::new(sets, tables, first, pages)));
        world.insert_resource(Hits::default());
        Self { world, requests: Vec::new() }
    }

    /// Translates the requests in order, one physical address each, appended to `addresses`; returns how
    /// many hit.
    pub fn translate(&mut self, requests: Requests<'_>, addresses: &mut Vec<u64>) -> u64 {
        let Self { world, requests: entities } = self;
        let rows = requests.tenant.iter().zip(requests.iova);
        let bundles: Vec<_> =
            rows.map(|(tenant, iova)| (Tenant(*tenant), Address(*iova), Translated::default())).collect();
        entities.extend(world.spawn_batch(bundles));
        let before = world.resource::<Hits>().0;
        world.run_system_once(translate).expect("its parameters are there");
        addresses.extend(entities.iter().map(|entity| world.get::<Translated>(*entity).expect("spawned").0));
        for entity in entities.drain(..) {
            world.despawn(entity);
        }
        world.resource::<Hits>().0 - before
    }
}

fn translate(
    mut tables: ResMut<Tables>,
    mut hits: ResMut<Hits>,
    mut requests: Query<(&Tenant, &Address, &mut Translated)>,
) {
    for (tenant, address, mut translated) in &mut requests {
        let (physical, hit) = tables.0.translate_one(tenant.0, address.0);
        translated.0 = physical;
        hits.0 += u64::from(hit);
    }
}
