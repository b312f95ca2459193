//! The plan of a sweep: its points, and the scenario of each.

use std::collections::HashSet;

use super::axis::{Axis, AxisItem};
use super::error::SweepError;
use super::range::lacks_step;
use crate::scenario::{Override, Scenario, ScenarioError, Template};

/// Most points a sweep may have.
pub const POINTS_MAX: u64 = 1_000_000;

/// Most seeds a point may be repeated with.
pub const REPEAT_MAX: u64 = 10_000;

/// What is swept, before it is held against a scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SweepSpec {
    /// The axes, the slowest first.
    pub axes: Vec<Axis>,
    /// Whether the axes advance together, in place of every combination.
    pub zip: bool,
    /// With how many seeds each combination runs, from the scenario's seed on.
    pub repeat: Option<u64>,
    /// What is set at every point.
    pub settings: Vec<Override>,
}

/// The points of a sweep.
#[derive(Clone, Debug)]
pub struct SweepPlan {
    template: Template,
    spec: SweepSpec,
    groups: u64,
}

/// One point of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Its number, from 0.
    pub index: u64,
    /// Which repeat of its combination it is, from 0; `None` where nothing is repeated.
    pub repeat: Option<u64>,
    /// What is simulated.
    pub scenario: Scenario,
}

impl SweepPlan {
    /// Holds `spec` against the scenario `text`, called `origin` in errors. The values of the points
    /// are checked by [`SweepPlan::point`].
    ///
    /// # Errors
    /// The scenario or a setting cannot be read; axes that are double, of unequal lengths in step,
    /// or set otherwise; too many points, or none.
    pub fn new(origin: &str, text: &str, spec: SweepSpec) -> Result<Self, SweepError> {
        let template = Template::new(origin, text, &spec.settings)
            .map_err(|error| SweepError::new(error.to_string()))?;
        check_keys(&template, &spec)?;
        check_repeat(&spec)?;
        let groups = if spec.zip { zipped(&spec.axes)? } else { crossed(&spec.axes)? };
        let plan = Self { template, spec, groups };
        if plan.points() > POINTS_MAX {
            return Err(too_many());
        }
        Ok(plan)
    }

    /// What is swept.
    #[must_use]
    pub const fn spec(&self) -> &SweepSpec {
        &self.spec
    }

    /// How many points there are.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.groups * self.spec.repeat.unwrap_or(1)
    }

    /// How many combinations of the axes' values there are.
    #[must_use]
    pub const fn groups(&self) -> u64 {
        self.groups
    }

    /// The values of the axes at the combination `group`, in the order of the axes.
    #[must_use]
    pub fn items(&self, group: u64) -> Vec<&AxisItem> {
        let mut rest = group;
        let mut items: Vec<&AxisItem> = Vec::with_capacity(self.spec.axes.len());
        for axis in self.spec.axes.iter().rev() {
            let length = axis.items.len() as u64;
            let index = if self.spec.zip { group } else { rest % length };
            rest /= length;
            items.push(&axis.items[index as usize]);
        }
        items.reverse();
        items
    }

    /// The combination that the point `index` belongs to.
    #[must_use]
    pub fn group_of(&self, index: u64) -> u64 {
        index / self.spec.repeat.unwrap_or(1)
    }

    /// The point `index`, checked.
    ///
    /// # Errors
    /// A key does not exist, or a value cannot be built; the axis and its value are named.
    pub fn point(&self, index: u64) -> Result<Point, SweepError> {
        assert!(index < self.points(), "point {index} of {}", self.points());
        let items = self.items(self.group_of(index));
        let changes: Vec<Override> = self
            .spec
            .axes
            .iter()
            .zip(&items)
            .map(|(axis, item)| Override::new(axis.key.clone(), item.text.clone()))
            .collect();
        let mut scenario =
            self.template.scenario(&changes).map_err(|error| self.explain(&changes, &error))?;
        let repeat = self.spec.repeat.map(|repeat| index % repeat);
        if let Some(repeat) = repeat {
            let seed = scenario.seed.checked_add(repeat);
            scenario.seed = seed.ok_or_else(|| {
                SweepError::new(format!(
                    "repeat {repeat}: the seed {} + {repeat} is beyond 64 bits",
                    scenario.seed
                ))
            })?;
        }
        Ok(Point { index, repeat, scenario })
    }

    /// What is set at every point and at the point `index` in particular, as `run` would take it.
    #[must_use]
    pub fn settings(&self, index: u64) -> Vec<Override> {
        let axes = self.spec.axes.iter().zip(self.items(self.group_of(index)));
        let of_axes = axes.map(|(axis, item)| Override::new(axis.key.clone(), item.text.clone()));
        self.spec.settings.iter().cloned().chain(of_axes).collect()
    }

    /// The scenario in full where it is whole without the axes, else what there is of it, as TOML.
    #[must_use]
    pub fn base_toml(&self) -> String {
        self.template.scenario(&[]).map_or_else(|_| self.template.to_toml(), |scenario| scenario.to_toml())
    }

    /// What is wrong with the point that `changes` make, naming the axis that is at fault.
    fn explain(&self, changes: &[Override], error: &ScenarioError) -> SweepError {
        if self.template.scenario(&[]).as_ref() == Err(error) {
            return SweepError::new(error.to_string());
        }
        let canonical = |key: &str| self.template.canonical_key(key);
        let found = canonical(&error.key);
        let is_found = |change: &&Override| {
            let axis = canonical(&change.key);
            axis == found
                || axis.strip_prefix(&found).is_some_and(|rest| rest.starts_with('.'))
                || found.strip_prefix(&axis).is_some_and(|rest| rest.starts_with('.'))
                || error.place == format!("--set {change}")
        };
        let Some(culprit) = changes.iter().find(is_found) else {
            let axes: Vec<String> = changes.iter().map(|change| format!("`{change}`")).collect();
            let axis = changes.first().map(|change| change.key.clone());
            let axes = axes.join(" and ");
            return SweepError {
                axis,
                problem: format!("with axis {axes}: {}: {}", error.place, error.problem),
            };
        };
        let others: Vec<String> =
            changes.iter().filter(|change| *change != culprit).map(ToString::to_string).collect();
        let others = if others.is_empty() { String::new() } else { format!(" (with {})", others.join(", ")) };
        let hint = if lacks_step(&culprit.value) {
            format!("; a range needs a step, such as {0}:1 or {0}:*2", culprit.value)
        } else {
            String::new()
        };
        SweepError {
            axis: Some(culprit.key.clone()),
            problem: format!(
                "axis `{}`, value `{}`{others}: {}{hint}",
                culprit.key, culprit.value, error.problem
            ),
        }
    }
}

/// No key is an axis twice, or an axis and set.
fn check_keys(template: &Template, spec: &SweepSpec) -> Result<(), SweepError> {
    let set: HashSet<String> = spec.settings.iter().map(|set| template.canonical_key(&set.key)).collect();
    let mut seen = HashSet::new();
    for axis in &spec.axes {
        let key = template.canonical_key(&axis.key);
        if set.contains(&key) {
            return Err(SweepError::axis(
                &axis.key,
                "the key is also set for all points; give only one of them",
            ));
        }
        if !seen.insert(key) {
            return Err(SweepError::axis(&axis.key, "the key is given as an axis twice"));
        }
    }
    Ok(())
}

fn check_repeat(spec: &SweepSpec) -> Result<(), SweepError> {
    match spec.repeat {
        None if spec.axes.is_empty() => {
            Err(SweepError::new("there is nothing to sweep: give an --axis, or --repeat"))
        }
        None => Ok(()),
        Some(repeat) if !(2..=REPEAT_MAX).contains(&repeat) => Err(SweepError::new(format!(
            "repeat is {repeat}; it must lie between 2, the least that has a confidence interval, and {REPEAT_MAX}"
        ))),
        Some(_) if spec.axes.iter().any(|axis| axis.key == "seed") => {
            Err(SweepError::axis("seed", "repeats set the seed; give either the axis or the repeats"))
        }
        Some(_) => Ok(()),
    }
}

/// How many combinations a grid has.
fn crossed(axes: &[Axis]) -> Result<u64, SweepError> {
    let mut groups = 1_u64;
    for axis in axes {
        if let Some(item) = axis.repeated() {
            return Err(SweepError::axis(&axis.key, &format!("value `{}` is given twice", item.text)));
        }
        groups = groups.saturating_mul(axis.items.len() as u64);
    }
    if groups > POINTS_MAX { Err(too_many()) } else { Ok(groups) }
}

/// How many combinations there are where the axes advance together.
fn zipped(axes: &[Axis]) -> Result<u64, SweepError> {
    let Some((first, others)) = axes.split_first() else { return Ok(1) };
    let length = first.items.len();
    if let Some(axis) = others.iter().find(|axis| axis.items.len() != length) {
        return Err(SweepError::axis(
            &axis.key,
            &format!(
                "it has {}, but axis `{}` has {}; zipped axes need the same number",
                counted(axis.items.len()),
                first.key,
                counted(length)
            ),
        ));
    }
    let mut seen = HashSet::with_capacity(length);
    for index in 0..length {
        let texts: Vec<&str> = axes.iter().map(|axis| axis.items[index].text.as_str()).collect();
        if !seen.insert(texts.join("\u{0}")) {
            let problem = format!("the combination {} is given twice", texts.join(", "));
            return Err(SweepError::axis(&first.key, &problem));
        }
    }
    Ok(length as u64)
}

fn counted(values: usize) -> String {
    if values == 1 { String::from("1 value") } else { format!("{values} values") }
}

fn too_many() -> SweepError {
    SweepError::new(format!(
        "the axes make more than {POINTS_MAX} points; a sweep may have at most that many"
    ))
}
