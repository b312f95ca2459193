//! What can be wrong with a trace.

/// A mistake in a trace, in one sentence with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct EventError {
    /// `file:line`, or `file`.
    pub place: String,
    /// What is wrong.
    pub problem: String,
}

impl EventError {
    /// An error at `line` of `origin`, lines counted from 1.
    pub(super) fn at(origin: &str, line: Option<u64>, problem: impl Into<String>) -> Self {
        let place = match line {
            Some(line) => format!("{origin}:{line}"),
            None => origin.to_owned(),
        };
        Self { place, problem: problem.into() }
    }
}
