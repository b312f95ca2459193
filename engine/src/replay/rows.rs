//! The rows of every result table of a replay.

use crate::table::row;

row! {
    /// The whole replay in one row.
    ReplaySummaryRow => "summary" {
        /// Trace replayed.
        trace: String,
        /// Seed of every stream.
        seed: u64,
        /// Events read.
        events_total: u64,
        /// DMAs replayed, each with exactly one outcome.
        dma_total: u64,
        /// DMAs translated.
        dma_translated: u64,
        /// DMAs blocked.
        dma_blocked: u64,
        /// DMAs blocked because the device has no domain.
        blocked_no_context: u64,
        /// DMAs blocked because they are empty.
        blocked_bad_length: u64,
        /// DMAs blocked because they run over the end of the address space.
        blocked_address_overflow: u64,
        /// DMAs blocked because no leaf maps a page.
        blocked_not_mapped: u64,
        /// DMAs blocked because a leaf does not grant the right.
        blocked_no_permission: u64,
        /// IOTLB look-ups, one a leaf touched.
        iotlb_lookups: u64,
        /// Look-ups served by a cached entry.
        iotlb_hits: u64,
        /// Look-ups not served by a cached entry.
        iotlb_misses: u64,
        /// Misses that joined a walk under way; 0 in a replay, where no walk outlasts its event.
        iotlb_misses_joined: u64,
        /// Hits as a share of look-ups; 0 without look-ups.
        iotlb_hit_ratio: f64,
        /// Valid entries replaced.
        iotlb_evictions: u64,
        /// Cached entries dropped by an unmap or an invalidation.
        iotlb_invalidated: u64,
        /// Page-table walks.
        walks: u64,
        /// Walks that ended in a fault.
        walks_faulted: u64,
        /// Pages translated by an entry the table no longer holds.
        stale_total: u64,
        /// Translations the owner map judged.
        audited_total: u64,
        /// Translations that reached a frame their domain does not own, with nothing stale: never, or the engine is wrong.
        breach_total: u64,
        /// Events refused.
        refused_total: u64,
        /// Domains seen.
        domains: u64,
        /// Devices seen.
        devices: u64,
        /// Leaves mapped at the end.
        leaves_mapped: u64,
        /// Host: replaying, s.
        wall_simulate_s: f64,
        /// Host: events a second.
        wall_events_per_s: f64,
        /// Host: peak resident memory, bytes.
        wall_peak_memory_bytes: u64,
    }
}

row! {
    /// One DMA of a replay.
    ReplayRequestRow => "requests" {
        /// Index of the event, the header not counted.
        row: u64,
        /// Requester ID with segment.
        device: u32,
        /// First byte.
        iova: u64,
        /// Bytes.
        length: u64,
        /// `r` or `w`.
        op: &'static str,
        /// `translated` or `blocked`.
        outcome: &'static str,
        /// Why it was blocked.
        fault: Option<&'static str>,
        /// First byte in the leaf that faulted; `iova` where nothing was looked up.
        fault_iova: Option<u64>,
        /// Physical address of the first byte, unless blocked.
        pa: Option<u64>,
        /// IOTLB hits.
        iotlb_hits: u32,
        /// IOTLB misses.
        iotlb_misses: u32,
        /// Pages translated by an entry the table no longer holds.
        stale: u32,
    }
}

row! {
    /// One event that was refused.
    RefusedRow => "refused" {
        /// Index of the event, the header not counted.
        row: u64,
        /// The event's name.
        event: &'static str,
        /// `overlap`, `misaligned`, `not_a_leaf` or `not_attached`.
        reason: &'static str,
    }
}
