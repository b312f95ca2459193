//! The values of an axis as text: `a,b,c`, ranges, and both mixed.

use super::axis::{Axis, AxisItem, AxisValue};
use super::error::SweepError;
use super::plan::POINTS_MAX;
use super::range::{Number, Range};
use toml::de::DeValue;

impl Axis {
    /// Reads `KEY=VALUES`, as the command line gives it.
    ///
    /// # Errors
    /// The form is another, or a value is empty or a range that makes no sense; the axis is named.
    pub fn parse(text: &str) -> Result<Self, SweepError> {
        let (key, values) = text.split_once('=').ok_or_else(|| {
            SweepError::new(format!(
                "axis `{text}` must have the form key=values, such as iommu.iotlb.entries=64,128"
            ))
        })?;
        let key = key.trim();
        Self::new(key, list(key, values)?)
    }
}

/// The items of a list: parts between commas, but not those within brackets, braces or quotes.
///
/// # Errors
/// A part is empty, or a range makes no sense.
pub(super) fn list(key: &str, text: &str) -> Result<Vec<AxisItem>, SweepError> {
    if text.trim().is_empty() {
        return Err(SweepError::axis(key, "it has no values"));
    }
    let mut items = Vec::new();
    for (index, part) in parts(text).into_iter().enumerate() {
        let part = part.trim();
        if part.is_empty() {
            return Err(SweepError::axis(key, &format!("value {} of `{}` is empty", index + 1, text.trim())));
        }
        expand(key, part, &mut items)?;
        if items.len() as u64 > POINTS_MAX {
            return Err(SweepError::axis(key, &format!("it has more than {POINTS_MAX} values")));
        }
    }
    Ok(items)
}

/// Appends the values of one part: a range's, or the one it is.
///
/// # Errors
/// The range makes no sense, or the number has no place in a column.
pub(super) fn expand(key: &str, part: &str, items: &mut Vec<AxisItem>) -> Result<(), SweepError> {
    let Some(range) = Range::parse(part) else {
        items.push(item(key, part)?);
        return Ok(());
    };
    let numbers = range.and_then(|range| range.numbers());
    let numbers = numbers.map_err(|problem| SweepError::axis(key, &format!("range `{part}`: {problem}")))?;
    items.extend(numbers.into_iter().map(|number| match number {
        Number::Integer(integer) => {
            AxisItem { text: integer.to_string(), value: AxisValue::Integer(integer) }
        }
        Number::Float(float) => AxisItem { text: format!("{float:?}"), value: AxisValue::Float(float) },
    }));
    Ok(())
}

/// One value, read as `--set` reads it.
fn item(key: &str, text: &str) -> Result<AxisItem, SweepError> {
    let value = DeValue::parse(text);
    let value = match value.as_ref().map(toml::Spanned::get_ref) {
        Ok(DeValue::Integer(integer)) => {
            let digits = integer.as_str().replace('_', "");
            i64::from_str_radix(&digits, integer.radix()).map(AxisValue::Integer).map_err(|_| {
                SweepError::axis(key, &format!("value `{text}` is beyond the 64 bits, signed, of a column"))
            })?
        }
        Ok(DeValue::Float(float)) => {
            AxisValue::Float(float.as_str().replace('_', "").parse().unwrap_or(f64::NAN))
        }
        Ok(DeValue::Boolean(boolean)) => AxisValue::Boolean(*boolean),
        Ok(DeValue::String(text)) => AxisValue::Text(text.to_string()),
        _ => AxisValue::Text(text.to_owned()),
    };
    Ok(AxisItem { text: text.to_owned(), value })
}

/// `text` cut at the commas that stand outside of brackets, braces and quotes.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut quote, mut escaped) = (0, 0_i64, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some('"'), '\\') => escaped = !escaped,
            (Some(open), c) => {
                if c == open && !escaped {
                    quote = None;
                }
                escaped = false;
            }
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, ',') if depth <= 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
