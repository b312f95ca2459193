//! What is attributed in all, as rows.

use super::components::{Attribution, Cause, Split};
use crate::account::{AttributionRow, EvictionRow, SummaryRow, TenantRow, ratio};
use crate::table::Table;

/// Sums over all worlds, as far as they are asked for.
pub struct AttributionTotals {
    latency: Option<(Table, [u128; Cause::ALL.len()])>,
    /// By evictor and victim: a row an evictor.
    evictions: Option<Vec<u64>>,
}

impl AttributionTotals {
    /// Nothing yet.
    #[must_use]
    pub fn new(latency: bool, misses: bool) -> Self {
        Self {
            latency: latency.then(|| (Table::new::<AttributionRow>(), Default::default())),
            evictions: misses.then(Vec::new),
        }
    }

    /// Adds a VF; `tenant` says which it is, and gets its misses.
    pub fn add_vf(&mut self, tenant: &mut TenantRow, attribution: &Attribution, vf: usize, dma_total: u64) {
        let Some(of_vf) = attribution.of_vfs.get(vf) else { return };
        if let Some((table, sums)) = &mut self.latency {
            Cause::ALL.iter().for_each(|cause| sums[*cause as usize] += u128::from(of_vf.latency.of(*cause)));
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

    /// The table of latencies by cause, with the means for the summary; where they are asked for.
    pub fn finish_latency(&mut self, summary: &mut SummaryRow) -> Option<Table> {
        let (table, sums) = self.latency.take()?;
        let dma_total = summary.dma_total as f64;
        let mean_ns = |cause| Some(ratio(sums[cause as usize] as f64 / 1e3, dma_total));
        summary.latency_held_mean_ns = mean_ns(Cause::Held);
        summary.latency_credit_mean_ns = mean_ns(Cause::Credit);
        summary.latency_link_mean_ns = mean_ns(Cause::Link);
        summary.latency_iotlb_mean_ns = mean_ns(Cause::Iotlb);
        summary.latency_walk_queue_mean_ns = mean_ns(Cause::WalkQueue);
        summary.latency_walk_mean_ns = mean_ns(Cause::Walk);
        summary.latency_invalidation_mean_ns = mean_ns(Cause::Invalidation);
        summary.latency_memory_mean_ns = mean_ns(Cause::Memory);
        summary.latency_retirement_mean_ns = mean_ns(Cause::Retirement);
        Some(table)
    }

    /// The table of evictions by class; where they are asked for.
    #[must_use]
    pub fn finish_evictions(&self, classes: &[String]) -> Option<Table> {
        let evictions = self.evictions.as_ref()?;
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
        Some(evictions.iter().enumerate().map(row).collect())
    }
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
