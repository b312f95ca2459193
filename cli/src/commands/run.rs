//! `portcullis run`: simulates a scenario and writes its report.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use portcullis_engine::simulation::Simulation;
use portcullis_reports::run_tables;
use rayon::ThreadPool;

use crate::arguments::{RunArguments, overrides};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::report::{About, Report};
use crate::simulate::{Task, simulate};
use crate::{host, human, interrupt, scenario, stdout, summary, threads};

/// How often a request to stop is looked for while the world is built.
const INTERRUPT_CHECK: Duration = Duration::from_millis(50);

/// Simulates, writes the report, prints the summary.
///
/// # Errors
/// The scenario or the output cannot be built, the disk fails, isolation was broken, or the user
/// asked to stop.
pub fn run(arguments: &RunArguments) -> Result<(), Failure> {
    interrupt::install()?;
    let overrides = overrides(&arguments.settings, arguments.seed, arguments.audit)?;
    let scenario = scenario::load(&arguments.scenario, &overrides)?;
    let threads = arguments.threads.unwrap_or_else(host::default_threads);
    let pool = Arc::new(threads::pool(threads, "simulate")?);

    let about = About {
        command: "run",
        name: scenario.name.clone(),
        scenario_toml: scenario.to_toml(),
        trace: None,
        point: None,
        seed: scenario.seed,
        threads: pool.current_num_threads(),
    };
    let mut report = Report::open(about, &arguments.output, run_tables(arguments.log_requests))?;
    let task = Task { scenario, log_requests: arguments.log_requests };
    let mut bar: Option<Progress> = None;
    let (summary, breach) =
        simulate(&task, &pool, &mut report, |task| build_aside(task.clone(), &pool), &mut |progress| {
            bar.get_or_insert_with(|| {
                Progress::new("DMAs", progress.requests_expected, arguments.output.quiet)
            })
            .update(progress.requests_completed, || {
                format!("  simulated {}", human::nanoseconds(progress.simulated.as_ns_f64()))
            });
            Ok(())
        })?;
    drop(bar);

    let path = report.publish()?;
    let text = if arguments.output.json { summary::json(summary) } else { summary::of_run(&summary, &path) };
    stdout::write(text.as_bytes())?;
    breach.map_or(Ok(()), |breach| Err(Failure::failed(breach)))
}

/// Builds the world on a thread aside: a large one takes a while, and Ctrl-C must not wait for it.
/// What is half built then ends with the process.
fn build_aside(task: Task, pool: &Arc<ThreadPool>) -> Result<Simulation, Failure> {
    let (sender, receiver) = mpsc::channel();
    let pool = Arc::clone(pool);
    let work = move || {
        // Nobody listens any more if the user asked to stop.
        sender.send(pool.install(|| task.build())).unwrap_or_default();
    };
    let builder = thread::Builder::new()
        .name("build".into())
        .spawn(work)
        .map_err(|error| Failure::failed(format_args!("cannot start a thread: {error}")))?;
    loop {
        interrupt::check()?;
        match receiver.recv_timeout(INTERRUPT_CHECK) {
            Ok(built) => return built.map_err(Failure::bad_input),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => match builder.join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => unreachable!("the builder sends what it has built"),
            },
        }
    }
}
