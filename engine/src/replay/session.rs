//! A replay under way.

use bevy_ecs::prelude::*;

use super::components::*;
use super::event::Event;
use super::rows::{RefusedRow, ReplayRequestRow, ReplaySummaryRow};
use crate::account::{AuditPolicy, ratio};
use crate::domain::{Domain, MappedFrames, PageTable};
use crate::error::SpecError;
use crate::plan::Audit;
use crate::request::Fault;
use crate::schedule::replay_schedule;
use crate::table::Table;
use crate::translation::replacement::with_iotlb;
use crate::translation::{AnyIotlb, IotlbSpec, IotlbState};

/// What a replay needs beside its events.
#[derive(Clone, Debug)]
pub struct ReplayPlan {
    /// Name of the trace.
    pub trace: String,
    /// Seed of random replacement.
    pub seed: u64,
    /// The IOTLB.
    pub iotlb: IotlbSpec,
    /// Which DMAs the owner map judges.
    pub audit: Audit,
}

/// What a replay leaves.
pub struct ReplayResult {
    /// The whole replay in one row; `wall_*` are for the caller to fill.
    pub summary: ReplaySummaryRow,
    /// Rows that were not drained before.
    pub tables: Vec<Table>,
    /// What the owner map found, where isolation was broken.
    pub breach: Option<String>,
}

/// A replay under way.
pub struct Replay {
    plan: ReplayPlan,
    world: World,
    schedule: Schedule,
    events: u64,
}

impl Replay {
    /// An IOMMU that has seen nothing.
    ///
    /// # Errors
    /// The first key of the IOTLB that cannot be built.
    pub fn new(plan: ReplayPlan) -> Result<Self, SpecError> {
        plan.iotlb.validate("iommu.iotlb")?;
        let mut world = World::new();
        world.insert_resource(EventBatch::default());
        world.insert_resource(MappingChanges::default());
        world.spawn((
            IotlbState(AnyIotlb::new(&plan.iotlb, plan.seed)),
            MappedFrames::default(),
            ReplayCounters::default(),
            ReplayTables::default(),
            AuditPolicy(plan.audit),
        ));
        world.insert_resource(Seen::default());
        Ok(Self { plan, world, schedule: replay_schedule(), events: 0 })
    }

    /// Applies events, which follow those applied before.
    pub fn apply(&mut self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        let mut batch = self.world.resource_mut::<EventBatch>();
        batch.first_row = self.events;
        batch.events.clear();
        batch.events.extend_from_slice(events);
        self.events += events.len() as u64;
        self.schedule.run(&mut self.world);
        self.world.clear_trackers();
    }

    /// The world, for tests and studies that look closer than the results do.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// Rows of `requests` and `refused` since the last call.
    pub fn drain_tables(&mut self) -> Vec<Table> {
        let mut tables = self.world.query::<&mut ReplayTables>();
        let mut tables = tables.single_mut(&mut self.world).expect("one IOMMU");
        let ReplayTables { requests, refused } = core::mem::take(&mut *tables);
        [requests, refused].into_iter().filter(|table| !table.is_empty()).collect()
    }

    /// The results.
    #[must_use]
    pub fn finish(mut self) -> ReplayResult {
        let tables = self.drain_tables();
        let world = &mut self.world;
        let (iotlb, counters) =
            world.query::<(&IotlbState, &ReplayCounters)>().single(world).expect("one IOMMU");
        let cached = with_iotlb!(&iotlb.0, |iotlb| iotlb.counters());
        let counters = *counters;
        let blocked = |fault: Fault| counters.faults[fault as usize];
        let dma_blocked = counters.faults.iter().sum();
        let lookups = counters.hits + counters.misses;
        let summary = ReplaySummaryRow {
            trace: self.plan.trace,
            seed: self.plan.seed,
            events_total: self.events,
            dma_total: counters.translated + dma_blocked,
            dma_translated: counters.translated,
            dma_blocked,
            blocked_no_context: blocked(Fault::NoContext),
            blocked_bad_length: blocked(Fault::BadLength),
            blocked_address_overflow: blocked(Fault::AddressOverflow),
            blocked_not_mapped: blocked(Fault::NotMapped),
            blocked_no_permission: blocked(Fault::NoPermission),
            iotlb_lookups: lookups,
            iotlb_hits: counters.hits,
            iotlb_misses: counters.misses,
            iotlb_misses_joined: 0,
            iotlb_hit_ratio: ratio(counters.hits as f64, lookups as f64),
            iotlb_evictions: cached.evictions,
            iotlb_invalidated: cached.invalidated,
            walks: counters.misses,
            walks_faulted: counters.walks_faulted,
            stale_total: counters.stale,
            audited_total: counters.audited,
            breach_total: counters.breaches,
            refused_total: counters.refused,
            domains: world.query::<&Domain>().iter(world).len() as u64,
            devices: world.query::<&Device>().iter(world).len() as u64,
            leaves_mapped: world.query::<&PageTable>().iter(world).map(PageTable::leaves).sum(),
            ..ReplaySummaryRow::default()
        };
        let breach = (counters.breaches > 0).then(|| {
            format!(
                "isolation was broken: {} pages were translated to frames that their domain does not own, with nothing stale",
                counters.breaches
            )
        });
        ReplayResult { summary, tables, breach }
    }
}

/// The tables a replay writes while it goes, without rows.
#[must_use]
pub fn empty_replay_tables() -> Vec<Table> {
    vec![Table::new::<ReplayRequestRow>(), Table::new::<RefusedRow>()]
}
