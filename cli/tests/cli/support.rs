//! A directory to work in, the binary, and what may be expected of every refusal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A scenario that takes no time: the default one, cut short.
pub const SHORT: [&str; 4] = ["run", "default", "--set", "requests=20000"];

/// The fixture: a small real trace.
pub fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/sriov-small.events.parquet")
}

/// An empty directory in which the binary runs.
pub struct Workplace(TempDir);

impl Workplace {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and returns its name.
    pub fn file<'a>(&self, name: &'a str, bytes: impl AsRef<[u8]>) -> &'a str {
        fs::write(self.path(name), bytes).expect("a file in the workplace");
        name
    }

    /// The binary, to be run here; backtraces are asked for, and must not appear.
    pub fn portcullis(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.current_dir(self.0.path()).env("RUST_BACKTRACE", "1").stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::from(self.portcullis().args(arguments).output().expect("the binary starts"))
    }

    /// Runs the binary, which must succeed with nothing on stderr; returns stdout.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let outcome = self.run(arguments);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        outcome.stdout
    }

    /// Runs the binary, which must refuse the input in one sentence that holds `words`, and leave
    /// the workplace as it was.
    pub fn refuse(&self, arguments: &[&str], words: &[&str]) {
        let before = self.listing();
        let outcome = self.run(arguments);
        outcome.assert_error(2, words);
        assert_eq!(self.listing(), before, "{arguments:?} left something behind");
    }

    /// Every path below the workplace, sorted.
    pub fn listing(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        list(self.0.path(), &mut paths);
        paths.sort();
        paths
    }
}

fn list(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            list(&path, paths);
        }
        paths.push(path);
    }
}

/// How the binary ended.
#[derive(Debug)]
pub struct Outcome {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Outcome {
    /// It ended with `code`, silent on stdout, with one sentence on stderr that holds `words`.
    pub fn assert_error(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        self.assert_sentence(words);
    }

    /// There is one line on stderr, an error that holds `words`.
    pub fn assert_sentence(&self, words: &[&str]) {
        let sentence = self.stderr.strip_suffix('\n').expect("a line on stderr");
        assert!(sentence.starts_with("portcullis: error: "), "{self:?}");
        assert!(!sentence.contains('\n'), "{self:?}");
        for traces in ["panicked", "mistake in Portcullis", "Error {", "Some("] {
            assert!(!sentence.contains(traces), "{self:?}");
        }
        for word in words {
            assert!(sentence.contains(word), "`{word}` is missing: {self:?}");
        }
    }
}

/// The object that `--json` printed, without what depends on the host.
pub fn json_without_wall(stdout: &str) -> serde_json::Map<String, serde_json::Value> {
    let mut object: serde_json::Map<_, _> = serde_json::from_str(stdout).expect("one JSON object");
    object.retain(|name, _| !name.starts_with("wall_"));
    object
}

/// The bytes of every table of a report but the summary, whose columns `wall_*` differ.
pub fn tables(report: &Path) -> Vec<(String, Vec<u8>)> {
    let mut tables: Vec<(String, Vec<u8>)> = fs::read_dir(report)
        .expect("a report")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(name, _)| name.ends_with(".parquet") && name != "summary.parquet")
        .map(|(name, path)| (name, fs::read(path).expect("a table")))
        .collect();
    tables.sort();
    tables
}

/// The names of the files of a report, sorted.
pub fn file_names(report: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(report)
        .expect("a report")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Waits until `condition` holds, a minute at most.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} has not happened within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}
