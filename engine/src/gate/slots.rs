//! Slots: how many requests may be under way, and when the next may follow.

use std::collections::VecDeque;

use super::components::Grant;
use crate::units::Picoseconds;

/// A limit of requests under way: a request holds a slot from its issue until it retires. The request
/// that finds all slots taken gets the one that is given back first.
///
/// Two streams give slots back, each in the order of time: what returns from the host, and writes that
/// have left the device. The second is known at once and may be overtaken by a return that is not yet.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    /// How many there are; 0 is no limit.
    limit: u32,
    /// Slots taken and not given to another since.
    taken: u32,
    /// Of these, by requests that have not left yet.
    unsent: u32,
    returned: VecDeque<Picoseconds>,
    left: VecDeque<Picoseconds>,
}

impl Slots {
    /// So many slots, all free; 0 is no limit.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Whether there is a limit.
    #[inline]
    #[must_use]
    pub fn are_limited(&self) -> bool {
        self.limit > 0
    }

    /// When the next request gets a slot; `returns_from` is the first time at which anything under way
    /// can return whose return is not known.
    #[must_use]
    pub fn grant(&self, returns_from: Picoseconds) -> Grant {
        if self.taken < self.limit || self.limit == 0 {
            return Grant::From(Picoseconds::ZERO);
        }
        if self.unsent > 0 {
            // It may be a write, and leave before anything else returns.
            return Grant::Unknown;
        }
        let unknown = self.taken as usize > self.returned.len() + self.left.len();
        match (self.returned.front(), self.left.front()) {
            (Some(returned), Some(left)) if left < returned => Grant::From(*left),
            (Some(returned), _) => Grant::From(*returned),
            (None, Some(left)) if !unknown || *left <= returns_from => Grant::From(*left),
            (None, _) => Grant::Unknown,
        }
    }

    /// Takes the slot that [`Self::grant`] gave the time of, for a request that is still to leave.
    pub fn take(&mut self) {
        self.unsent += 1;
        if self.taken < self.limit {
            self.taken += 1;
            return;
        }
        match (self.returned.front(), self.left.front()) {
            (returned, Some(left)) if returned.is_none_or(|returned| left < returned) => {
                self.left.pop_front();
            }
            _ => {
                self.returned.pop_front();
            }
        }
    }

    /// A request that took a slot leaves.
    pub fn send(&mut self) {
        self.unsent -= 1;
    }

    /// A request that took a slot will never leave, and none waits for it.
    pub fn give_up(&mut self) {
        self.unsent -= 1;
        self.taken -= 1;
    }

    /// A slot comes back with a return; times do not decrease.
    pub fn give_back_returned(&mut self, time: Picoseconds) {
        if self.are_limited() {
            self.returned.push_back(time);
        }
    }

    /// A slot comes back with a write that leaves; times do not decrease.
    pub fn give_back_left(&mut self, time: Picoseconds) {
        if self.are_limited() {
            self.left.push_back(time);
        }
    }

    /// Whether a slot may come back at a time that is known, but may be overtaken.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        !self.left.is_empty()
    }
}
