//! The clock, the machine and the manifest.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use crate::machine::{cpu_model, memory_bytes};
use crate::{FileInfo, Machine, Manifest, ReportError, utc_compact, utc_rfc3339};

use super::output;

#[test]
fn dates_agree_with_the_calendar() {
    // From `date -u --date=@N`.
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (1_709_251_199, "2024-02-29T23:59:59Z"),
        (1_735_689_599, "2024-12-31T23:59:59Z"),
        (1_735_689_600, "2025-01-01T00:00:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
    ] {
        assert_eq!(utc_rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
    }
    assert_eq!(utc_compact(UNIX_EPOCH + Duration::from_secs(951_782_399)), "20000228T235959Z");
    assert_eq!(utc_rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
}

#[test]
fn the_machine_is_read_from_what_the_kernel_tells() {
    let cpuinfo = "processor\t: 0\nmodel name\t: A CPU @ 3.0: GHz\nprocessor\t: 1\nmodel name\t: other\n";
    assert_eq!(cpu_model(cpuinfo), Some("A CPU @ 3.0: GHz".into()));
    assert_eq!(cpu_model("processor : 0\n"), None);
    assert_eq!(memory_bytes("MemFree: 1 kB\nMemTotal:       16 kB\n"), Some(16_384));
    assert_eq!(memory_bytes("MemTotal: many\n"), None);
    assert!(Machine::detect().logical_cores >= 1);
}

fn manifest() -> Manifest {
    Manifest {
        command: "run".into(),
        scenario: "default".into(),
        scenario_toml: "requests = 10\n".into(),
        trace: None,
        point: None,
        alone: vec!["quiet".into()],
        without: Vec::new(),
        seed: u64::MAX,
        version: "0.1.0".into(),
        commit: None,
        machine: Machine::detect(),
        threads: 2,
        started: "2026-01-31T00:00:00Z".into(),
        wall_s: 1.5,
        files: vec![FileInfo {
            name: "summary.parquet".into(),
            rows: 1,
            bytes: 99,
            checksum: "xxh3:0123456789abcdef".into(),
            columns: vec!["seed".into()],
        }],
    }
}

#[test]
fn a_manifest_survives_its_file() {
    let (_root, directory) = output();
    manifest().write(&directory).expect("written");
    let path = directory.publish().expect("published");
    assert_eq!(Manifest::read(&path).expect("read"), manifest());
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join("manifest.json")).expect("the file")).expect("JSON");
    assert_eq!(json["program"], "portcullis");
    assert_eq!(json["schema_version"], "1");
    assert_eq!(json["seed"], u64::MAX);
    assert_eq!(json["files"][0]["rows"], 1);
    assert!(json.get("trace").is_none());
}

#[test]
fn a_manifest_of_another_program_is_refused() {
    let (_root, directory) = output();
    manifest().write(&directory).expect("written");
    let path = directory.publish().expect("published").join("manifest.json");
    let text = fs::read_to_string(&path).expect("the file").replace("\"portcullis\"", "\"other\"");
    fs::write(&path, text).expect("written");
    let error = Manifest::read(path.parent().expect("the directory")).expect_err("another program");
    assert!(matches!(error, ReportError::Read { .. }) && error.to_string().contains("other"), "{error}");
}

#[test]
fn a_manifest_that_was_changed_is_refused() {
    let (_root, directory) = output();
    manifest().write(&directory).expect("written");
    let path = directory.publish().expect("published").join("manifest.json");
    let text = fs::read(&path).expect("the file");
    for at in 0..text.len() {
        let mut changed = text.clone();
        changed[at] ^= 4;
        fs::write(&path, changed).expect("written");
        assert!(Manifest::read(path.parent().expect("the directory")).is_err(), "byte {at}");
    }
    fs::write(&path, &text).expect("written");
    assert_eq!(Manifest::read(path.parent().expect("the directory")).expect("whole again"), manifest());
}
