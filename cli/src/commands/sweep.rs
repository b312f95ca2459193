//! `portcullis sweep`: simulates a scenario at many points and writes a data set.

use crate::arguments::SweepArguments;
use crate::failure::Failure;
use crate::sweep::{Request, list, run};
use crate::{interrupt, stdout};

/// Checks every point, then lists or simulates them, and prints what was done.
///
/// # Errors
/// The scenario, an axis or the output is bad, a point fails, the disk fails, or the user asked to stop.
pub fn sweep(arguments: &SweepArguments) -> Result<(), Failure> {
    interrupt::install()?;
    let request = Request::new(arguments)?;
    if arguments.dry_run {
        return list(&request, arguments.shard, arguments.json);
    }
    let outcome = run(request, arguments)?;
    let text = if arguments.json { outcome.json() } else { outcome.for_a_person() };
    stdout::write(text.as_bytes())?;
    outcome.verdict()
}
