//! The output directory appears whole or not at all.

use std::fs;
use std::path::Path;

use crate::{ReportError, RunDirectory};

/// Names in a directory, hidden ones too, sorted.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

fn root() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A published report whose summary holds `content`.
fn publish(path: &Path, content: &str, force: bool) -> Result<(), ReportError> {
    let directory = RunDirectory::create(path, force)?;
    fs::write(directory.file("manifest.json"), r#"{"program": "portcullis", "seed": 1}"#).expect("written");
    fs::write(directory.file("summary.parquet"), content).expect("written");
    directory.publish().map(|published| assert_eq!(published, path))
}

fn summary(path: &Path) -> String {
    fs::read_to_string(path.join("summary.parquet")).expect("a summary")
}

#[test]
fn dropped_it_leaves_nothing() {
    let root = root();
    let path = root.path().join("a/b/run");
    let directory = RunDirectory::create(&path, false).expect("created");
    fs::write(directory.file("summary.parquet"), "x").expect("written");
    assert!(!path.exists());
    assert_eq!(names(&root.path().join("a/b")).len(), 1, "the hidden sibling");
    drop(directory);
    assert_eq!(names(root.path()), [""; 0], "nor the parents");
}

#[test]
fn published_it_is_whole_and_alone() {
    let root = root();
    let path = root.path().join("a/run");
    publish(&path, "new", false).expect("published");
    assert_eq!(names(&root.path().join("a")), ["run"]);
    assert_eq!(names(&path), ["manifest.json", "summary.parquet"]);
}

#[test]
fn parents_that_others_use_stay() {
    let root = root();
    let directory = RunDirectory::create(&root.path().join("a/b/run"), false).expect("created");
    fs::write(root.path().join("a/other"), "").expect("written");
    drop(directory);
    assert_eq!(names(root.path()), ["a"]);
    assert_eq!(names(&root.path().join("a")), ["other"]);
}

#[test]
fn an_existing_path_is_refused() {
    let root = root();
    let path = root.path().join("run");
    publish(&path, "old", false).expect("published");
    let error = publish(&path, "new", false).expect_err("it exists");
    assert!(matches!(error, ReportError::Exists { .. }) && error.to_string().contains("--force"), "{error}");
    assert!(error.is_bad_input());
    assert_eq!(summary(&path), "old");
}

#[test]
fn a_path_that_comes_to_exist_meanwhile_is_refused() {
    let root = root();
    let path = root.path().join("run");
    let directory = RunDirectory::create(&path, false).expect("created");
    fs::create_dir(&path).expect("another process");
    let error = directory.publish().expect_err("it exists");
    assert!(matches!(error, ReportError::Exists { .. }), "{error}");
    assert_eq!(names(root.path()), ["run"]);
    assert_eq!(names(&path), [""; 0]);
}

#[test]
fn force_replaces_a_report() {
    let root = root();
    let path = root.path().join("run");
    publish(&path, "old", false).expect("published");
    fs::write(path.join("requests.parquet"), "of the old one").expect("written");
    publish(&path, "new", true).expect("replaced");
    assert_eq!(summary(&path), "new");
    assert_eq!(names(&path), ["manifest.json", "summary.parquet"]);
    assert_eq!(names(root.path()), ["run"], "nothing is left over");
    publish(&root.path().join("fresh"), "new", true).expect("force needs nothing to replace");
}

#[test]
fn force_keeps_the_old_report_until_the_new_one_is_done() {
    let root = root();
    let path = root.path().join("run");
    publish(&path, "old", false).expect("published");
    let directory = RunDirectory::create(&path, true).expect("created");
    assert_eq!(summary(&path), "old");
    drop(directory);
    assert_eq!(summary(&path), "old");
    assert_eq!(names(root.path()), ["run"]);
}

/// Publishes a report, lets `spoil` change it, and expects that `--force` refuses it and says `word`.
fn refused_by_force(spoil: impl Fn(&Path), word: &str) {
    let root = root();
    let path = root.path().join("run");
    publish(&path, "old", false).expect("published");
    let underway = RunDirectory::create(&path, true).expect("still ours");
    spoil(&path);
    for error in [
        publish(&path, "new", true).expect_err("refused at the start"),
        underway.publish().expect_err("refused at the end"),
    ] {
        assert!(matches!(error, ReportError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
        assert!(error.is_bad_input());
    }
    assert_eq!(names(root.path()), ["run"]);
}

#[test]
fn force_refuses_what_is_not_ours() {
    refused_by_force(|path| fs::write(path.join("thesis.tex"), "").expect("written"), "`thesis.tex`");
    refused_by_force(|path| fs::create_dir(path.join("sub")).expect("made"), "`sub`");
    refused_by_force(
        |path| {
            fs::remove_file(path.join("summary.parquet")).expect("removed");
            fs::create_dir(path.join("summary.parquet")).expect("made");
        },
        "`summary.parquet`",
    );
    refused_by_force(|path| fs::remove_file(path.join("manifest.json")).expect("removed"), "no manifest");
    refused_by_force(|path| fs::write(path.join("manifest.json"), "{").expect("written"), "no manifest");
    refused_by_force(
        |path| fs::write(path.join("manifest.json"), r#"{"program": "other"}"#).expect("written"),
        "no manifest",
    );
    refused_by_force(
        |path| {
            fs::remove_dir_all(path).expect("removed");
            fs::write(path, "a file").expect("written");
        },
        "not a directory",
    );
}

#[cfg(unix)]
#[test]
fn force_does_not_follow_links() {
    refused_by_force(
        |path| {
            let elsewhere = path.with_file_name(".elsewhere");
            fs::rename(path, &elsewhere).expect("moved");
            // A report all right, but not one that `run` itself is.
            let inside = elsewhere.join("manifest.json");
            assert!(inside.exists());
            fs::create_dir(path).expect("made");
            std::os::unix::fs::symlink(&inside, path.join("manifest.json")).expect("linked");
            // So that the caller finds the root as it was.
            let _ = fs::remove_dir_all(elsewhere);
        },
        "`manifest.json`",
    );
}

#[test]
fn what_cannot_be_created_fails_early_and_leaves_nothing() {
    let root = root();
    let file = root.path().join("file");
    fs::write(&file, "").expect("written");
    for path in ["file/run", "file/a/run"] {
        let error = RunDirectory::create(&root.path().join(path), false).expect_err(path);
        assert!(matches!(error, ReportError::Create { .. }), "{error}");
        assert!(error.to_string().contains("irectory") && error.is_bad_input(), "{error}");
    }
    for path in [".", "..", "/", ""] {
        let error = RunDirectory::create(Path::new(path), true).expect_err(path);
        assert!(matches!(error, ReportError::Create { .. }), "{error}");
    }
    // Longer than any file system takes: the parents that were made go again.
    let error = RunDirectory::create(&root.path().join("a/b").join("x".repeat(300)), false);
    assert!(matches!(error, Err(ReportError::Create { .. })));
    assert_eq!(names(root.path()), ["file"]);
}
