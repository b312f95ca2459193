//! Invalidations of device TLBs: the command is complete when the device has answered.
//!
//! A device answers when a time has passed and everything is over that those who are silent with it had taken up: it may
//! use until then what it has translated (PCIe: an invalidation is complete when no request with the old translation is
//! under way).

use super::kernel::Control;
use crate::silence::DeviceInvalidation;
use crate::units::Picoseconds;

impl Control {
    /// Carries out the invalidation of the device TLBs of a VF's domain: they hear of it, and answer later.
    pub(super) fn invalidate_device_tlbs(&mut self, now: Picoseconds, command: u64, vf: u32) {
        let answers_from = (now + self.device_tlb_cost).max(self.drained_at);
        let is_missed = self.misses(command);
        self.turns.push(command, None);
        self.turns.not_before(command, answers_from);
        let switches = self.switches();
        let operation = switches.operation(vf);
        operation.not_before = answers_from;
        let heard_at = now + Picoseconds(1);
        operation.device = DeviceInvalidation::Awaited { heard_at, answers_from };
        if !is_missed {
            switches.invalidate_device_tlbs(vf, now);
        }
    }

    /// When the device heard of the invalidation of its TLB, for the switch of a VF's domain, if it has still to answer.
    pub fn device_heard_at(&mut self, vf: u32) -> Option<Picoseconds> {
        match self.switches().operation(vf).device {
            DeviceInvalidation::Awaited { heard_at, .. } => Some(heard_at),
            DeviceInvalidation::Over | DeviceInvalidation::ToCome { .. } => None,
        }
    }

    /// The device answers to it once everything is over that the VF's unit had taken up: at the first time of `done` or later;
    /// then, where the second says so. Returns before which time no answer comes that is not known.
    pub fn await_device(&mut self, vf: u32, done: Option<(Picoseconds, bool)>) -> Picoseconds {
        let operation = self.switches().operation(vf);
        let answers_from = match operation.device {
            DeviceInvalidation::Over => return Picoseconds::MAX,
            DeviceInvalidation::ToCome { answers_from, .. } => return answers_from,
            DeviceInvalidation::Awaited { answers_from, .. } => answers_from,
        };
        let (over_from, is_known) = done.expect("it is awaited");
        // Nothing is the cause of what was before it.
        let time = answers_from.max(over_from.saturating_add(Picoseconds(1)));
        operation.not_before = time;
        let command = operation.last_command.expect("it was carried out");
        if is_known {
            operation.device = DeviceInvalidation::Over;
            self.turns.know(command, time);
            self.complete_known();
            return Picoseconds::MAX;
        }
        self.turns.not_before(command, time);
        time
    }

    /// No step of the switch of a VF's domain that is to come is before this time.
    #[must_use]
    pub fn switch_goes_on_from(&mut self, vf: u32) -> Picoseconds {
        let operation = *self.switches().operation(vf);
        let in_turn = operation.last_command.map_or(Picoseconds::ZERO, |last| self.turns.earliest(last));
        operation.not_before.max(in_turn)
    }
}
