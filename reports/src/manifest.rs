//! `manifest.json`: what a report is, and how it came to be.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checksum;
use crate::directory::RunDirectory;
use crate::error::ReportError;
use crate::machine::Machine;
use crate::schema::SCHEMA_VERSION;
use crate::table_file::FileInfo;

/// Name of the manifest's file.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Who wrote a manifest: marks a directory as one that `--force` may replace.
const PROGRAM: &str = "portcullis";

/// What a report is, and how it came to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// `run`, `replay` or `sweep`.
    pub command: String,
    /// Name of the scenario.
    pub scenario: String,
    /// The scenario in full, as TOML, with everything that was set on the command line.
    pub scenario_toml: String,
    /// The trace that was replayed; absent for a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The point of the sweep; absent elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<u64>,
    /// The classes that were also simulated alone; absent where none was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alone: Vec<String>,
    /// The classes without which it was simulated once more; absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Seed of every stream.
    pub seed: u64,
    /// Version of Portcullis.
    pub version: String,
    /// Commit it was built from, where the build knew.
    pub commit: Option<String>,
    /// Machine it ran on.
    pub machine: Machine,
    /// Threads that simulated.
    pub threads: u64,
    /// Start, UTC, RFC 3339.
    pub started: String,
    /// Wall time from the start to the last row, s.
    pub wall_s: f64,
    /// The tables: file, rows, size, checksum and columns.
    pub files: Vec<FileInfo>,
}

/// The manifest as it lies in the file.
#[derive(Serialize, Deserialize)]
struct Document<M> {
    program: String,
    schema_version: String,
    #[serde(flatten)]
    manifest: M,
}

impl Manifest {
    /// Writes `manifest.json` into the directory.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, directory: &RunDirectory) -> Result<(), ReportError> {
        let document =
            Document { program: PROGRAM.into(), schema_version: SCHEMA_VERSION.into(), manifest: self };
        let text = serde_json::to_string_pretty(&document).expect("a manifest holds nothing JSON cannot");
        fs::write(directory.file(MANIFEST_FILE), sealed(&text))
            .map_err(|error| ReportError::write(&directory.path().join(MANIFEST_FILE), &error))
    }

    /// Reads the manifest of a report.
    ///
    /// # Errors
    /// If there is none, or it is not as Portcullis wrote it.
    pub fn read(directory: &Path) -> Result<Self, ReportError> {
        let path = directory.join(MANIFEST_FILE);
        let text = fs::read_to_string(&path).map_err(|error| ReportError::read(&path, error))?;
        let document: Document<Self> =
            serde_json::from_str(&text).map_err(|error| ReportError::read(&path, error))?;
        if document.program != PROGRAM {
            return Err(ReportError::read(&path, format!("it was written by {:?}", document.program)));
        }
        if !is_sealed(&text) {
            return Err(ReportError::read(&path, "its content does not match its checksum"));
        }
        Ok(document.manifest)
    }
}

/// What stands between a manifest's own text and its checksum, the last key.
const SEAL: &str = ",\n  \"checksum\": \"";

/// An object as text, with the checksum of all that stands before it as its last key.
fn sealed(object: &str) -> String {
    let body = object.strip_suffix("\n}").expect("a pretty object");
    format!("{body}{SEAL}{}\"\n}}\n", checksum::of_bytes(body.as_bytes()))
}

/// Whether a text is as [`sealed`] left it.
fn is_sealed(text: &str) -> bool {
    text.rsplit_once(SEAL)
        .is_some_and(|(body, end)| end == format!("{}\"\n}}\n", checksum::of_bytes(body.as_bytes())))
}

/// Whether the directory holds a manifest of Portcullis, of whatever version.
pub(crate) fn is_ours(directory: &Path) -> bool {
    #[derive(Deserialize)]
    struct Mark {
        program: String,
    }
    fs::read(directory.join(MANIFEST_FILE))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .is_some_and(|mark: Mark| mark.program == PROGRAM)
}
