//! One table's Parquet file: rows in any batches in, row groups of a fixed size out.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use polars::prelude::{
    BatchedWriter, Column as Series, DataFrame, IntoColumn, KeyValueMetadata, NamedFrom, NamedFromOwned,
    ParquetCompression, ParquetWriter, PolarsError, Series as Values, StatisticsOptions,
};
use portcullis_engine::table::{Column, Field, Table};
use serde::{Deserialize, Serialize};

use crate::error::ReportError;
use crate::schema::{ROW_GROUP_ROWS, SCHEMA_VERSION, table_file_name};

/// What every file of a report carries as key-value metadata, beside `schema_version` and the
/// `meaning` of its columns (a JSON object).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Version of Portcullis, as `portcullis_version`.
    pub version: String,
    /// Seed of every stream, as `seed`.
    pub seed: u64,
    /// Name of the scenario, as `scenario`.
    pub scenario: String,
    /// The scenario in full, as `scenario_toml`.
    pub scenario_toml: String,
}

impl Metadata {
    fn key_values(&self, fields: &[Field]) -> KeyValueMetadata {
        let meaning: serde_json::Map<_, _> =
            fields.iter().map(|field| (field.name.to_owned(), field.meaning.trim().into())).collect();
        KeyValueMetadata::from_static(vec![
            ("schema_version".into(), SCHEMA_VERSION.into()),
            ("portcullis_version".into(), self.version.clone()),
            ("seed".into(), self.seed.to_string()),
            ("scenario".into(), self.scenario.clone()),
            ("scenario_toml".into(), self.scenario_toml.clone()),
            ("meaning".into(), serde_json::Value::Object(meaning).to_string()),
        ])
    }
}

/// A finished file of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its name within the directory.
    pub name: String,
    /// Rows it holds.
    pub rows: u64,
    /// Names of its columns, in order.
    pub columns: Vec<String>,
}

/// A Parquet file that is being written.
pub(crate) struct TableFile {
    table: &'static str,
    fields: &'static [Field],
    /// Where the file will be, for messages.
    shown: PathBuf,
    /// Rows of the row group that is not full yet.
    pending: Vec<Column>,
    rows: u64,
    fault: Arc<Mutex<Option<io::Error>>>,
    writer: BatchedWriter<Output>,
}

impl TableFile {
    /// Creates the file at `path`, which messages call `shown`, for rows like those of `table`.
    pub(crate) fn create(
        path: &Path,
        shown: &Path,
        metadata: &Metadata,
        table: &Table,
    ) -> Result<Self, ReportError> {
        assert!(table.is_empty(), "a table is declared without rows");
        let file = File::create(path).map_err(|error| ReportError::write(shown, error))?;
        let fault = Arc::new(Mutex::new(None));
        let output = Output { file: BufWriter::new(file), fault: Arc::clone(&fault) };
        let schema =
            frame(table.fields, table.columns.clone()).map_err(|error| ReportError::write(shown, error))?;
        let writer = ParquetWriter::new(output)
            .with_compression(ParquetCompression::Zstd(None))
            .with_statistics(StatisticsOptions::default())
            .with_key_value_metadata(Some(metadata.key_values(table.fields)))
            // Polars would start a thread a core; this thread is enough.
            .set_parallel(false)
            .batched(schema.schema())
            .map_err(|error| ReportError::write(shown, error))?;
        let pending = table.columns.clone();
        let (table, fields) = (table.name, table.fields);
        Ok(Self { table, fields, shown: shown.to_owned(), pending, rows: 0, fault, writer })
    }

    /// Name of the table.
    pub(crate) const fn table(&self) -> &'static str {
        self.table
    }

    /// Appends rows; writes every row group that becomes full.
    pub(crate) fn append(&mut self, table: Table) -> Result<(), ReportError> {
        let mut rows = table.len();
        let mut columns = table.columns;
        assert!(columns.iter().all(|column| column.len() == rows), "columns of `{}` differ", self.table);
        self.rows += rows as u64;
        while rows > 0 {
            let taken = rows.min(ROW_GROUP_ROWS - self.pending[0].len());
            for (pending, column) in self.pending.iter_mut().zip(&mut columns) {
                move_front(column, pending, taken);
            }
            rows -= taken;
            if self.pending[0].len() == ROW_GROUP_ROWS {
                self.write_row_group()?;
            }
        }
        Ok(())
    }

    /// Writes the last row group and the file's end.
    pub(crate) fn finish(mut self) -> Result<FileInfo, ReportError> {
        if !self.pending[0].is_empty() {
            self.write_row_group()?;
        }
        self.writer.finish().map_err(|error| self.failed(&error))?;
        Ok(FileInfo {
            name: table_file_name(self.table),
            rows: self.rows,
            columns: self.fields.iter().map(|field| field.name.to_owned()).collect(),
        })
    }

    fn write_row_group(&mut self) -> Result<(), ReportError> {
        let cells = self.pending.iter_mut().map(take).collect();
        let frame = frame(self.fields, cells).map_err(|error| self.failed(&error))?;
        self.writer.write_batch(&frame).map_err(|error| self.failed(&error))
    }

    /// The error of the file itself where there was one: polars wraps it in words of its own.
    fn failed(&self, error: &PolarsError) -> ReportError {
        let fault = self.fault.lock().ok().and_then(|mut fault| fault.take());
        match fault {
            Some(fault) => ReportError::write(&self.shown, fault),
            None => ReportError::write(&self.shown, error),
        }
    }
}

/// A file that remembers its first error.
struct Output {
    file: BufWriter<File>,
    fault: Arc<Mutex<Option<io::Error>>>,
}

impl Output {
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            let copy = error.raw_os_error().map_or_else(
                || io::Error::new(error.kind(), error.to_string()),
                io::Error::from_raw_os_error,
            );
            if let Ok(mut fault) = self.fault.lock() {
                fault.get_or_insert(copy);
            }
        })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.file.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file.flush();
        self.note(result)
    }
}

/// The column's cells; leaves it empty.
fn take(column: &mut Column) -> Column {
    macro_rules! taken {
        ($($variant:ident)+) => {
            match column {
                $(Column::$variant(cells) => Column::$variant(std::mem::take(cells)),)+
            }
        };
    }
    taken!(U32 U64 OptionalU64 F64 Bool Text Name OptionalName)
}

/// Moves the first `count` cells of `from` to the end of `to`, which has the same type.
fn move_front(from: &mut Column, to: &mut Column, count: usize) {
    fn move_cells<T>(from: &mut Vec<T>, to: &mut Vec<T>, count: usize) {
        let rest = from.split_off(count);
        to.append(from);
        *from = rest;
    }
    macro_rules! moved {
        ($($variant:ident)+) => {
            match (from, to) {
                $((Column::$variant(from), Column::$variant(to)) => move_cells(from, to, count),)+
                _ => unreachable!("a column keeps its type"),
            }
        };
    }
    moved!(U32 U64 OptionalU64 F64 Bool Text Name OptionalName);
}

/// The columns as polars takes them.
fn frame(fields: &[Field], columns: Vec<Column>) -> Result<DataFrame, PolarsError> {
    let columns = fields.iter().zip(columns).map(|(field, column)| series(field.name, column)).collect();
    DataFrame::new_infer_height(columns)
}

fn series(name: &str, column: Column) -> Series {
    let name = name.into();
    match column {
        // These keep the allocation.
        Column::U32(cells) => Values::from_vec(name, cells),
        Column::U64(cells) => Values::from_vec(name, cells),
        Column::F64(cells) => Values::from_vec(name, cells),
        Column::OptionalU64(cells) => Values::new(name, cells),
        Column::Bool(cells) => Values::new(name, cells),
        Column::Text(cells) => Values::new(name, cells),
        Column::Name(cells) => Values::new(name, cells),
        Column::OptionalName(cells) => Values::new(name, cells),
    }
    .into_column()
}
