//! Rules of the house that a machine can check: see `CONTRIBUTING.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::repository;

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match path.is_dir() {
            true if ["target", ".git", "runs"].contains(&&*name) => {}
            true => collect(&path, found),
            false => found.push(path),
        }
    }
}

/// Every file below a directory of the repository whose path ends so: its path from there, and its text.
fn files(directory: &str, endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    collect(&repository().join(directory), &mut paths);
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            files.push((path.strip_prefix(repository()).expect("below it").to_owned(), text));
        }
    }
    assert!(!files.is_empty(), "nothing ends in {endings:?} below {directory:?}");
    files
}

/// Every Rust source below a directory of the repository.
pub fn rust_files(directory: &str) -> Vec<(PathBuf, String)> {
    files(directory, &[".rs"])
}

/// A line without the comment at its end.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

#[test]
fn mod_rs_and_lib_rs_tell_the_story_and_hold_no_logic() {
    let logic = ["fn", "impl", "struct", "enum", "trait", "const", "static", "macro_rules"];
    for (path, text) in files("", &["/src/lib.rs", "/mod.rs"]) {
        assert!(text.starts_with("//! "), "{} begins with what it is for", path.display());
        // Modules of tests may share helpers in theirs: `engine/tests/`, `reports/src/tests/`.
        if path.components().skip(1).any(|part| part.as_os_str() == "tests") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let mut words = code(line).split(|c: char| !(c.is_alphanumeric() || c == '_'));
            let found = words.find(|word| logic.contains(word));
            assert_eq!(found, None, "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn unsafe_stands_with_its_reason() {
    let opens = ["{", "impl", "fn", "trait", "extern"].map(|next| format!("unsafe {next}"));
    let mut seen = 0;
    for (path, text) in rust_files("") {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = code(line).trim_start();
            if !opens.iter().any(|open| code.starts_with(open.as_str()) || code.contains(&format!(" {open}")))
            {
                continue;
            }
            seen += 1;
            let above = &lines[number.saturating_sub(5)..number];
            let told = above.iter().any(|line| line.contains("SAFETY: ") || line.contains("# Safety"));
            assert!(told, "{}:{}: unsafe without a reason above it", path.display(), number + 1);
        }
    }
    assert!(seen > 0, "the engine's prefetch is unsafe, and was not seen");
}

#[test]
fn nothing_is_left_unfinished() {
    // In two parts each, so that this file holds none of them.
    let words =
        [("to", "do!("), ("unimpl", "emented!("), ("FIX", "ME"), ("TO", "DO:"), ("XX", "X "), ("db", "g!(")];
    let words = words.map(|(first, second)| format!("{first}{second}"));
    for (path, text) in files("", &[".rs", ".md", ".toml", "justfile", ".ci/run"]) {
        for word in &words {
            assert!(!text.contains(word), "{} holds `{word}`", path.display());
        }
    }
}

#[test]
fn every_bench_is_named_and_there() {
    let benches = repository().join("benches");
    let manifest = fs::read_to_string(benches.join("Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let named = manifest.get("bench").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let mut names = BTreeSet::new();
    for bench in &named {
        let name = bench["name"].as_str().expect("a name");
        assert_eq!(bench.get("harness").and_then(toml::Value::as_bool), Some(false), "{name} is criterion's");
        let path = bench.get("path").and_then(toml::Value::as_str).map(ToOwned::to_owned);
        let path = benches.join(path.unwrap_or_else(|| format!("benches/{name}.rs")));
        assert!(path.is_file(), "{} is missing", path.display());
        names.insert(path.canonicalize().expect("a path"));
    }
    // One that is not named would run under the harness of tests, and measure nothing.
    let Ok(there) = fs::read_dir(benches.join("benches")) else { return };
    for entry in there {
        let path = entry.expect("an entry").path().canonicalize().expect("a path");
        let unnamed = path.extension().is_some_and(|ending| ending == "rs") && !names.contains(&path);
        assert!(!unnamed, "{} is not named in benches/Cargo.toml", path.display());
    }
}

#[test]
fn every_recipe_that_is_named_is_there() {
    let recipes: BTreeSet<String> = fs::read_to_string(repository().join("justfile"))
        .expect("a justfile")
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(':'))
        .filter_map(|line| line.split([' ', ':']).next().map(ToOwned::to_owned))
        .collect();
    let mut named = 0;
    for (path, text) in files("", &["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"]) {
        for said in text.split("`just ").skip(1) {
            let recipe = said.split([' ', '`']).next().expect("a word");
            assert!(recipes.contains(recipe), "{} names `just {recipe}`", path.display());
            named += 1;
        }
    }
    assert!(named > 5, "CONTRIBUTING names the recipes");
}

#[test]
fn every_test_that_is_named_is_there() {
    for (path, text) in files("", &["README.md", "CONTRIBUTING.md", "justfile", ".ci/run"]) {
        for said in text.split("--test ").skip(1) {
            let name: String = said.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let is_there = ["cli", "tests", "engine", "workloads", "reports"].iter().any(|member| {
                let tests = repository().join(member).join("tests");
                tests.join(&name).join("main.rs").is_file() || tests.join(format!("{name}.rs")).is_file()
            });
            assert!(is_there || name.is_empty() || name == "NAME", "{} names {name}", path.display());
        }
    }
}
