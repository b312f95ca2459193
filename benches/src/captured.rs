//! The requests of a host as plain columns, in the order in which they reach its IOMMU.

use bevy_ecs::prelude::*;
use portcullis_engine::domain::PageTable;
use portcullis_engine::ids::HostIndex;
use portcullis_engine::plan::RunPlan;
use portcullis_engine::request::Intent;
use portcullis_engine::schedule::{Stage, Stages};
use portcullis_engine::topology::{Place, Spans, build_iommu};
use portcullis_engine::traffic::Batch;
use portcullis_engine::translation::{Arrivals, ContextEntry};

/// Requests in the order in which they reach an IOMMU: columns of one length.
#[derive(Resource, Clone, Debug, Default)]
pub struct RequestColumns {
    /// Whose they are, from 0: the index of the tenant's page table. The domain ID is one more.
    pub tenant: Vec<u16>,
    /// Their first bytes.
    pub iova: Vec<u64>,
}

impl RequestColumns {
    /// The requests, so many at a time.
    pub fn chunks(&self, requests: usize) -> impl Iterator<Item = Requests<'_>> + Clone {
        let columns = self.tenant.chunks(requests).zip(self.iova.chunks(requests));
        columns.map(|(tenant, iova)| Requests { tenant, iova })
    }

    /// Appends a request.
    pub fn push(&mut self, tenant: u16, iova: u64) {
        self.tenant.push(tenant);
        self.iova.push(iova);
    }
}

/// Rows of [`RequestColumns`] that follow one another.
#[derive(Clone, Copy, Debug)]
pub struct Requests<'a> {
    /// Whose they are.
    pub tenant: &'a [u16],
    /// Their first bytes.
    pub iova: &'a [u64],
}

/// What an IOMMU is asked, and the page tables it would walk.
pub struct Captured {
    /// The requests.
    pub columns: RequestColumns,
    /// A page table a tenant, by its index.
    pub tables: Vec<PageTable>,
}

impl Captured {
    /// At least `requests` requests of the first host of the plan, from its start on. Every tenant must
    /// have a domain of its own.
    ///
    /// # Panics
    /// If it has not, or if the traffic ends before.
    #[must_use]
    pub fn new(plan: &RunPlan, requests: usize) -> Self {
        let mut world = build_iommu(plan, &Spans::new(plan), &Place::of_host(plan, HostIndex(0))[0]);
        world.insert_resource(RequestColumns::default());
        let mut stages = Stages::new();
        stages.flow.add_systems(capture.after(Stage::Arrive).before(Stage::Translate));
        while world.resource::<RequestColumns>().iova.len() < requests {
            let exhausted = world.resource::<Batch>().exhausted;
            assert!(!exhausted, "the traffic ends before there are {requests} requests");
            stages.run(&mut world);
        }
        let columns = world.remove_resource::<RequestColumns>().expect("it was inserted");
        let mut tables = world.query::<&mut PageTable>();
        let tables = tables.iter_mut(&mut world).map(|mut table| core::mem::take(&mut *table)).collect();
        Self { columns, tables }
    }
}

/// Appends the arrivals of a pass.
fn capture(
    arrivals: Single<&Arrivals>,
    contexts: Query<&ContextEntry>,
    requests: Query<&Intent>,
    mut columns: ResMut<RequestColumns>,
) {
    let contexts = contexts.contiguous_iter().expect("dense").next().expect("VFs lie in one table");
    let intents = requests.contiguous_iter().expect("dense").next().expect("requests lie in one table");
    for arrived in &arrivals.ordered {
        let intent = &intents[arrived.row as usize];
        let context = contexts[intent.vf as usize].0.expect("every VF is attached");
        assert_eq!(context.domain.0, context.table + 1, "domain IDs are given out in order");
        columns.push(u16::try_from(context.table).expect("domains are few"), intent.iova.0);
    }
}

#[cfg(test)]
mod tests {
    use portcullis_engine::ids::Iova;

    use super::*;
    use crate::cases::endless_plan;

    #[test]
    fn captured_requests_are_mapped_by_their_tenants_tables() {
        let plan = endless_plan("default", &[]);
        let Captured { columns, tables } = Captured::new(&plan, 5_000);
        assert!((5_000..10_000).contains(&columns.iova.len()), "{}", columns.iova.len());
        assert_eq!(columns.tenant.len(), columns.iova.len());
        assert_eq!(tables.len(), 31);
        for (tenant, iova) in columns.tenant.iter().zip(&columns.iova) {
            assert!(tables[usize::from(*tenant)].lookup(Iova(*iova)).is_some());
        }
    }
}
