//! `portcullis man`: one manual page for the program and its commands.

use std::io;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::stdout;

/// Prints the page.
///
/// # Errors
/// Stdout cannot be written.
pub fn man() -> Result<(), Failure> {
    let page = page().map_err(|error| Failure::failed(format_args!("cannot make the page: {error}")))?;
    stdout::write(page.as_bytes())
}

/// The page in roff: the program's sections, then a section a command.
fn page() -> io::Result<String> {
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    let commands: Vec<clap::Command> = program.get_subcommands().cloned().collect();

    let mut page = Vec::new();
    let whole = Man::new(program);
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    for command in commands {
        page.extend(format!(".SH \"PORTCULLIS {}\"\n", command.get_name().to_uppercase()).bytes());
        page.extend(command_section(command)?.bytes());
    }
    page.extend(examples(&whole, ".SH")?.bytes());
    whole.render_version_section(&mut page)?;
    String::from_utf8(page).map_err(io::Error::other)
}

/// A command's sections, as subsections.
fn command_section(command: clap::Command) -> io::Result<String> {
    let has_options = command.get_arguments().next().is_some();
    let has_examples = command.get_after_help().is_some();
    let mut section = Vec::new();
    let man = Man::new(command);
    man.render_synopsis_section(&mut section)?;
    man.render_description_section(&mut section)?;
    if has_options {
        man.render_options_section(&mut section)?;
    }
    let section = String::from_utf8(section).map_err(io::Error::other)?;
    let section: String = section.lines().map(|line| line.replacen(".SH ", ".SS ", 1) + "\n").collect();
    Ok(if has_examples { section + &examples(&man, ".SS")? } else { section })
}

/// What stands below a help text, its lines kept as they are.
fn examples(man: &Man, heading: &str) -> io::Result<String> {
    let mut section = Vec::new();
    man.render_extra_section(&mut section)?;
    let section = String::from_utf8(section).map_err(io::Error::other)?;
    Ok(section.replacen(".SH EXTRA\n", &format!("{heading} EXAMPLES\n.nf\n"), 1) + ".fi\n")
}
