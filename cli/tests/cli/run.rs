//! `run`: its report, its summary, and that threads change neither.

use crate::support::{Outcome, SHORT, Workplace, file_names, json_without_wall, tables};

#[test]
fn the_default_scenario_needs_no_argument() {
    let place = Workplace::new();
    let summary = place.succeed(&["run"]);
    assert!(summary.starts_with("default: 1 host, 31 VFs, seed 1\n"), "{summary}");
    assert!(summary.contains("1,000,000 ("), "{summary}");

    let reports = file_names(&place.path("runs"));
    let [report] = &reports[..] else { panic!("one report and nothing else: {reports:?}") };
    let timestamp = report.strip_prefix("default-").expect("named after the scenario");
    assert_eq!(timestamp.len(), "20260131T235959Z".len(), "{timestamp}");
    assert!(summary.contains(&format!("runs/{report}")), "{summary}");
}

#[test]
fn a_person_finds_everything_in_the_summary() {
    let place = Workplace::new();
    let summary = place.succeed(&[&SHORT[..], &["--out", "report"]].concat());
    for what in [
        "simulated time",
        "DMAs",
        "throughput",
        "latency",
        "service time",
        "IOTLB",
        "walks",
        "walkers",
        "stalls",
        "blocked",
        "stale",
        "breach",
        "fairness",
        "speed",
        "peak memory",
        "report",
    ] {
        let named = |line: &str| line.trim_start().starts_with(what);
        assert!(summary.lines().any(named), "{what} is missing in {summary}");
    }
    for part in ["read ", "write ", "p50 ", "p99 ", "p99.9 ", "max ", "hit ratio 0.", "Gb/s", "MiB"] {
        assert!(summary.contains(part), "{part} is missing in {summary}");
    }
}

/// Domains are switched, and whatever fails in that is named where there is some.
#[test]
fn a_person_finds_what_failed_in_switches() {
    let place = Workplace::new();
    let run = |name: &str, changes: &[&str]| {
        let changes = changes.iter().flat_map(|change| ["--set", *change]);
        let base = ["run", "switch-storm", "--set", "requests=40000", "--out", name];
        place.succeed(&base.into_iter().chain(changes).collect::<Vec<_>>())
    };
    let calm = run("calm", &[]);
    assert!(calm.contains("switches") && !calm.contains("failed") && !calm.contains("lost"), "{calm}");
    let soon = ["failures.end_share=1", "failures.reset_us=100"];
    let reset = run("reset", &soon);
    for part in [" failed", " lost", " aborted, which had waited "] {
        assert!(reset.contains(part), "{part} is missing in {reset}");
    }
    let starved = run("starved", &["silence.mode=unsafe", "silence.skip=[\"end\"]"]);
    assert!(starved.contains(" starved, which had waited ") && !starved.contains("failed"), "{starved}");
}

/// What cannot fail is refused before anything is simulated.
#[test]
fn failures_that_cannot_be_are_refused() {
    let place = Workplace::new();
    let refuse = |scenario: &str, changes: &[&str], words: &[&str]| {
        let changes = changes.iter().flat_map(|change| ["--set", *change]);
        let command: Vec<_> = ["run", scenario].into_iter().chain(changes).collect();
        place.refuse(&command, words);
    };
    let end = "failures.end_share=0.5";
    refuse("default", &[end], &["`failures`", "of which there are none"]);
    refuse("switch-storm", &[end, "silence.mode=unsafe"], &["`failures`", "silence.mode"]);
    refuse("switch-storm", &[end, "device.tlb.entries=64"], &["`failures`", "device.tlb.entries"]);
    refuse("switch-storm", &[end, "report.attribution=true"], &["`report.attribution`", "never leave"]);
    refuse("switch-storm", &[end, "failures.begin_share=0.6"], &["`failures`", "above 1"]);
    let nowhere = "failures.list=[{ at_us = 1, failure = \"end\", adapter = 99 }]";
    refuse("switch-storm", &[nowhere], &["`failures.list.0.adapter`", "is 99"]);
}

#[test]
fn a_report_holds_its_tables_and_nothing_else() {
    let place = Workplace::new();
    let usual = [
        "latency.parquet",
        "manifest.json",
        "summary.parquet",
        "tenants.parquet",
        "timeline.parquet",
        "windows.parquet",
    ];
    place.succeed(&[&SHORT[..], &["--out", "usual"]].concat());
    assert_eq!(file_names(&place.path("usual")), usual);
    place.succeed(&[&SHORT[..], &["--out", "logged", "--log-requests"]].concat());
    let names = file_names(&place.path("logged"));
    assert!(names.iter().any(|name| name == "requests.parquet"), "{names:?}");
    assert_eq!(names.len(), usual.len() + 1);
}

#[test]
fn the_manifest_tells_what_was_run() {
    let place = Workplace::new();
    place.succeed(&[&SHORT[..], &["--seed", "5", "--threads", "2", "--out", "report"]].concat());
    let text = std::fs::read_to_string(place.path("report/manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(manifest["command"], "run");
    assert_eq!(manifest["scenario"], "default");
    assert_eq!(manifest["seed"], 5);
    assert_eq!(manifest["threads"], 2);
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    let scenario = manifest["scenario_toml"].as_str().expect("TOML");
    assert!(scenario.contains("requests = 20000") && scenario.contains("seed = 5"), "{scenario}");
}

#[test]
fn json_is_one_flat_object_on_one_line() {
    let place = Workplace::new();
    let stdout = place.succeed(&[&SHORT[..], &["--json", "--out", "report"]].concat());
    assert_eq!(stdout.matches('\n').count(), 1);
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&stdout).expect("JSON");
    assert!(object.values().all(|value| !value.is_object() && !value.is_array()), "{stdout}");
    for name in ["iotlb_hits", "iotlb_misses", "walks", "stale_total", "refused_total"] {
        assert!(object[name].is_u64(), "{name} in {stdout}");
    }
    assert_eq!(object["dma_total"], 20_000);
    let sum = ["dma_translated", "dma_blocked"].map(|name| object[name].as_u64().expect("a count"));
    assert_eq!(sum.iter().sum::<u64>(), 20_000);
    for name in ["wall_build_s", "wall_simulate_s", "wall_dma_per_s"] {
        assert!(object[name].as_f64().is_some_and(|value| value > 0.0), "{name} in {stdout}");
    }
    let rate = object["wall_dma_per_s"].as_f64().expect("a rate");
    let seconds = object["wall_simulate_s"].as_f64().expect("a time");
    assert!((rate * seconds - 20_000.0).abs() < 1e-3, "{stdout}");
    if cfg!(target_os = "linux") {
        assert!(object["wall_peak_memory_bytes"].as_u64() > Some(1 << 20), "{stdout}");
    }
}

#[test]
fn nobody_watching_means_no_progress_bar() {
    let place = Workplace::new();
    for more in [&[][..], &["--quiet"]] {
        let outcome = place.run(&[&SHORT[..], more].concat());
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
        assert!(outcome.stdout.starts_with("default: "), "{outcome:?}");
    }
}

#[test]
fn threads_and_batches_change_no_table() {
    let place = Workplace::new();
    let run = |out: &str, more: &[&str]| {
        let arguments = [
            "run",
            "fleet-4096",
            "--set",
            "requests=300000",
            "--set",
            "topology.hosts=6",
            "--log-requests",
            "--json",
            "--out",
            out,
        ];
        let stdout = place.succeed(&[&arguments[..], more].concat());
        (json_without_wall(&stdout), tables(&place.path(out)))
    };
    let (summary, reference) = run("one", &["--threads", "1"]);
    assert_eq!(summary["dma_total"], 300_000);
    for threads in ["2", "4"] {
        let (other, tables) = run(threads, &["--threads", threads]);
        assert_eq!(summary, other, "{threads} threads");
        assert!(reference == tables, "{threads} threads: a table differs");
    }
    for (batch, visit) in [("1", "64"), ("333", "777"), ("16384", "1000000")] {
        let batch_key = format!("engine.batch_requests={batch}");
        let visit_key = format!("engine.visit_requests={visit}");
        let (other, _) = run(&format!("batch-{batch}"), &["--set", &batch_key, "--set", &visit_key]);
        assert_eq!(summary, other, "batches of {batch}");
    }
}

#[test]
fn the_seed_decides() {
    let place = Workplace::new();
    let run = |seed: &str, out: &str| {
        place.succeed(&[&SHORT[..], &["--log-requests", "--seed", seed, "--out", out]].concat());
        tables(&place.path(out))
    };
    let first = run("1", "first");
    assert!(first == run("1", "again"), "the same seed, the same bytes");
    assert!(first != run("2", "other"), "another seed, other requests");
}

#[test]
fn a_reader_that_leaves_early_still_gets_the_report() {
    let place = Workplace::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let command = [&SHORT[..], &["--out", "report"]].concat();
    let output = place.portcullis().args(command).stdout(writer).output().expect("the binary starts");
    let outcome = Outcome::from(output);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    assert!(place.path("report/manifest.json").exists());
}
