//! Bug checks, as the reference has them: from one on, all is as if nobody were there, until the host is up again.

use portcullis_engine::crash::OnFault;
use portcullis_engine::plan::MachineSpec;
use portcullis_engine::request::Fault;
use portcullis_engine::silence::SwitchMode;
use portcullis_engine::translation::IommuMode;

use super::{Event, Fate, Id, Reference, Rule};
use crate::case::Case;

/// When the host was down: from, until.
#[derive(Clone, Debug, Default)]
pub struct Crashes {
    pub down: Vec<(u64, u64)>,
    /// When devices hung since it was up last.
    hung: Vec<u64>,
}

impl Crashes {
    pub fn is_down(&self, now: u64) -> bool {
        self.down.last().is_some_and(|(_, until)| now < *until)
    }

    /// Whether something that goes on from one time to another is cut off.
    pub fn cuts(&self, from: u64, to: u64) -> bool {
        self.cut(from, to).is_some()
    }

    /// When it is.
    fn cut(&self, from: u64, to: u64) -> Option<u64> {
        let cuts = |&&(down, up): &&(u64, u64)| from < up && to > down;
        self.down.iter().find(cuts).map(|(down, _)| from.max(*down))
    }
}

/// Whether a fault can end the host of a case, in the middle of a switch or not.
pub fn ends_hosts(case: &Case, of_switch: bool) -> bool {
    let host = &case.machine.host;
    let may_meet = case.machine.switches.are_on()
        && (case.machine.silence.mode == SwitchMode::Unsafe || case.obeys.contains(&false));
    let any = host.on_fault == OnFault::Bugcheck || (may_meet && host.on_switch_fault == OnFault::Bugcheck);
    let policy = if of_switch { host.on_switch_fault } else { host.on_fault };
    any && policy == OnFault::Bugcheck
}

impl Reference<'_> {
    /// The look-ups of a DMA are over: it may have been blocked, and that may be the end of the host.
    pub(super) fn note_fault(&mut self, id: Id) {
        let Some(fault) = self.fates[id.0][id.1].fault else { return };
        let of_switch = fault == Fault::NoContext && self.switches.is_in_a_switch(id.0);
        if self.crashes.is_down(self.now) || !ends_hosts(self.case, of_switch) {
            return;
        }
        self.end_host();
    }

    /// A device did not answer, or a thread stays in its driver.
    pub(super) fn note_hang(&mut self, in_driver: bool) {
        if self.crashes.is_down(self.now) {
            return;
        }
        if in_driver {
            return if self.holds(Rule::StuckDriversEndHosts) {
                self.end_host()
            };
        }
        self.crashes.hung.push(self.now);
        let MachineSpec { host, failures, .. } = &self.case.machine;
        let counts_for = if self.holds(Rule::HangsAreForgotten) {
            (failures.tdr_limit_us * 1e6).round() as u64
        } else {
            u64::MAX
        };
        let counted = self.crashes.hung.iter().filter(|hung| self.now - **hung <= counts_for).count();
        if host.on_hangs == OnFault::Bugcheck && counted > failures.tdr_limit as usize {
            self.end_host();
        }
    }

    fn end_host(&mut self) {
        self.crashes.hung.clear();
        let reboot = self.case.machine.host.reboot_us.map(|us| (us * 1e6).round() as u64);
        let until = reboot.map_or(u64::MAX, |reboot| self.now + reboot);
        self.crashes.down.push((self.now, until));
        if until < u64::MAX {
            self.at(until, Event::Reboot);
        }
    }

    /// A DMA comes to a host that is down.
    pub(super) fn meets_nobody(&mut self, id: Id) -> bool {
        let down = self.crashes.is_down(self.now) && self.holds(Rule::HostsThatAreDownLookNothingUp);
        if down {
            let iova = self.intent(id).iova;
            self.fault(id, Fault::NoContext, iova);
            self.translations[id.0][id.1].unrecorded = true;
            self.looked_up(id);
        }
        down
    }

    /// The host is up: nothing is cached.
    pub(super) fn reboot(&mut self) {
        if !self.holds(Rule::RebootsEmptyCaches) {
            return;
        }
        debug_assert_eq!(self.case.machine.iommu.mode, IommuMode::Translate);
        self.switches.forget_contexts();
        let dropped = self.iotlb.drop_where(|_, _| true);
        self.book.invalidate(dropped, |_, _| true);
        self.walk_caches.values_mut().for_each(|cache| {
            cache.drop_where(|_, _| true);
        });
        for walk in &mut self.walks {
            walk.cancelled |= !walk.over;
            walk.dropped.extend(walk.to_fill.clone());
        }
    }

    /// What becomes of requests because of bug checks.
    pub(super) fn abort(&mut self) {
        let (crashes, warm_up) = (self.crashes.clone(), self.case.warm_up_ps);
        for fate in self.fates.iter_mut().flatten() {
            let Fate { intended, completed, lost, .. } = *fate;
            let over = if lost { fate.over } else { completed };
            let cut = crashes.cut(intended, over);
            fate.over = cut.unwrap_or(over);
            if cut.is_some() && !lost {
                fate.aborted = true;
                self.counters.aborted += u64::from(intended >= warm_up);
            }
        }
    }
}
