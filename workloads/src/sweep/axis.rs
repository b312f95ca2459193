//! An axis: a key of the scenario and the values it takes.

use std::collections::HashSet;

use super::error::SweepError;

/// A typed value of an axis.
#[derive(Clone, Debug, PartialEq)]
pub enum AxisValue {
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A flag.
    Boolean(bool),
    /// A name, or a TOML value that has no simpler type, as it was written.
    Text(String),
}

/// The type that all values of an axis have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisType {
    /// Whole numbers only.
    Integer,
    /// Numbers, at least one of them not whole.
    Float,
    /// Flags only.
    Boolean,
    /// Names, or values of several types.
    Text,
}

/// One value of an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisItem {
    /// The value as `--set` takes it.
    pub text: String,
    /// The value in the type of its axis.
    pub value: AxisValue,
}

/// A key of the scenario and the values it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Dotted key, as in `--set`: also the name of its column.
    pub key: String,
    /// The type of all values.
    pub kind: AxisType,
    /// The values, in the order in which they were given; at least one.
    pub items: Vec<AxisItem>,
}

impl AxisValue {
    const fn kind(&self) -> AxisType {
        match self {
            Self::Integer(_) => AxisType::Integer,
            Self::Float(_) => AxisType::Float,
            Self::Boolean(_) => AxisType::Boolean,
            Self::Text(_) => AxisType::Text,
        }
    }

    /// What two values must not have in common.
    fn identity(&self) -> String {
        match self {
            Self::Integer(integer) => integer.to_string(),
            Self::Float(float) => float.to_bits().to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl AxisType {
    /// The type that holds values of both.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, two) if one == two => one,
            (Self::Integer, Self::Float) | (Self::Float, Self::Integer) => Self::Float,
            _ => Self::Text,
        }
    }
}

impl Axis {
    /// An axis of these values, brought to one type.
    ///
    /// # Errors
    /// The key is no dotted key, or there is no value.
    pub(super) fn new(key: &str, mut items: Vec<AxisItem>) -> Result<Self, SweepError> {
        let key: Vec<&str> = key.split('.').map(str::trim).collect();
        if key.iter().any(|segment| segment.is_empty()) {
            return Err(SweepError::axis(&key.join("."), "the key must be names joined by dots"));
        }
        let key = key.join(".");
        let Some(kind) = items.iter().map(|item| item.value.kind()).reduce(AxisType::with) else {
            return Err(SweepError::axis(&key, "it has no values"));
        };
        for item in &mut items {
            match (kind, &item.value) {
                (AxisType::Float, AxisValue::Integer(integer)) => {
                    item.value = AxisValue::Float(*integer as f64);
                }
                (AxisType::Text, AxisValue::Text(_)) => {}
                (AxisType::Text, _) => item.value = AxisValue::Text(item.text.clone()),
                _ => {}
            }
        }
        Ok(Self { key, kind, items })
    }

    /// A value that occurs twice.
    pub(super) fn repeated(&self) -> Option<&AxisItem> {
        let mut seen = HashSet::with_capacity(self.items.len());
        self.items.iter().find(|item| !seen.insert(item.value.identity()))
    }
}
