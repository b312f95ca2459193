//! What faults and hangs do to a host.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;
use crate::units::Picoseconds;

/// What a fault does to the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFault {
    /// It is recorded, and the host goes on, as Linux and a running WDDM host do.
    #[default]
    Record,
    /// It ends the host: a bug check.
    Bugcheck,
}

/// `[host]`: what faults and hangs do to hosts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostSpec {
    /// What a blocked DMA does: `record` or `bugcheck`. Default `record`.
    pub on_fault: OnFault,
    /// What a DMA does that meets its domain in the middle of a switch. Default `bugcheck` (WDDM: the table in between is not
    /// guaranteed to translate correctly).
    pub on_switch_fault: OnFault,
    /// What more preemption requests that are not answered do than `failures.tdr_limit` within `failures.tdr_limit_us`. Default
    /// `bugcheck` (WDDM: `TdrLimitCount`).
    pub on_hangs: OnFault,
    /// From a bug check until the host is up again, in microseconds. Left out, the host stays down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot_us: Option<f64>,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self {
            on_fault: OnFault::Record,
            on_switch_fault: OnFault::Bugcheck,
            on_hangs: OnFault::Bugcheck,
            reboot_us: None,
        }
    }
}

impl HostSpec {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        self.reboot_us.map_or(Ok(()), |us| SpecError::in_range("host.reboot_us", us, 0.001, 1e12))
    }

    /// How long a host is down; for good where that is `Picoseconds::MAX`.
    #[must_use]
    pub fn reboot(&self) -> Picoseconds {
        self.reboot_us.map_or(Picoseconds::MAX, |us| Picoseconds::from_ns_f64(us * 1e3))
    }
}
