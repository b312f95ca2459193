//! What can be wrong with a sweep.

/// A mistake in the axes of a sweep, in one sentence that names the axis and, where it is one value's,
/// that value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct SweepError {
    /// The key of the axis; `None` where no axis is at fault.
    pub axis: Option<String>,
    /// What is wrong, as a sentence.
    pub problem: String,
}

impl SweepError {
    /// A mistake of the whole sweep.
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { axis: None, problem: problem.into() }
    }

    /// A mistake of the axis `key`.
    pub(super) fn axis(key: &str, problem: &str) -> Self {
        Self { axis: Some(key.to_owned()), problem: format!("axis `{key}`: {problem}") }
    }
}
