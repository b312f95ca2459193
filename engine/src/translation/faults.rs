//! The bounded fault queue of an IOMMU and the driver that consumes it.

use std::collections::VecDeque;

use bevy_ecs::prelude::*;

use super::components::{FaultNote, LookupBound};
use super::spec::FaultQueueSpec;
use crate::units::Picoseconds;

/// Fault records that wait for the host's driver, a FIFO server. A fault that finds the queue full
/// is lost and counted.
#[derive(Component, Clone, Debug)]
pub struct FaultQueue {
    /// Faults whose place in time is not final yet.
    notes: Vec<FaultNote>,
    /// When the driver will have consumed each record in the queue.
    consumed_at: VecDeque<Picoseconds>,
    last_consumed: Picoseconds,
    entries: usize,
    service: Picoseconds,
    /// When the warm-up ends.
    counted_from: Picoseconds,
    /// Records queued since the warm-up.
    pub recorded: u64,
    /// Records lost since the warm-up.
    pub lost: u64,
}

impl FaultQueue {
    /// An empty queue, whose counters start at the end of the warm-up.
    #[must_use]
    pub fn new(spec: &FaultQueueSpec, warm_up: Picoseconds) -> Self {
        Self {
            notes: Vec::new(),
            consumed_at: VecDeque::new(),
            last_consumed: Picoseconds::ZERO,
            entries: spec.queue_entries as usize,
            service: Picoseconds::from_ns_f64(spec.service_ns),
            counted_from: warm_up,
            recorded: 0,
            lost: 0,
        }
    }

    /// A fault that will be recorded at its time.
    #[inline]
    pub fn note(&mut self, note: FaultNote) {
        self.notes.push(note);
    }

    /// Records, in the order of time, every fault before `until`; nothing earlier may be noted later.
    /// Faults of one instant are recorded in the order of their look-ups. `recorded` is told of those that
    /// count.
    pub fn record_until(&mut self, until: Picoseconds, mut recorded: impl FnMut(&FaultNote)) {
        if self.notes.is_empty() {
            return;
        }
        self.notes.sort_by_key(|note| note.time);
        let final_notes = self.notes.partition_point(|note| note.time < until);
        for note in self.notes.drain(..final_notes) {
            while self.consumed_at.front().is_some_and(|consumed| *consumed <= note.time) {
                self.consumed_at.pop_front();
            }
            let counts = note.time >= self.counted_from;
            if self.consumed_at.len() == self.entries {
                self.lost += u64::from(counts);
                continue;
            }
            self.last_consumed = self.last_consumed.max(note.time) + self.service;
            self.consumed_at.push_back(self.last_consumed);
            if counts {
                self.recorded += 1;
                recorded(&note);
            }
        }
    }
}

/// Records the faults that can no longer be overtaken.
pub fn record_faults(
    iommu: Single<(&LookupBound, &mut FaultQueue)>,
    mut timeline: Single<&mut crate::account::Timeline>,
) {
    let (bound, mut queue) = iommu.into_inner();
    queue.record_until(bound.0, |note| timeline.fault(note));
}
