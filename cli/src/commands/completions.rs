//! `portcullis completions`: a script that completes the command line in a shell.

use clap::CommandFactory;

use crate::arguments::{Arguments, CompletionsArguments};
use crate::failure::Failure;
use crate::stdout;

/// Prints the script.
///
/// # Errors
/// Stdout cannot be written.
pub fn completions(arguments: &CompletionsArguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "portcullis", &mut script);
    stdout::write(&script)
}
