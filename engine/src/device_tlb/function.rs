//! The functions of an adapter, as far as ATS is concerned: which may use it, and which forge what it carries.
//!
//! A translated request is marked as such in the TLP, and the IOMMU lets it pass by its mark alone (PCI Express Base
//! Specification, Address Translation Services). Whether a function may send any is a bit of its context entry (Intel
//! VT-d specification: Translation Type, Device-TLB Enable; Arm SMMUv3: `STE.EATS`): where it is off, translated
//! requests are blocked. An honest function whose ATS is off sends every DMA untranslated.

use crate::hash::mix64;
use crate::ids::Iova;

/// What a VF does with ATS. Only devices with TLBs use it: where there is none, all VFs keep to the default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtsPlan {
    /// Whether its context entry enables ATS.
    pub enabled: bool,
    /// Share of its DMAs that it sends as translated requests with an address it made up, 0 to 1.
    pub forged_share: f64,
}

impl Default for AtsPlan {
    fn default() -> Self {
        Self { enabled: true, forged_share: 0.0 }
    }
}

impl AtsPlan {
    /// Whether the VF differs from one whose device looks every DMA up.
    #[must_use]
    pub fn is_special(&self) -> bool {
        *self != Self::default()
    }
}

/// A VF that forges translated requests, or whose ATS is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Whether its context entry enables ATS.
    pub ats_enabled: bool,
    /// Of 2^53 DMAs so many are forged.
    forged_of_2_53: u64,
    seed: u64,
    /// The first frame behind the IOMMU.
    first_frame: u64,
    /// How many there are.
    frames: u64,
}

impl Function {
    /// Of a plan; `frames` are those behind its IOMMU, by number, and `seed` that of the VF.
    #[must_use]
    pub fn new(plan: &AtsPlan, frames: core::ops::Range<u64>, seed: u64) -> Self {
        Self {
            ats_enabled: plan.enabled,
            forged_of_2_53: (plan.forged_share * (1_u64 << 53) as f64).ceil() as u64,
            seed,
            first_frame: frames.start,
            frames: frames.end - frames.start,
        }
    }

    /// The physical address that the function makes up for its DMA number `sequence`, if it forges that one: the byte
    /// of any frame behind the IOMMU that lies where the DMA's first byte would in its own. A function of seed, VF and
    /// sequence alone.
    #[must_use]
    pub fn forge(&self, sequence: u64, iova: Iova) -> Option<u64> {
        let word = mix64(self.seed ^ mix64(sequence));
        (word >> 11 < self.forged_of_2_53).then(|| {
            let frame = (u128::from(mix64(word)) * u128::from(self.frames)) >> 64;
            (self.first_frame + frame as u64) << 12 | (iova.0 & 0xFFF)
        })
    }
}
