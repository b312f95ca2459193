//! Replacement policies of the IOTLB.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;

/// `iommu.iotlb.replacement`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplacementPolicy {
    /// lru
    #[default]
    Lru,
    /// fifo
    Fifo,
    /// plru
    Plru,
    /// random
    Random,
}

impl ReplacementPolicy {
    /// Checks that the policy can rule `ways` ways.
    ///
    /// # Errors
    /// Says why not.
    pub fn validate(self, ways: u32) -> Result<(), SpecError> {
        if self == Self::Plru && !ways.is_power_of_two() {
            return Err(SpecError::new(
                "iommu.iotlb.ways",
                format!("is {ways}; the tree of \"plru\" needs a power of two"),
            ));
        }
        Ok(())
    }
}
