//! The tables of a report, and their description for people.

use std::fmt::Write as _;

use portcullis_engine::account::{
    AttributionRow, EscapeRow, EvictionRow, LatencyRow, LevelRow, RequestRow, SlowdownRow, SummaryRow,
    TenantRow, TenantWindowRow, TimelineRow, WindowRow,
};
use portcullis_engine::replay::{RefusedRow, ReplayRequestRow, ReplaySummaryRow};
use portcullis_engine::table::{Column, Field, Table};

use crate::manifest::MANIFEST_FILE;
use crate::sweep::IntervalRow;

/// Version of the tables: raised when a column changes its name, type or meaning, or goes.
pub const SCHEMA_VERSION: &str = "1";

/// Rows of every row group but a table's last.
pub const ROW_GROUP_ROWS: usize = 262_144;

/// Which tables a run leaves beside those that every run leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// A row a DMA.
    pub requests: bool,
    /// A row a VF and window.
    pub tenant_windows: bool,
    /// A row an adapter and instant at which what waits or is under way changes.
    pub levels: bool,
    /// A row a kind of escape and what became of it.
    pub escapes: bool,
    /// A row a class that also ran alone, and a row a VF of it.
    pub slowdown: bool,
    /// A row a cause of each VF's latencies.
    pub attribution: bool,
    /// A row a pair of classes.
    pub evictions: bool,
}

impl Extras {
    /// Every one.
    pub const ALL: Self = Self {
        requests: true,
        tenant_windows: true,
        levels: true,
        escapes: true,
        slowdown: true,
        attribution: true,
        evictions: true,
    };
}

/// The tables of a run, without rows.
#[must_use]
pub fn run_tables(extras: Extras) -> Vec<Table> {
    let mut tables = vec![
        Table::new::<SummaryRow>(),
        Table::new::<TenantRow>(),
        Table::new::<WindowRow>(),
        Table::new::<TimelineRow>(),
        Table::new::<LatencyRow>(),
    ];
    if extras.tenant_windows {
        tables.push(Table::new::<TenantWindowRow>());
    }
    if extras.levels {
        tables.push(Table::new::<LevelRow>());
    }
    if extras.attribution {
        tables.push(Table::new::<AttributionRow>());
    }
    if extras.evictions {
        tables.push(Table::new::<EvictionRow>());
    }
    if extras.escapes {
        tables.push(Table::new::<EscapeRow>());
    }
    if extras.slowdown {
        tables.push(Table::new::<SlowdownRow>());
    }
    if extras.requests {
        tables.push(Table::new::<RequestRow>());
    }
    tables
}

/// The tables of a replay, without rows.
#[must_use]
pub fn replay_tables() -> Vec<Table> {
    vec![Table::new::<ReplaySummaryRow>(), Table::new::<ReplayRequestRow>(), Table::new::<RefusedRow>()]
}

/// The file of a table.
pub(crate) fn table_file_name(table: &str) -> String {
    format!("{table}.parquet")
}

/// Whether a report has a file of this name.
pub(crate) fn is_report_file(name: &str) -> bool {
    name == MANIFEST_FILE
        || run_tables(Extras::ALL)
            .iter()
            .chain(&replay_tables())
            .any(|table| table_file_name(table.name) == name)
}

/// The Parquet type of a column, as readers show it, and whether cells may be null.
const fn type_of(column: &Column) -> (&'static str, bool) {
    match column {
        Column::U32(_) => ("UInt32", false),
        Column::U64(_) => ("UInt64", false),
        Column::OptionalU64(_) => ("UInt64", true),
        Column::F64(_) => ("Float64", false),
        Column::OptionalF64(_) => ("Float64", true),
        Column::Bool(_) => ("Boolean", false),
        Column::Text(_) | Column::Name(_) => ("String", false),
        Column::OptionalName(_) | Column::OptionalText(_) => ("String", true),
    }
}

/// The unit of a column, from the end of its name.
fn unit_of(name: &str, column: &Column) -> &'static str {
    const BY_SUFFIX: [(&str, &str); 12] = [
        ("_per_s", "1/s"),
        ("_gbps", "Gb/s"),
        ("_bytes", "bytes"),
        ("_ps", "ps"),
        ("_ns", "ns"),
        ("_s", "s"),
        ("_ratio", "0 to 1"),
        ("_utilisation", "0 to 1"),
        ("_jain", "0 to 1"),
        ("_share", "0 to 1"),
        ("iova", "address"),
        ("pa", "address"),
    ];
    if let Some((_, unit)) = BY_SUFFIX.iter().find(|(suffix, _)| name.ends_with(suffix)) {
        return unit;
    }
    match (name, column) {
        ("length", _) => "bytes",
        ("slowdown" | "slowdown_p99" | "slowdown_service", _) => "ratio",
        ("availability", _) => "0 to 1",
        ("stale" | "stale_total", _) => "pages",
        (
            _,
            Column::Text(_)
            | Column::OptionalText(_)
            | Column::Name(_)
            | Column::OptionalName(_)
            | Column::Bool(_),
        ) => "",
        ("seed" | "host" | "iommu" | "adapter" | "vf" | "requester_id" | "device" | "domain", _) => "",
        ("window" | "row" | "sequence", _) => "index",
        _ => "count",
    }
}

/// The schema of every table, as the tables of `docs/schema.md`.
#[must_use]
pub fn schema_markdown() -> String {
    let mut text = String::new();
    for (command, tables) in [("run", run_tables(Extras::ALL)), ("replay", replay_tables())] {
        let _ = writeln!(text, "## Tables of `{command}`\n");
        for table in tables {
            describe(&mut text, &table);
        }
    }
    describe_sweep(&mut text);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// What a sweep has beside the tables of its points.
fn describe_sweep(text: &mut String) {
    let _ = writeln!(
        text,
        "## Tables of `sweep`\n\nThe points' tables are those of `run`, with a column for each axis and, with \
         `--repeat`, `repeat` (Int64) and `seed` (UInt64).\n\n### `intervals.parquet`\n\nThe axes' columns \
         come first.\n\n| column | type | unit | meaning |\n|---|---|---|---|"
    );
    for Field { name, meaning } in IntervalRow::FIELDS {
        let (kind, unit) = match name {
            "metric" => ("String", ""),
            "group" => ("UInt64", "index"),
            "n" => ("UInt64", "count"),
            _ => ("Float64", "the metric's"),
        };
        let _ = writeln!(text, "| `{name}` | {kind} | {unit} | {meaning} |");
    }
}

fn describe(text: &mut String, table: &Table) {
    let _ = writeln!(text, "### `{}`\n", table_file_name(table.name));
    let _ = writeln!(text, "| column | type | unit | meaning |\n|---|---|---|---|");
    for (field, column) in table.fields.iter().zip(&table.columns) {
        let (name, nullable) = type_of(column);
        let null = if nullable { ", may be null" } else { "" };
        let unit = unit_of(field.name, column);
        let meaning = field.meaning.trim().replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {name}{null} | {unit} | {meaning} |", field.name);
    }
    text.push('\n');
}
