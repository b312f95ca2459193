//! Ctrl-C and SIGTERM: exit code 130, and nothing left behind.
#![cfg(unix)]

use std::io::Write;
use std::process::{Child, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Outcome, Workplace, wait_until};

/// Sends `signal` once the child has begun to write its report, and checks how it ends.
fn interrupt(place: &Workplace, child: Child, signal: Signal) {
    wait_until("a report under way", || place.path("new").exists());
    // The hidden directory is there before the world is built; give the run time to be in its rounds.
    thread::sleep(std::time::Duration::from_millis(300));
    kill(Pid::from_raw(child.id().cast_signed()), signal).expect("the child still runs");
    let outcome = Outcome::from(child.wait_with_output().expect("the child ends"));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(130), ""), "{outcome:?}");
    assert_eq!(outcome.stderr, "portcullis: interrupted; nothing was kept\n");
    assert_eq!(place.listing(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let place = Workplace::new();
        let endless = ["run", "--set", "requests=1000000000000", "--log-requests", "--out", "new/report"];
        let mut command = place.portcullis();
        command.args(endless).stdout(Stdio::piped()).stderr(Stdio::piped());
        interrupt(&place, command.spawn().expect("the binary starts"), signal);
    }
}

#[test]
fn an_interrupted_run_of_classes_alone_leaves_nothing() {
    let place = Workplace::new();
    let endless = ["run", "--alone", "--set", "requests=1000000000000", "--out", "new/report"];
    let mut command = place.portcullis();
    command.args(endless).stdout(Stdio::piped()).stderr(Stdio::piped());
    interrupt(&place, command.spawn().expect("the binary starts"), Signal::SIGINT);
}

#[test]
fn an_interrupted_replay_leaves_nothing() {
    let place = Workplace::new();
    let mut command = place.portcullis();
    command.args(["replay", "/dev/stdin", "--out", "new/report"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut trace = child.stdin.take().expect("a pipe");
    let writer = thread::spawn(move || {
        let mut written = trace.write_all(b"event,device,domain,iova,length,op\nattach,1,1,,,\n");
        while written.is_ok() {
            written = trace.write_all("dma,1,,0x1000,64,r\n".repeat(1_000).as_bytes());
        }
    });
    interrupt(&place, child, Signal::SIGINT);
    writer.join().expect("the pipe closes");
}
