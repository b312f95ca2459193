//! The states of a VF.

use thiserror::Error;

/// The state of a VF (facts of WDDM's names; their order is modelled).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum VfState {
    /// There is a VF for a VM that comes.
    Created,
    /// Its device is on the bus of the VM.
    BusBound,
    /// It has its registers and memory.
    Resourced,
    /// It has its domain.
    Attached,
    /// Its VM uses it.
    #[default]
    Running,
    /// Its VM is being moved.
    Paused,
    /// Its function is reset.
    Resetting,
    /// It has no domain any more.
    PoweredDown,
    /// Nothing of its VM is left.
    Destroyed,
    /// Something failed.
    Faulted,
    /// It cannot be trusted, and gets nothing.
    Quarantined,
}

/// A VF cannot go from one state to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a VF that is {from:?} cannot become {to:?}")]
pub struct IllegalTransition {
    /// Its state.
    pub from: VfState,
    /// The state it was to have.
    pub to: VfState,
}

impl VfState {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Created,
        Self::BusBound,
        Self::Resourced,
        Self::Attached,
        Self::Running,
        Self::Paused,
        Self::Resetting,
        Self::PoweredDown,
        Self::Destroyed,
        Self::Faulted,
        Self::Quarantined,
    ];

    /// Its name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::BusBound => "bus_bound",
            Self::Resourced => "resourced",
            Self::Attached => "attached",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Resetting => "resetting",
            Self::PoweredDown => "powered_down",
            Self::Destroyed => "destroyed",
            Self::Faulted => "faulted",
            Self::Quarantined => "quarantined",
        }
    }

    /// The states that may follow, but for [`VfState::Faulted`], which may follow any other.
    fn followers(self) -> &'static [Self] {
        match self {
            Self::Created => &[Self::BusBound],
            Self::BusBound => &[Self::Resourced],
            Self::Resourced => &[Self::Attached],
            Self::Attached => &[Self::Running],
            Self::Running => &[Self::Paused, Self::Resetting],
            Self::Paused => &[Self::Running, Self::Resetting],
            Self::Resetting => &[Self::PoweredDown],
            Self::PoweredDown => &[Self::Destroyed],
            Self::Destroyed => &[Self::Created],
            Self::Faulted => &[Self::Resetting, Self::Quarantined],
            Self::Quarantined => &[],
        }
    }

    /// The VF goes on to `to`.
    ///
    /// # Errors
    /// If that cannot follow.
    pub fn go_on(self, to: Self) -> Result<Self, IllegalTransition> {
        let fails = to == Self::Faulted && !matches!(self, Self::Faulted | Self::Quarantined);
        if fails || self.followers().contains(&to) {
            Ok(to)
        } else {
            Err(IllegalTransition { from: self, to })
        }
    }
}
