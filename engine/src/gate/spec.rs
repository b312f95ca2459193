//! The queues between a tenant and its adapter's link, and whose turn it is.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;
use crate::slices::SchedulerPolicy;
use crate::units::Picoseconds;

/// `[scheduler]`: what waits where before it may issue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulerSpec {
    /// Requests a VF's queue holds; a full queue stalls its source. Default 64 (modelled).
    pub vf_queue_entries: u32,
    /// Requests a VF may have under way, from their issue until they retire; 0 for no limit. Default 0.
    pub vf_outstanding: u32,
    /// Whether VFs send at once (`concurrent`) or in slices of time: `fixed_share`, `equal_share`, `best_effort`. Default
    /// `concurrent`.
    pub policy: SchedulerPolicy,
    /// How long a slice is, in microseconds. Left out: 2,000 up to 8 VFs, or slots, 1,000 above (NVIDIA vGPU).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slice_us: Option<f64>,
    /// Slots of an adapter with `fixed_share`. Left out: its VFs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// How long a world switch from one VF to another takes, in which nobody sends, in microseconds. Default 0 (modelled).
    pub switch_us: f64,
}

impl Default for SchedulerSpec {
    fn default() -> Self {
        Self {
            vf_queue_entries: 64,
            vf_outstanding: 0,
            policy: SchedulerPolicy::Concurrent,
            slice_us: None,
            partitions: None,
            switch_us: 0.0,
        }
    }
}

impl SchedulerSpec {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("scheduler.vf_queue_entries", self.vf_queue_entries, 1, 65_536)?;
        SpecError::in_range("scheduler.vf_outstanding", self.vf_outstanding, 0, 65_536)?;
        if let Some(slice_us) = self.slice_us {
            SpecError::in_range("scheduler.slice_us", slice_us, 0.001, 1e6)?;
        }
        SpecError::in_range("scheduler.switch_us", self.switch_us, 0.0, 1e6)
    }

    /// Checks that `vfs` VFs an adapter find a slot.
    ///
    /// # Errors
    /// If there are fewer slots.
    pub fn validate_slots(&self, vfs: u32) -> Result<(), SpecError> {
        match self.partitions {
            Some(partitions) => SpecError::in_range("scheduler.partitions", partitions, vfs, 65_536),
            None => Ok(()),
        }
    }

    /// The slots of an adapter of so many VFs.
    #[must_use]
    pub fn slots(&self, vfs: u32) -> u32 {
        self.partitions.filter(|_| self.policy == SchedulerPolicy::FixedShare).unwrap_or(vfs)
    }

    /// How long a slice is, on an adapter of so many VFs.
    #[must_use]
    pub fn slice(&self, vfs: u32) -> Picoseconds {
        let default = if self.slots(vfs) <= 8 { 2_000.0 } else { 1_000.0 };
        Picoseconds::from_ns_f64(self.slice_us.unwrap_or(default) * 1e3)
    }

    /// How long a world switch takes.
    #[must_use]
    pub fn switch(&self) -> Picoseconds {
        Picoseconds::from_ns_f64(self.switch_us * 1e3)
    }
}
