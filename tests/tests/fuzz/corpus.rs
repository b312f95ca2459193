//! What mutations begin with: the kept corpus, and what the project has anyway.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_engine::table::{Column, Field, Table};
use portcullis_reports::{Metadata, ReportWriter, RunDirectory, WriterThread};
use portcullis_workloads::{builtins, machines};

/// Where the kept corpus of a target lies.
pub fn directory(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The files of a target's corpus, in the order of their names.
pub fn kept(target: &str) -> Vec<Vec<u8>> {
    let entries =
        fs::read_dir(directory(target)).unwrap_or_else(|error| panic!("corpus of {target}: {error}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

/// The scenarios and machines that are built in.
pub fn built_in() -> Vec<Vec<u8>> {
    let scenarios = builtins().iter().map(|builtin| builtin.toml.as_bytes().to_vec());
    scenarios.chain(machines().iter().map(|machine| machine.toml.as_bytes().to_vec())).collect()
}

/// A small trace in Parquet.
pub fn parquet() -> Vec<u8> {
    const FIELDS: &[Field] = &[
        Field { name: "event", meaning: "" },
        Field { name: "device", meaning: "" },
        Field { name: "domain", meaning: "" },
        Field { name: "iova", meaning: "" },
        Field { name: "pa", meaning: "" },
        Field { name: "size", meaning: "" },
        Field { name: "perm", meaning: "" },
        Field { name: "length", meaning: "" },
        Field { name: "op", meaning: "" },
    ];
    let optional =
        |cells: [u64; 4]| Column::OptionalU64(cells.map(|cell| (cell > 0).then_some(cell)).to_vec());
    let columns = vec![
        Column::Name(vec!["attach", "map", "dma", "unmap"]),
        optional([8, 0, 8, 0]),
        optional([1, 1, 0, 1]),
        optional([0, 4096, 4096, 4096]),
        optional([0, 8192, 0, 0]),
        optional([0, 4096, 0, 4096]),
        Column::OptionalName(vec![None, Some("rw"), None, None]),
        optional([0, 0, 64, 0]),
        Column::OptionalName(vec![None, None, Some("r"), None]),
    ];
    let table = Table { name: "events", fields: FIELDS, columns };
    let empty = Table { columns: table.columns.iter().map(empty_like).collect(), ..table.clone() };
    let root = tempfile::tempdir().expect("a temporary directory");
    let directory = RunDirectory::create(&root.path().join("trace"), false).expect("a directory");
    let text = String::new;
    let metadata = Metadata { version: text(), seed: 0, scenario: text(), scenario_toml: text() };
    let mut writer =
        ReportWriter::start(&directory, &metadata, vec![empty], &[], WriterThread::Callers).expect("a file");
    writer.write(table).expect("room for it");
    writer.finish().expect("a whole file");
    fs::read(directory.file("events.parquet")).expect("the file")
}

fn empty_like(column: &Column) -> Column {
    match column {
        Column::Name(_) => Column::Name(Vec::new()),
        Column::OptionalName(_) => Column::OptionalName(Vec::new()),
        _ => Column::OptionalU64(Vec::new()),
    }
}
