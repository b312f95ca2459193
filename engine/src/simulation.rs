//! A run: the worlds of all hosts, stepped in parallel, and their results merged in one order.

use std::collections::BTreeMap;

use bevy_ecs::prelude::*;
use rayon::prelude::*;

use crate::account::{
    Figures, RequestLog, RequestRow, Results, SummaryRow, TenantWindow, TenantWindowRow, TenantWindows,
    Timeline, TimelineRow, Totals, VfBooks, WarmUp, Window, WindowRow, Windows, ratio,
};
use crate::error::SpecError;
use crate::ids::HostIndex;
use crate::memory::Downlink;
use crate::plan::RunPlan;
use crate::schedule::Stages;
use crate::table::Table;
use crate::topology::{Spans, build_host};
use crate::traffic::Batch;
use crate::translation::{LookupBound, Translation};
use crate::units::Picoseconds;

/// The world of one host and its schedules.
pub struct HostSimulation {
    world: World,
    stages: Stages,
    finished: bool,
    over: u64,
}

impl HostSimulation {
    /// Builds the host.
    #[must_use]
    pub fn new(plan: &RunPlan, spans: &Spans, host: HostIndex) -> Self {
        Self { world: build_host(plan, spans, host), stages: Stages::new(), finished: false, over: 0 }
    }

    /// The world, for tests and studies that look closer than the results do.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// Whether every request is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Advances by one batch; returns how many requests were emitted.
    pub fn step(&mut self) -> u64 {
        let before = *self.world.resource::<Batch>();
        self.stages.run(&mut self.world);
        let batch = *self.world.resource::<Batch>();
        self.over = batch.over;
        self.finished = batch.exhausted && batch.over == batch.emitted;
        assert!(
            self.finished
                || (batch.emitted, batch.over, batch.reached)
                    != (before.emitted, before.over, before.reached),
            "{} requests are under way and none can move",
            batch.emitted - batch.over
        );
        batch.emitted - before.emitted
    }

    /// Advances by about `requests` requests, or to the end.
    fn visit(&mut self, requests: u64) {
        let mut advanced = 0;
        let mut batches = 0;
        // A batch may be empty where traffic pauses: their number is bounded too.
        while !self.finished && advanced < requests && batches < 4_096 {
            advanced += self.step();
            batches += 1;
        }
    }

    /// No request completes before this time from now on.
    fn completion_bound(&mut self) -> Picoseconds {
        if self.finished {
            return Picoseconds::MAX;
        }
        let world = &mut self.world;
        let lookups = world.query::<&LookupBound>().single(world).expect("one IOMMU").0;
        let returns = world.query::<&Downlink>().iter(world).filter_map(Downlink::earliest_start).min();
        returns.map_or(lookups, |returns| returns.min(lookups))
    }

    /// Windows that can no longer change, of the host and of its VFs, and the number of the first that can.
    fn close_windows(&mut self) -> (Vec<(u64, Window)>, Vec<TenantWindow>, u64) {
        let bound = self.completion_bound();
        let mut host = self.world.query::<(&mut Windows, &mut TenantWindows)>();
        let (mut windows, mut of_tenants) = host.single_mut(&mut self.world).expect("one host");
        let closed = windows.close_until(bound).collect();
        let open = if self.finished { u64::MAX } else { windows.first };
        (closed, of_tenants.close_until(bound), open)
    }

    /// Logged requests by slice, and the number of the first slice that may still get some.
    fn close_log(&mut self) -> (Vec<(u64, Table)>, u64) {
        let world = &mut self.world;
        let bound = world.query::<&LookupBound>().single(world).expect("one IOMMU").0;
        let front = world.query::<&RequestLog>().single(world).expect("one host").rows.front().copied();
        let first_held = front.map(|row| {
            world
                .query::<&Translation>()
                .iter(world)
                .nth(row as usize)
                .expect("a row of the pool")
                .looked_up_at
        });
        let mut log = world.query::<&mut RequestLog>().single_mut(world).expect("one host");
        let open = first_held.map_or(bound, |held| held.min(bound)).0 / log.slice.0;
        (log.slices.drain(..).collect(), if self.finished { u64::MAX } else { open })
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Requests that are over.
    pub requests_completed: u64,
    /// Requests expected in all: exact where the scenario gives a number.
    pub requests_expected: u64,
    /// Simulated time that every host has reached.
    pub simulated: Picoseconds,
    /// Whether every request is over.
    pub finished: bool,
}

/// What a run leaves.
pub struct RunResult {
    /// The whole run in one row; `wall_*` are for the caller to fill.
    pub summary: SummaryRow,
    /// A row a VF.
    pub tenants: Table,
    /// The histograms.
    pub latency: Table,
    /// What each class got, and each VF, in the order of classes and VFs.
    pub figures: Vec<Figures>,
    /// Rows of other tables that were not drained before.
    pub tables: Vec<Table>,
    /// What the owner map found, where isolation was broken.
    pub breach: Option<String>,
}

/// A run under way.
pub struct Simulation {
    plan: RunPlan,
    hosts: Vec<HostSimulation>,
    windows: BTreeMap<(u64, u32), Window>,
    tenant_windows: BTreeMap<(u64, u32), Vec<TenantWindow>>,
    window_length: Picoseconds,
    log: BTreeMap<(u64, u32), Table>,
    ready: Vec<Table>,
}

impl Simulation {
    /// Builds every host, in parallel in the current rayon pool.
    ///
    /// # Errors
    /// The first key of the plan that cannot be built.
    pub fn build(plan: RunPlan) -> Result<Self, SpecError> {
        plan.validate()?;
        let spans = Spans::new(&plan);
        let hosts = (0..plan.machine.topology.hosts)
            .into_par_iter()
            .map(|host| HostSimulation::new(&plan, &spans, HostIndex(host)))
            .collect();
        Ok(Self {
            plan,
            hosts,
            windows: BTreeMap::new(),
            tenant_windows: BTreeMap::new(),
            window_length: spans.window,
            log: BTreeMap::new(),
            ready: Vec::new(),
        })
    }

    /// Visits every unfinished host once, in parallel in the current rayon pool.
    pub fn advance(&mut self) -> Progress {
        let requests = u64::from(self.plan.batch.visit_requests);
        self.hosts.par_iter_mut().for_each(|host| host.visit(requests));
        self.collect_windows();
        if self.plan.log_requests {
            self.collect_log();
        }
        self.progress()
    }

    fn progress(&mut self) -> Progress {
        let simulated = |host: &mut HostSimulation| {
            let world = &mut host.world;
            let bound = world.query::<&LookupBound>().single(world).expect("one IOMMU").0;
            let last = world.query::<&VfBooks>().iter(world).map(|books| books.last_completed).max();
            let in_warm_up = world.query::<&WarmUp>().single(world).expect("one host").last_completed;
            bound.min(last.unwrap_or_default().max(in_warm_up))
        };
        Progress {
            requests_completed: self.hosts.iter().map(|host| host.over).sum(),
            requests_expected: self.plan.expected_requests,
            simulated: self.hosts.iter_mut().map(simulated).min().unwrap_or_default(),
            finished: self.hosts.iter().all(|host| host.finished),
        }
    }

    fn collect_windows(&mut self) {
        let mut open = u64::MAX;
        for (host, number) in self.hosts.iter_mut().zip(0..) {
            let (closed, of_tenants, first_open) = host.close_windows();
            open = open.min(first_open);
            self.windows.extend(closed.into_iter().map(|(window, content)| ((window, number), content)));
            for of_window in of_tenants.chunk_by(|one, next| one.number == next.number) {
                self.tenant_windows.insert((of_window[0].number, number), of_window.to_vec());
            }
        }
        let length = self.window_length;
        let still_open = self.windows.split_off(&(open, 0));
        let closed = core::mem::replace(&mut self.windows, still_open);
        self.hand_over(closed.iter().map(|(key, window)| window_row(*key, window, length)).collect());
        let still_open = self.tenant_windows.split_off(&(open, 0));
        let closed = core::mem::replace(&mut self.tenant_windows, still_open);
        let vfs_per_adapter = self.plan.machine.topology.vfs_per_adapter;
        let rows = closed.iter().flat_map(|(&(_, host), of_window)| {
            of_window.iter().map(move |one| tenant_window_row(host, vfs_per_adapter, one, length))
        });
        self.hand_over(rows.collect());
    }

    fn collect_log(&mut self) {
        let mut open = u64::MAX;
        for (host, number) in self.hosts.iter_mut().zip(0..) {
            let (slices, first_open) = host.close_log();
            open = open.min(first_open);
            for (slice, table) in slices {
                match self.log.entry((slice, number)) {
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(table);
                    }
                    std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().extend(table),
                }
            }
        }
        let still_open = self.log.split_off(&(open, 0));
        let closed = core::mem::replace(&mut self.log, still_open);
        for (_, table) in closed {
            self.hand_over(table);
        }
    }

    fn hand_over(&mut self, table: Table) {
        if !table.is_empty() {
            self.ready.push(table);
        }
    }

    /// Rows of `windows`, `tenant_windows` and `requests` that became final since the last call.
    pub fn drain_tables(&mut self) -> Vec<Table> {
        core::mem::take(&mut self.ready)
    }

    /// The results of a finished run.
    ///
    /// # Panics
    /// If the run is not finished.
    #[must_use]
    pub fn finish(mut self) -> RunResult {
        assert!(self.hosts.iter().all(|host| host.finished), "the run is not finished");
        let topology = &self.plan.machine.topology;
        let adapters = u64::from(topology.hosts) * u64::from(topology.adapters_per_host);
        let walkers = u64::from(topology.hosts) * u64::from(self.plan.machine.iommu.walkers.count);
        let mut totals = Totals::new(self.plan.name.clone(), self.plan.seed, self.plan.warm_up);
        let mut timeline = Table::new::<TimelineRow>();
        for host in &mut self.hosts {
            totals.add_host(&mut host.world, &self.plan.classes);
            let mut of_host = host.world.query::<&mut Timeline>();
            let mut of_host = of_host.single_mut(&mut host.world).expect("one host");
            timeline.extend(core::mem::replace(&mut of_host.rows, Table::new::<TimelineRow>()));
        }
        self.hand_over(timeline);
        let Results { summary, tenants, latency, figures } = totals.finish(adapters, walkers);
        let breach = (summary.breach_total > 0).then(|| {
            format!(
                "isolation was broken: {} DMAs reached a frame of another owner with no invalidation pending",
                summary.breach_total
            )
        });
        RunResult { summary, tenants, latency, figures, tables: self.ready, breach }
    }
}

fn window_row((number, host): (u64, u32), window: &Window, length: Picoseconds) -> WindowRow {
    let over = window.translated + window.blocked;
    WindowRow {
        window: number,
        start_ns: Picoseconds(number * length.0).as_ns_f64(),
        end_ns: Picoseconds((number + 1) * length.0).as_ns_f64(),
        host,
        dma_translated: window.translated,
        dma_blocked: window.blocked,
        read_bytes: window.bytes[0],
        write_bytes: window.bytes[1],
        iotlb_hits: window.hits,
        iotlb_misses: window.misses,
        latency_mean_ns: ratio(window.latency_sum_ps as f64 / 1e3, over as f64),
        latency_max_ns: window.latency_max.as_ns_f64(),
    }
}

fn tenant_window_row(
    host: u32,
    vfs_per_adapter: u32,
    one: &TenantWindow,
    length: Picoseconds,
) -> TenantWindowRow {
    let of_host = window_row((one.number, host), &one.window, length);
    TenantWindowRow {
        window: of_host.window,
        start_ns: of_host.start_ns,
        end_ns: of_host.end_ns,
        host,
        adapter: one.vf / vfs_per_adapter,
        vf: one.vf % vfs_per_adapter,
        dma_translated: of_host.dma_translated,
        dma_blocked: of_host.dma_blocked,
        read_bytes: of_host.read_bytes,
        write_bytes: of_host.write_bytes,
        iotlb_hits: of_host.iotlb_hits,
        iotlb_misses: of_host.iotlb_misses,
        latency_mean_ns: of_host.latency_mean_ns,
        latency_max_ns: of_host.latency_max_ns,
    }
}

/// The tables a run writes while it goes, without rows.
#[must_use]
pub fn empty_tables(log_requests: bool) -> Vec<Table> {
    let mut tables = vec![Table::new::<WindowRow>(), Table::new::<TimelineRow>()];
    if log_requests {
        tables.push(Table::new::<RequestRow>());
    }
    tables
}
