//! What a unit has under way in a device with a TLB: DMAs that were taken up and have not left as themselves.
//!
//! Such a DMA waits for the link, for the answer to its translation request or for that to another's. Then it leaves,
//! translated, or it was refused and is over. A read is waited for from when it is taken up, a write until it has left;
//! so no translation request of a unit that is drained is under way, and none of its TLPs waits for the link.

use std::collections::VecDeque;

use super::components::{Sent, Switching, Unit};
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
    /// Which of its VF's the DMA is.
    pub sequence: u64,
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

/// A request that was taken up where nothing pauses.
#[derive(Clone, Copy, Debug)]
struct TakenUp {
    name: (u32, u64),
    start: Picoseconds,
    /// It is over at or after this time; then, where that is known.
    over_from: Picoseconds,
    is_over: bool,
    /// Whether it has not left as itself.
    in_device: bool,
    /// How many TLPs of the adapter had left with its last.
    number: u64,
}

/// Requests in the order in which they were taken up, as far back as it may matter: where requests go on being taken up,
/// a device answers when those are over that were before it heard of the invalidation.
#[derive(Clone, Debug, Default)]
pub struct TakenUps {
    requests: VecDeque<TakenUp>,
    /// When all before them were over.
    over: Picoseconds,
}

impl TakenUps {
    fn of(&mut self, name: (u32, u64)) -> Option<&mut TakenUp> {
        self.requests.iter_mut().find(|request| request.name == name)
    }

    /// Forgets the first requests that were taken up before `time` and are over.
    fn forget_before(&mut self, time: Picoseconds) {
        while let Some(first) = self.requests.pop_front_if(|first| first.is_over && first.start < time) {
            self.over = self.over.max(first.over_from);
        }
    }

    /// All that was taken up before `time` is over at or after the first time; at that very time where the second says so.
    fn over_from(&mut self, time: Picoseconds, link: &LinkState) -> (Picoseconds, bool) {
        self.forget_before(time);
        let (mut over, mut is_known) = (self.over, link.frontier >= time);
        for request in self.requests.iter().take_while(|request| request.start < time) {
            over = over.max(request.over_from);
            is_known &= request.is_over;
            if request.in_device {
                over = over.max(link.leaves_from);
            }
            if !request.is_over && request.number > link.looked_up {
                over = over.max(link.looked_up_from);
            }
        }
        (over, is_known)
    }
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
    /// What a device has taken up before it hears of an invalidation of its TLB at `time` is over at or after the first time;
    /// at that very time where the second says so.
    pub(super) fn device_is_done(
        &mut self,
        number: usize,
        time: Picoseconds,
        link: &LinkState,
    ) -> (Picoseconds, bool) {
        let unit = &mut self.units[number];
        // In a pause nothing is taken up later.
        if self.pauses { unit.over_from(link) } else { unit.taken_up.over_from(time, link) }
    }

    /// A device with a TLB takes a request up at `time`.
    pub fn note_taken_up(&mut self, (vf, sequence): (u32, u64), op: Op, time: Picoseconds) {
        if !self.pauses {
            self.draw_until(time);
        }
        let unit = self.unit_of(vf);
        let unit = &mut self.units[unit];
        self.open += 1;
        unit.flows[op as usize].sent += 1;
        unit.in_device[op as usize].dmas += 1;
        if !self.pauses {
            if unit.current.is_none() {
                unit.taken_up.forget_before(time);
            }
            let name = (vf, sequence);
            let (in_device, over_from) = (true, time);
            let taken_up = TakenUp { name, start: time, over_from, is_over: false, in_device, number: 0 };
            unit.taken_up.requests.push_back(taken_up);
        }
        if self.follows {
            if unit.current.is_none() {
                unit.under_way.forget();
            }
            let (left_at, arrives_at) = (time, time);
            unit.under_way.take_up(Sent { vf, sequence, op, start: time, left_at, arrives_at, number: 0 });
        }
        self.note_not_before((vf, sequence), op, time);
    }

    /// Its request for a translation, or the translated DMA, leaves.
    pub fn note_left(&mut self, left: Left) {
        let Left { vf, sequence, op, asks, left_at, arrives_at, number } = left;
        let unit = self.unit_of(vf);
        let unit = &mut self.units[unit];
        if let Some(taken_up) = unit.taken_up.of((vf, sequence)) {
            taken_up.number = number;
            taken_up.in_device = asks;
            taken_up.over_from = taken_up.over_from.max(arrives_at);
        }
        if self.follows {
            unit.under_way.note_left(&left);
        }
        let (flow, in_device) = (&mut unit.flows[op as usize], &mut unit.in_device[op as usize]);
        flow.last_number = number;
        if asks {
            in_device.last_request = number;
            return self.note_not_before((vf, sequence), op, arrives_at);
        }
        in_device.dmas -= 1;
        flow.last_left = flow.last_left.max(left_at);
        flow.over_from = flow.over_from.max(arrives_at);
        self.over_from = self.over_from.max(arrives_at);
    }

    /// The DMA of a translation request, which was looked up or answered, has not left before `time`.
    pub fn note_not_before(&mut self, (vf, sequence): (u32, u64), op: Op, time: Picoseconds) {
        let unit = self.unit_of(vf);
        let unit = &mut self.units[unit];
        if let Some(taken_up) = unit.taken_up.of((vf, sequence)) {
            taken_up.over_from = taken_up.over_from.max(time);
        }
        if self.follows {
            unit.under_way.note(vf, sequence, time, false);
        }
        let flow = &mut unit.flows[op as usize];
        flow.last_left = flow.last_left.max(time);
        flow.over_from = flow.over_from.max(time);
        self.over_from = self.over_from.max(time);
    }

    /// The answer to a translation request is back at `time`; the DMA is over with it where it is refused.
    pub fn note_answer(&mut self, (vf, sequence): (u32, u64), op: Op, time: Picoseconds, refused: bool) {
        self.note_not_before((vf, sequence), op, time);
        if refused {
            let unit = self.unit_of(vf);
            self.units[unit].in_device[op as usize].dmas -= 1;
            self.note_over((vf, sequence), op, time);
        }
    }

    /// A request that a device took up where nothing pauses is over at `time` or later.
    pub(super) fn note_done_not_before(&mut self, name: (u32, u64), time: Picoseconds) {
        let unit = self.unit_of(name.0);
        if let Some(taken_up) = self.units[unit].taken_up.of(name) {
            taken_up.over_from = taken_up.over_from.max(time);
        }
    }

    /// A request that a device took up where nothing pauses is over at `time`.
    pub(super) fn note_done(&mut self, name: (u32, u64), time: Picoseconds) {
        let unit = self.unit_of(name.0);
        if let Some(taken_up) = self.units[unit].taken_up.of(name) {
            taken_up.over_from = taken_up.over_from.max(time);
            taken_up.is_over = true;
            taken_up.in_device = false;
        }
    }
}
