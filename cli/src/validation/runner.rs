//! Runs the scenarios of all rows, each on one thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_engine::account::SummaryRow;
use portcullis_engine::plan::RunPlan;
use portcullis_engine::simulation::Simulation;
use portcullis_workloads::Scenario;
use portcullis_workloads::validation::{Check, Section, UnderWay, Verdict};
use rayon::prelude::*;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::{host, interrupt, threads};

/// Simulates what the rows ask for and judges them, in their order, and adds a row a section: Little's law in all of its runs.
///
/// # Errors
/// The threads cannot be started, a scenario cannot be built, or the user asked to stop.
pub fn run(
    checks: Vec<Check>,
    threads: Option<usize>,
    quiet: bool,
) -> Result<Vec<(Check, Verdict)>, Failure> {
    let pool = threads::pool(threads.unwrap_or_else(host::default_threads), "validate")?;
    let runs: Vec<&Scenario> = checks.iter().flat_map(|check| &check.runs).collect();
    let expected = runs.iter().map(|scenario| scenario.expected_requests()).sum();
    let bar = Progress::new("DMAs", expected, quiet);
    let done = AtomicU64::new(0);
    let outcomes: Vec<(SummaryRow, f64)> = pool.install(|| {
        let one = |scenario: &&Scenario| {
            simulate(scenario, &|requests| {
                bar.update(done.fetch_add(requests, Ordering::Relaxed) + requests, String::new);
            })
        };
        // One by one: some take a hundred times as long as others.
        runs.par_iter().with_max_len(1).map(one).collect::<Result<_, Failure>>()
    })?;
    Ok(judged(checks, outcomes))
}

/// The rows with their verdicts, where runs came to summaries and their distance from Little's law.
fn judged(checks: Vec<Check>, outcomes: Vec<(SummaryRow, f64)>) -> Vec<(Check, Verdict)> {
    let (summaries, deviations): (Vec<_>, Vec<_>) = outcomes.into_iter().unzip();
    let mut by_section: BTreeMap<Section, Vec<f64>> = BTreeMap::new();
    let mut first = 0;
    let mut judge = |check: Check| {
        let its = first..first + check.runs.len();
        first = its.end;
        by_section.entry(check.section).or_default().extend(&deviations[its.clone()]);
        let verdict = check.judge(&summaries[its]);
        (check, verdict)
    };
    let mut rows: Vec<(Check, Verdict)> = checks.into_iter().map(&mut judge).collect();
    rows.extend(by_section.into_iter().map(|(section, deviations)| {
        let check = Check::of_little(section, &deviations);
        let verdict = check.judge(&[]);
        (check, verdict)
    }));
    // Rows of a section stand together.
    rows.sort_by_key(|(check, _)| check.section);
    rows
}

/// One run from its plan to its summary, and its distance from Little's law; `watch` sees how many DMAs each round completes.
fn simulate(scenario: &Scenario, watch: &dyn Fn(u64)) -> Result<(SummaryRow, f64), Failure> {
    let plan = RunPlan { log_requests: true, ..scenario.plan() };
    let mut under_way = UnderWay::new(plan.warm_up.0);
    let mut simulation = Simulation::build(plan).map_err(Failure::bad_input)?;
    let mut completed = 0;
    loop {
        interrupt::check()?;
        let progress = simulation.advance();
        simulation.drain_tables().iter().for_each(|table| under_way.add(table));
        watch(progress.requests_completed - completed);
        completed = progress.requests_completed;
        if progress.finished {
            break;
        }
    }
    let result = simulation.finish();
    match result.breach {
        Some(breach) => Err(Failure::failed(breach)),
        None => {
            let deviation = under_way.deviation(&result.summary);
            Ok((result.summary, deviation))
        }
    }
}
