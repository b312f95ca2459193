//! The whole engine in one place: what a host does in a batch, in order.

use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{LogLevel, ScheduleBuildSettings, ScheduleLabel, SingleThreadedExecutor};

use crate::account::Levels;
use crate::escape::{EscapeBatch, EscapeRun};
use crate::silence::Silence;
use crate::traffic::Batch;
use crate::units::Picoseconds;
use crate::{
    account, attribution, crash, escape, gate, interrupts, invalidation, memory, replay, silence, traffic,
    translation,
};

/// The stages of a batch, in the order in which they run.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// `traffic`: rows of finished requests are reused.
    Reuse,
    /// `traffic`: the sources emit what is intended before the horizon, in order.
    Traffic,
    /// `gate` and `link`: requests leave through the VFs' queues and the upstream link; adapters that are silent have
    /// their domains switched (`silence`).
    Issue,
    /// `translation`: the arrivals of all links in one order.
    Arrive,
    /// `translation`: context, IOTLB, walkers and check, in that order.
    Translate,
    /// `memory` and `link`: writes complete, reads return on the downstream link; drivers with streaming mappings
    /// are told (`invalidation`).
    Complete,
    /// `translation`: fault records enter the fault queue, in the order of time; switches that are over are booked
    /// (`silence`).
    Faults,
    /// `account`: the owner map judges what was reached.
    Audit,
    /// `attribution`, `interrupts` and `account`: where the time of every finished request went, where that is asked for; each ends
    /// in exactly one outcome.
    Account,
    /// `account`: finished requests are logged in the order of their look-ups.
    Log,
}

/// What the systems of [`Flow`] did in their last run.
#[derive(Resource, Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Requests moved on.
    pub moved: u64,
    /// Whether an adapter waits for what later stages give back. Where none does, another run moves nothing.
    pub waits: bool,
}

/// Begins a batch.
#[derive(ScheduleLabel, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Begin;

/// Moves requests through the hardware; runs until nothing moves, or no adapter waits, since credits and
/// tags feed back from later stages to earlier ones.
#[derive(ScheduleLabel, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flow;

/// Ends a batch.
#[derive(ScheduleLabel, Clone, Debug, PartialEq, Eq, Hash)]
pub struct End;

/// A batch of escapes.
#[derive(ScheduleLabel, Clone, Debug, PartialEq, Eq, Hash)]
pub struct EscapeBatchRun;

/// The schedules of a host. They are open to systems that watch, between one [`Stage`] and the next.
pub struct Stages {
    /// [`Begin`]: [`Stage::Reuse`] and [`Stage::Traffic`].
    pub begin: Schedule,
    /// [`Flow`]: [`Stage::Issue`] to [`Stage::Complete`].
    pub flow: Schedule,
    /// [`End`]: [`Stage::Faults`] to [`Stage::Log`].
    pub end: Schedule,
    /// `escape`: a batch of packets; none where nobody sends any.
    pub escapes: Option<Schedule>,
    /// Whether the silence of adapters hangs on escapes.
    pub escapes_hold_dmas: bool,
    /// See [`Self::have_moved`].
    moved: bool,
}

impl Default for Stages {
    fn default() -> Self {
        Self::new()
    }
}

impl Stages {
    /// The schedules, not yet bound to a world.
    #[must_use]
    pub fn new() -> Self {
        let mut begin = schedule(Begin);
        begin.configure_sets((Stage::Reuse, Stage::Traffic).chain());
        begin.add_systems((
            (traffic::reuse_rows, traffic::grow_pool).chain().in_set(Stage::Reuse),
            traffic::emit.in_set(Stage::Traffic),
        ));

        let mut flow = schedule(Flow);
        flow.configure_sets((Stage::Issue, Stage::Arrive, Stage::Translate, Stage::Complete).chain());
        flow.add_systems((
            (gate::issue_requests, silence::advance_switches).chain().in_set(Stage::Issue),
            translation::order_arrivals.in_set(Stage::Arrive),
            (translation::translate, account::note_order).chain().in_set(Stage::Translate),
            (memory::complete, invalidation::note_completions).chain().in_set(Stage::Complete),
        ));

        let mut end = schedule(End);
        end.configure_sets((Stage::Faults, Stage::Audit, Stage::Account, Stage::Log).chain());
        end.add_systems((
            (translation::record_faults, silence::book_switches, silence::book_lost)
                .chain()
                .in_set(Stage::Faults),
            account::audit.in_set(Stage::Audit),
            (
                crash::hold_back,
                attribution::attribute,
                silence::book_disturbed,
                interrupts::raise,
                account::account,
            )
                .chain()
                .in_set(Stage::Account),
            account::log_requests.in_set(Stage::Log),
        ));
        Self { begin, flow, end, escapes: None, escapes_hold_dmas: false, moved: false }
    }

    /// The same, with those that `world` needs beside them.
    #[must_use]
    pub fn for_world(world: &mut World) -> Self {
        let mut silences = world.query::<&Silence>();
        let hangs = |silence: &Silence| silence.0.as_deref().is_some_and(|of| of.escapes.is_some());
        let escapes_hold_dmas = silences.iter(world).any(hangs);
        let escapes = world.contains_resource::<EscapeRun>().then(|| {
            let mut batch = schedule(EscapeBatchRun);
            batch.add_systems((escape::receive, escape::judge, escape::dispatch, escape::book).chain());
            batch
        });
        let mut stages = Self { escapes, escapes_hold_dmas, ..Self::new() };
        if world.query::<&Levels>().iter(world).next().is_some() {
            let over = account::count_levels.in_set(Stage::Account);
            let lost = account::count_lost_levels.in_set(Stage::Faults);
            stages.end.add_systems((
                over.after(crash::hold_back).before(account::account),
                lost.after(silence::book_switches).before(silence::book_lost),
            ));
        }
        stages
    }

    /// Runs batches of escapes until every one sent before `until` is over, as far as their adapters' windows and stalls are
    /// known; whether all of them are.
    ///
    /// Where no silence hangs on them escapes wait for no DMA, so they may be ahead of it by a batch.
    pub fn run_escapes(&mut self, world: &mut World, until: Picoseconds) -> bool {
        self.moved |= self.move_escapes(world, until);
        let is_over = |batch: &EscapeBatch| batch.is_over_until(until);
        self.escapes.is_none() || world.query::<&EscapeBatch>().iter(world).all(is_over)
    }

    /// The same; whether anything was done.
    fn move_escapes(&mut self, world: &mut World, until: Picoseconds) -> bool {
        let Some(escapes) = &mut self.escapes else { return false };
        world.resource_mut::<EscapeRun>().until = until;
        let mut moved = false;
        loop {
            escapes.run(world);
            if !world.resource::<EscapeRun>().moved {
                return moved;
            }
            moved = true;
        }
    }

    /// Goes on with the escapes that the silence of adapters hangs on; whether anything was done.
    fn move_escapes_that_hold_dmas(&mut self, world: &mut World) -> bool {
        let until = world.resource::<Batch>().horizon;
        self.escapes_hold_dmas && self.move_escapes(world, until)
    }

    /// Whether anything was done behind the emission, requests or escapes moved on or bounds, since the last batch began.
    #[must_use]
    pub fn have_moved(&self) -> bool {
        self.moved
    }

    /// Runs one batch.
    pub fn run(&mut self, world: &mut World) {
        self.begin.run(world);
        self.moved = self.move_escapes_that_hold_dmas(world);
        loop {
            *world.resource_mut::<Progress>() = Progress::default();
            self.flow.run(world);
            let Progress { moved, waits } = *world.resource::<Progress>();
            self.moved |= moved > 0;
            if moved == 0 {
                if self.move_escapes_that_hold_dmas(world) {
                    self.moved = true;
                    continue;
                }
                break;
            }
            if !waits {
                debug_assert!(self.moves_nothing(world), "a pass was left out that moves something");
                break;
            }
        }
        self.end.run(world);
        world.clear_trackers();
    }

    /// Whether one more pass moves nothing.
    fn moves_nothing(&mut self, world: &mut World) -> bool {
        *world.resource_mut::<Progress>() = Progress::default();
        self.flow.run(world);
        world.resource::<Progress>().moved == 0
    }
}

/// A batch of a replay.
#[derive(ScheduleLabel, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplayBatch;

/// The schedule of a replay: new domains and devices, the events in order, the mapping entities.
#[must_use]
pub fn replay_schedule() -> Schedule {
    let mut batch = schedule(ReplayBatch);
    batch.add_systems((replay::meet, replay::apply_events, replay::change_mappings).chain());
    batch
}

/// An empty schedule on one thread, in which two systems that could conflict must be ordered:
/// hosts run in parallel, not the stages of one.
fn schedule(label: impl ScheduleLabel) -> Schedule {
    let mut schedule = Schedule::new(label);
    schedule.set_executor(SingleThreadedExecutor::new());
    schedule.set_build_settings(ScheduleBuildSettings {
        ambiguity_detection: LogLevel::Error,
        ..ScheduleBuildSettings::default()
    });
    schedule
}
