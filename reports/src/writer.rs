//! The writer thread: tables go in through a bounded channel and come out as Parquet files.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use portcullis_engine::table::Table;

use crate::directory::RunDirectory;
use crate::error::ReportError;
use crate::schema::table_file_name;
use crate::table_file::{FileInfo, Metadata, TableFile};

/// Tables that may wait for the writer; a full channel holds up the run, not the memory.
const WAITING_TABLES: usize = 2;

/// Writes the tables of a run while it goes on, on a thread of its own.
///
/// Memory is bounded by one row group a table and the few tables that wait. The bytes of a file
/// depend on the rows and their order, never on how they were cut into tables.
#[derive(Debug)]
pub struct ReportWriter {
    /// Empty tables: what was declared.
    declared: Vec<Table>,
    /// `None` once the writer has failed.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    sender: SyncSender<Table>,
    thread: JoinHandle<Result<Vec<FileInfo>, ReportError>>,
}

impl ReportWriter {
    /// Opens one file in `directory` for each of `tables`, which hold no rows, and starts the writer.
    ///
    /// # Errors
    /// If a file or the thread cannot be created.
    pub fn start(
        directory: &RunDirectory,
        metadata: &Metadata,
        tables: Vec<Table>,
    ) -> Result<Self, ReportError> {
        let files = tables
            .iter()
            .map(|table| {
                let name = table_file_name(table.name);
                let shown = directory.path().join(&name);
                TableFile::create(&directory.file(&name), &shown, metadata, table)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (sender, receiver) = sync_channel(WAITING_TABLES);
        let thread = Builder::new()
            .name("report".into())
            .spawn(move || write_all(files, &receiver))
            .map_err(|error| ReportError::write(directory.path(), error))?;
        Ok(Self { declared: tables, running: Some(Running { sender, thread }) })
    }

    /// Appends the rows of `table` to the file of its name; waits while the writer is behind.
    ///
    /// # Errors
    /// If writing has failed, be it for an earlier table.
    ///
    /// # Panics
    /// If no such table was declared.
    pub fn write(&mut self, table: Table) -> Result<(), ReportError> {
        let declared =
            self.declared.iter().any(|known| known.name == table.name && known.fields == table.fields);
        assert!(declared, "table `{}` was not declared with these columns", table.name);
        let Some(running) = &self.running else { return Err(already_failed(table.name)) };
        if running.sender.send(table).is_ok() {
            return Ok(());
        }
        let running = self.running.take().expect("looked at above");
        match running.join() {
            Err(error) => Err(error),
            Ok(_) => unreachable!("the writer ends without an error only when its channel is closed"),
        }
    }

    /// Writes what is left and the ends of the files; returns them in the order of declaration.
    ///
    /// # Errors
    /// If writing has failed.
    pub fn finish(self) -> Result<Vec<FileInfo>, ReportError> {
        match self.running {
            Some(running) => running.join(),
            None => Err(already_failed("report")),
        }
    }
}

impl Running {
    /// Closes the channel and waits for the writer's last word.
    fn join(self) -> Result<Vec<FileInfo>, ReportError> {
        drop(self.sender);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn already_failed(name: &str) -> ReportError {
    ReportError::write(name.as_ref(), "writing has failed before")
}

/// The life of the writer thread.
fn write_all(mut files: Vec<TableFile>, receiver: &Receiver<Table>) -> Result<Vec<FileInfo>, ReportError> {
    for table in receiver {
        let file = files.iter_mut().find(|file| file.table() == table.name).expect("declared");
        file.append(table)?;
    }
    files.into_iter().map(TableFile::finish).collect()
}
