//! Tests of this crate, one file a question, in one binary: linking polars is slow.

mod directory;
mod docs;
mod events;
mod small;
mod tables;

use std::path::PathBuf;

use crate::{Metadata, RunDirectory};

/// A directory of the repository.
fn repository(path: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", path].iter().collect()
}

/// A directory for one test, and the output `run` within it.
fn output() -> (tempfile::TempDir, RunDirectory) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let directory = RunDirectory::create(&root.path().join("run"), false).expect("a new directory");
    (root, directory)
}

fn metadata() -> Metadata {
    Metadata {
        version: "1.2.3".into(),
        seed: 42,
        scenario: "default".into(),
        scenario_toml: "requests = 1\n# \"ä\"\n".into(),
    }
}
