//! The waits of a link, by hand.

use super::LinkWaits;
use crate::link::{DeviceSpec, RateLimits};
use crate::request::Op;
use crate::units::Picoseconds;

/// Sends reads of 10 ps each, given when they are eligible and when they start; returns their waits for credits.
fn credit_waits(limits: RateLimits, sent: &[(u64, u64)]) -> Vec<u64> {
    let mut waits = LinkWaits::new(limits);
    let send = |&(eligible, start): &(u64, u64)| {
        waits.send(Picoseconds(eligible), Op::Read, Picoseconds(start), Picoseconds(10)).0
    };
    sent.iter().map(send).collect()
}

#[test]
fn who_is_behind_waits_for_what_the_next_waits_for() {
    // The second has no credit from 10, when the link is free, to 50; the third is behind it from 30 on, the fourth
    // comes when it has gone.
    let sent = [(0, 0), (5, 50), (30, 60), (55, 70)];
    assert_eq!(credit_waits(RateLimits::default(), &sent), [0, 40, 20, 0]);
}

#[test]
fn spans_add_up() {
    // Each of three waits 30 for a credit, and the last is behind all of them.
    let sent = [(0, 30), (0, 70), (0, 110)];
    assert_eq!(credit_waits(RateLimits::default(), &sent), [30, 60, 90]);
}

#[test]
fn a_rate_limit_is_no_wait_for_credits() {
    let device = DeviceSpec { max_read_mops: 1e4, ..DeviceSpec::default() };
    // A start every 100 ps; the third has no credit for 20 more.
    let sent = [(0, 0), (0, 100), (0, 220)];
    assert_eq!(credit_waits(RateLimits::new(&device), &sent), [0, 0, 20]);
}
