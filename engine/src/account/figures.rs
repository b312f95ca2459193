//! What tenants got, in numbers that two runs can be compared by.

use histogram::Histogram;

use super::components::VfBooks;
use super::latencies::{new_histogram, quantile_ns};
use super::metrics::ratio;
use super::rows::{SlowdownRow, TenantRow};
use crate::units::Picoseconds;

/// Where a VF is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VfPlace {
    /// The class of its host.
    pub host_class: String,
    /// Its host.
    pub host: u32,
    /// Its IOMMU within the host.
    pub iommu: u32,
    /// Its adapter within the host.
    pub adapter: u32,
    /// The VF within the adapter.
    pub vf: u32,
}

/// What a class of tenants, or one VF, got of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Index of the class in the plan.
    pub class: u32,
    /// The VF; absent where these are the figures of a whole class.
    pub vf: Option<VfPlace>,
    /// VFs.
    pub vfs: u64,
    /// DMAs counted.
    pub dma_total: u64,
    /// Mean latency, ns.
    pub latency_mean_ns: f64,
    /// Median latency, ns.
    pub latency_p50_ns: u64,
    /// 99th percentile of the latency, ns.
    pub latency_p99_ns: u64,
    /// Greatest latency, ns.
    pub latency_max_ns: f64,
    /// Mean service time, ns.
    pub service_mean_ns: f64,
    /// Payload moved over the span of activity, Gb/s.
    pub throughput_gbps: f64,
}

impl Figures {
    /// Those of a VF, from its row of a table.
    pub(super) fn of_vf(class: u32, row: &TenantRow) -> Self {
        Self {
            class,
            vf: Some(VfPlace {
                host_class: row.host_class.clone(),
                host: row.host,
                iommu: row.iommu,
                adapter: row.adapter,
                vf: row.vf,
            }),
            vfs: 1,
            dma_total: row.dma_total,
            latency_mean_ns: row.latency_mean_ns,
            latency_p50_ns: row.latency_p50_ns,
            latency_p99_ns: row.latency_p99_ns,
            latency_max_ns: row.latency_max_ns,
            service_mean_ns: row.service_mean_ns,
            throughput_gbps: row.throughput_gbps,
        }
    }
}

/// Sums over the VFs of a class.
#[derive(Clone)]
pub(super) struct ClassTotals {
    latencies: Histogram,
    vfs: u64,
    dma_total: u64,
    bytes: u64,
    latency_sum_ps: u128,
    latency_max: Picoseconds,
    service_sum_ps: u128,
    first: Picoseconds,
    last: Picoseconds,
}

impl Default for ClassTotals {
    fn default() -> Self {
        Self {
            latencies: new_histogram(),
            vfs: 0,
            dma_total: 0,
            bytes: 0,
            latency_sum_ps: 0,
            latency_max: Picoseconds::ZERO,
            service_sum_ps: 0,
            first: Picoseconds::MAX,
            last: Picoseconds::ZERO,
        }
    }
}

impl ClassTotals {
    /// Adds a VF, active since `first`, of which `dma_total` DMAs count.
    pub fn add(&mut self, books: &VfBooks, latencies: &Histogram, dma_total: u64, first: Picoseconds) {
        self.vfs += 1;
        if dma_total == 0 {
            return;
        }
        self.latencies.checked_add_assign(latencies).expect("64 bits suffice");
        self.dma_total += dma_total;
        self.bytes += books.bytes.iter().sum::<u64>();
        self.latency_sum_ps += books.latency_sum_ps;
        self.latency_max = self.latency_max.max(books.latency_max);
        self.service_sum_ps += books.service_sum_ps;
        self.first = self.first.min(first);
        self.last = self.last.max(books.last_completed);
    }

    /// The class's figures.
    pub fn figures(&self, class: u32) -> Figures {
        let mean_ns = |sum: u128| ratio(sum as f64 / 1e3, self.dma_total as f64);
        let active = self.last.saturating_sub(self.first);
        Figures {
            class,
            vf: None,
            vfs: self.vfs,
            dma_total: self.dma_total,
            latency_mean_ns: mean_ns(self.latency_sum_ps),
            latency_p50_ns: quantile_ns(&self.latencies, 0.5, self.latency_max),
            latency_p99_ns: quantile_ns(&self.latencies, 0.99, self.latency_max),
            latency_max_ns: self.latency_max.as_ns_f64(),
            service_mean_ns: mean_ns(self.service_sum_ps),
            throughput_gbps: ratio(self.bytes as f64 * 8e3, active.0 as f64),
        }
    }
}

impl SlowdownRow {
    /// What the others cost a class or a VF: its figures together with them, and without.
    #[must_use]
    pub fn new(class: String, together: &Figures, alone: &Figures) -> Self {
        let place = together.vf.as_ref();
        let counts = together.dma_total > 0 && alone.dma_total > 0;
        let over = |together: f64, alone: f64| (counts && alone > 0.0).then(|| together / alone);
        Self {
            class,
            host_class: place.map(|place| place.host_class.clone()),
            host: place.map(|place| place.host.into()),
            iommu: place.map(|place| place.iommu.into()),
            adapter: place.map(|place| place.adapter.into()),
            vf: place.map(|place| place.vf.into()),
            vfs: together.vfs,
            slowdown: over(together.latency_mean_ns, alone.latency_mean_ns),
            slowdown_p99: over(together.latency_p99_ns as f64, alone.latency_p99_ns as f64),
            slowdown_service: over(together.service_mean_ns, alone.service_mean_ns),
            dma_total: together.dma_total,
            dma_total_alone: alone.dma_total,
            latency_mean_ns: together.latency_mean_ns,
            latency_mean_alone_ns: alone.latency_mean_ns,
            latency_p50_ns: together.latency_p50_ns,
            latency_p50_alone_ns: alone.latency_p50_ns,
            latency_p99_ns: together.latency_p99_ns,
            latency_p99_alone_ns: alone.latency_p99_ns,
            latency_max_ns: together.latency_max_ns,
            latency_max_alone_ns: alone.latency_max_ns,
            service_mean_ns: together.service_mean_ns,
            service_mean_alone_ns: alone.service_mean_ns,
            throughput_gbps: together.throughput_gbps,
            throughput_alone_gbps: alone.throughput_gbps,
        }
    }
}
