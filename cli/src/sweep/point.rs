//! One point: what `run` does, into the data set.

use portcullis_engine::account::SummaryRow;
use portcullis_reports::sweep::{Expected, PointState, SweepDirectory};
use portcullis_reports::{Cells, ReportError, RunDirectory, StoredTable, WriterThread, run_tables};
use portcullis_workloads::sweep::SweepPlan;
use rayon::ThreadPool;

use super::request::point_columns;
use crate::failure::Failure;
use crate::report::{About, Report};
use crate::simulate::{Simulated, Task, simulate};

/// What becomes of a point.
pub enum Made {
    /// It was there already.
    Found(Metrics),
    /// It is simulated and written; it is still to be brought to disk and put in its place.
    Written {
        /// Its report.
        report: RunDirectory,
        /// What it came to.
        metrics: Metrics,
        /// Whether a damaged one was there before.
        redone: bool,
    },
}

/// The figures of a point that the summary of a sweep shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Hits as a share of look-ups.
    pub hit_ratio: f64,
    /// 99th percentile of the latency, ns.
    pub latency_p99_ns: f64,
    /// Payload moved, Gb/s.
    pub throughput_gbps: f64,
    /// Jain's index.
    pub fairness: f64,
}

impl From<&SummaryRow> for Metrics {
    fn from(row: &SummaryRow) -> Self {
        Self {
            hit_ratio: row.iotlb_hit_ratio,
            latency_p99_ns: row.latency_p99_ns as f64,
            throughput_gbps: row.read_gbps + row.write_gbps,
            fairness: row.fairness_jain,
        }
    }
}

impl Metrics {
    /// Whether a column of a summary is read for them.
    fn is_source(name: &str) -> bool {
        ["iotlb_hit_ratio", "latency_p99_ns", "read_gbps", "write_gbps", "fairness_jain"].contains(&name)
    }

    /// Reads them from the summary of a finished point.
    fn read(table: &StoredTable) -> Self {
        let number = |name: &str| match table.column(name) {
            Some(Cells::F64(cells)) => cells.first().copied().flatten().unwrap_or(f64::NAN),
            Some(Cells::U64(cells)) => cells.first().copied().flatten().map_or(f64::NAN, |cell| cell as f64),
            _ => f64::NAN,
        };
        Self {
            hit_ratio: number("iotlb_hit_ratio"),
            latency_p99_ns: number("latency_p99_ns"),
            throughput_gbps: number("read_gbps") + number("write_gbps"),
            fairness: number("fairness_jain"),
        }
    }
}

/// Looks whether the point is there, and simulates it on the threads of `pool` if not. `go_on` is
/// asked between two rounds.
///
/// # Errors
/// Something else is in its place; it cannot be built or written; isolation was broken; the sweep ends.
pub fn make(
    plan: &SweepPlan,
    directory: &SweepDirectory,
    log_requests: bool,
    pool: &ThreadPool,
    index: u64,
    go_on: &dyn Fn() -> Result<(), Failure>,
) -> Result<Made, Failure> {
    let point = plan.point(index).map_err(Failure::bad_input)?;
    let scenario_toml = point.scenario.to_toml();
    let task = Task { scenario: point.scenario.clone(), silent: Vec::new(), log_requests };
    let extras = task.extras();
    let state = directory.state(Expected { point: index, scenario_toml: &scenario_toml, extras })?;
    let path = directory.point_path(index);
    match state {
        PointState::Finished => {
            let summary = StoredTable::read_columns(&path.join("summary.parquet"), &Metrics::is_source)?;
            return Ok(Made::Found(Metrics::read(&summary)));
        }
        PointState::Foreign(problem) => return Err(ReportError::Foreign { path, problem }.into()),
        PointState::Missing | PointState::Damaged(_) => {}
    }
    let about = About {
        command: "sweep",
        name: point.scenario.name.clone(),
        scenario_toml,
        trace: None,
        point: Some(index),
        alone: Vec::new(),
        without: Vec::new(),
        seed: point.scenario.seed,
        threads: pool.current_num_threads(),
    };
    let columns = point_columns(plan, &point);
    let output = directory.create_point(index)?;
    let mut report = Report::open_in(output, about, run_tables(extras), &columns, WriterThread::Callers)?;
    let build = |task: &Task| pool.install(|| task.build()).map_err(Failure::bad_input);
    let mut write = |tables| report.write(tables);
    let Simulated { summary, breach, .. } = simulate(&task, pool, &mut write, build, &mut |_| go_on())?;
    if let Some(breach) = breach {
        return Err(Failure::failed(breach));
    }
    let redone = matches!(state, PointState::Damaged(_));
    Ok(Made::Written { report: report.finish()?, metrics: Metrics::from(&summary), redone })
}
