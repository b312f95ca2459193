//! Host memory, as a translated DMA meets it.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;

/// `[memory]`: constant latencies of host memory and of the root complex.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySpec {
    /// From the end of a read's translation to its data at the root port, in nanoseconds. Default 150 (modelled).
    pub read_ns: f64,
    /// From the end of a write's translation until memory holds it, in nanoseconds. Default 100 (modelled).
    pub write_ns: f64,
    /// From a read's fault to its unsupported-request completion at the root port, in nanoseconds. Default 20 (modelled).
    pub unsupported_request_ns: f64,
}

impl Default for MemorySpec {
    fn default() -> Self {
        Self { read_ns: 150.0, write_ns: 100.0, unsupported_request_ns: 20.0 }
    }
}

impl MemorySpec {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("memory.read_ns", self.read_ns, 0.0, 1e6)?;
        SpecError::in_range("memory.write_ns", self.write_ns, 0.0, 1e6)?;
        SpecError::in_range("memory.unsupported_request_ns", self.unsupported_request_ns, 0.0, 1e6)
    }
}
