//! What can fail in a switch, and when it does.

use serde::{Deserialize, Serialize};

use super::schedule::AdapterPlace;
use crate::error::SpecError;
use crate::units::Picoseconds;

/// What fails in a switch, in the order of the protocol (facts of WDDM and PCIe where they are documented; what follows from
/// a failure is modelled).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The device does not answer the preemption request: after `failures.preempt_timeout_us` those who are silent are
    /// reset (TDR), and the switch is given up.
    Preempt,
    /// `DxgkDdiBeginExclusiveAccess` fails: the old domain stays, and everybody goes on.
    Begin,
    /// `DxgkDdiBeginExclusiveAccess` does not return: after `failures.ddi_timeout_us` that ends the host (bug check 0x116).
    Stuck,
    /// The device does not become silent: after `failures.quiesce_timeout_us` those who should be are reset, and the switch is
    /// given up.
    Quiesce,
    /// The last invalidation gets no completion for `failures.invalidation_timeout_us`, and holds up the queue: the function is
    /// reset and stays without a domain.
    Invalidation,
    /// The new domain cannot be attached: the old one is attached again.
    Attach,
    /// Nor can the old one: the VFs of the domain stay without one, in quarantine.
    Reattach,
    /// `DxgkDdiEndExclusiveAccess` fails: those who are silent are reset.
    End,
}

impl Failure {
    /// All, in their order.
    pub const ALL: [Self; 8] = [
        Self::Preempt,
        Self::Begin,
        Self::Stuck,
        Self::Quiesce,
        Self::Invalidation,
        Self::Attach,
        Self::Reattach,
        Self::End,
    ];

    /// The name that scenarios and results use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preempt => "preempt",
            Self::Begin => "begin",
            Self::Stuck => "stuck",
            Self::Quiesce => "quiesce",
            Self::Invalidation => "invalidation",
            Self::Attach => "attach",
            Self::Reattach => "reattach",
            Self::End => "end",
        }
    }

    /// Whether the old domain is still attached, and was all the time.
    #[must_use]
    pub const fn gives_up(self) -> bool {
        matches!(self, Self::Preempt | Self::Begin | Self::Stuck | Self::Quiesce)
    }

    /// Whether requests are lost to it.
    #[must_use]
    pub const fn loses(self) -> bool {
        !matches!(self, Self::Begin | Self::Stuck | Self::Attach)
    }

    /// Whether the VFs of the domain are left without one.
    #[must_use]
    pub const fn quarantines(self) -> bool {
        matches!(self, Self::Invalidation | Self::Reattach)
    }
}

/// A failure that is listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedFailure {
    /// It strikes the first switch of the adapter that is due at this time or later, in microseconds.
    pub at_us: f64,
    /// What fails.
    pub failure: Failure,
    /// The host, by its index in the fleet. Default 0.
    #[serde(default)]
    pub host: u32,
    /// The adapter, by its index within the host. Default 0.
    #[serde(default)]
    pub adapter: u32,
}

/// `[failures]`: what fails in switches of domains, drawn for each, or listed. Of one switch one thing fails at most. All
/// shares are 0 by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailuresSpec {
    /// Share of the switches in which the device does not answer the preemption request.
    pub preempt_share: f64,
    /// Share of the switches in which `DxgkDdiBeginExclusiveAccess` fails.
    pub begin_share: f64,
    /// Share of the switches in which `DxgkDdiBeginExclusiveAccess` does not return.
    pub stuck_share: f64,
    /// Share of the switches in which the device does not become silent.
    pub quiesce_share: f64,
    /// Share of the switches in which the last invalidation gets no completion.
    pub invalidation_share: f64,
    /// Share of the switches in which the new domain cannot be attached, and the old one can.
    pub attach_share: f64,
    /// Share of the switches in which neither can be attached.
    pub reattach_share: f64,
    /// Share of the switches in which `DxgkDdiEndExclusiveAccess` fails.
    pub end_share: f64,
    /// How long a preemption request may go unanswered, in microseconds. Default 2,000,000 (`TdrDelay`).
    pub preempt_timeout_us: f64,
    /// How long a thread may be in the driver, in microseconds. Default 5,000,000 (`TdrDdiDelay`).
    pub ddi_timeout_us: f64,
    /// Hangs, preemption requests that were not answered, that a host survives within `tdr_limit_us`. Default 5 (`TdrLimitCount`).
    pub tdr_limit: u32,
    /// How long a hang counts against that limit, in microseconds. Default 60,000,000 (`TdrLimitTime`).
    pub tdr_limit_us: f64,
    /// How long the device may take to become silent, in microseconds. Default 1,000,000 (modelled).
    pub quiesce_timeout_us: f64,
    /// How long an invalidation may go without its completion, in microseconds. Default 60,000,000 (PCIe: 60 to 90 s).
    pub invalidation_timeout_us: f64,
    /// What a reset takes, in microseconds. Default 100,000 (PCIe: function-level reset).
    pub reset_us: f64,
    /// From when a function works again until its clients go on that lost a request, in microseconds. Default 1,000 (modelled).
    pub recovery_us: f64,
    /// Failures of single switches, in the order of time, beside those that are drawn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<ListedFailure>,
}

impl Default for FailuresSpec {
    fn default() -> Self {
        Self {
            preempt_share: 0.0,
            begin_share: 0.0,
            stuck_share: 0.0,
            quiesce_share: 0.0,
            invalidation_share: 0.0,
            attach_share: 0.0,
            reattach_share: 0.0,
            end_share: 0.0,
            preempt_timeout_us: 2e6,
            ddi_timeout_us: 5e6,
            tdr_limit: 5,
            tdr_limit_us: 6e7,
            quiesce_timeout_us: 1e6,
            invalidation_timeout_us: 6e7,
            reset_us: 1e5,
            recovery_us: 1e3,
            list: Vec::new(),
        }
    }
}

impl FailuresSpec {
    /// The shares, in the order of [`Failure::ALL`].
    #[must_use]
    pub fn shares(&self) -> [f64; 8] {
        [
            self.preempt_share,
            self.begin_share,
            self.stuck_share,
            self.quiesce_share,
            self.invalidation_share,
            self.attach_share,
            self.reattach_share,
            self.end_share,
        ]
    }

    /// Whether anything ever fails.
    #[must_use]
    pub fn are_on(&self) -> bool {
        !self.list.is_empty() || self.shares().iter().any(|share| *share > 0.0)
    }

    /// Whether this ever fails.
    #[must_use]
    pub fn have(&self, failure: Failure) -> bool {
        self.list.iter().any(|listed| listed.failure == failure) || self.shares()[failure as usize] > 0.0
    }

    /// See [`Self::recovery_us`]; `Picoseconds::MAX` where nothing fails.
    #[must_use]
    pub fn recovery(&self) -> Picoseconds {
        if self.are_on() { FailureTimes::new(self).recovery } else { Picoseconds::MAX }
    }

    /// The first of the failures in whose part of the interval from 0 to 1 `uniform` lies, if any.
    #[must_use]
    pub fn drawn(&self, uniform: f64) -> Option<Failure> {
        let mut end = 0.0;
        let struck = |share: f64| {
            end += share;
            uniform < end
        };
        self.shares().into_iter().position(struck).map(|at| Failure::ALL[at])
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        for (failure, share) in Failure::ALL.iter().zip(self.shares()) {
            SpecError::in_range(&format!("failures.{}_share", failure.name()), share, 0.0, 1.0)?;
        }
        let all: f64 = self.shares().iter().sum();
        if all > 1.0 + 1e-9 {
            return Err(SpecError::new("failures", format!("has shares of {all} in all, which is above 1")));
        }
        for (key, time_us) in [
            ("failures.preempt_timeout_us", self.preempt_timeout_us),
            ("failures.ddi_timeout_us", self.ddi_timeout_us),
            ("failures.tdr_limit_us", self.tdr_limit_us),
            ("failures.quiesce_timeout_us", self.quiesce_timeout_us),
            ("failures.invalidation_timeout_us", self.invalidation_timeout_us),
            ("failures.reset_us", self.reset_us),
            ("failures.recovery_us", self.recovery_us),
        ] {
            SpecError::in_range(key, time_us, 0.001, 1e12)?;
        }
        for listed in &self.list {
            SpecError::in_range("failures.list.at_us", listed.at_us, 0.0, 1e12)?;
        }
        if self.list.windows(2).any(|pair| pair[0].at_us > pair[1].at_us) {
            return Err(SpecError::new("failures.list", "is not in the order of time"));
        }
        Ok(())
    }
}

/// The failures that are listed for an adapter.
#[derive(Clone, Debug, Default)]
pub struct ListedFailures {
    listed: Vec<(Picoseconds, Failure)>,
    /// Those that have struck.
    struck: usize,
}

impl ListedFailures {
    /// Of the adapter at `place`.
    #[must_use]
    pub fn new(spec: &FailuresSpec, place: AdapterPlace) -> Self {
        let is_here = |listed: &&ListedFailure| (listed.host, listed.adapter) == (place.host, place.adapter);
        let here = spec.list.iter().filter(is_here);
        let listed = here.map(|listed| (Picoseconds::from_ns_f64(listed.at_us * 1e3), listed.failure));
        Self { listed: listed.collect(), struck: 0 }
    }

    /// The failure that strikes a switch that is due at `time`, behind all that were due before.
    pub fn strike(&mut self, time: Picoseconds) -> Option<Failure> {
        let (at, failure) = *self.listed.get(self.struck)?;
        (at <= time).then(|| {
            self.struck += 1;
            failure
        })
    }
}

/// How long failures take to be noticed and mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureTimes {
    /// See [`FailuresSpec::preempt_timeout_us`].
    pub preempt: Picoseconds,
    /// See [`FailuresSpec::ddi_timeout_us`].
    pub ddi: Picoseconds,
    /// See [`FailuresSpec::quiesce_timeout_us`].
    pub quiesce: Picoseconds,
    /// See [`FailuresSpec::invalidation_timeout_us`].
    pub invalidation: Picoseconds,
    /// See [`FailuresSpec::reset_us`].
    pub reset: Picoseconds,
    /// See [`FailuresSpec::recovery_us`].
    pub recovery: Picoseconds,
}

impl FailureTimes {
    /// Of a valid specification.
    #[must_use]
    pub fn new(spec: &FailuresSpec) -> Self {
        let time = |us: f64| Picoseconds::from_ns_f64(us * 1e3);
        Self {
            preempt: time(spec.preempt_timeout_us),
            ddi: time(spec.ddi_timeout_us),
            quiesce: time(spec.quiesce_timeout_us),
            invalidation: time(spec.invalidation_timeout_us),
            reset: time(spec.reset_us),
            recovery: time(spec.recovery_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_divide_the_interval_in_the_order_of_the_protocol() {
        let spec = FailuresSpec { begin_share: 0.25, end_share: 0.5, ..FailuresSpec::default() };
        let drawn = [0.0, 0.249, 0.25, 0.749, 0.75].map(|uniform| spec.drawn(uniform));
        let expected =
            [Some(Failure::Begin), Some(Failure::Begin), Some(Failure::End), Some(Failure::End), None];
        assert_eq!(drawn, expected);
        assert_eq!(FailuresSpec::default().drawn(0.0), None);
    }

    #[test]
    fn a_listed_failure_strikes_the_first_switch_behind_it() {
        let list = vec![
            ListedFailure { at_us: 1.0, failure: Failure::Begin, host: 0, adapter: 1 },
            ListedFailure { at_us: 1.0, failure: Failure::End, host: 0, adapter: 0 },
            ListedFailure { at_us: 1.0, failure: Failure::Attach, host: 0, adapter: 0 },
        ];
        let spec = FailuresSpec { list, ..FailuresSpec::default() };
        let mut listed = ListedFailures::new(&spec, AdapterPlace { host: 0, adapter: 0, vfs: 1 });
        let struck = [999_999, 1_000_000, 1_000_000, 2_000_000].map(|time| listed.strike(Picoseconds(time)));
        assert_eq!(struck, [None, Some(Failure::End), Some(Failure::Attach), None]);
    }
}
