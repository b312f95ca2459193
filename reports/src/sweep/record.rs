//! `sweep.json`: the plan of a sweep, and what makes another plan another sweep.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ReportError;
use crate::schema::SCHEMA_VERSION;

/// Name of the file.
pub(super) const RECORD_FILE: &str = "sweep.json";

/// Who wrote it.
const PROGRAM: &str = "portcullis";

/// The plan of a sweep, the same for all its shards and resumptions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// Version of Portcullis.
    pub version: String,
    /// Name of the scenario.
    pub scenario: String,
    /// The scenario with what is set at every point, as TOML: in full, unless only the axes complete it.
    pub scenario_toml: String,
    /// The axes, the slowest first.
    pub axes: Vec<AxisRecord>,
    /// Whether the axes advance together.
    pub zip: bool,
    /// With how many seeds each combination runs.
    pub repeat: Option<u64>,
    /// The seed of the first point.
    pub seed: u64,
    /// What was set at every point, as `key=value`.
    pub settings: Vec<String>,
    /// Whether every DMA is logged.
    pub log_requests: bool,
    /// How many points there are.
    pub points: u64,
    /// Checksum of the scenarios of all points, in order.
    pub points_checksum: String,
}

/// An axis in the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AxisRecord {
    /// Its key, and the name of its column.
    pub key: String,
    /// The type of its column: `Int64`, `Float64`, `Boolean` or `String`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its values, in order.
    pub values: Vec<Value>,
}

/// The plan as it lies in the file.
#[derive(Serialize, Deserialize)]
struct Document<R> {
    program: String,
    schema_version: String,
    command: String,
    #[serde(flatten)]
    record: R,
}

impl SweepRecord {
    /// The file's content.
    pub(super) fn to_json(&self) -> String {
        let document = Document {
            program: PROGRAM.into(),
            schema_version: SCHEMA_VERSION.into(),
            command: "sweep".into(),
            record: self,
        };
        serde_json::to_string_pretty(&document).expect("a plan holds nothing JSON cannot") + "\n"
    }

    /// Reads the plan of a sweep's directory.
    ///
    /// # Errors
    /// There is none, or it is not one that this version of Portcullis wrote.
    pub fn read(directory: &Path) -> Result<Self, ReportError> {
        let path = directory.join(RECORD_FILE);
        let text = fs::read_to_string(&path).map_err(|error| ReportError::read(&path, error))?;
        let document: Document<Self> =
            serde_json::from_str(&text).map_err(|error| ReportError::read(&path, error))?;
        if document.program != PROGRAM || document.command != "sweep" {
            return Err(ReportError::read(&path, "it is no plan of a sweep of Portcullis"));
        }
        if document.schema_version != SCHEMA_VERSION {
            let version = document.schema_version.escape_debug();
            return Err(ReportError::read(
                &path,
                format!("it is of schema version {version}, not {SCHEMA_VERSION}"),
            ));
        }
        Ok(document.record)
    }

    /// What makes `self`, the plan of a directory, another than `asked`, in words; `None` if nothing does.
    ///
    /// Two ways to ask for the same points are the same plan.
    #[must_use]
    pub fn difference(&self, asked: &Self) -> Option<String> {
        let text = |one: &str, two: &str, what: &str| {
            (one != two).then(|| format!("{what} is {one} there and {two} here"))
        };
        text(&self.version, &asked.version, "the version of Portcullis")
            .or_else(|| text(&self.scenario, &asked.scenario, "the scenario"))
            .or_else(|| self.axes_difference(asked))
            .or_else(|| (self.zip != asked.zip).then(|| one_sided("--zip", self.zip)))
            .or_else(|| text(&optional(self.repeat), &optional(asked.repeat), "--repeat"))
            .or_else(|| text(&self.seed.to_string(), &asked.seed.to_string(), "the seed"))
            .or_else(|| {
                (self.log_requests != asked.log_requests)
                    .then(|| one_sided("--log-requests", self.log_requests))
            })
            .or_else(|| scenario_difference(&self.scenario_toml, &asked.scenario_toml))
            .or_else(|| {
                let same = self.points == asked.points && self.points_checksum == asked.points_checksum;
                (!same).then(|| String::from("the scenarios of the points differ"))
            })
    }

    fn axes_difference(&self, asked: &Self) -> Option<String> {
        let has = |record: &Self, key: &str| record.axes.iter().any(|axis| axis.key == key);
        if let Some(axis) = self.axes.iter().find(|axis| !has(asked, &axis.key)) {
            return Some(format!("axis `{}` is there and not here", axis.key));
        }
        if let Some(axis) = asked.axes.iter().find(|axis| !has(self, &axis.key)) {
            return Some(format!("axis `{}` is here and not there", axis.key));
        }
        for (there, here) in self.axes.iter().zip(&asked.axes) {
            if there.key != here.key {
                return Some(format!("axis `{}` has another place among the axes", here.key));
            }
            if let Some(difference) = values_difference(there, here) {
                return Some(format!("axis `{}` has {difference}", here.key));
            }
        }
        None
    }
}

/// How the values of two axes differ.
fn values_difference(there: &AxisRecord, here: &AxisRecord) -> Option<String> {
    // What is read went through JSON: so must what it is held against.
    let read_back = |value: &Value| serde_json::from_str::<Value>(&value.to_string()).ok();
    if there.values.len() != here.values.len() {
        return Some(format!("{} values there and {} here", there.values.len(), here.values.len()));
    }
    let differ =
        there.values.iter().zip(&here.values).find(|(there, here)| Some(*there) != read_back(here).as_ref());
    if let Some((one, two)) = differ {
        return Some(format!("the value {one} there and {two} here"));
    }
    (there.kind != here.kind).then(|| format!("the type {} there and {} here", there.kind, here.kind))
}

fn optional(number: Option<u64>) -> String {
    number.map_or_else(|| String::from("none"), |number| number.to_string())
}

fn one_sided(option: &str, there: bool) -> String {
    if there { format!("{option} is there and not here") } else { format!("{option} is here and not there") }
}

/// The first line in which two scenarios, both as TOML with a line a key, differ.
fn scenario_difference(there: &str, here: &str) -> Option<String> {
    if there == here {
        return None;
    }
    let mut section = String::new();
    let (mut there, mut here) = (there.lines(), here.lines());
    loop {
        let (one, two) = (there.next(), here.next());
        if one != two || one.is_none() {
            let quoted =
                |line: Option<&str>| line.map_or_else(|| String::from("nothing"), |line| format!("`{line}`"));
            let place = if section.is_empty() { String::new() } else { format!(" in {section}") };
            return Some(format!("the scenario{place} has {} there and {} here", quoted(one), quoted(two)));
        }
        if let Some(line) = one.filter(|line| line.starts_with('[')) {
            line.clone_into(&mut section);
        }
    }
}
