//! A host of the engine whose stages are timed one by one.
//!
//! The world and the schedules are the engine's own. Between one stage and the next runs a system that
//! reads the host's clock, so that a stage is measured as it runs: with its ECS part, in its place in
//! the batch, the caches as the stage before it left them, empty passes of the flow included. A reading
//! takes some tens of nanoseconds, once a stage and pass, not once a DMA.

use std::time::{Duration, Instant};

use bevy_ecs::prelude::*;
use portcullis_engine::account::RequestLog;
use portcullis_engine::ids::HostIndex;
use portcullis_engine::plan::RunPlan;
use portcullis_engine::schedule::{Stage, Stages};
use portcullis_engine::topology::{Place, Spans, build_iommu};
use portcullis_engine::traffic::Batch;

/// The stages of a batch, schedule by schedule, in the order in which they run.
const BEGIN: [Stage; 2] = [Stage::Reuse, Stage::Traffic];
const FLOW: [Stage; 4] = [Stage::Issue, Stage::Arrive, Stage::Translate, Stage::Complete];
const END: [Stage; 4] = [Stage::Faults, Stage::Audit, Stage::Account, Stage::Log];
const STAGES: usize = BEGIN.len() + FLOW.len() + END.len();

/// What each stage took, summed over batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes([Duration; STAGES]);

impl StageTimes {
    /// What these stages took together.
    #[must_use]
    pub fn of(&self, stages: &[Stage]) -> Duration {
        stages.iter().map(|stage| self.0[*stage as usize]).sum()
    }

    /// Each stage and what it took, in the order in which they run.
    pub fn each(&self) -> impl Iterator<Item = (Stage, Duration)> + '_ {
        let stages = BEGIN.into_iter().chain(FLOW).chain(END);
        stages.map(|stage| (stage, self.0[stage as usize]))
    }
}

/// Where the time since the last reading is booked.
#[derive(Resource)]
struct StageClock {
    last: Instant,
    times: StageTimes,
}

impl StageClock {
    fn start(&mut self) {
        self.last = Instant::now();
    }

    fn lap(&mut self, stage: Stage) {
        let now = Instant::now();
        self.times.0[stage as usize] += now - self.last;
        self.last = now;
    }
}

/// A host under way.
pub struct StagedHost {
    world: World,
    stages: Stages,
}

impl StagedHost {
    /// Builds the first IOMMU of the first host of the plan.
    #[must_use]
    pub fn new(plan: &RunPlan) -> Self {
        let mut world = build_iommu(plan, &Spans::new(plan), &Place::of_host(plan, HostIndex(0))[0]);
        world.insert_resource(StageClock { last: Instant::now(), times: StageTimes::default() });
        let mut stages = Stages::new();
        read_clock_between(&mut stages.begin, &BEGIN);
        read_clock_between(&mut stages.flow, &FLOW);
        read_clock_between(&mut stages.end, &END);
        Self { world, stages }
    }

    /// Advances batch by batch until at least `dmas` more were emitted, or the sources are exhausted and
    /// every DMA is over. Returns how many were emitted, and what each stage took.
    ///
    /// What a run would hand over to its report is dropped, outside of the times.
    pub fn advance(&mut self, dmas: u64) -> (u64, StageTimes) {
        self.world.resource_mut::<StageClock>().times = StageTimes::default();
        let before = self.batch().emitted;
        loop {
            self.stages.run(&mut self.world);
            let batch = self.batch();
            let finished = batch.exhausted && batch.over == batch.emitted;
            if finished || batch.emitted - before >= dmas {
                break;
            }
        }
        let mut log = self.world.query::<&mut RequestLog>();
        log.single_mut(&mut self.world).expect("one host").slices.clear();
        (self.batch().emitted - before, self.world.resource::<StageClock>().times)
    }

    /// What these stages take for `dmas` DMAs: measured over some more, as batches are, and scaled.
    pub fn time(&mut self, stages: &[Stage], dmas: u64) -> Duration {
        let (emitted, times) = self.advance(dmas);
        times.of(stages).mul_f64(dmas as f64 / emitted as f64)
    }

    /// The world, for a look at what was simulated.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    fn batch(&self) -> Batch {
        *self.world.resource::<Batch>()
    }
}

/// Reads the clock before the first of these stages, and after each.
fn read_clock_between(schedule: &mut Schedule, stages: &[Stage]) {
    let first = *stages.first().expect("a schedule has stages");
    schedule.add_systems((|mut clock: ResMut<StageClock>| clock.start()).before(first));
    for (number, &stage) in stages.iter().enumerate() {
        let lap = (move |mut clock: ResMut<StageClock>| clock.lap(stage)).after(stage);
        match stages.get(number + 1) {
            Some(next) => schedule.add_systems(lap.before(*next)),
            None => schedule.add_systems(lap),
        };
    }
}

#[cfg(test)]
mod tests {
    use portcullis_engine::account::VfBooks;
    use portcullis_engine::simulation::Simulation;

    use super::*;
    use crate::cases::plan;

    fn small() -> RunPlan {
        plan("default", &[("requests", "20_000")])
    }

    #[test]
    fn clocks_between_the_stages_do_not_change_what_is_simulated() {
        let mut simulation = Simulation::build(small()).expect("a valid machine");
        while !simulation.advance().finished {}
        let summary = simulation.finish().summary;

        let mut host = StagedHost::new(&small());
        assert_eq!(host.advance(u64::MAX).0, 20_000);
        let world = host.world_mut();
        let books: Vec<VfBooks> = world.query::<&VfBooks>().iter(world).copied().collect();
        assert_eq!(books.iter().map(|books| books.hits).sum::<u64>(), summary.iotlb_hits);
        assert_eq!(books.iter().map(|books| books.misses).sum::<u64>(), summary.iotlb_misses);
        let last = books.iter().map(|books| books.last_completed).max().expect("a VF");
        assert!((last.as_ns_f64() - summary.simulated_ns).abs() < 1.0);
    }

    #[test]
    fn every_stage_is_measured_and_no_more_than_the_whole() {
        let mut host = StagedHost::new(&small());
        let start = Instant::now();
        let (_, times) = host.advance(10_000);
        let wall = start.elapsed();
        assert_eq!(times.each().filter(|(_, time)| *time > Duration::ZERO).count(), STAGES, "{times:?}");
        assert!(times.each().map(|(_, time)| time).sum::<Duration>() <= wall);
    }
}
