//! The slices of an adapter, and what they cost its VFs.

use std::collections::VecDeque;

use bevy_ecs::component::Component;

use super::dispatch::Dispatch;
use super::rotation::Rotation;
use super::spec::SchedulerPolicy;
use crate::gate::SchedulerSpec;
use crate::units::Picoseconds;

/// The slices of an adapter, on the adapter; nothing where its VFs send at once.
#[derive(Component, Debug, Default)]
pub struct Slices(pub Option<Box<Slicing>>);

impl Slices {
    /// Those of an adapter whose VFs are there or not, that counts from `warm_up` on.
    #[must_use]
    pub fn new(spec: &SchedulerSpec, present: &[bool], first_vf: u32, warm_up: Picoseconds) -> Self {
        Self(spec.policy.has_slices().then(|| Box::new(Slicing::new(spec, present, first_vf, warm_up))))
    }

    /// The slices, where there are any.
    #[inline]
    #[must_use]
    pub fn get(&mut self) -> Option<&mut Slicing> {
        self.0.as_deref_mut()
    }
}

/// What slices cost a VF; requests and slices of the warm-up are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SliceBooks {
    /// Slices that began.
    pub slices: u64,
    /// Of these, those in which it sent something.
    pub used: u64,
    /// Requests that left.
    pub sent: u64,
    /// How long these were eligible outside slices of their VF, summed.
    pub wait_ps: u128,
}

impl SliceBooks {
    /// Adds those of another VF.
    pub fn add(&mut self, other: &Self) {
        self.slices += other.slices;
        self.used += other.used;
        self.sent += other.sent;
        self.wait_ps += other.wait_ps;
    }
}

/// The slices of a VF.
#[derive(Clone, Debug, Default)]
pub struct OfVf {
    /// For each request that is eligible and has not left, how long the VF had had no slice until then.
    waiting: VecDeque<Picoseconds>,
    /// The first of its requests that has not been eligible yet.
    next: u64,
    books: SliceBooks,
    /// Whether it has sent in the slice of this number.
    used: Option<u64>,
    /// Where slices go by work: those that a request may still be eligible in, or behind, the first first.
    had: VecDeque<(Picoseconds, Picoseconds)>,
    /// Those before them, in all.
    had_before: Picoseconds,
}

/// How turns go round.
#[derive(Clone, Debug)]
pub enum Turns {
    /// By the clock.
    Clock(Rotation),
    /// By what there is to send.
    Work(Dispatch),
}

/// See [`Slices`].
#[derive(Debug)]
pub struct Slicing {
    /// How turns go round.
    pub turns: Turns,
    first_vf: u32,
    of_vfs: Vec<OfVf>,
    warm_up: Picoseconds,
}

impl Slicing {
    fn new(spec: &SchedulerSpec, present: &[bool], first_vf: u32, warm_up: Picoseconds) -> Self {
        let there = present.iter().filter(|present| **present).count().max(1) as u64;
        let vfs = present.len() as u32;
        let (slice, switch) = (spec.slice(vfs), spec.switch());
        let turns = match spec.policy {
            SchedulerPolicy::BestEffort => Turns::Work(Dispatch::new(slice, switch)),
            SchedulerPolicy::FixedShare => {
                Turns::Clock(Rotation::new(present, u64::from(spec.slots(vfs)), slice, switch))
            }
            SchedulerPolicy::EqualShare | SchedulerPolicy::Concurrent => {
                Turns::Clock(Rotation::new(present, there, slice, switch))
            }
        };
        Self { turns, first_vf, of_vfs: vec![OfVf::default(); present.len()], warm_up }
    }

    /// The index of a VF within the adapter, by that within the world.
    #[inline]
    #[must_use]
    pub fn of_adapter(&self, vf: u32) -> u32 {
        vf - self.first_vf
    }

    /// The index of a VF within the world, by that within the adapter.
    #[inline]
    #[must_use]
    pub fn of_world(&self, vf: u32) -> u32 {
        self.first_vf + vf
    }

    /// How long a VF had no slice until `time`, which is not before any of its requests was eligible that it has noted.
    fn away_until(&self, vf: u32, time: Picoseconds) -> Picoseconds {
        match &self.turns {
            Turns::Clock(rotation) => rotation.away_until(vf, time),
            Turns::Work(_) => {
                let OfVf { had, had_before, .. } = &self.of_vfs[vf as usize];
                let within =
                    |(from, until): &(Picoseconds, Picoseconds)| time.min(*until).saturating_sub(*from);
                had.iter().map(within).fold(time - *had_before, |away, within| away - within)
            }
        }
    }

    /// A request of a VF, by its index within the world, is eligible at `time`, for the first time or again.
    pub fn note_eligible(&mut self, vf: u32, sequence: u64, time: Picoseconds) {
        let vf = self.of_adapter(vf);
        if sequence < self.of_vfs[vf as usize].next {
            return;
        }
        let away = self.away_until(vf, time);
        let of_vf = &mut self.of_vfs[vf as usize];
        of_vf.next = sequence + 1;
        of_vf.waiting.push_back(away);
        while of_vf.had.len() > 1
            && let Some((from, until)) = of_vf.had.pop_front_if(|(_, until)| *until <= time)
        {
            of_vf.had_before += until - from;
        }
    }

    /// A request of a VF, by its index within the world, that was intended at `intended` leaves at `start`.
    pub fn note_sent(&mut self, vf: u32, intended: Picoseconds, start: Picoseconds) {
        let vf = self.of_adapter(vf);
        let away = self.away_until(vf, start);
        let since = self.of_vfs[vf as usize].waiting.pop_front().expect("it was eligible");
        let (number, from) = match &self.turns {
            Turns::Clock(rotation) => {
                let number = rotation.slice_at(vf, start).number;
                (number, rotation.begins_at(vf, number))
            }
            Turns::Work(_) => {
                // No two slices of a VF begin at one instant.
                let (from, _) = *self.of_vfs[vf as usize].had.back().expect("it has a slice");
                (from.0, from)
            }
        };
        let of_vf = &mut self.of_vfs[vf as usize];
        if of_vf.used != Some(number) && from >= self.warm_up {
            of_vf.books.used += 1;
        }
        of_vf.used = Some(number);
        if intended >= self.warm_up {
            of_vf.books.sent += 1;
            of_vf.books.wait_ps += u128::from((away - since).0);
        }
    }

    /// A VF, by its index within the adapter, has a slice from `from` on, until `until` at most.
    pub fn note_slice(&mut self, vf: u32, from: Picoseconds, until: Picoseconds) {
        let warm_up = self.warm_up;
        let of_vf = &mut self.of_vfs[vf as usize];
        of_vf.had.push_back((from, until));
        of_vf.books.slices += u64::from(from >= warm_up);
    }

    /// The slice of a VF, by its index within the adapter, is over at `until`.
    pub fn note_end_of_slice(&mut self, vf: u32, until: Picoseconds) {
        self.of_vfs[vf as usize].had.back_mut().expect("it has one").1 = until;
    }

    /// What slices cost a VF, by its index within the world, in a run whose last request is over at `end`.
    #[must_use]
    pub fn books(&self, vf: u32, end: Picoseconds) -> SliceBooks {
        let vf = self.of_adapter(vf);
        let books = self.of_vfs[vf as usize].books;
        let Turns::Clock(rotation) = &self.turns else { return books };
        let begun = |time| rotation.begun_before(vf, time);
        SliceBooks { slices: begun(end.max(self.warm_up)) - begun(self.warm_up), ..books }
    }
}
