//! The edges between the crates, from their manifests, the lock file and the engine's own source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::support::repository;
use crate::tidy::rust_files;

fn toml(path: &str) -> toml::Table {
    let text = fs::read_to_string(repository().join(path)).expect(path);
    text.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The directories of the members.
fn members() -> Vec<String> {
    let root = toml("Cargo.toml");
    let members = root["workspace"]["members"].as_array().expect("a list").clone();
    members.into_iter().map(|member| member.as_str().expect("a path").to_owned()).collect()
}

fn manifest(member: &str) -> toml::Table {
    toml(&format!("{member}/Cargo.toml"))
}

/// Every table of dependencies of a manifest with its name, those of targets among them.
fn dependency_tables(manifest: &toml::Table) -> Vec<(String, toml::Table)> {
    let mut tables = Vec::new();
    for (name, value) in manifest {
        match (name.as_str(), value) {
            ("dependencies" | "dev-dependencies" | "build-dependencies", toml::Value::Table(table)) => {
                tables.push((name.clone(), table.clone()));
            }
            ("target", toml::Value::Table(targets)) => {
                for target in targets.values().filter_map(toml::Value::as_table) {
                    tables.extend(dependency_tables(target));
                }
            }
            _ => {}
        }
    }
    tables
}

/// The names of what a member depends on, in any way.
fn dependencies(member: &str) -> BTreeSet<String> {
    dependency_tables(&manifest(member))
        .into_iter()
        .flat_map(|(_, table)| table)
        .map(|(name, _)| name)
        .collect()
}

/// Everything that a package is built and tested with, itself included, by the lock file.
fn closure(package: &str) -> BTreeSet<String> {
    let lock = toml("Cargo.lock");
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock["package"].as_array().expect("a list") {
        let name = package["name"].as_str().expect("a name");
        let needs = package.get("dependencies").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        // A dependency is a name, and a version where there are several.
        let needs = needs.iter().map(|need| need.as_str().expect("text"));
        let needs = needs.map(|need| need.split(' ').next().expect("a name").to_owned());
        edges.entry(name.to_owned()).or_default().extend(needs);
    }
    let mut reached = BTreeSet::new();
    let mut open = vec![package.to_owned()];
    while let Some(name) = open.pop() {
        let needs = edges.get(&name).unwrap_or_else(|| panic!("{name} is not locked"));
        if reached.insert(name) {
            open.extend(needs.iter().cloned());
        }
    }
    reached
}

/// Whether a crate is of the family of `name`: `polars` and `polars-arrow` are of `polars`.
fn is_of(krate: &str, name: &str) -> bool {
    krate.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

#[test]
fn crates_depend_on_each_other_in_one_direction() {
    let expected: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("engine", &[][..]),
        ("workloads", &["engine"]),
        ("reports", &["engine"]),
        ("cli", &["engine", "reports", "workloads"]),
        ("benches", &["engine", "workloads"]),
        ("tests", &["engine", "reports", "workloads"]),
    ]);
    let found: BTreeSet<String> = members().into_iter().collect();
    assert_eq!(found, expected.keys().map(ToString::to_string).collect());
    for (member, edges) in expected {
        let own = dependencies(member);
        let own: Vec<&str> = own.iter().filter_map(|name| name.strip_prefix("portcullis-")).collect();
        assert_eq!(own, edges, "{member}");
        let name = manifest(member)["package"]["name"].clone();
        assert_eq!(name.as_str(), Some(&*format!("portcullis-{member}")));
    }
}

#[test]
fn only_reports_links_polars() {
    for member in members() {
        let direct = dependencies(&member).iter().any(|name| is_of(name, "polars"));
        assert_eq!(direct, member == "reports", "{member}");
        let built_with = closure(&format!("portcullis-{member}")).iter().any(|name| is_of(name, "polars"));
        assert_eq!(built_with, ["reports", "cli", "tests"].contains(&&*member), "{member}");
    }
}

#[test]
fn the_engine_is_built_with_nothing_that_knows_files_or_formats() {
    let foreign = ["polars", "arrow", "parquet", "clap", "csv", "toml", "serde_json", "tempfile", "ctrlc"];
    let foreign = [&foreign[..], &["indicatif", "anyhow", "memmap2", "tokio", "log", "tracing"]].concat();
    let direct = dependencies("engine");
    for name in &foreign {
        assert!(!direct.iter().any(|found| is_of(found, name)), "the engine depends on {name}");
    }
    // The macros of bevy_ecs read a manifest while they compile; the other formats come in nowhere.
    let all = closure("portcullis-engine");
    for name in foreign.iter().filter(|name| ["polars", "arrow", "parquet", "clap", "csv"].contains(name)) {
        assert!(!all.iter().any(|found| is_of(found, name)), "the engine is built with {name}");
    }
}

#[test]
fn the_engine_touches_nothing_outside_itself() {
    let outside =
        ["fs", "io", "env", "net", "process", "time", "path", "os"].map(|part| format!("std::{part}"));
    let outside = outside.iter().map(String::as_str).chain(["println!", "eprintln!", "print!("]);
    let outside: Vec<&str> = outside.collect();
    for (path, text) in rust_files("engine/src") {
        for (number, line) in text.lines().enumerate() {
            let found = outside.iter().find(|word| {
                let word = word.to_string();
                let mut at = line.match_indices(&*word);
                at.any(|(start, _)| !line[start + word.len()..].starts_with(char::is_alphanumeric))
            });
            assert_eq!(found, None, "{}:{}: {line}", path.display(), number + 1);
            assert!(!line.contains("use std::{"), "{}:{}: name what is used", path.display(), number + 1);
        }
    }
}

#[test]
fn versions_stand_in_one_table() {
    for member in members() {
        let manifest = manifest(&member);
        for (section, table) in dependency_tables(&manifest) {
            for (name, value) in table {
                let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(inherited, "{member}: `{name}` of [{section}] must be `workspace = true`");
                assert!(value.get("features").is_none(), "{member}: features of `{name}` stand in the table");
            }
        }
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            let inherited = manifest["package"][key].get("workspace").and_then(toml::Value::as_bool);
            assert_eq!(inherited, Some(true), "{member}: `{key}` must be `workspace = true`");
        }
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{member} takes the lints of all");
    }
}
