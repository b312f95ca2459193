//! Hostile input: one sentence, exit code 2, nothing left behind.

use std::fs;

use super::{SIX, points, six};
use crate::support::{SHORT, Workplace};

#[test]
fn a_bad_axis_is_refused_by_name() {
    let place = Workplace::new();
    let refuse = |axes: &[&str], words: &[&str]| {
        let axes: Vec<&str> = axes.iter().flat_map(|axis| ["--axis", axis]).collect();
        place.refuse(&[&["sweep", "default"], &axes[..]].concat(), words);
    };
    refuse(&[], &["nothing to sweep", "--axis"]);
    refuse(&[""], &["key=values"]);
    refuse(&["iommu.iotlb.entries"], &["`iommu.iotlb.entries`", "key=values"]);
    refuse(&["iommu.iotlb.entries="], &["axis `iommu.iotlb.entries`", "no values"]);
    refuse(&["iommu.iotlb.entries=64,,128"], &["axis `iommu.iotlb.entries`", "value 2", "empty"]);
    refuse(
        &["iommu.iotlb.entreis=64"],
        &["axis `iommu.iotlb.entreis`", "did you mean `iommu.iotlb.entries`?"],
    );
    refuse(&["iommu.iotlb.entries=64,many"], &["axis `iommu.iotlb.entries`", "value `many`", "whole number"]);
    refuse(&["iommu.iotlb.entries=64,0"], &["axis `iommu.iotlb.entries`", "value `0`"]);
    refuse(&["iommu.iotlb.entries=1e9"], &["axis `iommu.iotlb.entries`", "value `1e9`"]);
    refuse(&["iommu.iotlb.entries=64", "iommu.iotlb.ways=4,5"], &["axis `iommu.iotlb.", "ways", "5"]);
    refuse(&["iommu.iotlb.entries=64..128:0"], &["axis `iommu.iotlb.entries`", "step is 0"]);
    refuse(&["seed=1,2", "seed=3"], &["axis `seed`", "twice"]);
    refuse(&["seed=1,1"], &["axis `seed`", "`1`", "twice"]);
    refuse(&["seed=0..1000000:1"], &["axis `seed`", "1000000"]);
    refuse(&["seed=1..1000:1", "requests=1..1001:1"], &["1000000 points"]);
    refuse(&["topology.vfs_per_adapter=31,1000000000"], &["axis `topology.vfs_per_adapter`"]);
    refuse(&["name=../escape"], &["axis `name`"]);
    refuse(&["a\u{1b}[2J=1"], &["unknown key"]);
}

#[test]
fn a_bad_option_is_refused() {
    let place = Workplace::new();
    place.refuse(&["sweep"], &["<SCENARIO>"]);
    place.refuse(&["sweep", "nonsense", "--axis", "seed=1"], &["nonsense"]);
    for (shard, words) in [
        ("0/3", "between 1 and 3"),
        ("3/2", "between 1 and 2"),
        ("1/0", "number of shards"),
        ("1", "I/N"),
        ("a/b", "I/N"),
        ("-1/2", "I/N"),
        ("", "I/N"),
    ] {
        place.refuse(&six(&[&format!("--shard={shard}")]), &["--shard", words]);
    }
    place.refuse(&six(&["--jobs", "0"]), &["--jobs", "between 1 and 1024"]);
    place.refuse(&six(&["--jobs", "1025"]), &["--jobs", "between 1 and 1024"]);
    for repeat in ["0", "1", "10001"] {
        place.refuse(&six(&["--repeat", repeat]), &["repeat is", repeat]);
    }
    place.refuse(&six(&["--repeat", "-1"]), &["-1"]);
    place.refuse(&six(&["--zip"]), &["axis `iommu.iotlb.ways`", "2 values", "3 values"]);
    place.refuse(&six(&["--set", "iommu.iotlb.ways=2"]), &["axis `iommu.iotlb.ways`", "also set"]);
    place.refuse(&six(&["--axis", "seed=1,2", "--seed", "1"]), &["axis `seed`", "also set"]);
    place.refuse(&six(&["--axis", "seed=1,2", "--repeat", "2"]), &["axis `seed`", "repeats"]);
    place.refuse(&six(&["--set", "nonsense=2"]), &["--set nonsense=2", "unknown key"]);
    place.refuse(&six(&["--set", "nonsense"]), &["--set nonsense", "key=value"]);
}

#[test]
fn a_bad_place_is_refused() {
    let place = Workplace::new();
    place.file("file", "precious");
    fs::create_dir(place.path("mine")).expect("a directory");
    place.file("mine/notes.txt", "precious");
    place.succeed(&[&SHORT[..], &["--out", "report"]].concat());
    for force in [&[][..], &["--force"]] {
        let refuse =
            |out: &str, words: &[&str]| place.refuse(&[&six(&["--out", out])[..], force].concat(), words);
        refuse("file", &["`file`", "not a directory"]);
        refuse("file/sweep", &["file/sweep"]);
        refuse("mine", &["`mine`"]);
        refuse("report", &["`report`"]);
        refuse("", &[]);
        refuse("..", &["`..`"]);
        refuse("/", &["`/`"]);
        refuse(&format!("new/{}", "n".repeat(300)), &["too long"]);
    }
    place.file("mine/sweep.json", "{\"program\": \"another\"}");
    place.refuse(&six(&["--out", "mine"]), &["mine/sweep.json"]);
    place.refuse(&six(&["--out", "mine", "--force"]), &["`mine`"]);
}

#[test]
fn an_empty_directory_will_do() {
    let place = Workplace::new();
    fs::create_dir(place.path("empty")).expect("a directory");
    assert_eq!(points(&place.succeed(&six(&["--out", "empty", "--json"]))), [6, 6, 0, 0]);
}

#[test]
fn another_plan_is_refused_with_the_difference() {
    let place = Workplace::new();
    place.succeed(&six(&["--out", "sweep"]));
    let before = super::data_set(&place.path("sweep"));
    let refuse = |arguments: &[&str], words: &[&str]| {
        let words = [&["`sweep` holds another sweep", "--out", "--force"], words].concat();
        place.refuse(&[arguments, &["--out", "sweep"]].concat(), &words);
    };
    let with = |old: &str, new: &'static str| SIX.map(|word| if word == old { new } else { word });
    refuse(&with("default", "nic-rings"), &["scenario is default there and nic-rings here"]);
    refuse(&with("requests=3000", "requests=3001"), &["requests = 3000", "requests = 3001"]);
    refuse(
        &with("iommu.iotlb.ways=4,full", "iommu.iotlb.ways=8,full"),
        &["axis `iommu.iotlb.ways`", "\"4\"", "\"8\""],
    );
    refuse(
        &with("iommu.iotlb.ways=4,full", "iommu.iotlb.ways=4"),
        &["axis `iommu.iotlb.ways`", "2 values there and 1 here"],
    );
    refuse(
        &with("iommu.iotlb.ways=4,full", "iommu.iotlb.replacement=lru,fifo"),
        &["axis `iommu.iotlb.ways` is there"],
    );
    refuse(&six(&["--axis", "audit=off,full"]), &["axis `audit` is here"]);
    refuse(&six(&["--repeat", "2"]), &["--repeat is none there and 2 here"]);
    refuse(&six(&["--seed", "2"]), &["seed is 1 there and 2 here"]);
    refuse(&six(&["--log-requests"]), &["--log-requests is here"]);
    refuse(&six(&["--set", "iommu.walkers.count=8"]), &["[iommu.walkers]", "count = 16", "count = 8"]);
    assert!(before == super::data_set(&place.path("sweep")));
    // Another way to ask for the same.
    let same = with("iommu.iotlb.entries=64..256:*2", "iommu.iotlb.entries=0x40,128,256");
    let same =
        [&same[..], &["--set", "iommu.walkers.count=16", "--seed", "1", "--json", "--out", "sweep"]].concat();
    assert_eq!(points(&place.succeed(&same)), [6, 0, 0, 6]);
}

#[test]
fn force_starts_anew_and_removes_only_what_is_ours() {
    let place = Workplace::new();
    place.succeed(&six(&["--repeat", "2", "--out", "sweep"]));
    let other = [
        "sweep",
        "default",
        "--set",
        "requests=500",
        "--axis",
        "seed=1,2",
        "--json",
        "--force",
        "--out",
        "sweep",
    ];
    assert_eq!(points(&place.succeed(&other)), [2, 2, 0, 0]);
    let names = crate::support::file_names(&place.path("sweep"));
    assert_eq!(names, [".lock", "point=000000", "point=000001", "sweep.json"]);
    for foreign in ["sweep/notes.txt", "sweep/point=000001/notes.txt"] {
        place.file(foreign, "mine");
        place.refuse(&other, &["`sweep` is not replaced", foreign.trim_start_matches("sweep/")]);
        fs::remove_file(place.path(foreign)).expect("removed");
    }
    assert_eq!(points(&place.succeed(&other)), [2, 2, 0, 0]);
    assert_eq!(points(&place.succeed(&[&other[..7], &["--out", "fresh", "--force"]].concat())), [2, 2, 0, 0]);
}
