//! Schedules and phases.

use super::*;
use crate::lifecycle::Step;
use crate::units::Picoseconds;

fn place(adapter: u32) -> AdapterPlace {
    AdapterPlace { host: 0, adapter, vfs: 4 }
}

fn first(spec: &SwitchesSpec, count: usize, seed: u64) -> Vec<Due> {
    let mut schedule = Schedule::new(spec, &FailuresSpec::default(), place(1), seed);
    core::iter::from_fn(|| schedule.take()).take(count).collect()
}

#[test]
fn periodic_switches_take_vfs_in_turn() {
    let spec = SwitchesSpec { schedule: SwitchSchedule::Periodic, every_us: 10.0, ..SwitchesSpec::default() };
    let due = first(&spec, 6, 3);
    assert!(due[0].time < Picoseconds::from_us(10));
    assert!(due.windows(2).all(|pair| pair[1].time - pair[0].time == Picoseconds::from_us(10)));
    assert_eq!(due.iter().map(|due| due.vf).collect::<Vec<_>>(), [0, 1, 2, 3, 0, 1]);
}

#[test]
fn poisson_switches_have_exponential_gaps_and_any_vf() {
    let spec = SwitchesSpec { schedule: SwitchSchedule::Poisson, every_us: 10.0, ..SwitchesSpec::default() };
    let due = first(&spec, 20_000, 3);
    let mean_us = due.last().expect("some").time.as_ns_f64() / 1e3 / 20_000.0;
    assert!((mean_us - 10.0).abs() < 0.25, "{mean_us}");
    let gaps = due.windows(2).map(|pair| (pair[1].time - pair[0].time).as_ns_f64() / 1e3);
    let beyond = gaps.filter(|gap| *gap > 10.0).count() as f64 / 19_999.0;
    assert!((beyond - (-1.0_f64).exp()).abs() < 0.012, "{beyond}");
    for vf in 0..4 {
        let share = due.iter().filter(|due| due.vf == vf).count() as f64 / 20_000.0;
        assert!((share - 0.25).abs() < 0.012, "VF {vf}: {share}");
    }
}

#[test]
fn listed_switches_are_those_of_the_adapter() {
    let listed = |at_us, adapter, vf| ListedSwitch { at_us, host: 0, adapter, vf };
    let spec = SwitchesSpec {
        schedule: SwitchSchedule::List,
        list: vec![listed(1.0, 0, 1), listed(2.0, 1, 3), listed(2.0, 1, 2)],
        ..SwitchesSpec::default()
    };
    let due = first(&spec, 9, 3);
    let at = Picoseconds::from_us(2);
    assert_eq!(
        due,
        [
            Due { time: at, vf: 3, number: 0, failure: None, step: Step::Replace },
            Due { time: at, vf: 2, number: 1, failure: None, step: Step::Replace }
        ]
    );
}

#[test]
fn drawn_phases_have_their_means() {
    let spec = SilenceSpec { durations: PhaseDurations::Exponential, ..SilenceSpec::default() };
    let mean = |phase| {
        let times = (0..20_000).map(|number| PhaseTimes::of(&spec, 7, number).of_phase(phase).as_ns_f64());
        times.sum::<f64>() / 20_000.0 / 1e3
    };
    assert!((mean(TimedPhase::Suspend) - 20.0).abs() < 0.5);
    assert!((mean(TimedPhase::Begin) - 10.0).abs() < 0.25);
}

#[test]
fn detaching_and_resuming_take_time() {
    let spec = SilenceSpec { detach_us: 0.0, resume_us: 0.0, end_us: 0.0, ..SilenceSpec::default() };
    let times = PhaseTimes::of(&spec, 7, 0);
    assert_eq!(times.of_phase(TimedPhase::Detach), Picoseconds(1));
    assert_eq!(times.of_phase(TimedPhase::Resume), Picoseconds(1));
    assert_eq!(times.of_phase(TimedPhase::End), Picoseconds::ZERO);
}
