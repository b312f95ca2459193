//! Where the time of DMAs goes that a device with a TLB looks up.
//!
//! Such a DMA may go up the link twice, and back once between: its time is booked step by step. What it waits for
//! until it is taken up, or until its TLP leaves, is what the device waits for meanwhile, for itself or for one before it.

use std::collections::VecDeque;

use bevy_ecs::component::Component;

use super::components::{Cause, Split, WalkWaits};
use crate::device_tlb::{Leaving, ObserveDevice, Waiting};
use crate::gate::Eligible;
use crate::silence::PauseHistory;
use crate::units::Picoseconds;

/// Gate, translation: where the time of a DMA went that its device looks up, so far; on its row.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SplitSoFar {
    /// Time by cause.
    pub split: Split,
    /// Until when.
    pub until: Picoseconds,
}

impl SplitSoFar {
    /// Nothing since `since`.
    #[must_use]
    pub fn new(since: Picoseconds) -> Self {
        Self { split: Split::default(), until: since }
    }

    /// All of the time up to `until` is of a cause.
    pub fn spend_until(&mut self, cause: Cause, until: Picoseconds) {
        self.split.add(cause, until - self.until);
        self.until = until;
    }

    /// So much more time is of a cause.
    pub fn spend(&mut self, cause: Cause, time: Picoseconds) {
        self.spend_until(cause, self.until + time);
    }

    /// The IOMMU has looked up its translation request, which has arrived, and knows the answer at `known_at`; `hit` is
    /// what a look-up costs.
    pub fn look_up(&mut self, known_at: Picoseconds, hit: Picoseconds, waits: &WalkWaits) {
        self.spend(Cause::Iotlb, hit);
        self.spend(Cause::Walk, waits.walk);
        self.spend(Cause::Invalidation, waits.invalidation);
        self.spend_until(Cause::WalkQueue, known_at);
    }
}

/// What a device can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Wait {
    Tlb,
    Credit,
    Link,
}

/// Time by what a device waited for, indexed by [`Wait`].
type Waited = [Picoseconds; 3];

/// A time in which a device waited for one thing.
#[derive(Clone, Copy, Debug)]
struct Span {
    wait: Wait,
    from: Picoseconds,
    to: Picoseconds,
    /// What it waited for before, since the start.
    before: Waited,
}

/// What a device with a TLB waited for, on the adapter; only where attribution is asked for.
#[derive(Component, Clone, Debug, Default)]
pub struct DeviceWaits {
    /// In the order of time, as far back as an eligible request may have waited.
    spans: VecDeque<Span>,
    /// All spans end by then.
    until: Picoseconds,
    /// What it waited for since the start.
    all: Waited,
}

impl DeviceWaits {
    /// From what is known up to `to` it waited for the same, if there is such a time.
    fn note(&mut self, wait: Wait, to: Picoseconds) {
        if to > self.until {
            self.spans.push_back(Span { wait, from: self.until, to, before: self.all });
            self.all[wait as usize] += to - self.until;
            self.until = to;
        }
    }

    /// What it waited for before `time`, since the start.
    fn before(&self, time: Picoseconds) -> Waited {
        let behind = self.spans.partition_point(|span| span.from < time);
        let Some(last) = behind.checked_sub(1) else {
            return self.spans.front().map_or(self.all, |first| first.before);
        };
        let Span { wait, from, to, mut before } = self.spans[last];
        before[wait as usize] += to.min(time) - from;
        before
    }

    /// What it waited for from one time to another.
    fn between(&self, from: Picoseconds, to: Picoseconds) -> Waited {
        let (mut waited, before) = (self.before(to), self.before(from));
        waited.iter_mut().zip(before).for_each(|(waited, before)| *waited = *waited - before);
        waited
    }

    /// Nobody will ask for what was before `time`.
    fn forget(&mut self, time: Picoseconds) {
        while self.spans.front().is_some_and(|span| span.to <= time) {
            self.spans.pop_front();
        }
    }
}

/// Watches a device: notes what it waits for, and books the time of its DMAs.
#[derive(Debug)]
pub struct DeviceWatch<'a> {
    /// What it waits for.
    pub waits: &'a mut DeviceWaits,
    /// Where the time of DMAs goes, by row.
    pub so_far: &'a mut [SplitSoFar],
}

impl ObserveDevice for DeviceWatch<'_> {
    const ON: bool = true;

    fn note_wait(&mut self, next: Option<Waiting>, until: Picoseconds) {
        // Before the first request is eligible, nobody waits.
        let idle = next.map_or(until, |next| next.since.min(until));
        self.waits.until = self.waits.until.max(idle);
        if let Some(Waiting { rate, slot, .. }) = next {
            self.waits.note(Wait::Link, rate.min(until));
            self.waits.note(Wait::Credit, slot.min(until));
            self.waits.note(Wait::Tlb, until);
        }
    }

    fn take_up(
        &mut self,
        next: &Eligible,
        intended: Picoseconds,
        time: Picoseconds,
        pauses: Option<&PauseHistory>,
    ) {
        let paused = |from, to| pauses.map_or(Picoseconds::ZERO, |pauses| pauses.between(from, to));
        let mut so_far = SplitSoFar::new(intended);
        so_far.spend(Cause::Held, next.time - intended - paused(intended, next.time));
        so_far.spend(Cause::Silence, paused(intended, time));
        let mut waited = self.waits.between(next.time, time);
        for (from, until) in pauses.iter().flat_map(|pauses| pauses.overlapping(next.time, time)) {
            // Whatever the device waited for in a pause, its next request waited for the end of that.
            let in_pause = self.waits.between(from.max(next.time), until.min(time));
            waited.iter_mut().zip(in_pause).for_each(|(waited, in_pause)| *waited = *waited - in_pause);
        }
        let [of_tlb, credit, link] = waited;
        so_far.spend(Cause::Credit, credit);
        so_far.spend(Cause::Link, link);
        so_far.spend(Cause::DeviceTlb, of_tlb);
        debug_assert_eq!(so_far.until, time, "the device waits for something as long as somebody waits");
        self.so_far[next.row as usize] = so_far;
        // What is taken up later is not eligible earlier, and no TLP waits.
        self.waits.forget(next.time);
    }

    fn answer(&mut self, row: u32, time: Picoseconds) {
        self.so_far[row as usize].spend_until(Cause::Link, time);
    }

    fn leave(&mut self, leaving: &Leaving, free_at: Picoseconds, start: Picoseconds, arrival: Picoseconds) {
        let ready = leaving.ready;
        self.waits.note(Wait::Tlb, ready);
        self.waits.note(Wait::Link, free_at);
        self.waits.note(Wait::Credit, start);
        let so_far = &mut self.so_far[leaving.row as usize];
        so_far.spend_until(Cause::DeviceTlb, ready);
        so_far.spend(Cause::Credit, self.waits.between(ready, start)[Wait::Credit as usize]);
        so_far.spend_until(Cause::Link, arrival);
    }
}
