//! The interrupts of an adapter.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use bevy_ecs::component::Component;

use super::spec::InterruptsSpec;
use crate::escape::Span;
use crate::units::Picoseconds;

/// The interrupts of an adapter, on the adapter; nothing where it raises none.
#[derive(Component, Debug, Default)]
pub struct Interrupts(pub Option<Box<Interrupting>>);

impl Interrupts {
    /// Those of an adapter whose VFs obey silence or not, which masks them in exclusive windows or not, and counts from `warm_up`
    /// on.
    #[must_use]
    pub fn new(spec: &InterruptsSpec, obeys: &[bool], masks: bool, warm_up: Picoseconds) -> Self {
        Self(spec.are_on().then(|| Box::new(Interrupting::new(spec, obeys, masks, warm_up))))
    }
}

/// MSIs that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsiCounts {
    /// Written, for one interrupt or for several that were masked.
    pub writes: u64,
    /// Of these, those written inside an exclusive window.
    pub in_silence: u64,
    /// Interrupts that were masked.
    pub masked: u64,
}

/// What raises interrupts: a VF, or the adapter's display.
#[derive(Clone, Debug, Default)]
struct Vector {
    /// Interrupts that were raised, in order, and windows, that are not judged.
    raised: VecDeque<Picoseconds>,
    windows: VecDeque<Span>,
    masks: bool,
    /// Whether an interrupt waits for the end of the first window.
    waits: bool,
}

impl Vector {
    /// Judges every interrupt that was raised before `known`: no window begins before that but those that are known.
    fn judge(&mut self, known: Picoseconds, warm_up: Picoseconds, counts: &mut MsiCounts) {
        while let Some(time) = self.raised.pop_front_if(|time| *time < known) {
            self.end_windows(time, warm_up, counts);
            let counted = u64::from(time >= warm_up);
            match self.windows.front().is_some_and(|window| window.begin <= time) {
                true if self.masks => {
                    self.waits = true;
                    counts.masked += counted;
                }
                inside => {
                    counts.writes += counted;
                    counts.in_silence += u64::from(inside) * counted;
                }
            }
        }
    }

    /// Ends the windows that end at `time` or before: what waited is written.
    fn end_windows(&mut self, time: Picoseconds, warm_up: Picoseconds, counts: &mut MsiCounts) {
        while let Some(window) = self.windows.pop_front_if(|window| window.end <= time) {
            let delivers = core::mem::take(&mut self.waits);
            counts.writes += u64::from(delivers && window.end >= warm_up);
        }
    }
}

/// See [`Interrupts`].
#[derive(Debug)]
pub struct Interrupting {
    vsync_hz: f64,
    /// Vertical syncs that were raised.
    vsyncs: u64,
    per_msi: u64,
    /// Completions of each VF that are not in order yet, and how many are.
    completions: Vec<(BinaryHeap<Reverse<Picoseconds>>, u64)>,
    /// Of each VF, and of the display behind them.
    vectors: Vec<Vector>,
    counts: MsiCounts,
    warm_up: Picoseconds,
}

impl Interrupting {
    fn new(spec: &InterruptsSpec, obeys: &[bool], masks: bool, warm_up: Picoseconds) -> Self {
        let of_vf = |obeys: &bool| Vector { masks: masks && *obeys, ..Vector::default() };
        let mut vectors: Vec<_> = obeys.iter().map(of_vf).collect();
        vectors.push(Vector { masks, ..Vector::default() });
        Self {
            vsync_hz: spec.vsync_hz,
            vsyncs: 0,
            per_msi: u64::from(spec.completions_per_msi),
            completions: vec![(BinaryHeap::new(), 0); obeys.len()],
            vectors,
            counts: MsiCounts::default(),
            warm_up,
        }
    }

    /// Whether completions raise interrupts.
    #[must_use]
    pub fn hears_completions(&self) -> bool {
        self.per_msi > 0
    }

    /// A request of a VF, by its index within the adapter, is complete at `time`.
    pub fn note_completed(&mut self, vf: u32, time: Picoseconds) {
        self.completions[vf as usize].0.push(Reverse(time));
    }

    /// An exclusive window of the adapter, or where `vf` is silent alone of that VF, behind those before it.
    pub fn note_window(&mut self, vf: Option<u32>, window: Span) {
        match vf {
            Some(vf) => self.vectors[vf as usize].windows.push_back(window),
            None => self.vectors.iter_mut().for_each(|vector| vector.windows.push_back(window)),
        }
    }

    /// When vertical sync `number` is, counted from 1.
    fn vsync(&self, number: u64) -> Picoseconds {
        Picoseconds((number as f64 * 1e12 / self.vsync_hz + 0.5) as u64)
    }

    /// No request is complete before `complete_from` that is not known, and no window begins before `windows_from`: raises and
    /// judges what follows from that.
    pub fn settle(&mut self, complete_from: Picoseconds, windows_from: Picoseconds) {
        for ((completed, count), vector) in self.completions.iter_mut().zip(&mut self.vectors) {
            while let Some(Reverse(time)) = completed.peek().copied().filter(|of| of.0 < complete_from) {
                completed.pop();
                *count += 1;
                if count.is_multiple_of(self.per_msi) {
                    vector.raised.push_back(time);
                }
            }
        }
        for vector in &mut self.vectors {
            vector.judge(windows_from, self.warm_up, &mut self.counts);
        }
    }

    /// The same at the end of a run whose last request is complete at `end`: vertical syncs are raised before that.
    pub fn finish(&mut self, end: Picoseconds) -> MsiCounts {
        while self.vsync_hz > 0.0 && self.vsync(self.vsyncs + 1) < end {
            self.vsyncs += 1;
            let time = self.vsync(self.vsyncs);
            self.vectors.last_mut().expect("the display").raised.push_back(time);
        }
        self.settle(Picoseconds::MAX, Picoseconds::MAX);
        for vector in &mut self.vectors {
            vector.end_windows(Picoseconds(u64::MAX - 1), self.warm_up, &mut self.counts);
        }
        self.counts
    }
}
