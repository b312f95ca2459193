//! VFs that send in turn, as the reference has it: an event where a slice begins and where it ends, or a choice at each
//! instant at which something may be sent.

use std::collections::BTreeMap;

use portcullis_engine::slices::SchedulerPolicy;

use super::{Event, Id, Reference, Rule};
use crate::case::Case;

/// A slice that a VF had, or has.
#[derive(Clone, Copy, Debug)]
struct Slice {
    began: u64,
    ended: u64,
    used: bool,
}

/// Whose turn it is on an adapter.
#[derive(Clone, Default)]
pub struct Turn {
    /// The VF whose slice it is.
    serving: Option<usize>,
    /// From when and until when, where slices go by work, and who had the one before.
    from: u64,
    until: u64,
    last: Option<usize>,
    /// Where slices go by the clock: the slot whose turn is next, and when its slice begins.
    slot: usize,
    begins: u64,
}

/// See above.
#[derive(Default)]
pub struct Turns {
    of_adapters: Vec<Turn>,
    had: Vec<Vec<Slice>>,
    since: BTreeMap<Id, u64>,
    /// Requests that have left.
    sent: usize,
    /// Slices since the last one did.
    in_vain: usize,
}

/// So many slices go by in vain only where a rule is broken so that nothing is ever sent any more.
const IN_VAIN: usize = 20_000;

impl Turns {
    pub fn new(case: &Case) -> Self {
        let adapters = case.machine.topology.adapters_per_host as usize;
        Self {
            of_adapters: vec![Turn::default(); adapters],
            had: vec![Vec::new(); case.traffic.len()],
            ..Self::default()
        }
    }
}

fn ps(us: f64) -> u64 {
    (us * 1e6).round() as u64
}

impl Reference<'_> {
    fn policy(&self) -> SchedulerPolicy {
        self.case.machine.scheduler.policy
    }

    fn slice_time(&self) -> u64 {
        ps(self.case.machine.scheduler.slice_us.expect("the cases have one"))
    }

    /// How long a world switch takes.
    fn world_switch(&self) -> u64 {
        let alone = self.policy() != SchedulerPolicy::BestEffort && self.slots_in_turn() == 1;
        let takes_time = self.holds(Rule::WorldSwitchesTakeTime) && !alone;
        if takes_time { ps(self.case.machine.scheduler.switch_us) } else { 0 }
    }

    fn vfs_per_adapter(&self) -> usize {
        self.case.machine.topology.vfs_per_adapter as usize
    }

    fn slots_in_turn(&self) -> usize {
        let scheduler = &self.case.machine.scheduler;
        let vfs = self.vfs_per_adapter();
        let has_empty = scheduler.policy == SchedulerPolicy::FixedShare && self.holds(Rule::EmptySlotsIdle);
        scheduler.partitions.filter(|_| has_empty).map_or(vfs, |slots| slots as usize)
    }

    pub(super) fn start_slices(&mut self) {
        if !self.policy().goes_by_the_clock() {
            return;
        }
        for adapter in 0..self.adapters.len() {
            self.at(self.world_switch(), Event::SliceBegins { adapter });
        }
    }

    /// The next slot has its slice, if there is still anything to do.
    pub(super) fn slice_begins(&mut self, adapter: usize) {
        let turn = &mut self.turns.of_adapters[adapter];
        let slot = turn.slot;
        turn.serving = None;
        if slot < self.vfs_per_adapter() {
            let vf = adapter * self.vfs_per_adapter() + slot;
            self.turns.of_adapters[adapter].serving = Some(vf);
            self.turns.had[vf].push(Slice { began: self.now, ended: u64::MAX, used: false });
            self.at(self.now, Event::Send { adapter });
        }
        self.at(self.now + self.slice_time(), Event::SliceEnds { adapter });
    }

    pub(super) fn slice_ends(&mut self, adapter: usize) {
        let (now, slots) = (self.now, self.slots_in_turn());
        let ends = self.holds(Rule::SlicesEndInTime);
        let turn = &mut self.turns.of_adapters[adapter];
        if let Some(vf) = turn.serving {
            self.turns.had[vf].last_mut().expect("it has one").ended = now;
        }
        if ends {
            turn.serving = None;
        }
        turn.slot = (turn.slot + 1) % slots;
        let begins = now + self.world_switch();
        self.turns.of_adapters[adapter].begins = begins;
        // When all have left nobody needs slices any more, but they go on.
        self.turns.in_vain += 1;
        if self.turns.sent < self.case.traffic.iter().map(Vec::len).sum() && self.turns.in_vain < IN_VAIN {
            self.at(begins, Event::SliceBegins { adapter });
        }
    }

    /// The first time that a request is eligible.
    pub(super) fn note_first_eligible(&mut self, id: Id) {
        self.turns.since.entry(id).or_insert(self.now);
    }

    /// The request that is next on an adapter's link.
    pub(super) fn head(&mut self, adapter: usize) -> Option<Id> {
        if self.policy() == SchedulerPolicy::BestEffort {
            self.choose(adapter);
        }
        let mut eligible = self.adapters[adapter].eligible.iter().map(|(_, _, id)| *id);
        if self.policy() == SchedulerPolicy::Concurrent || !self.holds(Rule::OnlyWhoseSliceItIsSends) {
            return eligible.next();
        }
        let Turn { serving, from, .. } = self.turns.of_adapters[adapter];
        if self.now < from {
            return None;
        }
        eligible.find(|id| Some(id.0) == serving)
    }

    /// Whose slice it is from now on, where slices go by work.
    fn choose(&mut self, adapter: usize) {
        let now = self.now;
        let has_work = |reference: &Self, vf: usize| {
            reference.adapters[adapter].eligible.iter().any(|(_, _, id)| id.0 == vf)
        };
        let Turn { serving, until, last, .. } = self.turns.of_adapters[adapter];
        if let Some(vf) = serving {
            let in_time = now < until || !self.holds(Rule::SlicesEndInTime);
            let idle = !has_work(self, vf) && self.holds(Rule::WhoHasNothingToSendGivesWay);
            if in_time && !idle {
                return;
            }
            self.turns.had[vf].last_mut().expect("it has one").ended = now;
            self.turns.of_adapters[adapter].serving = None;
        }
        self.turns.in_vain += 1;
        if self.turns.in_vain > IN_VAIN {
            return;
        }
        let vfs = self.vfs_per_adapter();
        let behind = last.filter(|_| self.holds(Rule::SlicesGoRound)).map_or(0, |last| last % vfs + 1);
        let round = (behind..behind + vfs).map(|vf| adapter * vfs + vf % vfs);
        let Some(vf) = round.into_iter().find(|vf| has_work(self, *vf)) else { return };
        let stays = last.is_none() || (last == Some(vf) && self.holds(Rule::TheSameVfNeedsNoWorldSwitch));
        let from = now + if stays { 0 } else { self.world_switch() };
        let until = from + self.slice_time();
        let turn = &mut self.turns.of_adapters[adapter];
        (turn.serving, turn.last, turn.from, turn.until) = (Some(vf), Some(vf), from, until);
        self.turns.had[vf].push(Slice { began: from, ended: u64::MAX, used: false });
        self.at(from, Event::Send { adapter });
        self.at(until, Event::Send { adapter });
    }

    /// A request leaves: how long it had waited for slices of its VF.
    pub(super) fn note_slice_wait(&mut self, adapter: usize, id: Id) {
        if self.policy() == SchedulerPolicy::Concurrent {
            return;
        }
        self.turns.sent += 1;
        self.turns.in_vain = 0;
        // Whether it has more to send at this instant decides whose slice it is.
        self.at(self.now, Event::Send { adapter });
        let now = self.now;
        let intended = self.fates[id.0][id.1].intended;
        let from_queue = self.holds(Rule::SlicesAreWaitedForInTheQueue);
        let since = if from_queue { self.turns.since[&id] } else { intended };
        let mut in_slices = 0;
        for slice in &mut self.turns.had[id.0] {
            in_slices += now.min(slice.ended).saturating_sub(since.max(slice.began));
        }
        if let Some(slice) = self.turns.had[id.0].last_mut() {
            slice.used = true;
        }
        self.counters.slice_sent += self.counted(intended);
        self.counters.slice_wait_ps += self.counted(intended) * (now - since - in_slices);
    }

    /// The slices of an adapter that begin until the last request is over.
    fn go_on_with_slices(&mut self, adapter: usize) {
        let end = self.fates.iter().flatten().map(|fate| fate.completed).max().unwrap_or(0);
        let Turn { mut slot, mut begins, .. } = self.turns.of_adapters[adapter];
        while begins < end {
            if slot < self.vfs_per_adapter() {
                let vf = adapter * self.vfs_per_adapter() + slot;
                self.turns.had[vf].push(Slice { began: begins, ended: u64::MAX, used: false });
            }
            slot = (slot + 1) % self.slots_in_turn();
            begins += self.slice_time() + self.world_switch();
        }
    }

    /// When slices began that count, and whether they were used.
    pub(super) fn count_slices(&mut self) {
        if self.policy().goes_by_the_clock() {
            (0..self.adapters.len()).for_each(|adapter| self.go_on_with_slices(adapter));
        }
        let all = self.turns.had.iter().flatten();
        let counted: Vec<_> = all
            .filter(|slice| self.counted(slice.began) == 1)
            .map(|slice| (slice.began, slice.used))
            .collect();
        self.counters.slices_had = counted;
    }
}
