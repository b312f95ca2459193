//! The command line itself: help, version, mistakes, and what is generated from its grammar.

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::support::{Outcome, Workplace};

#[test]
fn a_wrong_command_line_is_refused_in_one_sentence() {
    let place = Workplace::new();
    place.refuse(&[], &["subcommand", "run", "replay"]);
    place.refuse(&["replya"], &["'replya'", "'replay'"]);
    place.refuse(&["run", "--frobnicate"], &["'--frobnicate'"]);
    place.refuse(&["run", "default", "default"], &["'default'"]);
    place.refuse(&["run", "--threads", "0"], &["--threads", "between 1 and 1024"]);
    place.refuse(&["run", "--threads", "1025"], &["--threads", "between 1 and 1024"]);
    place.refuse(&["run", "--threads", "-1"], &["-1"]);
    place.refuse(&["run", "--threads", "two"], &["--threads", "between 1 and 1024"]);
    place.refuse(&["run", "--seed", "-1"], &["-1"]);
    place.refuse(&["run", "--seed", "0.5"], &["--seed", "0.5"]);
    place.refuse(&["run", "--seed", "18446744073709551616"], &["--seed"]);
    place.refuse(&["run", "--audit", "some"], &["--audit", "full, sample, off"]);
    place.refuse(&["run", "--out"], &["--out"]);
    place.refuse(&["replay"], &["<EVENTS>"]);
    place.refuse(&["replay", "trace.csv", "--threads", "2"], &["--threads"]);
    place.refuse(&["replay", "trace.csv", "--log-requests"], &["--log-requests"]);
    place.refuse(&["scenarios", "a", "b"], &["'b'"]);
    place.refuse(&["completions"], &["<SHELL>"]);
    place.refuse(&["completions", "cmd"], &["'cmd'", "bash"]);
    place.refuse(&["man", "run"], &["'run'"]);
}

#[cfg(unix)]
#[test]
fn arguments_that_are_no_text_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let place = Workplace::new();
    let junk = OsStr::from_bytes(b"\xff\xfe");
    let output = place.portcullis().arg("run").arg(junk).output().expect("the binary starts");
    Outcome::from(output).assert_error(2, &["UTF-8"]);
    let output = place.portcullis().arg("replay").arg(junk).output().expect("the binary starts");
    Outcome::from(output).assert_error(2, &["cannot read"]);
}

#[test]
fn help_is_there_for_every_command() {
    let place = Workplace::new();
    assert!(place.succeed(&["--help"]).contains("Exit codes"));
    for command in ["run", "sweep", "replay"] {
        let help = place.succeed(&[command, "--help"]);
        assert!(help.contains(&format!("Usage: portcullis {command}")), "{help}");
        assert!(help.contains("Examples:"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
    for command in ["scenarios", "completions", "man"] {
        assert!(place.succeed(&[command, "--help"]).contains(&format!("Usage: portcullis {command}")));
    }
}

#[test]
fn the_version_names_the_release_and_the_commit() {
    let version = Workplace::new().succeed(&["--version"]);
    let commit = version.strip_prefix(concat!("portcullis ", env!("CARGO_PKG_VERSION"), " ("));
    let commit = commit.and_then(|rest| rest.strip_suffix(")\n")).expect("a commit in brackets");
    let hexadecimal = commit.len() == 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(hexadecimal || commit == "unknown", "{commit}");
}

#[test]
fn every_shell_gets_a_script_that_knows_the_options() {
    let place = Workplace::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.succeed(&["completions", shell]);
        assert!(script.contains("log-requests") && script.contains("replay"), "{shell}: {script}");
    }
}

#[test]
fn the_manual_page_describes_every_command() {
    let page = Workplace::new().succeed(&["man"]);
    assert!(page.contains(".TH portcullis"), "{page}");
    for heading in [
        "NAME",
        "SYNOPSIS",
        "\"PORTCULLIS RUN\"",
        "\"PORTCULLIS SWEEP\"",
        "\"PORTCULLIS REPLAY\"",
        "\"PORTCULLIS VALIDATE\"",
        "VERSION",
    ] {
        assert!(page.lines().any(|line| line == format!(".SH {heading}")), "{heading}: {page}");
    }
    assert!(page.contains("log\\-requests"), "{page}");
    assert_eq!(page.matches("EXAMPLES\n.nf\n").count(), 5, "{page}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let place = Workplace::new();
    for arguments in
        [&["man"][..], &["scenarios"], &["scenarios", "default"], &["--help"], &["completions", "zsh"]]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = place.portcullis().args(arguments).stdout(writer).output().expect("the binary starts");
        let outcome = Outcome::from(output);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stdout_is_a_failure() {
    let place = Workplace::new();
    let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output = place.portcullis().arg("man").stdout(full).output().expect("the binary starts");
    Outcome::from(output).assert_error(1, &["stdout", "No space left"]);
}

#[test]
fn a_closed_stderr_changes_no_exit_code() {
    let place = Workplace::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = place.portcullis().arg("nonsense").stdout(Stdio::null()).stderr(writer).status();
    assert_eq!(status.expect("the binary starts").code(), Some(2));
}
