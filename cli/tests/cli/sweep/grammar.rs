//! From the command line, or a file, to points.

use super::{data_set, points, six};
use crate::support::Workplace;

#[test]
fn a_dry_run_lists_the_points_and_leaves_nothing() {
    let place = Workplace::new();
    let list = place.succeed(&six(&["--dry-run"]));
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["point", "iommu.iotlb.entries", "iommu.iotlb.ways", "DMAs"]);
    assert_eq!(lines[1], ["0", "64", "4", "3,000"]);
    assert_eq!(lines[6], ["5", "256", "full", "3,000"]);
    assert_eq!(list.lines().last(), Some("6 points, 18,000 DMAs"));
    let shard = place.succeed(&six(&["--dry-run", "--shard", "2/4"]));
    let numbers: Vec<&str> =
        shard.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(numbers, ["1", "5", "2"], "points 1 and 5, which are 2: {shard}");
    let repeated = place.succeed(&["sweep", "default", "--repeat", "2", "--seed", "7", "--dry-run"]);
    assert!(
        repeated.contains("seed") && repeated.lines().nth(2).is_some_and(|line| line.contains(" 8 ")),
        "{repeated}"
    );
    let json = place.succeed(&six(&["--dry-run", "--json"]));
    assert_eq!(json, "{\"points_total\":6,\"dma_total\":18000}\n");
    let timed = ["sweep", "default", "--axis", "duration_us=100,200", "--dry-run"];
    assert!(place.succeed(&timed).lines().count() == 4, "the DMAs of a duration are estimated");
    assert_eq!(place.listing(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_file_says_the_same_as_the_command_line() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("sub")).expect("a directory");
    let scenario = place.succeed(&["scenarios", "default"]);
    place.file("sub/mine.toml", scenario.replace("name = \"default\"", "name = \"mine\""));
    place.file(
        "sub/sweep.toml",
        "scenario = \"mine.toml\"\nset = { requests = 3000 }\n[axes]\niommu.iotlb.entries = \"64..256:*2\"\n\
         \"iommu.iotlb.ways\" = [4, \"full\"]\n",
    );
    assert_eq!(points(&place.succeed(&["sweep", "sub/sweep.toml", "--json"])), [6, 6, 0, 0]);
    let six_of_mine: Vec<&str> = six(&["--json"])
        .into_iter()
        .map(|word| if word == "default" { "sub/mine.toml" } else { word })
        .collect();
    assert_eq!(points(&place.succeed(&six_of_mine)), [6, 0, 0, 6], "the same plan, in runs/mine-sweep");

    place.succeed(&["sweep", "sub/sweep.toml", "--axis", "audit=off,full", "--repeat", "2", "--out", "more"]);
    assert_eq!(data_set(&place.path("more")).len(), 24 * 5 + 1, "options add to a file");
    place.refuse(&["run", "sub/sweep.toml"], &["`sub/sweep.toml` is a sweep", "`portcullis sweep`"]);
    place.file("bad.toml", "scenario = \"default\"\n\n[axes]\niommu.iotlb.entreis = [64]\n");
    place.refuse(&["sweep", "bad.toml"], &["axis `iommu.iotlb.entreis`", "`iommu.iotlb.entries`"]);
    place.file("worse.toml", "scenario = \"default\"\n[axes]\nseed = \"1..9\"\n");
    place.refuse(&["sweep", "worse.toml"], &["axis `seed`", "needs a step"]);
    place.file("gone.toml", "scenario = \"nowhere.toml\"\n[axes]\nseed = 1\n");
    place.refuse(&["sweep", "gone.toml"], &["nowhere.toml"]);
}

#[test]
fn zipped_axes_advance_together() {
    let place = Workplace::new();
    let zip = [
        "sweep",
        "default",
        "--zip",
        "--set",
        "requests=1000",
        "--axis",
        "iommu.iotlb.entries=64,128",
        "--axis",
        "iommu.iotlb.ways=4,8",
        "--json",
    ];
    assert_eq!(points(&place.succeed(&zip)), [2, 2, 0, 0]);
}
