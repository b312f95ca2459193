//! Runs the scenarios of all rows, each on one thread.

use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_engine::account::SummaryRow;
use portcullis_engine::simulation::Simulation;
use portcullis_workloads::Scenario;
use portcullis_workloads::validation::{Check, Verdict};
use rayon::prelude::*;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::{host, interrupt, threads};

/// Simulates what the rows ask for and judges them, in their order.
///
/// # Errors
/// The threads cannot be started, a scenario cannot be built, or the user asked to stop.
pub fn run(checks: &[Check], threads: Option<usize>, quiet: bool) -> Result<Vec<Verdict>, Failure> {
    let pool = threads::pool(threads.unwrap_or_else(host::default_threads), "validate")?;
    let runs: Vec<&Scenario> = checks.iter().flat_map(|check| &check.runs).collect();
    let expected = runs.iter().map(|scenario| scenario.expected_requests()).sum();
    let bar = Progress::new("DMAs", expected, quiet);
    let done = AtomicU64::new(0);
    let summaries: Vec<SummaryRow> = pool.install(|| {
        let one = |scenario: &&Scenario| {
            simulate(scenario, &|requests| {
                bar.update(done.fetch_add(requests, Ordering::Relaxed) + requests, String::new);
            })
        };
        // One by one: some take a hundred times as long as others.
        runs.par_iter().with_max_len(1).map(one).collect::<Result<_, Failure>>()
    })?;
    let mut rest = &summaries[..];
    let judge = |check: &Check| {
        let (its, others) = rest.split_at(check.runs.len());
        rest = others;
        check.judge(its)
    };
    Ok(checks.iter().map(judge).collect())
}

/// One run from its plan to its summary; `watch` sees how many DMAs each round completes.
fn simulate(scenario: &Scenario, watch: &dyn Fn(u64)) -> Result<SummaryRow, Failure> {
    let mut simulation = Simulation::build(scenario.plan()).map_err(Failure::bad_input)?;
    let mut completed = 0;
    loop {
        interrupt::check()?;
        let progress = simulation.advance();
        drop(simulation.drain_tables());
        watch(progress.requests_completed - completed);
        completed = progress.requests_completed;
        if progress.finished {
            break;
        }
    }
    let result = simulation.finish();
    match result.breach {
        Some(breach) => Err(Failure::failed(breach)),
        None => Ok(result.summary),
    }
}
