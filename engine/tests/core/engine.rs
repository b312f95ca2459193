//! Runs a case through the engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_engine::account::{EscapeRow, SummaryRow, TenantRow};
use portcullis_engine::admission::AttachError;
use portcullis_engine::domain::{Domain, Leaf, PageTable};
use portcullis_engine::escape::{EscapeFlags, EscapeSource, Header, adapter_handle};
use portcullis_engine::ids::HostIndex;
use portcullis_engine::plan::{Audit, BatchSpec, HostClass, ReportSpec, RunPlan, TenantPlan, VmPlan};
use portcullis_engine::request::{Address, Intended, Transfer};
use portcullis_engine::simulation::Simulation;
use portcullis_engine::table::{Column, Row, Table};
use portcullis_engine::topology::{Place, Spans, build_iommu};
use portcullis_engine::traffic::{Source, SourceRows};
use portcullis_engine::units::Picoseconds;

use crate::case::{Case, EscapeKind, Intent, Loop};

/// A source that emits a given list, at the times listed or when its clients say.
pub struct Listed {
    intents: Arc<Vec<Intent>>,
    next: usize,
    closed: Option<Clients>,
}

/// The clients of a closed loop that think, by when they send; ties by what made them think.
struct Clients {
    closed: Loop,
    thinking: BTreeSet<(u64, u64)>,
}

impl Listed {
    fn new(intents: Arc<Vec<Intent>>, closed: Option<Loop>) -> Self {
        let closed = closed.map(|closed| {
            let thinking = (0..closed.clients).map(|client| (closed.think(client), client)).collect();
            Clients { closed, thinking }
        });
        Self { intents, next: 0, closed }
    }

    fn next_time(&self) -> Option<u64> {
        let intent = self.intents.get(self.next)?;
        match &self.closed {
            None => Some(intent.intended_ps),
            Some(clients) => clients.thinking.first().map(|(time, _)| *time),
        }
    }
}

impl Source for Listed {
    fn peek(&self) -> Option<Picoseconds> {
        self.next_time().map(Picoseconds)
    }

    fn emit(&mut self, until: Picoseconds, rows: SourceRows<'_>) -> usize {
        let mut count = 0;
        while let Some(time) = self.next_time() {
            if count == rows.len() || time >= until.0 {
                break;
            }
            let intent = self.intents[self.next];
            rows.intended[count] = Intended(Picoseconds(time));
            rows.address[count] = Address(portcullis_engine::ids::Iova(intent.iova));
            rows.transfer[count] = Transfer { length_bytes: intent.length_bytes, op: intent.op };
            count += 1;
            self.next += 1;
            if let Some(clients) = &mut self.closed {
                clients.thinking.pop_first();
            }
        }
        count
    }

    fn feedback(&self) -> Option<Picoseconds> {
        let clients = self.closed.as_ref()?;
        let least = clients.closed.think_ps.iter().min().expect("a time");
        (self.next < self.intents.len()).then_some(Picoseconds(*least))
    }

    fn feedback_of(&self, sequence: u64) -> Picoseconds {
        self.closed.as_ref().map_or(Picoseconds::MAX, |clients| Picoseconds(clients.closed.think(sequence)))
    }

    fn outstanding(&self) -> Option<u32> {
        self.closed.as_ref().map(|clients| clients.closed.clients as u32)
    }

    fn restart(&mut self, time: Picoseconds) {
        if let Some(Clients { closed, thinking }) = &mut self.closed {
            *thinking = (0..closed.clients).map(|client| (time.0 + closed.think(client), client)).collect();
        }
    }

    fn retire(&mut self, sequence: u64, time: Picoseconds) -> Option<Picoseconds> {
        let clients = self.closed.as_mut().expect("a closed loop");
        let thought = time.0 + clients.closed.think(sequence);
        clients.thinking.insert((thought, clients.closed.clients + sequence));
        self.peek()
    }
}

/// The escapes of a VM that are listed, by its index within the host and its adapter's.
struct ListedEscapes {
    sent: Vec<(u64, EscapeKind)>,
    next: usize,
    vm: u32,
    adapter: u32,
}

impl EscapeSource for ListedEscapes {
    fn peek(&self) -> Option<Picoseconds> {
        self.sent.get(self.next).map(|(at, _)| Picoseconds(*at))
    }

    fn emit(&mut self, memory: &mut Vec<u8>) {
        let flags = match self.sent[self.next].1 {
            EscapeKind::Denied => 0x10,
            EscapeKind::Allowed => EscapeFlags::DRIVER_COMMON,
            EscapeKind::Hardware => EscapeFlags::HARDWARE_ACCESS,
        };
        let (adapter, sender, flags) = (adapter_handle(self.adapter), self.vm, EscapeFlags(flags));
        memory.extend_from_slice(&Header { adapter, flags, sender, ..Header::default() }.encode());
        self.next += 1;
    }

    fn may_touch_hardware(&self) -> bool {
        self.sent.iter().any(|(_, kind)| *kind == EscapeKind::Hardware)
    }
}

/// The plan of a case, cut into batches of `batch_requests`.
pub fn plan(case: &Case, batch_requests: u32) -> RunPlan {
    let requests = case.traffic.iter().map(|intents| intents.len() as u64).sum::<u64>().max(1);
    let last = case.traffic.iter().flatten().map(|intent| intent.intended_ps).max().unwrap_or(0);
    let traffic: Vec<_> = case.traffic.iter().cloned().map(Arc::new).collect();
    let (buffers, attached, loops) = (case.buffers.clone(), case.attached.clone(), case.loops.clone());
    let (streams, packet_dmas, ats) = (case.streams.clone(), case.packet_dmas, case.ats.clone());
    let (classes, obeys) = (case.classes.len() as u32, case.obeys.clone());
    let (escapes, vfs_per_adapter) = (case.escapes.clone(), case.machine.topology.vfs_per_adapter);
    RunPlan {
        name: "case".to_owned(),
        seed: case.seed,
        host_classes: vec![HostClass {
            name: "all".to_owned(),
            machine: case.machine.clone(),
            expected_requests: requests,
        }],
        batch: BatchSpec { batch_requests, visit_requests: 100 },
        audit: Audit::Full,
        sabotage: None,
        report: ReportSpec {
            windows: 7,
            tenant_windows: true,
            levels: 997,
            timeline_rows_per_host: 1_000,
            attribution: case.attribution,
            miss_causes: case.miss_causes,
        },
        log_requests: true,
        classes: case.class_names(),
        shares: case.classes.clone(),
        tenants: Box::new(move |_, vf| TenantPlan {
            class: vf.0 % classes,
            vm: VmPlan::default(),
            attached: attached[vf.0 as usize].then_some(()).ok_or(AttachError::NotAttached),
            obeys_silence: obeys[vf.0 as usize],
            buffers: buffers.clone(),
            streaming: streams[vf.0 as usize].clone(),
            aims_at: None,
            ats: ats[vf.0 as usize],
            packet_dmas,
            source: Box::new(Listed::new(Arc::clone(&traffic[vf.0 as usize]), loops[vf.0 as usize].clone())),
            escapes: Some(escapes[vf.0 as usize].clone()).filter(|sent| !sent.is_empty()).map(|sent| {
                Box::new(ListedEscapes { sent, next: 0, vm: vf.0, adapter: vf.0 / vfs_per_adapter }) as Box<_>
            }),
        }),
        expected_requests: requests,
        // A closed loop takes as long as its requests do.
        expected_duration: Picoseconds(last.max(requests * 100_000)),
        warm_up: Picoseconds(case.warm_up_ps),
    }
}

/// Everything a run leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub summary: SummaryRow,
    pub tenants: Table,
    pub latency: Table,
    pub requests: Table,
    pub windows: Table,
    pub tenant_windows: Table,
    pub levels: Table,
    pub timeline: Table,
    pub attribution: Table,
    pub evictions: Table,
    pub escapes: Vec<EscapeRow>,
}

/// Runs a case to its end.
pub fn run(case: &Case, batch_requests: u32) -> Outcome {
    let mut simulation = Simulation::build(plan(case, batch_requests)).expect("a valid machine");
    let mut tables = Vec::new();
    while !simulation.advance().finished {
        tables.extend(simulation.drain_tables());
    }
    tables.extend(simulation.drain_tables());
    let result = simulation.finish();
    tables.extend(result.tables);
    let escapes = result.escapes;
    assert_eq!(result.breach, None);
    let mut outcome = Outcome {
        summary: result.summary,
        tenants: result.tenants,
        latency: result.latency,
        requests: Table::new::<portcullis_engine::account::RequestRow>(),
        windows: Table::new::<portcullis_engine::account::WindowRow>(),
        tenant_windows: Table::new::<portcullis_engine::account::TenantWindowRow>(),
        levels: Table::new::<portcullis_engine::account::LevelRow>(),
        timeline: Table::new::<portcullis_engine::account::TimelineRow>(),
        attribution: Table::new::<portcullis_engine::account::AttributionRow>(),
        evictions: Table::new::<portcullis_engine::account::EvictionRow>(),
        escapes,
    };
    for table in tables {
        match table.name {
            "requests" => outcome.requests.extend(table),
            "windows" => outcome.windows.extend(table),
            "tenant_windows" => outcome.tenant_windows.extend(table),
            "levels" => outcome.levels.extend(table),
            "timeline" => outcome.timeline.extend(table),
            "attribution" => outcome.attribution.extend(table),
            "evictions" => outcome.evictions.extend(table),
            other => panic!("unknown table {other}"),
        }
    }
    outcome
}

/// The leaves of each domain with its ID, as the control plane built them, an IOMMU at a time.
pub fn domains(case: &Case) -> Vec<Vec<(u32, Vec<Leaf>)>> {
    let plan = plan(case, 1);
    let of_iommu = |place: &Place| {
        let mut world = build_iommu(&plan, &Spans::new(&plan), place);
        let mut domains = world.query::<(&Domain, &PageTable)>();
        let domains = domains.iter(&world).map(|(domain, table)| (domain.id.0, table.iter().collect()));
        domains.collect::<Vec<_>>()
    };
    Place::of_host(&plan, HostIndex(0)).iter().map(of_iommu).collect()
}

/// A column of a table by its name, as numbers; absent cells are `u64::MAX`.
pub fn numbers(table: &Table, name: &str) -> Vec<u64> {
    let at = table.fields.iter().position(|field| field.name == name).expect("a column of this name");
    match &table.columns[at] {
        Column::U32(cells) => cells.iter().map(|cell| u64::from(*cell)).collect(),
        Column::U64(cells) => cells.clone(),
        Column::OptionalU64(cells) => cells.iter().map(|cell| cell.unwrap_or(u64::MAX)).collect(),
        other => panic!("{name} is no column of numbers: {other:?}"),
    }
}

/// A column of a table that holds nanoseconds, in picoseconds.
pub fn picoseconds(table: &Table, name: &str) -> Vec<u64> {
    let at = table.fields.iter().position(|field| field.name == name).expect("a column of this name");
    let Column::F64(cells) = &table.columns[at] else { panic!("{name} is no column of times") };
    cells.iter().map(|ns| (ns * 1e3).round() as u64).collect()
}

/// A sum over a column of the tenants' table.
pub fn tenant_sum(outcome: &Outcome, name: &str) -> u64 {
    debug_assert_eq!(outcome.tenants.name, TenantRow::NAME);
    numbers(&outcome.tenants, name).iter().sum()
}
