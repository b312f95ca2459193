//! Traces in Parquet become events; what is no trace becomes one error.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use polars::prelude::{Column, DataFrame, NamedFrom, ParquetCompression, ParquetWriter, Series};
use portcullis_engine::domain::{LeafSize, Permissions};
use portcullis_engine::ids::{DomainId, Iova, PhysAddr, RequesterId};
use portcullis_engine::replay::{Event, RawEvent};
use portcullis_engine::request::Op;

use crate::{Cells, ParquetEvents, ReportError, StoredTable};

use super::repository;

/// All events of a file.
fn events(path: &Path) -> Result<Vec<Event>, ReportError> {
    let mut source = ParquetEvents::open(path)?;
    let (mut all, mut batch) = (Vec::new(), Vec::new());
    while source.next_batch(&mut batch)? {
        assert!(!batch.is_empty());
        all.append(&mut batch);
    }
    assert!(batch.is_empty());
    assert_eq!(all.len() as u64, source.len());
    Ok(all)
}

fn fixture() -> PathBuf {
    repository("tests/fixtures/sriov-small.events.parquet")
}

fn counts(events: &[Event]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event.name()).or_default() += 1;
    }
    counts
}

#[test]
fn the_fixture_has_the_events_it_is_said_to_have() {
    let events = events(&fixture()).expect("a trace");
    let json = fs::read(repository("tests/fixtures/sriov-small.expected.json")).expect("the counts");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let said: BTreeMap<&str, u64> = json["events"]
        .as_object()
        .expect("an object")
        .iter()
        .map(|(name, count)| (name.as_str(), count.as_u64().expect("a count")))
        .collect();
    assert_eq!(counts(&events).into_iter().map(|(n, c)| (n, c as u64)).collect::<BTreeMap<_, _>>(), said);
    assert_eq!(
        counts(&events),
        BTreeMap::from([("attach", 15), ("dma", 103_414), ("map", 39_663), ("unmap", 39_318)])
    );
    assert_eq!(events[0], Event::Attach { device: RequesterId(1024), domain: DomainId(1) });

    // The expected addresses name the rows of the DMAs, and nothing else.
    let expected = StoredTable::read(&repository("tests/fixtures/sriov-small.expected.parquet"));
    let Some(Cells::U64(rows)) = expected.expect("a table").column("row").cloned() else {
        panic!("no column `row`")
    };
    let dmas = events.iter().enumerate().filter(|(_, event)| matches!(event, Event::Dma { .. }));
    assert!(dmas.map(|(row, _)| Some(row as u64)).eq(rows));
}

/// A trace of three events, as columns.
fn columns() -> Vec<Column> {
    vec![
        Series::new("time_ns".into(), [1_u64, 1, 2]).into(),
        Series::new("event".into(), ["map", "attach", "dma"]).into(),
        Series::new("device".into(), [None, Some(8_u32), Some(8)]).into(),
        Series::new("domain".into(), [Some(3_u32), Some(3), None]).into(),
        Series::new("iova".into(), [Some(0x1000_u64), None, Some(0x1010)]).into(),
        Series::new("pa".into(), [Some(0x7000_u64), None, None]).into(),
        Series::new("size".into(), [Some(4096_u64), None, None]).into(),
        Series::new("perm".into(), [Some("rw"), None, None]).into(),
        Series::new("length".into(), [None, None, Some(64_u64)]).into(),
        Series::new("op".into(), [None, None, Some("r")]).into(),
    ]
}

fn trace() -> Vec<Event> {
    vec![
        Event::Map {
            domain: DomainId(3),
            iova: Iova(0x1000),
            pa: PhysAddr(0x7000),
            size: LeafSize::Size4K,
            permissions: Permissions::ReadWrite,
        },
        Event::Attach { device: RequesterId(8), domain: DomainId(3) },
        Event::Dma { device: RequesterId(8), iova: Iova(0x1010), length_bytes: 64, op: Op::Read },
    ]
}

/// Puts `column` in the place of the one of its name, or at the end.
fn replaced(mut columns: Vec<Column>, column: Column) -> Vec<Column> {
    match columns.iter_mut().find(|other| other.name() == column.name()) {
        Some(place) => *place = column,
        None => columns.push(column),
    }
    columns
}

fn write(path: &Path, columns: Vec<Column>, row_group: usize) {
    let mut frame = DataFrame::new_infer_height(columns).expect("a frame");
    ParquetWriter::new(File::create(path).expect("a file"))
        .with_row_group_size(Some(row_group))
        .with_compression(ParquetCompression::Snappy)
        .set_parallel(false)
        .finish(&mut frame)
        .expect("written");
}

fn read(columns: Vec<Column>) -> Result<Vec<Event>, ReportError> {
    let root = tempfile::tempdir().expect("a temporary directory");
    let path = root.path().join("trace.parquet");
    write(&path, columns, 2);
    events(&path)
}

#[test]
fn columns_may_have_any_order_and_any_integer_type() {
    assert_eq!(read(columns()).expect("a trace"), trace());
    assert_eq!(read(columns().into_iter().rev().collect()).expect("a trace"), trace());
    let changes: [Column; 6] = [
        Series::new("time_ns".into(), [1_i64, 1, 2]).into(),
        Series::new("device".into(), [None, Some(8_i64), Some(8)]).into(),
        Series::new("domain".into(), [Some(3_i32), Some(3), None]).into(),
        Series::new("iova".into(), [Some("0x1000"), None, Some("4112")]).into(),
        Series::new("pa".into(), ["0X7000", "", ""]).into(),
        Series::new("perm".into(), ["rw", "", ""]).into(),
    ];
    for change in &changes {
        assert_eq!(read(replaced(columns(), change.clone())).expect("a trace"), trace(), "{change:?}");
    }
    assert_eq!(read(changes.into_iter().fold(columns(), replaced)).expect("a trace"), trace());
}

#[test]
fn a_missing_column_is_empty() {
    let without = |names: &[&str], rows: usize| {
        let left = columns().into_iter().filter(|column| !names.contains(&column.name().as_str()));
        read(left.map(|column| column.head(Some(rows))).collect())
    };
    assert_eq!(without(&["time_ns"], 3).expect("a trace"), trace());
    assert_eq!(without(&["length", "op"], 2).expect("no DMA, no length"), trace()[..2]);
    let error = without(&["length"], 3).expect_err("the DMA needs it");
    assert!(matches!(error, ReportError::Row { row: 2, .. }), "{error}");
    assert!(error.to_string().contains("row 2") && error.to_string().contains("`length`"), "{error}");
    let error = without(&["event"], 3).expect_err("no event");
    assert!(error.to_string().contains("`event`"), "{error}");
}

/// Expects that a trace with `column` is refused and the message has all of `words`.
fn refused(column: impl Into<Column>, words: &[&str]) {
    let error = read(replaced(columns(), column.into())).expect_err("refused");
    let text = error.to_string();
    assert!(error.is_bad_input());
    assert!(text.contains("trace.parquet") && !text.contains('\n'), "{text}");
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn what_has_no_meaning_is_refused_with_its_row() {
    refused(Series::new("colour".into(), [1_u64, 2, 3]), &["`colour`", "time_ns, event"]);
    refused(Series::new("io\nva".into(), [1_u64, 2, 3]), &["`io\\nva`"]);
    refused(Series::new("iova".into(), [4096.0, 0.0, 1.0]), &["`iova`", "Float64", "integers"]);
    refused(Series::new("event".into(), [1_u32, 2, 3]), &["`event`", "text"]);
    refused(Series::new("op".into(), [None, None, Some(true)]), &["`op`", "Boolean"]);
    refused(Series::new("event".into(), ["map", "atach", "dma"]), &["row 1", "\"atach\""]);
    refused(Series::new("event".into(), [Some("map"), None, Some("dma")]), &["row 1", "`event`"]);
    refused(Series::new("time_ns".into(), [1_u64, 3, 2]), &["row 2", "from 3 to 2"]);
    refused(Series::new("size".into(), [Some(8192_u64), None, None]), &["row 0", "8192"]);
    refused(Series::new("length".into(), [None, None, Some(-1_i64)]), &["row 2", "`length`", "-1"]);
    for text in ["0x", "x", "1e3", "-1", "+1", "0x+1", " 1", "18446744073709551616", "0x10000000000000000"] {
        refused(Series::new("length".into(), [None, None, Some(text)]), &["row 2", "`length`", text]);
    }
}

#[test]
fn the_greatest_numbers_are_read_exactly() {
    for text in ["18446744073709551615", "0xffffffffffffffff", "0xFFFFFFFFFFFFFFFF"] {
        let length = Series::new("length".into(), [None, None, Some(text)]);
        let read = read(replaced(columns(), length.into())).expect("a trace");
        assert!(matches!(read[2], Event::Dma { length_bytes: u64::MAX, .. }));
    }
}

#[test]
fn a_trace_may_be_empty_or_cut_in_any_row_groups() {
    assert_eq!(read(columns().iter().map(|column| column.head(Some(0))).collect()).expect("a trace"), []);
    // More rows than are decoded at once, in one row group and in many.
    let root = tempfile::tempdir().expect("a temporary directory");
    let path = root.path().join("trace.parquet");
    let many: u64 = 600_001;
    let long = |name: &str, cell: &dyn Fn(u64) -> u64| -> Column {
        Series::new(name.into(), (0..many).map(cell).collect::<Vec<_>>()).into()
    };
    let columns = vec![
        Series::new("event".into(), vec!["dma"; many as usize]).into(),
        Series::new("op".into(), vec!["w"; many as usize]).into(),
        long("device", &|_| 1),
        long("iova", &|row| row * 64),
        long("length", &|row| row % 9),
    ];
    let wanted: Vec<_> = (0..many)
        .map(|row| Event::Dma {
            device: RequesterId(1),
            iova: Iova(row * 64),
            length_bytes: row % 9,
            op: Op::Write,
        })
        .collect();
    for row_group in [many as usize, 100_000, 65_536] {
        write(&path, columns.clone(), row_group);
        assert!(events(&path).expect("a trace") == wanted, "{row_group}");
    }
    // A row is counted over the whole file.
    let mut bad: Vec<u64> = vec![1; many as usize];
    bad[590_000] = 1 << 24;
    write(&path, replaced(columns, Series::new("device".into(), bad).into()), 550_000);
    let error = events(&path).expect_err("no such device");
    assert!(matches!(error, ReportError::Row { row: 590_000, .. }), "{error}");
}

/// One clear sentence for every file that is no trace.
fn unreadable(path: &Path) {
    let error = events(path).expect_err("no trace");
    let text = error.to_string();
    assert!(error.is_bad_input() && !text.contains('\n'), "{text}");
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert!(!text.to_lowercase().contains("panic"), "{text}");
}

#[test]
fn what_is_no_parquet_file_is_refused() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let path = root.path().join("trace.parquet");
    unreadable(&path);
    unreadable(root.path());
    let junk: Vec<u8> = (0..5_000_u32).map(|byte| (byte.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let framed = [b"PAR1", &junk[..], b"PAR1"].concat();
    for content in [&b""[..], b"P", b"PAR1", b"PAR1PAR1", b"PAR1\0\0\0\0PAR1", &junk, &framed] {
        fs::write(&path, content).expect("written");
        unreadable(&path);
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let path = root.path().join("trace.parquet");
    let whole = fs::read(fixture()).expect("the fixture");
    for cut in [4, 100, 1_000, whole.len() / 2, whole.len() - 9, whole.len() - 8, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).expect("written");
        unreadable(&path);
        // The end without the middle: the metadata is there, the columns are not.
        fs::write(&path, [&whole[..4], &whole[whole.len() - cut.min(60_000)..]].concat()).expect("written");
        let _ = events(&path).map_err(|error| assert!(!error.to_string().contains('\n'), "{error}"));
    }
}

/// Name of the test below, and the variable that makes it the reader of one file.
const READER: &str = "tests::events::damage_never_panics";

/// Reads files with bytes changed at random places; runs in a process of its own, whose stderr
/// must stay empty: no panic may reach the user, not even one that is caught.
#[test]
fn damage_never_panics() {
    const SWITCH: &str = "PORTCULLIS_READ_DAMAGED";
    if std::env::var_os(SWITCH).is_some() {
        read_damaged_files();
        return;
    }
    let program = std::env::current_exe().expect("this test");
    let output = Command::new(program)
        .args(["--exact", READER, "--nocapture", "--test-threads", "1"])
        .env(SWITCH, "1")
        .output()
        .expect("a process");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{:?}: {errors}", output.status);
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the reader ran");
}

fn read_damaged_files() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let path = root.path().join("trace.parquet");
    write(&path, columns(), 2);
    let whole = fs::read(&path).expect("the file");
    let mut state: u64 = 7;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut refused, mut total) = (0, 0);
    for _ in 0..3_000 {
        let mut damaged = whole.clone();
        for _ in 0..=draw(3) {
            let place = draw(damaged.len());
            damaged[place] = draw(256) as u8;
        }
        fs::write(&path, damaged).expect("written");
        total += 1;
        if let Err(error) = events(&path) {
            refused += 1;
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
    assert!(refused * 2 > total, "{refused} of {total} were found damaged");
}

#[test]
fn the_places_of_columns_are_those_of_the_engine() {
    assert_eq!(RawEvent::COLUMNS.len(), columns().len());
    for (name, column) in RawEvent::COLUMNS.iter().zip(columns()) {
        assert_eq!(*name, column.name().as_str());
    }
}
