//! Requests that never leave: those of a function that is reset or in quarantine, and those that nobody lets go.

use std::collections::VecDeque;

use super::components::{Switch, Switched, Switching, Unit};
use super::failures::Failure;
use crate::units::Picoseconds;

/// What becomes of requests that never leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostTo {
    /// A reset, or quarantine: they are aborted.
    Reset,
    /// A scheduler that is not resumed: they are held for good.
    Starvation,
}

/// A span in which a VF's requests are lost: all that are eligible before its end and have not left before its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Its first instant.
    pub from: Picoseconds,
    /// The first behind it; `Picoseconds::MAX` for good.
    pub until: Picoseconds,
    /// When a client learns that its request is lost, unless it is for good.
    pub told_at: Picoseconds,
    /// What becomes of them.
    pub to: LostTo,
}

/// An outage that ends, as long as clients may still learn of requests that were lost in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing {
    /// The VF whose it is, where it is not all the adapter's.
    pub alone: Option<u32>,
    /// When it ends.
    pub until: Picoseconds,
    /// Whether requests wait that may be lost in it.
    pub waits: bool,
}

/// A VF whose requests are lost for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Since when.
    pub from: Picoseconds,
    /// Time before that, and after the warm-up, in which it could send nothing either.
    pub unavailable_ps: u64,
}

/// A request that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its row.
    pub row: u32,
    /// Its VF, by its index within the world.
    pub vf: u32,
    /// When it was intended.
    pub intended: Picoseconds,
    /// When it was lost.
    pub at: Picoseconds,
    /// To what.
    pub to: LostTo,
}

/// Whether the last of them has no end.
fn is_for_good(outages: &VecDeque<Outage>) -> bool {
    outages.back().is_some_and(|outage| outage.until == Picoseconds::MAX)
}

impl Switching {
    /// The requests of the VFs of a range, by their indices within the world, are lost for a while.
    fn lose(&mut self, vfs: core::ops::Range<u32>, outage: Outage) {
        let alone = (!self.is_of_adapter()).then_some(vfs.start);
        let unit = &mut self.units[if alone.is_some() { (vfs.start - self.first_vf) as usize } else { 0 }];
        let vfs = (vfs.start - self.first_vf) as usize..(vfs.end - self.first_vf) as usize;
        if outage.until == Picoseconds::MAX {
            let gone = Gone { from: outage.from, unavailable_ps: unit.unavailable_ps(outage.from) };
            self.gone[vfs.clone()].iter_mut().for_each(|of_vf| {
                of_vf.get_or_insert(gone);
            });
        } else if !self.pauses {
            unit.resets.push(outage.from, outage.until);
        }
        self.new_outage_from = self.new_outage_from.min(outage.from);
        if outage.until < Picoseconds::MAX {
            self.passing.push(Passing { alone, until: outage.until, waits: true });
        }
        let ends = |outages: &&mut VecDeque<Outage>| !is_for_good(outages);
        self.outages[vfs].iter_mut().filter(ends).for_each(|outages| outages.push_back(outage));
    }

    /// The VFs of the adapter.
    #[must_use]
    pub fn vfs(&self) -> core::ops::Range<u32> {
        self.first_vf..self.first_vf + self.held.len() as u32
    }

    /// The VFs that are silent for a switch of this VF's domain.
    #[must_use]
    pub fn silent_with(&self, vf: u32) -> core::ops::Range<u32> {
        if self.is_of_adapter() { self.vfs() } else { vf..vf + 1 }
    }

    /// A switch has ended: whose requests are lost because of it.
    pub(super) fn note_outage(&mut self, switched: &Switched) {
        use super::components::SwitchEnd::{Done, DrainedTooLong, Failed, NeverEnded};
        let Switched { vf, resumed_at, attached_at, .. } = *switched;
        let told_at = resumed_at.saturating_add(self.failure_times.recovery);
        let for_good = |from| Outage { from, until: Picoseconds::MAX, told_at, to: LostTo::Reset };
        match switched.end {
            Done | DrainedTooLong => {}
            NeverEnded => {
                let outage = Outage { to: LostTo::Starvation, ..for_good(attached_at) };
                self.lose(self.silent_with(vf), outage);
            }
            Failed(failure, _) if failure.quarantines() => {
                let of_domain = if self.shares_domain { self.vfs() } else { vf..vf + 1 };
                self.lose(of_domain, for_good(attached_at));
            }
            Failed(_, Some((from, until))) => {
                self.lose(self.silent_with(vf), Outage { until, ..for_good(from) });
            }
            Failed(_, None) => {}
        }
    }

    /// The outage in which a request of a VF is lost that is eligible since `eligible` and has not left.
    #[inline]
    pub fn outage_of(&mut self, vf: u32, eligible: Picoseconds) -> Option<Outage> {
        let outages = &mut self.outages[(vf - self.first_vf) as usize];
        while outages.pop_front_if(|outage| outage.until <= eligible).is_some() {}
        outages.front().copied()
    }

    /// The same, where requests that were eligible before may still be asked about.
    #[must_use]
    pub fn outage_ahead(&self, vf: u32, eligible: Picoseconds) -> Option<Outage> {
        let outages = &self.outages[(vf - self.first_vf) as usize];
        outages.iter().find(|outage| outage.until > eligible).copied()
    }

    /// Every request of the adapter that is eligible before `processed` has left or is lost, and every one that is intended
    /// before `horizon` is known; whether a VF has such that wait, and were intended before a time, tells `waits`.
    pub fn note_processed(
        &mut self,
        (processed, horizon): (Picoseconds, Picoseconds),
        mut waits: impl FnMut(u32, Picoseconds) -> bool,
    ) {
        self.new_outage_from = Picoseconds::MAX;
        self.passing.retain_mut(|passing| {
            let until = passing.until;
            passing.waits = until > processed && passing.alone.is_none_or(|vf| waits(vf, until));
            passing.waits || (passing.alone.is_some() && until > horizon.max(processed))
        });
    }

    /// No function whose requests are lost works again before this time, as long as clients do not know.
    #[must_use]
    pub fn recovers_from(&self) -> Picoseconds {
        if !self.loses {
            return Picoseconds::MAX;
        }
        let current = self.active.iter().map(|unit| self.units[*unit as usize].resumes_from);
        let passing = self.passing.iter().filter(|passing| passing.waits).map(|passing| passing.until);
        current.chain(passing).min().unwrap_or(Picoseconds::MAX).min(self.schedule.peek())
    }

    /// No request that has not left is lost before this time, but for those of which that is known.
    #[must_use]
    pub fn loses_from(&self) -> Picoseconds {
        if !self.loses {
            return Picoseconds::MAX;
        }
        let of_unit = |unit: &u32| {
            let Unit { current, loses_from, .. } = &self.units[*unit as usize];
            let loses = |current: &Switch| !self.ends || current.due.failure.is_some_and(Failure::loses);
            current.as_ref().filter(|current| loses(current)).map(|current| current.from.max(*loses_from))
        };
        let of_those_under_way = self.active.iter().filter_map(of_unit).min();
        of_those_under_way.unwrap_or(Picoseconds::MAX).min(self.schedule.peek()).min(self.new_outage_from)
    }

    /// Whether all later requests of a VF are lost.
    #[must_use]
    pub fn is_lost_for_good(&self, vf: u32) -> bool {
        is_for_good(&self.outages[(vf - self.first_vf) as usize])
    }

    /// A request is lost at a time.
    pub fn note_lost(&mut self, lost: Lost) {
        self.last_over = self.last_over.max(lost.at);
        self.over_from = self.over_from.max(lost.at);
        self.lost.push(lost);
    }
}
