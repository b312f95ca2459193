//! When a VF intends its requests.

use portcullis_engine::units::Picoseconds;
use rand_pcg::rand_core::Rng;

use super::Exponential;
use super::rng::{StreamRng, round, unit};

/// A rate as the mean gap between requests, and how finely time is counted.
#[derive(Clone, Copy, Debug)]
struct Gap {
    /// Mean gap in steps.
    steps: f64,
    /// A picosecond is 2^`bits` steps: as many as keep a mean gap below 2^34 steps, 24 at most. Rounding a
    /// gap to whole steps then shifts a rate by less than 1e-9 of itself, even the fastest a VF can have.
    bits: u32,
}

impl Gap {
    fn new(rate_hz: f64) -> Self {
        let mut gap = Self { steps: 1e12 / rate_hz, bits: 0 };
        while gap.bits < 24 && gap.steps < (1_u64 << 33) as f64 {
            gap.steps *= 2.0;
            gap.bits += 1;
        }
        gap
    }
}

/// The next intended time, to a fraction of a picosecond that is carried along, so that rounding
/// never adds up.
#[derive(Clone, Copy, Debug)]
struct Clock {
    now: Picoseconds,
    /// Steps beyond `now`: less than a picosecond.
    carry: u64,
    bits: u32,
}

/// Requests a clock may run through before its steps are made picoseconds: the slowest VF has gaps of
/// 10^12 ps, less than 46 times as much by any draw, so their sum stays below 2^60 steps.
const STRIDE: usize = 1 << 14;

impl Clock {
    fn advance(&mut self, steps: u64) {
        let steps = self.carry + steps;
        self.now += Picoseconds(steps >> self.bits);
        self.carry = steps & ((1 << self.bits) - 1);
    }

    /// Writes the times before `until` through `write`, at most `room` of them, with a gap drawn after
    /// each; returns how many.
    #[inline]
    fn run(
        &mut self,
        until: Picoseconds,
        room: usize,
        mut draw_steps: impl FnMut() -> u64,
        mut write: impl FnMut(usize, Picoseconds),
    ) -> usize {
        let mut written = 0;
        while written < room && self.now < until {
            let (now, bits) = (self.now, self.bits);
            let span = until.saturating_sub(now).0;
            let stride_end = room.min(written + STRIDE);
            let mut steps = self.carry;
            while written < stride_end && steps >> bits < span {
                write(written, now + Picoseconds(steps >> bits));
                steps += draw_steps();
                written += 1;
            }
            self.carry = 0;
            self.advance(steps);
        }
        written
    }
}

/// Intended times of one VF.
#[derive(Clone, Debug)]
pub struct Arrivals {
    clock: Clock,
    gap_steps: f64,
    rng: StreamRng,
    exponential: &'static Exponential,
    process: Process,
}

/// What kind of process it is.
#[derive(Clone, Debug)]
enum Process {
    Constant,
    Poisson,
    OnOff(Box<Bursts>),
}

/// Bursts and pauses: a Poisson process whose clock stands still in the pauses.
#[derive(Clone, Debug)]
struct Bursts {
    on_ps: f64,
    off_ps: f64,
    fixed: bool,
    /// Steps left of the burst under way.
    left_steps: u128,
}

impl Arrivals {
    /// Evenly spaced requests at `rate_hz` a second, the first at a moment drawn from the first gap.
    #[must_use]
    pub fn constant(rate_hz: f64, mut rng: StreamRng) -> Self {
        let gap = Gap::new(rate_hz);
        let start = (unit(rng.next_u64()) * gap.steps) as u64;
        Self::new(gap, rng, Process::Constant, Picoseconds::ZERO, start)
    }

    /// Evenly spaced requests at `rate_hz` a second, the first after this share of a gap.
    #[must_use]
    pub fn in_turn(rate_hz: f64, share: f64, rng: StreamRng) -> Self {
        let gap = Gap::new(rate_hz);
        let start = (share * gap.steps) as u64;
        Self::new(gap, rng, Process::Constant, Picoseconds::ZERO, start)
    }

    /// A Poisson process of `rate_hz` a second.
    #[must_use]
    pub fn poisson(rate_hz: f64, mut rng: StreamRng) -> Self {
        let gap = Gap::new(rate_hz);
        let start = round(Exponential::tables().draw(&mut rng) * gap.steps);
        Self::new(gap, rng, Process::Poisson, Picoseconds::ZERO, start)
    }

    /// A Poisson process that is on and off by turns and makes `rate_hz` a second over both.
    ///
    /// `on_us` and `off_us` are mean lengths, exponential unless `fixed`. The process starts in its
    /// steady state: on or off in proportion, somewhere in the middle.
    #[must_use]
    pub fn on_off(rate_hz: f64, on_us: f64, off_us: f64, fixed: bool, mut rng: StreamRng) -> Self {
        let gap = Gap::new(rate_hz * (on_us + off_us) / on_us);
        let exponential = Exponential::tables();
        let mut bursts = Bursts { on_ps: on_us * 1e6, off_ps: off_us * 1e6, fixed, left_steps: 0 };
        let on = unit(rng.next_u64()) * (on_us + off_us) < on_us;
        // What is left of an exponential length is exponential; of a fixed one, any part alike.
        let part = if fixed { unit(rng.next_u64()) } else { exponential.draw(&mut rng) };
        let pause = if on { 0.0 } else { part * bursts.off_ps };
        bursts.left_steps = match on {
            true => to_ps(part * bursts.on_ps) << gap.bits,
            false => to_ps(bursts.length(bursts.on_ps, exponential, &mut rng)) << gap.bits,
        };
        let mut arrivals =
            Self::new(gap, rng, Process::OnOff(Box::new(bursts)), Picoseconds(pause as u64), 0);
        arrivals.step();
        arrivals
    }

    fn new(gap: Gap, rng: StreamRng, process: Process, now: Picoseconds, first_steps: u64) -> Self {
        let mut clock = Clock { now, carry: 0, bits: gap.bits };
        clock.advance(first_steps);
        Self { clock, gap_steps: gap.steps, rng, exponential: Exponential::tables(), process }
    }

    /// When the next request is intended.
    #[inline]
    #[must_use]
    pub fn next(&self) -> Picoseconds {
        self.clock.now
    }

    /// Writes the times before `until` through `write`, at most `room` of them, and returns how many.
    pub fn fill(
        &mut self,
        until: Picoseconds,
        room: usize,
        mut write: impl FnMut(usize, Picoseconds),
    ) -> usize {
        let (gap, exponential) = (self.gap_steps, self.exponential);
        match self.process {
            Process::Constant => {
                let gap = round(gap);
                self.clock.run(until, room, || gap, write)
            }
            Process::Poisson => {
                let mut rng = self.rng.clone();
                let written = self.clock.run(until, room, || round(exponential.draw(&mut rng) * gap), write);
                self.rng = rng;
                written
            }
            Process::OnOff(_) => {
                let mut written = 0;
                while written < room && self.clock.now < until {
                    write(written, self.clock.now);
                    self.step();
                    written += 1;
                }
                written
            }
        }
    }

    /// On to the next time of a process with bursts.
    fn step(&mut self) {
        let Process::OnOff(bursts) = &mut self.process else { unreachable!("only bursts step") };
        let gap = round(self.exponential.draw(&mut self.rng) * self.gap_steps);
        let mut rest = u128::from(gap);
        let mut pauses = Picoseconds::ZERO;
        while rest >= bursts.left_steps {
            rest -= bursts.left_steps;
            let pause = bursts.length(bursts.off_ps, self.exponential, &mut self.rng);
            pauses = pauses.saturating_add(Picoseconds(pause as u64));
            let burst = bursts.length(bursts.on_ps, self.exponential, &mut self.rng);
            bursts.left_steps = to_ps(burst) << self.clock.bits;
        }
        bursts.left_steps -= rest;
        self.clock.now = self.clock.now.saturating_add(pauses);
        self.clock.advance(gap);
    }
}

impl Bursts {
    /// The length of a burst or pause of mean `mean_ps`.
    fn length(&self, mean_ps: f64, exponential: &Exponential, rng: &mut StreamRng) -> f64 {
        if self.fixed { mean_ps } else { exponential.draw(rng) * mean_ps }
    }
}

/// Whole picoseconds, at least one: a burst is never empty.
fn to_ps(ps: f64) -> u128 {
    (ps as u128).max(1)
}
