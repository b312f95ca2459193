//! Scenarios run to their end, and the tables they leave, by the names of columns.

use std::path::{Path, PathBuf};

use portcullis_engine::account::{
    AttributionRow, EvictionRow, LevelRow, RequestRow, SummaryRow, TenantWindowRow, TimelineRow, WindowRow,
};
use portcullis_engine::plan::RunPlan;
use portcullis_engine::simulation::Simulation;
use portcullis_engine::table::{Column, Table};
use portcullis_workloads::{Override, Scenario};

/// The directory of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// Changes of a scenario as the command line takes them.
pub fn overrides(changes: &[&str]) -> Vec<Override> {
    changes.iter().map(|change| change.parse().expect(change)).collect()
}

/// A built-in scenario with some keys changed.
pub fn builtin(name: &str, changes: &[&str]) -> Scenario {
    let found = portcullis_workloads::builtin(name).expect(name);
    custom(found.toml, changes)
}

/// A scenario's text with some keys changed.
pub fn custom(toml: &str, changes: &[&str]) -> Scenario {
    Scenario::parse("test", toml, &overrides(changes)).unwrap_or_else(|error| panic!("{error}"))
}

/// Everything that is hard on a host at once, in little time: queues of three requests on a narrow link
/// with few credits, tags and slots, an IOTLB of 24 entries before two walkers that two walks may wait
/// for, a fault queue of four; tenants with holes, without a domain, without the right to write; DMAs over
/// several pages, pages of 2 MiB, bursts, a closed loop.
pub const HOSTILE: &str = r#"
name = "hostile"
requests = 24_000
seed = 11

[topology]
hosts = 2
adapters_per_host = 2
vfs_per_adapter = 8

[scheduler]
vf_queue_entries = 3

[link]
generation = 3
lanes = 4
flow_credits = 9

[device]
read_tags = 6
outstanding = 5

[iommu.iotlb]
entries = 24
ways = 3

[iommu.walkers]
count = 2
queue_entries = 2
memory_ns = 20.0

[iommu.faults]
queue_entries = 4
service_ns = 3_000.0

[report]
windows = 13
timeline_rows_per_host = 200

[[tenants]]
name = "quiet"
count = 2
sizes = "64..1024"
alignment = 1
memory = { pages = 6, frames = "scattered" }
arrivals = { kind = "constant", mops_per_vf = 0.7 }

[[tenants]]
name = "holes"
count = 1
sizes = [[64, 3], [700, 1]]
memory = { pages = 300, frames = "scattered", hole_share = 0.3 }
arrivals = { kind = "poisson", mops_per_vf = 0.9 }
pattern = { kind = "zipf", exponent = 0.8 }

[[tenants]]
name = "unattached"
count = 1
attached = false
sizes = 256
arrivals = { kind = "poisson", mops_per_vf = 0.3 }

[[tenants]]
name = "read-only"
count = 1
read_share = 0.7
sizes = 128
memory = { pages = 16, permissions = "r" }
arrivals = { kind = "poisson", mops_per_vf = 0.6 }
pattern = { kind = "strided", stride_pages = 3 }

[[tenants]]
name = "crossing"
count = 1
sizes = [[5000, 1], [9000, 1], [64, 4]]
cross_pages = true
memory = { pages = 40, frames = "scattered" }
arrivals = { kind = "onoff", mops_per_vf = 0.3, on_us = 3, off_us = 9 }
pattern = { kind = "hot_cold" }

[[tenants]]
name = "closed"
count = 1
sizes = 512
memory = { pages = 30 }
arrivals = { kind = "closed", outstanding = 5, think_ns = 2_000 }

[[tenants]]
name = "large-pages"
sizes = 4096
memory = { pages = 5, page_size = "2m" }
arrivals = { kind = "poisson", mops_per_vf = 0.1 }
pattern = { kind = "stream", copy_pages = 2 }
"#;

/// Classes of hosts for [`HOSTILE`]: a large host of three IOMMUs, one with a small IOTLB and a shared domain whose
/// tenants are mostly closed loops, and what is left.
pub const HOSTILE_CLASSES: &str = r#"
[[hosts]]
name = "large"
count = 1
topology = { adapters_per_host = 7, iommus_per_host = 3 }

[[hosts]]
name = "small"
count = 2
topology = { vfs_per_adapter = 6, domain_scope = "adapter" }
iommu.iotlb = { entries = 6, replacement = "random" }
scheduler.vf_outstanding = 2
device.retire = "in_order"
tenants = { closed = 4, crossing = 1, holes = "rest" }

[[hosts]]
name = "usual"
"#;

/// [`HOSTILE`] with [`HOSTILE_CLASSES`] on five hosts, with some keys changed.
pub fn hostile_fleet(changes: &[&str]) -> Scenario {
    custom(&format!("{HOSTILE}{HOSTILE_CLASSES}"), &[&["topology.hosts=5"], changes].concat())
}

/// Whether no tenant maps and unmaps while it sends.
pub fn mappings_last(scenario: &Scenario) -> bool {
    scenario.tenants.iter().all(|class| class.streaming.is_none())
}

/// Scenarios on which what must always hold is looked at: the built-in ones cut short, and hostile ones.
pub fn scenarios() -> Vec<(&'static str, Scenario)> {
    let short = ["requests=20000"];
    let with = |changes: &[&'static str]| [&short[..], changes].concat();
    let default = |changes: &[&'static str]| builtin("default", &with(changes));
    let hostile = |changes: &[&str]| custom(HOSTILE, changes);
    let mut all: Vec<(&'static str, Scenario)> = vec![
        ("default", default(&[])),
        ("gpu-copy-2m", builtin("gpu-copy-2m", &short)),
        ("nic-rings", builtin("nic-rings", &short)),
        (
            "nic-rings-late",
            builtin(
                "nic-rings",
                &with(&[
                    "iommu.invalidation.mode=deferred",
                    "iommu.walkers.count=2",
                    "iommu.walkers.queue_entries=2",
                    "tenants.receive.streaming.late_share=0.3",
                ]),
            ),
        ),
        (
            "nic-rings, nested, cached, in order",
            builtin(
                "nic-rings",
                &with(&[
                    "iommu.stages=2",
                    "iommu.walk_caches.l2.entries=8",
                    "iommu.invalidation.walk_caches=full",
                    "memory.llc.bytes=65536",
                    "device.write_order=in_order",
                    "device.retire=in_order",
                ]),
            ),
        ),
        ("noisy-neighbour", builtin("noisy-neighbour", &short)),
        ("fleet-4096", builtin("fleet-4096", &with(&["topology.hosts=3", "topology.vfs_per_adapter=8"]))),
        (
            "mixed-fleet",
            builtin(
                "mixed-fleet",
                &with(&[
                    "topology.hosts=3",
                    "hosts.training.count=1",
                    "hosts.dense.topology.vfs_per_adapter=8",
                    "hosts.dense.topology.adapters_per_host=2",
                    "tenants.training.arrivals.link_load=0.9",
                ]),
            ),
        ),
        ("dense-1024", builtin("dense-1024", &with(&["topology.vfs_per_adapter=64"]))),
        ("a queue of one", default(&["scheduler.vf_queue_entries=1", "link.generation=1", "link.lanes=2"])),
        ("one walker", default(&["iommu.walkers.count=1", "iommu.walkers.queue_entries=1"])),
        ("one credit", default(&["link.flow_credits=1"])),
        ("one tag", default(&["device.read_tags=1"])),
        ("one slot", default(&["device.outstanding=1"])),
        ("two slots a VF", default(&["scheduler.vf_outstanding=2", "device.retire=in_order"])),
        ("slow starts", default(&["device.max_read_mops=3", "device.max_write_mops=2"])),
        ("a shared domain", default(&["topology.domain_scope=adapter"])),
    ];
    all.extend([
        ("hostile", hostile(&[])),
        ("hostile, a shared domain", hostile(&["topology.domain_scope=adapter"])),
        ("hostile, a queue of one", hostile(&["scheduler.vf_queue_entries=1", "link.flow_credits=1"])),
        ("hostile, in order", hostile(&["device.retire=in_order", "scheduler.vf_outstanding=2"])),
        ("hostile, random", hostile(&["iommu.iotlb.replacement=random", "iommu.iotlb.ways=full"])),
        ("hostile, drawn walks", hostile(&["iommu.walkers.latency=exponential"])),
        (
            "hostile, walk caches",
            hostile(&["iommu.walk_caches.l2.entries=2", "iommu.walk_caches.l3.entries=3"]),
        ),
        ("hostile, nested", hostile(&["iommu.stages=2", "iommu.host_page_size=4k"])),
        ("hostile, an IOMMU an adapter", hostile(&["topology.iommus_per_host=2"])),
        (
            "hostile, IOMMUs of two and one",
            hostile(&["topology.adapters_per_host=3", "topology.iommus_per_host=2"]),
        ),
        ("hostile, hosts of three classes", hostile_fleet(&[])),
        ("hostile, for a time", hostile(&["duration_us=2000"])),
        (
            "hostile, in turn by the clock",
            hostile(&["scheduler.policy=fixed_share", "scheduler.slice_us=5", "scheduler.partitions=9"]),
        ),
        (
            "hostile, in turn by work",
            hostile(&[
                "scheduler.policy=best_effort",
                "scheduler.slice_us=3",
                "scheduler.switch_us=0.2",
                "interrupts.completions_per_msi=4",
            ]),
        ),
        (
            "nic-rings, in turn",
            builtin("nic-rings", &with(&["scheduler.policy=equal_share", "scheduler.slice_us=20"])),
        ),
    ]);
    all
}

/// Scenarios that are counted only after a warm-up.
pub fn warm_scenarios() -> Vec<(&'static str, Scenario)> {
    let hostile = |changes: &[&str]| custom(HOSTILE, changes);
    vec![
        ("default, warm", builtin("default", &["requests=20000", "warmup_us=700"])),
        ("hostile, warm", hostile(&["warmup_us=700"])),
        ("hostile, warm, in order", hostile(&["warmup_us=300.123456", "device.retire=in_order"])),
        ("hostile, warm, for a time", hostile(&["duration_us=2000", "warmup_us=1000"])),
        ("nic-rings, warm", builtin("nic-rings", &["requests=20000", "warmup_us=500"])),
        ("hostile, warm, a queue of one", hostile(&["warmup_us=400", "scheduler.vf_queue_entries=1"])),
    ]
}

/// Everything a run leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub summary: SummaryRow,
    pub tenants: Table,
    pub latency: Table,
    pub windows: Table,
    /// Empty unless asked for.
    pub tenant_windows: Table,
    /// Empty unless asked for.
    pub levels: Table,
    pub timeline: Table,
    /// Empty where nobody sends any.
    pub escapes: Table,
    /// Empty unless requests are logged.
    pub requests: Table,
    /// Empty unless asked for.
    pub attribution: Table,
    /// Empty unless asked for.
    pub evictions: Table,
    pub breach: Option<String>,
}

impl Outcome {
    /// Every table, the summary's among them.
    pub fn tables(&self) -> [Table; 11] {
        let Self { summary, tenants, latency, windows, tenant_windows, timeline, escapes, requests, .. } =
            self.clone();
        let Self { attribution, evictions, levels, .. } = self.clone();
        let summary = std::iter::once(summary).collect();
        [
            summary,
            tenants,
            latency,
            windows,
            tenant_windows,
            levels,
            timeline,
            escapes,
            requests,
            attribution,
            evictions,
        ]
    }
}

/// Runs a plan in the current rayon pool.
pub fn run_plan(plan: RunPlan) -> Outcome {
    let mut simulation = Simulation::build(plan).expect("a plan that can be built");
    let mut drained = Vec::new();
    while !simulation.advance().finished {
        drained.extend(simulation.drain_tables());
    }
    drained.extend(simulation.drain_tables());
    let result = simulation.finish();
    drained.extend(result.tables);
    let mut outcome = Outcome {
        summary: result.summary,
        tenants: result.tenants,
        latency: result.latency,
        windows: Table::new::<WindowRow>(),
        tenant_windows: Table::new::<TenantWindowRow>(),
        levels: Table::new::<LevelRow>(),
        timeline: Table::new::<TimelineRow>(),
        escapes: result.escapes.into_iter().collect(),
        requests: Table::new::<RequestRow>(),
        attribution: Table::new::<AttributionRow>(),
        evictions: Table::new::<EvictionRow>(),
        breach: result.breach,
    };
    for table in drained {
        match table.name {
            "windows" => outcome.windows.extend(table),
            "tenant_windows" => outcome.tenant_windows.extend(table),
            "levels" => outcome.levels.extend(table),
            "timeline" => outcome.timeline.extend(table),
            "requests" => outcome.requests.extend(table),
            "attribution" => outcome.attribution.extend(table),
            "evictions" => outcome.evictions.extend(table),
            other => panic!("unknown table {other}"),
        }
    }
    outcome
}

/// Runs a scenario; requests are not logged.
pub fn run(scenario: &Scenario) -> Outcome {
    run_plan(scenario.plan())
}

/// Runs a scenario with every request logged.
pub fn run_logged(scenario: &Scenario) -> Outcome {
    let mut plan = scenario.plan();
    plan.log_requests = true;
    plan.report.tenant_windows = true;
    run_plan(plan)
}

/// A column by its name.
pub fn column<'a>(table: &'a Table, name: &str) -> &'a Column {
    let at = table.fields.iter().position(|field| field.name == name);
    &table.columns[at.unwrap_or_else(|| panic!("`{}` has no column `{name}`", table.name))]
}

/// The cells of a column of numbers, which are exact below 2^53.
pub fn values(table: &Table, name: &str) -> Vec<f64> {
    match column(table, name) {
        Column::U32(cells) => cells.iter().map(|cell| f64::from(*cell)).collect(),
        Column::U64(cells) => cells.iter().map(|cell| *cell as f64).collect(),
        Column::F64(cells) => cells.clone(),
        other => panic!("`{name}` is no column of numbers: {other:?}"),
    }
}

/// The cells of a column of whole numbers.
pub fn numbers(table: &Table, name: &str) -> Vec<u64> {
    match column(table, name) {
        Column::U32(cells) => cells.iter().map(|cell| u64::from(*cell)).collect(),
        Column::U64(cells) => cells.clone(),
        other => panic!("`{name}` is no column of whole numbers: {other:?}"),
    }
}

/// The cells of a column of text.
pub fn texts(table: &Table, name: &str) -> Vec<String> {
    let Column::Text(cells) = column(table, name) else { panic!("`{name}` is no column of text") };
    cells.clone()
}

/// The cells of a column of names.
pub fn names(table: &Table, name: &str) -> Vec<&'static str> {
    let Column::Name(cells) = column(table, name) else { panic!("`{name}` is no column of names") };
    cells.clone()
}

fn optional_names(table: &Table, name: &str) -> Vec<Option<&'static str>> {
    let Column::OptionalName(cells) = column(table, name) else { panic!("`{name}` may not be absent") };
    cells.clone()
}

/// The cells of a column of whole numbers that may be absent.
pub fn optional_numbers(table: &Table, name: &str) -> Vec<Option<u64>> {
    let Column::OptionalU64(cells) = column(table, name) else { panic!("`{name}` may not be absent") };
    cells.clone()
}

/// A VF by (host, adapter, VF of the adapter).
pub type VfPlace = (u32, u32, u32);

/// A DMA as the log of requests tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dma {
    pub vf: VfPlace,
    pub iommu: u64,
    pub sequence: u64,
    pub iova: u64,
    pub length: u64,
    pub op: &'static str,
    pub intended_ps: u64,
    pub issued_ps: u64,
    pub translated_ps: u64,
    pub completed_ps: u64,
    pub fault: Option<&'static str>,
    pub fault_iova: Option<u64>,
    pub pa: Option<u64>,
    pub hits: u64,
    pub misses: u64,
}

impl Dma {
    pub fn translated(&self) -> bool {
        self.fault.is_none()
    }

    /// Since it was intended.
    pub fn latency_ps(&self) -> u64 {
        self.completed_ps - self.intended_ps
    }

    /// Since it was issued.
    pub fn service_ps(&self) -> u64 {
        self.completed_ps - self.issued_ps
    }
}

/// The log of a run, in the order of its table.
pub fn log(outcome: &Outcome) -> Vec<Dma> {
    let requests = &outcome.requests;
    let number = |name| numbers(requests, name);
    let [host, iommu, adapter, vf] = ["host", "iommu", "adapter", "vf"].map(number);
    let [sequence, iova, length] = ["sequence", "iova", "length"].map(number);
    let [intended, issued] = ["intended_ps", "issued_ps"].map(number);
    let [translated, completed] = ["translated_ps", "completed_ps"].map(number);
    let [hits, misses] = ["iotlb_hits", "iotlb_misses"].map(number);
    let (op, outcomes, fault) =
        (names(requests, "op"), names(requests, "outcome"), optional_names(requests, "fault"));
    let (fault_iova, pa) = (optional_numbers(requests, "fault_iova"), optional_numbers(requests, "pa"));
    (0..requests.len())
        .map(|at| {
            let whole = match outcomes[at] {
                "translated" => (true, false, false),
                "blocked" => (false, true, true),
                other => panic!("row {at} has the outcome {other}"),
            };
            assert_eq!((pa[at].is_some(), fault[at].is_some(), fault_iova[at].is_some()), whole, "row {at}");
            Dma {
                vf: (host[at] as u32, adapter[at] as u32, vf[at] as u32),
                iommu: iommu[at],
                sequence: sequence[at],
                iova: iova[at],
                length: length[at],
                op: op[at],
                intended_ps: intended[at],
                issued_ps: issued[at],
                translated_ps: translated[at],
                completed_ps: completed[at],
                fault: fault[at],
                fault_iova: fault_iova[at],
                pa: pa[at],
                hits: hits[at],
                misses: misses[at],
            }
        })
        .collect()
}

/// The rows of a table of VFs or DMAs, by VF.
pub fn vf_places(table: &Table) -> Vec<VfPlace> {
    let [host, adapter, vf] = ["host", "adapter", "vf"].map(|name| numbers(table, name));
    (0..table.len()).map(|at| (host[at] as u32, adapter[at] as u32, vf[at] as u32)).collect()
}

/// Asserts that two numbers agree but for the rounding of floats.
#[track_caller]
pub fn assert_same(what: &str, found: f64, expected: f64) {
    let slack = 1e-9 * expected.abs().max(1e-9);
    assert!((found - expected).abs() <= slack, "{what}: {found}, expected {expected}");
}

/// Asserts that a number lies within `tolerance` of another, relative to it.
#[track_caller]
pub fn assert_within(what: &str, found: f64, expected: f64, tolerance: f64) {
    let error = found / expected - 1.0;
    assert!(error.abs() <= tolerance, "{what}: {found}, expected {expected} ({:+.2} %)", error * 100.0);
}
