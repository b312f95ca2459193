//! Tables come back from their files as they were written, whatever the batches.

use std::fs;
use std::path::Path;

use portcullis_engine::account::{LatencyRow, RequestRow, SummaryRow, TenantRow, TimelineRow};
use portcullis_engine::replay::RefusedRow;
use portcullis_engine::table::{Column, Table};

use crate::{
    Cells, ExtraColumn, ExtraValue, Extras, FileInfo, Metadata, ROW_GROUP_ROWS, ReportError, ReportWriter,
    StoredTable, WriterThread, replay_tables, run_tables,
};

use super::{metadata, output};

/// Cells of every type, a function of the row.
fn fill(column: &mut Column, rows: std::ops::Range<u64>) {
    const NAMES: [&str; 3] = ["read", "write", ""];
    let name = |row: u64| NAMES[(row % 3) as usize];
    for row in rows {
        let mixed = row.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ row >> 3;
        match column {
            Column::U32(cells) => cells.push(mixed as u32),
            Column::U64(cells) => cells.push(if row == 1 { u64::MAX } else { mixed }),
            Column::OptionalU64(cells) => cells.push((row % 5 != 0).then_some(mixed)),
            Column::F64(cells) => cells.push(mixed as f64 / 1e3),
            Column::OptionalF64(cells) => cells.push((row % 6 != 0).then_some(mixed as f64 / 1e3)),
            Column::Bool(cells) => cells.push(row % 7 == 0),
            Column::Text(cells) => cells.push(format!("tenant ä {}", row % 100)),
            Column::OptionalText(cells) => cells.push((row % 3 != 0).then(|| format!("{}", row % 9))),
            Column::Name(cells) => cells.push(name(row)),
            Column::OptionalName(cells) => cells.push((row % 4 != 0).then(|| name(row))),
        }
    }
}

/// Rows `rows` of an endless table with the columns of `like`.
fn table(like: &Table, rows: std::ops::Range<u64>) -> Table {
    let mut table = like.clone();
    for column in &mut table.columns {
        fill(column, rows.clone());
    }
    table
}

/// What reading a column back must give.
fn expected(column: &Column) -> Cells {
    let text = |cell: &&str| Some((*cell).to_owned());
    match column {
        Column::U32(cells) => Cells::U32(cells.iter().copied().map(Some).collect()),
        Column::U64(cells) => Cells::U64(cells.iter().copied().map(Some).collect()),
        Column::OptionalU64(cells) => Cells::U64(cells.clone()),
        Column::F64(cells) => Cells::F64(cells.iter().copied().map(Some).collect()),
        Column::OptionalF64(cells) => Cells::F64(cells.clone()),
        Column::Bool(cells) => Cells::Bool(cells.iter().copied().map(Some).collect()),
        Column::Text(cells) => Cells::Text(cells.iter().cloned().map(Some).collect()),
        Column::OptionalText(cells) => Cells::Text(cells.clone()),
        Column::Name(cells) => Cells::Text(cells.iter().map(text).collect()),
        Column::OptionalName(cells) => {
            Cells::Text(cells.iter().map(|cell| cell.as_ref().and_then(text)).collect())
        }
    }
}

/// Writes the tables, publishes them under `root`, and hands each file to `check`.
fn written(tables: Vec<Table>, batches: Vec<Table>, check: impl FnOnce(&Path, Vec<FileInfo>)) {
    let (_root, directory) = output();
    let mut writer =
        ReportWriter::start(&directory, &metadata(), tables, &[], WriterThread::Own).expect("started");
    for batch in batches {
        writer.write(batch).expect("written");
    }
    let files = writer.finish().expect("finished");
    check(&directory.publish().expect("published"), files);
}

#[test]
fn every_table_survives_its_file() {
    for declared in [run_tables(Extras::ALL), replay_tables()] {
        let full: Vec<_> = declared.iter().map(|like| table(like, 0..1_000)).collect();
        written(declared.clone(), full.clone(), |directory, files| {
            assert_eq!(files.len(), full.len());
            for (table, file) in full.iter().zip(files) {
                assert_eq!((file.name, file.rows), (format!("{}.parquet", table.name), 1_000));
                let stored = StoredTable::read(&directory.join(format!("{}.parquet", table.name)));
                let stored = stored.expect("a table");
                let names: Vec<_> = table.fields.iter().map(|field| field.name).collect();
                assert_eq!(file.columns, names);
                for ((name, cells), (wanted, column)) in
                    stored.columns.iter().zip(names.iter().zip(&table.columns))
                {
                    assert_eq!(name, wanted);
                    assert!(*cells == expected(column), "{}.{name}", table.name);
                }
                assert_eq!(stored.columns.len(), table.columns.len());
                assert_eq!(stored.rows(), 1_000);
            }
        });
    }
}

#[test]
fn a_table_without_rows_keeps_its_schema() {
    for declared in [run_tables(Extras::ALL), replay_tables()] {
        written(declared.clone(), declared.clone(), |directory, files| {
            for (table, file) in declared.iter().zip(files) {
                assert_eq!(file.rows, 0);
                let stored = StoredTable::read(&directory.join(&file.name)).expect("a table");
                let cells: Vec<_> = stored.columns.into_iter().map(|(_, cells)| cells).collect();
                assert_eq!(cells, table.columns.iter().map(expected).collect::<Vec<_>>(), "{}", table.name);
                assert_eq!(stored.row_groups, [0; 0]);
            }
        });
    }
}

#[test]
fn files_carry_seed_scenario_and_meanings() {
    written(run_tables(Extras::default()), vec![], |directory, files| {
        assert_eq!(files.len(), 5, "requests are logged only if asked for");
        for file in files {
            let stored = StoredTable::read(&directory.join(&file.name)).expect("a table");
            let Metadata { version, seed, scenario, scenario_toml } = metadata();
            assert_eq!(stored.metadata["schema_version"], "1");
            assert_eq!(stored.metadata["portcullis_version"], version);
            assert_eq!(stored.metadata["seed"], seed.to_string());
            assert_eq!(stored.metadata["scenario"], scenario);
            assert_eq!(stored.metadata["scenario_toml"], scenario_toml);
            let meaning: serde_json::Value = serde_json::from_str(&stored.metadata["meaning"]).expect("JSON");
            assert_eq!(meaning.as_object().map(serde_json::Map::len), Some(file.columns.len()));
        }
        let stored = StoredTable::read(&directory.join("windows.parquet")).expect("a table");
        let meaning: serde_json::Value = serde_json::from_str(&stored.metadata["meaning"]).expect("JSON");
        assert_eq!(meaning["start_ns"], "Its start, ns.");
    });
}

/// The file of `requests` when its rows come in batches of these sizes, over and over.
fn requests_file(rows: u64, batches: &[u64]) -> (Vec<u8>, StoredTable) {
    let like = Table::new::<RequestRow>();
    let mut cuts = Vec::new();
    let (mut next, mut sizes) = (0, batches.iter().cycle());
    while next < rows {
        let end = rows.min(next + sizes.next().expect("endless"));
        cuts.push(table(&like, next..end));
        next = end;
    }
    let mut file = Vec::new();
    let mut stored = None;
    written(vec![like], cuts, |directory, _| {
        let path = directory.join("requests.parquet");
        file = fs::read(&path).expect("the file");
        stored = Some(StoredTable::read(&path).expect("a table"));
    });
    (file, stored.expect("read"))
}

#[test]
fn row_groups_and_bytes_do_not_depend_on_the_batches() {
    let group = ROW_GROUP_ROWS as u64;
    let rows = 2 * group + 12_345;
    let (bytes, stored) = requests_file(rows, &[rows]);
    assert_eq!(stored.row_groups, [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 12_345]);
    let whole = table(&Table::new::<RequestRow>(), 0..rows);
    for ((name, cells), column) in stored.columns.iter().zip(&whole.columns) {
        assert!(*cells == expected(column), "{name}");
    }
    for batches in [&[rows][..], &[100_003], &[1, 7_001, 0, 65_536], &[group], &[group - 1], &[group + 1]] {
        assert!(requests_file(rows, batches).0 == bytes, "batches of {batches:?}");
    }
}

#[test]
fn a_full_row_group_is_the_last() {
    let (_, stored) = requests_file(ROW_GROUP_ROWS as u64, &[1_000]);
    assert_eq!(stored.row_groups, [ROW_GROUP_ROWS]);
}

#[test]
fn host_measurements_can_be_left_out() {
    let like = Table::new::<SummaryRow>();
    let row = table(&like, 0..1);
    written(vec![like], vec![row], |directory, _| {
        let stored = StoredTable::read(&directory.join("summary.parquet")).expect("a table");
        assert!(stored.column("wall_simulate_s").is_some());
        let rest = stored.without_wall();
        assert!(rest.len() < stored.columns.len());
        assert!(rest.iter().all(|(name, _)| !name.starts_with("wall_")));
        assert!(rest.iter().any(|(name, _)| name == "walker_utilisation"));
    });
}

#[test]
#[should_panic(expected = "was not declared")]
fn an_undeclared_table_is_a_mistake_of_the_caller() {
    let (_root, directory) = output();
    let mut writer = ReportWriter::start(&directory, &metadata(), replay_tables(), &[], WriterThread::Own)
        .expect("started");
    let _ = writer.write(Table::new::<TenantRow>());
}

/// A disk that is full: the file of a table is one that takes no byte.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_one_error_that_names_the_file() {
    use std::os::unix::fs::symlink;

    let full = || {
        let (root, directory) = output();
        symlink("/dev/full", directory.file("refused.parquet")).expect("linked");
        let writer = ReportWriter::start(&directory, &metadata(), replay_tables(), &[], WriterThread::Own)
            .expect("started");
        (root, directory, writer)
    };
    let check = |error: &ReportError| {
        assert!(matches!(error, ReportError::Write { .. }) && !error.is_bad_input(), "{error}");
        let text = error.to_string();
        assert!(text.contains("run/refused.parquet") && text.contains("No space left"), "{text}");
        assert!(!text.contains("partial"), "{text}");
    };

    // Found at the end: little was written.
    let (root, directory, writer) = full();
    check(&writer.finish().expect_err("full"));
    drop(directory);
    assert_eq!(fs::read_dir(root.path()).expect("the root").count(), 0);

    // Found under way: the writer stops, and the next tables fail.
    let (_root, _directory, mut writer) = full();
    let like = Table::new::<RefusedRow>();
    let rows = table(&like, 0..ROW_GROUP_ROWS as u64);
    let error = (0..10).find_map(|_| writer.write(rows.clone()).err()).expect("full");
    check(&error);
    assert!(writer.write(rows).is_err(), "and it stays so");
    assert!(writer.finish().is_err());
}

#[test]
fn a_directory_that_is_gone_is_an_error_at_the_start() {
    let (root, directory) = output();
    fs::remove_dir_all(root.path()).expect("removed");
    let error = ReportWriter::start(&directory, &metadata(), run_tables(Extras::ALL), &[], WriterThread::Own)
        .expect_err("gone");
    assert!(error.to_string().contains("summary.parquet"), "{error}");
}

#[test]
fn rows_of_the_engine_can_be_written() {
    let latency: Table = (0..3)
        .map(|bucket| LatencyRow {
            measure: "latency",
            op: "read",
            low_ns: bucket,
            high_ns: bucket,
            count: 1,
        })
        .collect();
    let timeline: Table = [TimelineRow {
        time_ps: 7,
        end_ps: None,
        host: 0,
        iommu: 0,
        adapter: 0,
        vf: 3,
        kind: "fault",
        detail: "not_mapped",
        iova: Some(4096),
        op: None,
    }]
    .into_iter()
    .collect();
    written(run_tables(Extras::default()), vec![latency, timeline], |directory, files| {
        assert_eq!(files.iter().map(|file| file.rows).collect::<Vec<_>>(), [0, 0, 0, 1, 3]);
        let stored = StoredTable::read(&directory.join("timeline.parquet")).expect("a table");
        assert_eq!(stored.column("iova"), Some(&Cells::U64(vec![Some(4096)])));
        assert_eq!(stored.column("op"), Some(&Cells::Text(vec![None])));
    });
}

#[test]
fn extra_columns_stand_behind_and_give_way() {
    let column = |name: &str, value| ExtraColumn { name: name.into(), meaning: "An axis.".into(), value };
    let extra = [
        column("a.b", ExtraValue::Integer(-3)),
        column("op", ExtraValue::Float(0.5)),
        column("c", ExtraValue::Boolean(true)),
        column("d", ExtraValue::Text("full".into())),
        column("e", ExtraValue::Unsigned(u64::MAX)),
        column("f", ExtraValue::Float(0.3)),
    ];
    let like = Table::new::<LatencyRow>();
    let rows = table(&like, 0..ROW_GROUP_ROWS as u64 + 5);
    let bytes = [WriterThread::Own, WriterThread::Callers].map(|thread| {
        let (_root, directory) = output();
        let mut writer = ReportWriter::start(&directory, &metadata(), vec![like.clone()], &extra, thread)
            .expect("started");
        writer.write(rows.clone()).expect("written");
        let files = writer.finish().expect("finished");
        let path = directory.publish().expect("published").join("latency.parquet");
        let bytes = fs::read(&path).expect("the file");
        assert_eq!(files[0].bytes, bytes.len() as u64);
        let mut checksum = crate::Checksum::new();
        checksum.update(&bytes);
        assert_eq!(files[0].checksum, checksum.finish());
        let stored = StoredTable::read(&path).expect("a table");
        let names: Vec<_> = stored.columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["measure", "op", "low_ns", "high_ns", "count", "a.b", "c", "d", "e", "f"]);
        assert_eq!(files[0].columns, names);
        let rows = stored.rows();
        assert_eq!(stored.column("a.b"), Some(&Cells::I64(vec![Some(-3); rows])));
        assert_eq!(stored.column("e"), Some(&Cells::U64(vec![Some(u64::MAX); rows])));
        assert_eq!(stored.column("f"), Some(&Cells::F64(vec![Some(0.3); rows])));
        assert!(matches!(stored.column("op"), Some(Cells::Text(_))), "the table's own");
        bytes
    });
    assert!(bytes[0] == bytes[1], "whichever thread writes");
}
