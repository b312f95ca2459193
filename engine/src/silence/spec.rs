//! What a domain switch is made of, and when one is due.

use serde::{Deserialize, Serialize};

use crate::error::SpecError;

/// `silence.mode`: how a domain is switched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchMode {
    /// Under the protocol of WDDM: suspend, drain, begin, switch, end.
    #[default]
    Silence,
    /// The context entry is replaced while everyone is at work: hardware that needs no silence.
    AtomicReplace,
    /// The protocol without the steps of `silence.skip`.
    Unsafe,
}

/// `silence.scope`: who is silent during a switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SilenceScope {
    /// Every VF of the adapter: `DxgkDdiBeginExclusiveAccess` takes an adapter.
    #[default]
    Adapter,
    /// The VF alone whose domain is switched, as VFIO does.
    Vf,
}

/// `silence.skip`: steps of the protocol that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolStep {
    /// The scheduler is not suspended: new requests leave during the switch.
    Suspend,
    /// Nobody waits for the reads that are under way.
    Drain,
    /// The driver is not told, so posted writes are not flushed.
    Begin,
    /// The context cache keeps the old domain.
    InvalidateContext,
    /// The IOTLB and the walk caches keep what they hold of the old domain.
    InvalidateIotlb,
    /// Device TLBs keep what they hold of the old domain.
    InvalidateDeviceTlb,
    /// The driver is not told of the end, and the scheduler does not start again.
    End,
}

/// `silence.durations`: what the phases take that take time by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhaseDurations {
    /// Always their mean.
    #[default]
    Constant,
    /// Exponential, each drawn for itself.
    Exponential,
}

/// The phases of a switch that take time by themselves, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedPhase {
    /// The scheduler stops.
    Suspend,
    /// `DxgkDdiBeginExclusiveAccess`.
    Begin,
    /// The driver silences the device.
    Quiesce,
    /// The context entry is cleared.
    Detach,
    /// The new one is set.
    Attach,
    /// `DxgkDdiEndExclusiveAccess`.
    End,
    /// The scheduler starts again.
    Resume,
}

/// `[silence]`: how a switch of a domain goes. No durations of a WDDM host are published: the defaults are modelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SilenceSpec {
    /// `silence`, `atomic_replace` or `unsafe`. Default `silence`.
    pub mode: SwitchMode,
    /// Who is silent: `adapter` or `vf`. Default `adapter` (WDDM's signature).
    pub scope: SilenceScope,
    /// Steps that are left out; only where `mode` is `unsafe`. Default none.
    pub skip: Vec<ProtocolStep>,
    /// Whether a new domain gets the lowest free domain ID, as Linux does, or one that was never used. Default true.
    pub did_reuse: bool,
    /// What the phases below take: `constant`, or `exponential` with these means. Default `constant`.
    pub durations: PhaseDurations,
    /// The scheduler stops: from the first instant nothing new leaves. In microseconds, as all below. Default 20 (modelled).
    pub suspend_us: f64,
    /// How long the drain may take from the beginning of the switch, in microseconds; then the switch is aborted, and the old
    /// domain stays. Default 2,000,000 (`TdrDelay`).
    pub drain_timeout_us: f64,
    /// `DxgkDdiBeginExclusiveAccess`, from the end of the drain. Default 10 (modelled).
    pub begin_us: f64,
    /// The driver silences the device; it takes longer where posted writes are still on their way. Default 5 (modelled).
    pub quiesce_us: f64,
    /// The context entry is cleared. Default 2 (modelled).
    pub detach_us: f64,
    /// The new context entry is set, once the invalidations are complete. Default 2 (modelled).
    pub attach_us: f64,
    /// `DxgkDdiEndExclusiveAccess`. Default 10 (modelled).
    pub end_us: f64,
    /// The scheduler starts again. Default 20 (modelled).
    pub resume_us: f64,
    /// Whether the driver masks interrupts while it keeps its device silent, as it may (WDDM). Default true.
    pub mask_interrupts: bool,
}

impl Default for SilenceSpec {
    fn default() -> Self {
        Self {
            mode: SwitchMode::Silence,
            scope: SilenceScope::Adapter,
            skip: Vec::new(),
            did_reuse: true,
            durations: PhaseDurations::Constant,
            suspend_us: 20.0,
            drain_timeout_us: 2e6,
            begin_us: 10.0,
            quiesce_us: 5.0,
            detach_us: 2.0,
            attach_us: 2.0,
            end_us: 10.0,
            resume_us: 20.0,
            mask_interrupts: true,
        }
    }
}

impl SilenceSpec {
    /// Whether a step is left out.
    #[must_use]
    pub fn skips(&self, step: ProtocolStep) -> bool {
        self.mode == SwitchMode::Unsafe && self.skip.contains(&step)
    }

    /// The mean times of the phases that take time by themselves, in microseconds, by the names of their keys and in
    /// the order of [`TimedPhase`].
    #[must_use]
    pub fn phases(&self) -> [(&'static str, f64); 7] {
        [
            ("silence.suspend_us", self.suspend_us),
            ("silence.begin_us", self.begin_us),
            ("silence.quiesce_us", self.quiesce_us),
            ("silence.detach_us", self.detach_us),
            ("silence.attach_us", self.attach_us),
            ("silence.end_us", self.end_us),
            ("silence.resume_us", self.resume_us),
        ]
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        for (key, mean_us) in self.phases() {
            SpecError::in_range(key, mean_us, 0.0, 1e9)?;
        }
        if self.mode != SwitchMode::Unsafe && !self.skip.is_empty() {
            return Err(SpecError::new(
                "silence.skip",
                "leaves out steps of the protocol, which only `silence.mode = \"unsafe\"` allows",
            ));
        }
        SpecError::in_range("silence.drain_timeout_us", self.drain_timeout_us, 0.001, 1e12)?;
        Ok(())
    }
}

/// `switches.schedule`: when domains are switched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SwitchSchedule {
    /// Never.
    #[default]
    None,
    /// On every adapter once every so often, its VFs in turn.
    Periodic,
    /// On every adapter at random, each time any of its VFs.
    Poisson,
    /// As listed.
    List,
}

/// A switch that is listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedSwitch {
    /// When it is due, in microseconds.
    pub at_us: f64,
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

/// `[switches]`: when domains are switched. A switch that is due while another of those who must be silent for it is
/// under way follows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchesSpec {
    /// `none`, `periodic`, `poisson` or `list`. Default `none`.
    pub schedule: SwitchSchedule,
    /// Mean time between two switches of an adapter, in microseconds, for `periodic` and `poisson`. Default 10,000
    /// (modelled).
    pub every_us: f64,
    /// Least time from the end of a switch to the beginning of the next of those who are silent together, in microseconds.
    /// Default 1 (modelled).
    pub gap_us: f64,
    /// Switches that wait at most for others of those who are silent together; one that is due beyond that is refused.
    /// Default 64 (modelled).
    pub waiting: u32,
    /// `list`: the switches, in the order of time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<ListedSwitch>,
}

impl Default for SwitchesSpec {
    fn default() -> Self {
        Self {
            schedule: SwitchSchedule::None,
            every_us: 10_000.0,
            gap_us: 1.0,
            waiting: 64,
            list: Vec::new(),
        }
    }
}

impl SwitchesSpec {
    /// Whether there are any.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.schedule != SwitchSchedule::None
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("switches.every_us", self.every_us, 0.001, 1e12)?;
        SpecError::in_range("switches.gap_us", self.gap_us, 0.001, 1e9)?;
        SpecError::in_range("switches.waiting", self.waiting, 1, 1 << 16)?;
        if self.schedule != SwitchSchedule::List && !self.list.is_empty() {
            return Err(SpecError::new(
                "switches.list",
                "lists switches, which only `switches.schedule = \"list\"` makes",
            ));
        }
        for listed in &self.list {
            SpecError::in_range("switches.list.at_us", listed.at_us, 0.0, 1e12)?;
        }
        if self.list.windows(2).any(|pair| pair[0].at_us > pair[1].at_us) {
            return Err(SpecError::new("switches.list", "is not in the order of time"));
        }
        Ok(())
    }
}
