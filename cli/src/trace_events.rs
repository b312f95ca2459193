//! `--trace-events`: the timeline as trace events, which Perfetto and Chrome's tracing draw.
//!
//! Adapters are processes and VFs are their threads. A phase of a switch is a complete event, what waits for the switch before it
//! an asynchronous span, since it lies across that one's phases, as the time in which a host is down; faults and admissions are instants; what waits
//! and is under way are counters of an adapter. Times are in microseconds
//! with six digits behind the point: picoseconds. Rows are written as they come, so memory does not grow with them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use portcullis_engine::account::{LevelRow, TimelineRow};
use portcullis_engine::table::{Column, Row, Table};
use serde_json::{Value, json};

use crate::failure::Failure;

/// A file of trace events under way. Dropped before it is published, it leaves nothing behind.
pub struct TraceEvents {
    path: PathBuf,
    /// Where it stands until it is whole.
    partial: PathBuf,
    file: BufWriter<File>,
    /// Events so far.
    events: u64,
    /// Adapters and VFs that have their names, by host, adapter and VF.
    named: BTreeSet<(u32, u32, Option<u32>)>,
}

impl TraceEvents {
    /// Opens the file before anything is simulated, so that a bad place is known at once. A file that is there is replaced by
    /// `force` alone, and what is no file, such as a device or a link, by nothing.
    ///
    /// # Errors
    /// The file exists and may not be replaced, or cannot be created.
    pub fn create(path: &Path, force: bool) -> Result<Self, Failure> {
        let refuse = |problem: &str| {
            Failure::bad_input(format_args!("`--trace-events {}`: {problem}", path.display()))
        };
        if path.is_dir() {
            return Err(refuse("this is a directory"));
        }
        match path.symlink_metadata() {
            Ok(there) if !there.is_file() => return Err(refuse("this is there and no regular file")),
            Ok(_) if !force => return Err(refuse("the file already exists; --force replaces it")),
            _ => {}
        }
        let Some(name) = path.file_name() else { return Err(refuse("this names no file")) };
        let mut partial_name = name.to_owned();
        partial_name.push(format!(".partial-{}", std::process::id()));
        let partial = path.with_file_name(partial_name);
        let file = File::create_new(&partial)
            .map_err(|error| refuse(&format!("the file cannot be created: {error}")))?;
        let mut trace = Self {
            path: path.to_owned(),
            partial,
            file: BufWriter::new(file),
            events: 0,
            named: BTreeSet::new(),
        };
        trace.put(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        Ok(trace)
    }

    /// Writes the rows of the timeline and of levels that are among `tables`.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub fn write(&mut self, tables: &[Table]) -> Result<(), Failure> {
        let named = |name| tables.iter().filter(move |table| table.name == name);
        named(TimelineRow::NAME).flat_map(rows).try_for_each(|row| self.row(&row))?;
        named(LevelRow::NAME).flat_map(levels).try_for_each(|row| self.level(&row))
    }

    /// Ends the file, and puts it in its place.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub fn publish(mut self) -> Result<(), Failure> {
        self.put(b"\n]}\n")?;
        self.file.flush().map_err(|error| failed(&self.path, &error))?;
        fs::rename(&self.partial, &self.path).map_err(|error| failed(&self.path, &error))
    }

    /// Names an adapter, and a VF of it, where they have no names yet; the process that the adapter is.
    fn name(&mut self, host: u32, adapter: u32, vf: Option<u32>) -> Result<u64, Failure> {
        let pid = u64::from(host) << 16 | u64::from(adapter);
        let tid = vf.unwrap_or(0);
        let name = |what: &str, name: String| json!({ "name": what, "ph": "M", "pid": pid, "tid": tid, "args": { "name": name } });
        if self.named.insert((host, adapter, None)) {
            self.event(&name("process_name", format!("host {host} adapter {adapter}")))?;
        }
        if let Some(vf) = vf
            && self.named.insert((host, adapter, Some(vf)))
        {
            self.event(&name("thread_name", format!("VF {vf}")))?;
        }
        Ok(pid)
    }

    fn level(&mut self, row: &LevelRow) -> Result<(), Failure> {
        let pid = self.name(row.host, row.adapter, None)?;
        for (name, dmas) in [("backlog", row.backlog), ("in flight", row.in_flight)] {
            let ts = microseconds(row.time_ps);
            self.event(&json!({ "name": name, "ph": "C", "ts": ts, "pid": pid, "args": { "DMAs": dmas } }))?;
        }
        Ok(())
    }

    fn row(&mut self, row: &TimelineRow) -> Result<(), Failure> {
        let pid = self.name(row.host, row.adapter, Some(row.vf))?;
        let mut event = json!({
            "name": row.detail,
            "cat": row.kind,
            "ts": microseconds(row.time_ps),
            "pid": pid,
            "tid": row.vf,
            "args": arguments(row),
        });
        let Some(end_ps) = row.end_ps else {
            (event["ph"], event["s"]) = ("i".into(), "t".into());
            return self.event(&event);
        };
        if row.kind == "switch" && row.detail != WAITING {
            (event["ph"], event["dur"]) = ("X".into(), microseconds(end_ps - row.time_ps));
            return self.event(&event);
        }
        (event["ph"], event["id"]) = ("b".into(), self.events.into());
        self.event(&event)?;
        (event["ph"], event["ts"]) = ("e".into(), microseconds(end_ps));
        self.event(&event)
    }

    fn event(&mut self, event: &Value) -> Result<(), Failure> {
        self.put(if self.events == 0 { b"\n" } else { b",\n" })?;
        self.events += 1;
        self.put(event.to_string().as_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| failed(&self.path, &error))
    }
}

impl Drop for TraceEvents {
    fn drop(&mut self) {
        // Gone already where it was published.
        fs::remove_file(&self.partial).unwrap_or_default();
    }
}

/// The phase of a switch that is due while another is under way.
const WAITING: &str = "waiting";

fn failed(path: &Path, error: &io::Error) -> Failure {
    let problem = format!("cannot write `{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull => Failure::FullDisk(problem),
        _ => Failure::failed(problem),
    }
}

/// Picoseconds as microseconds: the shortest decimal number that is told from its neighbours.
fn microseconds(ps: u64) -> Value {
    Value::from(ps as f64 / 1e6)
}

/// What else a row says.
fn arguments(row: &TimelineRow) -> Value {
    let mut arguments = json!({ "iommu": row.iommu, "time_ps": row.time_ps });
    if let Some(end_ps) = row.end_ps {
        arguments["end_ps"] = end_ps.into();
    }
    if let Some(iova) = row.iova {
        arguments["iova"] = format!("{iova:#x}").into();
    }
    if let Some(op) = row.op {
        arguments["op"] = op.into();
    }
    arguments
}

/// The rows of levels.
fn levels(table: &Table) -> impl Iterator<Item = LevelRow> {
    let [Column::U64(time_ps), Column::U64(backlog), Column::U64(in_flight)] =
        ["time_ps", "backlog", "in_flight"].map(|name| column(table, name))
    else {
        unreachable!("times and levels are whole numbers")
    };
    let [Column::U32(host), Column::U32(iommu), Column::U32(adapter)] =
        ["host", "iommu", "adapter"].map(|name| column(table, name))
    else {
        unreachable!("places are small numbers")
    };
    (0..table.len()).map(move |at| LevelRow {
        time_ps: time_ps[at],
        host: host[at],
        iommu: iommu[at],
        adapter: adapter[at],
        backlog: backlog[at],
        in_flight: in_flight[at],
    })
}

/// A column that its table has.
fn column<'a>(table: &'a Table, name: &str) -> &'a Column {
    let at = table.fields.iter().position(|field| field.name == name);
    &table.columns[at.expect("a column of its table")]
}

/// The rows of a timeline.
fn rows(table: &Table) -> impl Iterator<Item = TimelineRow> {
    let column = |name: &str| column(table, name);
    let [Column::U64(time_ps), Column::OptionalU64(end_ps), Column::OptionalU64(iova)] =
        ["time_ps", "end_ps", "iova"].map(column)
    else {
        unreachable!("times and addresses are whole numbers")
    };
    let [Column::U32(host), Column::U32(iommu), Column::U32(adapter), Column::U32(vf)] =
        ["host", "iommu", "adapter", "vf"].map(column)
    else {
        unreachable!("places are small numbers")
    };
    let [Column::Name(kind), Column::Name(detail), Column::OptionalName(op)] =
        ["kind", "detail", "op"].map(column)
    else {
        unreachable!("the rest are names")
    };
    (0..table.len()).map(move |at| TimelineRow {
        time_ps: time_ps[at],
        end_ps: end_ps[at],
        host: host[at],
        iommu: iommu[at],
        adapter: adapter[at],
        vf: vf[at],
        kind: kind[at],
        detail: detail[at],
        iova: iova[at],
        op: op[at],
    })
}
