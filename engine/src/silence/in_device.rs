//! What a unit has under way in a device with a TLB: DMAs that were taken up and have not left as themselves.
//!
//! Such a DMA waits for the link, for the answer to its translation request or for that to another's. Then it leaves,
//! translated, or it was refused and is over. A read is waited for from when it is taken up, a write until it has left;
//! so no translation request of a unit that is drained is under way, and none of its TLPs waits for the link.

use super::components::{Switching, Unit};
use super::kernel::LinkState;
use crate::request::Op;
use crate::units::Picoseconds;

/// What is under way in the device, of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InDevice {
    /// DMAs that have not left as themselves.
    dmas: u64,
    /// How many TLPs of the adapter had left with the last translation request.
    last_request: u64,
}

/// A TLP of a DMA that its device has looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its VF, by its index within the world.
    pub vf: u32,
    /// The direction of the DMA.
    pub op: Op,
    /// Whether it is a translation request; else the DMA.
    pub asks: bool,
    /// When it had left the device.
    pub left_at: Picoseconds,
    /// When it reaches the IOMMU.
    pub arrives_at: Picoseconds,
    /// How many TLPs of the adapter had left with it.
    pub number: u64,
}

impl Unit {
    /// Whether nothing is in the device.
    pub(super) fn device_is_empty(&self) -> bool {
        self.in_device.iter().all(|of| of.dmas == 0)
    }

    /// What is in the device, of one direction, leaves at or after this time.
    pub(super) fn leaves_from(&self, op: Op, link: &LinkState) -> Picoseconds {
        let InDevice { dmas, last_request } = self.in_device[op as usize];
        if dmas == 0 {
            return Picoseconds::ZERO;
        }
        let in_flight = last_request > link.looked_up;
        link.leaves_from.max(if in_flight { link.looked_up_from } else { Picoseconds::ZERO })
    }

    /// Everything is over at or after this time; at that very time where the second says so.
    pub(super) fn over_from(&self, link: &LinkState) -> (Picoseconds, bool) {
        let is_known = self.flows.iter().all(|flow| flow.over == flow.sent);
        let of = |op: Op| self.flows[op as usize].over_from(link).max(self.leaves_from(op, link));
        (of(Op::Read).max(of(Op::Write)), is_known)
    }
}

impl Switching {
    /// A device with a TLB takes a request up at `time`.
    pub fn note_taken_up(&mut self, vf: u32, op: Op, time: Picoseconds) {
        let unit = self.unit_of(vf);
        let unit = &mut self.units[unit];
        self.open += 1;
        unit.flows[op as usize].sent += 1;
        unit.in_device[op as usize].dmas += 1;
        self.note_not_before(vf, op, time);
    }

    /// Its request for a translation, or the translated DMA, leaves.
    pub fn note_left(&mut self, left: Left) {
        let Left { vf, op, asks, left_at, arrives_at, number } = left;
        let unit = self.unit_of(vf);
        let unit = &mut self.units[unit];
        let (flow, in_device) = (&mut unit.flows[op as usize], &mut unit.in_device[op as usize]);
        flow.last_number = number;
        if asks {
            in_device.last_request = number;
            return self.note_not_before(vf, op, arrives_at);
        }
        in_device.dmas -= 1;
        flow.last_left = flow.last_left.max(left_at);
        flow.over_from = flow.over_from.max(arrives_at);
        self.over_from = self.over_from.max(arrives_at);
    }

    /// The DMA of a translation request, which was looked up or answered, has not left before `time`.
    pub fn note_not_before(&mut self, vf: u32, op: Op, time: Picoseconds) {
        let unit = self.unit_of(vf);
        let flow = &mut self.units[unit].flows[op as usize];
        flow.last_left = flow.last_left.max(time);
        flow.over_from = flow.over_from.max(time);
        self.over_from = self.over_from.max(time);
    }

    /// The answer to a translation request is back at `time`; the DMA is over with it where it is refused.
    pub fn note_answer(&mut self, (vf, sequence): (u32, u64), op: Op, time: Picoseconds, refused: bool) {
        self.note_not_before(vf, op, time);
        if refused {
            let unit = self.unit_of(vf);
            self.units[unit].in_device[op as usize].dmas -= 1;
            self.note_over((vf, sequence), op, time);
        }
    }
}
