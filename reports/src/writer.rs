//! Tables go in and come out as Parquet files: through a bounded channel to a thread of its own, or
//! on the caller's.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use portcullis_engine::table::Table;

use crate::directory::RunDirectory;
use crate::error::ReportError;
use crate::extra::ExtraColumn;
use crate::schema::table_file_name;
use crate::table_file::{FileInfo, Metadata, TableFile};

/// Tables that may wait for the writer; a full channel holds up the run, not the memory.
const WAITING_TABLES: usize = 2;

/// Writes the tables of a run while it goes on: on a thread of its own, or, where many runs keep all
/// processors busy, on the caller's.
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

/// Where tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterThread {
    /// On a thread beside the run.
    Own,
    /// On the thread that hands them over.
    Callers,
}

enum Running {
    Thread { sender: SyncSender<Table>, thread: JoinHandle<Result<Vec<FileInfo>, ReportError>> },
    Here(Vec<TableFile>),
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Thread { .. } => "Thread",
            Self::Here(_) => "Here",
        })
    }
}

impl ReportWriter {
    /// Opens one file in `directory` for each of `tables`, which hold no rows, with the `extra`
    /// columns, and starts the writer.
    ///
    /// # Errors
    /// If a file or the thread cannot be created.
    pub fn start(
        directory: &RunDirectory,
        metadata: &Metadata,
        tables: Vec<Table>,
        extra: &[ExtraColumn],
        thread: WriterThread,
    ) -> Result<Self, ReportError> {
        let files = tables
            .iter()
            .map(|table| {
                let name = table_file_name(table.name);
                let shown = directory.path().join(&name);
                TableFile::create(&directory.file(&name), &shown, metadata, table, extra)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let running = match thread {
            WriterThread::Callers => Running::Here(files),
            WriterThread::Own => {
                Running::start(files).map_err(|error| ReportError::write(directory.path(), &error))?
            }
        };
        Ok(Self { declared: tables, running: Some(running) })
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
        match &mut self.running {
            None => Err(already_failed(table.name)),
            Some(Running::Here(files)) => append(files, table).inspect_err(|_| self.running = None),
            Some(Running::Thread { sender, .. }) => {
                if sender.send(table).is_ok() {
                    return Ok(());
                }
                match self.running.take().expect("looked at above").finish() {
                    Err(error) => Err(error),
                    Ok(_) => unreachable!("the writer ends without an error only when its channel is closed"),
                }
            }
        }
    }

    /// Writes what is left and the ends of the files; returns them in the order of declaration.
    ///
    /// # Errors
    /// If writing has failed.
    pub fn finish(self) -> Result<Vec<FileInfo>, ReportError> {
        match self.running {
            Some(running) => running.finish(),
            None => Err(already_failed("report")),
        }
    }
}

impl Running {
    /// Starts the thread.
    fn start(files: Vec<TableFile>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_TABLES);
        let thread = Builder::new().name("report".into()).spawn(move || write_all(files, &receiver))?;
        Ok(Self::Thread { sender, thread })
    }

    /// Writes what is left; a thread has its channel closed, and says its last word.
    fn finish(self) -> Result<Vec<FileInfo>, ReportError> {
        match self {
            Self::Here(files) => files.into_iter().map(TableFile::finish).collect(),
            Self::Thread { sender, thread } => {
                drop(sender);
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
        }
    }
}

fn already_failed(name: &str) -> ReportError {
    ReportError::write(name.as_ref(), &io::Error::other("writing has failed before"))
}

/// The life of the writer thread.
fn write_all(mut files: Vec<TableFile>, receiver: &Receiver<Table>) -> Result<Vec<FileInfo>, ReportError> {
    for table in receiver {
        append(&mut files, table)?;
    }
    files.into_iter().map(TableFile::finish).collect()
}

/// Appends the rows to the file of their table.
fn append(files: &mut [TableFile], table: Table) -> Result<(), ReportError> {
    files.iter_mut().find(|file| file.table() == table.name).expect("declared").append(table)
}
