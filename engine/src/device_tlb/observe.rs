//! Who watches a device that looks its DMAs up. It is compiled once for runs that nobody watches, which pay nothing
//! for what others can see, and once for all others.

use super::components::Leaving;
use crate::gate::Eligible;
use crate::silence::PauseHistory;
use crate::translation::Unobserved;
use crate::units::Picoseconds;

/// A request that a device takes up next, and what bounds when.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// Since when it is eligible.
    pub since: Picoseconds,
    /// The device's rate limit lets it be taken up from this time on.
    pub rate: Picoseconds,
    /// There is a slot of the adapter from this time on; `Picoseconds::MAX` where that is not known.
    pub slot: Picoseconds,
}

/// Watches a device, in the order of time.
pub trait ObserveDevice {
    /// Whether it sees anything.
    const ON: bool;

    /// No TLP waited for the link up to `until`, only the request that is next, if there is one.
    fn note_wait(&mut self, _next: Option<Waiting>, _until: Picoseconds) {}

    /// A request intended at `intended` is taken up at `time`; these are the pauses of its VF, where there are any.
    fn take_up(
        &mut self,
        _next: &Eligible,
        _intended: Picoseconds,
        _time: Picoseconds,
        _pauses: Option<&PauseHistory>,
    ) {
    }

    /// The answer to the translation request of the DMA in `row` is back at `time`.
    fn answer(&mut self, _row: u32, _time: Picoseconds) {}

    /// A TLP starts at `start` on a link that was free from `free_at` on, and arrives at `arrival`.
    fn leave(
        &mut self,
        _leaving: &Leaving,
        _free_at: Picoseconds,
        _start: Picoseconds,
        _arrival: Picoseconds,
    ) {
    }
}

impl ObserveDevice for Unobserved {
    const ON: bool = false;
}
