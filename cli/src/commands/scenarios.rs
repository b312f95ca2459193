//! `portcullis scenarios`: which there are, and what they hold.

use comfy_table::Table;
use portcullis_workloads::builtins;

use crate::arguments::ScenariosArguments;
use crate::failure::Failure;
use crate::{scenario, stdout, summary};

/// Prints the scenario asked for, or the list of all.
///
/// # Errors
/// There is no such scenario, or stdout cannot be written.
pub fn scenarios(arguments: &ScenariosArguments) -> Result<(), Failure> {
    match &arguments.name {
        Some(name) => stdout::write(scenario::built_in(name)?.toml.as_bytes()),
        None => stdout::write(list().as_bytes()),
    }
}

/// Every built-in scenario with the question it answers.
fn list() -> String {
    let mut table = Table::new();
    table.load_style(summary::RULED).set_header(["scenario", "the question it answers"]);
    table.add_rows(builtins().iter().map(|builtin| [builtin.name, builtin.question]));
    format!("{}\n", table.trim_fmt())
}
