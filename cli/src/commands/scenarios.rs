//! `portcullis scenarios`: which scenarios and machines there are, and what they hold.

use comfy_table::Table;
use portcullis_workloads::{builtins, machines};

use crate::arguments::ScenariosArguments;
use crate::failure::Failure;
use crate::{scenario, stdout, summary};

/// Prints the scenario or machine asked for, or the list of all.
///
/// # Errors
/// There is no such scenario or machine, or stdout cannot be written.
pub fn scenarios(arguments: &ScenariosArguments) -> Result<(), Failure> {
    match &arguments.name {
        Some(name) if arguments.machines => stdout::write(scenario::built_in_machine(name)?.toml.as_bytes()),
        Some(name) => stdout::write(scenario::built_in(name)?.toml.as_bytes()),
        None if arguments.machines => {
            let machines = machines().iter().map(|machine| [machine.name, machine.description]);
            stdout::write(list(["machine", "what it is"], machines).as_bytes())
        }
        None => {
            let scenarios = builtins().iter().map(|builtin| [builtin.name, builtin.question]);
            stdout::write(list(["scenario", "the question it answers"], scenarios).as_bytes())
        }
    }
}

/// Names, each with a line about it.
fn list(header: [&str; 2], rows: impl Iterator<Item = [&'static str; 2]>) -> String {
    let mut table = Table::new();
    table.load_style(summary::RULED).set_header(header);
    table.add_rows(rows);
    format!("{}\n", table.trim_fmt())
}
