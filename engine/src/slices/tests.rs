//! Turns that go round by the clock, and by work.

use super::*;
use crate::gate::SchedulerSpec;
use crate::units::Picoseconds;

const fn at(time: u64) -> Picoseconds {
    Picoseconds(time)
}

#[test]
fn turns_go_round_by_the_clock() {
    // Three slots, of which the second VF has none and the third slot is empty: turns of 12, slices of 10.
    let rotation = Rotation::new(&[true, false, true], 3, at(10), at(2));
    let slice = |vf, time| rotation.slice_at(vf, at(time));
    assert_eq!(slice(0, 0), Slice { number: 0, from: at(2), until: at(12) });
    assert_eq!(slice(0, 11), Slice { number: 0, from: at(2), until: at(12) });
    assert_eq!(slice(0, 12), Slice { number: 1, from: at(38), until: at(48) });
    assert_eq!(slice(2, 12), Slice { number: 0, from: at(14), until: at(24) });
    let away = |vf, time| rotation.away_until(vf, at(time)).0;
    assert_eq!([0, 2, 7, 12, 38, 40].map(|time| away(0, time)), [0, 2, 2, 2, 28, 28]);
    let begun = |vf, time| rotation.begun_before(vf, at(time));
    assert_eq!([0, 2, 3, 38, 39].map(|time| begun(0, time)), [0, 0, 1, 1, 2]);
    assert_eq!(begun(1, 100), 0, "who is not there has no slices");
}

#[test]
fn who_is_alone_is_always_served() {
    let rotation = Rotation::new(&[true], 1, at(10), at(2));
    assert_eq!(rotation.slice_at(0, at(25)), Slice { number: 2, from: at(0), until: Picoseconds::MAX });
    assert_eq!(rotation.away_until(0, at(25)), at(0));
}

#[test]
fn turns_go_to_whoever_has_work() {
    let mut dispatch = Dispatch::new(at(10), at(3));
    assert_eq!(dispatch.choose(), None);
    dispatch.with_work.extend([1, 2]);
    assert_eq!(
        dispatch.choose(),
        Some(Served { vf: 1, from: at(0), until: at(10) }),
        "nothing to switch from"
    );
    dispatch.clock = at(10);
    assert_eq!(dispatch.choose(), Some(Served { vf: 2, from: at(13), until: at(23) }));
    dispatch.clock = at(23);
    assert_eq!(dispatch.choose(), Some(Served { vf: 1, from: at(26), until: at(36) }), "round again");
    dispatch.with_work = [1].into();
    dispatch.clock = at(36);
    assert_eq!(dispatch.choose(), Some(Served { vf: 1, from: at(36), until: at(46) }), "nothing to switch");
}

#[test]
fn slices_are_long_where_vfs_are_few() {
    let spec = |policy, partitions| SchedulerSpec { policy, partitions, ..SchedulerSpec::default() };
    let slice = |policy, partitions, vfs| spec(policy, partitions).slice(vfs);
    assert_eq!(slice(SchedulerPolicy::EqualShare, None, 8), Picoseconds::from_us(2_000));
    assert_eq!(slice(SchedulerPolicy::EqualShare, Some(9), 8), Picoseconds::from_us(2_000));
    assert_eq!(slice(SchedulerPolicy::FixedShare, Some(9), 8), Picoseconds::from_us(1_000));
    assert_eq!(slice(SchedulerPolicy::BestEffort, None, 9), Picoseconds::from_us(1_000));
}
