//! `run --trace-events`: timeline and levels for Perfetto and Chrome's tracing.

use std::collections::BTreeMap;
use std::fs;

use portcullis_reports::{Cells, StoredTable};
use serde_json::Value;

use crate::support::{Outcome, Workplace};

/// Switches that wait for one another, faults and admissions on two hosts of two adapters.
const EVENTFUL: &str = r#"
name = "eventful"
requests = 8_000
topology = { hosts = 2, adapters_per_host = 2, vfs_per_adapter = 3 }
switches = { schedule = "poisson", every_us = 60 }

[[tenants]]
name = "holes"
memory = { pages = 64, hole_share = 0.1 }
arrivals = { mops_per_vf = 1.0 }

[[tenants]]
name = "secure"
count = 1
vm = { kind = "secure" }
arrivals = { mops_per_vf = 0.5 }
"#;

fn numbers(table: &StoredTable, name: &str) -> Vec<Option<u64>> {
    match table.column(name) {
        Some(Cells::U64(cells)) => cells.clone(),
        Some(Cells::U32(cells)) => cells.iter().map(|cell| cell.map(u64::from)).collect(),
        other => panic!("{name} is no column of whole numbers: {other:?}"),
    }
}

fn texts(table: &StoredTable, name: &str) -> Vec<Option<String>> {
    let Some(Cells::Text(cells)) = table.column(name) else { panic!("{name} is a column of text") };
    cells.clone()
}

/// An event as the timeline tells it: place, kind, what, beginning, end, address and direction.
type Event = (u64, u64, u64, String, String, u64, Option<u64>, Option<u64>, Option<String>);

fn of_timeline(table: &StoredTable) -> Vec<Event> {
    let number = |name: &str| numbers(table, name);
    let place = ["host", "adapter", "vf"].map(number);
    let [time, end, iova] = ["time_ps", "end_ps", "iova"].map(number);
    let [kind, detail, op] = ["kind", "detail", "op"].map(|name| texts(table, name));
    let event = |at: usize| {
        let [host, adapter, vf] = [0, 1, 2].map(|index: usize| place[index][at].expect("a place"));
        let text = |cells: &[Option<String>]| cells[at].clone().expect("text");
        (
            host,
            adapter,
            vf,
            text(&kind),
            text(&detail),
            time[at].expect("a time"),
            end[at],
            iova[at],
            op[at].clone(),
        )
    };
    (0..time.len()).map(event).collect()
}

fn picoseconds(value: &Value) -> u64 {
    (value.as_f64().expect("microseconds") * 1e6).round() as u64
}

/// The same out of trace events, whose times and places stand in their own fields.
fn of_trace(events: &[Value]) -> Vec<Event> {
    let mut places = BTreeMap::new();
    for named in events.iter().filter(|event| event["name"] == "process_name") {
        let name = named["args"]["name"].as_str().expect("a name");
        let words: Vec<_> = name.split(' ').collect();
        let ["host", host, "adapter", adapter] = words[..] else { panic!("a place: {name}") };
        let place: (u64, u64) = (host.parse().expect("a host"), adapter.parse().expect("an adapter"));
        assert_eq!(places.insert(named["pid"].as_u64(), place), None, "a process has one name");
    }
    let ends: BTreeMap<_, _> = events
        .iter()
        .filter(|event| event["ph"] == "e")
        .map(|event| (event["id"].as_u64(), picoseconds(&event["ts"])))
        .collect();
    let read = |event: &Value| {
        let (host, adapter) = places[&event["pid"].as_u64()];
        let begin = picoseconds(&event["ts"]);
        let end = match event["ph"].as_str().expect("a phase") {
            "X" => Some(begin + picoseconds(&event["dur"])),
            "b" => Some(ends[&event["id"].as_u64()]),
            "i" => None,
            other => panic!("an event of phase {other}"),
        };
        let text = |value: &Value| value.as_str().map(String::from);
        let iova = text(&event["args"]["iova"]);
        let iova = iova.map(|iova| u64::from_str_radix(&iova[2..], 16).expect("an address"));
        let vf = event["tid"].as_u64().expect("a VF");
        let [kind, detail] = ["cat", "name"].map(|key| text(&event[key]).expect("a name"));
        (host, adapter, vf, kind, detail, begin, end, iova, text(&event["args"]["op"]))
    };
    let told = |event: &&Value| !["M", "e", "C"].contains(&event["ph"].as_str().expect("a phase"));
    events.iter().filter(told).map(read).collect()
}

/// A counter as the report tells it: adapter as a process, time, and value.
fn counters_of_trace(events: &[Value], name: &str) -> Vec<(u64, u64, u64)> {
    let counters = events.iter().filter(|event| event["ph"] == "C" && event["name"] == name);
    let number = |value: &Value| value.as_u64().expect("a number");
    let read =
        |event: &Value| (number(&event["pid"]), picoseconds(&event["ts"]), number(&event["args"]["DMAs"]));
    counters.map(read).collect()
}

fn counters_of_report(table: &StoredTable, name: &str) -> Vec<(u64, u64, u64)> {
    let [host, adapter, time, level] = ["host", "adapter", "time_ps", name].map(|name| numbers(table, name));
    let at = |cells: &[Option<u64>], row: usize| cells[row].expect("a number");
    (0..time.len())
        .map(|row| (at(&host, row) << 16 | at(&adapter, row), at(&time, row), at(&level, row)))
        .collect()
}

/// Both counters of each adapter are the levels of the report; what comes goes, and while adapters are silent it piles up.
#[test]
fn counters_are_the_levels() {
    let place = Workplace::new();
    let run = [
        "run",
        "switch-storm",
        "--set",
        "requests=100000",
        "--trace-events",
        "trace.json",
        "--out",
        "report",
    ];
    place.succeed(&run);
    let text = fs::read_to_string(place.path("trace.json")).expect("a trace");
    let trace: Value = serde_json::from_str(&text).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("a list of events");
    let table = StoredTable::read(&place.path("report/levels.parquet")).expect("levels");
    for (counter, column) in [("backlog", "backlog"), ("in flight", "in_flight")] {
        let expected = counters_of_report(&table, column);
        assert_eq!(counters_of_trace(events, counter), expected);
        let last: BTreeMap<_, _> = expected.iter().map(|(adapter, _, level)| (adapter, level)).collect();
        assert!(last.values().all(|level| **level == 0), "{counter}: {last:?}");
        let greatest = expected.iter().map(|(.., level)| level).max();
        assert!(greatest > Some(&10), "{counter}: {greatest:?}");
    }
    let names = events.iter().filter(|event| event["name"] == "process_name").count();
    let adapters: std::collections::BTreeSet<_> =
        counters_of_report(&table, "backlog").into_iter().map(|(adapter, ..)| adapter).collect();
    assert_eq!(names, adapters.len(), "an adapter has one name");
}

#[test]
fn the_events_are_the_rows_of_the_timeline() {
    let place = Workplace::new();
    place.file("eventful.toml", EVENTFUL);
    place.succeed(&["run", "eventful.toml", "--trace-events", "trace.json", "--out", "report"]);
    let text = fs::read_to_string(place.path("trace.json")).expect("a trace");
    let trace: Value = serde_json::from_str(&text).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("a list of events");
    let table = StoredTable::read(&place.path("report/timeline.parquet")).expect("a timeline");
    let expected = of_timeline(&table);
    assert_eq!(of_trace(events), expected);
    for kind in ["switch", "fault", "admission"] {
        assert!(expected.iter().any(|event| event.3 == kind), "{kind}");
    }
    assert!(expected.iter().any(|event| event.4 == "waiting"));
    // Phases of a VF do not overlap, so that they can be drawn beside one another.
    let mut until = BTreeMap::new();
    for (host, adapter, vf, kind, detail, begin, end, ..) in expected {
        let (true, Some(end)) = (kind == "switch" && detail != "waiting", end) else { continue };
        let last = until.insert((host, adapter, vf), end).unwrap_or(0);
        assert!(last <= begin, "{detail} begins at {begin}, before {last}");
    }
    // Every VF that has an event has a name.
    let names = events.iter().filter(|event| event["name"] == "thread_name");
    assert_eq!(names.count(), 12);
}

#[test]
fn a_bad_place_is_refused_before_anything_is_simulated() {
    let place = Workplace::new();
    place.file("there.json", "precious");
    let endless = ["run", "--set", "requests=1000000000000", "--out", "report", "--trace-events"];
    let refuse = |file: &str, words: &[&str]| place.refuse(&[&endless[..], &[file]].concat(), words);
    refuse("there.json", &["--trace-events there.json", "already exists", "--force"]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(place.path("there.json"), place.path("link.json")).expect("a link");
        let words = ["--trace-events link.json", "no regular file"];
        place.refuse(&[&endless[..], &["link.json", "--force"]].concat(), &words);
    }
    refuse("nowhere/trace.json", &["nowhere/trace.json", "cannot be created"]);
    refuse(".", &["directory"]);
    assert_eq!(fs::read_to_string(place.path("there.json")).expect("still there"), "precious");
}

/// The limit on a file's size stands for a disk that fills up: writing fails in the middle.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_fails_the_run_and_leaves_nothing() {
    let place = Workplace::new();
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    let run = [
        "run",
        "switch-storm",
        "--set",
        "requests=300000",
        "--out",
        "report",
        "--trace-events",
        "trace.json",
    ];
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_portcullis")]).args(run);
    let output = shell.current_dir(place.path("")).output().expect("a shell");
    Outcome::from(output).assert_error(1, &["cannot write `trace.json`", "File too large"]);
    assert_eq!(place.listing(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_file_is_replaced_when_told_and_by_a_whole_one_only() {
    let place = Workplace::new();
    place.file("trace.json", "old");
    let short =
        ["run", "--set", "requests=2000", "--force", "--out", "report", "--trace-events", "trace.json"];
    let without_report = [&short[..], &["--set", "iommu.iotlb.entries=0"]].concat();
    place.refuse(&without_report, &["iommu.iotlb.entries"]);
    assert_eq!(fs::read_to_string(place.path("trace.json")).expect("still there"), "old");
    place.succeed(&short);
    let text = fs::read_to_string(place.path("trace.json")).expect("a trace");
    let trace: Value = serde_json::from_str(&text).expect("JSON");
    // Nothing happened to this run's host: there are counters and the names of their adapters.
    let events = trace["traceEvents"].as_array().expect("a list of events");
    assert!(!events.is_empty());
    assert!(events.iter().all(|event| event["ph"] == "C" || event["name"] == "process_name"), "{events:?}");
    let names = crate::support::file_names(&place.path(""));
    assert_eq!(names, ["report", "trace.json"], "nothing half done is left");
}
