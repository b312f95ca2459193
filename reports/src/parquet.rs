//! A Parquet file as columns of Arrow arrays, a range of rows at a time.
//!
//! The types come from the Parquet schema alone: an embedded Arrow schema would only ask for
//! encodings (dictionaries, large strings) that polars would have to convert.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;

use polars_arrow::array::Array;
use polars_arrow::datatypes::ArrowSchema;
use polars_buffer::Buffer;
use polars_parquet::parquet::page::CompressedPage;
use polars_parquet::read::schema::parquet_to_arrow_schema;
use polars_parquet::read::{
    BasicDecompressor, ColumnChunkMetadata, FileMetadata, Filter, PageReader, RowGroupMetadata,
    column_iter_to_arrays, read_metadata,
};

use crate::error::ReportError;

/// An open Parquet file.
pub(crate) struct ParquetFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    metadata: FileMetadata,
    schema: ArrowSchema,
}

impl ParquetFile {
    /// Opens the file and reads its metadata.
    pub(crate) fn open(path: &Path) -> Result<Self, ReportError> {
        let failed = |error: &dyn ToString| ReportError::read(path, error.to_string());
        let mut file = File::open(path).map_err(|error| failed(&error))?;
        let status = file.metadata().map_err(|error| failed(&error))?;
        if status.is_dir() {
            return Err(failed(&"it is a directory"));
        }
        let bytes = status.len();
        let (metadata, schema) = guarded(|| {
            let metadata = read_metadata(&mut file).map_err(|error| error.to_string())?;
            let schema = schema_of(&metadata)?;
            Ok((metadata, schema))
        })
        .map_err(|problem| failed(&not_parquet(&problem)))?;
        Ok(Self { path: path.to_owned(), file, bytes, metadata, schema })
    }

    /// Names and types of the columns, in order.
    pub(crate) const fn schema(&self) -> &ArrowSchema {
        &self.schema
    }

    /// Rows of each row group.
    pub(crate) fn row_groups(&self) -> Vec<usize> {
        self.metadata.row_groups.iter().map(RowGroupMetadata::num_rows).collect()
    }

    /// The key-value metadata.
    pub(crate) fn key_values(&self) -> BTreeMap<String, String> {
        let pairs = self.metadata.key_value_metadata.iter().flatten();
        pairs.map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default())).collect()
    }

    /// Reads one column of a row group from the file, still encoded.
    pub(crate) fn read_chunk(&mut self, row_group: usize, column: usize) -> Result<Chunk, ReportError> {
        let range = guarded(|| Ok(self.column(row_group, column).byte_range()))
            .map_err(|problem| self.corrupt(&problem))?;
        if range.start > range.end || range.end > self.bytes {
            return Err(self.corrupt("a column lies beyond the end of the file"));
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.file
            .seek(SeekFrom::Start(range.start))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|error| ReportError::read(&self.path, error))?;
        let chunk = Chunk { row_group, column, bytes: Buffer::from_vec(bytes) };
        guarded(|| self.check_pages(&chunk)).map_err(|problem| self.corrupt(&problem))?;
        Ok(chunk)
    }

    /// Checks that the chunk's pages hold the rows of its row group. Polars reserves memory by
    /// what the page headers say: a damaged one would end the process.
    fn check_pages(&self, chunk: &Chunk) -> Result<(), String> {
        let rows = self.metadata.row_groups[chunk.row_group].num_rows();
        let mut left = rows;
        for page in self.pages(chunk) {
            if let CompressedPage::Data(page) = page.map_err(|error| error.to_string())? {
                left = left.checked_sub(page.num_values()).ok_or("a column has too many values")?;
            }
        }
        if left == 0 { Ok(()) } else { Err("a column has too few values".into()) }
    }

    /// The pages of a chunk, from the first.
    fn pages(&self, chunk: &Chunk) -> PageReader {
        let metadata = self.column(chunk.row_group, chunk.column);
        PageReader::new(Cursor::new(chunk.bytes.clone()), metadata, Vec::new(), usize::MAX)
    }

    /// The cells of `rows`, counted within the chunk's row group.
    pub(crate) fn decode(&self, chunk: &Chunk, rows: Range<usize>) -> Result<Box<dyn Array>, ReportError> {
        let (_, field) = self.schema.get_at_index(chunk.column).expect("a chunk of this file");
        let wanted = rows.len();
        let array = guarded(|| {
            let metadata = self.column(chunk.row_group, chunk.column);
            let (mut arrays, _) = column_iter_to_arrays(
                vec![BasicDecompressor::new(self.pages(chunk), Vec::new())],
                vec![&metadata.descriptor().descriptor.primitive_type],
                field.clone(),
                Some(Filter::new_ranged(rows.start, rows.end)),
            )
            .map_err(|error| error.to_string())?;
            match arrays.pop() {
                Some(array) if arrays.is_empty() && array.len() == wanted => Ok(array),
                _ => Err(format!("column `{}` does not have the rows its row group has", field.name)),
            }
        });
        array.map_err(|problem| self.corrupt(&problem))
    }

    fn column(&self, row_group: usize, column: usize) -> &ColumnChunkMetadata {
        &self.metadata.row_groups[row_group].parquet_columns()[column]
    }

    fn corrupt(&self, problem: &str) -> ReportError {
        ReportError::read(&self.path, format!("it is damaged: {}", one_line(problem)))
    }
}

/// One column of a row group, as it lies in the file.
pub(crate) struct Chunk {
    row_group: usize,
    /// Index of the column in the schema.
    column: usize,
    bytes: Buffer<u8>,
}

/// The schema, if every column is a flat one and every row group has it.
fn schema_of(metadata: &FileMetadata) -> Result<ArrowSchema, String> {
    let fields = metadata.schema().fields();
    let schema = parquet_to_arrow_schema(fields);
    if schema.len() != fields.len() {
        return Err("a column name occurs twice".into());
    }
    if let Some(field) = schema.iter_values().find(|field| field.dtype.is_nested()) {
        return Err(format!("column `{}` is nested", field.name));
    }
    Ok(schema)
}

fn not_parquet(problem: &str) -> String {
    format!("it is no whole Parquet file: {}", one_line(problem))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

thread_local! {
    /// Whether a panic of this thread is about a file's content and will be caught.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `read`; a panic of polars over a damaged file becomes an error, and prints nothing.
fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static QUIET_HOOK: Once = Once::new();
    QUIET_HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                others(panic);
            }
        }));
    });
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(false);
    result.unwrap_or_else(|_| Err("its content makes no sense".into()))
}
