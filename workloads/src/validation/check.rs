//! A figure, what may differ from it, and what reproduces it.

use portcullis_engine::account::SummaryRow;

use super::Section;
use super::theory::miss_law_gbps;
use crate::{Override, Scenario};

/// Where the figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A closed form.
    Theory,
    /// A published measurement of hardware.
    Measurement,
}

impl Reference {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Theory => "theory",
            Self::Measurement => "measurement",
        }
    }
}

/// Whether the row proves anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Parameters of the model were fitted to this very curve.
    Calibrated,
    /// No parameter was fitted to it.
    Predicted,
}

impl Basis {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calibrated => "calibrated",
            Self::Predicted => "predicted",
        }
    }
}

/// How far the simulation may be from the figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// A difference, in the figure's unit.
    Absolute(f64),
    /// A share of the figure.
    Relative(f64),
    /// The figure is a bound from above; so small a share may be above it.
    AtMost(f64),
}

/// What of a run is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// Look-ups served by the IOTLB, as a share.
    HitRatio,
    /// Mean wait for a walker, in walks of so many nanoseconds.
    WalkWait(f64),
    /// Mean latency in nanoseconds.
    Latency,
    /// Payload in Gb/s, both directions together.
    Payload,
    /// Packets of so many DMAs, as Gb/s of so many bits each.
    Packets(u32, f64),
    /// Payload in Gb/s, a direction, of runs that do as much in both.
    PayloadOfOne,
    /// DMAs a microsecond.
    Rate,
    /// Mean latency times rate: requests under way, by Little's law.
    UnderWay,
    /// Misses of IOTLB and walk caches for each unmap of a page.
    MissesAPage,
    /// Payload over what the law of misses to throughput says at that many.
    OfMissLaw,
    /// No run: a closed form computed anew.
    Computed(f64),
}

impl Figure {
    fn of(self, summary: &SummaryRow) -> f64 {
        let per_us = summary.dma_total as f64 * 1e3 / summary.simulated_ns;
        match self {
            Self::HitRatio => summary.iotlb_hit_ratio,
            Self::WalkWait(walk_ns) => summary.walk_wait_mean_ns / walk_ns,
            Self::Latency => summary.latency_mean_ns,
            Self::Payload => summary.read_gbps + summary.write_gbps,
            Self::Packets(dmas, bits) => per_us / f64::from(dmas) * bits / 1e3,
            Self::PayloadOfOne => (summary.read_gbps + summary.write_gbps) / 2.0,
            Self::Rate => per_us,
            Self::UnderWay => per_us * summary.latency_mean_ns / 1e3,
            Self::MissesAPage => misses_a_page(summary),
            Self::OfMissLaw => Self::Payload.of(summary) / miss_law_gbps(misses_a_page(summary)),
            Self::Computed(value) => value,
        }
    }

    /// Its unit; empty where it has none.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::HitRatio | Self::Computed(_) | Self::UnderWay | Self::MissesAPage | Self::OfMissLaw => "",
            Self::WalkWait(_) => "walks",
            Self::Latency => "ns",
            Self::Payload | Self::Packets(..) | Self::PayloadOfOne => "Gb/s",
            Self::Rate => "M/s",
        }
    }
}

/// Misses of the IOTLB and of every walk cache for each page that was unmapped.
fn misses_a_page(summary: &SummaryRow) -> f64 {
    let of_walk_caches = [
        summary.walk_cache_l2_misses,
        summary.walk_cache_l3_misses,
        summary.walk_cache_l4_misses,
        summary.walk_cache_l5_misses,
    ];
    (summary.iotlb_misses + of_walk_caches.iter().sum::<u64>()) as f64 / summary.unmaps as f64
}

/// A row of the suite.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its section.
    pub section: Section,
    /// What is compared.
    pub what: String,
    /// Where the figure comes from.
    pub reference: Reference,
    /// The figure.
    pub expected: f64,
    /// How far from it will do.
    pub tolerance: Tolerance,
    /// Whether it proves anything.
    pub basis: Basis,
    /// What of the runs is compared: the mean over them.
    pub figure: Figure,
    /// The runs; none where the figure is computed.
    pub runs: Vec<Scenario>,
    /// Why it is missed, where it is known to be and the model is not to blame.
    pub known_miss: Option<&'static str>,
}

/// What came of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The figure of the simulation.
    pub simulated: f64,
    /// Its distance from the expected one: as a share, or in its unit where the tolerance is absolute.
    pub error: f64,
    /// Whether that is tolerated.
    pub passed: bool,
}

impl Check {
    /// Compares the figure with the mean of the runs, whose summaries stand in their order.
    ///
    /// # Panics
    /// If there are not as many summaries as runs.
    #[must_use]
    pub fn judge(&self, summaries: &[SummaryRow]) -> Verdict {
        assert_eq!(summaries.len(), self.runs.len(), "a summary a run");
        let simulated = match self.figure {
            Figure::Computed(value) => value,
            figure => {
                summaries.iter().map(|summary| figure.of(summary)).sum::<f64>() / summaries.len() as f64
            }
        };
        let (difference, share) = (simulated - self.expected, simulated / self.expected - 1.0);
        let (error, passed) = match self.tolerance {
            Tolerance::Absolute(most) => (difference, difference.abs() <= most),
            Tolerance::Relative(most) => (share, share.abs() <= most),
            Tolerance::AtMost(most) => (share, share <= most),
        };
        Verdict { simulated, error, passed }
    }
}

/// The scenario of a text of ours with some keys changed.
pub(super) fn scenario(text: &str, changes: &[String]) -> Scenario {
    let changes: Vec<Override> =
        changes.iter().map(|change| change.parse().expect("a change is well formed")).collect();
    Scenario::parse("validation", text, &changes).unwrap_or_else(|error| panic!("{error}"))
}
