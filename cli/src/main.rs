//! The `portcullis` command line: it joins scenarios, engine and reports, and owns what they must
//! not know of: arguments, threads, signals, progress, exit codes.

mod arguments;
mod commands;
mod failure;
mod host;
mod human;
mod interrupt;
mod progress;
mod report;
mod scenario;
mod stdout;
mod summary;
mod trace;

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::sync::Once;

use arguments::{Arguments, Command, complaint};
use clap::Parser;
use failure::Failure;

fn main() -> ExitCode {
    panic::set_hook(Box::new(report_panic));
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
        Command::Replay(arguments) => commands::replay::replay(&arguments),
        Command::Scenarios(arguments) => commands::scenarios::scenarios(&arguments),
        Command::Completions(arguments) => commands::completions::completions(&arguments),
        Command::Man => commands::man::man(),
    }
}

/// A broken assertion, in one sentence, once, however many threads break it; unwinding then removes
/// what was half written.
fn report_panic(info: &PanicHookInfo<'_>) {
    static REPORTED: Once = Once::new();
    REPORTED.call_once(|| {
        let what = failure::one_line(info.payload_as_str().unwrap_or("unknown"));
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        complain(&format!("error: this is a mistake in Portcullis itself, at {place}: {what}"));
    });
}

/// One line on stderr, if there is one to write to.
fn complain(sentence: &str) {
    drop(writeln!(io::stderr(), "portcullis: {sentence}"));
}
