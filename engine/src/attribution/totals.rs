//! What is attributed in all, as rows.

use super::components::{Cause, Split, VfAttribution};
use crate::account::{AttributionRow, EvictionRow, SummaryRow, TenantRow, ratio};
use crate::table::Table;

/// Where the time of a class's requests went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassLatency {
    /// The class.
    pub class: String,
    /// DMAs counted.
    pub dma_total: u64,
    /// Picoseconds by [`Cause`].
    pub sums_ps: [u128; Cause::ALL.len()],
}

impl ClassLatency {
    /// The mean over the DMAs of what a cause takes, ns.
    #[must_use]
    pub fn mean_ns(&self, cause: Cause) -> f64 {
        ratio(self.sums_ps[cause as usize] as f64 / 1e3, self.dma_total as f64)
    }

    /// The same as a share of all causes.
    #[must_use]
    pub fn share(&self, cause: Cause) -> f64 {
        ratio(self.sums_ps[cause as usize] as f64, self.sums_ps.iter().sum::<u128>() as f64)
    }

    fn add(&mut self, split: &Split, dma_total: u64) {
        self.dma_total += dma_total;
        Cause::ALL.iter().for_each(|cause| self.sums_ps[*cause as usize] += u128::from(split.of(*cause)));
    }
}

/// What a run's time and evictions came to, as far as that is asked for.
#[derive(Clone, Debug, Default)]
pub struct Attributed {
    /// All classes together, then each.
    pub latency: Vec<ClassLatency>,
    /// A row a pair of classes, in the order of evictors, then victims.
    pub evictions: Vec<EvictionRow>,
}

/// Sums over all worlds, as far as they are asked for.
pub struct AttributionTotals {
    /// A row a VF and cause, and the sums by class.
    latency: Option<(Table, Vec<ClassLatency>)>,
    /// By evictor and victim: a row an evictor.
    evictions: Option<Vec<u64>>,
}

impl AttributionTotals {
    /// Nothing yet.
    #[must_use]
    pub fn new(latency: bool, misses: bool) -> Self {
        Self {
            latency: latency.then(|| (Table::new::<AttributionRow>(), Vec::new())),
            evictions: misses.then(Vec::new),
        }
    }

    /// Adds a VF of a class, with `dma_total` DMAs; `tenant` says which VF it is, and gets its misses.
    pub fn add_vf(
        &mut self,
        class: u32,
        of_vf: Option<&VfAttribution>,
        dma_total: u64,
        tenant: &mut TenantRow,
    ) {
        let Some(of_vf) = of_vf else { return };
        if let Some((table, by_class)) = &mut self.latency {
            by_class.resize_with(by_class.len().max(class as usize + 1), ClassLatency::default);
            by_class[class as usize].add(&of_vf.latency, dma_total);
            rows_of_vf(tenant, &of_vf.latency, dma_total).for_each(|row| table.push(row));
        }
        if self.evictions.is_some() {
            let [cold, capacity, conflict, invalidation] = of_vf.misses.map(Some);
            tenant.iotlb_misses_cold = cold;
            tenant.iotlb_misses_capacity = capacity;
            tenant.iotlb_misses_conflict = conflict;
            tenant.iotlb_misses_invalidation = invalidation;
        }
    }

    /// Adds the evictions of an IOMMU.
    pub fn add_evictions(&mut self, more: &[u64]) {
        let Some(sums) = &mut self.evictions else { return };
        sums.resize(more.len(), 0);
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }

    /// What it came to, the tables of it, and the means for the summary.
    #[must_use]
    pub fn finish(self, classes: &[String], summary: &mut SummaryRow) -> (Attributed, Vec<Table>) {
        let mut attributed = Attributed::default();
        let mut tables = Vec::new();
        if let Some((table, by_class)) = self.latency {
            attributed.latency = with_all(by_class, classes);
            set_means(summary, &attributed.latency[0]);
            tables.push(table);
        }
        if let Some(evictions) = self.evictions {
            attributed.evictions = eviction_rows(&evictions, classes);
            tables.push(attributed.evictions.iter().cloned().collect());
        }
        (attributed, tables)
    }
}

/// All classes together, then each by its name.
fn with_all(mut by_class: Vec<ClassLatency>, classes: &[String]) -> Vec<ClassLatency> {
    by_class.resize_with(classes.len(), ClassLatency::default);
    let mut all = ClassLatency { class: String::from("all"), ..ClassLatency::default() };
    for (of_class, name) in by_class.iter_mut().zip(classes) {
        of_class.class.clone_from(name);
        all.dma_total += of_class.dma_total;
        all.sums_ps.iter_mut().zip(of_class.sums_ps).for_each(|(sum, more)| *sum += more);
    }
    by_class.insert(0, all);
    by_class
}

fn set_means(summary: &mut SummaryRow, all: &ClassLatency) {
    let mean_ns = |cause| Some(all.mean_ns(cause));
    summary.latency_held_mean_ns = mean_ns(Cause::Held);
    summary.latency_silence_mean_ns = mean_ns(Cause::Silence);
    summary.latency_device_tlb_mean_ns = mean_ns(Cause::DeviceTlb);
    summary.latency_credit_mean_ns = mean_ns(Cause::Credit);
    summary.latency_link_mean_ns = mean_ns(Cause::Link);
    summary.latency_iotlb_mean_ns = mean_ns(Cause::Iotlb);
    summary.latency_walk_queue_mean_ns = mean_ns(Cause::WalkQueue);
    summary.latency_walk_mean_ns = mean_ns(Cause::Walk);
    summary.latency_invalidation_mean_ns = mean_ns(Cause::Invalidation);
    summary.latency_memory_mean_ns = mean_ns(Cause::Memory);
    summary.latency_retirement_mean_ns = mean_ns(Cause::Retirement);
}

fn eviction_rows(evictions: &[u64], classes: &[String]) -> Vec<EvictionRow> {
    let lost = |victim: usize| evictions.iter().skip(victim).step_by(classes.len()).sum::<u64>();
    let row = |(place, &count): (usize, &u64)| {
        let (evictor, victim) = (place / classes.len(), place % classes.len());
        EvictionRow {
            evictor_class: classes[evictor].clone(),
            victim_class: classes[victim].clone(),
            evictions: count,
            victim_share: ratio(count as f64, lost(victim) as f64),
        }
    };
    evictions.iter().enumerate().map(row).collect()
}

/// A row a cause.
fn rows_of_vf<'a>(
    tenant: &'a TenantRow,
    split: &'a Split,
    dma_total: u64,
) -> impl Iterator<Item = AttributionRow> + 'a {
    let total = split.total() as f64;
    Cause::ALL.into_iter().map(move |cause| {
        let sum = split.of(cause);
        AttributionRow {
            host: tenant.host,
            iommu: tenant.iommu,
            adapter: tenant.adapter,
            vf: tenant.vf,
            class: tenant.class.clone(),
            host_class: tenant.host_class.clone(),
            cause: cause.name(),
            latency_sum_ps: sum,
            latency_mean_ns: ratio(sum as f64 / 1e3, dma_total as f64),
            latency_share: ratio(sum as f64, total),
        }
    })
}
