//! A run: the worlds of all IOMMUs, stepped in parallel, and their results merged in one order.

use std::collections::BTreeMap;

use bevy_ecs::prelude::*;
use rayon::prelude::*;

use crate::account::{
    EscapeRow, Figures, LevelRow, Levels, RequestLog, Results, SummaryRow, TenantWindow, TenantWindowRow,
    TenantWindows, Timeline, TimelineRow, Totals, Window, WindowRow, Windows, last_completed, ratio,
};
use crate::attribution::Attributed;
use crate::crash::bug_checks;
use crate::error::SpecError;
use crate::ids::HostIndex;
use crate::memory::Downlink;
use crate::plan::RunPlan;
use crate::rounds::{self, Job};
use crate::schedule::Stages;
use crate::table::Table;
use crate::topology::{Place, Spans, Vm, build_iommu};
use crate::traffic::Batch;
use crate::translation::{LookupBound, Translation, Walkers};
use crate::units::Picoseconds;

/// The world of one IOMMU, with the adapters behind it, and its schedules.
pub struct IommuSimulation {
    place: Place,
    /// The class of each VF's tenant.
    class_of_vf: Vec<u32>,
    world: World,
    stages: Stages,
    finished: bool,
    over: u64,
    /// What it took so far, in requests that are looked up and hit: see [`Self::work`].
    work: u64,
    /// What its next visit is expected to take.
    next_work: u64,
}

impl IommuSimulation {
    /// Builds the world.
    #[must_use]
    pub fn new(plan: &RunPlan, spans: &Spans, place: &Place) -> Self {
        let mut world = build_iommu(plan, spans, place);
        Self {
            place: *place,
            class_of_vf: world.query::<&Vm>().iter(&world).map(|vm| vm.class).collect(),
            stages: Stages::for_world(&mut world),
            world,
            finished: false,
            over: 0,
            work: 0,
            next_work: 0,
        }
    }

    /// Builds the worlds of a host, in the order of its IOMMUs, in parallel in the current rayon pool.
    #[must_use]
    pub fn of_host(plan: &RunPlan, spans: &Spans, host: HostIndex) -> Vec<Self> {
        Self::at(&Place::of_host(plan, host), plan, spans)
    }

    fn at(places: &[Place], plan: &RunPlan, spans: &Spans) -> Vec<Self> {
        places.par_iter().map(|place| Self::new(plan, spans, place)).collect()
    }

    /// What the world holds.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Requests that its sources have emitted so far.
    #[must_use]
    pub fn emitted(&self) -> u64 {
        self.batch().emitted
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
        let dmas_are_over = batch.exhausted && batch.over == batch.emitted;
        let until = if dmas_are_over { Picoseconds::MAX } else { batch.reached };
        self.finished = self.stages.run_escapes(&mut self.world, until) && dmas_are_over;
        let moved =
            (batch.emitted, batch.over, batch.horizons) != (before.emitted, before.over, before.horizons);
        assert!(
            self.finished || moved || self.stages.have_moved(),
            "{} requests are under way and none can move",
            batch.emitted - batch.over
        );
        batch.emitted - before.emitted
    }

    /// Advances to the simulated time `until`, or to the end; but by no more than about `requests` requests: in
    /// a burst others wait for it.
    fn visit(&mut self, until: Picoseconds, requests: u64) {
        let (mut advanced, mut batches) = (0, 0);
        // A batch may be empty where traffic pauses: their number is bounded too.
        while !self.finished && advanced < requests && batches < 4_096 {
            if self.batch().reached >= until && !self.batch().exhausted {
                break;
            }
            advanced += self.step();
            batches += 1;
        }
    }

    fn batch(&self) -> &Batch {
        self.world.resource::<Batch>()
    }

    /// What the visits before took, and what the next is expected to: as much as the last.
    ///
    /// A walk takes about as long to simulate as all else that is done to a request. No clock is read: an
    /// estimate that depends on nothing but the scenario plans the same rounds on every machine.
    fn note_work(&mut self) {
        let walks = |walkers: &Walkers| walkers.counters().walks;
        let walks: u64 = self.world.query::<&Walkers>().iter(&self.world).map(walks).sum();
        let work = self.batch().emitted + walks;
        self.next_work = work - self.work;
        self.work = work;
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

/// A visit to a world, in pieces of simulated time.
struct Visit<'a> {
    world: &'a mut IommuSimulation,
    from: Picoseconds,
    until: Picoseconds,
    pieces: u64,
    left: u64,
    /// Requests that a piece may advance the world by.
    piece_requests: u64,
}

impl Job for Visit<'_> {
    fn remaining(&self) -> u64 {
        self.left * self.world.next_work.max(1)
    }

    fn advance(&mut self) {
        self.left -= 1;
        let span = u128::from(self.until.saturating_sub(self.from).0);
        let ahead = span * u128::from(self.left) / u128::from(self.pieces);
        self.world.visit(Picoseconds(self.until.0 - ahead as u64), self.piece_requests);
        if self.world.finished {
            self.left = 0;
        }
    }
}

/// The pace of the visits: to which simulated time the next ones go.
///
/// All worlds go to the same time, so that they end together, however unequal they are, and what one has
/// reported need not wait long for the others. The span is such that a world emits
/// `engine.visit_requests` on average; what they did emit in the last one corrects it.
#[derive(Clone, Copy, Debug)]
struct Pace {
    until: Picoseconds,
    span: Picoseconds,
    reached: Picoseconds,
    emitted: u64,
}

impl Pace {
    fn new(plan: &RunPlan, worlds: usize) -> Self {
        let visit = u128::from(plan.batch.visit_requests) * worlds as u128;
        let span = u128::from(plan.expected_duration.0) * visit / u128::from(plan.expected_requests.max(1));
        let span = Picoseconds(span.clamp(1, 1 << 62) as u64);
        Self { until: span, span, reached: Picoseconds::ZERO, emitted: 0 }
    }

    /// How many DMAs the tenants at `place` are expected to intend before the first visit ends.
    fn expected_requests(&self, place: &Place, plan: &RunPlan) -> u64 {
        let all = u128::from(place.expected_requests(plan));
        (all * u128::from(self.span.0) / u128::from(plan.expected_duration.0.max(1))).min(all) as u64
    }

    /// Goes on, where the worlds have emitted `emitted` in all and every one of the `unfinished` has reached
    /// `reached`, to visits of `visit_requests` each.
    fn go_on(&mut self, reached: Picoseconds, emitted: u64, unfinished: usize, visit_requests: u32) {
        let elapsed = reached.saturating_sub(self.reached);
        let moved = emitted - self.emitted;
        if elapsed > Picoseconds::ZERO && moved > 0 {
            let wanted = u128::from(visit_requests) * unfinished as u128;
            let span = u128::from(elapsed.0) * wanted / u128::from(moved);
            // A pause or a burst is no reason to lose all measure.
            let (least, most) = ((self.span.0 / 4).max(1), self.span.0.saturating_mul(4).min(1 << 62));
            self.span = Picoseconds(span.clamp(u128::from(least), u128::from(most)) as u64);
        }
        *self = Self { until: reached.saturating_add(self.span), reached, emitted, ..*self };
    }
}

/// Least requests a piece of a visit is expected to advance a world by: as many as its tables are worth
/// being fetched for.
const PIECE_REQUESTS: u32 = 16_384;

/// Into how many pieces visits are cut, so that `threads` threads end together: one where there are many
/// worlds for each.
fn pieces(visit_requests: u32, worlds: usize, threads: usize) -> u64 {
    let wanted = (4 * threads).div_ceil(worlds.max(1)) as u64;
    wanted.clamp(1, u64::from(visit_requests / PIECE_REQUESTS).max(1))
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Requests that are over.
    pub requests_completed: u64,
    /// Requests expected in all: exact where the scenario gives a number.
    pub requests_expected: u64,
    /// Simulated time that every world has reached.
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
    /// What is attributed to causes.
    pub attributed: Attributed,
    /// What became of the escapes, by tenant class, kind and reason.
    pub escapes: Vec<EscapeRow>,
    /// Rows of other tables that were not drained before.
    pub tables: Vec<Table>,
    /// What the owner map found, where isolation was broken.
    pub breach: Option<String>,
}

/// A run under way.
pub struct Simulation {
    plan: RunPlan,
    /// In the order of hosts and IOMMUs.
    worlds: Vec<IommuSimulation>,
    pace: Pace,
    /// Windows by number and world.
    windows: BTreeMap<(u64, usize), Window>,
    tenant_windows: BTreeMap<(u64, usize), Vec<TenantWindow>>,
    window_length: Picoseconds,
    /// Slices of the log by number and world.
    log: BTreeMap<(u64, usize), Table>,
    ready: Vec<Table>,
}

impl Simulation {
    /// Builds every world, in parallel in the current rayon pool.
    ///
    /// # Errors
    /// The first key of the plan that cannot be built.
    pub fn build(plan: RunPlan) -> Result<Self, SpecError> {
        plan.validate()?;
        let spans = Spans::new(&plan);
        let hosts: Vec<_> = plan.hosts().collect();
        let mut worlds: Vec<_> = hosts
            .into_par_iter()
            .flat_map(|(host, class)| {
                IommuSimulation::at(&Place::of_host_in(&plan, host, class), &plan, &spans)
            })
            .collect();
        let pace = Pace::new(&plan, worlds.len());
        for world in &mut worlds {
            world.next_work = pace.expected_requests(&world.place, &plan);
        }
        Ok(Self {
            pace,
            plan,
            worlds,
            windows: BTreeMap::new(),
            tenant_windows: BTreeMap::new(),
            window_length: spans.window,
            log: BTreeMap::new(),
            ready: Vec::new(),
        })
    }

    /// The worlds, in the order of hosts and IOMMUs.
    #[must_use]
    pub fn worlds(&self) -> &[IommuSimulation] {
        &self.worlds
    }

    /// Visits every unfinished world once, in parallel in the current rayon pool.
    pub fn advance(&mut self) -> Progress {
        self.visit_all();
        self.collect_windows();
        if self.plan.log_requests {
            self.collect_log();
        }
        self.progress()
    }

    /// Takes all worlds to one simulated time.
    fn visit_all(&mut self) {
        let visit_requests = self.plan.batch.visit_requests;
        let unfinished = self.worlds.iter_mut().filter(|world| !world.finished);
        let mut visited: Vec<&mut IommuSimulation> = unfinished.collect();
        let pieces = pieces(visit_requests, visited.len(), rayon::current_num_threads());
        let until = self.pace.until;
        let visits = visited.iter_mut().map(|world| Visit {
            from: world.batch().reached.min(until),
            piece_requests: 4 * world.next_work.max(u64::from(visit_requests)),
            world,
            until,
            pieces,
            left: pieces,
        });
        rounds::run(visits.collect());
        visited.into_iter().for_each(IommuSimulation::note_work);
        let emitted = self.worlds.iter().map(|world| world.batch().emitted).sum();
        let unfinished = self.worlds.iter().filter(|world| !world.finished);
        let reached = unfinished.clone().map(|world| world.batch().reached).min();
        self.pace.go_on(reached.unwrap_or(until), emitted, unfinished.count(), visit_requests);
    }

    fn progress(&mut self) -> Progress {
        let simulated = |of: &mut IommuSimulation| {
            let world = &mut of.world;
            let bound = world.query::<&LookupBound>().single(world).expect("one IOMMU").0;
            bound.min(last_completed(world))
        };
        Progress {
            requests_completed: self.worlds.iter().map(|world| world.over).sum(),
            requests_expected: self.plan.expected_requests,
            simulated: self.worlds.iter_mut().map(simulated).min().unwrap_or_default(),
            finished: self.worlds.iter().all(|world| world.finished),
        }
    }

    fn collect_windows(&mut self) {
        let mut open = u64::MAX;
        for (number, world) in self.worlds.iter_mut().enumerate() {
            let (closed, of_tenants, first_open) = world.close_windows();
            open = open.min(first_open);
            self.windows.extend(closed.into_iter().map(|(window, content)| ((window, number), content)));
            for of_window in of_tenants.chunk_by(|one, next| one.number == next.number) {
                self.tenant_windows.insert((of_window[0].number, number), of_window.to_vec());
            }
        }
        let still_open = self.windows.split_off(&(open, 0));
        let closed = core::mem::replace(&mut self.windows, still_open);
        let row = |(&(number, world), window): (&(u64, usize), &Window)| {
            let place = &self.worlds[world].place;
            let host_class = &self.plan.host_classes[place.class].name;
            window_row(number, place, host_class, window, self.window_length)
        };
        let table: Table = closed.iter().map(row).collect();
        self.hand_over(table);
        let still_open = self.tenant_windows.split_off(&(open, 0));
        let closed = core::mem::replace(&mut self.tenant_windows, still_open);
        let length = self.window_length;
        let rows = closed.iter().flat_map(|(&(_, world), of_window)| {
            let place = &self.worlds[world].place;
            let host_class = &self.plan.host_classes[place.class].name;
            let (classes, class_of_vf) = (&self.plan.classes, &self.worlds[world].class_of_vf);
            of_window.iter().map(move |one| {
                let class = &classes[class_of_vf[one.vf as usize] as usize];
                tenant_window_row(place, (class, host_class), one, length)
            })
        });
        let table: Table = rows.collect();
        self.hand_over(table);
    }

    fn collect_log(&mut self) {
        let mut open = u64::MAX;
        for (number, world) in self.worlds.iter_mut().enumerate() {
            let (slices, first_open) = world.close_log();
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
        assert!(self.worlds.iter().all(|world| world.finished), "the run is not finished");
        let places = || self.worlds.iter().map(|world| &world.place);
        let adapters = places().map(|place| u64::from(place.adapters)).sum();
        let walkers = places().map(|place| u64::from(place.machine(&self.plan).iommu.walkers.count)).sum();
        let end = self.worlds.iter_mut().map(|of| last_completed(&mut of.world)).max().unwrap_or_default();
        let counted = (self.plan.warm_up, end);
        let mut totals = Totals::new(self.plan.name.clone(), self.plan.seed, counted, &self.plan.report);
        let mut timeline = Table::new::<TimelineRow>();
        let mut levels = Table::new::<LevelRow>();
        let room = self.plan.report.timeline_rows_per_host as usize;
        for of_host in self.worlds.chunk_by_mut(|one, next| one.place.host == next.place.host) {
            let mut rows: Vec<TimelineRow> = Vec::new();
            for IommuSimulation { place, world, .. } in of_host {
                totals.add_iommu(world, &self.plan.classes, &self.plan.host_classes[place.class].name);
                let mut of_world = world.query::<&Levels>();
                let of_world = of_world.iter(world).flat_map(|of_world| of_world.rows(place));
                of_world.for_each(|row| levels.push(row));
                let bug_checks = bug_checks(world);
                let mut of_iommu = world.query::<&mut Timeline>();
                let mut of_iommu = of_iommu.single_mut(world).expect("one host");
                rows.append(&mut of_iommu.rows);
                rows.extend(bug_checks.iter().map(|bug_check| of_iommu.bug_check(bug_check)));
                rows.extend(core::mem::take(&mut of_iommu.switches).into_values());
            }
            // Each IOMMU kept as many of its first rows as the host may have.
            rows.sort_by_key(|row| row.time_ps);
            totals.drop_from_timeline(rows.len().saturating_sub(room) as u64);
            rows.into_iter().take(room).for_each(|row| timeline.push(row));
        }
        self.hand_over(timeline);
        self.hand_over(levels);
        let escapes = totals.escapes(&self.plan.classes);
        let Results { summary, tenants, latency, figures, attributed, attribution, breach } =
            totals.finish(adapters, walkers, &self.plan.classes);
        attribution.into_iter().for_each(|table| self.hand_over(table));
        RunResult { summary, tenants, latency, figures, attributed, escapes, tables: self.ready, breach }
    }
}

fn window_row(
    number: u64,
    place: &Place,
    host_class: &str,
    window: &Window,
    length: Picoseconds,
) -> WindowRow {
    let over = window.translated + window.blocked;
    WindowRow {
        window: number,
        start_ns: Picoseconds(number * length.0).as_ns_f64(),
        end_ns: Picoseconds((number + 1) * length.0).as_ns_f64(),
        host: place.host.0,
        iommu: place.iommu.0,
        host_class: host_class.to_owned(),
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
    place: &Place,
    (class, host_class): (&str, &str),
    one: &TenantWindow,
    length: Picoseconds,
) -> TenantWindowRow {
    let of_vf = window_row(one.number, place, host_class, &one.window, length);
    TenantWindowRow {
        window: of_vf.window,
        start_ns: of_vf.start_ns,
        end_ns: of_vf.end_ns,
        host: of_vf.host,
        iommu: of_vf.iommu,
        adapter: place.first_adapter + one.vf / place.vfs_per_adapter,
        vf: one.vf % place.vfs_per_adapter,
        class: class.to_owned(),
        host_class: of_vf.host_class,
        dma_translated: of_vf.dma_translated,
        dma_blocked: of_vf.dma_blocked,
        read_bytes: of_vf.read_bytes,
        write_bytes: of_vf.write_bytes,
        iotlb_hits: of_vf.iotlb_hits,
        iotlb_misses: of_vf.iotlb_misses,
        latency_mean_ns: of_vf.latency_mean_ns,
        latency_max_ns: of_vf.latency_max_ns,
    }
}
