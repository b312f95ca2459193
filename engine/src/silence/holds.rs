//! VFs of which nothing leaves since their VMs come, go or are moved.

use super::components::{Pause, Switching, Until};
use crate::units::Picoseconds;

/// A time in which nothing of a VF leaves: from the stop or the pause of its VM until the next one runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its first instant.
    pub from: Picoseconds,
    /// The first behind it, once that is known.
    pub until: Option<Picoseconds>,
    /// Whether what was intended before it and has not left is lost.
    pub loses: bool,
    /// When the next domain is to be attached; `Picoseconds::MAX` if none is.
    attach_due: Picoseconds,
    /// Whether requests stand aside because of it.
    holds: bool,
}

impl Hold {
    /// One whose end is not known.
    #[must_use]
    pub fn new(from: Picoseconds, loses: bool, attach_due: Picoseconds) -> Self {
        Self { from, until: None, loses, attach_due, holds: false }
    }

    /// Whether it is not over for what is eligible since a time.
    fn lasts(&self, eligible: Picoseconds) -> bool {
        self.until.is_none_or(|until| until > eligible)
    }
}

impl Switching {
    /// Nothing of a VF, by its index within the adapter, leaves from now on.
    pub(super) fn hold(&mut self, vf: u32, hold: Hold) {
        if hold.loses {
            self.stops[vf as usize].push_back(hold.from);
        }
        self.holds[vf as usize].push_back(hold);
    }

    /// Every request that is eligible before `processed` has left, is lost, or stands aside: what is over by then is forgotten.
    /// `waits` tells whether a VF, by its index within the world, has requests that wait and were intended before a time.
    pub fn forget_holds(&mut self, processed: Picoseconds, mut waits: impl FnMut(u32, Picoseconds) -> bool) {
        for (vf, (holds, stops)) in (self.first_vf..).zip(self.holds.iter_mut().zip(&mut self.stops)) {
            while holds.pop_front_if(|hold| hold.until.is_some_and(|until| until <= processed)).is_some() {}
            while stops.pop_front_if(|at| *at <= processed && !waits(vf, *at)).is_some() {}
        }
    }

    /// The VM that comes runs, on a VF by its index within the world.
    pub(super) fn end_hold(&mut self, vf: u32, resumed_at: Picoseconds) {
        let holds = &mut self.holds[(vf - self.first_vf) as usize];
        let hold = holds.iter_mut().find(|hold| hold.until.is_none()).expect("it was held");
        hold.until = Some(resumed_at);
    }

    /// The pause of its unit that holds a request back, or what its VM does to it, if that is sooner. Whether it is lost depends
    /// on when it can leave at the earliest.
    pub(super) fn or_held(
        &mut self,
        vf: u32,
        (intended, eligible): (Picoseconds, Picoseconds),
        start: Picoseconds,
        of_unit: Option<Pause>,
    ) -> Option<Pause> {
        let at = (vf - self.first_vf) as usize;
        while self.holds[at].pop_front_if(|hold| !hold.lasts(eligible)).is_some() {}
        let leaves_from = match of_unit.map(|pause| pause.until) {
            Some(Until::Known(until) | Until::NotBefore(until)) => start.max(until),
            Some(Until::NotKnown) | None => start,
        };
        let lost_in = self.lost_in(at, intended, leaves_from);
        let of_vm = self.held_by(at, eligible, start);
        let first = [of_unit, of_vm].into_iter().flatten().min_by_key(|pause| pause.from);
        // A pause that may be over before the VM stops may let the request hold up others after it.
        let lost_in = lost_in.filter(|stopped_at| first.is_none_or(|first| !first.ends_before(*stopped_at)));
        let Some(stopped_at) = lost_in else {
            let is_open = |first: Pause| first.of_vm && matches!(first.until, Until::NotBefore(_));
            if first.is_some_and(is_open)
                && let Some(open) = self.holds[at].iter_mut().find(|hold| hold.until.is_none())
            {
                open.holds = true;
            }
            return first;
        };
        let from = first.map_or(stopped_at, |first| first.from.min(stopped_at));
        let until = Until::Known(stopped_at);
        Some(Pause { from, until, of_vm: true, lost_at: Some(stopped_at.max(eligible)) })
    }

    /// The first hold of a VF, by its index within the adapter, that keeps what would leave at `start` from leaving.
    fn held_by(&self, vf: usize, eligible: Picoseconds, start: Picoseconds) -> Option<Pause> {
        let hold = self.holds[vf].iter().find(|hold| hold.from <= start && hold.lasts(eligible))?;
        let Hold { from, until, .. } = *hold;
        let until = match until {
            Some(until) => Until::Known(until),
            None => Until::NotBefore(self.hold_lasts_until(vf, hold)),
        };
        Some(Pause { from, until, of_vm: true, lost_at: None })
    }

    /// When the VM stopped that intended a request of a VF, by its index within the adapter, if that was before it could leave:
    /// at `leaves_from` or later.
    fn lost_in(
        &mut self,
        vf: usize,
        intended: Picoseconds,
        mut leaves_from: Picoseconds,
    ) -> Option<Picoseconds> {
        let mut number = 0;
        loop {
            self.draw_until(leaves_from);
            // A request that waits for a slot may be asked about long after the stop of its VM.
            let stops = &mut self.stops[vf];
            while stops.pop_front_if(|stopped_at| *stopped_at <= intended).is_some() {}
            if let Some(stopped_at) = stops.front().copied().filter(|stopped_at| *stopped_at <= leaves_from) {
                return Some(stopped_at);
            }
            let hold = *self.holds[vf].get(number).filter(|hold| hold.from <= leaves_from)?;
            leaves_from = match hold.until {
                Some(until) => leaves_from.max(until),
                None => leaves_from.max(self.hold_lasts_until(vf, &hold)),
            };
            number += 1;
        }
    }

    /// The first stop that is known of the VM that intended a request of a VF, by its index within the world; `Picoseconds::MAX` where
    /// none is.
    #[must_use]
    pub fn stops_after(&self, vf: u32, intended: Picoseconds) -> Picoseconds {
        let stops = self.stops.get((vf - self.first_vf) as usize);
        let after = stops.and_then(|stops| stops.iter().find(|stopped_at| **stopped_at > intended));
        after.copied().unwrap_or(Picoseconds::MAX)
    }

    /// When a request is lost that stands aside or that a pause holds back until `resumed_at`, if it is: of a VF, by its index
    /// within the world.
    pub fn lost_before(
        &mut self,
        vf: u32,
        (intended, eligible): (Picoseconds, Picoseconds),
        resumed_at: Picoseconds,
    ) -> Option<Picoseconds> {
        if self.holds.is_empty() {
            return None;
        }
        let stopped_at = self.lost_in((vf - self.first_vf) as usize, intended, resumed_at)?;
        Some(stopped_at.max(eligible))
    }

    /// A hold of a VF, by its index within the adapter, whose end is not known ends at this time or later.
    fn hold_lasts_until(&self, vf: usize, hold: &Hold) -> Picoseconds {
        let unit = &self.units[if self.units.len() == 1 { 0 } else { vf }];
        let current = unit.current.as_ref().map_or(Picoseconds::ZERO, |_| unit.resumes_from);
        hold.attach_due.max(current)
    }

    /// Nothing of a VF, by its index within the world, stands aside any more.
    pub fn let_nobody_aside(&mut self, vf: u32) {
        let holds = &mut self.holds[(vf - self.first_vf) as usize];
        holds.iter_mut().for_each(|hold| hold.holds = false);
    }

    /// Whether what stands aside of a VF, by its index within the world, stays there when a pause of its unit ends, since its VM is
    /// to come.
    pub fn keeps_aside(&mut self, vf: u32, resumed_at: Picoseconds) -> bool {
        let holds = self.holds.get_mut((vf - self.first_vf) as usize);
        let open = holds.and_then(|holds| holds.iter_mut().find(|hold| hold.until.is_none()));
        let Some(open) = open.filter(|hold| hold.from <= resumed_at) else { return false };
        open.holds = true;
        true
    }

    /// What stands aside of a VF, by its index within the world, leaves at this time or later.
    #[must_use]
    pub fn leaves_aside_from(&self, vf: u32) -> Picoseconds {
        let at = (vf - self.first_vf) as usize;
        let open = self.holds[at].iter().find(|hold| hold.until.is_none() && hold.holds);
        let unit = &self.units[self.unit_of(vf)];
        let paused = unit.current.as_ref().filter(|_| self.sets_aside()).map(|_| unit.resumes_from);
        let held = open.map(|hold| self.hold_lasts_until(at, hold));
        held.max(paused).unwrap_or_default()
    }

    /// Nothing that stands aside because of a VM leaves before this time.
    pub(super) fn holds_last_until(&self) -> Picoseconds {
        let of_vf = |(vf, holds): (usize, &std::collections::VecDeque<Hold>)| {
            let open = holds.iter().find(|hold| hold.until.is_none()).filter(|hold| hold.holds)?;
            Some(self.hold_lasts_until(vf, open))
        };
        self.holds.iter().enumerate().filter_map(of_vf).min().unwrap_or(Picoseconds::MAX)
    }
}
