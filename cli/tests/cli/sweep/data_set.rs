//! What a sweep leaves.

use std::fs;

use portcullis_reports::{Cells, StoredTable};

use super::{beside_points, data_set, points, six, without_wall};
use crate::support::{Workplace, file_names};

#[test]
fn every_point_is_what_run_makes_of_its_settings() {
    let place = Workplace::new();
    place.succeed(&six(&["--log-requests", "--seed", "3", "--audit", "sample", "--out", "sweep"]));
    for (index, entries, ways) in
        [(0, 64, "4"), (1, 64, "full"), (2, 128, "4"), (3, 128, "full"), (5, 256, "full")]
    {
        let run = format!("run-{index}");
        let (entries_set, ways_set) =
            (format!("iommu.iotlb.entries={entries}"), format!("iommu.iotlb.ways={ways}"));
        place.succeed(&[
            "run",
            "default",
            "--set",
            "requests=3000",
            "--set",
            &entries_set,
            "--set",
            &ways_set,
            "--log-requests",
            "--seed",
            "3",
            "--audit",
            "sample",
            "--out",
            &run,
        ]);
        let point = place.path(&format!("sweep/point={index:06}"));
        assert_eq!(file_names(&point), file_names(&place.path(&run)));
        for file in file_names(&point).into_iter().filter(|name| name.ends_with(".parquet")) {
            let (mut of_sweep, of_run) =
                (without_wall(&point.join(&file)), without_wall(&place.path(&run).join(&file)));
            let rows = of_sweep.rows();
            let axes = of_sweep.columns.split_off(of_run.columns.len());
            assert!(of_sweep.columns == of_run.columns, "{file} of point {index}");
            assert_eq!(of_sweep.row_groups, of_run.row_groups);
            assert_eq!(
                axes,
                [
                    ("iommu.iotlb.entries".into(), Cells::I64(vec![Some(entries); rows])),
                    ("iommu.iotlb.ways".into(), Cells::Text(vec![Some(ways.into()); rows])),
                ]
            );
            for key in ["seed", "scenario", "scenario_toml", "schema_version", "portcullis_version"] {
                assert_eq!(of_sweep.metadata[key], of_run.metadata[key], "{key} of {file}");
            }
            assert!(of_sweep.metadata["meaning"].contains("\"iommu.iotlb.ways\""));
        }
        let manifest =
            |directory: &std::path::Path| portcullis_reports::Manifest::read(directory).expect("a manifest");
        let (of_sweep, of_run) = (manifest(&point), manifest(&place.path(&run)));
        assert_eq!((of_sweep.point, of_run.point), (Some(index), None));
        assert_eq!(of_sweep.scenario_toml, of_run.scenario_toml);
    }
}

#[test]
fn axes_are_typed_and_a_column_of_a_table_stands() {
    let place = Workplace::new();
    place.succeed(&[
        "sweep",
        "default",
        "--set",
        "requests=1000",
        "--zip",
        "--axis",
        "iommu.walkers.memory_ns=60,80.5",
        "--axis",
        "seed=4,5",
        "--axis",
        "tenants.video.attached=true,false",
        "--axis",
        "audit=off,full",
        "--out",
        "sweep",
    ]);
    let read = |file: &str| StoredTable::read(&place.path("sweep/point=000001").join(file)).expect("a table");
    let tenants = read("tenants.parquet");
    let rows = tenants.rows();
    assert_eq!(tenants.column("iommu.walkers.memory_ns"), Some(&Cells::F64(vec![Some(80.5); rows])));
    assert_eq!(tenants.column("seed"), Some(&Cells::I64(vec![Some(5); rows])));
    assert_eq!(tenants.column("tenants.video.attached"), Some(&Cells::Bool(vec![Some(false); rows])));
    assert_eq!(tenants.column("audit"), Some(&Cells::Text(vec![Some("full".into()); rows])));
    let summary = read("summary.parquet");
    assert_eq!(summary.column("seed"), Some(&Cells::U64(vec![Some(5)])), "the summary's own");
    assert_eq!(summary.columns.iter().filter(|(name, _)| name == "seed").count(), 1);
    let first = StoredTable::read(&place.path("sweep/point=000000/summary.parquet")).expect("a table");
    assert_eq!(
        first.column("iommu.walkers.memory_ns"),
        Some(&Cells::F64(vec![Some(60.0)])),
        "one type an axis"
    );
}

#[test]
fn the_plan_is_written_down() {
    let place = Workplace::new();
    place.succeed(&six(&["--seed", "9"]));
    let sweep = place.path("runs/default-sweep");
    assert_eq!(
        beside_points(&sweep),
        [".lock", "sweep.json"],
        "the default directory, and nothing left over"
    );
    let text = fs::read_to_string(sweep.join("sweep.json")).expect("a plan");
    let plan: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&plan["program"], &plan["command"]), (&"portcullis".into(), &"sweep".into()));
    assert_eq!((&plan["points"], &plan["seed"], &plan["zip"]), (&6.into(), &9.into(), &false.into()));
    assert_eq!(plan["axes"][0]["key"], "iommu.iotlb.entries");
    assert_eq!(plan["axes"][0]["type"], "Int64");
    assert_eq!(plan["axes"][0]["values"], serde_json::json!([64, 128, 256]));
    assert_eq!(plan["axes"][1]["values"], serde_json::json!(["4", "full"]));
    assert_eq!(plan["settings"], serde_json::json!(["requests=3000", "seed=9"]));
    assert!(plan["scenario_toml"].as_str().expect("TOML").contains("requests = 3000"));
}

#[test]
fn jobs_change_no_table() {
    let place = Workplace::new();
    place.succeed(&six(&["--repeat", "2", "--jobs", "1", "--out", "one"]));
    place.succeed(&six(&["--repeat", "2", "--jobs", "5", "--out", "five"]));
    let (one, five) = (data_set(&place.path("one")), data_set(&place.path("five")));
    assert_eq!(one.len(), 12 * 5 + 1);
    assert!(one == five);
}

#[test]
fn repeats_make_intervals() {
    let place = Workplace::new();
    place.succeed(&[
        "sweep",
        "default",
        "--set",
        "requests=2000",
        "--axis",
        "iommu.iotlb.entries=64,128",
        "--repeat",
        "3",
        "--seed",
        "5",
        "--out",
        "sweep",
    ]);
    let summaries: Vec<StoredTable> = (0..6)
        .map(|index| {
            StoredTable::read(&place.path(&format!("sweep/point={index:06}/summary.parquet")))
                .expect("a table")
        })
        .collect();
    for (index, summary) in summaries.iter().enumerate() {
        assert_eq!(summary.column("seed"), Some(&Cells::U64(vec![Some(5 + index as u64 % 3)])));
        assert_eq!(summary.column("repeat"), Some(&Cells::I64(vec![Some(index as i64 % 3)])));
    }
    let tenants = StoredTable::read(&place.path("sweep/point=000005/tenants.parquet")).expect("a table");
    assert_eq!(tenants.column("seed"), Some(&Cells::U64(vec![Some(7); 31])));

    let intervals = StoredTable::read(&place.path("sweep/intervals.parquet")).expect("a table");
    let names: Vec<&str> = intervals.columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["iommu.iotlb.entries", "group", "metric", "n", "mean", "low", "high"]);
    let Some(Cells::Text(metrics)) = intervals.column("metric") else { panic!("{names:?}") };
    assert!(
        metrics.iter().flatten().all(|metric| !metric.starts_with("wall_") && metric != "seed"),
        "{metrics:?}"
    );
    let row =
        metrics.iter().rposition(|metric| metric.as_deref() == Some("iotlb_hit_ratio")).expect("the metric");
    let number = |name: &str| match intervals.column(name) {
        Some(Cells::F64(cells)) => cells[row].expect("a number"),
        other => panic!("{name}: {other:?}"),
    };
    let values: Vec<f64> = summaries[3..]
        .iter()
        .map(|summary| match summary.column("iotlb_hit_ratio") {
            Some(Cells::F64(cells)) => cells[0].expect("a ratio"),
            other => panic!("{other:?}"),
        })
        .collect();
    let mean = values.iter().sum::<f64>() / 3.0;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    let half = 4.302_652_729_911_275 * deviation / 3_f64.sqrt();
    assert!((number("mean") - mean).abs() < 1e-12);
    assert!((number("low") - (mean - half)).abs() < 1e-9 && (number("high") - (mean + half)).abs() < 1e-9);
    assert!(deviation > 0.0, "seeds differ");
    assert_eq!(
        intervals.column("n").map(|cells| matches!(cells, Cells::U64(n) if n[row] == Some(3))),
        Some(true)
    );
}

#[test]
fn json_says_what_was_done_and_a_person_gets_a_table() {
    let place = Workplace::new();
    let stdout = place.succeed(&six(&["--json"]));
    assert_eq!(points(&stdout), [6, 6, 0, 0]);
    assert_eq!(stdout.matches('\n').count(), 1);
    let object: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(object["directory"], "runs/default-sweep");
    assert!(object["wall_s"].as_f64() > Some(0.0), "{stdout}");
    let table = place.succeed(&six(&[]));
    for words in [
        "default: 6 points",
        "iommu.iotlb.entries (3) x iommu.iotlb.ways (2)",
        "6 points",
        "hit ratio",
        "p99",
        "runs/default-sweep",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
}

#[test]
fn a_class_of_hosts_can_be_swept() {
    let place = Workplace::new();
    let entries = ["--axis", "hosts.older.iommu.iotlb.entries=64,1024"];
    let sweep = ["sweep", "mixed-fleet", "--set", "requests=3000", "--set", "topology.hosts=7"];
    place.succeed(&[&sweep[..], &entries, &["--axis", "hosts.1.count=5", "--out", "swept"]].concat());
    let [small, large] = [0, 1].map(|point| {
        let tenants = without_wall(&place.path(&format!("swept/point={point:06}/tenants.parquet")));
        let text = |name: &str| match tenants.column(name) {
            Some(Cells::Text(cells)) => cells.clone(),
            other => panic!("{name}: {other:?}"),
        };
        let Some(Cells::U64(hits)) = tenants.column("iotlb_hits") else { panic!("hits are numbers") };
        let rows = text("host_class").into_iter().zip(hits.clone());
        ["dense", "training", "older"].map(|class| {
            let of_class = rows.clone().filter(|(found, _)| found.as_deref() == Some(class));
            of_class.map(|(_, hits)| hits.expect("a number")).sum::<u64>()
        })
    });
    assert_eq!(small[..2], large[..2], "the other classes stay as they are");
    assert!(small[2] < large[2], "{small:?} {large:?}");
    let twice = ["--axis", "hosts.2.iommu.iotlb.entries=64"];
    place.refuse(&[&sweep[..], &entries, &twice].concat(), &["axis `hosts.2.iommu.iotlb.entries`", "twice"]);
    let wrong = ["--axis", "hosts.older.iommu.iotlb.entries=64,0"];
    place.refuse(&[&sweep[..], &wrong].concat(), &["axis `hosts.older.iommu.iotlb.entries`", "value `0`"]);
}
