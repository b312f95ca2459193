//! `--set key=value`: changes to a scenario's tree before it is read.

use std::str::FromStr;

use super::document::{Document, Node, Place, Value, parse_value};
use super::{ArrivalKind, PatternKind, ScenarioError};

/// One `--set key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Dotted path; a class of tenants or hosts goes by its index or its name: `tenants.0.count`,
    /// `tenants.rings.count`.
    pub key: String,
    /// The value, as TOML writes it; what is no TOML value is text.
    pub value: String,
}

impl Override {
    /// A change of `key` to `value`.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

impl FromStr for Override {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let wrong = |problem: &str| ScenarioError {
            place: format!("--set {text}"),
            key: String::new(),
            problem: problem.to_owned(),
        };
        let (key, value) = text.split_once('=').ok_or_else(|| wrong("this must have the form key=value"))?;
        let (key, value) = (key.trim(), value.trim());
        if key.split('.').any(|segment| segment.trim().is_empty()) {
            return Err(wrong("the key must be names joined by dots"));
        }
        if value.is_empty() {
            return Err(wrong("the value is missing"));
        }
        Ok(Self::new(key, value))
    }
}

impl std::fmt::Display for Override {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// Pairs of keys of which one section may hold only one, by the path of the section; `*` is any class.
const EXCLUSIVE: [(&[&str], [&str; 2]); 10] = [
    (&[], ["requests", "duration_us"]),
    (&["iommu", "walkers"], ["memory_ns", "walk_ns"]),
    (&["iommu", "walkers"], ["memory_ns", "empirical_ns"]),
    (&["iommu", "walkers"], ["walk_ns", "empirical_ns"]),
    (&["memory"], ["read_ns", "base_read_ns"]),
    (&["hosts", "*", "iommu", "walkers"], ["memory_ns", "walk_ns"]),
    (&["hosts", "*", "iommu", "walkers"], ["memory_ns", "empirical_ns"]),
    (&["hosts", "*", "iommu", "walkers"], ["walk_ns", "empirical_ns"]),
    (&["hosts", "*", "memory"], ["read_ns", "base_read_ns"]),
    (&["tenants", "*", "arrivals"], ["mops_per_vf", "link_load"]),
];

/// Sections whose keys depend on their `kind`, with the keys a kind takes.
type KeysOfKind = fn(&str) -> Option<&'static [&'static str]>;
const KINDS: [(&[&str], KeysOfKind); 2] = [
    (&["tenants", "*", "arrivals"], ArrivalKind::keys_of),
    (&["tenants", "*", "pattern"], PatternKind::keys_of),
];

/// Whether the section at `path` may hold only one of two keys.
pub(super) fn exclude_each_other(path: &[impl AsRef<str>], one: &str, other: &str) -> bool {
    let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    let is_pair = |pair: [&str; 2]| pair == [one, other] || pair == [other, one];
    EXCLUSIVE.iter().any(|(template, pair)| is_pair(*pair) && matches(&path, template))
}

fn matches(path: &[&str], template: &[&str]) -> bool {
    path.len() == template.len()
        && path.iter().zip(template).all(|(segment, wanted)| *wanted == "*" || segment == wanted)
}

impl Document {
    /// Applies overrides in order.
    ///
    /// One of two keys that exclude each other takes the place of the other where that stood in the
    /// text; a new `kind` does away with the keys in the text which that kind does not take.
    ///
    /// # Errors
    /// A path that leads nowhere, or two keys that exclude each other.
    pub(super) fn apply(&mut self, overrides: &[Override]) -> Result<(), ScenarioError> {
        self.check_exclusive()?;
        for change in overrides {
            let place = Place::Override(self.overrides.len());
            self.overrides.push(change.to_string());
            let node = parse_value(&change.value, place)
                .unwrap_or_else(|| Node { place, value: Value::Text(change.value.clone()) });
            self.set(change, node)?;
        }
        self.check_exclusive()
    }

    fn set(&mut self, change: &Override, node: Node) -> Result<(), ScenarioError> {
        let path: Vec<&str> = change.key.split('.').map(str::trim).collect();
        let (last, sections) = path.split_last().expect("a key has at least one segment");
        let place = node.place;
        let mut section = &mut self.root;
        for (depth, segment) in sections.iter().enumerate() {
            let found = enter(section, segment, place);
            section = found.map_err(|problem| ScenarioError {
                place: format!("--set {change}"),
                key: change.key.clone(),
                problem: format!("unknown key `{}`: `{}` {problem}", change.key, path[..=depth].join(".")),
            })?;
        }
        let is_kind = *last == "kind";
        let kind = match &node.value {
            Value::Text(kind) if is_kind => Some(kind.clone()),
            _ => None,
        };
        let slot = enter(section, last, place).map_err(|problem| ScenarioError {
            place: format!("--set {change}"),
            key: change.key.clone(),
            problem: format!("unknown key `{0}`: `{0}` {problem}", change.key),
        })?;
        *slot = node;
        let Value::Table(entries) = &mut section.value else { return Ok(()) };
        entries.retain(|(key, node)| {
            matches!(node.place, Place::Override(_)) || !exclude_each_other(sections, key, last)
        });
        for (template, keys_of) in KINDS {
            if let Some(keys) = kind.as_deref().and_then(keys_of)
                && matches(sections, template)
            {
                entries.retain(|(key, node)| {
                    keys.contains(&key.as_str()) || matches!(node.place, Place::Override(_))
                });
            }
        }
        Ok(())
    }

    /// Finds two keys of one section that exclude each other.
    pub(super) fn check_exclusive(&self) -> Result<(), ScenarioError> {
        for (template, pair) in EXCLUSIVE {
            let mut sections = vec![(Vec::new(), &self.root)];
            for segment in template {
                sections =
                    sections.into_iter().flat_map(|(path, node)| children(&path, node, segment)).collect();
            }
            for (path, section) in sections {
                if let (Some(one), Some(other)) = (section.get(pair[0]), section.get(pair[1])) {
                    return Err(self.excluded(&path, pair, one.place, other.place));
                }
            }
        }
        Ok(())
    }

    fn excluded(&self, path: &[String], pair: [&str; 2], one: Place, other: Place) -> ScenarioError {
        let key = |last: &str| {
            let mut path = path.to_vec();
            path.push(last.to_owned());
            self.dotted(&path)
        };
        let later = match (one, other) {
            (Place::Line(one), Place::Line(other)) => Place::Line(one.max(other)),
            (Place::Override(one), Place::Override(other)) => Place::Override(one.max(other)),
            (Place::Override(_), _) => one,
            _ => other,
        };
        let [one, other] = pair.map(key);
        ScenarioError::at(
            self,
            later,
            &other,
            format!("`{one}` and `{other}` exclude each other; give only one of them"),
        )
    }
}

/// The children of `node` that a segment of a template names.
fn children<'a>(path: &[String], node: &'a Node, segment: &str) -> Vec<(Vec<String>, &'a Node)> {
    let extend = |segment: String| path.iter().cloned().chain([segment]).collect();
    match &node.value {
        Value::Array(items) if segment == "*" => {
            items.iter().enumerate().map(|(index, item)| (extend(index.to_string()), item)).collect()
        }
        _ => node.get(segment).map(|child| (extend(segment.to_owned()), child)).into_iter().collect(),
    }
}

/// The child of `section` that `segment` names, made where a table does not have it yet.
fn enter<'a>(section: &'a mut Node, segment: &str, place: Place) -> Result<&'a mut Node, String> {
    let position = section.position(segment);
    match &mut section.value {
        Value::Table(entries) => {
            let index = entries.iter().position(|(key, _)| key == segment).unwrap_or_else(|| {
                entries.push((segment.to_owned(), Node::table(place)));
                entries.len() - 1
            });
            Ok(&mut entries[index].1)
        }
        Value::Array(items) => match position {
            Some(index) => Ok(&mut items[index]),
            None => {
                let names: Vec<&str> = items.iter().filter_map(Node::name).collect();
                Err(match super::nearest(segment, names.iter().copied()) {
                    Some(near) => format!("is no class of the scenario; did you mean {near:?}?"),
                    None => String::from("is no item of the list"),
                })
            }
        },
        _ => Err(String::from("is part of a value that has no keys")),
    }
}
