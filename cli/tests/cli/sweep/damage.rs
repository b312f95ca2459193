//! Points that are damaged, and points that fail.

use std::fs;
use std::path::Path;

use super::{beside_points, data_set, points, six};
use crate::support::Workplace;

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

#[test]
fn a_damaged_point_is_found_and_made_again() {
    let place = Workplace::new();
    place.succeed(&six(&["--out", "sweep"]));
    let whole = data_set(&place.path("sweep"));
    let point = place.path("sweep/point=000002");
    let damages: [(&str, &dyn Fn()); 8] = [
        ("a table cut short", &|| {
            edit(&point.join("tenants.parquet"), |bytes| bytes.truncate(bytes.len() - 1))
        }),
        ("an empty table", &|| edit(&point.join("summary.parquet"), Vec::clear)),
        ("a flipped bit", &|| edit(&point.join("latency.parquet"), |bytes| bytes[100] ^= 1)),
        ("a missing table", &|| fs::remove_file(point.join("windows.parquet")).expect("removed")),
        ("a missing manifest", &|| fs::remove_file(point.join("manifest.json")).expect("removed")),
        ("a manifest cut short", &|| edit(&point.join("manifest.json"), |bytes| bytes.truncate(50))),
        ("a flipped bit in the manifest", &|| edit(&point.join("manifest.json"), |bytes| bytes[60] ^= 1)),
        ("another point's directory", &|| {
            fs::remove_dir_all(&point).expect("removed");
            fs::create_dir(&point).expect("made");
            for name in crate::support::file_names(&place.path("sweep/point=000003")) {
                fs::copy(place.path("sweep/point=000003").join(&name), point.join(&name)).expect("copied");
            }
        }),
    ];
    for (what, damage) in damages {
        damage();
        let stdout = place.succeed(&six(&["--out", "sweep", "--json"]));
        assert_eq!(points(&stdout), [6, 1, 0, 5], "{what}");
        assert!(stdout.contains("\"points_redone\":1"), "{what}: {stdout}");
        assert!(data_set(&place.path("sweep")) == whole, "{what}");
    }
    let checked = place.succeed(&six(&["--out", "sweep", "--json"]));
    assert_eq!(points(&checked), [6, 0, 0, 6]);
}

/// What someone put in a point's place is not Portcullis' to remove: that point fails, and it alone.
#[test]
fn a_point_that_fails_is_recorded_and_the_rest_go_on() {
    let place = Workplace::new();
    place.succeed(&six(&["--repeat", "2", "--out", "sweep"]));
    let whole = data_set(&place.path("sweep"));
    for point in [3, 4, 9] {
        fs::remove_dir_all(place.path(&format!("sweep/point={point:06}"))).expect("removed");
    }
    fs::create_dir(place.path("sweep/point=000004")).expect("made");
    place.file("sweep/point=000004/notes.txt", "mine");
    for _ in 0..2 {
        let outcome = place.run(&six(&["--repeat", "2", "--out", "sweep", "--json"]));
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        outcome.assert_sentence(&[
            "1 of 12 points failed",
            "point 4",
            "iommu.iotlb.entries=128, iommu.iotlb.ways=4, repeat 0",
            "notes.txt",
            "sweep/failed",
        ]);
        let [total, _, failed, _] = points(&outcome.stdout);
        assert_eq!((total, failed), (12, 1));
        assert!(place.path("sweep/point=000009/manifest.json").exists(), "the rest go on");
        assert_eq!(
            fs::read_to_string(place.path("sweep/point=000004/notes.txt")).expect("still there"),
            "mine"
        );
        assert_eq!(
            beside_points(&place.path("sweep")),
            [".lock", "failed", "intervals.parquet", "sweep.json"]
        );
    }
    let record = fs::read_to_string(place.path("sweep/failed/point=000004.json")).expect("a record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    assert_eq!((&record["point"], &record["seed"]), (&4.into(), &1.into()));
    assert_eq!(
        record["settings"],
        serde_json::json!(["requests=3000", "iommu.iotlb.entries=128", "iommu.iotlb.ways=4"])
    );
    assert!(record["error"].as_str().expect("a sentence").contains("notes.txt"), "{record}");

    fs::remove_dir_all(place.path("sweep/point=000004")).expect("removed");
    assert_eq!(points(&place.succeed(&six(&["--repeat", "2", "--out", "sweep", "--json"]))), [12, 1, 0, 11]);
    assert_eq!(beside_points(&place.path("sweep")), [".lock", "intervals.parquet", "sweep.json"]);
    assert!(data_set(&place.path("sweep")) == whole);
}
