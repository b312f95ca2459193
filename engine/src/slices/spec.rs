//! Who may send when.

use serde::{Deserialize, Serialize};

/// How the VFs of an adapter share it in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchedulerPolicy {
    /// All send at once, as the queues of SR-IOV let them.
    #[default]
    Concurrent,
    /// Each of a fixed number of slots has its turn, whether it has a VF or not.
    FixedShare,
    /// Each VF that is there has its turn, whether it has work or not.
    EqualShare,
    /// The turn goes to the next VF with work.
    BestEffort,
}

impl SchedulerPolicy {
    /// Whether VFs send in turn.
    #[must_use]
    pub fn has_slices(self) -> bool {
        self != Self::Concurrent
    }

    /// Whether the clock alone says whose turn it is.
    #[must_use]
    pub fn goes_by_the_clock(self) -> bool {
        matches!(self, Self::FixedShare | Self::EqualShare)
    }

    /// Its name in a scenario.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Concurrent => "concurrent",
            Self::FixedShare => "fixed_share",
            Self::EqualShare => "equal_share",
            Self::BestEffort => "best_effort",
        }
    }
}
