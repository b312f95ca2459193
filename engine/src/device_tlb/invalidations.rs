//! Invalidations of device TLBs, in the order of the device's time.

use core::ops::Range;
use std::collections::VecDeque;

use super::components::Ats;
use crate::translation::replacement::with_iotlb;
use crate::units::Picoseconds;

/// A device TLB loses everything of some VFs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlbInvalidation {
    /// When: after answers of that instant, before what is taken up then.
    pub time: Picoseconds,
    /// The VFs, by their indices within the world.
    pub vfs: Range<u32>,
}

/// The invalidations of an adapter's device TLBs that are known and to come.
#[derive(Clone, Debug)]
pub struct Invalidations {
    /// Those that are known, in order.
    pub known: VecDeque<TlbInvalidation>,
    /// None that is not known comes before this time.
    pub unknown_from: Picoseconds,
}

impl Invalidations {
    /// None so far: there are some where domains are switched, and nowhere else.
    #[must_use]
    pub fn of_switches(are_switched: bool) -> Self {
        let unknown_from = if are_switched { Picoseconds::ZERO } else { Picoseconds::MAX };
        Self { known: VecDeque::new(), unknown_from }
    }
}

impl Ats {
    /// Whether all invalidations before `time` are known; at that very time they come behind answers.
    #[inline]
    #[must_use]
    pub fn can_take_answer(&self, time: Picoseconds) -> bool {
        time <= self.invalidations.unknown_from
    }

    /// Whether all invalidations up to `time` are known.
    #[inline]
    #[must_use]
    pub fn can_look_up(&self, time: Picoseconds) -> bool {
        time < self.invalidations.unknown_from
    }

    /// Carries out what is due before `time`.
    pub fn invalidate_before(&mut self, time: Picoseconds) {
        while let Some(due) = self.invalidations.known.pop_front_if(|due| due.time < time) {
            due.vfs.for_each(|vf| self.invalidate(vf));
        }
    }

    /// Drops what is cached for a VF; what is under way for it will not be.
    fn invalidate(&mut self, vf: u32) {
        let Some(tag) = self.tag_of(vf) else { return };
        with_iotlb!(self.tlb_of(vf), |tlb| tlb.invalidate_domain(tag));
        let of_vf = self.requests.iter_mut().filter(|request| request.page.is_some_and(|(of, _)| of == tag));
        of_vf.for_each(|request| request.cancelled = true);
    }
}
