//! What can go wrong with files, each as one sentence that names the file.

use std::io;
use std::path::{Path, PathBuf};

/// Why a report could not be written, or a file not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The output exists and was not to be replaced.
    #[error("`{}` already exists; --force replaces it if it is a report of Portcullis", path.display())]
    Exists {
        /// The output directory.
        path: PathBuf,
    },
    /// The output exists and holds what Portcullis did not write.
    #[error("`{}` is not replaced: {problem}", path.display())]
    Foreign {
        /// The output directory.
        path: PathBuf,
        /// What Portcullis did not write.
        problem: String,
    },
    /// The output is a sweep, but cannot be gone on with as asked.
    #[error("`{}` {problem}", path.display())]
    Refused {
        /// The output directory.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The output directory cannot be created.
    #[error("cannot create the output `{}`: {problem}", path.display())]
    Create {
        /// The output directory.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A file of the output cannot be written.
    #[error("cannot write `{}`: {problem}", path.display())]
    Write {
        /// The file, where it would have been after the run.
        path: PathBuf,
        /// Why.
        problem: String,
        /// The kind of failure.
        kind: io::ErrorKind,
    },
    /// A file cannot be read, or is not what it should be.
    #[error("cannot read `{}`: {problem}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A row of a trace has no meaning.
    #[error("`{}`, row {row}: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, counted from 0.
        row: u64,
        /// What is wrong with it.
        problem: String,
    },
}

impl ReportError {
    /// Whether the user's input or choice of output is at fault (exit code 2), and not the machine
    /// during the run (exit code 1).
    #[must_use]
    pub const fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Write { .. })
    }

    pub(crate) fn create(path: &Path, problem: impl ToString) -> Self {
        Self::Create { path: path.to_owned(), problem: problem.to_string() }
    }

    /// Whether nothing more can be written: the disk is full, or allows no writing.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        matches!(self, Self::Write { kind: StorageFull | QuotaExceeded | ReadOnlyFilesystem, .. })
    }

    pub(crate) fn write(path: &Path, error: &io::Error) -> Self {
        Self::Write { path: path.to_owned(), problem: error.to_string(), kind: error.kind() }
    }

    pub(crate) fn refused(path: &Path, problem: impl ToString) -> Self {
        Self::Refused { path: path.to_owned(), problem: problem.to_string() }
    }

    pub(crate) fn read(path: &Path, problem: impl ToString) -> Self {
        Self::Read { path: path.to_owned(), problem: problem.to_string() }
    }

    pub(crate) fn foreign(path: &Path, problem: impl ToString) -> Self {
        Self::Foreign { path: path.to_owned(), problem: problem.to_string() }
    }
}
