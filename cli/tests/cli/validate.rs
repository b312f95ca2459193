//! `portcullis validate` and the machines it runs on.

use serde_json::Value;

use crate::support::Workplace;

fn suite(arguments: &[&str]) -> Value {
    let place = Workplace::new();
    let text = place.succeed(&[&["validate", "--json"], arguments].concat());
    assert_eq!(place.listing().len(), 0, "it leaves nothing behind");
    serde_json::from_str(&text).expect("one JSON object")
}

#[test]
fn a_section_is_one_json_object_of_rows() {
    let suite = suite(&["--section", "2"]);
    assert_eq!((&suite["rows"], &suite["passed"], &suite["missed"]), (&25.into(), &25.into(), &0.into()));
    let rows = suite["checks"].as_array().expect("a list");
    assert_eq!(rows.len(), 25);
    let of_little = rows[24]["what"].as_str().expect("a name");
    assert!(of_little.ends_with("worst of 24 runs: Little"), "{of_little}");
    for row in rows {
        assert_eq!(row["section"], 2, "{row}");
        let [expected, simulated, error] =
            ["expected", "simulated", "error"].map(|name| row[name].as_f64().expect("a number"));
        assert!((simulated / expected - 1.0 - error).abs() < 1e-9, "{row}");
        assert_eq!(row["passed"], error.abs() <= row["tolerance"].as_f64().expect("a number"), "{row}");
        assert!(["calibrated", "predicted"].contains(&row["basis"].as_str().expect("a word")), "{row}");
        assert!(["theory", "measurement"].contains(&row["source"].as_str().expect("a word")), "{row}");
    }
}

#[test]
fn rows_do_not_depend_on_threads() {
    let of = |threads: &str| suite(&["--section", "2", "--threads", threads]);
    assert_eq!(of("1"), of("3"));
}

#[test]
fn a_person_gets_a_table() {
    let table = Workplace::new().succeed(&["validate", "--section", "2"]);
    assert!(table.starts_with("Section 2: PCIe efficiency"), "{table}");
    assert_eq!(table.lines().filter(|line| line.ends_with("pass")).count(), 25, "{table}");
    assert!(table.ends_with("25 of 25 rows are within their tolerance.\n"), "{table}");
}

#[test]
fn a_section_that_is_not_there_is_refused() {
    let place = Workplace::new();
    for section in ["0", "99", "pcie", "-1"] {
        place.refuse(&["validate", "--section", section], &["--section"]);
    }
}

#[test]
fn machines_are_listed_and_printed() {
    let place = Workplace::new();
    let list = place.succeed(&["scenarios", "--machines"]);
    for name in ["broadwell", "haswell", "cascade-lake", "generic-gen4", "generic-gen5"] {
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(name));
        assert!(line.is_some(), "{name}: {list}");
    }
    // A print is a machine of one's own.
    place.file("mine.toml", place.succeed(&["scenarios", "--machines", "haswell"]));
    let of = |machine: &str, out: &str| {
        let machine = format!("machine={machine}");
        let arguments =
            ["run", "window-sweep", "--set", &machine, "--set", "requests=20000", "--json", "--out", out];
        crate::support::json_without_wall(&place.succeed(&arguments))
    };
    let haswell = of("haswell", "named");
    assert_eq!(haswell, of("mine.toml", "file"));
    assert_ne!(haswell, of("broadwell", "other"));
    place.refuse(&["scenarios", "--machines", "abacus"], &["`abacus`", "broadwell"]);
    place.refuse(&["run", "window-sweep", "--set", "machine=abacus"], &["machine=abacus", "broadwell"]);
}

#[test]
fn a_sweep_runs_over_windows_and_machines() {
    let place = Workplace::new();
    let sweep = [
        "sweep",
        "window-sweep",
        "--axis",
        "machine=broadwell,haswell",
        "--axis",
        "tenants.device.memory.pages=64..256:*2",
        "--set",
        "requests=20000",
        "--json",
        "--out",
        "swept",
    ];
    let outcome: Value = serde_json::from_str(&place.succeed(&sweep)).expect("JSON");
    assert_eq!(outcome["points_done"], 6, "{outcome}");
}
