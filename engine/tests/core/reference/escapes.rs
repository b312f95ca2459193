//! Escapes, as the reference has them: a filter that works on one packet, those that wait for the driver, those in it, and the
//! one that has the adapter for itself.

use std::collections::{BTreeMap, VecDeque};

use portcullis_engine::hash::mix64;
use portcullis_engine::silence::{PhaseTimes, ProtocolStep, SilenceScope, SwitchMode, TimedPhase};

use super::switches::Stage;
use super::{Event, Reference, Rule};
use crate::case::{Case, EscapeKind};

/// Packets of one kind that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    pub packets: u64,
    pub deferred: u64,
    pub latency_ps: u64,
    pub latency_max_ps: u64,
}

/// What escapes came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EscapeCounts {
    /// By class of tenants and kind.
    pub decided: BTreeMap<(usize, EscapeKind), Decided>,
    /// Stalls by each VF: how many, how long, and how long those of others at its adapter were.
    pub stalls: Vec<(u64, u64, u64)>,
}

impl EscapeCounts {
    /// Adds those of other adapters, whose VFs come behind.
    pub fn add(&mut self, other: &Self) {
        for (key, more) in &other.decided {
            let decided = self.decided.entry(*key).or_default();
            decided.packets += more.packets;
            decided.deferred += more.deferred;
            decided.latency_ps += more.latency_ps;
            decided.latency_max_ps = decided.latency_max_ps.max(more.latency_max_ps);
        }
        self.stalls.extend_from_slice(&other.stalls);
    }
}

/// The escapes of an adapter.
#[derive(Default)]
pub struct EscapesOfAdapter {
    /// When each was sent, by whom.
    packets: Vec<(u64, usize, EscapeKind)>,
    next: usize,
    /// The one in the filter, and when that is done.
    in_filter: Option<(usize, u64)>,
    /// Those that wait for the driver: since when, and whether each waited in a window.
    waiting: VecDeque<(usize, u64, bool)>,
    /// When those leave the driver that are in it and do not have it for themselves.
    in_driver: Vec<u64>,
    /// Whether the first that waits is due, or in the driver, with the adapter for itself.
    stalling: bool,
    stall_runs: bool,
    in_window: bool,
    window_began_at: u64,
    stalls: u64,
}

fn ps(us: f64) -> u64 {
    (us * 1e6).round() as u64
}

/// The escapes of the adapters of a case.
pub fn of_case(case: &Case) -> Vec<EscapesOfAdapter> {
    let vfs = case.machine.topology.vfs_per_adapter as usize;
    let of_adapter = |of: &[Vec<(u64, EscapeKind)>], first: usize| {
        let sent =
            of.iter().zip(first..).flat_map(|(of, vf)| of.iter().map(move |(at, kind)| (*at, vf, *kind)));
        let mut packets: Vec<_> = sent.collect();
        packets.sort_by_key(|(at, vf, _)| (*at, *vf));
        EscapesOfAdapter { packets, ..EscapesOfAdapter::default() }
    };
    case.escapes.chunks(vfs).enumerate().map(|(at, of)| of_adapter(of, at * vfs)).collect()
}

impl Reference<'_> {
    /// Every packet comes in when it is sent.
    pub(super) fn expect_escapes(&mut self) {
        self.counters.escapes.stalls = vec![(0, 0, 0); self.case.escapes.len()];
        for adapter in 0..self.escapes.len() {
            let times: Vec<_> = self.escapes[adapter].packets.iter().map(|(at, ..)| *at).collect();
            times.into_iter().for_each(|at| self.at(at, Event::Escapes { adapter }));
        }
    }

    /// Whether the host keeps escapes out of the driver during a switch.
    fn has_windows(&self) -> bool {
        let silence = &self.case.machine.silence;
        self.case.machine.switches.are_on()
            && silence.mode != SwitchMode::AtomicReplace
            && !silence.skips(ProtocolStep::Begin)
            && silence.scope == SilenceScope::Adapter
    }

    /// The device of an adapter is drained, and its host keeps escapes out. Whether those in the driver are waited for.
    pub(super) fn window_begins(&mut self, adapter: usize) -> bool {
        if !self.has_windows() || self.escapes.is_empty() {
            return false;
        }
        let of = &mut self.escapes[adapter];
        (of.in_window, of.window_began_at) = (true, self.now);
        !of.in_driver.is_empty() && self.holds(Rule::BeginsWaitForEscapes)
    }

    /// The switch of an adapter will be over for its driver at `time`.
    pub(super) fn window_ends_at(&mut self, adapter: usize, time: u64) {
        if self.has_windows() && !self.escapes.is_empty() {
            self.at(time, Event::WindowEnds { adapter });
        }
    }

    pub(super) fn window_ends(&mut self, adapter: usize) {
        let (now, of) = (self.now, &mut self.escapes[adapter]);
        if of.in_window && of.window_began_at < now {
            of.waiting.iter_mut().for_each(|(_, since, deferred)| *deferred |= *since < now);
        }
        of.in_window = false;
        self.at(now, Event::Escapes { adapter });
    }

    /// Packets of an adapter move on as far as they can at this instant.
    pub(super) fn move_escapes(&mut self, adapter: usize) {
        let escape = &self.case.machine.escape;
        let (filter, room) = ((escape.filter_ns * 1e3).round() as u64, escape.waiting_packets as usize);
        let bounded = self.holds(Rule::EscapesWaitForRoom);
        loop {
            let mut moved = self.leave_filter(adapter);
            moved |= self.enter_driver(adapter);
            let now = self.now;
            let of = &mut self.escapes[adapter];
            let next = of.packets.get(of.next).filter(|(at, ..)| *at <= now);
            if next.is_some() && of.in_filter.is_none() && (of.waiting.len() < room || !bounded) {
                of.in_filter = Some((of.next, now + filter));
                of.next += 1;
                self.at(now + filter, Event::Escapes { adapter });
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    fn leave_filter(&mut self, adapter: usize) -> bool {
        let now = self.now;
        let of = &mut self.escapes[adapter];
        let Some((packet, _)) = of.in_filter.filter(|(_, done)| *done <= now) else { return false };
        of.in_filter = None;
        if of.packets[packet].2 == EscapeKind::Denied {
            self.decide(adapter, packet, false);
        } else {
            of.waiting.push_back((packet, now, false));
        }
        true
    }

    /// The first that waits gets to the driver, or is due to have the adapter for itself.
    fn enter_driver(&mut self, adapter: usize) -> bool {
        let waits_for_stalls = self.holds(Rule::EscapesWaitForStalls);
        let waits_for_windows = self.holds(Rule::EscapesWaitForWindows);
        let now = self.now;
        let of = &mut self.escapes[adapter];
        // One that is due still waits itself, until it is in the driver.
        let first = usize::from(of.stalling && !of.stall_runs);
        let Some(&(packet, _, deferred)) = of.waiting.get(first) else { return false };
        let is_hardware = of.packets[packet].2 == EscapeKind::Hardware;
        if of.stalling && (waits_for_stalls || is_hardware) {
            return false;
        }
        if is_hardware {
            of.stalling = true;
            self.unit(adapter, 0).escape_due = Some(now);
            self.switch_next(adapter, 0);
            return true;
        }
        if of.in_window && waits_for_windows {
            return false;
        }
        of.waiting.remove(first);
        let leaves = now + ps(self.case.machine.escape.driver_us);
        of.in_driver.push(leaves);
        self.decide(adapter, packet, deferred);
        self.at(leaves, Event::EscapeLeaves { adapter });
        true
    }

    pub(super) fn escape_leaves(&mut self, adapter: usize) {
        let now = self.now;
        self.escapes[adapter].in_driver.retain(|leaves| *leaves > now);
        if !self.is_busy(adapter) && !self.switches.adapters.is_empty() {
            self.go_on_waiting(adapter, 0);
        }
    }

    fn decide(&mut self, adapter: usize, packet: usize, deferred: bool) {
        let (sent, vf, kind) = self.escapes[adapter].packets[packet];
        if sent < self.case.warm_up_ps {
            return;
        }
        let latency = self.now - sent;
        let decided = self.counters.escapes.decided.entry((self.case.class_of(vf), kind)).or_default();
        decided.packets += 1;
        decided.deferred += u64::from(deferred);
        decided.latency_ps += latency;
        decided.latency_max_ps = decided.latency_max_ps.max(latency);
    }

    /// An escape that touches hardware has its turn at the adapter: its scheduler is suspended.
    pub(super) fn begin_stall(&mut self, adapter: usize) {
        let of = &mut self.escapes[adapter];
        let number = of.stalls;
        of.stalls += 1;
        let seed = mix64(self.switches.adapters[adapter].schedule_seed() ^ 0x57A1_1ED0_0000_0001);
        let times = PhaseTimes::of(&self.case.machine.silence, seed, number);
        let unit = self.unit(adapter, 0);
        unit.escape_due = None;
        unit.stall = Some(times);
        let pauses = self.holds(Rule::StallsPauseTheAdapter);
        self.suspend(adapter, 0, pauses);
        let suspend = times.of_phase(TimedPhase::Suspend).0;
        self.at(self.now + suspend, Event::StallSuspended { adapter });
    }

    pub(super) fn stall_suspended(&mut self, adapter: usize) {
        self.unit(adapter, 0).stage = Stage::Draining;
        self.go_on_waiting(adapter, 0);
    }

    /// Whether escapes are in the driver of an adapter.
    pub(super) fn is_busy(&self, adapter: usize) -> bool {
        self.escapes.get(adapter).is_some_and(|of| !of.in_driver.is_empty())
    }

    /// Whether those in the driver are in the way of one that touches hardware.
    pub(super) fn driver_is_in_the_way(&self, adapter: usize) -> bool {
        self.is_busy(adapter) && self.holds(Rule::StallsWaitForTheDriver)
    }

    /// The GPU is idle, and nobody else in the driver: the escape gets there.
    pub(super) fn run_stall(&mut self, adapter: usize) {
        let times = self.unit(adapter, 0).stall.expect("a stall");
        self.unit(adapter, 0).stage = Stage::Switching;
        let (packet, _, deferred) = self.escapes[adapter].waiting.pop_front().expect("it waits");
        self.escapes[adapter].stall_runs = true;
        self.decide(adapter, packet, deferred);
        let end = self.now + ps(self.case.machine.escape.hardware_access_us);
        let resume = end + times.of_phase(TimedPhase::Resume).0;
        let (sent, vf, _) = self.escapes[adapter].packets[packet];
        if sent >= self.case.warm_up_ps {
            let length = resume - self.unit(adapter, 0).began_at;
            let vfs = self.switches.vfs_per_adapter;
            for other in adapter * vfs..(adapter + 1) * vfs {
                let (count, own, others) = &mut self.counters.escapes.stalls[other];
                if other == vf {
                    *count += 1;
                    *own += length;
                } else if self.case.obeys[other] {
                    *others += length;
                }
            }
        }
        // There is room for another packet.
        self.at(self.now, Event::Escapes { adapter });
        self.at(end, Event::StallLeaves { adapter });
        self.at(resume, Event::SwitchResume { adapter, unit: 0 });
    }

    /// The one that touches hardware leaves the driver.
    pub(super) fn stall_leaves(&mut self, adapter: usize) {
        let of = &mut self.escapes[adapter];
        (of.stalling, of.stall_runs) = (false, false);
        self.at(self.now, Event::Escapes { adapter });
    }
}
