//! What can be wrong with a scenario.

use portcullis_engine::error::SpecError;

use super::document::{Document, Place};

/// A mistake in a scenario or in a `--set`, in one sentence that says where and which key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ScenarioError {
    /// Where: `file:line`, `file`, or the `--set` as it was given.
    pub place: String,
    /// Dotted path of the key concerned; empty where there is none.
    pub key: String,
    /// What is wrong, as a sentence that names the key.
    pub problem: String,
}

impl ScenarioError {
    /// An error at `place` of `document`.
    pub(super) fn at(document: &Document, place: Place, key: &str, problem: String) -> Self {
        Self { place: document.describe(place), key: key.to_owned(), problem }
    }

    /// A value that was read but cannot be built; the place is that of its key, or of the nearest
    /// section around it.
    pub(super) fn from_spec(document: &Document, error: &SpecError) -> Self {
        let place = document.place_of(&error.key);
        Self::at(document, place, &error.key, error.to_string())
    }
}
