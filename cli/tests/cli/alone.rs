//! `run --alone`: what the others cost a class.

use std::path::Path;

use portcullis_reports::{Cells, StoredTable};

use crate::support::{Workplace, file_names, json_without_wall, tables};

const NOISY: [&str; 6] = ["run", "noisy-neighbour", "--set", "requests=60000", "--set", "warmup_us=200"];

/// A column of `slowdown.parquet` as numbers; absent cells are NaN.
fn column(report: &Path, name: &str) -> Vec<f64> {
    let table = StoredTable::read(&report.join("slowdown.parquet")).expect("a table");
    match table.column(name) {
        Some(Cells::F64(cells)) => cells.iter().map(|cell| cell.unwrap_or(f64::NAN)).collect(),
        Some(Cells::U64(cells)) => {
            cells.iter().map(|cell| cell.map_or(f64::NAN, |cell| cell as f64)).collect()
        }
        other => panic!("{name} is no column of numbers: {other:?}"),
    }
}

/// The classes of the rows.
fn classes(report: &Path) -> Vec<String> {
    let table = StoredTable::read(&report.join("slowdown.parquet")).expect("a table");
    let Some(Cells::Text(cells)) = table.column("class") else { panic!("classes have names") };
    cells.iter().map(|cell| cell.clone().expect("a class")).collect()
}

fn run(place: &Workplace, report: &str, arguments: &[&str]) -> String {
    place.succeed(&[&NOISY[..], arguments, &["--out", report]].concat())
}

#[test]
fn a_noisy_neighbour_slows_its_victims_and_not_the_other_way_round() {
    let place = Workplace::new();
    let text = run(&place, "report", &["--alone"]);
    let report = place.path("report");
    let slowdowns = column(&report, "slowdown");
    // A row a class and a row each of its VFs, class after class.
    let expected: Vec<&str> = [&["quiet"; 16][..], &["noisy"; 2]].concat();
    assert_eq!(classes(&report), expected);
    let vfs = column(&report, "vf");
    assert!(vfs[0].is_nan() && vfs[16].is_nan());
    assert_eq!((&vfs[1..16], vfs[17]), (&(0..15).map(f64::from).collect::<Vec<_>>()[..], 15.0));
    assert!(slowdowns[..16].iter().all(|slowdown| *slowdown > 1.02), "{slowdowns:?}");
    assert!((0.99..1.02).contains(&slowdowns[16]), "{slowdowns:?}");
    let [mean, alone] = ["latency_mean_ns", "latency_mean_alone_ns"].map(|name| column(&report, name));
    for (row, slowdown) in slowdowns.iter().enumerate() {
        assert_eq!(*slowdown, mean[row] / alone[row]);
    }
    // Open loops intend the same, whoever else is there.
    assert_eq!(column(&report, "dma_total"), column(&report, "dma_total_alone"));
    for words in ["slowdown: mean latency", "quiet", "noisy", &format!("{:.3}", slowdowns[0])] {
        assert!(text.contains(words), "{words} is missing in {text}");
    }
    let manifest = std::fs::read_to_string(report.join("manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["alone"], serde_json::json!(["quiet", "noisy"]));
}

#[test]
fn a_class_that_is_alone_anyway_is_slowed_by_nobody() {
    let place = Workplace::new();
    for scenario in ["fleet-4096", "dense-1024"] {
        let text = place.succeed(&["scenarios", scenario]);
        assert_eq!(text.matches("[[tenants]]").count(), 1, "{scenario} has one class");
        let small = ["--set", "requests=20000", "--set", "topology.hosts=1"];
        place.succeed(&[&["run", scenario][..], &small, &["--alone", "--out", scenario]].concat());
        let report = place.path(scenario);
        for ratio in ["slowdown", "slowdown_p99", "slowdown_service"] {
            let ratios = column(&report, ratio);
            assert!(ratios.len() > 1 && ratios.iter().all(|ratio| *ratio == 1.0), "{ratio}: {ratios:?}");
        }
        assert_eq!(column(&report, "throughput_gbps"), column(&report, "throughput_alone_gbps"));
    }
}

#[test]
fn the_run_itself_is_the_same_with_and_without() {
    let place = Workplace::new();
    let json = json_without_wall(&run(&place, "without", &["--json"]));
    assert_eq!(json_without_wall(&run(&place, "with", &["--json", "--alone=quiet"])), json);
    let mut with = tables(&place.path("with"));
    with.retain(|(name, _)| name != "slowdown.parquet");
    assert_eq!(with, tables(&place.path("without")));
    assert!(!file_names(&place.path("without")).contains(&"slowdown.parquet".to_owned()));
    assert!(classes(&place.path("with")).iter().all(|class| class == "quiet"));
}

#[test]
fn threads_and_the_order_of_names_change_no_byte() {
    let place = Workplace::new();
    run(&place, "one", &["--alone", "--threads", "1"]);
    run(&place, "two", &["--alone=noisy", "--alone=quiet", "--alone=noisy", "--threads", "2"]);
    assert_eq!(tables(&place.path("one")), tables(&place.path("two")));
}

#[test]
fn the_scenario_may_stand_behind_it() {
    let place = Workplace::new();
    place.succeed(&["run", "--alone", "default", "--set", "requests=5000", "--out", "report"]);
    let mut found = classes(&place.path("report"));
    found.dedup();
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn an_unknown_class_is_refused_with_the_nearest() {
    let place = Workplace::new();
    place.refuse(
        &["run", "noisy-neighbour", "--alone=quite"],
        &["`--alone=quite`", "has no tenant class \"quite\"", "did you mean \"quiet\"?"],
    );
}

/// Without one class, the others are compared with themselves, and that class has no row.
#[test]
fn without_a_class_the_others_are_compared() {
    let place = Workplace::new();
    let report = place.path("thrash");
    let out = report.to_str().expect("a path");
    let text = place.succeed(&[
        "run",
        "iotlb-thrash",
        "--set",
        "requests=60000",
        "--without",
        "attacker",
        "--out",
        out,
    ]);
    assert!(text.contains("victim") && text.contains("slowdown"), "{text}");
    let found = classes(&report);
    assert!(found.iter().all(|class| class == "victim") && found.len() == 13, "{found:?}");
    assert!(column(&report, "slowdown")[0] > 2.0);
    let thrash = ["run", "iotlb-thrash", "--without"];
    place.refuse(
        &[&thrash[..], &["atacker"]].concat(),
        &["`--without atacker`", "did you mean \"attacker\"?"],
    );
    place.refuse(&[&thrash[..], &["attacker", "--without", "victim"]].concat(), &["names every class"]);
    place.refuse(&[&thrash[..], &["attacker", "--alone"]].concat(), &["cannot be used with"]);
}

/// A breach ends with exit code 1, one sentence that says who reached what, and the report is there.
#[test]
fn a_breach_is_told_and_the_report_is_kept() {
    let place = Workplace::new();
    let report = place.path("broken");
    let out = report.to_str().expect("a path");
    let sabotage = ["run", "rogue-vf", "--set", "requests=20000", "--set", "sabotage=wrong_domain_tag"];
    let outcome = place.run(&[&sabotage[..], &["--out", out]].concat());
    assert_eq!(outcome.code, Some(1));
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    for words in ["isolation was broken: at ", " of host 0 reached frame 0x", "which is tenant"] {
        assert!(outcome.stderr.contains(words), "{words}: {}", outcome.stderr);
    }
    assert!(report.join("summary.parquet").exists());
}
