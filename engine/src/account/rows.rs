//! The rows of every result table of a run.

use crate::table::row;

row! {
    /// The whole run in one row.
    SummaryRow => "summary" {
        /// Scenario.
        scenario: String,
        /// Seed of every stream.
        seed: u64,
        /// Hosts simulated.
        hosts: u32,
        /// IOMMUs simulated.
        iommus: u32,
        /// VFs simulated.
        vfs: u64,
        /// Simulated time from the start to the last completion, ns.
        simulated_ns: f64,
        /// Simulated time at which counting starts, ns: DMAs intended before it count in no column but `dma_warmup`,
        /// the hardware's counters start at it, and rates and shares of time are those of the time after it.
        warmup_ns: f64,
        /// DMAs intended, each with exactly one outcome.
        dma_total: u64,
        /// DMAs intended in the warm-up, simulated and not counted.
        dma_warmup: u64,
        /// DMAs translated and performed.
        dma_translated: u64,
        /// DMAs blocked by the IOMMU.
        dma_blocked: u64,
        /// Read DMAs translated or blocked.
        dma_reads: u64,
        /// Write DMAs translated or blocked.
        dma_writes: u64,
        /// Bytes read from host memory.
        read_bytes: u64,
        /// Bytes written to host memory.
        write_bytes: u64,
        /// Payload read, Gb/s of simulated time, all adapters.
        read_gbps: f64,
        /// Payload written, Gb/s of simulated time, all adapters.
        write_gbps: f64,
        /// Share of simulated time the links to the hosts are busy, mean over adapters.
        upstream_utilisation: f64,
        /// Share of simulated time the links from the hosts are busy, mean over adapters.
        downstream_utilisation: f64,
        /// Mean latency from intention to completion, ns.
        latency_mean_ns: f64,
        /// Median latency, ns (within 1 %).
        latency_p50_ns: u64,
        /// 99th percentile of the latency, ns (within 1 %).
        latency_p99_ns: u64,
        /// 99.9th percentile of the latency, ns (within 1 %).
        latency_p999_ns: u64,
        /// Greatest latency, ns.
        latency_max_ns: f64,
        /// Part of the mean latency that is time until it may go on the link: in the source, its VF's queue,
        /// and for a slot of its VF, ns. Only with `report.attribution`.
        latency_held_mean_ns: Option<f64>,
        /// Part of the mean latency that is time in which a switch of a domain kept the VF silent, ns. Only with
        /// `report.attribution`.
        latency_silence_mean_ns: Option<f64>,
        /// Part of the mean latency that is time for the device's own TLB: the look-up in it, its slots and its limit
        /// of translation requests, and answers to requests of other DMAs, ns. Only with `report.attribution`.
        latency_device_tlb_mean_ns: Option<f64>,
        /// Part of the mean latency that is time while the adapter's next request has no flow credit, read
        /// tag or slot of the adapter, ns. Only with `report.attribution`.
        latency_credit_mean_ns: Option<f64>,
        /// Part of the mean latency that is time for the link, busy or held back by rate limits, and on it,
        /// both ways, ns. Only with `report.attribution`.
        latency_link_mean_ns: Option<f64>,
        /// Part of the mean latency that is time for the look-up itself, ns. Only with `report.attribution`.
        latency_iotlb_mean_ns: Option<f64>,
        /// Part of the mean latency that is time for a place in the walkers' queue, and in it for a walker,
        /// ns. Only with `report.attribution`.
        latency_walk_queue_mean_ns: Option<f64>,
        /// Part of the mean latency that is time for the walk under way, its own or the one it joined, ns.
        /// Only with `report.attribution`.
        latency_walk_mean_ns: Option<f64>,
        /// Part of the mean latency that is time for the walk of a translation that an invalidation had
        /// dropped, its queue included, ns. Only with `report.attribution`.
        latency_invalidation_mean_ns: Option<f64>,
        /// Part of the mean latency that is time for memory and the last-level cache, or for the status of a
        /// fault, ns. Only with `report.attribution`.
        latency_memory_mean_ns: Option<f64>,
        /// Part of the mean latency that is time for requests before it, where reads retire or writes reach
        /// memory in order, ns. Only with `report.attribution`.
        latency_retirement_mean_ns: Option<f64>,
        /// Mean service time from issue to completion, ns.
        service_mean_ns: f64,
        /// Greatest service time, ns.
        service_max_ns: f64,
        /// Requests that found their VF's queue full and waited in the source.
        dma_source_stalled: u64,
        /// IOTLB look-ups, one a leaf touched.
        iotlb_lookups: u64,
        /// Look-ups served by a cached entry.
        iotlb_hits: u64,
        /// Look-ups not served by a cached entry.
        iotlb_misses: u64,
        /// Misses that joined a walk under way.
        iotlb_misses_joined: u64,
        /// Misses of translations that the IOTLB never held. Only with `report.miss_causes`.
        iotlb_misses_cold: Option<u64>,
        /// Misses of translations that were evicted, and would have been from a fully associative IOTLB of as
        /// many entries. Only with `report.miss_causes`.
        iotlb_misses_capacity: Option<u64>,
        /// Misses of translations that were evicted, and that a fully associative IOTLB of as many entries
        /// would hold. Only with `report.miss_causes`.
        iotlb_misses_conflict: Option<u64>,
        /// Misses of translations that an invalidation had dropped. Only with `report.miss_causes`.
        iotlb_misses_invalidation: Option<u64>,
        /// Hits as a share of look-ups; 0 without look-ups.
        iotlb_hit_ratio: f64,
        /// Valid entries replaced.
        iotlb_evictions: u64,
        /// Entries dropped by invalidations.
        iotlb_invalidated: u64,
        /// DMAs whose look-up in a device TLB was served by an entry.
        device_tlb_hits: u64,
        /// DMAs whose look-up in a device TLB was not served by an entry.
        device_tlb_misses: u64,
        /// Of these, such that joined a translation request under way.
        device_tlb_misses_joined: u64,
        /// Device TLB hits as a share of its look-ups; 0 without look-ups.
        device_tlb_hit_ratio: f64,
        /// Buffers of streaming mappings unmapped.
        unmaps: u64,
        /// Mean time from an unmap to its return, ns.
        unmap_wait_mean_ns: f64,
        /// Greatest time from an unmap to its return, ns.
        unmap_wait_max_ns: f64,
        /// Commands that the invalidation queues carried out.
        invalidations: u64,
        /// Of these, flushes of deferred unmaps.
        invalidation_flushes: u64,
        /// Share of simulated time the invalidation queues are busy, mean over IOMMUs.
        invalidation_queue_utilisation: f64,
        /// Mean wait of a command for the invalidation queue, ns.
        invalidation_wait_mean_ns: f64,
        /// Time from the return of an unmap until no cached translation of its page can be left, summed over
        /// frames, us.
        exposure_frame_us: f64,
        /// Page-table walks started.
        walks: u64,
        /// Walks that ended in a fault.
        walks_faulted: u64,
        /// Memory accesses of all walks.
        walk_accesses: u64,
        /// Walks that went on from an entry for 2 MiB of the walk cache of level 2.
        walk_cache_l2_hits: u64,
        /// Walks that looked for an entry in the walk cache of level 2 in vain.
        walk_cache_l2_misses: u64,
        /// Walks that went on from an entry for 1 GiB of the walk cache of level 3.
        walk_cache_l3_hits: u64,
        /// Walks that looked for an entry in the walk cache of level 3 in vain.
        walk_cache_l3_misses: u64,
        /// Walks that went on from an entry for 512 GiB of the walk cache of level 4.
        walk_cache_l4_hits: u64,
        /// Walks that looked for an entry in the walk cache of level 4 in vain.
        walk_cache_l4_misses: u64,
        /// Walks that went on from an entry for 256 TiB of the walk cache of level 5.
        walk_cache_l5_hits: u64,
        /// Walks that looked for an entry in the walk cache of level 5 in vain.
        walk_cache_l5_misses: u64,
        /// Share of simulated time the walkers are busy, mean over all walkers.
        walker_utilisation: f64,
        /// Mean wait of a walk for a walker, ns.
        walk_wait_mean_ns: f64,
        /// Look-ups that found the walkers' queue full and stalled the IOMMU.
        walker_queue_stalls: u64,
        /// Time the look-ups were stalled by a full walkers' queue, summed over IOMMUs, ns.
        walker_stall_ns: f64,
        /// DMAs blocked because their device has no domain.
        blocked_no_context: u64,
        /// DMAs blocked because they are empty.
        blocked_bad_length: u64,
        /// DMAs blocked because they run over the end of the address space.
        blocked_address_overflow: u64,
        /// DMAs blocked because no leaf maps a page.
        blocked_not_mapped: u64,
        /// DMAs blocked because a leaf does not grant the right.
        blocked_no_permission: u64,
        /// DMAs blocked because they are marked as translated, and the context entry of their VF does not enable ATS.
        blocked_ats_disabled: u64,
        /// DMAs sent as translated requests with an address that the device made up.
        forged: u64,
        /// Of these, such that reached a frame of another tenant, or of nobody.
        forged_foreign: u64,
        /// Fault records queued.
        faults_recorded: u64,
        /// Fault records lost to a full queue.
        faults_lost: u64,
        /// Whether a fault queue overflowed.
        fault_overflow: bool,
        /// Translations the owner map judged.
        audited_total: u64,
        /// Pages reached through a cached translation after the unmap had returned.
        stale_total: u64,
        /// DMAs that reached a frame of another owner: never, or the engine is wrong.
        breach_total: u64,
        /// DMAs that reached another tenant's frame through a shared domain.
        cross_tenant_total: u64,
        /// Switches of domains.
        switches: u64,
        /// Of these, those after which the old domain was still attached: the drain took too long, or a step failed.
        switches_aborted: u64,
        /// Of these, those in which a step failed that was meant to (`[failures]`).
        switches_failed: u64,
        /// Switches that were refused: too many waited when they were due, or their VF had lost its function for good.
        switches_refused: u64,
        /// Mean time from the beginning of a switch until requests leave again, ns.
        switch_mean_ns: f64,
        /// Greatest time from the beginning of a switch until requests leave again, ns.
        switch_max_ns: f64,
        /// Time in which VFs could send nothing because of a switch, summed over them, ns.
        silence_ns: f64,
        /// DMAs held back by pauses.
        dma_held: u64,
        /// Mean time for which a DMA that was held back was, ns.
        held_mean_ns: f64,
        /// Mean latency of DMAs that a pause held back, ns.
        disturbed_mean_ns: f64,
        /// DMAs that no pause held back, intended after one and before the last that it held back had left.
        dma_recovering: u64,
        /// Their mean latency, ns.
        recovering_mean_ns: f64,
        /// Mean latency of the others, ns.
        undisturbed_mean_ns: f64,
        /// Mean time from the end of a switch until all DMAs that it held back had left, over switches that held back some
        /// that left, ns.
        recovery_mean_ns: f64,
        /// The greatest, ns.
        recovery_max_ns: f64,
        /// Share of the time that counts, up to the last completion, in which a VF could send as far as switches go, mean over
        /// VFs: not in a pause or reset, nor after its function was lost for good or left silent.
        availability: f64,
        /// DMAs that never left and were aborted: their VM stopped, or their function was reset, or in quarantine.
        dma_aborted: u64,
        /// DMAs that never left since nobody resumed the scheduler: held for good.
        dma_starved: u64,
        /// Mean time from the intent of an aborted or starved DMA until it was lost, ns.
        lost_wait_mean_ns: f64,
        /// DMAs that met a domain in the middle of its switch and were blocked.
        switch_faults: u64,
        /// VMs that started on VFs during the run.
        vm_starts: u64,
        /// VMs that stopped.
        vm_stops: u64,
        /// VMs that moved away while others came into their places.
        vm_migrations: u64,
        /// Time in which VFs had no VM, summed over them, ns.
        vm_down_ns: f64,
        /// Mean time from when a VM was to start until it ran, ns.
        vm_start_mean_ns: f64,
        /// Mean time from the pause of a VM that moved until it ran again, ns.
        blackout_mean_ns: f64,
        /// The greatest, ns.
        blackout_max_ns: f64,
        /// Bug checks: faults and hangs that ended a host (`[host]`).
        bug_checks: u64,
        /// Time hosts were down within the run, summed, ns.
        host_down_ns: f64,
        /// Events refused; 0 in a run.
        refused_total: u64,
        /// Tenants that were not admitted: they have no VF and send nothing.
        vms_refused: u64,
        /// Escapes decided on.
        escapes_total: u64,
        /// Escapes handed to the driver.
        escapes_allowed: u64,
        /// Escapes denied.
        escapes_denied: u64,
        /// Escapes that waited for the end of an exclusive window.
        escapes_deferred: u64,
        /// Escapes that reached the driver with a private payload it does not know.
        kmd_exposed: u64,
        /// Escapes that stalled their adapter.
        escape_stalls: u64,
        /// Time in which nothing could leave an adapter because of an escape, summed over them, ns.
        escape_stall_ns: f64,
        /// Slices of VFs that began (`scheduler.policy`).
        slices: u64,
        /// Of these, those in which their VF sent something.
        slices_used: u64,
        /// Mean time for which a DMA that left was in its VF's queue, with one of its slots, outside slices of its VF, ns.
        slice_wait_mean_ns: f64,
        /// Message-signalled interrupts that devices wrote (`[interrupts]`), for one interrupt or for all that were masked in a
        /// window.
        msi_writes: u64,
        /// Of these, those written inside an exclusive window, where interrupts are not masked.
        msi_in_silence: u64,
        /// Interrupts that were masked, and held until the end of their exclusive window.
        msi_masked: u64,
        /// Jain's index of the tenants' throughput relative to what each intended: 1 is fair.
        fairness_jain: f64,
        /// Rows of the timeline that did not fit.
        timeline_dropped: u64,
        /// Host: building the world, s.
        wall_build_s: f64,
        /// Host: simulating, s.
        wall_simulate_s: f64,
        /// Host: DMAs simulated a second.
        wall_dma_per_s: f64,
        /// Host: peak resident memory, bytes.
        wall_peak_memory_bytes: u64,
    }
}

row! {
    /// One VF and its tenant.
    TenantRow => "tenants" {
        /// Host.
        host: u32,
        /// IOMMU within the host.
        iommu: u32,
        /// Adapter within the host.
        adapter: u32,
        /// VF within the adapter.
        vf: u32,
        /// Requester ID with segment.
        requester_id: u32,
        /// Domain ID; absent where the VF is not attached.
        domain: Option<u64>,
        /// Tenant class.
        class: String,
        /// Class of the host; `all` where the scenario has no classes of hosts.
        host_class: String,
        /// What the tenant is: `host_process`, `normal` or `secure`.
        vm_kind: &'static str,
        /// `admitted`, or why it was not.
        admission: &'static str,
        /// DMAs intended.
        dma_total: u64,
        /// DMAs intended in the warm-up, simulated and not counted.
        dma_warmup: u64,
        /// DMAs translated and performed.
        dma_translated: u64,
        /// DMAs blocked by the IOMMU.
        dma_blocked: u64,
        /// Read DMAs translated or blocked.
        dma_reads: u64,
        /// Write DMAs translated or blocked.
        dma_writes: u64,
        /// Bytes read from host memory.
        read_bytes: u64,
        /// Bytes written to host memory.
        write_bytes: u64,
        /// Payload moved, Gb/s over the tenant's own span of activity.
        throughput_gbps: f64,
        /// Mean latency from intention to completion, ns.
        latency_mean_ns: f64,
        /// Median latency, ns (within 1 %).
        latency_p50_ns: u64,
        /// 99th percentile of the latency, ns (within 1 %).
        latency_p99_ns: u64,
        /// 99.9th percentile of the latency, ns (within 1 %).
        latency_p999_ns: u64,
        /// Greatest latency, ns.
        latency_max_ns: f64,
        /// Mean service time from issue to completion, ns.
        service_mean_ns: f64,
        /// Greatest service time, ns.
        service_max_ns: f64,
        /// Requests that found the VF's queue full and waited in the source.
        dma_source_stalled: u64,
        /// IOTLB hits.
        iotlb_hits: u64,
        /// IOTLB misses.
        iotlb_misses: u64,
        /// Misses that joined a walk under way.
        iotlb_misses_joined: u64,
        /// DMAs whose look-up in the device TLB was served by an entry.
        device_tlb_hits: u64,
        /// DMAs whose look-up in the device TLB was not served by an entry.
        device_tlb_misses: u64,
        /// Of these, such that joined a translation request under way.
        device_tlb_misses_joined: u64,
        /// Misses of translations that the IOTLB never held. Only with `report.miss_causes`.
        iotlb_misses_cold: Option<u64>,
        /// Misses of translations that were evicted, and would have been from a fully associative IOTLB of as
        /// many entries. Only with `report.miss_causes`.
        iotlb_misses_capacity: Option<u64>,
        /// Misses of translations that were evicted, and that a fully associative IOTLB of as many entries
        /// would hold. Only with `report.miss_causes`.
        iotlb_misses_conflict: Option<u64>,
        /// Misses of translations that an invalidation had dropped. Only with `report.miss_causes`.
        iotlb_misses_invalidation: Option<u64>,
        /// DMAs blocked because the VF has no domain.
        blocked_no_context: u64,
        /// DMAs blocked because they are empty.
        blocked_bad_length: u64,
        /// DMAs blocked because they run over the end of the address space.
        blocked_address_overflow: u64,
        /// DMAs blocked because no leaf maps a page.
        blocked_not_mapped: u64,
        /// DMAs blocked because a leaf does not grant the right.
        blocked_no_permission: u64,
        /// DMAs blocked because they are marked as translated, and the context entry of their VF does not enable ATS.
        blocked_ats_disabled: u64,
        /// DMAs sent as translated requests with an address that the device made up.
        forged: u64,
        /// Of these, such that reached a frame of another tenant, or of nobody.
        forged_foreign: u64,
        /// DMAs that reached another tenant's frame through a shared domain.
        cross_tenant: u64,
        /// Buffers of streaming mappings unmapped.
        unmaps: u64,
        /// Mean time from an unmap to its return, ns.
        unmap_wait_mean_ns: f64,
        /// Greatest time from an unmap to its return, ns.
        unmap_wait_max_ns: f64,
        /// Time from the return of an unmap until no cached translation of its page can be left, summed over
        /// frames, us.
        exposure_frame_us: f64,
        /// Pages reached through a cached translation after the unmap had returned.
        stale: u64,
        /// Switches of the VF's domain.
        switches: u64,
        /// Time in which it could send nothing because of a switch, ns.
        silence_ns: f64,
        /// DMAs held back by pauses.
        dma_held: u64,
        /// Mean time for which a DMA that was held back was, ns.
        held_mean_ns: f64,
        /// Mean latency of DMAs that a pause held back, ns.
        disturbed_mean_ns: f64,
        /// DMAs that no pause held back, intended after one and before the last that it held back had left.
        dma_recovering: u64,
        /// Their mean latency, ns.
        recovering_mean_ns: f64,
        /// Mean latency of the others, ns.
        undisturbed_mean_ns: f64,
        /// Share of the time that counts, up to the run's last completion, in which it could send as far as switches go: not in
        /// a pause or reset, nor after its function was lost for good or left silent.
        availability: f64,
        /// DMAs that never left and were aborted: their VM stopped, or their function was reset, or in quarantine.
        dma_aborted: u64,
        /// DMAs that never left since nobody resumed the scheduler: held for good.
        dma_starved: u64,
        /// Mean time from the intent of an aborted or starved DMA until it was lost, ns.
        lost_wait_mean_ns: f64,
        /// DMAs that met the domain in the middle of its switch and were blocked.
        switch_faults: u64,
        /// VMs that started on the VF during the run.
        vm_starts: u64,
        /// VMs that stopped.
        vm_stops: u64,
        /// VMs that moved away while others came into their places.
        vm_migrations: u64,
        /// Time in which the VF had no VM, ns.
        vm_down_ns: f64,
        /// Mean time from when a VM was to start until it ran, ns.
        vm_start_mean_ns: f64,
        /// Mean time from the pause of a VM that moved until it ran again, ns.
        blackout_mean_ns: f64,
        /// The greatest, ns.
        blackout_max_ns: f64,
        /// Escapes of the tenant decided on.
        escapes_total: u64,
        /// Of these, denied.
        escapes_denied: u64,
        /// Of these, those that reached the driver with a private payload it does not know.
        kmd_exposed: u64,
        /// Slices of the VF that began (`scheduler.policy`).
        slices: u64,
        /// Of these, those in which it sent something.
        slices_used: u64,
        /// Mean time for which a DMA that left was in the VF's queue, with one of its slots, outside slices of the VF, ns.
        slice_wait_mean_ns: f64,
        /// Escapes of the tenant that stalled the adapter.
        escape_stalls: u64,
        /// Time in which nothing could leave the adapter because of them, ns.
        escape_stall_ns: f64,
        /// Time in which it could send nothing because of the escapes of others, ns.
        escape_stalled_ns: f64,
        /// Why its VF could not be attached to a domain; absent where it was.
        attach_error: Option<&'static str>,
    }
}

row! {
    /// One IOMMU of a host in one window of simulated time; a DMA counts in the window it completes in. Windows in which
    /// none completes are left out.
    WindowRow => "windows" {
        /// Window, counted from 0.
        window: u64,
        /// Its start, ns.
        start_ns: f64,
        /// Its end, ns.
        end_ns: f64,
        /// Host.
        host: u32,
        /// IOMMU within the host.
        iommu: u32,
        /// Class of the host; `all` where the scenario has no classes of hosts.
        host_class: String,
        /// DMAs translated and performed.
        dma_translated: u64,
        /// DMAs blocked by the IOMMU.
        dma_blocked: u64,
        /// Bytes read from host memory.
        read_bytes: u64,
        /// Bytes written to host memory.
        write_bytes: u64,
        /// IOTLB hits.
        iotlb_hits: u64,
        /// IOTLB misses.
        iotlb_misses: u64,
        /// Mean latency, ns; 0 without completions.
        latency_mean_ns: f64,
        /// Greatest latency, ns.
        latency_max_ns: f64,
    }
}

row! {
    /// One VF in one window of simulated time; a DMA counts in the window it completes in. Windows in which none
    /// of the VF completes are left out. Only with `report.tenant_windows`.
    TenantWindowRow => "tenant_windows" {
        /// Window, counted from 0.
        window: u64,
        /// Its start, ns.
        start_ns: f64,
        /// Its end, ns.
        end_ns: f64,
        /// Host.
        host: u32,
        /// IOMMU within the host.
        iommu: u32,
        /// Adapter within the host.
        adapter: u32,
        /// VF within the adapter.
        vf: u32,
        /// Tenant class.
        class: String,
        /// Class of the host; `all` where the scenario has no classes of hosts.
        host_class: String,
        /// DMAs translated and performed.
        dma_translated: u64,
        /// DMAs blocked by the IOMMU.
        dma_blocked: u64,
        /// Bytes read from host memory.
        read_bytes: u64,
        /// Bytes written to host memory.
        write_bytes: u64,
        /// IOTLB hits.
        iotlb_hits: u64,
        /// IOTLB misses.
        iotlb_misses: u64,
        /// Mean latency, ns.
        latency_mean_ns: f64,
        /// Greatest latency, ns.
        latency_max_ns: f64,
    }
}

row! {
    /// What waits and what is under way at an instant, an adapter; instants at which both are as at the one before are
    /// left out, and before the first row both are 0. Those of the warm-up count. Only with `report.levels`.
    LevelRow => "levels" {
        /// The instant, ps.
        time_ps: u64,
        /// Host.
        host: u32,
        /// IOMMU within the host.
        iommu: u32,
        /// Adapter within the host.
        adapter: u32,
        /// DMAs that are intended, and neither on the link yet nor asked about there by a device with a TLB.
        backlog: u64,
        /// The others that are not complete yet.
        in_flight: u64,
    }
}

row! {
    /// One cause of one VF's latencies: the sums of a VF's causes are the sum of its latencies, to the picosecond. Only
    /// with `report.attribution`.
    AttributionRow => "attribution" {
        /// Host.
        host: u32,
        /// IOMMU within the host.
        iommu: u32,
        /// Adapter within the host.
        adapter: u32,
        /// VF within the adapter.
        vf: u32,
        /// Tenant class.
        class: String,
        /// Class of the host; `all` where the scenario has no classes of hosts.
        host_class: String,
        /// `held`, `device_tlb`, `credit`, `link`, `iotlb`, `walk_queue`, `walk`, `invalidation`, `memory` or
        /// `retirement`.
        cause: &'static str,
        /// What the latencies of the VF's DMAs have of it, summed, ps.
        latency_sum_ps: u64,
        /// The same as a mean over its DMAs, ns.
        latency_mean_ns: f64,
        /// The same as a share of the sum of its latencies; 0 where that is 0.
        latency_share: f64,
    }
}

row! {
    /// How often translations that one class of tenants brought into IOTLBs were replaced by those of one class. Only
    /// with `report.miss_causes`.
    EvictionRow => "evictions" {
        /// Tenant class whose DMAs brought the new translations in.
        evictor_class: String,
        /// Tenant class whose DMAs had brought in those that were replaced.
        victim_class: String,
        /// Entries replaced.
        evictions: u64,
        /// The same as a share of the entries that the victim class lost; 0 where that is 0.
        victim_share: f64,
    }
}

row! {
    /// One thing that happened to a host.
    TimelineRow => "timeline" {
        /// When, ps.
        time_ps: u64,
        /// When it ended, ps, where it took time and has an end.
        end_ps: Option<u64>,
        /// Host.
        host: u32,
        /// IOMMU within the host.
        iommu: u32,
        /// Adapter within the host.
        adapter: u32,
        /// VF within the adapter.
        vf: u32,
        /// What: `fault`; `admission` of a tenant of which something is asked; `attach`, where that failed for another; `switch`, a
        /// phase of a switch of the VF's domain; `escape_stall`, a phase of a stall by an escape of the VF's tenant; `lifecycle`, a
        /// state that the VF entered (`[lifecycle]`); `bug_check`, the host is down because of the VF.
        kind: &'static str,
        /// The fault's name; `admitted`, or why not; why the VF could not be attached; the phase; the state; what ended the host:
        /// `fault`, `switch_fault`, `hangs`, `stuck_driver`.
        detail: &'static str,
        /// Address concerned.
        iova: Option<u64>,
        /// Direction of the DMA concerned.
        op: Option<&'static str>,
    }
}

row! {
    /// Escapes of one class of tenants that are of one kind and met one fate, of all its VMs together; those of the
    /// warm-up are left out. Only where tenants send escapes.
    EscapeRow => "escapes" {
        /// Tenant class.
        class: String,
        /// What its tenants are: `host_process`, `normal` or `secure`.
        vm_kind: &'static str,
        /// What kind of escape: `known`, `common`, `conventional`, `test`, `ambiguous`, or `malformed` for what is no packet.
        escape_class: &'static str,
        /// `allow` or `deny`.
        decision: &'static str,
        /// Why: the row of the filter's table.
        reason: &'static str,
        /// Packets.
        packets: u64,
        /// Their bytes, headers included.
        message_bytes: u64,
        /// Packets that waited for the end of an exclusive window.
        deferred: u64,
        /// Packets that reached the driver with a private payload it does not know.
        kmd_exposed: u64,
        /// Mean latency from sending to decision, ns; an allowed packet's decision is when the driver gets it.
        latency_mean_ns: f64,
        /// Median latency, ns (within 1 %).
        latency_p50_ns: u64,
        /// 99th percentile of the latency, ns (within 1 %).
        latency_p99_ns: u64,
        /// Greatest latency, ns.
        latency_max_ns: f64,
    }
}

row! {
    /// One class of tenants, or one of its VFs: together with the other classes, and alone, while these intend
    /// nothing and everything else is the same. Only with `--alone`.
    SlowdownRow => "slowdown" {
        /// Tenant class.
        class: String,
        /// Class of the host; absent, as are host, IOMMU, adapter and VF, in the row of the whole class.
        host_class: Option<String>,
        /// Host.
        host: Option<u64>,
        /// IOMMU within the host.
        iommu: Option<u64>,
        /// Adapter within the host.
        adapter: Option<u64>,
        /// VF within the adapter.
        vf: Option<u64>,
        /// VFs the row is about.
        vfs: u64,
        /// Mean latency together, over that alone: 1 where the others cost nothing; absent where nothing counts in one
        /// of the two.
        slowdown: Option<f64>,
        /// The same of the 99th percentile of the latency.
        slowdown_p99: Option<f64>,
        /// The same of the mean service time: without the time before the issue.
        slowdown_service: Option<f64>,
        /// DMAs intended, together.
        dma_total: u64,
        /// DMAs intended, alone: as many but for closed loops in a given time, or after a warm-up.
        dma_total_alone: u64,
        /// Mean latency from intention to completion, together, ns.
        latency_mean_ns: f64,
        /// The same alone, ns.
        latency_mean_alone_ns: f64,
        /// Median latency, together, ns (within 1 %).
        latency_p50_ns: u64,
        /// The same alone, ns.
        latency_p50_alone_ns: u64,
        /// 99th percentile of the latency, together, ns (within 1 %).
        latency_p99_ns: u64,
        /// The same alone, ns.
        latency_p99_alone_ns: u64,
        /// Greatest latency, together, ns.
        latency_max_ns: f64,
        /// The same alone, ns.
        latency_max_alone_ns: f64,
        /// Mean service time from issue to completion, together, ns.
        service_mean_ns: f64,
        /// The same alone, ns.
        service_mean_alone_ns: f64,
        /// Payload moved, together, Gb/s over the span from the first intention of any of the VFs to their last
        /// completion.
        throughput_gbps: f64,
        /// The same alone, Gb/s.
        throughput_alone_gbps: f64,
    }
}

row! {
    /// One bucket of a latency histogram.
    LatencyRow => "latency" {
        /// `latency` (from intention) or `service` (from issue).
        measure: &'static str,
        /// `read` or `write`.
        op: &'static str,
        /// Least value of the bucket, ns.
        low_ns: u64,
        /// Greatest value of the bucket, ns.
        high_ns: u64,
        /// DMAs in it.
        count: u64,
    }
}

row! {
    /// One DMA of a run.
    RequestRow => "requests" {
        /// Host.
        host: u32,
        /// IOMMU within the host.
        iommu: u32,
        /// Adapter within the host.
        adapter: u32,
        /// VF within the adapter.
        vf: u32,
        /// Which request of its VF, counted from 0.
        sequence: u64,
        /// First byte.
        iova: u64,
        /// Bytes.
        length: u32,
        /// `r` or `w`.
        op: &'static str,
        /// When the tenant intended it, ps.
        intended_ps: u64,
        /// When its first byte left on the link, ps.
        issued_ps: u64,
        /// When its translation or fault was known, ps.
        translated_ps: u64,
        /// When it was complete, ps: a read when its data is back and it retires, a write when memory holds it.
        completed_ps: u64,
        /// `translated` or `blocked`.
        outcome: &'static str,
        /// Why it was blocked.
        fault: Option<&'static str>,
        /// First byte in the leaf that faulted, or the address that was marked as translated.
        fault_iova: Option<u64>,
        /// Physical address of the first byte, unless blocked.
        pa: Option<u64>,
        /// IOTLB hits.
        iotlb_hits: u32,
        /// IOTLB misses.
        iotlb_misses: u32,
        /// Pages reached through a cached translation after the unmap had returned.
        stale: u32,
        /// What became of its look-up in the device TLB: `hit`, `miss` or `joined`; `forged` where it is marked as
        /// translated with an address that was made up; absent where nothing was looked up.
        device_tlb: Option<&'static str>,
        /// Time until it may go on the link: in the source, its VF's queue, and for a slot of its VF, ps.
        /// Only with `report.attribution`.
        held_ps: Option<u64>,
        /// Time in which a switch of a domain kept the VF silent, ps. Only with `report.attribution`.
        silence_ps: Option<u64>,
        /// Time for the device's own TLB: the look-up in it, its slots and its limit of translation requests, and
        /// answers to requests of other DMAs, ps. Only with `report.attribution`.
        device_tlb_ps: Option<u64>,
        /// Time while the adapter's next request has no flow credit, read tag or slot of the adapter, ps.
        /// Only with `report.attribution`.
        credit_ps: Option<u64>,
        /// Time for the link, busy or held back by rate limits, and on it, both ways, ps. Only with
        /// `report.attribution`.
        link_ps: Option<u64>,
        /// Time for the look-up itself, ps. Only with `report.attribution`.
        iotlb_ps: Option<u64>,
        /// Time for a place in the walkers' queue, and in it for a walker, ps. Only with
        /// `report.attribution`.
        walk_queue_ps: Option<u64>,
        /// Time for the walk under way, its own or the one it joined, ps. Only with `report.attribution`.
        walk_ps: Option<u64>,
        /// Time for the walk of a translation that an invalidation had dropped, its queue included, ps. Only
        /// with `report.attribution`.
        invalidation_ps: Option<u64>,
        /// Time for memory and the last-level cache, or for the status of a fault, ps. Only with
        /// `report.attribution`.
        memory_ps: Option<u64>,
        /// Time for requests before it, where reads retire or writes reach memory in order, ps. Only with
        /// `report.attribution`.
        retirement_ps: Option<u64>,
    }
}
