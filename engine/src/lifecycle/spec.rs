//! When VMs start, stop and move.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;

/// `lifecycle.schedule`: what happens to the VMs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleSchedule {
    /// They run from the beginning to the end.
    #[default]
    None,
    /// They stop and start at random, each for itself.
    Churn,
    /// As listed.
    List,
}

/// What happens to a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VmEventKind {
    /// It starts on the VF, which has none.
    Start,
    /// It stops.
    Stop,
    /// It is paused and leaves the VF, and one like it comes into its place.
    Migrate,
}

impl VmEventKind {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Start, "start"), (Self::Stop, "stop"), (Self::Migrate, "migrate")];
}

/// An event that is listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedVmEvent {
    /// When, in microseconds.
    pub at_us: f64,
    /// What: `start`, `stop` or `migrate`.
    pub event: VmEventKind,
    /// The host, by its index in the fleet. Default 0.
    #[serde(default)]
    pub host: u32,
    /// The adapter, by its index within the host. Default 0.
    #[serde(default)]
    pub adapter: u32,
    /// The VF, by its index within the adapter. Default 0.
    #[serde(default)]
    pub vf: u32,
}

impl ListedVmEvent {
    /// The VF it is about.
    #[must_use]
    pub fn vf(&self) -> (u32, u32, u32) {
        (self.host, self.adapter, self.vf)
    }
}

/// `[lifecycle]`: VMs that start, stop and move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LifecycleSpec {
    /// `none`, `churn` or `list`. Default `none`.
    pub schedule: LifecycleSchedule,
    /// `churn`: mean time from the start of a VM until it stops, in microseconds. Default 1,000,000 (modelled).
    pub up_us: f64,
    /// `churn`: mean time from the stop of a VM until the next starts on its VF, in microseconds. Default 1,000,000 (modelled).
    pub down_us: f64,
    /// How long the function of a VM that stops is reset, before its domain is detached, in microseconds. Default 100,000 (PCIe:
    /// function-level reset).
    pub reset_us: f64,
    /// How long the state of a VM that moves is copied while it is paused, in microseconds. Default 250,000 (modelled; Microsoft
    /// names less than 750 ms as the goal for the whole pause).
    pub migration_pause_us: f64,
    /// `list`: the events, in the order of time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<ListedVmEvent>,
}

impl Default for LifecycleSpec {
    fn default() -> Self {
        Self {
            schedule: LifecycleSchedule::None,
            up_us: 1e6,
            down_us: 1e6,
            reset_us: 1e5,
            migration_pause_us: 2.5e5,
            list: Vec::new(),
        }
    }
}

impl LifecycleSpec {
    /// Whether anything happens.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.schedule != LifecycleSchedule::None
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("lifecycle.up_us", self.up_us, 0.001, 1e12)?;
        SpecError::in_range("lifecycle.down_us", self.down_us, 0.001, 1e12)?;
        SpecError::in_range("lifecycle.reset_us", self.reset_us, 0.0, 1e9)?;
        SpecError::in_range("lifecycle.migration_pause_us", self.migration_pause_us, 0.0, 1e9)?;
        if self.schedule != LifecycleSchedule::List && !self.list.is_empty() {
            return Err(SpecError::new(
                "lifecycle.list",
                "lists events, which only `lifecycle.schedule = \"list\"` makes",
            ));
        }
        for listed in &self.list {
            SpecError::in_range("lifecycle.list.at_us", listed.at_us, 0.0, 1e12)?;
        }
        if self.list.windows(2).any(|pair| pair[0].at_us > pair[1].at_us) {
            return Err(SpecError::new("lifecycle.list", "is not in the order of time"));
        }
        self.validate_order()
    }

    /// What is listed of a VF is possible one after the other.
    fn validate_order(&self) -> Result<(), SpecError> {
        let mut last = std::collections::BTreeMap::new();
        for (listed, number) in self.list.iter().zip(0..) {
            let before = last.insert(listed.vf(), listed);
            let Some(before) = before else { continue };
            let was_up = before.event != VmEventKind::Stop;
            let problem = match listed.event {
                _ if before.at_us >= listed.at_us => "is not later than the event of its VF before",
                VmEventKind::Start if was_up => "starts a VM on a VF that has one",
                VmEventKind::Stop if !was_up => "stops a VM where there is none",
                VmEventKind::Migrate if !was_up => "moves a VM where there is none",
                _ => continue,
            };
            return Err(SpecError::new(format!("lifecycle.list.{number}"), problem));
        }
        Ok(())
    }
}
