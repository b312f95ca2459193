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

use crate::checksum::Checksum;
use crate::error::ReportError;
use crate::extra::ExtraColumn;
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
    pub(crate) fn key_values<'a>(
        &self,
        meanings: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> KeyValueMetadata {
        let meaning: serde_json::Map<_, _> =
            meanings.map(|(name, meaning)| (name.to_owned(), meaning.trim().into())).collect();
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
    /// Its size.
    pub bytes: u64,
    /// `xxh3:` and the XXH3 of its bytes, 64 bits in hexadecimal digits, as `xxhsum -H3` prints it.
    pub checksum: String,
    /// Names of its columns, in order.
    pub columns: Vec<String>,
}

/// A Parquet file that is being written.
pub(crate) struct TableFile {
    table: &'static str,
    fields: &'static [Field],
    /// Columns that the table has in this report only, the same in every row.
    extra: Vec<ExtraColumn>,
    /// Where the file will be, for messages.
    shown: PathBuf,
    /// Rows of the row group that is not full yet.
    pending: Vec<Column>,
    rows: u64,
    /// What the output knows of itself: polars keeps the output, and its errors in words of its own.
    state: Arc<Mutex<OutputState>>,
    writer: BatchedWriter<Output>,
}

impl TableFile {
    /// Creates the file at `path`, which messages call `shown`, for rows like those of `table` with
    /// the `extra` columns that the table does not have itself.
    pub(crate) fn create(
        path: &Path,
        shown: &Path,
        metadata: &Metadata,
        table: &Table,
        extra: &[ExtraColumn],
    ) -> Result<Self, ReportError> {
        assert!(table.is_empty(), "a table is declared without rows");
        let is_new = |column: &&ExtraColumn| table.fields.iter().all(|field| field.name != column.name);
        let extra: Vec<ExtraColumn> = extra.iter().filter(is_new).cloned().collect();
        let meanings = table.fields.iter().map(|field| (field.name, field.meaning));
        let of_extra = extra.iter().map(|column| (column.name.as_str(), column.meaning.as_str()));
        let metadata = metadata.key_values(meanings.chain(of_extra));
        let schema = frame(table.fields, table.columns.clone(), &extra)
            .map_err(|error| ReportError::write(shown, &io::Error::other(error)))?;
        let (writer, state) = open(path, shown, metadata, &schema)?;
        let pending = table.columns.clone();
        let (table, fields) = (table.name, table.fields);
        Ok(Self { table, fields, extra, shown: shown.to_owned(), pending, rows: 0, state, writer })
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
        self.writer.finish().map_err(|error| failed(&self.shown, &self.state, error))?;
        let columns = self.fields.iter().map(|field| field.name.to_owned());
        let columns = columns.chain(self.extra.into_iter().map(|column| column.name)).collect();
        Ok(file_info(table_file_name(self.table), self.rows, columns, &self.state))
    }

    fn write_row_group(&mut self) -> Result<(), ReportError> {
        let cells = self.pending.iter_mut().map(take).collect();
        frame(self.fields, cells, &self.extra)
            .and_then(|frame| self.writer.write_batch(&frame))
            .map_err(|error| failed(&self.shown, &self.state, error))
    }
}

/// Creates a Parquet file with the columns of `schema`, and what its output knows of itself.
pub(crate) fn open(
    path: &Path,
    shown: &Path,
    metadata: KeyValueMetadata,
    schema: &DataFrame,
) -> Result<(BatchedWriter<Output>, Arc<Mutex<OutputState>>), ReportError> {
    let file = File::create(path).map_err(|error| ReportError::write(shown, &error))?;
    let state = Arc::new(Mutex::new(OutputState::default()));
    let output = Output { file: BufWriter::new(file), state: Arc::clone(&state) };
    let writer = ParquetWriter::new(output)
        .with_compression(ParquetCompression::Zstd(None))
        .with_statistics(StatisticsOptions::default())
        .with_key_value_metadata(Some(metadata))
        // Polars would start a thread a core; this thread is enough.
        .set_parallel(false)
        .batched(schema.schema())
        .map_err(|error| failed(shown, &state, error))?;
    Ok((writer, state))
}

/// The error of the file itself where there was one: polars wraps it in words of its own.
pub(crate) fn failed(shown: &Path, state: &Mutex<OutputState>, error: PolarsError) -> ReportError {
    let fault = state.lock().ok().and_then(|mut state| state.fault.take());
    ReportError::write(shown, &fault.unwrap_or_else(|| io::Error::other(error)))
}

/// What the manifest says of a finished file.
fn file_info(name: String, rows: u64, columns: Vec<String>, state: &Mutex<OutputState>) -> FileInfo {
    let state = state.lock().expect("the writer has not panicked");
    FileInfo { name, rows, bytes: state.bytes, checksum: state.checksum.finish(), columns }
}

/// A file that knows what was written to it, and remembers its first error.
pub(crate) struct Output {
    file: BufWriter<File>,
    state: Arc<Mutex<OutputState>>,
}

/// What an [`Output`] knows of itself.
#[derive(Default)]
pub(crate) struct OutputState {
    bytes: u64,
    checksum: Checksum,
    fault: Option<io::Error>,
}

impl Output {
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            let copy = error.raw_os_error().map_or_else(
                || io::Error::new(error.kind(), error.to_string()),
                io::Error::from_raw_os_error,
            );
            if let Ok(mut state) = self.state.lock() {
                state.fault.get_or_insert(copy);
            }
        })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.file.write(bytes);
        if let (Ok(written), Ok(mut state)) = (&result, self.state.lock()) {
            state.bytes += *written as u64;
            state.checksum.update(&bytes[..*written]);
        }
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
    taken!(U32 U64 OptionalU64 F64 OptionalF64 Bool Text OptionalText Name OptionalName)
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
    moved!(U32 U64 OptionalU64 F64 OptionalF64 Bool Text OptionalText Name OptionalName);
}

/// The columns as polars takes them, followed by the extra ones, the same in every row.
fn frame(fields: &[Field], columns: Vec<Column>, extra: &[ExtraColumn]) -> Result<DataFrame, PolarsError> {
    let rows = columns.first().map_or(0, Column::len);
    let own = fields.iter().zip(columns).map(|(field, column)| series(field.name, column));
    let extra = extra.iter().map(|column| column.value.series(&column.name, rows));
    DataFrame::new_infer_height(own.chain(extra).collect())
}

fn series(name: &str, column: Column) -> Series {
    let name = name.into();
    match column {
        // These keep the allocation.
        Column::U32(cells) => Values::from_vec(name, cells),
        Column::U64(cells) => Values::from_vec(name, cells),
        Column::F64(cells) => Values::from_vec(name, cells),
        Column::OptionalU64(cells) => Values::new(name, cells),
        Column::OptionalF64(cells) => Values::new(name, cells),
        Column::Bool(cells) => Values::new(name, cells),
        Column::Text(cells) => Values::new(name, cells),
        Column::OptionalText(cells) => Values::new(name, cells),
        Column::Name(cells) => Values::new(name, cells),
        Column::OptionalName(cells) => Values::new(name, cells),
    }
    .into_column()
}
