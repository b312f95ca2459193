//! The directory itself: starting in it, its points, and what happens at the end.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::failed::{self, FAILED_DIRECTORY, FailedPoint};
use super::intervals::{self, INTERVALS_FILE};
use super::part::{self, Expected, PointState};
use super::record::{RECORD_FILE, SweepRecord};
use super::shard::Shard;
use super::workspace::{self, LOCK_FILE, StartLock, Worker, Workspace};
use crate::directory::{CreatedParents, RunDirectory, exists, foreign_entry, parent_of, sync};
use crate::error::ReportError;
use crate::extra::ExtraColumn;
use crate::table_file::Metadata;

/// How the directory of a point is called.
const POINT_PREFIX: &str = "point=";

/// What is written to see whether anything can be.
const PROBE_BYTES: usize = 1 << 20;

/// The name of the directory of a point.
#[must_use]
pub fn point_name(point: u64) -> String {
    format!("{POINT_PREFIX}{point:06}")
}

/// Whether a directory is a point's by its name.
pub(super) fn is_point_name(name: &str) -> bool {
    name.strip_prefix(POINT_PREFIX)
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The directory of a sweep, in which this process works on the points of its shard.
#[derive(Debug)]
pub struct SweepDirectory {
    path: PathBuf,
    workspace: Workspace,
}

impl SweepDirectory {
    /// Begins the sweep `record` at `path`, or goes on with it. With `force`, what Portcullis wrote
    /// there before is removed first.
    ///
    /// # Errors
    /// Something else is there, or another sweep; a process works on the same points; nothing can be
    /// created.
    pub fn open(path: &Path, record: &SweepRecord, shard: Shard, force: bool) -> Result<Self, ReportError> {
        path.file_name().ok_or_else(|| ReportError::create(path, "it does not end in a name"))?;
        if exists(path) {
            check_ours(path, force)?;
        }
        let create = |error: io::Error| ReportError::create(path, error);
        let mut created = CreatedParents::create(path).map_err(create)?;
        if !path.is_dir() {
            return Err(ReportError::create(
                path,
                format!("`{}` is not a directory", parent_of(path).display()),
            ));
        }
        let lock = match StartLock::acquire(path) {
            Ok(lock) => lock,
            Err(error) => {
                let _ = fs::remove_file(path.join(LOCK_FILE));
                return Err(create(error));
            }
        };
        let started = Self::start(path, record, shard, force);
        if started.is_err() && !path.join(RECORD_FILE).exists() {
            // Nothing was begun, so nothing stays; whoever waits for the lock makes it anew.
            let _ = fs::remove_file(path.join(LOCK_FILE));
        } else {
            created.keep();
        }
        drop(lock);
        started
    }

    /// Looks at who works here, compares the plans, and makes the workspace. The start lock is held.
    fn start(path: &Path, record: &SweepRecord, shard: Shard, force: bool) -> Result<Self, ReportError> {
        check_ours(path, force)?;
        let living = workspace::clean(path).map_err(|error| ReportError::create(path, error))?;
        let rival =
            if force { living.first() } else { living.iter().find(|worker| worker.shard.overlaps(shard)) };
        if let Some(Worker { process, shard }) = rival {
            let problem = format!("is at work: process {process} sweeps its shard {shard}");
            return Err(ReportError::refused(path, problem));
        }
        if force {
            remove_all(path).map_err(|error| ReportError::write(path, &error))?;
        } else if exists(&path.join(RECORD_FILE))
            && let Some(difference) = SweepRecord::read(path)?.difference(record)
        {
            return Err(ReportError::refused(
                path,
                format!(
                    "holds another sweep: {difference}; --out takes another directory, --force starts anew"
                ),
            ));
        }
        let workspace = Workspace::create(path, shard).map_err(|error| ReportError::create(path, error))?;
        let directory = Self { path: path.to_owned(), workspace };
        directory.write_record(record)?;
        Ok(directory)
    }

    /// Writes the plan unless it is there.
    fn write_record(&self, record: &SweepRecord) -> Result<(), ReportError> {
        let target = self.path.join(RECORD_FILE);
        if exists(&target)
            && SweepRecord::read(&self.path).is_ok_and(|there| there.difference(record).is_none())
        {
            return Ok(());
        }
        let partial = self.workspace.path().join(RECORD_FILE);
        write_synced(&partial, record.to_json().as_bytes())
            .and_then(|()| fs::rename(&partial, &target))
            .and_then(|()| sync(&self.path))
            .map_err(|error| ReportError::write(&target, &error))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the report of a point is, or will be.
    #[must_use]
    pub fn point_path(&self, point: u64) -> PathBuf {
        self.path.join(point_name(point))
    }

    /// The state of a point; reads every byte of it. A damaged one is removed.
    ///
    /// # Errors
    /// A damaged one cannot be removed.
    pub fn state(&self, expected: Expected<'_>) -> Result<PointState, ReportError> {
        let path = self.point_path(expected.point);
        let state = part::state(&path, expected);
        if matches!(state, PointState::Damaged(_)) {
            let aside = self.workspace.path().join(format!("damaged-{}", expected.point));
            fs::rename(&path, &aside)
                .and_then(|()| fs::remove_dir_all(&aside))
                .map_err(|error| ReportError::write(&path, &error))?;
        }
        Ok(state)
    }

    /// Prepares the report of a point: it appears when it is published.
    ///
    /// # Errors
    /// Nothing can be created.
    pub fn create_point(&self, point: u64) -> Result<RunDirectory, ReportError> {
        RunDirectory::within(self.workspace.path(), &self.point_path(point))
    }

    /// Notes that a point failed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn record_failure(&self, failed: &FailedPoint) -> Result<(), ReportError> {
        failed::record(&self.path, self.workspace.path(), failed)
            .map_err(|error| ReportError::write(&self.path.join(FAILED_DIRECTORY), &error))
    }

    /// Forgets that a point failed before: it is finished now.
    ///
    /// # Errors
    /// The note of it cannot be removed.
    pub fn forget_failure(&self, point: u64) -> Result<(), ReportError> {
        failed::forget(&self.path, point)
            .map_err(|error| ReportError::write(&self.path.join(FAILED_DIRECTORY), &error))
    }

    /// Whether anything can still be written here.
    ///
    /// # Errors
    /// What the disk says.
    pub fn probe(&self) -> Result<(), ReportError> {
        let path = self.workspace.path().join("probe");
        let written = write_synced(&path, &vec![0x5a; PROBE_BYTES]);
        let _ = fs::remove_file(&path);
        written.map_err(|error| ReportError::write(&self.path, &error))
    }

    /// Writes `intervals.parquet` if all of the sweep's points are there.
    /// `axes` gives the columns of a combination of the axes' values.
    ///
    /// # Errors
    /// A summary cannot be read, or the file not be written.
    pub fn write_intervals(
        &self,
        record: &SweepRecord,
        metadata: &Metadata,
        axes: &dyn Fn(u64) -> Vec<ExtraColumn>,
    ) -> Result<bool, ReportError> {
        let Some(repeat) = record.repeat else { return Ok(false) };
        let target = self.path.join(INTERVALS_FILE);
        let failed = |error: io::Error| ReportError::write(&target, &error);
        if self.count_points().map_err(failed)? < record.points {
            // An older file may stay: the plan is the same, and so are its numbers.
            return Ok(false);
        }
        let partial = self.workspace.path().join(INTERVALS_FILE);
        let summary = |point: u64| self.point_path(point).join("summary.parquet");
        intervals::write(&partial, &target, metadata, (record.points / repeat, repeat), &summary, axes)?;
        sync(&partial)
            .and_then(|()| fs::rename(&partial, &target))
            .and_then(|()| sync(&self.path))
            .map_err(failed)?;
        Ok(true)
    }

    /// Removes what this process has not finished, though some thread may still be writing it: for a
    /// process that ends at once.
    pub fn abandon(&self) {
        let _ = fs::remove_dir_all(self.workspace.path());
        failed::tidy(&self.path);
    }

    /// How many points' directories there are.
    fn count_points(&self) -> io::Result<u64> {
        let mut points = 0;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            points +=
                u64::from(is_point_name(&entry.file_name().to_string_lossy()) && entry.file_type()?.is_dir());
        }
        Ok(points)
    }
}

impl Drop for SweepDirectory {
    fn drop(&mut self) {
        failed::tidy(&self.path);
    }
}

/// Writes a file to the disk.
fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// `Ok` if `path` is a directory that holds a sweep, or nothing; with `force`, all of it must be ours.
fn check_ours(path: &Path, force: bool) -> Result<(), ReportError> {
    if !path.is_dir() {
        return Err(ReportError::refused(path, "is not a directory"));
    }
    let is_sweep = exists(&path.join(RECORD_FILE));
    if is_sweep && !force {
        return SweepRecord::read(path).map(drop);
    }
    let unreadable = |error: io::Error| ReportError::refused(path, format!("cannot be listed: {error}"));
    let foreign = foreign_to_sweep(path, is_sweep).map_err(unreadable)?;
    match foreign {
        Some(name) if force => {
            Err(ReportError::foreign(path, format!("Portcullis did not write `{name}` in it")))
        }
        Some(_) => Err(ReportError::refused(
            path,
            "already exists and holds no sweep; --out takes another directory",
        )),
        None if is_sweep => SweepRecord::read(path).map(drop).or_else(|error| {
            if is_marked(path) { Ok(()) } else { Err(ReportError::foreign(path, error.to_string())) }
        }),
        None => Ok(()),
    }
}

/// Whether `sweep.json` is one of ours, of whatever version.
fn is_marked(path: &Path) -> bool {
    let text = fs::read(path.join(RECORD_FILE)).unwrap_or_default();
    serde_json::from_slice::<serde_json::Value>(&text)
        .is_ok_and(|record| record["program"] == "portcullis" && record["command"] == "sweep")
}

/// The first entry by name that is not part of a sweep, or, where none was begun, not of its start.
fn foreign_to_sweep(path: &Path, is_sweep: bool) -> io::Result<Option<String>> {
    let mut foreign: Option<String> = None;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        let inner = match name.as_str() {
            LOCK_FILE if kind.is_file() => None,
            name if name.starts_with(workspace::PREFIX) && kind.is_dir() => None,
            RECORD_FILE | INTERVALS_FILE if is_sweep && kind.is_file() => None,
            name if is_sweep && is_point_name(name) && kind.is_dir() => foreign_entry(&entry.path())?,
            FAILED_DIRECTORY if is_sweep && kind.is_dir() => foreign_failure(&entry.path())?,
            _ => Some(String::new()),
        };
        let found =
            inner.map(|inner| if inner.is_empty() { name.clone() } else { format!("{name}/{inner}") });
        if let Some(found) = found.filter(|found| foreign.as_ref().is_none_or(|first| found < first)) {
            foreign = Some(found);
        }
    }
    Ok(foreign)
}

/// An entry of the directory of failed points that is none.
fn foreign_failure(path: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type()?.is_file() || !failed::is_ours(&name) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Removes a sweep, its plan last: killed in between, it is still the old sweep.
fn remove_all(path: &Path) -> io::Result<()> {
    let entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    for entry in entries {
        match entry.file_name().to_string_lossy().as_ref() {
            LOCK_FILE | RECORD_FILE => {}
            _ if entry.file_type()?.is_dir() => fs::remove_dir_all(entry.path())?,
            _ => fs::remove_file(entry.path())?,
        }
    }
    match fs::remove_file(path.join(RECORD_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
