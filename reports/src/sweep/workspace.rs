//! Where a process at work keeps what is not finished, and how others see whether it lives.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::shard::Shard;

/// Name of the file that a starting process locks.
pub(super) const LOCK_FILE: &str = ".lock";

/// How the directories of processes at work begin.
pub(super) const PREFIX: &str = ".running-";

/// Name of the file in them that a living process keeps locked; it holds the process's shard.
const CLAIM_FILE: &str = "claim";

/// The right to start in a directory: one process at a time has it.
#[derive(Debug)]
pub(super) struct StartLock(#[expect(dead_code, reason = "closing the file is what unlocks it")] File);

impl StartLock {
    /// Waits until no other process starts in `directory`.
    pub fn acquire(directory: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).open(directory.join(LOCK_FILE))?;
        file.lock()?;
        Ok(Self(file))
    }
}

/// A directory of this process alone, for what is not finished. Dropped, it goes.
#[derive(Debug)]
pub(super) struct Workspace {
    // Fields drop in order: what is in the directory goes before the lock on it.
    scratch: TempDir,
    _claim: File,
}

impl Workspace {
    /// Makes the workspace of this process, which works on the points of `shard`. The caller holds the
    /// [`StartLock`].
    pub fn create(directory: &Path, shard: Shard) -> io::Result<Self> {
        let scratch = tempfile::Builder::new().prefix(PREFIX).tempdir_in(directory)?;
        let mut claim =
            OpenOptions::new().write(true).create_new(true).open(scratch.path().join(CLAIM_FILE))?;
        write!(claim, "{shard} {}", std::process::id())?;
        claim.lock()?;
        Ok(Self { scratch, _claim: claim })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }
}

/// A process at work in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worker {
    /// The points it works on.
    pub shard: Shard,
    /// Its process ID, on whatever machine it runs.
    pub process: u32,
}

/// Removes what processes left that live no more; returns those that do. The caller holds the
/// [`StartLock`].
pub(super) fn clean(directory: &Path) -> io::Result<Vec<Worker>> {
    let mut living = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !entry.file_type()?.is_dir() {
            continue;
        }
        match worker_of(&entry.path())? {
            Some(worker) => living.push(worker),
            None => remove(&entry.path())?,
        }
    }
    Ok(living)
}

/// The living process whose directory this is.
fn worker_of(workspace: &Path) -> io::Result<Option<Worker>> {
    let claim: PathBuf = workspace.join(CLAIM_FILE);
    // Some file systems lock only what is open for writing.
    let mut file = match OpenOptions::new().read(true).write(true).open(&claim) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let worker = text.split_once(' ').and_then(|(shard, process)| {
        Some(Worker { shard: shard.parse().ok()?, process: process.parse().ok()? })
    });
    Ok(Some(worker.unwrap_or(Worker { shard: Shard::WHOLE, process: 0 })))
}

/// Removes a directory; someone else may be removing it too.
fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
