//! From the tree to specifications: a serde deserializer whose errors know their key and place.
//!
//! Serde names what is wrong (an unknown field, a wrong type) as structured data; this module keeps
//! that structure, where a text format would hand over a finished sentence without key or line.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Unexpected, Visitor};

use super::document::{Document, Node, Place, Value};
use super::{ScenarioError, nearest};

/// Reads `root` of `document` as a `T`.
///
/// # Errors
/// The first key that is unknown, missing or of the wrong type.
pub(super) fn deserialize<T: de::DeserializeOwned>(
    document: &Document,
    known_keys: &dyn Fn() -> Vec<String>,
) -> Result<T, ScenarioError> {
    T::deserialize(&document.root).map_err(|failure| failure.explain(document, known_keys))
}

/// What serde found wrong, on its way up to the root.
#[derive(Debug)]
pub(super) struct Failure {
    kind: Kind,
    /// Segments of the key, the innermost first.
    path: Vec<String>,
    place: Option<Place>,
    /// The value at the innermost key.
    found: Option<String>,
}

#[derive(Debug)]
enum Kind {
    UnknownKey { key: String, known: &'static [&'static str] },
    UnknownName { name: String, known: &'static [&'static str] },
    WrongValue { expected: String },
    MissingKey(&'static str),
    Other(String),
}

impl Failure {
    fn new(kind: Kind) -> Self {
        Self { kind, path: Vec::new(), place: None, found: None }
    }

    /// Notes that the failure happened at `key`, whose value is `node`.
    fn under(mut self, key: &str, node: &Node) -> Self {
        if self.path.is_empty() && self.found.is_none() {
            self.found = Some(node.display());
        }
        self.path.push(key.to_owned());
        self.place.get_or_insert(node.place);
        self
    }

    /// The sentence for the user.
    fn explain(self, document: &Document, known_keys: &dyn Fn() -> Vec<String>) -> ScenarioError {
        let mut path: Vec<String> = self.path.into_iter().rev().collect();
        let section = document.dotted(&path);
        let mut key = section.clone();
        let found = self.found.unwrap_or_default();
        let problem = match self.kind {
            Kind::UnknownKey { key: unknown, known } => {
                path.push(unknown.clone());
                key = document.dotted(&path);
                let hint = nearest_key(&key, &section, &unknown, known, known_keys);
                format!("unknown key `{key}`{hint}")
            }
            Kind::MissingKey(missing) => {
                path.push(missing.to_owned());
                key = document.dotted(&path);
                format!("the key `{key}` is missing")
            }
            Kind::UnknownName { name, known } => {
                let hint = nearest(&name, known.iter().copied())
                    .map(|near| format!("; did you mean {near:?}?"))
                    .unwrap_or_default();
                format!("`{key}` is {name:?}; it must be one of {}{hint}", known.join(", "))
            }
            Kind::WrongValue { expected } => format!("`{key}` is {found}; it must be {expected}"),
            Kind::Other(message) => format!("`{key}` is {found}; it must be {message}"),
        };
        ScenarioError::at(document, self.place.unwrap_or(Place::Text), &key, problem)
    }
}

/// "; did you mean ...?", out of the keys of the same section and of all others.
fn nearest_key(
    key: &str,
    section: &str,
    unknown: &str,
    known: &'static [&'static str],
    known_keys: &dyn Fn() -> Vec<String>,
) -> String {
    // A key of the same section that is nearly the same word is what was meant.
    if let Some(near) = nearest(unknown, known.iter().copied())
        && strsim::normalized_damerau_levenshtein(unknown, near) >= 0.6
    {
        let near = if section.is_empty() { near.to_owned() } else { format!("{section}.{near}") };
        return format!("; did you mean `{near}`?");
    }
    // Otherwise the key may have lost its section, or found a wrong one.
    let all = known_keys();
    let last = unknown.rsplit('.').next().unwrap_or(unknown);
    let exact = all.iter().find(|known| known.rsplit('.').next() == Some(last));
    match exact.map(String::as_str).or_else(|| nearest(key, all.iter().map(String::as_str))) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!("; this section takes {}", known.join(", ")),
    }
}

/// Types as serde names them, in a user's words.
fn in_words(expected: &str) -> String {
    match expected {
        "u8" => String::from("a whole number from 0 to 255"),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" => String::from("a whole number of at most 64 bits, not negative"),
        "f64" => String::from("a number"),
        "a boolean" => String::from("true or false"),
        "a string" => String::from("text in quotes"),
        "a sequence" => String::from("a list"),
        other if other.starts_with("struct ") => String::from("a section with keys of its own"),
        other if other.starts_with("enum ") => String::from("a name in quotes"),
        other => other.to_owned(),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Other(message.to_string()))
    }
    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Kind::WrongValue { expected: in_words(&expected.to_string()) })
    }
    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Kind::WrongValue { expected: in_words(&expected.to_string()) })
    }
    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownName { name: name.to_owned(), known })
    }
    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownKey { key: key.to_owned(), known })
    }
    fn missing_field(key: &'static str) -> Self {
        Self::new(Kind::MissingKey(key))
    }
}

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.value {
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Datetime(_) => Err(de::Error::invalid_type(Unexpected::Other("date"), &visitor)),
            Value::Float(float) => visitor.visit_f64(*float),
            Value::Boolean(boolean) => visitor.visit_bool(*boolean),
            Value::Integer(integer) => match (u64::try_from(*integer), i64::try_from(*integer)) {
                (Ok(integer), _) => visitor.visit_u64(integer),
                (_, Ok(integer)) => visitor.visit_i64(integer),
                _ => Err(de::Error::invalid_value(Unexpected::Other("number beyond 64 bits"), &visitor)),
            },
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Value::Table(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.value {
            Value::Text(text) => visitor.visit_enum(IntoDeserializer::<Failure>::into_deserializer(&**text)),
            _ => Err(de::Error::invalid_type(Unexpected::Other("value"), &visitor)),
        }
    }

    /// A list is no section: serde would take its items for the fields in order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.value {
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The items of an array.
struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|failure| failure.under(&index.to_string(), node))
    }
}

/// The entries of a table.
struct Entries<'de> {
    entries: std::slice::Iter<'de, (String, Node)>,
    value: Option<&'de (String, Node)>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'_, Failure> = entry.0.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|mut failure| {
            failure.place = Some(entry.1.place);
            failure
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let (key, node) = self.value.take().expect("a value follows its key");
        seed.deserialize(node).map_err(|failure| failure.under(key, node))
    }
}
