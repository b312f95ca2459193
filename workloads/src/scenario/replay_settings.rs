//! What `replay --set` takes.

use portcullis_engine::plan::Audit;
use portcullis_engine::translation::{IotlbIndex, IotlbSpec, Ways, replacement::ReplacementPolicy};
use serde::{Deserialize, Serialize};

use super::deserialize::deserialize;
use super::document::Document;
use super::{Override, ScenarioError};

/// Settings of a replay. It is functional: nothing that only costs time can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplaySettings {
    /// Seed of the random replacement policy. Default 1.
    pub seed: u64,
    /// Which translations the owner map judges. Default `full`.
    pub audit: Audit,
    /// The IOTLB. Default: 1,024 entries (as the emulated IOMMU of QEMU), 8 ways, LRU, hashed.
    pub iotlb: IotlbSpec,
}

impl Default for ReplaySettings {
    fn default() -> Self {
        Self { seed: 1, audit: Audit::Full, iotlb: IotlbSpec::default() }
    }
}

impl ReplaySettings {
    /// Every key a replay takes.
    pub const KEYS: [&'static str; 6] = [
        "seed",
        "audit",
        "iommu.iotlb.entries",
        "iommu.iotlb.ways",
        "iommu.iotlb.replacement",
        "iommu.iotlb.index",
    ];

    /// The defaults, changed by `overrides` in order.
    ///
    /// # Errors
    /// The first override whose key a replay does not take, or whose value cannot be built.
    pub fn parse(overrides: &[Override]) -> Result<Self, ScenarioError> {
        for change in overrides {
            Self::check_key(change)?;
        }
        let mut document = Document::empty("replay");
        document.apply(overrides)?;
        let known_keys = || Self::KEYS.map(String::from).to_vec();
        let document_keys: ReplayDocument = deserialize(&document, &known_keys)?;
        let settings = document_keys.settings();
        settings
            .iotlb
            .validate("iommu.iotlb")
            .map_err(|error| ScenarioError::from_spec(&document, &error))?;
        Ok(settings)
    }

    fn check_key(change: &Override) -> Result<(), ScenarioError> {
        if Self::KEYS.contains(&change.key.as_str()) {
            return Ok(());
        }
        let near = super::nearest(&change.key, Self::KEYS.into_iter()).expect("there are keys");
        Err(ScenarioError {
            place: format!("--set {change}"),
            key: change.key.clone(),
            problem: format!(
                "a replay is functional and takes no `{}`; did you mean `{near}`? It takes {}",
                change.key,
                Self::KEYS.join(", ")
            ),
        })
    }
}

/// The settings as a tree of keys.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReplayDocument {
    seed: Option<u64>,
    audit: Audit,
    iommu: ReplayIommu,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReplayIommu {
    iotlb: ReplayIotlb,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReplayIotlb {
    entries: Option<u32>,
    ways: Option<Ways>,
    replacement: ReplacementPolicy,
    index: IotlbIndex,
}

impl ReplayDocument {
    fn settings(self) -> ReplaySettings {
        let base = ReplaySettings::default();
        let iotlb = self.iommu.iotlb;
        ReplaySettings {
            seed: self.seed.unwrap_or(base.seed),
            audit: self.audit,
            iotlb: IotlbSpec {
                entries: iotlb.entries.unwrap_or(base.iotlb.entries),
                ways: iotlb.ways.unwrap_or(base.iotlb.ways),
                replacement: iotlb.replacement,
                index: iotlb.index,
                ..base.iotlb
            },
        }
    }
}
