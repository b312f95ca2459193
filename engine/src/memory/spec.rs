//! Host memory, as a translated DMA meets it.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;
use crate::link::{LinkSpec, WireTimes};
use crate::request::{Op, Transfer};
use crate::units::Picoseconds;

/// `[memory]`: constant latencies of host memory and of the root complex.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySpec {
    /// From the end of a read's translation to its data at the root port, in nanoseconds; excludes
    /// `base_read_ns`. Default 150 (modelled).
    pub read_ns: f64,
    /// What a lone 64-byte read whose translation is cached takes from its issue to its completion, in
    /// nanoseconds: what a device measures. [`MemorySpec::derive_read_ns`] turns it into `read_ns`. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_read_ns: Option<f64>,
    /// From the end of a write's translation until memory holds it, in nanoseconds. Default 100 (modelled).
    pub write_ns: f64,
    /// From a read's fault to its unsupported-request completion at the root port, in nanoseconds. Default 20 (modelled).
    pub unsupported_request_ns: f64,
    /// The last-level cache that the data lies in, or not; off by default.
    pub llc: LlcSpec,
}

impl Default for MemorySpec {
    fn default() -> Self {
        Self {
            read_ns: 150.0,
            base_read_ns: None,
            write_ns: 100.0,
            unsupported_request_ns: 20.0,
            llc: LlcSpec::default(),
        }
    }
}

impl MemorySpec {
    /// Bytes of the read that `base_read_ns` speaks of.
    pub const BASE_READ_BYTES: u32 = 64;

    /// Sets `read_ns` to what `base_read_ns`, if it is given, leaves to memory behind this link and an IOTLB
    /// that answers in `hit_ns`, and takes `base_read_ns` away. Exact to the picosecond.
    ///
    /// # Errors
    /// Link or IOTLB cannot be built; `base_read_ns` is out of range, or less than they take alone.
    pub fn derive_read_ns(&mut self, link: &LinkSpec, hit_ns: f64) -> Result<(), SpecError> {
        let Some(base_ns) = self.base_read_ns.take() else { return Ok(()) };
        link.validate()?;
        SpecError::in_range("iommu.iotlb.hit_ns", hit_ns, 0.0, 1e6)?;
        SpecError::in_range("memory.base_read_ns", base_ns, 0.0, 1e6)?;
        let wires = WireTimes::new(link);
        let read = Transfer { length_bytes: Self::BASE_READ_BYTES, op: Op::Read };
        let there = wires.upstream(read) + wires.propagation;
        let back = wires.downstream(Self::BASE_READ_BYTES, true) + wires.propagation;
        let least = there + Picoseconds::from_ns_f64(hit_ns) + back;
        let base = Picoseconds::from_ns_f64(base_ns);
        if base < least {
            return Err(SpecError::new(
                "memory.base_read_ns",
                format!("is {base_ns}; link and IOTLB alone take {}, the least it can be", least.as_ns_f64()),
            ));
        }
        self.read_ns = (base - least).as_ns_f64();
        Ok(())
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built; `base_read_ns` while nothing was derived from it.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.base_read_ns.is_some() {
            return Err(SpecError::new("memory.base_read_ns", "must be turned into `memory.read_ns` first"));
        }
        SpecError::in_range("memory.read_ns", self.read_ns, 0.0, 1e6)?;
        SpecError::in_range("memory.write_ns", self.write_ns, 0.0, 1e6)?;
        SpecError::in_range("memory.unsupported_request_ns", self.unsupported_request_ns, 0.0, 1e6)?;
        self.llc.validate()
    }
}

/// `[memory.llc]`: the last-level cache of a host, as its devices' DMAs meet it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LlcSpec {
    /// Bytes it holds, a multiple of 64 x `ways`; 0 for none: every read then takes `read_ns`. Default 0.
    pub bytes: u64,
    /// Lines a set. Default 16 (modelled).
    pub ways: u32,
    /// What a read takes longer whose data is not all cached, in nanoseconds. Default 60 (modelled).
    pub miss_ns: f64,
}

impl Default for LlcSpec {
    fn default() -> Self {
        Self { bytes: 0, ways: 16, miss_ns: 60.0 }
    }
}

impl LlcSpec {
    /// Bytes of a line.
    pub const LINE_BYTES: u64 = 64;

    /// Sets; none where there is no cache.
    #[must_use]
    pub fn sets(&self) -> u32 {
        (self.bytes / (Self::LINE_BYTES * u64::from(self.ways))) as u32
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("memory.llc.bytes", self.bytes, 0, 1 << 34)?;
        SpecError::in_range("memory.llc.ways", self.ways, 1, 64)?;
        let set_bytes = Self::LINE_BYTES * u64::from(self.ways);
        if !self.bytes.is_multiple_of(set_bytes) {
            let problem = format!("is {}, which is no multiple of a set's {set_bytes} bytes", self.bytes);
            return Err(SpecError::new("memory.llc.bytes", problem));
        }
        SpecError::in_range("memory.llc.miss_ns", self.miss_ns, 0.0, 1e6)
    }
}
