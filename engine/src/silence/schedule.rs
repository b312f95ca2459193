//! When the switches of an adapter are due, and how long their phases take.

use super::failures::{Failure, FailuresSpec, ListedFailures};
use super::spec::{PhaseDurations, SilenceSpec, SwitchSchedule, SwitchesSpec, TimedPhase};
use crate::hash::{mix64, reduce};
use crate::lifecycle::{LifecycleSpec, Step, Steps, VmSchedule};
use crate::units::Picoseconds;

/// A switch that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub time: Picoseconds,
    /// The VF whose domain is switched, by its index within the adapter.
    pub vf: u32,
    /// Which switch of the adapter it is.
    pub number: u64,
    /// What fails in it.
    pub failure: Option<Failure>,
    /// What is done.
    pub step: Step,
}

/// The place of an adapter in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdapterPlace {
    /// Its host, by its index in the fleet.
    pub host: u32,
    /// Its index within the host.
    pub adapter: u32,
    /// Its VFs.
    pub vfs: u32,
}

/// The switches of an adapter, in the order of time: a function of its seed and place alone.
#[derive(Clone, Debug)]
pub struct Schedule {
    kind: SwitchSchedule,
    every_ps: f64,
    vfs: u32,
    seed: u64,
    /// Those that are listed.
    listed: Vec<(Picoseconds, u32)>,
    failures: FailuresSpec,
    listed_failures: ListedFailures,
    /// What its VMs ask for, where they come and go.
    steps: Option<Steps>,
    /// The next; none after the last.
    next: Option<Due>,
}

/// Words drawn for a switch: its phases, its gap and its VF.
const WORDS: u64 = 16;
/// The word of the time from the switch before.
const GAP: u64 = 8;
/// The word of the VF.
const VF: u64 = 9;
/// The word of what fails.
const FAILURE: u64 = 10;

/// A word of the stream of `seed`.
fn draw(seed: u64, switch: u64, word: u64) -> u64 {
    mix64(seed ^ mix64(switch * WORDS + word + 1))
}

/// Above 0, and at most 1.
fn uniform(word: u64) -> f64 {
    ((word >> 11) + 1) as f64 / 2_f64.powi(53)
}

/// An exponential variate of this mean, in whole picoseconds.
fn exponential(word: u64, mean_ps: f64) -> Picoseconds {
    let uniform = uniform(word);
    Picoseconds((-uniform.ln() * mean_ps + 0.5) as u64)
}

impl Schedule {
    /// Of the adapter at `place`.
    #[must_use]
    pub fn new(spec: &SwitchesSpec, failures: &FailuresSpec, place: AdapterPlace, seed: u64) -> Self {
        let here =
            spec.list.iter().filter(|listed| (listed.host, listed.adapter) == (place.host, place.adapter));
        let mut schedule = Self {
            kind: spec.schedule,
            every_ps: spec.every_us * 1e6,
            vfs: place.vfs,
            seed,
            listed: here.map(|listed| (Picoseconds::from_ns_f64(listed.at_us * 1e3), listed.vf)).collect(),
            failures: failures.clone(),
            listed_failures: ListedFailures::new(failures, place),
            steps: None,
            next: None,
        };
        schedule.go_on(None);
        schedule
    }

    /// Of the adapter at `place`, whose VMs come and go.
    #[must_use]
    pub fn of_vms(spec: &LifecycleSpec, place: AdapterPlace, seed: u64) -> Self {
        let mut schedule = Self::new(&SwitchesSpec::default(), &FailuresSpec::default(), place, seed);
        let of_vf = |vf| VmSchedule::new(spec, (place.host, place.adapter), vf, seed);
        schedule.steps = Some(Steps::new(spec, (0..place.vfs).map(of_vf)));
        schedule.go_on(None);
        schedule
    }

    /// The one after `last`, or the first, is next.
    fn go_on(&mut self, last: Option<Due>) {
        self.next = self.following(last).map(|due| {
            let listed = self.listed_failures.strike(due.time);
            let drawn = || self.failures.drawn(1.0 - uniform(draw(self.seed, due.number, FAILURE)));
            Due { failure: listed.or_else(drawn), ..due }
        });
    }

    /// The one after `last`, or the first.
    fn following(&mut self, last: Option<Due>) -> Option<Due> {
        let number = last.map_or(0, |last| last.number + 1);
        if let Some(steps) = &mut self.steps {
            let of_step = |(time, vf, step)| Due { time, vf, number, failure: None, step };
            return steps.next().map(of_step);
        }
        let before = last.map_or(Picoseconds::ZERO, |last| last.time);
        let (time, vf) = match self.kind {
            SwitchSchedule::None => return None,
            SwitchSchedule::Periodic => {
                // Adapters are not in step with one another.
                let first = self.every_ps * (draw(self.seed, 0, GAP) as f64 / 2_f64.powi(64));
                let gap = if number == 0 { first } else { self.every_ps };
                (before + Picoseconds(gap as u64), (number % u64::from(self.vfs)) as u32)
            }
            SwitchSchedule::Poisson => {
                let gap = exponential(draw(self.seed, number, GAP), self.every_ps);
                (before + gap, reduce(draw(self.seed, number, VF), self.vfs))
            }
            SwitchSchedule::List => *self.listed.get(number as usize)?,
        };
        Some(Due { time, vf, number, failure: None, step: Step::Replace })
    }

    /// When the next is due; `Picoseconds::MAX` after the last.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Picoseconds {
        self.next.map_or(Picoseconds::MAX, |due| due.time)
    }

    /// The next.
    pub fn take(&mut self) -> Option<Due> {
        let due = self.next?;
        self.go_on(Some(due));
        Some(due)
    }

    /// Nothing more is due.
    pub fn close(&mut self) {
        self.next = None;
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

/// What the timed phases of a switch take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseTimes([Picoseconds; 7]);

impl PhaseTimes {
    /// Of switch `number` of the adapter whose schedule has this seed. Detaching and resuming take a picosecond at least: what a
    /// switch changes cannot be the cause of what was before it.
    #[must_use]
    pub fn of(spec: &SilenceSpec, seed: u64, number: u64) -> Self {
        let mut word = 0;
        let mut times = spec.phases().map(|(_, mean_us)| {
            word += 1;
            match spec.durations {
                PhaseDurations::Constant => Picoseconds::from_ns_f64(mean_us * 1e3),
                PhaseDurations::Exponential => exponential(draw(seed, number, word - 1), mean_us * 1e6),
            }
        });
        for phase in [TimedPhase::Detach, TimedPhase::Resume] {
            let time = &mut times[phase as usize];
            *time = (*time).max(Picoseconds(1));
        }
        Self(times)
    }

    /// What a phase takes.
    #[inline]
    #[must_use]
    pub fn of_phase(&self, phase: TimedPhase) -> Picoseconds {
        self.0[phase as usize]
    }
}
