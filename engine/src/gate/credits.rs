//! Credits of writes that wait for their turn: they come back in another order than look-ups.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use bevy_ecs::component::Component;

use super::components::{Credit, Refunds, Uplink};
use crate::units::Picoseconds;

/// Flow credits that come back later than when their requests were looked up, on the adapter; empty where
/// none does.
///
/// [`Refunds`] knows times that do not decrease, and whoever waits for a credit gets the one that is back first. So
/// a credit lies here until nothing can come back before it.
#[derive(Component, Clone, Debug, Default)]
pub struct HeldCredits {
    /// Credits that will stay among the refunds as they are.
    settled: u64,
    /// When the credits of requests that were looked up would be back if nothing held them, in the order of the look-ups.
    taken_up: VecDeque<Picoseconds>,
    /// When credits are back, the first first.
    held: BinaryHeap<Reverse<Picoseconds>>,
    /// None that is held comes back before this time.
    pub back_from: Picoseconds,
}

impl HeldCredits {
    /// Takes what look-ups have given back since the last time.
    pub fn take_over(&mut self, refunds: &mut Refunds<Credit>) {
        refunds.take_back(self.settled, &mut self.taken_up);
    }

    /// The credit of the next request that was looked up comes back no sooner than `turn`.
    pub fn hold(&mut self, turn: Picoseconds) {
        let taken_up = self.taken_up.pop_front().expect("a credit a look-up");
        self.held.push(Reverse(taken_up.max(turn)));
    }

    /// Gives back every credit that no other can precede; returns how many. No look-up that is still to come happens before
    /// `looked_up_from`.
    pub fn settle(
        &mut self,
        refunds: &mut Refunds<Credit>,
        uplink: &Uplink,
        looked_up_from: Picoseconds,
    ) -> u64 {
        let wires = &uplink.wires;
        let mut known = looked_up_from.saturating_add(wires.propagation);
        if let Some(first) = uplink.in_flight.waiting().first() {
            known = known.max(first.time + wires.propagation);
        } else if let Some(Reverse(first)) = self.held.peek()
            && refunds.are_spent(uplink.sent)
        {
            // Nothing leaves before the first of them is back.
            known = known.max(*first + wires.least_upstream() + wires.propagation);
        }
        self.back_from = known;
        let before = self.settled;
        while self.held.peek().is_some_and(|Reverse(time)| *time <= known) {
            refunds.give_back(self.held.pop().expect("it was there").0);
            self.settled += 1;
        }
        self.settled - before
    }
}
