//! The output directory of a run: it appears whole or not at all.
//!
//! Files are written into a hidden sibling, `.NAME.partial-XXXXXX`, which is renamed to the
//! directory's name when it is complete and on disk, and removed if that never happens.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::ReportError;
use crate::manifest;
use crate::schema;

/// An output directory under way. Dropping it removes everything it made.
#[derive(Debug)]
pub struct RunDirectory {
    // Fields drop in order: the directory goes before the parents that hold it.
    partial: TempDir,
    parents: CreatedParents,
    target: PathBuf,
    force: bool,
}

impl RunDirectory {
    /// Prepares `path`: makes its parents, and a hidden directory beside it to write into.
    ///
    /// With `force`, an existing directory is replaced by [`RunDirectory::publish`], provided that
    /// Portcullis wrote all that is in it.
    ///
    /// # Errors
    /// If `path` exists (and `force` is not given, or something in it is not ours), or if nothing
    /// can be created there.
    pub fn create(path: &Path, force: bool) -> Result<Self, ReportError> {
        let name = path.file_name().ok_or_else(|| ReportError::create(path, "it does not end in a name"))?;
        check_replaceable(path, force)?;
        let parent = parent_of(path);
        let parents = CreatedParents::create(parent).map_err(|error| ReportError::create(path, error))?;
        if !parent.is_dir() {
            return Err(ReportError::create(path, format!("`{}` is not a directory", parent.display())));
        }
        let partial = hidden_sibling(parent, &name.to_string_lossy(), "partial")
            .map_err(|error| ReportError::create(path, error))?;
        Ok(Self { partial, parents, target: path.to_owned(), force })
    }

    /// Prepares `path`, whose parent exists, with a hidden directory within `scratch`, a directory of
    /// the same file system, to write into.
    ///
    /// # Errors
    /// If nothing can be created in `scratch`.
    pub(crate) fn within(scratch: &Path, path: &Path) -> Result<Self, ReportError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(scratch)
            .map_err(|error| ReportError::write(path, &error))?;
        Ok(Self { partial, parents: CreatedParents::default(), target: path.to_owned(), force: false })
    }

    /// Where the directory will be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target
    }

    /// Where to write the file `name` until then.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.partial.path().join(name)
    }

    /// Puts the directory in its place, with everything in it on disk, and returns its path.
    ///
    /// A directory that is replaced is first moved aside and only removed when the new one is in
    /// place: finished output is never lost.
    ///
    /// # Errors
    /// If a file cannot be brought to disk, if `path` has come to exist meanwhile, or if it cannot
    /// be replaced.
    pub fn publish(mut self) -> Result<PathBuf, ReportError> {
        self.sync().map_err(|error| ReportError::write(&self.target, &error))?;
        check_replaceable(&self.target, self.force)?;
        if exists(&self.target) {
            self.replace()?;
        } else {
            self.rename_into_place().map_err(|error| ReportError::write(&self.target, &error))?;
        }
        self.partial.disable_cleanup(true);
        self.parents.keep();
        // The rename is done; a file system that cannot sync a directory does not undo it.
        let _ = sync(parent_of(&self.target));
        Ok(std::mem::take(&mut self.target))
    }

    fn sync(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.partial.path())? {
            sync(&entry?.path())?;
        }
        sync(self.partial.path())
    }

    fn rename_into_place(&self) -> io::Result<()> {
        fs::rename(self.partial.path(), &self.target)
    }

    /// Moves the old directory aside, the new one into place, and removes the old one.
    fn replace(&self) -> Result<(), ReportError> {
        let failed = |error: io::Error| ReportError::write(&self.target, &error);
        let name = self.target.file_name().unwrap_or_default();
        let mut aside =
            hidden_sibling(parent_of(&self.target), &name.to_string_lossy(), "replaced").map_err(failed)?;
        let old = aside.path().join(name);
        fs::rename(&self.target, &old).map_err(failed)?;
        if let Err(error) = self.rename_into_place() {
            if fs::rename(&old, &self.target).is_err() {
                aside.disable_cleanup(true);
                let problem = format!("{error}; what it held before is in `{}`", old.display());
                return Err(failed(io::Error::other(problem)));
            }
            return Err(failed(error));
        }
        aside.close().map_err(|error| {
            failed(io::Error::other(format!("the new report is in place, the old one is left over: {error}")))
        })
    }
}

/// The directory that holds `path`.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Whether anything is there, a dangling link included.
pub(crate) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn hidden_sibling(parent: &Path, name: &str, purpose: &str) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(&format!(".{name}.{purpose}-")).tempdir_in(parent)
}

pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// `Ok` if nothing is at `path`, or `force` allows to replace what is.
fn check_replaceable(path: &Path, force: bool) -> Result<(), ReportError> {
    if !exists(path) {
        return Ok(());
    }
    if !force {
        return Err(ReportError::Exists { path: path.to_owned() });
    }
    let foreign = |problem: String| Err(ReportError::foreign(path, problem));
    if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return foreign("it is not a directory".into());
    }
    match foreign_entry(path) {
        Err(error) => foreign(format!("it cannot be listed: {error}")),
        Ok(Some(name)) => foreign(format!("Portcullis did not write `{name}` in it")),
        Ok(None) if manifest::is_ours(path) => Ok(()),
        Ok(None) => foreign("it has no manifest that Portcullis wrote".into()),
    }
}

/// The first entry by name that is not a file of a report.
pub(crate) fn foreign_entry(directory: &Path) -> io::Result<Option<String>> {
    let mut foreign: Option<String> = None;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = entry.file_type()?.is_file() && schema::is_report_file(&name);
        if !ours && foreign.as_ref().is_none_or(|first| name < *first) {
            foreign = Some(name);
        }
    }
    Ok(foreign)
}

/// Parent directories that were made for the output; removed again, where empty, unless kept.
#[derive(Debug, Default)]
pub(crate) struct CreatedParents(Vec<PathBuf>);

impl CreatedParents {
    /// Makes `parent` and those above it that are missing.
    pub(crate) fn create(parent: &Path) -> io::Result<Self> {
        let missing: Vec<_> = parent
            .ancestors()
            .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
            .collect();
        let mut created = Self::default();
        for directory in missing.into_iter().rev() {
            match fs::create_dir(directory) {
                Ok(()) => created.0.push(directory.to_owned()),
                // Another process was faster, and the directory is its own to remove.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(created)
    }

    /// They are there to stay.
    pub(crate) fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for CreatedParents {
    fn drop(&mut self) {
        for directory in self.0.iter().rev() {
            // Not empty means that someone else uses it by now.
            let _ = fs::remove_dir(directory);
        }
    }
}
