//! A scenario's text as a tree in which every value remembers where it came from.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ScenarioError;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere in particular.
    Text,
    /// A line of the text, counted from 1.
    Line(usize),
    /// An override, by its index in [`Document::overrides`].
    Override(usize),
    /// A line of a text that lies below, by the index of its name in [`Document::layers`].
    Layer(usize, usize),
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

/// A TOML value; integers are wide enough for both `u64` and `i64`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Vec<(String, Node)>),
}

impl Node {
    /// An empty table.
    pub fn table(place: Place) -> Self {
        Self { place, value: Value::Table(Vec::new()) }
    }

    /// The child of a table, by its key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The child of a table by its key, or of an array of named tables by index or name.
    pub fn child(&self, segment: &str) -> Option<&Self> {
        match &self.value {
            Value::Array(items) => items.get(self.position(segment)?),
            _ => self.get(segment),
        }
    }

    /// The same, to be changed.
    pub fn child_mut(&mut self, segment: &str) -> Option<&mut Self> {
        let position = self.position(segment);
        match &mut self.value {
            Value::Array(items) => items.get_mut(position?),
            Value::Table(entries) => {
                entries.iter_mut().find(|(name, _)| name == segment).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// Where `segment` stands in an array: an index, or the `name` of one of its tables.
    pub fn position(&self, segment: &str) -> Option<usize> {
        let Value::Array(items) = &self.value else { return None };
        if let Ok(index) = segment.parse::<usize>() {
            return (index < items.len()).then_some(index);
        }
        items.iter().position(|item| item.name() == Some(segment))
    }

    /// The value of the key `name`, if it is text.
    pub fn name(&self) -> Option<&str> {
        match self.get("name")?.value {
            Value::Text(ref name) => Some(name),
            _ => None,
        }
    }

    /// The value as TOML writes it, cut short where it is long.
    pub fn display(&self) -> String {
        match &self.value {
            Value::Text(text) if text.chars().count() > 40 => {
                format!("{:?}...", text.chars().take(40).collect::<String>())
            }
            Value::Text(text) => format!("{text:?}"),
            Value::Integer(integer) => integer.to_string(),
            Value::Float(float) => format!("{float:?}"),
            Value::Boolean(boolean) => boolean.to_string(),
            Value::Datetime(datetime) => datetime.clone(),
            Value::Array(_) => String::from("a list"),
            Value::Table(_) => String::from("a section"),
        }
    }
}

/// A tree with the names its errors need.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// What the text is called: a file's path, or a built-in's name.
    pub origin: String,
    /// The overrides applied so far, as they were given.
    pub overrides: Vec<String>,
    /// What the texts are called whose values stand in for what this one leaves out.
    pub layers: Vec<String>,
    /// The tree.
    pub root: Node,
}

impl Document {
    /// A document without text, for settings that come by overrides alone.
    pub fn empty(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            overrides: Vec::new(),
            layers: Vec::new(),
            root: Node::table(Place::Text),
        }
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// The first mistake of syntax, with its line.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ScenarioError> {
        let mut document = Self::empty(origin);
        let lines = Lines::new(text);
        let table = DeTable::parse(text).map_err(|error| {
            let place = error.span().map_or(Place::Text, |span| lines.place(span));
            let message = error.message().replace('\n', ", ");
            ScenarioError::at(&document, place, "", format!("this is no TOML: {message}"))
        })?;
        document.root = convert_table(table.get_ref(), Place::Text, &|span| lines.place(span));
        Ok(document)
    }

    /// A place in words.
    pub fn describe(&self, place: Place) -> String {
        match place {
            Place::Text => self.origin.clone(),
            Place::Line(line) => format!("{}:{line}", self.origin),
            Place::Override(index) => format!("--set {}", self.overrides[index]),
            Place::Layer(layer, line) => format!("{}:{line}", self.layers[layer]),
        }
    }

    /// The place of a dotted key, or of the nearest section around it that stands in the tree.
    pub fn place_of(&self, key: &str) -> Place {
        let mut node = &self.root;
        let mut place = Place::Text;
        for segment in key.split('.') {
            match node.child(segment) {
                Some(child) => node = child,
                None => break,
            }
            place = node.place;
        }
        place
    }

    /// The dotted keys of all values that are no tables; the items of a list of tables stand as `N`.
    pub fn leaf_keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        collect_leaf_keys(&self.root, "", &mut keys);
        keys
    }

    /// The tree as TOML, a line for each key that is no section.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        write_lines(&self.root, "", &mut text);
        text
    }

    /// A path as dotted text, in which classes go by their names.
    pub fn dotted(&self, path: &[String]) -> String {
        let mut node = Some(&self.root);
        let mut words = Vec::with_capacity(path.len());
        for segment in path {
            let child = node.and_then(|node| node.child(segment));
            let in_array = matches!(node, Some(Node { value: Value::Array(_), .. }));
            match child.and_then(Node::name) {
                Some(name) if in_array && super::is_name(name) => words.push(name),
                _ => words.push(segment),
            }
            node = child;
        }
        words.join(".")
    }
}

fn collect_leaf_keys(node: &Node, path: &str, keys: &mut Vec<String>) {
    let join = |segment: &str| if path.is_empty() { segment.to_owned() } else { format!("{path}.{segment}") };
    match &node.value {
        Value::Table(entries) => {
            entries.iter().for_each(|(key, child)| collect_leaf_keys(child, &join(key), keys));
        }
        Value::Array(items) if items.iter().any(|item| matches!(item.value, Value::Table(_))) => {
            items.iter().for_each(|item| collect_leaf_keys(item, &join("N"), keys));
        }
        _ => keys.push(path.to_owned()),
    }
}

/// Writes `key = value` for every value below `node` that is no table.
fn write_lines(node: &Node, path: &str, text: &mut String) {
    match &node.value {
        Value::Table(entries) if path.is_empty() || !entries.is_empty() => {
            for (key, child) in entries {
                let key = bare_or_quoted(key);
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                write_lines(child, &path, text);
            }
        }
        _ => text.extend([path, " = ", &inline(node), "\n"]),
    }
}

/// A value as TOML writes it on one line.
fn inline(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => toml::Value::String(text.clone()).to_string(),
        Value::Integer(integer) => integer.to_string(),
        Value::Float(float) => toml::Value::Float(*float).to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Datetime(datetime) => datetime.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(entries) => {
            let entry =
                |(key, child): &(String, Node)| format!("{} = {}", bare_or_quoted(key), inline(child));
            format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A key as TOML writes it.
fn bare_or_quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(bare) {
        return key.to_owned();
    }
    toml::Value::String(key.replace(['\n', '\r'], " ")).to_string()
}

/// Reads one TOML value, as an override gives it; `None` if it is none.
pub(super) fn parse_value(text: &str, place: Place) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(convert(&value, &|_| place))
}

fn convert_table(table: &DeTable<'_>, place: Place, place_at: &dyn Fn(Range<usize>) -> Place) -> Node {
    let entries = table
        .iter()
        .map(|(key, value)| {
            let mut node = convert(value, place_at);
            node.place = place_at(key.span());
            (key.get_ref().to_string(), node)
        })
        .collect();
    Node { place, value: Value::Table(entries) }
}

fn convert(value: &Spanned<DeValue<'_>>, place_at: &dyn Fn(Range<usize>) -> Place) -> Node {
    let place = place_at(value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        // Digits beyond 128 bits become the greatest number there is: no key takes either.
        DeValue::Integer(integer) => Value::Integer(
            i128::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).unwrap_or(i128::MAX),
        ),
        DeValue::Float(float) => Value::Float(float.as_str().replace('_', "").parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| convert(item, place_at)).collect()),
        DeValue::Table(table) => return convert_table(table, place, place_at),
    };
    Node { place, value }
}

/// Turns byte offsets into lines.
struct Lines {
    /// Offset of the first byte of each line.
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { starts: std::iter::once(0).chain(ends.map(|(offset, _)| offset + 1)).collect() }
    }

    fn place(&self, span: Range<usize>) -> Place {
        Place::Line(self.starts.partition_point(|start| *start <= span.start))
    }
}
