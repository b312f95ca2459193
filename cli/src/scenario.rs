//! From what the user names to a scenario: a built-in's name or a TOML file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, is_separator};

use portcullis_workloads::sweep::SweepFile;
use portcullis_workloads::{Builtin, Machine, Override, Scenario, builtin, builtins, machine, machines};

use crate::failure::Failure;

/// Longest scenario file that is read; the longest built-in has a few thousand bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The scenario the user names, with `overrides` applied.
///
/// # Errors
/// There is no such scenario, or it cannot be read or built.
pub fn load(name: &str, overrides: &[Override]) -> Result<Scenario, Failure> {
    let Source { origin, text } = source(name)?;
    if SweepFile::is_one(&text) {
        let problem = format_args!("`{origin}` is a sweep, not a scenario: `portcullis sweep` takes it");
        return Err(Failure::bad_input(problem));
    }
    Scenario::parse(&origin, &text, overrides).map_err(Failure::bad_input)
}

/// A text that holds a scenario, or a sweep.
pub struct Source {
    /// What it is called in errors: a built-in's name, or the file's path.
    pub origin: String,
    /// The text.
    pub text: Cow<'static, str>,
}

/// The text of the scenario the user names.
///
/// # Errors
/// There is no such scenario, or it cannot be read.
pub fn source(name: &str) -> Result<Source, Failure> {
    if let Some(builtin) = builtin(name) {
        return Ok(Source { origin: builtin.name.into(), text: builtin.toml.into() });
    }
    if !is_path(name) {
        return Err(unknown(name, ", nor such a file"));
    }
    let text = read_text(name)
        .map_err(|problem| Failure::bad_input(format_args!("cannot read scenario `{name}`: {problem}")))?;
    Ok(Source { origin: name.into(), text: text.into() })
}

/// The same, named in the file `file`: a path starts at that file's directory.
///
/// # Errors
/// There is no such scenario, or it cannot be read.
pub fn source_beside(file: &str, name: &str) -> Result<Source, Failure> {
    let beside = Path::new(file).parent().unwrap_or(Path::new("")).join(name);
    match beside.to_str() {
        Some(path) if builtin(name).is_none() && (is_path(name) || is_path(path)) => source(path),
        _ => source(name),
    }
}

/// The built-in scenario of this name.
///
/// # Errors
/// There is none; the nearest name is suggested.
pub fn built_in(name: &str) -> Result<&'static Builtin, Failure> {
    builtin(name).ok_or_else(|| unknown(name, ""))
}

/// The built-in machine of this name.
///
/// # Errors
/// There is none; all are listed.
pub fn built_in_machine(name: &str) -> Result<&'static Machine, Failure> {
    let names = || machines().iter().map(|machine| machine.name).collect::<Vec<_>>().join(", ");
    let unknown = || format!("there is no built-in machine `{name}`; there are {}", names());
    machine(name).ok_or_else(|| Failure::bad_input(unknown()))
}

/// Whether a name that is no built-in's means a file.
fn is_path(name: &str) -> bool {
    name.ends_with(".toml") || name.contains(is_separator) || Path::new(name).exists()
}

/// The text of a file, if it is text of a sensible length.
fn read_text(path: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    match file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err("it is a directory".into()),
        Err(error) => Err(error.to_string()),
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => {
            Err(format!("it is longer than {FILE_BYTES_MAX} bytes"))
        }
        Ok(_) => String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into()),
    }
}

/// No built-in scenario has this name; `besides` says what else it is not.
fn unknown(name: &str, besides: &str) -> Failure {
    let nearest = builtins()
        .iter()
        .map(|builtin| (strsim::jaro_winkler(name, builtin.name), builtin.name))
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let hint = match nearest {
        Some((likeness, near)) if likeness > 0.7 => format!("did you mean `{near}`?"),
        _ => String::from("`portcullis scenarios` lists them"),
    };
    Failure::bad_input(format_args!("there is no built-in scenario `{name}`{besides}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_suggested() {
        assert!(unknown("defualt", "").to_string().contains("did you mean `default`?"));
        assert!(unknown("xyz", "").to_string().contains("`portcullis scenarios` lists them"));
    }
}
