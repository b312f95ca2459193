//! Retirement: when a request is over for the device, and its slots go to the next.

use std::collections::VecDeque;

use bevy_ecs::component::Component;

use crate::gate::{Eligible, Slots, VfQueue};
use crate::link::Retire;
use crate::request::{Op, Sequence};
use crate::units::Picoseconds;

/// A request that retires in the order of issue.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    row: u32,
    vf: u32,
    op: Op,
    sequence: Sequence,
    /// When it is done, if that is known.
    done: Option<Picoseconds>,
}

/// A request that has retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Its VF.
    pub vf: u32,
    /// Which of its VF's requests it is.
    pub sequence: Sequence,
    /// When.
    pub time: Picoseconds,
}

/// Which VFs of an adapter depend on when requests retire.
#[derive(Clone, Copy, Debug)]
pub struct Watchers {
    /// They have a limit of requests under way.
    pub vfs_limited: bool,
    /// The source of one feeds back.
    pub any_feeds_back: bool,
    /// The sources of all do.
    pub all_feed_back: bool,
}

/// What is under way on an adapter, and the adapter's slots.
///
/// A read is done when its data is back, a write when it has left the device. Reads complete when they
/// retire; what a write does in memory is no affair of the device.
#[derive(Component, Clone, Debug)]
pub struct Retirement {
    /// The adapter's limit of requests under way.
    pub slots: Slots,
    /// Retirements that the sources of VFs which feed back have not been told of.
    pub untold: Vec<Retired>,
    /// Requests of VFs that feed back whose retirement is not known.
    pub open: u64,
    in_order: bool,
    watched: bool,
    watchers: Watchers,
    under_way: VecDeque<UnderWay>,
    /// When the last request retired in order.
    last: Picoseconds,
}

impl Retirement {
    /// Nothing under way; at most `outstanding`, 0 for no limit.
    #[must_use]
    pub fn new(retire: Retire, outstanding: u32, watchers: Watchers) -> Self {
        let in_order = retire == Retire::InOrder;
        Self {
            slots: Slots::new(outstanding),
            untold: Vec::new(),
            open: 0,
            in_order,
            watched: in_order || outstanding > 0 || watchers.vfs_limited || watchers.any_feeds_back,
            watchers,
            under_way: VecDeque::new(),
            last: Picoseconds::ZERO,
        }
    }

    /// Whether anything depends on when requests retire.
    #[inline]
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// Whether requests retire in the order of their issue.
    #[inline]
    #[must_use]
    pub fn is_in_order(&self) -> bool {
        self.in_order
    }

    /// Whether the source of any of its VFs feeds back.
    #[inline]
    #[must_use]
    pub fn any_feeds_back(&self) -> bool {
        self.watchers.any_feeds_back
    }

    /// Whether the source of one of its VFs feeds back. Where all do, there is no need to look at its queue.
    #[inline]
    #[must_use]
    pub fn feeds_back(&self, queue: &VfQueue) -> bool {
        self.watchers.all_feed_back || queue.feeds_back
    }

    /// A request has left the device at `left_at`.
    pub fn leave(
        &mut self,
        sent: Eligible,
        op: Op,
        sequence: Sequence,
        left_at: Picoseconds,
        queue: &mut VfQueue,
    ) {
        let Eligible { vf, row, .. } = sent;
        if self.in_order {
            let done = (op == Op::Write).then_some(left_at);
            self.under_way.push_back(UnderWay { row, vf, op, sequence, done });
        } else if op == Op::Write {
            self.slots.give_back_left(left_at);
            if self.watchers.vfs_limited {
                queue.slots.give_back_left(left_at);
            }
            self.tell(Retired { vf, sequence, time: left_at }, queue);
        }
    }

    /// A request has been taken up and is still to be translated by its device: it will leave, or be refused.
    pub fn take_up(&mut self, taken_up: Eligible, op: Op, sequence: Sequence) {
        let Eligible { vf, row, .. } = taken_up;
        if self.in_order {
            self.under_way.push_back(UnderWay { row, vf, op, sequence, done: None });
        }
    }

    /// A write that was taken up has left the device at `left_at`.
    pub fn leave_translated(
        &mut self,
        row: u32,
        vf: u32,
        sequence: Sequence,
        left_at: Picoseconds,
        queue: &mut VfQueue,
    ) {
        if self.in_order {
            self.note_back(row, left_at);
        } else {
            self.slots.give_back_left(left_at);
            self.tell(Retired { vf, sequence, time: left_at }, queue);
        }
    }

    /// A read's data is back at `time`, out of order.
    pub fn give_back(&mut self, retired: Retired, queue: &mut VfQueue) {
        self.slots.give_back_returned(retired.time);
        if self.watchers.vfs_limited {
            queue.slots.give_back_returned(retired.time);
        }
        self.tell(retired, queue);
    }

    /// The request in `row` is done at `time`, a read as its data is back; it retires in order.
    ///
    /// # Panics
    /// If it is not under way.
    pub fn note_back(&mut self, row: u32, time: Picoseconds) {
        let is_it = |under_way: &&mut UnderWay| under_way.row == row && under_way.done.is_none();
        self.under_way.iter_mut().find(is_it).expect("under way").done = Some(time);
    }

    /// The next request to retire in order, if it is known when: its row, its direction, and what is to
    /// be told.
    pub fn retire_next(&mut self, queues: &mut [VfQueue]) -> Option<(u32, Op, Retired)> {
        let UnderWay { row, vf, op, sequence, done } = *self.under_way.front()?;
        let time = done?.max(self.last);
        self.under_way.pop_front();
        self.last = time;
        let retired = Retired { vf, sequence, time };
        self.give_back(retired, &mut queues[vf as usize]);
        Some((row, op, retired))
    }

    /// Calls `change` with the row of every request under way that is not done.
    pub fn for_each_row(&mut self, mut change: impl FnMut(&mut u32)) {
        let waits = |under_way: &&mut UnderWay| under_way.op == Op::Read || under_way.done.is_none();
        self.under_way.iter_mut().filter(waits).for_each(|under_way| change(&mut under_way.row));
    }

    /// A request will never leave: its source learns of it at the time given, and never where that is the end of all.
    pub fn abandon(&mut self, retired: Retired, queue: &VfQueue) {
        if !self.feeds_back(queue) {
            return;
        }
        if retired.time < Picoseconds::MAX {
            return self.tell(retired, queue);
        }
        self.open -= 1;
    }

    fn tell(&mut self, retired: Retired, queue: &VfQueue) {
        if self.feeds_back(queue) && !queue.streams {
            self.untold.push(retired);
            self.open -= 1;
        }
    }
}
