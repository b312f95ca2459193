//! Reports of Portcullis: the directory of a run, its Parquet tables and manifest, the data set of a
//! sweep, and reading events and tables back from Parquet.
//!
//! The only crate that links polars.

mod checksum;
mod clock;
mod directory;
mod error;
mod events;
mod extra;
mod machine;
mod manifest;
mod parquet;
mod read_back;
mod schema;
pub mod sweep;
mod table_file;
mod writer;

pub use checksum::Checksum;
pub use clock::{utc_compact, utc_rfc3339};
pub use directory::RunDirectory;
pub use error::ReportError;
pub use events::ParquetEvents;
pub use extra::{ExtraColumn, ExtraValue};
pub use machine::Machine;
pub use manifest::{MANIFEST_FILE, Manifest};
pub use read_back::{Cells, StoredTable};
pub use schema::{Extras, ROW_GROUP_ROWS, SCHEMA_VERSION, replay_tables, run_tables, schema_markdown};
pub use table_file::{FileInfo, Metadata};
pub use writer::{ReportWriter, WriterThread};

#[cfg(test)]
mod tests;
