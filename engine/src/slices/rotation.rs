//! Turns that go round by the clock.

use crate::units::Picoseconds;

/// A slice of a VF: from its first instant up to `until`, which is no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Which of the VF's it is, counted from 0.
    pub number: u64,
    /// Its first instant.
    pub from: Picoseconds,
    /// The first behind it; `Picoseconds::MAX` where no other VF is ever served.
    pub until: Picoseconds,
}

/// Slots that have their turns one after the other, from time 0 on. A turn is a world switch, in which nobody sends, and a
/// slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    slots: u64,
    /// The slot of each VF of the adapter that has one.
    slot_of: Vec<Option<u64>>,
    slice: Picoseconds,
    switch: Picoseconds,
}

impl Rotation {
    /// So many slots, one for each VF that is `present`, in their order, and the others behind them empty. Where there is one
    /// slot nothing is ever switched.
    ///
    /// # Panics
    /// If there are fewer slots than VFs, or slices of no length.
    #[must_use]
    pub fn new(present: &[bool], slots: u64, slice: Picoseconds, switch: Picoseconds) -> Self {
        let mut taken = 0;
        let mut slot = |present: &bool| {
            taken += u64::from(*present);
            present.then_some(taken - 1)
        };
        let slot_of: Vec<_> = present.iter().map(&mut slot).collect();
        assert!(taken <= slots && slice > Picoseconds::ZERO, "a slot for each VF");
        let switch = if slots > 1 { switch } else { Picoseconds::ZERO };
        Self { slots, slot_of, slice, switch }
    }

    fn turn(&self) -> u64 {
        (self.slice + self.switch).0
    }

    /// From a slice of a VF to its next.
    fn period(&self) -> u64 {
        self.slots.saturating_mul(self.turn())
    }

    /// When the first slice of a VF begins, by its index within the adapter.
    fn first(&self, vf: u32) -> u64 {
        let slot = self.slot_of[vf as usize].expect("a VF that is there");
        slot * self.turn() + self.switch.0
    }

    /// The slice of a VF that is under way at `time`, or its next.
    #[must_use]
    pub fn slice_at(&self, vf: u32, time: Picoseconds) -> Slice {
        let (first, period) = (self.first(vf), self.period());
        let behind = time.0.saturating_sub(first);
        let begun = behind / period;
        let is_over = behind % period >= self.slice.0;
        let number = begun + u64::from(is_over);
        if self.slots == 1 {
            return Slice { number, from: Picoseconds::ZERO, until: Picoseconds::MAX };
        }
        let from = Picoseconds(number.saturating_mul(period).saturating_add(first));
        Slice { number, from, until: from.saturating_add(self.slice) }
    }

    /// How long a VF had no slice until `time`.
    #[must_use]
    pub fn away_until(&self, vf: u32, time: Picoseconds) -> Picoseconds {
        let behind = time.0.saturating_sub(self.first(vf));
        let own = behind / self.period() * self.slice.0 + (behind % self.period()).min(self.slice.0);
        time - Picoseconds(own)
    }

    /// How many slices of a VF begin before `time`.
    #[must_use]
    pub fn begun_before(&self, vf: u32, time: Picoseconds) -> u64 {
        if self.slot_of[vf as usize].is_none() {
            return 0;
        }
        let behind = time.0.saturating_sub(self.first(vf));
        behind.div_ceil(self.period())
    }

    /// When a slice begins, by its VF and number.
    #[must_use]
    pub fn begins_at(&self, vf: u32, number: u64) -> Picoseconds {
        Picoseconds(self.first(vf) + number * self.period())
    }
}
