//! `[escape]`: the host's filter of escapes.

use serde::{Deserialize, Serialize};

use super::decision::FilterPolicy;
use super::kernel::EscapeTimes;
use super::known::{KNOWN_ESCAPES, KnownEscapes, Wddm};
use super::packet::PAYLOAD_BYTES_MAX;
use crate::error::SpecError;
use crate::units::Picoseconds;

/// `[escape]`: the filter that escapes pass on their way to the driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EscapeSpec {
    /// Most bytes of a guest's payload. Default 131,008: what a message of the VMBus holds (Linux, dxgkrnl).
    pub max_payload_bytes: u32,
    /// The version of the driver model, which says what known escapes there are. Default `"3.2"`.
    pub wddm: Wddm,
    /// Bytes of the payload of the known escape BUILDTESTCOMMANDBUFFER, which are not documented. Left out:
    /// there is no such escape. Needs `wddm = "3.2"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_test_command_buffer_bytes: Option<u32>,
    /// Whether processes of the host may send the types that are for testing. Default false.
    pub allow_test_types: bool,
    /// What the host takes to copy a packet and to judge it, one after another for each adapter, in
    /// nanoseconds. Default 1,000 (modelled).
    pub filter_ns: f64,
    /// How long an allowed escape that touches hardware is in the driver, in microseconds: with an idle GPU and alone,
    /// so that its adapter stalls for it. Default 100 (modelled).
    pub hardware_access_us: f64,
    /// How long any other allowed escape is in the driver, in microseconds; any number may be at a time. An exclusive
    /// window's Begin waits for them, and one that touches hardware. Default 5 (modelled).
    pub driver_us: f64,
    /// Allowed packets that may wait for the driver of an adapter; beyond that they wait with their senders.
    /// Default 256 (modelled).
    pub waiting_packets: u32,
}

impl Default for EscapeSpec {
    fn default() -> Self {
        Self {
            max_payload_bytes: PAYLOAD_BYTES_MAX,
            wddm: Wddm::new(3, 2),
            build_test_command_buffer_bytes: None,
            allow_test_types: false,
            filter_ns: 1_000.0,
            hardware_access_us: 100.0,
            driver_us: 5.0,
            waiting_packets: 256,
        }
    }
}

impl EscapeSpec {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("escape.max_payload_bytes", self.max_payload_bytes, 0, PAYLOAD_BYTES_MAX)?;
        SpecError::in_range("escape.filter_ns", self.filter_ns, 0.0, 1e9)?;
        SpecError::in_range("escape.hardware_access_us", self.hardware_access_us, 0.0, 1e9)?;
        SpecError::in_range("escape.driver_us", self.driver_us, 0.0, 1e9)?;
        SpecError::in_range("escape.waiting_packets", self.waiting_packets, 1, 1 << 20)?;
        let Some(bytes) = self.build_test_command_buffer_bytes else { return Ok(()) };
        let key = "escape.build_test_command_buffer_bytes";
        let [.., undocumented] = KNOWN_ESCAPES;
        if self.wddm < undocumented.since {
            return Err(SpecError::new(
                key,
                format!("needs `escape.wddm = \"{}\"`; it is \"{}\"", undocumented.since, self.wddm),
            ));
        }
        SpecError::in_range(key, bytes, 8, PAYLOAD_BYTES_MAX)
    }

    /// The known escapes there are.
    #[must_use]
    pub fn known_escapes(&self) -> KnownEscapes {
        KnownEscapes::of(self.wddm, self.build_test_command_buffer_bytes)
    }

    /// What the filter is set to.
    #[must_use]
    pub fn policy(&self) -> FilterPolicy {
        FilterPolicy {
            max_payload_bytes: self.max_payload_bytes,
            allow_test_types: self.allow_test_types,
            known: self.known_escapes(),
        }
    }

    /// How long things take.
    #[must_use]
    pub fn times(&self) -> EscapeTimes {
        EscapeTimes {
            filter: Picoseconds::from_ns_f64(self.filter_ns),
            driver: Picoseconds::from_ns_f64(self.driver_us * 1e3),
            hardware_access: Picoseconds::from_ns_f64(self.hardware_access_us * 1e3),
            waiting_max: self.waiting_packets as usize,
        }
    }
}
