//! Plans of built-in scenarios, cut and changed for a bench.

use portcullis_engine::plan::RunPlan;
use portcullis_workloads::{Override, Scenario, builtin};

/// `--set key=value`, as the command line takes it.
pub type Change<'a> = (&'a str, &'a str);

/// DMAs that no bench comes to the end of.
const ENDLESS: Change<'static> = ("requests", "10_000_000_000_000");

/// The plan of the built-in scenario `name` with `changes` applied in order.
///
/// # Panics
/// If there is no such scenario, or it does not take one of the changes.
#[must_use]
pub fn plan(name: &str, changes: &[Change<'_>]) -> RunPlan {
    let found = builtin(name).unwrap_or_else(|| panic!("no scenario is called {name}"));
    let overrides: Vec<Override> = changes.iter().map(|(key, value)| Override::new(*key, *value)).collect();
    let scenario = Scenario::parse(found.name, found.toml, &overrides);
    scenario.unwrap_or_else(|error| panic!("{error}")).plan()
}

/// The same, with more DMAs than any bench moves: traffic at its steady state.
///
/// # Panics
/// See [`plan`].
#[must_use]
pub fn endless_plan(name: &str, changes: &[Change<'_>]) -> RunPlan {
    plan(name, &[&[ENDLESS], changes].concat())
}
