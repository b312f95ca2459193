//! The queues between a tenant and its adapter's link.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;

/// `[scheduler]`: what waits where before it may issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulerSpec {
    /// Requests a VF's queue holds; a full queue stalls its source. Default 64 (modelled).
    pub vf_queue_entries: u32,
    /// Requests a VF may have under way, from their issue until they retire; 0 for no limit. Default 0.
    pub vf_outstanding: u32,
}

impl Default for SchedulerSpec {
    fn default() -> Self {
        Self { vf_queue_entries: 64, vf_outstanding: 0 }
    }
}

impl SchedulerSpec {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("scheduler.vf_queue_entries", self.vf_queue_entries, 1, 65_536)?;
        SpecError::in_range("scheduler.vf_outstanding", self.vf_outstanding, 0, 65_536)
    }
}
