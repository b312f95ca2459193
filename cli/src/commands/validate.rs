//! `portcullis validate`: theory and measurements beside the simulation.

use portcullis_workloads::validation::{Check, Section};

use crate::arguments::ValidateArguments;
use crate::failure::Failure;
use crate::validation::{json, run, table};
use crate::{interrupt, stdout};

/// Runs the sections asked for, prints their rows.
///
/// # Errors
/// A row misses its tolerance, or the user asked to stop.
pub fn validate(arguments: &ValidateArguments) -> Result<(), Failure> {
    interrupt::install()?;
    let asked = |section: &Section| arguments.sections.is_empty() || arguments.sections.contains(section);
    let checks: Vec<Check> =
        Section::ALL.into_iter().filter(asked).flat_map(|section| section.checks()).collect();
    let rows = run(checks, arguments.threads, arguments.quiet)?;
    let text = if arguments.json { json(&rows) } else { table(&rows) };
    stdout::write(text.as_bytes())?;
    match rows.iter().filter(|(_, verdict)| !verdict.passed).count() {
        0 => Ok(()),
        missed => Err(Failure::failed(format_args!("{missed} of {} rows miss their tolerance", rows.len()))),
    }
}
