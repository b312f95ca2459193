//! When packets get to the driver: windows, stalls, and room to wait, against a plain model.

use std::collections::HashSet;

use portcullis_engine::escape::{
    CaptureBuffer, Dispatch, Dispatched, DriverQueue, EscapeFlags, EscapeSpec, EscapeTimes, ExclusiveWindows,
    Handles, Header, Ruling, Span, adapter_handle, filter,
};
use portcullis_engine::topology::VmKind;
use portcullis_engine::units::Picoseconds;
use proptest::prelude::*;

use crate::table::{ADAPTER, VM, packet, sender};

/// What there is to send: denied, allowed, allowed with the whole adapter.
fn rulings() -> [Ruling; 3] {
    let policy = EscapeSpec::default().policy();
    let mut buffer = CaptureBuffer::default();
    [0x10, 0, EscapeFlags::HARDWARE_ACCESS].map(|flags| {
        let header = Header {
            adapter: adapter_handle(ADAPTER),
            flags: EscapeFlags(flags),
            sender: VM,
            ..Header::default()
        };
        let bytes = packet(header, 0, Handles::of_vm(VM).handle(0));
        filter(&&bytes[..], &sender((VmKind::Normal, true)), &policy, &mut buffer, |_| ()).0
    })
}

/// One rule of the model left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Break {
    Window,
    WindowForDenied,
    Order,
    Stall,
    FilterServer,
    Room,
    RoomForDenied,
}

const BREAKS: [Break; 7] = [
    Break::Window,
    Break::WindowForDenied,
    Break::Order,
    Break::Stall,
    Break::FilterServer,
    Break::Room,
    Break::RoomForDenied,
];

/// The model, picosecond by picosecond: a filter that works on one packet, a list of those that wait, a driver.
/// Returns when each packet is decided.
fn plainly(
    packets: &[(u64, usize)],
    windows: &[(u64, u64)],
    times: &EscapeTimes,
    broken: Option<Break>,
) -> Vec<u64> {
    let breaks = |rule| broken == Some(rule);
    let mut decided = vec![u64::MAX; packets.len()];
    let mut next = 0;
    // In the filter, with the time it is done; behind it, waiting for the driver.
    let (mut in_filter, mut waiting): (Vec<(usize, u64)>, Vec<usize>) = Default::default();
    let (mut now, mut stalled_until) = (0, 0);
    while decided.contains(&u64::MAX) {
        let in_window = windows.iter().any(|(begin, end)| (*begin..*end).contains(&now));
        loop {
            let before = (next, in_filter.len(), waiting.len());
            if let Some(&(packet, done)) = in_filter.first()
                && done <= now
            {
                let denied = packets[packet].1 == 0;
                if !denied {
                    waiting.push(packet);
                    in_filter.remove(0);
                } else if !(in_window && breaks(Break::WindowForDenied)) {
                    decided[packet] = now;
                    in_filter.remove(0);
                }
            }
            let window = in_window && !breaks(Break::Window);
            let stalled = now < stalled_until && !breaks(Break::Stall);
            if !window && !stalled && !waiting.is_empty() {
                let packet = waiting.remove(if breaks(Break::Order) { waiting.len() - 1 } else { 0 });
                decided[packet] = now;
                if packets[packet].1 == 2 {
                    stalled_until = now + times.hardware_access.0;
                }
            }
            if let Some(&(sent, kind)) = packets.get(next) {
                let unbounded = breaks(Break::Room) || kind == 0 && breaks(Break::RoomForDenied);
                let room = waiting.len() < times.waiting_max || unbounded;
                let idle = in_filter.is_empty() || breaks(Break::FilterServer);
                if sent <= now && idle && room {
                    in_filter.push((next, now + times.filter.0));
                    next += 1;
                }
            }
            if before == (next, in_filter.len(), waiting.len()) {
                break;
            }
        }
        now += 1;
    }
    decided
}

/// What the engine makes of it, with windows that become known as late as they may.
fn engine(packets: &[(u64, usize)], windows: &[(u64, u64)], times: &EscapeTimes) -> (Vec<u64>, Vec<bool>) {
    let rulings = rulings();
    let (mut queue, mut known) = (DriverQueue::default(), ExclusiveWindows::unknown());
    let mut to_come = windows.iter();
    let mut decided = Vec::new();
    let mut deferred = Vec::new();
    for &(time, kind) in packets {
        let mut due = None;
        let found = loop {
            let before = queue.clone();
            let dispatch = match due {
                None => queue.dispatch(Picoseconds(time), &rulings[kind], &known, times),
                // Nobody else is at the adapter: the stall begins as soon as no window is in the way.
                Some(due) => match known.next_outside(due) {
                    Some(begin) => {
                        let end = begin + times.hardware_access;
                        Dispatch::Over(queue.stalled(Span { begin, end }, &known))
                    }
                    None => Dispatch::NotKnown(due),
                },
            };
            match dispatch {
                Dispatch::Over(found) => break found,
                Dispatch::Due(time) => due = Some(time),
                Dispatch::NotKnown(_) => {
                    assert_eq!(format!("{queue:?}"), format!("{before:?}"), "nothing happens");
                    match to_come.next() {
                        Some((begin, end)) => {
                            known.push(Span { begin: Picoseconds(*begin), end: Picoseconds(*end) })
                        }
                        None => known.know_until(Picoseconds::MAX),
                    }
                }
            }
        };
        assert_eq!(due.is_some(), kind == 2);
        known.forget_until(Picoseconds(time));
        decided.push(found.decided.0);
        deferred.push(found.deferred);
    }
    (decided, deferred)
}

fn packets() -> impl Strategy<Value = Vec<(u64, usize)>> {
    let gaps = prop::collection::vec((prop_oneof![Just(0), 0_u64..6, 0_u64..60], 0_usize..3), 1..24);
    gaps.prop_map(|gaps| {
        let mut time = 0;
        let at = gaps.into_iter().map(|(gap, kind)| {
            time += gap;
            (time, kind)
        });
        at.collect()
    })
}

fn windows() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((prop_oneof![Just(0), 0_u64..40], 1_u64..50), 0..4).prop_map(|spans| {
        let mut end = 0;
        let windows = spans.into_iter().map(|(gap, length)| {
            let begin = end + gap;
            end = begin + length;
            (begin, end)
        });
        windows.collect()
    })
}

fn times() -> impl Strategy<Value = EscapeTimes> {
    (prop_oneof![Just(1_u64), 1_u64..6], 0_u64..30, 1_usize..4).prop_map(
        |(filter, hardware_access, waiting_max)| EscapeTimes {
            filter: Picoseconds(filter),
            driver: Picoseconds::ZERO,
            hardware_access: Picoseconds(hardware_access),
            waiting_max,
        },
    )
}

proptest! {
    #[test]
    fn the_queue_equals_a_plain_model(packets in packets(), windows in windows(), times in times()) {
        let (decided, deferred) = engine(&packets, &windows, &times);
        prop_assert_eq!(&decided, &plainly(&packets, &windows, &times, None));
        let allowed = || packets.iter().zip(decided.iter().zip(&deferred)).filter(|((_, kind), _)| *kind > 0);
        for (_, (decided, _)) in allowed() {
            prop_assert!(!windows.iter().any(|(begin, end)| (*begin..*end).contains(decided)), "in a window");
        }
        for pair in allowed().collect::<Vec<_>>().windows(2) {
            prop_assert!(pair[0].1.0 <= pair[1].1.0, "in order");
        }
        for ((_, kind), deferred) in packets.iter().zip(&deferred) {
            prop_assert!(*kind > 0 || !deferred, "a denial waits for no window");
        }
    }
}

/// The comparison would find each rule broken.
#[test]
fn every_broken_rule_is_found() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut open: HashSet<Break> = BREAKS.into();
    for _ in 0..3_000 {
        let case = (packets(), windows(), times()).new_tree(&mut runner).expect("a case").current();
        let (packets, windows, times) = case;
        let (decided, _) = engine(&packets, &windows, &times);
        open.retain(|broken| plainly(&packets, &windows, &times, Some(*broken)) == decided);
    }
    assert_eq!(open, HashSet::new(), "rules whose breach no case shows");
}

#[test]
fn a_window_that_is_known_late_changes_nothing() {
    let ruling = rulings()[1];
    let times = EscapeTimes {
        filter: Picoseconds(5),
        driver: Picoseconds(3),
        hardware_access: Picoseconds(7),
        waiting_max: 8,
    };
    let ready = Dispatch::NotKnown(Picoseconds(15));
    let mut windows = ExclusiveWindows::unknown();
    let mut queue = DriverQueue::default();
    assert_eq!(queue.dispatch(Picoseconds(10), &ruling, &windows, &times), ready, "nothing is known");
    windows.know_until(Picoseconds(15));
    assert_eq!(queue.dispatch(Picoseconds(10), &ruling, &windows, &times), ready, "15 is not known yet");
    windows.push(Span { begin: Picoseconds(15), end: Picoseconds(40) });
    assert_eq!(queue.dispatch(Picoseconds(10), &ruling, &windows, &times), ready, "nor what begins at 40");
    windows.know_until(Picoseconds(41));
    let dispatched = queue.dispatch(Picoseconds(10), &ruling, &windows, &times);
    assert_eq!(dispatched, Dispatch::Over(Dispatched { decided: Picoseconds(40), deferred: true }));
    assert_eq!(queue.busy_until(), Picoseconds(43), "it is in the driver for a while");
}
