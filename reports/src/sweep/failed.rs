//! Points that failed: a file each, so that shards do not write to the same one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::point_name;

/// Name of the directory of failed points.
pub(super) const FAILED_DIRECTORY: &str = "failed";

/// A point that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedPoint {
    /// Its number.
    pub point: u64,
    /// What is set at it, as `key=value`: with these, `portcullis run` fails in the same way.
    pub settings: Vec<String>,
    /// Its seed.
    pub seed: u64,
    /// Why it failed, as a sentence.
    pub error: String,
}

/// The file of a failed point.
fn path_of(sweep: &Path, point: u64) -> PathBuf {
    sweep.join(FAILED_DIRECTORY).join(format!("{}.json", point_name(point)))
}

/// Whether a file in the directory of failed points is ours by its name.
pub(super) fn is_ours(name: &str) -> bool {
    name.strip_suffix(".json").is_some_and(super::directory::is_point_name)
}

/// Notes the failure; `scratch` is where the file is written before it is renamed.
pub(super) fn record(sweep: &Path, scratch: &Path, failed: &FailedPoint) -> io::Result<()> {
    let path = path_of(sweep, failed.point);
    let partial = scratch.join(format!("failed-{}", failed.point));
    let mut text = serde_json::to_string_pretty(failed).expect("numbers and texts are JSON");
    text.push('\n');
    let mut file = File::create(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    match fs::create_dir(sweep.join(FAILED_DIRECTORY)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::rename(partial, path)
}

/// Forgets a failure, if there was one: the point is finished.
pub(super) fn forget(sweep: &Path, point: u64) -> io::Result<()> {
    match fs::remove_file(path_of(sweep, point)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes the directory of failed points if it holds none.
pub(super) fn tidy(sweep: &Path) {
    // Not empty, or not there: both are well.
    let _ = fs::remove_dir(sweep.join(FAILED_DIRECTORY));
}
