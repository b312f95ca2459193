//! `sweep`: its data set, resuming, sharing, failing, and everything it refuses.

mod damage;
mod data_set;
mod grammar;
mod refusal;
mod resume;
mod shards;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use portcullis_reports::StoredTable;
use portcullis_reports::sweep::point_name;

use crate::support::{Workplace, file_names};

/// A sweep of six points that takes no time.
const SIX: [&str; 8] = [
    "sweep",
    "default",
    "--set",
    "requests=3000",
    "--axis",
    "iommu.iotlb.entries=64..256:*2",
    "--axis",
    "iommu.iotlb.ways=4,full",
];

/// `SIX` with more arguments.
fn six<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SIX[..], more].concat()
}

/// Every table of every point, without what depends on the host, and the intervals: the bytes of the
/// files, but for summaries, which have columns `wall_*`.
fn data_set(sweep: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut tables = BTreeMap::new();
    for point in file_names(sweep).into_iter().filter(|name| name.starts_with("point=")) {
        for file in file_names(&sweep.join(&point)).into_iter().filter(|name| name.ends_with(".parquet")) {
            let path = sweep.join(&point).join(&file);
            let bytes = match file.as_str() {
                "summary.parquet" => format!("{:?}", without_wall(&path)).into_bytes(),
                _ => fs::read(&path).expect("a table"),
            };
            tables.insert(format!("{point}/{file}"), bytes);
        }
    }
    if let Ok(bytes) = fs::read(sweep.join("intervals.parquet")) {
        tables.insert("intervals".into(), bytes);
    }
    tables
}

fn without_wall(file: &Path) -> StoredTable {
    let mut table = StoredTable::read(file).expect("a table");
    table.columns = table.without_wall();
    table
}

/// What `--json` says: total, done, failed, skipped.
fn points(stdout: &str) -> [u64; 4] {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(stdout).expect("one object");
    assert!(object.values().all(|value| !value.is_object() && !value.is_array()), "{stdout}");
    ["total", "done", "failed", "skipped"]
        .map(|name| object[&format!("points_{name}")].as_u64().expect("a count"))
}

/// Names in the directory of a sweep that are no points.
fn beside_points(sweep: &Path) -> Vec<String> {
    file_names(sweep).into_iter().filter(|name| !name.starts_with("point=")).collect()
}

/// Inode and time of change of every file of a point: what stays if nothing touches it.
#[cfg(unix)]
fn fingerprint(place: &Workplace, sweep: &str, point: u64) -> Vec<(String, u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt;

    let point = place.path(sweep).join(point_name(point));
    let file = |name: String| {
        let metadata = fs::metadata(point.join(&name)).expect("a file");
        (name, metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    };
    file_names(&point).into_iter().map(file).collect()
}
