//! Tells the binary which commit it was built from, as `PORTCULLIS_COMMIT`: `unknown` without git.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let commit = commit_of_this_project().unwrap_or_else(|| String::from("unknown"));
    println!("cargo::rustc-env=PORTCULLIS_COMMIT={commit}");
}

/// The commit checked out, if this workspace itself (and not a folder around it) is a git work tree.
fn commit_of_this_project() -> Option<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.canonicalize().ok()?;
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != workspace {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    // The log of HEAD grows with every commit and checkout; HEAD alone changes only with the branch.
    for name in ["HEAD", "logs/HEAD"] {
        let path = workspace.join("cli").join(git(&["rev-parse", "--git-path", name])?);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    Some(commit)
}

/// What git answers, without the line's end; `None` if it is missing or refuses.
fn git(arguments: &[&str]) -> Option<String> {
    let answer = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    answer.status.success().then(|| text.trim_end().to_owned())
}
