//! Where a report may go, and that it appears whole or not at all.

use std::fs;
use std::thread;

use crate::support::{Outcome, SHORT, Workplace, file_names, fixture};

/// `run` and `replay`, each with this `--out`.
fn both(out: &str) -> [Vec<String>; 2] {
    let own = |arguments: &[&str]| arguments.iter().map(ToString::to_string).collect::<Vec<_>>();
    let trace = fixture();
    let trace = trace.to_str().expect("a path in UTF-8");
    [own(&[&SHORT[..], &["--out", out]].concat()), own(&["replay", trace, "--out", out])]
}

fn refuse_both(place: &Workplace, out: &str, more: &[&str], words: &[&str]) {
    for command in both(out) {
        let command: Vec<&str> = command.iter().map(String::as_str).chain(more.iter().copied()).collect();
        place.refuse(&command, words);
    }
}

#[test]
fn a_place_that_cannot_be_is_refused_before_anything_is_simulated() {
    let place = Workplace::new();
    place.file("file", "precious");
    refuse_both(&place, "file/report", &[], &["file/report"]);
    refuse_both(&place, "file/deeper/report", &[], &["file/deeper/report"]);
    refuse_both(&place, "file", &[], &["`file`", "already exists", "--force"]);
    refuse_both(&place, "file", &["--force"], &["`file`", "not a directory"]);
    refuse_both(&place, "", &[], &[]);
    refuse_both(&place, "/", &[], &["`/`"]);
    refuse_both(&place, "..", &["--force"], &["`..`"]);
    refuse_both(&place, &format!("new/{}", "n".repeat(300)), &[], &["too long"]);
    assert_eq!(fs::read_to_string(place.path("file")).expect("still there"), "precious");
}

#[test]
fn a_bad_scenario_touches_no_output() {
    let place = Workplace::new();
    place.refuse(&["run", "nonsense", "--out", "new/report"], &["nonsense"]);
    place.refuse(&["run", "--set", "iommu.iotlb.entries=0", "--out", "new/report"], &["entries"]);
    place.refuse(&["replay", "nonsense", "--out", "new/report"], &["nonsense"]);
}

#[test]
fn a_report_is_replaced_only_when_told_and_only_if_it_is_one() {
    let place = Workplace::new();
    let run = |seed: &str, more: &[&str]| {
        place.run(&[&SHORT[..], &["--out", "report", "--seed", seed], more].concat())
    };
    let seed = || {
        let manifest = fs::read_to_string(place.path("report/manifest.json")).expect("a manifest");
        serde_json::from_str::<serde_json::Value>(&manifest).expect("JSON")["seed"].clone()
    };
    assert_eq!(run("1", &[]).code, Some(0));
    run("2", &[]).assert_error(2, &["`report`", "already exists", "--force"]);
    assert_eq!(seed(), 1);
    assert_eq!(run("3", &["--force"]).code, Some(0));
    assert_eq!(seed(), 3);

    place.file("report/notes.txt", "mine");
    run("4", &["--force"]).assert_error(2, &["`report`", "notes.txt"]);
    assert_eq!(seed(), 3);
    assert_eq!(fs::read_to_string(place.path("report/notes.txt")).expect("still there"), "mine");
    assert_eq!(file_names(&place.path("")), ["report"]);
}

#[test]
fn a_directory_of_someone_else_is_never_replaced() {
    let place = Workplace::new();
    fs::create_dir(place.path("mine")).expect("a directory");
    refuse_both(&place, "mine", &["--force"], &["`mine`"]);
    place.file("mine/summary.parquet", "not ours");
    refuse_both(&place, "mine", &["--force"], &["`mine`"]);
    place.file("mine/manifest.json", "{\"program\": \"another\"}");
    refuse_both(&place, "mine", &["--force"], &["`mine`"]);
}

#[cfg(unix)]
#[test]
fn a_link_is_not_followed_by_force() {
    let place = Workplace::new();
    place.succeed(&[&SHORT[..], &["--out", "report"]].concat());
    std::os::unix::fs::symlink("report", place.path("link")).expect("a link");
    refuse_both(&place, "link", &[], &["`link`", "already exists"]);
    refuse_both(&place, "link", &["--force"], &["`link`"]);
    assert!(place.path("report/manifest.json").exists());
}

#[test]
fn missing_parents_are_made() {
    let place = Workplace::new();
    place.succeed(&[&SHORT[..], &["--out", "a/b/report"]].concat());
    assert!(place.path("a/b/report/summary.parquet").exists());
    assert_eq!(file_names(&place.path("a/b")), ["report"]);
}

#[test]
fn runs_that_start_together_get_directories_of_their_own() {
    let place = Workplace::new();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| place.succeed(&SHORT));
        }
    });
    let reports = file_names(&place.path("runs"));
    assert_eq!(reports.len(), 6, "{reports:?}");
    for report in reports {
        assert!(place.path("runs").join(&report).join("manifest.json").exists(), "{report}");
    }
}

/// The limit on a file's size stands for a disk that fills up: writing fails in the middle.
#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_fails_the_run_and_leaves_nothing() {
    let place = Workplace::new();
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    let before = place.listing();
    let run = ["run", "--log-requests", "--out", "new/report"].map(String::from).to_vec();
    for command in [run, both("new/report")[1].clone()] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", limited, env!("CARGO_BIN_EXE_portcullis")]).args(command);
        let output = shell.current_dir(place.path("")).output().expect("a shell");
        Outcome::from(output)
            .assert_error(1, &["cannot write `new/report/requests.parquet`", "File too large"]);
        assert_eq!(place.listing(), before);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stdout_fails_but_the_report_is_there() {
    let place = Workplace::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let command = [&SHORT[..], &["--out", "report"]].concat();
    let output = place.portcullis().args(command).stdout(full).output().expect("the binary starts");
    Outcome::from(output).assert_error(1, &["stdout"]);
    assert!(place.path("report/manifest.json").exists());
}
