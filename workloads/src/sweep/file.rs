//! A sweep as a TOML file: `scenario`, `[axes]`, and optionally `zip`, `repeat` and `set`.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::axis::{Axis, AxisItem};
use super::error::SweepError;
use super::plan::SweepSpec;
use super::values::{expand, list};
use crate::scenario::{Override, nearest};

/// The keys of a sweep file.
const KEYS: [&str; 5] = ["scenario", "axes", "zip", "repeat", "set"];

/// What a sweep file says.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepFile {
    /// A built-in scenario's name, or a path, relative to the file's directory.
    pub scenario: String,
    /// What is swept.
    pub spec: SweepSpec,
}

impl SweepFile {
    /// Whether `text` is a sweep file and not a scenario: whether it has a table `axes`.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        DeTable::parse(text).is_ok_and(|table| table.get_ref().contains_key("axes"))
    }

    /// Reads `text`, the content of the file `origin`.
    ///
    /// # Errors
    /// The first key that is unknown, missing or of the wrong form, with its line.
    pub fn parse(origin: &str, text: &str) -> Result<Self, SweepError> {
        let table = DeTable::parse(text)
            .map_err(|error| SweepError::new(format!("{origin}: this is no TOML: {}", error.message())))?;
        let file = File { origin, text };
        let mut scenario = None;
        let mut spec = SweepSpec::default();
        for (key, value) in table.get_ref() {
            match &**key.get_ref() {
                "scenario" => scenario = Some(file.text_of("scenario", value)?),
                "axes" => spec.axes = file.axes(value)?,
                "zip" => spec.zip = file.flag("zip", value)?,
                "repeat" => spec.repeat = Some(file.count("repeat", value)?),
                "set" => spec.settings = file.settings(value)?,
                unknown => {
                    let near = nearest(unknown, KEYS.into_iter()).expect("there are keys");
                    let problem = format!("unknown key `{unknown}`; did you mean `{near}`?");
                    return Err(file.wrong(key.span().start, &problem));
                }
            }
        }
        let scenario = scenario.ok_or_else(|| {
            SweepError::new(format!(
                "{origin}: the key `scenario` is missing: a built-in scenario's name or a path"
            ))
        })?;
        Ok(Self { scenario, spec })
    }
}

/// A file's name and text, for errors and for values as they are written.
struct File<'a> {
    origin: &'a str,
    text: &'a str,
}

/// A value, with its dotted key and its place in the file.
struct Leaf<'v, 'a> {
    key: String,
    value: &'v Spanned<DeValue<'a>>,
}

impl File<'_> {
    fn wrong(&self, at: usize, problem: &str) -> SweepError {
        let line = self.text[..at].matches('\n').count() + 1;
        SweepError::new(format!("{}:{line}: {problem}", self.origin))
    }

    /// The same error with the place in front.
    fn placed(&self, at: usize, error: SweepError) -> SweepError {
        SweepError { axis: error.axis, problem: self.wrong(at, &error.problem).problem }
    }

    /// The value as the file writes it.
    fn written(&self, value: &Spanned<DeValue<'_>>) -> &str {
        &self.text[value.span()]
    }

    fn text_of(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<String, SweepError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(self.wrong(value.span().start, &format!("`{key}` must be text in quotes"))),
        }
    }

    fn flag(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<bool, SweepError> {
        match value.get_ref() {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(self.wrong(value.span().start, &format!("`{key}` must be true or false"))),
        }
    }

    fn count(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<u64, SweepError> {
        let wrong = || self.wrong(value.span().start, &format!("`{key}` must be a whole number"));
        match value.get_ref() {
            DeValue::Integer(integer) => {
                u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).map_err(|_| wrong())
            }
            _ => Err(wrong()),
        }
    }

    /// `[axes]`, in the order of the file.
    fn axes(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Axis>, SweepError> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(
                self.wrong(value.span().start, "`axes` must be a section: a key and its values a line")
            );
        };
        let mut leaves = Vec::new();
        flatten(table, "", &mut leaves);
        leaves.sort_by_key(|leaf| leaf.value.span().start);
        leaves
            .iter()
            .map(|leaf| {
                let items = self.items(leaf);
                let axis = items.and_then(|items| Axis::new(&leaf.key, items));
                axis.map_err(|error| self.placed(leaf.value.span().start, error))
            })
            .collect()
    }

    /// The values of an axis: text as on the command line, a list, or one value.
    fn items(&self, leaf: &Leaf<'_, '_>) -> Result<Vec<AxisItem>, SweepError> {
        let mut items = Vec::new();
        match leaf.value.get_ref() {
            DeValue::String(text) => return list(&leaf.key, text),
            DeValue::Array(values) => {
                for value in values {
                    match value.get_ref() {
                        DeValue::String(text) if text.contains("..") => expand(&leaf.key, text, &mut items)?,
                        _ => expand(&leaf.key, self.written(value), &mut items)?,
                    }
                }
            }
            _ => expand(&leaf.key, self.written(leaf.value), &mut items)?,
        }
        Ok(items)
    }

    /// `set`: a table of keys and values, or a list of texts `key=value`.
    fn settings(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Override>, SweepError> {
        match value.get_ref() {
            DeValue::Table(table) => {
                let mut leaves = Vec::new();
                flatten(table, "", &mut leaves);
                leaves.sort_by_key(|leaf| leaf.value.span().start);
                Ok(leaves.iter().map(|leaf| Override::new(&leaf.key, self.written(leaf.value))).collect())
            }
            DeValue::Array(items) => items
                .iter()
                .map(|item| {
                    let text = self.text_of("set", item)?;
                    let parsed: Result<Override, _> = text.parse();
                    parsed.map_err(|error| self.wrong(item.span().start, &error.to_string()))
                })
                .collect(),
            _ => Err(self.wrong(
                value.span().start,
                "`set` must be a section of keys and values, or a list of texts \"key=value\"",
            )),
        }
    }
}

/// The values of a table and of the tables in it, with dotted keys.
fn flatten<'v, 'a>(table: &'v DeTable<'a>, path: &str, leaves: &mut Vec<Leaf<'v, 'a>>) {
    for (key, value) in table {
        let key = key.get_ref().trim();
        let key = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => flatten(inner, &key, leaves),
            _ => leaves.push(Leaf { key, value }),
        }
    }
}
