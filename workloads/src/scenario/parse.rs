//! Reading and printing scenarios.

use super::document::Document;
use super::{Override, Scenario, ScenarioError, Template};

impl Scenario {
    /// Reads the scenario `text`, called `origin` in errors, with `overrides` applied in order, and
    /// checks every value of it.
    ///
    /// # Errors
    /// The first mistake found, with its key and its line or `--set`.
    pub fn parse(origin: &str, text: &str, overrides: &[Override]) -> Result<Self, ScenarioError> {
        Template::new(origin, text, overrides)?.scenario(&[])
    }

    /// The scenario in full, as TOML that [`Scenario::parse`] reads back to the same scenario.
    ///
    /// # Panics
    /// Never: every scenario has a form in TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a scenario has a form in TOML")
    }

    /// Every key a scenario can hold, dotted, in alphabetical order; a class stands as `tenants.N` or
    /// `hosts.N`. What a class of hosts takes over is there as a section, its tenants as `hosts.N.tenants`.
    #[must_use]
    pub fn known_keys() -> Vec<String> {
        let exemplar = Self::with_every_key();
        let document = Document::parse("", &exemplar.to_toml()).expect("what is printed is TOML");
        let mut keys = document.leaf_keys();
        for key in keys.iter_mut().filter(|key| key.starts_with("hosts.N.")) {
            let depth = key.match_indices('.').nth(2);
            key.truncate(depth.map_or(key.len(), |(at, _)| at));
        }
        keys.sort();
        keys.dedup();
        keys
    }
}

/// The candidate that is most like `word`.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let likeness = strsim::normalized_damerau_levenshtein(word, candidate);
        if best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Whether `name` can name a scenario or a class: letters, digits, `-` and `_`, not digits alone.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !name.bytes().all(|byte| byte.is_ascii_digit())
}
