//! The waits of a link, and of a device with a TLB, by hand.

use super::{Cause, DeviceWaits, DeviceWatch, LinkWaits, Split, SplitSoFar};
use crate::device_tlb::{Leaving, ObserveDevice, Route, Waiting};
use crate::gate::Eligible;
use crate::link::{DeviceSpec, RateLimits};
use crate::request::Op;
use crate::silence::PauseHistory;
use crate::units::Picoseconds;

/// Sends reads of 10 ps each, given when they are eligible and when they start; returns their waits for credits.
fn credit_waits(limits: RateLimits, sent: &[(u64, u64)]) -> Vec<u64> {
    let mut waits = LinkWaits::new(limits);
    let send = |&(eligible, start): &(u64, u64)| {
        waits.send(Picoseconds(eligible), Op::Read, (Picoseconds(start), Picoseconds(10)), None).0
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

/// A device that looks the DMA in row 0 up at 100, and sends what follows at `start` on a link that was free at 130.
fn of_device(eligible: u64, start: u64) -> [u64; 4] {
    let split = of_paused_device(eligible, start, None);
    [Cause::Held, Cause::DeviceTlb, Cause::Credit, Cause::Link].map(|cause| split.of(cause))
}

/// The same with a pause before.
fn of_paused_device(eligible: u64, start: u64, pauses: Option<&PauseHistory>) -> Split {
    let (mut waits, mut so_far) = (DeviceWaits::default(), [SplitSoFar::default()]);
    let mut watch = DeviceWatch { waits: &mut waits, so_far: &mut so_far };
    let next = Eligible { time: Picoseconds(eligible), vacated: false, vf: 0, row: 0 };
    // Its rate limit holds it back until 60, and a slot is free from 90 on; then its packet waits for its slot.
    let waiting = Waiting { since: next.time, rate: Picoseconds(60), slot: Picoseconds(90) };
    watch.note_wait(Some(waiting), Picoseconds(100));
    watch.take_up(&next, Picoseconds(5), Picoseconds(100), pauses);
    let leaving = Leaving { ready: Picoseconds(120), looked_up: true, route: Route::Translated, row: 0 };
    watch.leave(&leaving, Picoseconds(130), Picoseconds(start), Picoseconds(start + 50));
    assert_eq!(so_far[0].until, Picoseconds(start + 50));
    so_far[0].split
}

#[test]
fn in_a_pause_a_device_waits_for_its_end() {
    let causes = [Cause::Held, Cause::Silence, Cause::DeviceTlb, Cause::Credit, Cause::Link];
    let of = |eligible, from, until| {
        let mut pauses = PauseHistory::default();
        pauses.push(Picoseconds(from), Picoseconds(until));
        let split = of_paused_device(eligible, 145, Some(&pauses));
        causes.map(|cause| split.of(cause))
    };
    // Paused in the midst of the wait for the rate limit, until it waits for the slot of its packet.
    assert_eq!(of(20, 50, 95), [15, 45, 5 + 20, 15, 30 + 10 + 50]);
    // Eligible in the midst of the pause; in none of the wait before.
    assert_eq!(of(80, 50, 95), [45, 45, 5 + 20, 15, 10 + 50]);
    // Over before it was eligible.
    assert_eq!(of(80, 10, 20), [65, 10, 10 + 20, 10 + 15, 10 + 50]);
}

#[test]
fn who_is_not_taken_up_waits_for_what_its_device_waits_for() {
    // Held from 5; the rate limit, the slot of the adapter, that of the packet; the look-up, the link, a credit; on the wire.
    assert_eq!(of_device(20, 145), [15, 10 + 20, 30 + 15, 40 + 10 + 50]);
    // Eligible in the midst of the wait for a slot; no credit is missing.
    assert_eq!(of_device(80, 130), [75, 10 + 20, 10, 10 + 50]);
    // Eligible when nothing holds it back.
    assert_eq!(of_device(100, 130), [95, 20, 0, 10 + 50]);
}
