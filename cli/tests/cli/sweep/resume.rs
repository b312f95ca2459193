//! A sweep goes on where it stopped, however it stopped.
#![cfg(unix)]

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portcullis_reports::sweep::point_name;

use super::{beside_points, data_set, fingerprint, points, six};
use crate::support::{Outcome, Workplace, file_names, wait_until};

/// A sweep of 120 points, of which one takes some milliseconds.
const MANY: [&str; 8] = [
    "sweep",
    "default",
    "--set",
    "requests=5000",
    "--axis",
    "iommu.walkers.memory_ns=50..79:1",
    "--axis",
    "iommu.iotlb.entries=64..512:*2",
];

fn start(place: &Workplace, arguments: &[&str]) -> Child {
    let mut command = place.portcullis();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary starts")
}

fn finished_points(place: &Workplace, sweep: &str) -> usize {
    let sweep = place.path(sweep);
    if !sweep.exists() {
        return 0;
    }
    file_names(&sweep).iter().filter(|name| name.starts_with("point=")).count()
}

#[test]
fn a_finished_point_is_never_made_again() {
    let place = Workplace::new();
    place.succeed(&six(&["--out", "sweep"]));
    let before: Vec<_> = (0..6).map(|point| fingerprint(&place, "sweep", point)).collect();
    assert_eq!(points(&place.succeed(&six(&["--out", "sweep", "--json"]))), [6, 0, 0, 6]);
    for point in [1, 4] {
        fs::remove_dir_all(place.path("sweep").join(point_name(point))).expect("removed");
    }
    assert_eq!(points(&place.succeed(&six(&["--out", "sweep", "--json"]))), [6, 2, 0, 4]);
    for point in 0..6 {
        let unchanged = before[point as usize] == fingerprint(&place, "sweep", point);
        assert_eq!(unchanged, ![1, 4].contains(&point), "point {point}");
    }
}

#[test]
fn killed_at_any_time_it_ends_as_if_undisturbed() {
    let place = Workplace::new();
    place.succeed(&[&MANY[..], &["--out", "whole"]].concat());
    let mut draw = 12_345_u64;
    let mut seen: Vec<usize> = Vec::new();
    for _ in 0..20 {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child = start(&place, &[&MANY[..], &["--out", "killed"]].concat());
        // After so many more points, and then at any time; after none of them also while it starts.
        let wanted = seen.last().unwrap_or(&0) + (draw >> 40) as usize % 8;
        wait_until("some points", || finished_points(&place, "killed") >= wanted.min(120));
        thread::sleep(Duration::from_micros(draw >> 50));
        child.kill().expect("killed");
        child.wait().expect("it ends");
        let finished = finished_points(&place, "killed");
        assert!(seen.last().is_none_or(|last| *last <= finished), "a finished point is never lost");
        seen.push(finished);
    }
    assert!(seen[5] < 120, "killed on the way: {seen:?}");
    let [total, done, failed, skipped] =
        points(&place.succeed(&[&MANY[..], &["--out", "killed", "--json"]].concat()));
    assert_eq!((total, failed, done + skipped, skipped), (120, 0, 120, seen[19] as u64));
    assert_eq!(beside_points(&place.path("killed")), [".lock", "sweep.json"]);
    assert!(data_set(&place.path("whole")) == data_set(&place.path("killed")));
}

#[test]
fn interrupted_it_keeps_what_is_finished() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let place = Workplace::new();
        let arguments = [&MANY[..], &["--set", "requests=20000", "--out", "sweep"]].concat();
        let child = start(&place, &arguments);
        wait_until("a finished point", || finished_points(&place, "sweep") > 0);
        kill(Pid::from_raw(child.id().cast_signed()), signal).expect("the child still runs");
        let outcome = Outcome::from(child.wait_with_output().expect("the child ends"));
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(130), ""), "{outcome:?}");
        let finished = finished_points(&place, "sweep");
        assert!((1..120).contains(&finished), "{finished}");
        assert!(
            outcome.stderr.starts_with("portcullis: interrupted; ") && outcome.stderr.contains("goes on"),
            "{outcome:?}"
        );
        assert_eq!(beside_points(&place.path("sweep")), [".lock", "sweep.json"]);
        let [_, _, _, skipped] = points(&place.succeed(&[&arguments[..], &["--json"]].concat()));
        assert_eq!(skipped, finished as u64);
    }
}

#[test]
fn interrupted_in_a_long_point_it_ends_at_once() {
    let place = Workplace::new();
    let long =
        ["sweep", "default", "--set", "requests=1000000000000", "--axis", "seed=1,2,3", "--out", "new/sweep"];
    let child = start(&place, &long);
    wait_until("the plan", || place.path("new/sweep/sweep.json").exists());
    thread::sleep(Duration::from_millis(200));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("the child still runs");
    let outcome = Outcome::from(child.wait_with_output().expect("the child ends"));
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    assert_eq!(file_names(&place.path("new/sweep")), [".lock", "sweep.json"]);
}

/// The limit on a file's size stands for a disk that is full: no table can be written.
#[test]
fn a_full_disk_ends_the_sweep_and_keeps_what_is_finished() {
    let place = Workplace::new();
    place.succeed(&six(&["--out", "sweep"]));
    for point in [2, 3, 5] {
        fs::remove_dir_all(place.path("sweep").join(point_name(point))).expect("removed");
    }
    let before = data_set(&place.path("sweep"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_portcullis")]);
    shell.args(six(&["--out", "sweep"])).current_dir(place.path(""));
    let limited = Outcome::from(shell.output().expect("a shell"));
    limited.assert_error(1, &["cannot write `sweep", "File too large", "the same command goes on"]);
    assert_eq!(beside_points(&place.path("sweep")), [".lock", "sweep.json"]);
    assert!(data_set(&place.path("sweep")) == before);
    assert_eq!(points(&place.succeed(&six(&["--out", "sweep", "--json"]))), [6, 3, 0, 3]);
}
