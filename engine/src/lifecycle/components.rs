//! The state of a VF's lifecycle, on the VF.

use bevy_ecs::component::Component;

use super::states::VfState;
use crate::units::Picoseconds;

/// Which state a VF is in, as far as its switches are over.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
pub struct VfLifecycle {
    /// The state.
    pub state: VfState,
    /// Since when.
    pub since: Picoseconds,
}

impl VfLifecycle {
    /// At the beginning: with a VM that runs, or none.
    #[must_use]
    pub fn new(begins_up: bool) -> Self {
        let state = if begins_up { VfState::Running } else { VfState::Destroyed };
        Self { state, since: Picoseconds::ZERO }
    }

    /// The VF goes through states one after the other, each entered at a time, or when it was in the one before. Returns when.
    ///
    /// # Panics
    /// If one cannot follow the other.
    pub fn go_through<const N: usize>(
        &mut self,
        states: [(Picoseconds, VfState); N],
    ) -> [(Picoseconds, VfState); N] {
        states.map(|(time, state)| {
            self.state = self.state.go_on(state).unwrap_or_else(|error| panic!("{error}"));
            self.since = self.since.max(time);
            (self.since, state)
        })
    }
}
