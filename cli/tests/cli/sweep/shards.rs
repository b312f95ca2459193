//! Several processes, one sweep.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::thread;

use super::{data_set, points, six};
use crate::support::{Workplace, file_names, wait_until};

#[test]
fn the_union_of_the_shards_is_the_sweep() {
    let place = Workplace::new();
    place.succeed(&six(&["--repeat", "2", "--out", "whole"]));
    let whole = data_set(&place.path("whole"));
    // At the same time, into one directory.
    thread::scope(|scope| {
        for shard in ["1/3", "2/3", "3/3"] {
            let place = &place;
            scope.spawn(move || {
                let stdout =
                    place.succeed(&six(&["--repeat", "2", "--shard", shard, "--json", "--out", "shared"]));
                assert_eq!(points(&stdout), [4, 4, 0, 0], "{shard}");
            });
        }
    });
    assert!(data_set(&place.path("shared")) == whole);
    assert_eq!(file_names(&place.path("shared")), file_names(&place.path("whole")));

    // Into directories of their own.
    let mut union = BTreeMap::new();
    for shard in 1..=5 {
        let out = format!("own-{shard}");
        place.succeed(&six(&["--repeat", "2", "--shard", &format!("{shard}/5"), "--out", &out]));
        let tables = data_set(&place.path(&out));
        assert!(tables.keys().all(|name| !union.contains_key(name)), "shards share no point");
        union.extend(tables);
    }
    let mut points_only = whole;
    points_only.remove("intervals");
    assert!(union == points_only);
}

/// Domains that are switched, each way: a point of a shard is what it is in the whole sweep, and what `run` makes of it.
#[test]
fn a_point_with_switches_is_the_same_in_any_shard() {
    let place = Workplace::new();
    let sweep = |out: &str, more: &[&str]| {
        let axes = ["--axis", "silence.mode=silence,atomic_replace", "--axis", "silence.scope=adapter,vf"];
        let often = ["--set", "requests=9000", "--set", "switches.every_us=90", "--out", out];
        place.succeed(&[&["sweep", "silence-vs-atomic"][..], &axes, &often, more].concat());
        data_set(&place.path(out))
    };
    let whole = sweep("whole", &["--jobs", "2"]);
    let mut union = sweep("odd", &["--shard", "1/2"]);
    union.extend(sweep("even", &["--shard", "2/2", "--jobs", "1"]));
    assert!(union == whole);
}

#[test]
fn a_shard_without_points_is_done() {
    let place = Workplace::new();
    assert_eq!(points(&place.succeed(&six(&["--shard", "9/9", "--json"]))), [0, 0, 0, 0]);
}

#[test]
fn what_a_living_process_writes_is_left_alone() {
    let place = Workplace::new();
    let long = ["sweep", "default", "--axis", "requests=1000000000000,1000", "--out", "sweep", "--json"];
    let shard = |number| [&long[..], &["--shard", number]].concat();
    let mut first = place.portcullis();
    first.args(shard("1/2")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut first = first.spawn().expect("the binary starts");
    let running = || {
        let sweep = place.path("sweep");
        let names = if sweep.exists() { file_names(&sweep) } else { Vec::new() };
        names.into_iter().filter(|name| name.starts_with(".running-")).collect::<Vec<_>>()
    };
    let at_work =
        || running().first().is_some_and(|name| file_names(&place.path("sweep").join(name)).len() > 1);
    wait_until("a point under way", at_work);
    assert_eq!(points(&place.succeed(&shard("2/2"))), [1, 1, 0, 0]);
    assert!(at_work() && running().len() == 1, "the first still writes");
    for rival in [&shard("1/2")[..], &long, &shard("3/4"), &[&shard("2/2")[..], &["--force"]].concat()] {
        let outcome = place.run(rival);
        outcome.assert_error(2, &["`sweep` is at work", "shard 1/2"]);
    }
    first.kill().expect("killed");
    first.wait().expect("it ends");
    assert_eq!(running().len(), 1, "left by the killed");
    assert_eq!(points(&place.succeed(&shard("2/2"))), [1, 0, 0, 1]);
    assert_eq!(running().len(), 0, "and removed by the next");
}
