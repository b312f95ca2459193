//! What is asked for: every point checked before anything is touched.

use portcullis_reports::sweep::{AxisRecord, SweepRecord};
use portcullis_reports::{Checksum, ExtraColumn, ExtraValue};
use portcullis_workloads::sweep::{
    Axis, AxisItem, AxisType, AxisValue, Point, SweepError, SweepFile, SweepPlan, SweepSpec,
};
use rayon::prelude::*;
use serde_json::Value;

use crate::arguments::{SweepArguments, overrides};
use crate::failure::Failure;
use crate::interrupt;
use crate::scenario::{Source, source, source_beside};

/// Points that are checked between two looks at Ctrl-C.
const CHECKED_AT_ONCE: u64 = 4_096;

/// A sweep that can be done as asked.
pub struct Request {
    /// The points.
    pub plan: SweepPlan,
    /// What the data set says of the plan.
    pub record: SweepRecord,
}

impl Request {
    /// Reads the scenario and the axes, and checks every point.
    ///
    /// # Errors
    /// The first mistake, with its axis.
    pub fn new(arguments: &SweepArguments) -> Result<Self, Failure> {
        let (source, mut spec) = read(&arguments.scenario)?;
        for axis in &arguments.axes {
            spec.axes.push(Axis::parse(axis).map_err(Failure::bad_input)?);
        }
        spec.zip |= arguments.zip;
        spec.repeat = arguments.repeat.or(spec.repeat);
        spec.settings.extend(overrides(&arguments.settings, arguments.seed, arguments.audit)?);
        let plan = SweepPlan::new(&source.origin, &source.text, spec).map_err(Failure::bad_input)?;
        let checked = check(&plan)?;
        let record = record(&plan, &checked, arguments.log_requests);
        Ok(Self { plan, record })
    }
}

/// The scenario's text, and what a sweep file says beside it.
fn read(name: &str) -> Result<(Source, SweepSpec), Failure> {
    let source = source(name)?;
    if !SweepFile::is_one(&source.text) {
        return Ok((source, SweepSpec::default()));
    }
    let file = SweepFile::parse(&source.origin, &source.text).map_err(Failure::bad_input)?;
    Ok((source_beside(&source.origin, &file.scenario)?, file.spec))
}

/// What all points together are.
struct Checked {
    name: String,
    seed: u64,
    checksum: String,
}

/// Checks every point, on all processors; the first error by number is the one that is reported.
fn check(plan: &SweepPlan) -> Result<Checked, Failure> {
    let first = plan.point(0).map_err(Failure::bad_input)?.scenario;
    let mut checked = Checked { name: first.name, seed: first.seed, checksum: String::new() };
    let mut checksum = Checksum::new();
    let mut start = 0;
    while start < plan.points() {
        interrupt::check()?;
        let end = plan.points().min(start + CHECKED_AT_ONCE);
        let toml = |index| -> Result<_, SweepError> {
            let Point { scenario, .. } = plan.point(index)?;
            Ok(scenario.to_toml())
        };
        let points: Vec<_> = (start..end).into_par_iter().map(toml).collect();
        for point in points {
            checksum.update(point.map_err(Failure::bad_input)?.as_bytes());
        }
        start = end;
    }
    checked.checksum = checksum.finish();
    Ok(checked)
}

fn record(plan: &SweepPlan, checked: &Checked, log_requests: bool) -> SweepRecord {
    let spec = plan.spec();
    SweepRecord {
        version: env!("CARGO_PKG_VERSION").into(),
        scenario: checked.name.clone(),
        scenario_toml: plan.base_toml(),
        axes: spec.axes.iter().map(axis_record).collect(),
        zip: spec.zip,
        repeat: spec.repeat,
        seed: checked.seed,
        settings: spec.settings.iter().map(ToString::to_string).collect(),
        log_requests,
        points: plan.points(),
        points_checksum: checked.checksum.clone(),
    }
}

fn axis_record(axis: &Axis) -> AxisRecord {
    let kind = match axis.kind {
        AxisType::Integer => "Int64",
        AxisType::Float => "Float64",
        AxisType::Boolean => "Boolean",
        AxisType::Text => "String",
    };
    let value = |item: &AxisItem| match &item.value {
        AxisValue::Integer(integer) => Value::from(*integer),
        AxisValue::Float(float) => Value::from(*float),
        AxisValue::Boolean(boolean) => Value::from(*boolean),
        AxisValue::Text(text) => Value::from(text.as_str()),
    };
    AxisRecord { key: axis.key.clone(), kind: kind.into(), values: axis.items.iter().map(value).collect() }
}

/// The columns of the axes at the combination `group`.
pub fn axis_columns(plan: &SweepPlan, group: u64) -> Vec<ExtraColumn> {
    let column = |(axis, item): (&Axis, &AxisItem)| ExtraColumn {
        name: axis.key.clone(),
        meaning: format!("Axis of the sweep: the scenario's `{}`.", axis.key),
        value: match &item.value {
            AxisValue::Integer(integer) => ExtraValue::Integer(*integer),
            AxisValue::Float(float) => ExtraValue::Float(*float),
            AxisValue::Boolean(boolean) => ExtraValue::Boolean(*boolean),
            AxisValue::Text(text) => ExtraValue::Text(text.clone()),
        },
    };
    plan.spec().axes.iter().zip(plan.items(group)).map(column).collect()
}

/// The columns of a point: those of the axes, and of its repeat.
pub fn point_columns(plan: &SweepPlan, point: &Point) -> Vec<ExtraColumn> {
    let mut columns = axis_columns(plan, plan.group_of(point.index));
    if let Some(repeat) = point.repeat {
        columns.push(ExtraColumn {
            name: "repeat".into(),
            meaning: "Which repeat of its combination of values the point is, counted from 0.".into(),
            value: ExtraValue::Integer(i64::try_from(repeat).expect("repeats are few")),
        });
        columns.push(ExtraColumn {
            name: "seed".into(),
            meaning: "Seed of every stream.".into(),
            value: ExtraValue::Unsigned(point.scenario.seed),
        });
    }
    columns
}

/// The axes' values at a point, in words: `a=1, b=2, repeat 3`.
pub fn place(plan: &SweepPlan, index: u64) -> String {
    let axes = plan.spec().axes.iter().zip(plan.items(plan.group_of(index)));
    let axes = axes.map(|(axis, item)| format!("{}={}", axis.key, item.text));
    let repeat = plan.spec().repeat.map(|repeat| format!("repeat {}", index % repeat));
    axes.chain(repeat).collect::<Vec<_>>().join(", ")
}
