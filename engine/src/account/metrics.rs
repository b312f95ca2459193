//! The results of a run, from the books of its worlds.

use std::collections::BTreeMap;

use bevy_ecs::prelude::*;
use histogram::Histogram;

use super::breach::Breach;
use super::components::{Audited, ServiceTimes, Timeline, VfBooks, VfIncidents, VfLatencies, WarmUp};
use super::figures::{ClassTotals, Figures};
use super::latencies::{new_histogram, quantile_ns};
use super::rows::{EscapeRow, LatencyRow, SummaryRow, TenantRow};
use crate::admission::{AttachError, outcome_name};
use crate::attribution::{Attributed, Attribution, AttributionTotals, Watch};
use crate::device_tlb::TlbLookup;
use crate::escape::{ChannelBooks, EscapeBooks, EscapeChannel, Span, Stalls};
use crate::gate::{Uplink, VfQueue};
use crate::ids::HostIndex;
use crate::interrupts::{Interrupts, MsiCounts};
use crate::invalidation::{BusySpan, ControlPlane, StreamBooks};
use crate::lifecycle::VmBooks;
use crate::link::time_before;
use crate::memory::Downlink;
use crate::plan::ReportSpec;
use crate::request::{Fault, Op};
use crate::silence::{Latencies, Recoveries, Silence, SilenceBooks, SwitchTotals};
use crate::slices::{SliceBooks, Slices};
use crate::table::Table;
use crate::topology::{AdapterOfVf, AdapterVfs, Host, Iommu, Vf, Vm};
use crate::traffic::TrafficSource;
use crate::translation::{
    ContextEntry, FaultQueue, IotlbState, WalkCaches, Walkers, replacement::with_iotlb,
};
use crate::units::Picoseconds;

/// A ratio; 0 where there is nothing to divide by.
#[must_use]
pub fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

/// Jain's fairness index of what each got: (sum x)^2 / (n x sum x^2). 1 where nobody got anything.
#[must_use]
pub fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    if squares == 0.0 { 1.0 } else { sum * sum / (shares.len() as f64 * squares) }
}

/// When the last request of a world that is over was complete.
#[must_use]
pub fn last_completed(world: &mut World) -> Picoseconds {
    let last = world.query::<&VfBooks>().iter(world).map(|books| books.last_completed).max();
    let in_warm_up = world.query::<&WarmUp>().single(world).expect("one host").last_completed;
    last.unwrap_or_default().max(in_warm_up)
}

/// Sums over all worlds, added in the order of hosts, IOMMUs and VFs.
pub struct Totals {
    latencies: [Histogram; 2],
    services: [Histogram; 2],
    latency_sum_ps: u128,
    latency_max: Picoseconds,
    service_sum_ps: u128,
    shares: Vec<f64>,
    uplink_busy_ps: u128,
    downlink_busy_ps: u128,
    walker_busy_ps: u128,
    walk_wait_ps: u128,
    stall_ps: u128,
    unmap_wait_ps: u128,
    /// When hosts were down.
    down: Vec<Span>,
    /// When the invalidation queues carried out commands that may not all count.
    invalidation_spans: Vec<BusySpan>,
    invalidation_busy_ps: u128,
    invalidation_wait_ps: u128,
    exposure_ps: u128,
    switch_ps: u128,
    start_ps: u128,
    blackout_ps: u128,
    held_ps: u128,
    held_over: Latencies,
    recovering: Latencies,
    recoveries: Recoveries,
    /// Availabilities, summed over VFs.
    availability: f64,
    slices: SliceBooks,
    lost_ps: u128,
    /// DMAs that never left.
    lost: u64,
    /// The first breach, with its host.
    breach: Option<(Breach, HostIndex)>,
    warm_up: Picoseconds,
    /// When the last DMA of the run was complete.
    end: Picoseconds,
    /// The summary; its ratios and quantiles are set by [`Totals::finish`].
    summary: SummaryRow,
    tenants: Table,
    classes: Vec<ClassTotals>,
    escapes: EscapeBooks,
    stalls_ps: u128,
    of_vfs: Vec<Figures>,
    attributed: AttributionTotals,
}

/// What [`Totals`] come to.
pub struct Results {
    /// The whole run in one row.
    pub summary: SummaryRow,
    /// A row a VF.
    pub tenants: Table,
    /// The histograms.
    pub latency: Table,
    /// What each class got, and each VF, in the order of classes and VFs.
    pub figures: Vec<Figures>,
    /// What is attributed to causes.
    pub attributed: Attributed,
    /// The tables of it.
    pub attribution: Vec<Table>,
    /// The first breach, if there was one, in words.
    pub breach: Option<String>,
}

impl Totals {
    /// Nothing yet, of a run of this report that counts from `warm_up` on and whose last DMA is complete at `end`.
    #[must_use]
    pub fn new(
        scenario: String,
        seed: u64,
        (warm_up, end): (Picoseconds, Picoseconds),
        report: &ReportSpec,
    ) -> Self {
        Self {
            latencies: [new_histogram(), new_histogram()],
            services: [new_histogram(), new_histogram()],
            latency_sum_ps: 0,
            latency_max: Picoseconds::ZERO,
            service_sum_ps: 0,
            shares: Vec::new(),
            uplink_busy_ps: 0,
            downlink_busy_ps: 0,
            walker_busy_ps: 0,
            walk_wait_ps: 0,
            stall_ps: 0,
            unmap_wait_ps: 0,
            down: Vec::new(),
            invalidation_spans: Vec::new(),
            invalidation_busy_ps: 0,
            invalidation_wait_ps: 0,
            exposure_ps: 0,
            switch_ps: 0,
            start_ps: 0,
            blackout_ps: 0,
            held_ps: 0,
            held_over: Latencies::default(),
            recovering: Latencies::default(),
            recoveries: Recoveries::default(),
            availability: 0.0,
            slices: SliceBooks::default(),
            lost_ps: 0,
            lost: 0,
            breach: None,
            warm_up,
            end,
            summary: SummaryRow { scenario, seed, warmup_ns: warm_up.as_ns_f64(), ..SummaryRow::default() },
            tenants: Table::new::<TenantRow>(),
            classes: Vec::new(),
            escapes: EscapeBooks::default(),
            stalls_ps: 0,
            of_vfs: Vec::new(),
            attributed: AttributionTotals::new(report.attribution, report.miss_causes),
        }
    }

    /// Adds the world of an IOMMU, with the names of the tenants' classes and of its host's; they must come in the order of hosts and IOMMUs.
    pub fn add_iommu(&mut self, world: &mut World, classes: &[String], host_class: &str) {
        self.add_hardware(world);
        let channels = self.add_escapes(world);
        let availabilities = self.availabilities(world);
        let slices = slices(world);
        self.add_interrupts(world);
        let downs = self.downs(world);
        let stalled_ps = Self::stalled_ps(world);
        let iommu = world.query::<&Iommu>().single(world).expect("one IOMMU").0.0;
        self.summary.hosts += u32::from(iommu == 0);
        self.summary.iommus += 1;
        let host = world.query::<&Host>().single(world).expect("one host").0.0;
        self.classes.resize_with(classes.len(), ClassTotals::default);
        let vms: Vec<Vm> = world.query::<&Vm>().iter(world).copied().collect();
        let mut vfs = world.query::<(
            &Vf,
            &AdapterOfVf,
            &ContextEntry,
            &VfQueue,
            (&VfBooks, &VfIncidents, &SilenceBooks, &VmBooks),
            &TrafficSource,
        )>();
        let mut planes = world.query::<&ControlPlane>();
        let mut of_host = world.query::<(&VfLatencies, &Attribution)>();
        let mut watches = world.query::<&Watch>();
        watches.iter(world).for_each(|watch| self.attributed.add_evictions(watch.evictions()));
        let control = planes.single(world).expect("one IOMMU");
        let (latencies, attribution) = of_host.single(world).expect("one host");
        let used = latencies.0.used_buckets();
        let mut vf_of_adapter = 0;
        let mut adapter_before = 0;
        for ((vf, adapter, context, queue, (books, incidents, silence, of_vms), source), number) in
            vfs.iter(world).zip(0..)
        {
            if adapter.0 != adapter_before {
                (vf_of_adapter, adapter_before) = (0, adapter.0);
            }
            let over: u64 = books.translated.iter().chain(&incidents.blocked).sum();
            let lost = silence.aborted + silence.starved;
            let availability = availabilities[number as usize];
            let all = Latencies { requests: over, total_ps: books.latency_sum_ps };
            let undisturbed = silence.recovering.others_of(&silence.held_over.others_of(&all));
            let of_slices = slices[number as usize];
            assert_eq!(
                over + lost + incidents.aborted + incidents.warm_up,
                source.emitted,
                "every request has one outcome"
            );
            let mut of_vf = new_histogram();
            for (op, total) in [Op::Read, Op::Write].into_iter().zip(&mut self.latencies) {
                let histogram = VfLatencies::histogram(number, op);
                latencies.0.add_to(histogram, &used, total);
                latencies.0.add_to(histogram, &used, &mut of_vf);
            }
            let Vm { class, kind, admission, attached } = vms[number as usize];
            self.summary.vms_refused += u64::from(admission.is_err());
            let channel = channels.get(&number).copied().unwrap_or_default();
            let mut identity = TenantRow {
                host,
                iommu,
                adapter: adapter.0,
                vf: vf_of_adapter,
                requester_id: vf.requester_id.0,
                domain: context.0.map(|context| u64::from(context.domain.0)),
                class: classes[class as usize].clone(),
                host_class: host_class.to_owned(),
                vm_kind: kind.name(),
                admission: outcome_name(admission),
                escapes_total: channel.packets,
                escapes_denied: channel.denied,
                kmd_exposed: channel.exposed,
                escape_stalls: channel.stalls.total,
                escape_stall_ns: channel.stalls.total_ps as f64 / 1e3,
                escape_stalled_ns: stalled_ps[number as usize].saturating_sub(channel.stalls.total_ps) as f64
                    / 1e3,
                switches: silence.switches,
                silence_ns: silence.silence_ps as f64 / 1e3,
                dma_held: silence.held,
                held_mean_ns: ratio(silence.held_ps as f64 / 1e3, silence.held as f64),
                disturbed_mean_ns: silence.held_over.mean_ns(),
                dma_recovering: silence.recovering.requests,
                recovering_mean_ns: silence.recovering.mean_ns(),
                undisturbed_mean_ns: undisturbed.mean_ns(),
                availability,
                switch_faults: silence.faults,
                vm_starts: of_vms.starts,
                vm_stops: of_vms.stops,
                vm_migrations: of_vms.migrations,
                vm_down_ns: Picoseconds(downs[number as usize]).as_ns_f64(),
                vm_start_mean_ns: ratio(of_vms.start_ps as f64 / 1e3, of_vms.starts as f64),
                blackout_mean_ns: ratio(of_vms.blackout_ps as f64 / 1e3, of_vms.migrations as f64),
                blackout_max_ns: of_vms.blackout_max.as_ns_f64(),
                dma_total: lost + incidents.aborted,
                dma_aborted: silence.aborted + incidents.aborted,
                dma_starved: silence.starved,
                lost_wait_mean_ns: ratio(silence.lost_ps as f64 / 1e3, lost as f64),
                stale: silence.stale,
                slices: of_slices.slices,
                slices_used: of_slices.used,
                slice_wait_mean_ns: ratio(of_slices.wait_ps as f64 / 1e3, of_slices.sent as f64),
                attach_error: attached.err().map(AttachError::name),
                ..TenantRow::default()
            };
            vf_of_adapter += 1;
            self.start_ps += of_vms.start_ps;
            self.blackout_ps += of_vms.blackout_ps;
            self.held_ps += silence.held_ps;
            self.held_over.add(&silence.held_over);
            self.recovering.add(&silence.recovering);
            self.availability += availability;
            self.slices.add(&of_slices);
            self.lost_ps += silence.lost_ps;
            self.lost += lost;
            self.summary.breach_total += silence.breaches;
            let attributed = attribution.of_vfs.get(number as usize);
            self.attributed.add_vf(class, attributed, over, &mut identity);
            let stream = control.0.as_ref().and_then(|control| control.stream(number));
            let mapped = stream.map(|stream| stream.books).unwrap_or_default();
            self.add_tenant((class, identity), queue, (books, incidents, &of_vf), source, &mapped);
        }
    }

    /// Counts rows of the timeline that are left out.
    pub fn drop_from_timeline(&mut self, rows: u64) {
        self.summary.timeline_dropped += rows;
    }

    /// Adds the interrupts of a world that is over.
    fn add_interrupts(&mut self, world: &mut World) {
        let end = last_completed(world);
        for mut interrupts in world.query::<&mut Interrupts>().iter_mut(world) {
            let of = interrupts.0.as_deref_mut();
            let counts = of.map_or_else(MsiCounts::default, |of| of.finish(end));
            self.summary.msi_writes += counts.writes;
            self.summary.msi_in_silence += counts.in_silence;
            self.summary.msi_masked += counts.masked;
        }
    }

    /// Adds the escapes, where there are any; returns the books of the VFs' channels.
    fn add_escapes(&mut self, world: &mut World) -> BTreeMap<u32, ChannelBooks> {
        world.query::<&EscapeBooks>().iter(world).for_each(|books| self.escapes.add(books));
        for stalls in world.query::<&Stalls>().iter(world) {
            self.summary.escape_stalls += stalls.total;
            self.stalls_ps += u128::from(stalls.total_ps);
        }
        let mut channels = world.query::<(&EscapeChannel, &ChannelBooks)>();
        channels.iter(world).map(|(channel, books)| (channel.vf, *books)).collect()
    }

    /// The escapes of all worlds, by what became of them; `classes` are the names of the tenants' classes.
    #[must_use]
    pub fn escapes(&self, classes: &[String]) -> Vec<EscapeRow> {
        self.escapes.rows(classes).collect()
    }

    /// How long each VF of a world could send nothing because of escapes, its own among them.
    fn stalled_ps(world: &mut World) -> Vec<u64> {
        let mut adapters = world.query::<(&AdapterVfs, &Silence, Option<&Stalls>)>();
        let of_adapter = |(vfs, silence, stalls): (&AdapterVfs, &Silence, Option<&Stalls>)| {
            let stalled_ps = stalls.map_or(0, |stalls| stalls.total_ps);
            let obeys = |vf| silence.0.as_deref().is_none_or(|switching| switching.obeys(vf));
            let of_vf = |vf| if obeys(vf) { stalled_ps } else { 0 };
            (vfs.first..vfs.end).map(of_vf).collect::<Vec<_>>()
        };
        adapters.iter(world).flat_map(of_adapter).collect()
    }

    /// The time that counts.
    fn counted(&self) -> Picoseconds {
        self.end.saturating_sub(self.warm_up)
    }

    /// The availability of each VF of a world, up to the world's own last completion: others have no part in it.
    fn availabilities(&self, world: &mut World) -> Vec<f64> {
        let end = last_completed(world).max(self.warm_up);
        let counted = (end - self.warm_up).0 as f64;
        let mut adapters = world.query::<(&AdapterVfs, &Silence)>();
        let of_adapter = |(vfs, silence): (&AdapterVfs, &Silence)| {
            let of_vf = |vf| silence.0.as_deref().map_or(0, |switching| switching.unavailable_ps(vf, end));
            let vfs = (vfs.first..vfs.end).map(of_vf);
            vfs.map(|unavailable_ps| 1.0 - ratio(unavailable_ps as f64, counted)).collect::<Vec<_>>()
        };
        adapters.iter(world).flat_map(of_adapter).collect()
    }

    /// How long each VF of a world had no VM, up to the world's own last completion, in picoseconds.
    fn downs(&self, world: &mut World) -> Vec<u64> {
        let end = last_completed(world).max(self.warm_up);
        let mut adapters = world.query::<(&AdapterVfs, &Silence)>();
        let of_adapter = |(vfs, silence): (&AdapterVfs, &Silence)| {
            let of_vf = |vf| silence.0.as_deref().map_or(0, |switching| switching.down_ps(vf, end));
            (vfs.first..vfs.end).map(of_vf).collect::<Vec<_>>()
        };
        adapters.iter(world).flat_map(of_adapter).collect()
    }

    fn add_hardware(&mut self, world: &mut World) {
        let summary = &mut self.summary;
        for (uplink, downlink) in world.query::<(&Uplink, &Downlink)>().iter(world) {
            self.uplink_busy_ps += u128::from(uplink.busy_ps - uplink.warm_up_busy_ps);
            self.downlink_busy_ps += u128::from(downlink.busy_ps - downlink.warm_up_busy_ps);
        }
        for totals in world.query::<&SwitchTotals>().iter(world) {
            summary.switches += totals.switches;
            summary.switches_refused += totals.refused;
            summary.switches_aborted += totals.aborted;
            summary.switches_failed += totals.failed;
            summary.switch_max_ns = summary.switch_max_ns.max(totals.max.as_ns_f64());
            self.switch_ps += totals.total_ps;
        }
        for switching in world.query::<&Silence>().iter(world).filter_map(|silence| silence.0.as_deref()) {
            assert!(switching.disturbed.is_empty(), "what left is over");
            self.recoveries.add(&switching.recoveries());
        }
        let mut iommus = world.query::<(&IotlbState, &WalkCaches, &Walkers, &FaultQueue)>();
        for (iotlb, walk_caches, walkers, faults) in iommus.iter(world) {
            let of_iotlb = with_iotlb!(&iotlb.0, |iotlb| iotlb.counters());
            summary.iotlb_evictions += of_iotlb.evictions;
            summary.iotlb_invalidated += of_iotlb.invalidated;
            let counters = walkers.counters();
            summary.walks += counters.walks;
            summary.walks_faulted += counters.faulted;
            summary.walk_accesses += counters.accesses;
            let cached = walk_caches.counters();
            for (level, hits, misses) in [
                (2, &mut summary.walk_cache_l2_hits, &mut summary.walk_cache_l2_misses),
                (3, &mut summary.walk_cache_l3_hits, &mut summary.walk_cache_l3_misses),
                (4, &mut summary.walk_cache_l4_hits, &mut summary.walk_cache_l4_misses),
                (5, &mut summary.walk_cache_l5_hits, &mut summary.walk_cache_l5_misses),
            ] {
                *hits += cached.hits[level - 2];
                *misses += cached.misses[level - 2];
            }
            summary.walker_queue_stalls += counters.stalls;
            self.walker_busy_ps += u128::from(counters.busy_ps);
            self.walk_wait_ps += u128::from(counters.wait_ps);
            self.stall_ps += u128::from(counters.stall_ps);
            summary.faults_recorded += faults.recorded;
            summary.faults_lost += faults.lost;
        }
        let last = last_completed(world);
        let mut breaches: Vec<Breach> = Vec::new();
        for control in world.query::<&ControlPlane>().iter(world).filter_map(|plane| plane.0.as_ref()) {
            let counters = control.counters;
            summary.invalidations += counters.commands;
            summary.invalidation_flushes += counters.flushes;
            summary.audited_total += counters.judged;
            breaches.extend(counters.first_breach);
            for bug_check in control.crashes.iter().flat_map(|crashes| crashes.until(last)) {
                summary.bug_checks += 1;
                self.down.push(bug_check.down);
            }
            self.invalidation_busy_ps += u128::from(counters.busy_ps);
            self.invalidation_spans.extend(control.late_commands());
            self.invalidation_wait_ps += counters.wait_ps;
        }
        let timeline = world.query::<&Timeline>().single(world).expect("one host");
        summary.timeline_dropped += timeline.dropped;
        let services = world.query::<&ServiceTimes>().single(world).expect("one host");
        let used = services.0.used_buckets();
        for (op, total) in self.services.iter_mut().enumerate() {
            services.0.add_to(op, &used, total);
        }
        let audited = world.query::<&Audited>().single(world).expect("one host");
        summary.audited_total += audited.translations;
        breaches.extend(audited.first_breach);
        let host = world.query::<&Host>().single(world).expect("one host").0;
        let first = breaches.into_iter().map(|breach| (breach, host)).min();
        self.breach = [self.breach, first].into_iter().flatten().min();
    }

    fn add_tenant(
        &mut self,
        (class, identity): (u32, TenantRow),
        queue: &VfQueue,
        (books, incidents, latencies): (&VfBooks, &VfIncidents, &Histogram),
        source: &TrafficSource,
        mapped: &StreamBooks,
    ) {
        let [reads, writes] =
            [Op::Read, Op::Write].map(|op| books.translated[op as usize] + incidents.blocked[op as usize]);
        let over = reads + writes;
        let (first, last) = source.intended.unwrap_or_default();
        let first = first.max(self.warm_up);
        let active = books.last_completed.saturating_sub(first);
        let bytes: u64 = books.bytes.iter().sum();
        let of_tlb = |lookup: TlbLookup| incidents.device_tlb[lookup as usize];
        let row = TenantRow {
            dma_total: over + identity.dma_total,
            dma_warmup: incidents.warm_up,
            dma_translated: books.translated.iter().sum(),
            dma_blocked: incidents.blocked.iter().sum(),
            dma_reads: reads,
            dma_writes: writes,
            read_bytes: books.bytes[Op::Read as usize],
            write_bytes: books.bytes[Op::Write as usize],
            throughput_gbps: ratio(bytes as f64 * 8e3, active.0 as f64),
            latency_mean_ns: ratio(books.latency_sum_ps as f64 / 1e3, over as f64),
            latency_p50_ns: quantile_ns(latencies, 0.5, books.latency_max),
            latency_p99_ns: quantile_ns(latencies, 0.99, books.latency_max),
            latency_p999_ns: quantile_ns(latencies, 0.999, books.latency_max),
            latency_max_ns: books.latency_max.as_ns_f64(),
            service_mean_ns: ratio(books.service_sum_ps as f64 / 1e3, over as f64),
            service_max_ns: books.service_max.as_ns_f64(),
            dma_source_stalled: queue.stalls,
            iotlb_hits: books.hits,
            iotlb_misses: books.misses,
            iotlb_misses_joined: books.joined,
            device_tlb_hits: of_tlb(TlbLookup::Hit),
            device_tlb_misses: of_tlb(TlbLookup::Miss) + of_tlb(TlbLookup::Joined),
            device_tlb_misses_joined: of_tlb(TlbLookup::Joined),
            blocked_no_context: incidents.faults[Fault::NoContext as usize],
            blocked_bad_length: incidents.faults[Fault::BadLength as usize],
            blocked_address_overflow: incidents.faults[Fault::AddressOverflow as usize],
            blocked_not_mapped: incidents.faults[Fault::NotMapped as usize],
            blocked_no_permission: incidents.faults[Fault::NoPermission as usize],
            blocked_ats_disabled: incidents.faults[Fault::AtsDisabled as usize],
            forged: incidents.forged,
            forged_foreign: incidents.forged_foreign,
            cross_tenant: incidents.cross_tenant,
            unmaps: mapped.unmaps,
            unmap_wait_mean_ns: ratio(mapped.unmap_wait_ps as f64 / 1e3, mapped.unmaps as f64),
            unmap_wait_max_ns: mapped.unmap_wait_max.as_ns_f64(),
            exposure_frame_us: mapped.exposure_ps as f64 / 1e6,
            stale: mapped.stale + identity.stale,
            ..identity
        };
        self.add_to_summary(&row, books, incidents);
        self.summary.breach_total += mapped.breaches;
        self.unmap_wait_ps += mapped.unmap_wait_ps;
        self.exposure_ps += mapped.exposure_ps;
        self.classes[class as usize].add(books, latencies, over, first);
        self.of_vfs.push(Figures::of_vf(class, &row));
        let intended_over = last.saturating_sub(first);
        // One request alone says nothing of a tenant's share.
        if intended_over > Picoseconds::ZERO {
            self.shares.push(ratio(intended_over.0 as f64, active.0 as f64));
        }
        self.tenants.push(row);
    }

    fn add_to_summary(&mut self, row: &TenantRow, books: &VfBooks, incidents: &VfIncidents) {
        let summary = &mut self.summary;
        summary.vfs += 1;
        summary.dma_total += row.dma_total;
        summary.dma_warmup += row.dma_warmup;
        summary.dma_translated += row.dma_translated;
        summary.dma_blocked += row.dma_blocked;
        summary.dma_reads += row.dma_reads;
        summary.dma_writes += row.dma_writes;
        summary.read_bytes += row.read_bytes;
        summary.write_bytes += row.write_bytes;
        summary.service_max_ns = summary.service_max_ns.max(row.service_max_ns);
        summary.dma_source_stalled += row.dma_source_stalled;
        summary.iotlb_hits += row.iotlb_hits;
        summary.iotlb_misses += row.iotlb_misses;
        summary.iotlb_misses_joined += row.iotlb_misses_joined;
        summary.device_tlb_hits += row.device_tlb_hits;
        summary.device_tlb_misses += row.device_tlb_misses;
        summary.device_tlb_misses_joined += row.device_tlb_misses_joined;
        for (sum, more) in [
            (&mut summary.iotlb_misses_cold, row.iotlb_misses_cold),
            (&mut summary.iotlb_misses_capacity, row.iotlb_misses_capacity),
            (&mut summary.iotlb_misses_conflict, row.iotlb_misses_conflict),
            (&mut summary.iotlb_misses_invalidation, row.iotlb_misses_invalidation),
        ] {
            *sum = more.map(|more| sum.unwrap_or(0) + more);
        }
        summary.blocked_no_context += row.blocked_no_context;
        summary.blocked_bad_length += row.blocked_bad_length;
        summary.blocked_address_overflow += row.blocked_address_overflow;
        summary.blocked_not_mapped += row.blocked_not_mapped;
        summary.blocked_no_permission += row.blocked_no_permission;
        summary.blocked_ats_disabled += row.blocked_ats_disabled;
        summary.forged += row.forged;
        summary.forged_foreign += row.forged_foreign;
        summary.breach_total += incidents.breaches;
        summary.cross_tenant_total += row.cross_tenant;
        summary.stale_total += row.stale;
        summary.silence_ns += row.silence_ns;
        summary.dma_held += row.dma_held;
        summary.dma_aborted += row.dma_aborted;
        summary.dma_starved += row.dma_starved;
        summary.switch_faults += row.switch_faults;
        summary.vm_starts += row.vm_starts;
        summary.vm_stops += row.vm_stops;
        summary.vm_migrations += row.vm_migrations;
        summary.vm_down_ns += row.vm_down_ns;
        summary.blackout_max_ns = summary.blackout_max_ns.max(row.blackout_max_ns);
        summary.unmaps += row.unmaps;
        summary.unmap_wait_max_ns = summary.unmap_wait_max_ns.max(row.unmap_wait_max_ns);
        self.latency_sum_ps += books.latency_sum_ps;
        self.latency_max = self.latency_max.max(books.latency_max);
        self.service_sum_ps += books.service_sum_ps;
    }

    /// The results; `adapters` and `walkers` are those of the fleet, `classes` the names of the tenants' classes.
    #[must_use]
    pub fn finish(mut self, adapters: u64, walkers: u64, classes: &[String]) -> Results {
        let (simulated, counted) = (self.end, self.counted());
        let (attributed, attribution) = self.attributed.finish(classes, &mut self.summary);
        let mut all = new_histogram();
        for latencies in &self.latencies {
            all.checked_add_assign(latencies).expect("64 bits suffice");
        }
        let late = self.invalidation_spans.iter().map(|(start, end)| time_before(simulated, *start, *end));
        let invalidation_busy_ps = self.invalidation_busy_ps + u128::from(late.sum::<u64>());
        let escapes = self.escapes.totals();
        let share = |busy: u128, servers: u64| ratio(busy as f64, servers as f64 * counted.0 as f64);
        let gbps = |bytes: u64| ratio(bytes as f64 * 8e3, counted.0 as f64);
        let summary = &self.summary;
        let lookups = summary.iotlb_hits + summary.iotlb_misses;
        let lost = summary.dma_aborted + summary.dma_starved;
        let over = summary.dma_total - lost;
        let mean_ns = |sum: u128| ratio(sum as f64 / 1e3, over as f64);
        let of_all = Latencies { requests: over, total_ps: self.latency_sum_ps };
        let undisturbed = self.recovering.others_of(&self.held_over.others_of(&of_all));
        let summary = SummaryRow {
            simulated_ns: simulated.as_ns_f64(),
            read_gbps: gbps(summary.read_bytes),
            write_gbps: gbps(summary.write_bytes),
            upstream_utilisation: share(self.uplink_busy_ps, adapters),
            downstream_utilisation: share(self.downlink_busy_ps, adapters),
            latency_mean_ns: mean_ns(self.latency_sum_ps),
            latency_max_ns: self.latency_max.as_ns_f64(),
            latency_p50_ns: quantile_ns(&all, 0.5, self.latency_max),
            latency_p99_ns: quantile_ns(&all, 0.99, self.latency_max),
            latency_p999_ns: quantile_ns(&all, 0.999, self.latency_max),
            service_mean_ns: mean_ns(self.service_sum_ps),
            iotlb_lookups: lookups,
            device_tlb_hit_ratio: ratio(
                summary.device_tlb_hits as f64,
                (summary.device_tlb_hits + summary.device_tlb_misses) as f64,
            ),
            iotlb_hit_ratio: ratio(summary.iotlb_hits as f64, lookups as f64),
            walker_utilisation: share(self.walker_busy_ps, walkers),
            walk_wait_mean_ns: ratio(self.walk_wait_ps as f64 / 1e3, summary.walks as f64),
            walker_stall_ns: self.stall_ps as f64 / 1e3,
            unmap_wait_mean_ns: ratio(self.unmap_wait_ps as f64 / 1e3, summary.unmaps as f64),
            invalidation_queue_utilisation: share(invalidation_busy_ps, u64::from(summary.iommus)),
            switch_mean_ns: ratio(self.switch_ps as f64 / 1e3, summary.switches as f64),
            vm_start_mean_ns: ratio(self.start_ps as f64 / 1e3, summary.vm_starts as f64),
            blackout_mean_ns: ratio(self.blackout_ps as f64 / 1e3, summary.vm_migrations as f64),
            held_mean_ns: ratio(self.held_ps as f64 / 1e3, summary.dma_held as f64),
            disturbed_mean_ns: self.held_over.mean_ns(),
            dma_recovering: self.recovering.requests,
            recovering_mean_ns: self.recovering.mean_ns(),
            undisturbed_mean_ns: undisturbed.mean_ns(),
            recovery_mean_ns: ratio(self.recoveries.total_ps as f64 / 1e3, self.recoveries.pauses as f64),
            recovery_max_ns: self.recoveries.max.as_ns_f64(),
            availability: ratio(self.availability, summary.vfs as f64),
            lost_wait_mean_ns: ratio(self.lost_ps as f64 / 1e3, self.lost as f64),
            slices: self.slices.slices,
            slices_used: self.slices.used,
            slice_wait_mean_ns: ratio(self.slices.wait_ps as f64 / 1e3, self.slices.sent as f64),
            invalidation_wait_mean_ns: ratio(
                self.invalidation_wait_ps as f64 / 1e3,
                summary.invalidations as f64,
            ),
            exposure_frame_us: self.exposure_ps as f64 / 1e6,
            host_down_ns: self
                .down
                .iter()
                .map(|down| (down.end.min(simulated).saturating_sub(down.begin)).as_ns_f64())
                .sum(),
            fault_overflow: summary.faults_lost > 0,
            escapes_total: escapes.packets,
            escapes_allowed: escapes.packets - escapes.denied,
            escapes_denied: escapes.denied,
            escapes_deferred: escapes.deferred,
            kmd_exposed: escapes.exposed,
            escape_stall_ns: self.stalls_ps as f64 / 1e3,
            fairness_jain: jain(&self.shares),
            ..self.summary
        };
        let rows = [("latency", &self.latencies), ("service", &self.services)];
        let latency = rows
            .into_iter()
            .flat_map(|(measure, histograms)| {
                [Op::Read, Op::Write]
                    .into_iter()
                    .flat_map(move |op| buckets(measure, op, &histograms[op as usize]))
            })
            .collect();
        let of_classes = self.classes.iter().zip(0..).map(|(totals, class)| totals.figures(class));
        let breach = self.breach.map(|(first, host)| first.describe(host, summary.breach_total));
        let figures = of_classes.chain(self.of_vfs).collect();
        Results { summary, tenants: self.tenants, latency, figures, attributed, attribution, breach }
    }
}

/// What slices cost each VF of a world.
fn slices(world: &mut World) -> Vec<SliceBooks> {
    let end = last_completed(world);
    let mut adapters = world.query::<(&AdapterVfs, &Slices)>();
    let of_adapter = |(vfs, slices): (&AdapterVfs, &Slices)| {
        let books =
            |vf| slices.0.as_deref().map_or_else(SliceBooks::default, |slicing| slicing.books(vf, end));
        (vfs.first..vfs.end).map(books).collect::<Vec<_>>()
    };
    adapters.iter(world).flat_map(of_adapter).collect()
}

fn buckets<'a>(
    measure: &'static str,
    op: Op,
    histogram: &'a Histogram,
) -> impl Iterator<Item = LatencyRow> + 'a {
    histogram.iter().filter(|bucket| bucket.count() > 0).map(move |bucket| LatencyRow {
        measure,
        op: op.name(),
        low_ns: bucket.start(),
        high_ns: bucket.end(),
        count: bucket.count(),
    })
}
