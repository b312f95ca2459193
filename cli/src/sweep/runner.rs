//! The threads of a sweep.
//!
//! Jobs take the next point, simulate it and write its files. Bringing these to disk takes longer than
//! simulating a small point, and is mostly waiting: publishers do it, several at once, so that the
//! file system joins what they ask for, while the jobs go on. The main thread counts.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use portcullis_reports::sweep::{FailedPoint, Shard, SweepDirectory};
use portcullis_reports::{Metadata, RunDirectory};
use portcullis_workloads::sweep::SweepPlan;
use rayon::ThreadPoolBuilder;

use super::Request;
use super::outcome::{Outcome, Tally};
use super::point::{Made, Metrics, make};
use super::request::axis_columns;
use crate::arguments::SweepArguments;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::report::DEFAULT_PARENT;
use crate::{host, interrupt, panics};

/// Points that are brought to disk at once.
const PUBLISHERS: usize = 8;

/// Written points that may wait for a publisher.
const WAITING_POINTS: usize = 16;

/// How often the main thread looks for a request to stop.
const INTERRUPT_CHECK: Duration = Duration::from_millis(50);

/// How long jobs may take to notice a request to stop; after that the process ends without them.
const GRACE: Duration = Duration::from_secs(2);

/// Simulates every point of the shard that is not finished.
///
/// # Errors
/// The directory cannot be used, nothing more can be written, or the user asked to stop.
pub fn run(request: Request, arguments: &SweepArguments) -> Result<Outcome, Failure> {
    let clock = Instant::now();
    let Request { plan, record } = request;
    let path = arguments.out.clone().unwrap_or_else(|| default_path(&record.scenario));
    let shard = arguments.shard;
    let points = shard.len(plan.points());
    let jobs =
        arguments.jobs.unwrap_or_else(host::default_threads).min(usize::try_from(points).unwrap_or(1)).max(1);
    let directory = SweepDirectory::open(&path, &record, shard, arguments.force)?;
    let sweep = Arc::new(Sweep {
        plan,
        directory,
        shard,
        points,
        log_requests: arguments.log_requests,
        taken: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });

    let bar = Progress::new("points", points, arguments.quiet);
    let tally = sweep.supervise(jobs, &bar)?;
    drop(bar);

    let metadata = Metadata {
        version: record.version.clone(),
        seed: record.seed,
        scenario: record.scenario.clone(),
        scenario_toml: record.scenario_toml.clone(),
    };
    let axes = |group| axis_columns(&sweep.plan, group);
    let intervals = tally.failed == 0 && sweep.directory.write_intervals(&record, &metadata, &axes)?;
    let plan = sweep.plan.clone();
    Ok(Outcome { record, plan, shard, points, tally, intervals, wall_s: clock.elapsed().as_secs_f64(), path })
}

/// Where a sweep goes unless the user says otherwise: the same place for the same scenario.
fn default_path(scenario: &str) -> PathBuf {
    Path::new(DEFAULT_PARENT).join(format!("{scenario}-sweep"))
}

/// What the threads share.
struct Sweep {
    plan: SweepPlan,
    directory: SweepDirectory,
    shard: Shard,
    /// Points of the shard.
    points: u64,
    log_requests: bool,
    /// How many of them were taken by jobs.
    taken: AtomicU64,
    /// Whether the jobs are to end.
    stop: AtomicBool,
}

/// A point that is written and waits for a publisher.
struct Written {
    point: u64,
    report: RunDirectory,
    metrics: Metrics,
    redone: bool,
}

/// What the main thread hears.
enum Event {
    /// A point was there already.
    Found(u64, Metrics),
    /// A point is finished; whether a damaged one was there before.
    Finished(u64, Metrics, bool),
    /// A point failed, and that is recorded.
    Failed(u64, String),
    /// Nothing more can be done.
    Fatal(Failure),
    /// A thread panicked outside of a point.
    Panicked(Box<dyn std::any::Any + Send>),
}

impl Sweep {
    /// Starts the threads, counts what they do, and sees them end.
    fn supervise(self: &Arc<Self>, jobs: usize, bar: &Progress) -> Result<Tally, Failure> {
        let (events, heard) = sync_channel(WAITING_POINTS);
        let threads = self.start(jobs, &events)?;
        drop(events);
        let mut tally = Tally::default();
        let mut fatal: Option<Failure> = None;
        let mut stopped: Option<Instant> = None;
        loop {
            match heard.recv_timeout(INTERRUPT_CHECK) {
                Ok(Event::Panicked(panic)) => resume_unwind(panic),
                Ok(Event::Fatal(failure)) => {
                    fatal.get_or_insert(failure);
                    self.stop.store(true, Ordering::Relaxed);
                }
                Ok(event) => {
                    self.count(event, &mut tally);
                    bar.update(tally.points(), || tally.note());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if fatal.is_some() || interrupt::check().is_err() {
                self.stop.store(true, Ordering::Relaxed);
                if stopped.get_or_insert_with(Instant::now).elapsed() > GRACE {
                    self.directory.abandon();
                    return Err(ended(fatal, &tally));
                }
            }
        }
        for thread in threads {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        if fatal.is_some() || (interrupt::check().is_err() && tally.points() < self.points) {
            return Err(ended(fatal, &tally));
        }
        Ok(tally)
    }

    fn start(
        self: &Arc<Self>,
        jobs: usize,
        events: &SyncSender<Event>,
    ) -> Result<Vec<JoinHandle<()>>, Failure> {
        let (outbox, written) = sync_channel(WAITING_POINTS);
        let written = Arc::new(Mutex::new(written));
        let mut threads = Vec::with_capacity(jobs + PUBLISHERS);
        let mut start = |name: String, work: Box<dyn FnOnce() + Send>| {
            let thread = Builder::new().name(name).spawn(work);
            threads.push(
                thread.map_err(|error| Failure::failed(format_args!("cannot start a thread: {error}")))?,
            );
            Ok::<(), Failure>(())
        };
        for index in 0..jobs {
            let (sweep, outbox, events) = (Arc::clone(self), outbox.clone(), events.clone());
            start(format!("job-{index}"), Box::new(move || sweep.work(&outbox, &events)))?;
        }
        for index in 0..PUBLISHERS.min(usize::try_from(self.points).unwrap_or(PUBLISHERS)) {
            let (sweep, written, events) = (Arc::clone(self), Arc::clone(&written), events.clone());
            start(format!("publish-{index}"), Box::new(move || sweep.publish_all(&written, &events)))?;
        }
        Ok(threads)
    }

    fn count(&self, event: Event, tally: &mut Tally) {
        match event {
            Event::Found(point, metrics) => tally.found(point, metrics),
            Event::Finished(point, metrics, redone) => tally.finished(point, metrics, redone),
            Event::Failed(point, error) => tally.failed(point, error),
            Event::Fatal(_) | Event::Panicked(_) => unreachable!("the supervisor's own"),
        }
    }

    /// The life of a job: one point after the other, on this thread.
    fn work(&self, outbox: &SyncSender<Written>, events: &SyncSender<Event>) {
        let pool = match ThreadPoolBuilder::new().num_threads(1).use_current_thread().build() {
            Ok(pool) => pool,
            Err(error) => {
                let failure = Failure::failed(format_args!("cannot start a job: {error}"));
                return events.send(Event::Fatal(failure)).unwrap_or_default();
            }
        };
        while self.go_on().is_ok() {
            let ordinal = self.taken.fetch_add(1, Ordering::Relaxed);
            if ordinal >= self.points {
                return;
            }
            let point = self.shard.point(ordinal);
            let make =
                || make(&self.plan, &self.directory, self.log_requests, &pool, point, &|| self.go_on());
            let event = match panics::catch(make).unwrap_or_else(|panic| Err(Failure::Failed(panic))) {
                Ok(Made::Found(metrics)) => self.settled(point, Event::Found(point, metrics)),
                Ok(Made::Written { report, metrics, redone }) => {
                    // Publishers outlive the jobs.
                    outbox.send(Written { point, report, metrics, redone }).unwrap_or_default();
                    continue;
                }
                Err(Failure::Interrupted) => return,
                Err(failure) => self.failure(point, failure),
            };
            if events.send(event).is_err() {
                return;
            }
        }
    }

    /// `Ok` until the sweep is to end.
    fn go_on(&self) -> Result<(), Failure> {
        if self.stop.load(Ordering::Relaxed) { Err(Failure::Interrupted) } else { interrupt::check() }
    }

    /// The life of a publisher: one written point after the other, until all jobs have ended.
    fn publish_all(&self, written: &Mutex<Receiver<Written>>, events: &SyncSender<Event>) {
        loop {
            let next = written.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Written { point, report, metrics, redone }) = next else { return };
            let published = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| report.publish()));
            let event = match published {
                Ok(Ok(_)) => self.settled(point, Event::Finished(point, metrics, redone)),
                Ok(Err(error)) => self.failure(point, error.into()),
                Err(panic) => Event::Panicked(panic),
            };
            if events.send(event).is_err() {
                return;
            }
        }
    }

    /// The point is finished: an earlier failure of it is forgotten.
    fn settled(&self, point: u64, event: Event) -> Event {
        match self.directory.forget_failure(point) {
            Ok(()) => event,
            Err(error) => Event::Fatal(error.into()),
        }
    }

    /// Records a failure that is the point's own; one of the disk ends the sweep.
    fn failure(&self, point: u64, failure: Failure) -> Event {
        let error = match failure {
            Failure::FullDisk(_) => return Event::Fatal(failure),
            Failure::BadInput(error) | Failure::Failed(error) => error,
            Failure::Interrupted | Failure::InterruptedSweep(_) => unreachable!("no failure of a point"),
        };
        let failed = FailedPoint {
            point,
            settings: self.plan.settings(point).iter().map(ToString::to_string).collect(),
            seed: self.plan.point(point).map_or(0, |point| point.scenario.seed),
            error,
        };
        match self.directory.probe().and_then(|()| self.directory.record_failure(&failed)) {
            Ok(()) => Event::Failed(point, failed.error),
            Err(error) => Event::Fatal(Failure::failed(error)),
        }
    }
}

/// Why a sweep ended early.
fn ended(fatal: Option<Failure>, tally: &Tally) -> Failure {
    let finished = tally.found + tally.finished;
    match fatal {
        None => Failure::InterruptedSweep(finished),
        Some(failure) => {
            let problem = failure.to_string();
            let problem = problem.strip_prefix("error: ").unwrap_or(&problem);
            let points = crate::human::counted(finished, "point");
            Failure::failed(format_args!(
                "{problem}; {points} finished, the same command goes on with the rest"
            ))
        }
    }
}
