//! A report under way: its directory, the thread that writes its tables, its manifest.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use portcullis_engine::table::Table;
use portcullis_reports::{
    ExtraColumn, Machine, Manifest, Metadata, ReportError, ReportWriter, RunDirectory, WriterThread,
    utc_compact, utc_rfc3339,
};

use crate::arguments::OutputArguments;
use crate::failure::{Failure, one_line};
use crate::interrupt;

/// Where reports go unless the user says otherwise.
pub const DEFAULT_PARENT: &str = "runs";

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        match error.is_full_disk() {
            true => Self::FullDisk(one_line(&error.to_string())),
            false if error.is_bad_input() => Self::bad_input(error),
            false => Self::failed(error),
        }
    }
}

/// What a report is about.
pub struct About {
    /// `run`, `replay` or `sweep`.
    pub command: &'static str,
    /// The scenario's name, or the trace's; part of the default directory's name.
    pub name: String,
    /// The scenario in full, as TOML.
    pub scenario_toml: String,
    /// The trace that is replayed; none for a run.
    pub trace: Option<String>,
    /// The point of the sweep; none elsewhere.
    pub point: Option<u64>,
    /// The classes that are also simulated alone.
    pub alone: Vec<String>,
    /// The classes that a second simulation leaves out.
    pub without: Vec<String>,
    /// Seed of every stream.
    pub seed: u64,
    /// Threads that simulate.
    pub threads: usize,
}

impl About {
    /// What every file of the report carries.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            version: env!("CARGO_PKG_VERSION").into(),
            seed: self.seed,
            scenario: self.name.clone(),
            scenario_toml: self.scenario_toml.clone(),
        }
    }
}

/// A report under way. Dropped before it is published, it leaves nothing behind.
pub struct Report {
    // Fields drop in order: the writer has closed its files when the directory goes.
    writer: ReportWriter,
    directory: RunDirectory,
    about: About,
    started: SystemTime,
    clock: Instant,
}

impl Report {
    /// Opens the output before anything is simulated, so that a bad place is known at once.
    ///
    /// # Errors
    /// The directory exists and may not be replaced, or cannot be created.
    pub fn open(about: About, output: &OutputArguments, tables: Vec<Table>) -> Result<Self, Failure> {
        let directory = match &output.out {
            Some(path) => RunDirectory::create(path, output.force)?,
            None => default_directory(&format!("{}-{}", about.name, utc_compact(SystemTime::now())))?,
        };
        Self::open_in(directory, about, tables, &[], WriterThread::Own)
    }

    /// Opens the tables in `directory`, with the `extra` columns, to be written on `thread`.
    ///
    /// # Errors
    /// A file or the thread cannot be created.
    pub fn open_in(
        directory: RunDirectory,
        about: About,
        tables: Vec<Table>,
        extra: &[ExtraColumn],
        thread: WriterThread,
    ) -> Result<Self, Failure> {
        let (started, clock) = (SystemTime::now(), Instant::now());
        let writer = ReportWriter::start(&directory, &about.metadata(), tables, extra, thread)?;
        Ok(Self { writer, directory, about, started, clock })
    }

    /// Hands rows to the writer's thread.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub fn write(&mut self, tables: impl IntoIterator<Item = Table>) -> Result<(), Failure> {
        for table in tables.into_iter().filter(|table| !table.is_empty()) {
            self.writer.write(table)?;
        }
        Ok(())
    }

    /// Ends the tables, adds the manifest and puts the directory in its place.
    ///
    /// # Errors
    /// The disk is full, or fails; the user asked to stop.
    pub fn publish(self) -> Result<PathBuf, Failure> {
        let directory = self.finish()?;
        interrupt::check()?;
        Ok(directory.publish()?)
    }

    /// Ends the tables and adds the manifest; the directory is whole, and still to be published.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub fn finish(self) -> Result<RunDirectory, Failure> {
        let Self { writer, directory, about, started, clock } = self;
        let files = writer.finish()?;
        Manifest {
            command: about.command.into(),
            scenario: about.name,
            scenario_toml: about.scenario_toml,
            trace: about.trace,
            point: about.point,
            alone: about.alone,
            without: about.without,
            seed: about.seed,
            version: env!("CARGO_PKG_VERSION").into(),
            commit: Some(env!("PORTCULLIS_COMMIT")).filter(|commit| *commit != "unknown").map(Into::into),
            machine: machine().clone(),
            threads: about.threads as u64,
            started: utc_rfc3339(started),
            wall_s: clock.elapsed().as_secs_f64(),
            files,
        }
        .write(&directory)?;
        Ok(directory)
    }
}

/// This machine, looked at once.
fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(Machine::detect)
}

/// A directory of this name that no other process writes to; the name gets a number if it is taken.
fn default_directory(name: &str) -> Result<RunDirectory, Failure> {
    let mut number = 1_u32;
    loop {
        let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
        match RunDirectory::create(&Path::new(DEFAULT_PARENT).join(&name), false) {
            Err(ReportError::Exists { .. }) => {}
            Ok(directory) if is_alone(&directory, &name) => return Ok(directory),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        number += 1;
    }
}

/// Whether no other process prepares, or has just published, a directory of the same name. Of two
/// that prepare it at once at least the later one sees the other and takes another name.
fn is_alone(directory: &RunDirectory, name: &str) -> bool {
    let prefix = format!(".{name}.partial-");
    let Ok(entries) = fs::read_dir(DEFAULT_PARENT) else { return true };
    let preparing =
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).count();
    preparing == 1 && !directory.path().exists()
}
