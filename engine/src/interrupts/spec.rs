//! What interrupts devices raise.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;

/// `[interrupts]`: what interrupts devices raise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InterruptsSpec {
    /// Vertical syncs of an adapter a second, an MSI each; 0 for none. Default 0.
    pub vsync_hz: f64,
    /// Completions of a VF for which it raises one MSI; 0 for none. Default 0.
    pub completions_per_msi: u32,
}

impl InterruptsSpec {
    /// Whether any are raised.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.vsync_hz > 0.0 || self.completions_per_msi > 0
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("interrupts.vsync_hz", self.vsync_hz, 0.0, 1e6)?;
        SpecError::in_range("interrupts.completions_per_msi", self.completions_per_msi, 0, 1_000_000_000)
    }
}
