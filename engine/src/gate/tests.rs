//! Slots: when the next request may follow.

use super::*;
use crate::units::Picoseconds;

const fn at(time: u64) -> Grant {
    Grant::From(Picoseconds(time))
}

#[test]
fn slots_come_back_in_the_order_of_time() {
    let mut slots = Slots::new(2);
    for _ in 0..2 {
        assert_eq!(slots.grant(Picoseconds(0)), at(0));
        slots.take();
        slots.send();
    }
    assert_eq!(slots.grant(Picoseconds(500)), Grant::Unknown);
    slots.give_back_left(Picoseconds(600));
    assert_eq!(slots.grant(Picoseconds(599)), Grant::Unknown, "a return may come before");
    assert_eq!(slots.grant(Picoseconds(600)), at(600));
    slots.give_back_returned(Picoseconds(550));
    assert_eq!(slots.grant(Picoseconds(0)), at(550));
    slots.take();
    assert_eq!(slots.grant(Picoseconds::MAX), Grant::Unknown, "the request that took it may leave first");
    slots.send();
    assert_eq!(slots.grant(Picoseconds(600)), at(600));
}

#[test]
fn without_a_limit_there_is_always_a_slot() {
    let mut slots = Slots::new(0);
    for _ in 0..3 {
        slots.take();
        slots.send();
        slots.give_back_left(Picoseconds(7));
        assert_eq!(slots.grant(Picoseconds(0)), at(0));
    }
}
