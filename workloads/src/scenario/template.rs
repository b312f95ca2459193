//! A scenario that is read many times with a few keys changed.

use super::deserialize::deserialize;
use super::document::Document;
use super::{Override, Scenario, ScenarioError};

/// A scenario's text with the overrides of all its readings applied. It need not be complete: what
/// is missing may come with the changes of a reading.
#[derive(Clone, Debug)]
pub struct Template {
    document: Document,
}

impl Template {
    /// Reads the TOML `text`, called `origin` in errors, and applies `overrides` in order.
    ///
    /// # Errors
    /// The first mistake of syntax, or an override whose path leads nowhere.
    pub fn new(origin: &str, text: &str, overrides: &[Override]) -> Result<Self, ScenarioError> {
        let mut document = Document::parse(origin, text)?;
        document.apply(overrides)?;
        Ok(Self { document })
    }

    /// The scenario with `changes` applied in order, every value of it checked.
    ///
    /// # Errors
    /// The first mistake found, with its key and its line or `--set`.
    pub fn scenario(&self, changes: &[Override]) -> Result<Scenario, ScenarioError> {
        let mut document = self.document.clone();
        document.apply(changes)?;
        document.take_machine()?;
        document.take_corpora()?;
        document.take_event_files()?;
        document.inherit();
        let mut scenario: Scenario = deserialize(&document, &Scenario::known_keys)?;
        let whole = scenario.fill_in().and_then(|()| scenario.validate());
        whole.map_err(|error| ScenarioError::from_spec(&document, &error))?;
        Ok(scenario)
    }

    /// `key` with classes by their names, so that two ways to write one key are the same.
    #[must_use]
    pub fn canonical_key(&self, key: &str) -> String {
        let path: Vec<String> = key.split('.').map(|segment| segment.trim().to_owned()).collect();
        self.document.dotted(&path)
    }

    /// What the template says, as TOML without comments; defaults are not in it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        self.document.to_toml()
    }
}
