//! Columns that a report adds to its tables, the same in every row: the axes of a sweep.

use polars::prelude::{Column as Series, IntoColumn, NamedFrom, NamedFromOwned, Series as Values};

/// The value of an extra column.
#[derive(Clone, Debug, PartialEq)]
pub enum ExtraValue {
    /// `Int64`.
    Integer(i64),
    /// `UInt64`.
    Unsigned(u64),
    /// `Float64`.
    Float(f64),
    /// `Boolean`.
    Boolean(bool),
    /// `String`.
    Text(String),
}

/// A column that every table of a report gets unless it has one of that name.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraColumn {
    /// Its name.
    pub name: String,
    /// What it means.
    pub meaning: String,
    /// Its value in every row.
    pub value: ExtraValue,
}

impl ExtraValue {
    /// The value `rows` times, as a column of polars.
    pub(crate) fn series(&self, name: &str, rows: usize) -> Series {
        column(name, std::iter::repeat_n(self, rows), self)
    }
}

/// A column of polars out of values that all are of the type of `like`.
pub(crate) fn column<'a>(
    name: &str,
    values: impl Iterator<Item = &'a ExtraValue>,
    like: &ExtraValue,
) -> Series {
    macro_rules! cells {
        ($variant:ident, $copy:expr) => {
            values
                .map(|value| match value {
                    ExtraValue::$variant(value) => $copy(value),
                    _ => unreachable!("an axis has one type"),
                })
                .collect::<Vec<_>>()
        };
    }
    let name = name.into();
    match like {
        ExtraValue::Integer(_) => Values::from_vec(name, cells!(Integer, i64::clone)),
        ExtraValue::Unsigned(_) => Values::from_vec(name, cells!(Unsigned, u64::clone)),
        ExtraValue::Float(_) => Values::from_vec(name, cells!(Float, f64::clone)),
        ExtraValue::Boolean(_) => Values::new(name, cells!(Boolean, bool::clone)),
        ExtraValue::Text(_) => Values::new(name, cells!(Text, String::as_str)),
    }
    .into_column()
}
