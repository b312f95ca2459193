//! `portcullis run`: simulates a scenario and writes its report.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use portcullis_engine::account::{Figures, SlowdownRow};
use portcullis_engine::simulation::{self, Simulation};
use portcullis_engine::table::Table;
use portcullis_reports::{Extras, run_tables};
use portcullis_workloads::Scenario;
use rayon::ThreadPool;

use crate::arguments::{RunArguments, overrides};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::report::{About, Report};
use crate::simulate::{Simulated, Task, simulate};
use crate::trace_events::TraceEvents;
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
    let mut scenario = scenario::load(&arguments.scenario, &overrides)?;
    if arguments.trace_events.is_some() && scenario.report.levels == 0 {
        scenario.report.levels = TRACED_LEVELS;
    }
    let comparisons = comparisons(&scenario, arguments)?;
    let threads = arguments.threads.unwrap_or_else(host::default_threads);
    let pool = Arc::new(threads::pool(threads, "simulate")?);

    let about = About {
        command: "run",
        name: scenario.name.clone(),
        scenario_toml: scenario.to_toml(),
        trace: None,
        point: None,
        alone: names(&scenario, classes_named(&scenario, "--alone=", &arguments.alone)?),
        without: names(&scenario, classes_named(&scenario, "--without ", &arguments.without)?),
        seed: scenario.seed,
        threads: pool.current_num_threads(),
    };
    let task = Task { scenario, silent: Vec::new(), log_requests: arguments.log_requests };
    let extras = Extras { slowdown: !comparisons.is_empty(), ..task.extras() };
    let mut report = Report::open(about, &arguments.output, run_tables(extras))?;
    let trace_events = arguments.trace_events.as_deref();
    let mut trace_events =
        trace_events.map(|path| TraceEvents::create(path, arguments.output.force)).transpose()?;
    let which =
        Which { run: 1, of: 1 + comparisons.len(), quiet: arguments.output.quiet, name: "all together" };
    let Simulated { summary, figures, attributed, escapes, mut breach } = watched(
        &task,
        &pool,
        &mut |tables| {
            trace_events.iter_mut().try_for_each(|trace| trace.write(&tables))?;
            report.write(tables)
        },
        &which,
    )?;

    let mut slowdowns: Vec<SlowdownRow> = Vec::new();
    for (Comparison { silent, name }, run) in comparisons.into_iter().zip(2..) {
        let task = Task { silent, log_requests: false, ..task.clone() };
        // Of what is compared with only the figures are kept.
        let found = watched(&task, &pool, &mut |_| Ok(()), &Which { run, name: &name, ..which })?;
        let heard = |class: u32| !task.silent.contains(&class);
        let both = figures.iter().zip(&found.figures).filter(|(together, _)| heard(together.class));
        let class_name = |class: u32| task.scenario.tenants[class as usize].name.clone();
        let row =
            |(together, other): (&Figures, _)| SlowdownRow::new(class_name(together.class), together, other);
        slowdowns.extend(both.map(row));
        breach = breach.or_else(|| found.breach.map(|breach| format!("with {name}, {breach}")));
    }
    report.write([slowdowns.iter().cloned().collect()])?;

    let path = report.publish()?;
    trace_events.map_or(Ok(()), TraceEvents::publish)?;
    let text = match arguments.output.json {
        true => summary::json(summary),
        false => [
            summary::of_run(&summary, &path),
            summary::of_latency(&attributed.latency),
            summary::of_evictions(&attributed.evictions),
            summary::of_escapes(&escapes),
            summary::of_slowdowns(&slowdowns),
        ]
        .concat(),
    };
    stdout::write(text.as_bytes())?;
    breach.map_or(Ok(()), |breach| Err(Failure::failed(breach)))
}

/// Instants at which `--trace-events` has it counted what waits and is under way, where the scenario does not say.
const TRACED_LEVELS: u32 = 2_000;

/// A simulation of the same scenario in which some classes intend nothing, to compare the others with.
struct Comparison {
    silent: Vec<u32>,
    /// What it is called.
    name: String,
}

/// What `--alone` and `--without` ask for.
fn comparisons(scenario: &Scenario, arguments: &RunArguments) -> Result<Vec<Comparison>, Failure> {
    let every = || 0..scenario.tenants.len() as u32;
    let alone = classes_named(scenario, "--alone=", &arguments.alone)?.into_iter().map(|class| Comparison {
        silent: every().filter(|other| *other != class).collect(),
        name: format!("{} alone", scenario.tenants[class as usize].name),
    });
    let silent = classes_named(scenario, "--without ", &arguments.without)?;
    if silent.len() == scenario.tenants.len() {
        return Err(Failure::bad_input("`--without` names every class: nothing is left to compare"));
    }
    let names = names(scenario, silent.clone()).join(" and ");
    let without = Comparison { silent, name: format!("all but {names}") };
    Ok(alone.chain(Some(without).filter(|without| !without.silent.is_empty())).collect())
}

fn names(scenario: &Scenario, classes: Vec<u32>) -> Vec<String> {
    classes.into_iter().map(|class| scenario.tenants[class as usize].name.clone()).collect()
}

/// The indices of the classes that `option` names, each once: every one where it is there and names none.
fn classes_named(scenario: &Scenario, option: &str, names: &[String]) -> Result<Vec<u32>, Failure> {
    let mut classes = Vec::new();
    for name in names {
        if name.is_empty() {
            classes.extend(0..scenario.tenants.len() as u32);
        } else {
            let unknown = |problem| Failure::bad_input(format_args!("`{option}{name}`: {problem}"));
            classes.push(scenario.class_index(name).map_err(unknown)?);
        }
    }
    classes.sort_unstable();
    classes.dedup();
    Ok(classes)
}

/// Which of how many runs is under way, and whether nobody wants to see it.
#[derive(Clone, Copy)]
struct Which<'a> {
    run: usize,
    of: usize,
    quiet: bool,
    /// What it is called.
    name: &'a str,
}

impl Which<'_> {
    /// What stands behind the progress bar.
    fn note(&self, progress: &simulation::Progress) -> String {
        let simulated = human::nanoseconds(progress.simulated.as_ns_f64());
        let run = match self.of {
            1 => String::new(),
            of => format!(" ({} of {of}: {})", self.run, self.name),
        };
        format!("  simulated {simulated}{run}")
    }
}

/// Simulates `task` under a progress bar.
fn watched(
    task: &Task,
    pool: &Arc<ThreadPool>,
    write: &mut dyn FnMut(Vec<Table>) -> Result<(), Failure>,
    which: &Which<'_>,
) -> Result<Simulated, Failure> {
    let mut bar: Option<Progress> = None;
    simulate(task, pool, write, |task| build_aside(task.clone(), pool), &mut |progress| {
        bar.get_or_insert_with(|| Progress::new("DMAs", progress.requests_expected, which.quiet))
            .update(progress.requests_completed, || which.note(progress));
        Ok(())
    })
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
