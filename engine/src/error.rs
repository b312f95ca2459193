//! What can be wrong with a specification.

/// A value that cannot be built, with the key that holds it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {problem}")]
pub struct SpecError {
    /// Dotted path of the key, as a scenario writes it.
    pub key: String,
    /// What is wrong, as the rest of a sentence: "must be at least 1".
    pub problem: String,
}

impl SpecError {
    /// An error at `key`.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }

    /// `Ok` if `value` lies in `low..=high`.
    ///
    /// # Errors
    /// Names the key and the range.
    pub fn in_range<T: PartialOrd + core::fmt::Display>(
        key: &str,
        value: T,
        low: T,
        high: T,
    ) -> Result<(), Self> {
        if value >= low && value <= high {
            return Ok(());
        }
        Err(Self::new(key, format!("is {value}; it must lie between {low} and {high}")))
    }
}
