//! What a run hands over is what a report holds.

use portcullis_engine::table::{Column, Table};
use portcullis_reports::{
    Cells, Extras, Metadata, ReportWriter, RunDirectory, StoredTable, WriterThread, run_tables,
};

use crate::support::{HOSTILE, custom, run_plan};

/// The cells of a column as a file should hold them.
fn cells(column: &Column) -> Cells {
    fn all<T: Clone>(cells: &[T]) -> Vec<Option<T>> {
        cells.iter().cloned().map(Some).collect()
    }
    match column {
        Column::U32(column) => Cells::U32(all(column)),
        Column::U64(column) => Cells::U64(all(column)),
        Column::OptionalU64(column) => Cells::U64(column.clone()),
        Column::F64(column) => Cells::F64(all(column)),
        Column::OptionalF64(column) => Cells::F64(column.clone()),
        Column::Bool(column) => Cells::Bool(all(column)),
        Column::Text(column) => Cells::Text(all(column)),
        Column::OptionalText(column) => Cells::Text(column.clone()),
        Column::Name(column) => Cells::Text(column.iter().map(|name| Some((*name).to_owned())).collect()),
        Column::OptionalName(column) => {
            Cells::Text(column.iter().map(|name| name.map(String::from)).collect())
        }
    }
}

#[test]
fn a_report_holds_what_the_run_left() {
    let scenario = custom(HOSTILE, &["tenants.quiet.escapes.packets_per_s=100000"]);
    let mut plan = scenario.plan();
    plan.log_requests = true;
    (plan.report.tenant_windows, plan.report.attribution, plan.report.miss_causes) = (true, true, true);
    plan.report.levels = 500;
    let outcome = run_plan(plan);
    for thread in [WriterThread::Own, WriterThread::Callers] {
        let root = tempfile::tempdir().expect("a temporary directory");
        let directory = RunDirectory::create(&root.path().join("report"), false).expect("a new directory");
        let metadata = Metadata {
            version: "0".into(),
            seed: scenario.seed,
            scenario: scenario.name.clone(),
            scenario_toml: scenario.to_toml(),
        };
        let writer = ReportWriter::start(&directory, &metadata, run_tables(Extras::ALL), &[], thread);
        let mut writer = writer.expect("files");
        outcome.tables().into_iter().for_each(|table| writer.write(table).expect("room on the disk"));
        writer.finish().expect("room on the disk");
        let report = directory.publish().expect("a report");
        for table in outcome.tables() {
            let Table { name, fields, columns } = &table;
            assert!(!table.is_empty(), "{name} has rows to compare");
            let stored = StoredTable::read(&report.join(format!("{name}.parquet"))).expect(name);
            let expected: Vec<_> = fields
                .iter()
                .zip(columns)
                .map(|(field, column)| (field.name.to_owned(), cells(column)))
                .collect();
            assert!(stored.columns == expected, "{name}");
            // The report says how it came to be.
            assert_eq!(custom(&stored.metadata["scenario_toml"], &[]), scenario, "{name}");
        }
    }
}
