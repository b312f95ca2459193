//! Turns that go round among VFs with something to send.

use std::collections::BTreeSet;

use crate::units::Picoseconds;

/// The slice that a VF has, or had last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The VF, by its index within the adapter.
    pub vf: u32,
    /// From when it may send: the world switch before it is over.
    pub from: Picoseconds,
    /// Until when, at most.
    pub until: Picoseconds,
}

/// Who has the adapter, and since when it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// The longest slice.
    pub slice: Picoseconds,
    /// A world switch, before the slice of a VF that did not have the last one.
    pub switch: Picoseconds,
    /// Whose slice it is.
    pub current: Option<Served>,
    /// Who had the last one.
    pub last: Option<u32>,
    /// Everything before this instant is decided; at it somebody is to be chosen, or to go on.
    pub clock: Picoseconds,
    /// The VFs with something to send, by their indices within the adapter.
    pub with_work: BTreeSet<u32>,
}

impl Dispatch {
    /// Slices of this length, with a world switch between those of two VFs.
    #[must_use]
    pub fn new(slice: Picoseconds, switch: Picoseconds) -> Self {
        Self {
            slice,
            switch,
            current: None,
            last: None,
            clock: Picoseconds::ZERO,
            with_work: BTreeSet::new(),
        }
    }

    /// The next slice goes to the first VF with work behind the last one, in the order of VFs, and round again.
    pub fn choose(&mut self) -> Option<Served> {
        let first = self.last.map_or(0, |last| last + 1);
        let vf = *self.with_work.range(first..).next().or_else(|| self.with_work.first())?;
        let is_new = self.last.is_some_and(|last| last != vf);
        let from = self.clock + if is_new { self.switch } else { Picoseconds::ZERO };
        self.current = Some(Served { vf, from, until: from.saturating_add(self.slice) });
        self.last = Some(vf);
        self.current
    }
}
