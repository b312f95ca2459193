//! States, partitions, schedules, steps and sources.

use super::*;
use crate::ids::Iova;
use crate::request::{Address, Intended, Op, Transfer};
use crate::traffic::{Source, SourceRows};
use crate::units::Picoseconds;

fn at(us: u64) -> Picoseconds {
    Picoseconds::from_us(us)
}

fn listed(events: &[(u64, VmEventKind)]) -> LifecycleSpec {
    let event = |&(time, event): &(u64, VmEventKind)| ListedVmEvent {
        at_us: time as f64,
        event,
        host: 0,
        adapter: 0,
        vf: 0,
    };
    LifecycleSpec {
        schedule: LifecycleSchedule::List,
        list: events.iter().map(event).collect(),
        reset_us: 10.0,
        migration_pause_us: 5.0,
        ..LifecycleSpec::default()
    }
}

fn schedule(spec: &LifecycleSpec) -> VmSchedule {
    VmSchedule::new(spec, (0, 0), 0, 7)
}

#[test]
fn a_vf_goes_from_state_to_state_as_the_table_says_and_in_no_other_way() {
    use VfState::{
        Attached, BusBound, Created, Destroyed, Faulted, Paused, PoweredDown, Quarantined, Resetting,
        Resourced, Running,
    };
    let allowed = [
        (Created, BusBound),
        (BusBound, Resourced),
        (Resourced, Attached),
        (Attached, Running),
        (Running, Paused),
        (Paused, Running),
        (Running, Resetting),
        (Paused, Resetting),
        (Resetting, PoweredDown),
        (PoweredDown, Destroyed),
        (Destroyed, Created),
        (Faulted, Resetting),
        (Faulted, Quarantined),
        (Created, Faulted),
        (BusBound, Faulted),
        (Resourced, Faulted),
        (Attached, Faulted),
        (Running, Faulted),
        (Paused, Faulted),
        (Resetting, Faulted),
        (PoweredDown, Faulted),
        (Destroyed, Faulted),
    ];
    for from in VfState::ALL {
        for to in VfState::ALL {
            let expected =
                if allowed.contains(&(from, to)) { Ok(to) } else { Err(IllegalTransition { from, to }) };
            assert_eq!(from.go_on(to), expected, "{from:?} to {to:?}");
        }
    }
    let told = Destroyed.go_on(Running).expect_err("it is gone").to_string();
    assert_eq!(told, "a VF that is Destroyed cannot become Running");
}

#[test]
fn partitions_change_only_while_there_are_no_virtual_gpus() {
    let four = Partitions::Unpartitioned.set(4, 0).expect("none are there");
    assert_eq!((four, four.count()), (Partitions::Partitioned(4), 4));
    assert_eq!(four.set(8, 1), Err(InUse { virtual_gpus: 1 }));
    assert_eq!(four.set(0, 3), Err(InUse { virtual_gpus: 3 }));
    assert_eq!(four.set(4, 3), Ok(four), "nothing changes");
    assert_eq!(four.set(8, 0), Ok(Partitions::Partitioned(8)));
    assert_eq!(four.set(0, 0), Ok(Partitions::Unpartitioned));
    assert_eq!(Partitions::Unpartitioned.set(2, 1), Err(InUse { virtual_gpus: 1 }));
    assert_eq!(Partitions::Unpartitioned.count(), 0);
}

#[test]
fn churn_has_its_means_and_alternates() {
    let spec = LifecycleSpec {
        schedule: LifecycleSchedule::Churn,
        up_us: 30.0,
        down_us: 10.0,
        ..LifecycleSpec::default()
    };
    let events: Vec<_> = schedule(&spec).take(40_000).collect();
    let is_stop = |event: &VmEvent| event.kind == VmEventKind::Stop;
    assert!(events.iter().enumerate().all(|(number, event)| is_stop(event) == number.is_multiple_of(2)));
    let times: Vec<_> = events.iter().map(|event| event.time.as_ns_f64() / 1e3).collect();
    let down: f64 = times.chunks(2).map(|pair| pair[1] - pair[0]).sum::<f64>() / 20_000.0;
    let whole = times.last().expect("some") / 20_000.0;
    assert!((down - 10.0).abs() < 0.25, "{down}");
    assert!((whole - 40.0).abs() < 1.0, "{whole}");
    let other: Vec<_> = VmSchedule::new(&spec, (0, 0), 1, 7).take(3).collect();
    assert_ne!(other, events[..3], "each VF for itself");
}

#[test]
fn what_cannot_happen_to_a_vf_is_refused() {
    use VmEventKind::{Migrate, Start, Stop};
    let refused =
        |events: &[(u64, VmEventKind)]| listed(events).validate().map_err(|error| error.to_string());
    assert_eq!(refused(&[(1, Stop), (2, Start), (3, Migrate), (4, Stop)]), Ok(()));
    for (events, problem) in [
        ([(1, Start), (2, Start)], "lifecycle.list.1` starts a VM on a VF that has one"),
        ([(1, Migrate), (2, Start)], "lifecycle.list.1` starts a VM on a VF that has one"),
        ([(1, Stop), (2, Stop)], "lifecycle.list.1` stops a VM where there is none"),
        ([(1, Stop), (2, Migrate)], "lifecycle.list.1` moves a VM where there is none"),
        ([(2, Stop), (2, Start)], "lifecycle.list.1` is not later than the event of its VF before"),
        ([(2, Stop), (1, Start)], "lifecycle.list` is not in the order of time"),
    ] {
        let told = refused(&events).expect_err("it is refused");
        assert!(told.contains(problem), "{told}, not {problem}");
    }
    let other = LifecycleSpec { schedule: LifecycleSchedule::Churn, ..listed(&[(1, Stop)]) };
    assert!(
        other.validate().expect_err("refused").to_string().contains("only `lifecycle.schedule = \"list\"`")
    );
}

#[test]
fn steps_come_in_the_order_of_time_and_one_change_of_a_domain_after_the_other() {
    use VmEventKind::{Migrate, Start, Stop};
    // The function is still reset when the next VM is to start; that stops before the one that moves has been copied.
    let spec = listed(&[(100, Stop), (104, Start), (107, Migrate), (109, Stop)]);
    let steps: Vec<_> = Steps::new(&spec, core::iter::once(schedule(&spec))).collect();
    let event = |time, kind| VmEvent { time: at(time), kind };
    let hold = |loses, attach_due| Step::Hold { loses, attach_due };
    assert_eq!(
        steps,
        [
            (at(100), 0, hold(true, at(110))),
            (at(107), 0, hold(false, at(112))),
            (at(109), 0, hold(true, Picoseconds::MAX)),
            (at(110), 0, Step::Detach(event(100, Stop))),
            (at(110), 0, Step::Attach(event(104, Start))),
            (at(112), 0, Step::Detach(event(107, Migrate))),
            (at(112), 0, Step::Attach(event(107, Migrate))),
            (at(119), 0, Step::Detach(event(109, Stop))),
        ]
    );
    let spec = listed(&[(100, Start)]);
    let steps: Vec<_> = Steps::new(&spec, core::iter::once(schedule(&spec))).collect();
    assert_eq!(steps, [(at(0), 0, hold(false, at(100))), (at(100), 0, Step::Attach(event(100, Start)))]);
}

#[test]
fn times_without_a_vm_are_counted() {
    use VmEventKind::{Migrate, Start, Stop};
    let down =
        |events: &[(u64, VmEventKind)], from, until| schedule(&listed(events)).down_ps(at(from), at(until));
    let events = [(10, Stop), (15, Start), (20, Migrate), (30, Stop)];
    for (from, until, us) in
        [(0, 8, 0), (0, 12, 2), (12, 14, 2), (0, 40, 15), (14, 40, 11), (35, 40, 5), (40, 35, 0)]
    {
        assert_eq!(down(&events, from, until), at(us).0, "{from}..{until}");
    }
    assert_eq!(down(&[(10, Start)], 0, 40), at(10).0);
    assert_eq!(down(&[], 0, 40), 0);
}

/// A source that intends something every microsecond, of which it knows which it is; or whose one client thinks as long.
struct Clock {
    next: u64,
    number: u64,
    closed: bool,
    waits: bool,
}

impl Source for Clock {
    fn peek(&self) -> Option<Picoseconds> {
        (self.number < 40 && !self.waits).then_some(at(self.next))
    }

    fn emit(&mut self, until: Picoseconds, rows: SourceRows<'_>) -> usize {
        let mut count = 0;
        while count < rows.len()
            && let Some(time) = self.peek().filter(|time| *time < until)
        {
            rows.intended[count] = Intended(time);
            rows.address[count] = Address(Iova(self.number));
            rows.transfer[count] = Transfer { length_bytes: 1, op: Op::Read };
            (self.number, self.waits, count) = (self.number + 1, self.closed, count + 1);
            self.next += u64::from(!self.closed);
        }
        count
    }

    fn feedback(&self) -> Option<Picoseconds> {
        (self.closed && self.number < 40).then_some(at(1))
    }

    fn retire(&mut self, _sequence: u64, time: Picoseconds) -> Option<Picoseconds> {
        (self.next, self.waits) = (time.0 / 1_000_000 + 1, false);
        self.peek()
    }

    fn restart(&mut self, time: Picoseconds) {
        if self.closed {
            (self.next, self.waits) = (time.0 / 1_000_000 + 1, false);
        }
    }
}

fn clock(closed: bool) -> Box<dyn Source> {
    Box::new(Clock { next: u64::from(closed), number: 0, closed, waits: false })
}

/// The requests that a source intends before a time: when, and which.
fn emit(source: &mut Living, until: u64, room: usize) -> Vec<(u64, u64)> {
    let (mut intended, mut address) = (vec![Intended::default(); room], vec![Address::default(); room]);
    let mut transfer = vec![Transfer::default(); room];
    let rows = SourceRows { intended: &mut intended, address: &mut address, transfer: &mut transfer };
    let count = source.emit(at(until), rows);
    let told = intended.iter().zip(&address).map(|(time, address)| (time.0.0 / 1_000_000, address.0.0));
    told.take(count).collect()
}

#[test]
fn an_open_loop_leaves_out_what_falls_into_a_time_without_a_vm() {
    use VmEventKind::{Start, Stop};
    let spec = listed(&[(3, Stop), (6, Start), (8, Stop)]);
    for room in [1, 2, 50] {
        let mut source = Living::new(clock(false), schedule(&spec).up_spans());
        let mut told = Vec::new();
        while let Some(next) = source.peek() {
            let more = emit(&mut source, 100, room);
            assert_eq!(more.first().map(|(time, _)| at(*time)), Some(next), "it says so before");
            told.extend(more);
        }
        assert_eq!(told, [(0, 0), (1, 1), (2, 2), (6, 6), (7, 7)], "{room} at a time");
    }
    // Without an end it goes on until its requests are intended.
    let mut source = Living::new(clock(false), schedule(&listed(&[(38, Start)])).up_spans());
    assert_eq!(source.peek(), Some(at(38)));
    assert_eq!(emit(&mut source, 100, 50), [(38, 38), (39, 39)]);
    assert_eq!(source.peek(), None);
}

#[test]
fn the_clients_of_a_closed_loop_are_gone_with_their_vm() {
    use VmEventKind::{Start, Stop};
    let spec = listed(&[(5, Stop), (9, Start), (20, Stop)]);
    let mut source = Living::new(clock(true), schedule(&spec).up_spans());
    assert_eq!(emit(&mut source, 3, 8), [(1, 0)]);
    assert_eq!(source.peek(), Some(at(9)), "the next VM starts, if nothing retires before");
    assert_eq!(source.retire(0, at(2)), Some(at(3)));
    assert_eq!(emit(&mut source, 4, 8), [(3, 1)]);
    // It retires when its VM is gone, or so late that its client would send no more.
    assert_eq!(source.retire(1, at(4)), Some(at(9)));
    assert_eq!(emit(&mut source, 7, 8), []);
    assert_eq!(source.peek(), Some(at(10)));
    assert_eq!(source.retire(1, at(8)), Some(at(10)), "that was another VM's");
    assert_eq!(emit(&mut source, 12, 8), [(10, 2)]);
    assert_eq!(source.retire(2, at(25)), None);
    assert_eq!(emit(&mut source, 30, 8), []);
    assert_eq!((source.peek(), source.feedback()), (None, None));
}
