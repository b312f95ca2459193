//! One scenario from its plan to its tables: what `run` does, and a sweep at every point.

use std::time::Instant;

use portcullis_engine::account::{EscapeRow, Figures, SummaryRow};
use portcullis_engine::attribution::Attributed;
use portcullis_engine::error::SpecError;
use portcullis_engine::simulation::{Progress, RunResult, Simulation};
use portcullis_engine::table::Table;
use portcullis_reports::{Extras, Machine};
use portcullis_workloads::Scenario;
use rayon::ThreadPool;

use crate::failure::Failure;
use crate::{host, human, interrupt};

/// What is simulated.
#[derive(Clone)]
pub struct Task {
    /// The scenario, checked.
    pub scenario: Scenario,
    /// The classes that intend nothing, by their indices.
    pub silent: Vec<u32>,
    /// Whether every DMA is logged.
    pub log_requests: bool,
}

impl Task {
    /// The tables it leaves beside those that every run leaves.
    pub fn extras(&self) -> Extras {
        Extras {
            requests: self.log_requests,
            tenant_windows: self.scenario.report.tenant_windows,
            levels: self.scenario.report.levels > 0,
            escapes: self.scenario.tenants.iter().any(|class| class.escapes.is_some()),
            slowdown: false,
            attribution: self.scenario.report.attribution,
            evictions: self.scenario.report.miss_causes,
        }
    }

    /// Builds the world, in parallel in the current rayon pool.
    ///
    /// # Errors
    /// The first key that cannot be built; a fleet that takes more memory than the machine has.
    pub fn build(&self) -> Result<Simulation, SpecError> {
        let (needed, there) = (self.scenario.memory_bytes(), Machine::detect().memory_bytes);
        if let Some(there) = there.filter(|there| needed > u128::from(*there)) {
            let needed = human::bytes(u64::try_from(needed).unwrap_or(u64::MAX));
            let problem = format!("takes about {needed} of memory; this machine has {}", human::bytes(there));
            return Err(SpecError::new("topology", problem));
        }
        let mut plan = match &*self.silent {
            [] => self.scenario.plan(),
            silent => self.scenario.plan_without(silent),
        };
        plan.log_requests = self.log_requests;
        Simulation::build(plan)
    }
}

/// What a simulation came to.
pub struct Simulated {
    /// The whole run in one row.
    pub summary: SummaryRow,
    /// What each class got, and each VF, in the order of classes and VFs.
    pub figures: Vec<Figures>,
    /// What is attributed to causes.
    pub attributed: Attributed,
    /// What became of the escapes, by tenant class, kind and reason.
    pub escapes: Vec<EscapeRow>,
    /// What the owner map found, where isolation was broken.
    pub breach: Option<String>,
}

/// Simulates `task` on the threads of `pool` and hands every row to `write`. The world is built by `build`;
/// `watch` sees every round.
///
/// # Errors
/// The world cannot be built, `write` fails, the user asked to stop, or `watch` has it end.
pub fn simulate(
    task: &Task,
    pool: &ThreadPool,
    write: &mut dyn FnMut(Vec<Table>) -> Result<(), Failure>,
    build: impl FnOnce(&Task) -> Result<Simulation, Failure>,
    watch: &mut dyn FnMut(&Progress) -> Result<(), Failure>,
) -> Result<Simulated, Failure> {
    let clock = Instant::now();
    let mut simulation = build(task)?;
    let build_s = clock.elapsed().as_secs_f64();

    let clock = Instant::now();
    loop {
        interrupt::check()?;
        let progress = pool.install(|| simulation.advance());
        write(simulation.drain_tables())?;
        watch(&progress)?;
        if progress.finished {
            break;
        }
    }
    let RunResult { mut summary, tenants, latency, figures, attributed, escapes, tables, breach } =
        pool.install(|| simulation.finish());
    measure(&mut summary, build_s, clock.elapsed().as_secs_f64());
    write(tables)?;
    write(vec![escapes.iter().cloned().collect()])?;
    write(vec![tenants, latency, std::iter::once(summary.clone()).collect()])?;
    Ok(Simulated { summary, figures, attributed, escapes, breach })
}

/// Fills in what the host took.
fn measure(summary: &mut SummaryRow, build_s: f64, simulate_s: f64) {
    summary.wall_build_s = build_s;
    summary.wall_simulate_s = simulate_s;
    summary.wall_dma_per_s = (summary.dma_total + summary.dma_warmup) as f64 / simulate_s;
    summary.wall_peak_memory_bytes = host::peak_memory_bytes();
}
