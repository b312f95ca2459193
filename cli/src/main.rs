//! The `portcullis` command line: it joins scenarios, engine and reports, and owns what they must
//! not know of: arguments, threads, signals, progress, exit codes.

mod arguments;
mod commands;
mod failure;
mod host;
mod human;
mod interrupt;
mod panics;
mod progress;
mod report;
mod scenario;
mod simulate;
mod stdout;
mod summary;
mod sweep;
mod threads;
mod trace;
mod trace_events;
mod validation;

use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;

use arguments::{Arguments, Command, complaint};
use clap::Parser;
use failure::Failure;

fn main() -> ExitCode {
    panics::install(complain);
    let outcome = panic::catch_unwind(|| {
        let arguments = match Arguments::try_parse() {
            Ok(arguments) => arguments,
            Err(answer) if !answer.use_stderr() => {
                return stdout::write(answer.render().to_string().as_bytes());
            }
            Err(error) => return Err(Failure::bad_input(complaint(&error))),
        };
        dispatch(arguments.command)
    });
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            complain(&failure.to_string());
            failure.exit_code()
        }
        Err(_) => ExitCode::from(1),
    }
}

/// Does what was asked.
fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Sweep(arguments) => commands::sweep::sweep(&arguments),
        Command::Replay(arguments) => commands::replay::replay(&arguments),
        Command::Validate(arguments) => commands::validate::validate(&arguments),
        Command::Scenarios(arguments) => commands::scenarios::scenarios(&arguments),
        Command::Completions(arguments) => commands::completions::completions(&arguments),
        Command::Man => commands::man::man(),
    }
}

/// One line on stderr, if there is one to write to.
fn complain(sentence: &str) {
    drop(writeln!(io::stderr(), "portcullis: {sentence}"));
}
