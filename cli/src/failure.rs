//! How a command can end other than well, and the exit code that says so.

use std::fmt;
use std::process::ExitCode;

use crate::human;

/// Why a command gave up.
#[derive(Debug)]
pub enum Failure {
    /// What was asked cannot be done as asked: exit code 2.
    BadInput(String),
    /// It was begun and went wrong: exit code 1.
    Failed(String),
    /// It was begun and nothing more can be written: exit code 1.
    FullDisk(String),
    /// The user, or the system, asked it to stop: exit code 130.
    Interrupted,
    /// A sweep was asked to stop, with so many points finished: exit code 130.
    InterruptedSweep(u64),
}

impl Failure {
    /// Something the user can mend in what was asked.
    pub fn bad_input(problem: impl fmt::Display) -> Self {
        Self::BadInput(one_line(&problem.to_string()))
    }

    /// Something that went wrong on the way.
    pub fn failed(problem: impl fmt::Display) -> Self {
        Self::Failed(one_line(&problem.to_string()))
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) | Self::FullDisk(_) => ExitCode::from(1),
            Self::BadInput(_) => ExitCode::from(2),
            Self::Interrupted | Self::InterruptedSweep(_) => ExitCode::from(130),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(problem) | Self::Failed(problem) | Self::FullDisk(problem) => {
                write!(f, "error: {problem}")
            }
            Self::Interrupted => write!(f, "interrupted; nothing was kept"),
            Self::InterruptedSweep(points) => {
                let points = human::counted(*points, "point");
                write!(f, "interrupted; {points} finished, the same command goes on with the rest")
            }
        }
    }
}

/// `text` on one line, without control characters: an error quotes what a file held, and that may
/// be anything.
pub fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shortened(clean.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Most characters of an error: it quotes what it was given, and that may be of any length.
const LENGTH_MAX: usize = 2_000;

/// `text`, without its middle where it is too long for a sentence.
fn shortened(text: String) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= LENGTH_MAX {
        return text;
    }
    let part = |characters: &[char]| characters.iter().collect::<String>();
    let half = LENGTH_MAX / 2;
    format!("{} [...] {}", part(&characters[..half]), part(&characters[characters.len() - half..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_held_cannot_break_the_line() {
        assert!(one_line(&"x".repeat(1_000_000)).len() < 2_100);
        assert_eq!(one_line("unknown key `a\u{1b}[2J\n\tb`\r\n"), "unknown key `a [2J b`");
    }
}
