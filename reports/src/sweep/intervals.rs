//! `intervals.parquet`: means over repeats, and how far to trust them.

use std::path::{Path, PathBuf};

use polars::prelude::{DataFrame, IntoColumn, NamedFrom, NamedFromOwned, Series as Values};
use portcullis_engine::account::SummaryRow;
use portcullis_engine::table::{Field, Row as _};

use super::student::t_95;
use crate::error::ReportError;
use crate::extra::{ExtraColumn, ExtraValue, column};
use crate::read_back::{Cells, StoredTable};
use crate::schema::ROW_GROUP_ROWS;
use crate::table_file::{Metadata, failed, open};

/// Name of the file.
pub(super) const INTERVALS_FILE: &str = "intervals.parquet";

/// Columns of a summary that are no measurement of the point.
const NO_METRIC: [&str; 1] = ["seed"];

/// A metric of one combination of the axes' values, over its repeats; beside these columns stand
/// those of the axes.
#[derive(Clone, Debug, PartialEq)]
pub struct IntervalRow {
    /// Which combination, counted from 0.
    pub group: u64,
    /// Column of `summary.parquet`.
    pub metric: String,
    /// How many repeats.
    pub n: u64,
    /// Mean over the repeats.
    pub mean: f64,
    /// Lower end of the mean's 95 % confidence interval.
    pub low: f64,
    /// Upper end of the mean's 95 % confidence interval.
    pub high: f64,
}

impl IntervalRow {
    /// The columns, in order, without those of the axes.
    pub const FIELDS: [Field; 6] = [
        Field { name: "group", meaning: "Which combination of the axes' values, counted from 0." },
        Field { name: "metric", meaning: "Column of `summary.parquet`." },
        Field { name: "n", meaning: "How many repeats." },
        Field { name: "mean", meaning: "Mean over the repeats." },
        Field { name: "low", meaning: "Lower end of the mean's 95 % confidence interval (Student's t)." },
        Field { name: "high", meaning: "Upper end of the mean's 95 % confidence interval (Student's t)." },
    ];
}

/// Writes the file `partial`, which messages call `target`: for each of so many groups of so many
/// repeats, the metrics of their summaries. A row group at a time is in memory.
pub(super) fn write(
    partial: &Path,
    target: &Path,
    metadata: &Metadata,
    (groups, repeat): (u64, u64),
    summary: &dyn Fn(u64) -> PathBuf,
    axes: &dyn Fn(u64) -> Vec<ExtraColumn>,
) -> Result<(), ReportError> {
    let first = axes(0);
    let own = IntervalRow::FIELDS.iter().map(|field| (field.name, field.meaning));
    let of_axes = first.iter().map(|axis| (axis.name.as_str(), axis.meaning.as_str()));
    let metadata = metadata.key_values(own.chain(of_axes));
    let wrong = |error| ReportError::write(target, &std::io::Error::other(error));
    let schema = frame(&[], &first, axes).map_err(wrong)?;
    let (mut writer, state) = open(partial, target, metadata, &schema)?;
    let t = t_95(repeat - 1);
    let mut rows: Vec<IntervalRow> = Vec::new();
    for group in 0..groups {
        let points = group * repeat..(group + 1) * repeat;
        rows.extend(group_rows(group, points.map(summary), t)?);
        if rows.len() >= ROW_GROUP_ROWS || group + 1 == groups {
            let rest = rows.split_off(rows.len().min(ROW_GROUP_ROWS));
            let full = std::mem::replace(&mut rows, rest);
            write_rows(&full, &mut writer, &first, axes).map_err(|error| failed(target, &state, error))?;
        }
    }
    if !rows.is_empty() {
        write_rows(&rows, &mut writer, &first, axes).map_err(|error| failed(target, &state, error))?;
    }
    writer.finish().map(drop).map_err(|error| failed(target, &state, error))
}

fn write_rows<W: std::io::Write>(
    rows: &[IntervalRow],
    writer: &mut polars::prelude::BatchedWriter<W>,
    first: &[ExtraColumn],
    axes: &dyn Fn(u64) -> Vec<ExtraColumn>,
) -> Result<(), polars::prelude::PolarsError> {
    writer.write_batch(&frame(rows, first, axes)?)
}

/// A row for every metric of a group, in the order of the summary's columns.
fn group_rows(
    group: u64,
    summaries: impl Iterator<Item = PathBuf>,
    t: f64,
) -> Result<Vec<IntervalRow>, ReportError> {
    let mut metrics: Vec<(String, Vec<f64>)> = Vec::new();
    for path in summaries {
        for (name, value) in metrics_of(&StoredTable::read_columns(&path, &is_metric)?) {
            match metrics.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => metrics.push((name, vec![value])),
            }
        }
    }
    let row = |(metric, values): (String, Vec<f64>)| {
        let (mean, half) = mean_and_half_width(&values, t);
        IntervalRow { group, metric, n: values.len() as u64, mean, low: mean - half, high: mean + half }
    };
    Ok(metrics.into_iter().map(row).collect())
}

/// Whether a column of a summary measures the point: not the host, and no axis.
fn is_metric(name: &str) -> bool {
    let own = SummaryRow::FIELDS.iter().any(|field| field.name == name);
    own && !name.starts_with("wall_") && !NO_METRIC.contains(&name)
}

/// The columns of a summary's only row that are numbers.
fn metrics_of(summary: &StoredTable) -> Vec<(String, f64)> {
    let metric = |(name, cells): &(String, Cells)| {
        let value = match cells {
            Cells::U32(cells) => f64::from((*cells.first()?)?),
            Cells::U64(cells) => (*cells.first()?)? as f64,
            Cells::F64(cells) => (*cells.first()?)?,
            Cells::I64(_) | Cells::Bool(_) | Cells::Text(_) => return None,
        };
        Some((name.clone(), value))
    };
    summary.columns.iter().filter_map(metric).collect()
}

/// The mean, and half the width of its interval, of which `t` standard errors are half.
fn mean_and_half_width(values: &[f64], t: f64) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, t * (squares / (n - 1.0) / n).sqrt())
}

/// The rows as polars takes them: the axes first, typed as in `first`.
fn frame(
    rows: &[IntervalRow],
    first: &[ExtraColumn],
    axes: &dyn Fn(u64) -> Vec<ExtraColumn>,
) -> Result<DataFrame, polars::prelude::PolarsError> {
    let mut of_rows: Vec<Vec<ExtraValue>> = first.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    let mut group: Option<(u64, Vec<ExtraColumn>)> = None;
    for row in rows {
        if group.as_ref().is_none_or(|(number, _)| *number != row.group) {
            group = Some((row.group, axes(row.group)));
        }
        let values = group.iter().flat_map(|(_, columns)| columns);
        of_rows.iter_mut().zip(values).for_each(|(cells, axis)| cells.push(axis.value.clone()));
    }
    let mut columns: Vec<_> = first
        .iter()
        .zip(&of_rows)
        .map(|(axis, cells)| column(&axis.name, cells.iter(), &axis.value))
        .collect();
    let [group, metric, n, mean, low, high] = IntervalRow::FIELDS.map(|field| field.name.into());
    let numbers = |get: fn(&IntervalRow) -> f64| rows.iter().map(get).collect::<Vec<_>>();
    columns.extend(
        [
            Values::from_vec(group, rows.iter().map(|row| row.group).collect::<Vec<_>>()),
            Values::new(metric, rows.iter().map(|row| row.metric.as_str()).collect::<Vec<_>>()),
            Values::from_vec(n, rows.iter().map(|row| row.n).collect::<Vec<_>>()),
            Values::from_vec(mean, numbers(|row| row.mean)),
            Values::from_vec(low, numbers(|row| row.low)),
            Values::from_vec(high, numbers(|row| row.high)),
        ]
        .map(IntoColumn::into_column),
    );
    DataFrame::new_infer_height(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1, 2, 3: mean 2, standard deviation 1, and 4.303 / sqrt(3) around it.
    #[test]
    fn an_interval_is_that_of_student() {
        let (mean, half) = mean_and_half_width(&[1.0, 2.0, 3.0], t_95(2));
        assert!((mean - 2.0).abs() < 1e-12);
        assert!((half - 4.302_652_73 / 3_f64.sqrt()).abs() < 1e-6, "{half}");
        assert_eq!(mean_and_half_width(&[5.0, 5.0], t_95(1)), (5.0, 0.0));
    }
}
