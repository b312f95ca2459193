//! The PCIe link of an adapter and the rate limits of its device.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;

/// `[link]`: PCIe between an adapter and its IOMMU, one FIFO server a direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkSpec {
    /// PCIe generation, 1 to 5. Default 4.
    pub generation: u8,
    /// Lanes: 1, 2, 4, 8 or 16. Default 16.
    pub lanes: u8,
    /// Maximum payload size of a TLP in bytes: 128 to 4,096, a power of two. Default 256 (common on servers).
    pub mps: u32,
    /// Maximum read request size in bytes: 128 to 4,096, a power of two. Default 512 (PCIe's own default).
    pub mrrs: u32,
    /// Read completion boundary in bytes, 64 or 128: every completion of a read but its last ends at a multiple of it, so that one from
    /// an address that is none may need one more. No default: completions are counted by the read's length alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rcb: Option<u32>,
    /// Most data of a completion in bytes: 64 to `mps`, a power of two, no less than `rcb`. Default `mps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_bytes: Option<u32>,
    /// Bytes added to a memory write or read request, framing included. Default 24 (64-bit addresses, no ECRC).
    pub tlp_header_bytes: u32,
    /// Bytes added to a completion, framing included. Default 20.
    pub completion_header_bytes: u32,
    /// Share of the coded bandwidth left to TLPs by flow control and acknowledgements.
    /// Default 0.9185 (57.88 of 63.02 Gb/s on Gen3 x8, pcie-bench).
    pub tlp_share: f64,
    /// One way through wires, switches and PHYs in nanoseconds. Default 100 (modelled).
    pub propagation_ns: f64,
    /// Requests an adapter may have sent that the IOMMU has not yet taken up; a spent credit comes
    /// back one propagation after its request is taken up. Default 256 (modelled).
    pub flow_credits: u32,
}

impl Default for LinkSpec {
    fn default() -> Self {
        Self {
            generation: 4,
            lanes: 16,
            mps: 256,
            mrrs: 512,
            rcb: None,
            completion_bytes: None,
            tlp_header_bytes: 24,
            completion_header_bytes: 20,
            tlp_share: 0.9185,
            propagation_ns: 100.0,
            flow_credits: 256,
        }
    }
}

impl LinkSpec {
    /// Bandwidth after line coding, in gigabits a second a direction.
    #[must_use]
    pub fn coded_gbps(&self) -> f64 {
        let lane = match self.generation {
            1 => 2.5 * 0.8,
            2 => 5.0 * 0.8,
            3 => 8.0 * 128.0 / 130.0,
            4 => 16.0 * 128.0 / 130.0,
            _ => 32.0 * 128.0 / 130.0,
        };
        lane * f64::from(self.lanes)
    }

    /// Bandwidth left to TLPs, in gigabits a second a direction.
    #[must_use]
    pub fn tlp_gbps(&self) -> f64 {
        self.coded_gbps() * self.tlp_share
    }

    /// Most data of a completion, in bytes: it carries no more than its request asked for.
    #[must_use]
    pub fn completion_payload(&self) -> u32 {
        self.completion_bytes.unwrap_or(self.mps).min(self.mrrs)
    }

    fn validate_completions(&self) -> Result<(), SpecError> {
        if let Some(rcb) = self.rcb
            && ![64, 128].contains(&rcb)
        {
            return Err(SpecError::new("link.rcb", format!("is {rcb}; it must be 64 or 128")));
        }
        let Some(bytes) = self.completion_bytes else { return Ok(()) };
        SpecError::in_range("link.completion_bytes", bytes, self.rcb.unwrap_or(64), self.mps)?;
        if bytes.is_power_of_two() {
            return Ok(());
        }
        Err(SpecError::new("link.completion_bytes", format!("is {bytes}; it must be a power of two")))
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("link.generation", self.generation, 1, 5)?;
        if ![1, 2, 4, 8, 16].contains(&self.lanes) {
            return Err(SpecError::new(
                "link.lanes",
                format!("is {}; it must be 1, 2, 4, 8 or 16", self.lanes),
            ));
        }
        for (key, bytes) in [("link.mps", self.mps), ("link.mrrs", self.mrrs)] {
            SpecError::in_range(key, bytes, 128, 4_096)?;
            if !bytes.is_power_of_two() {
                return Err(SpecError::new(key, format!("is {bytes}; it must be a power of two")));
            }
        }
        self.validate_completions()?;
        SpecError::in_range("link.tlp_header_bytes", self.tlp_header_bytes, 12, 64)?;
        SpecError::in_range("link.completion_header_bytes", self.completion_header_bytes, 12, 64)?;
        SpecError::in_range("link.tlp_share", self.tlp_share, 0.1, 1.0)?;
        SpecError::in_range("link.propagation_ns", self.propagation_ns, 0.0, 1e6)?;
        SpecError::in_range("link.flow_credits", self.flow_credits, 1, 65_536)
    }
}

/// `device.retire`: the order in which an adapter's requests retire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retire {
    /// A request retires when it is done, whatever was issued before it.
    #[default]
    OutOfOrder,
    /// A request retires when it and all that were issued before it are done.
    InOrder,
}

/// `device.write_order`: whether a write may overtake one of its VF in the IOMMU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteOrder {
    /// Each reaches memory when it is translated, as with PCIe's relaxed ordering.
    #[default]
    Relaxed,
    /// None reaches memory before those that its VF sent before it, as PCIe's posted writes do without; until
    /// they are translated it keeps its flow credit.
    InOrder,
}

/// `[device]`: limits of the adapter itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceSpec {
    /// Requests an adapter may have under way, from their issue until they retire; 0 for no limit. Default 0.
    pub outstanding: u32,
    /// Whether requests retire in the order of their issue: `in_order` or `out_of_order`. A read is done
    /// when its data is back, a write when it has left the device. Default `out_of_order`.
    pub retire: Retire,
    /// Whether a write that waits for a walk holds up later writes of its VF: `in_order`, or `relaxed`.
    /// Default `relaxed` (PCIe's relaxed ordering, which GPUs and NICs ask for).
    pub write_order: WriteOrder,
    /// Reads an adapter may have under way; a read without a tag holds up what is behind it.
    /// Default 768 (10-bit tags, PCIe 4.0).
    pub read_tags: u32,
    /// Most reads the device starts, in millions a second; 0 for no limit. Default 0.
    pub max_read_mops: f64,
    /// Most writes the device starts, in millions a second; 0 for no limit. Default 0.
    pub max_write_mops: f64,
}

impl Default for DeviceSpec {
    fn default() -> Self {
        Self {
            outstanding: 0,
            retire: Retire::OutOfOrder,
            write_order: WriteOrder::Relaxed,
            read_tags: 768,
            max_read_mops: 0.0,
            max_write_mops: 0.0,
        }
    }
}

impl DeviceSpec {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("device.outstanding", self.outstanding, 0, 65_536)?;
        SpecError::in_range("device.read_tags", self.read_tags, 1, 65_536)?;
        for (key, mops) in
            [("device.max_read_mops", self.max_read_mops), ("device.max_write_mops", self.max_write_mops)]
        {
            if mops != 0.0 {
                SpecError::in_range(key, mops, 1e-6, 1e6)?;
            }
        }
        Ok(())
    }
}
