//! Mappings that come and go: what strict and deferred invalidation cost, and what deferring exposes.

use portcullis_workloads::Scenario;

use crate::support::{assert_within, custom, run};

/// An adapter whose drivers map a buffer for each packet.
pub const CHURN: &str = r#"
name = "churn"
requests = 60_000

[topology]
vfs_per_adapter = 4

[iommu.invalidation]
command_ns = 100

[[tenants]]
name = "rings"
sizes = 1500
read_share = 0.3
memory = { pages = 128 }
arrivals = { kind = "closed", outstanding = 64, think_ns = 4_000 }
pattern = { kind = "ring" }
streaming = { unmap_after_ns = 1_000 }
"#;

fn churn(changes: &[&str]) -> Scenario {
    custom(CHURN, changes)
}

/// A device that goes back to buffers of earlier requests finds them gone under strict invalidation, and
/// may still reach them under deferred; it never reaches what nobody will invalidate.
#[test]
fn only_deferred_unmaps_are_ever_stale() {
    // Addresses go round in a ring, so that one that was unmapped is not soon another buffer's.
    let late = [
        "tenants.rings.streaming.late_share=0.2",
        "tenants.rings.streaming.late_by=80",
        "tenants.rings.streaming.iova_reuse=fifo",
    ];
    for granularity in ["page", "domain", "global"] {
        let key = format!("iommu.invalidation.granularity={granularity}");
        let strict = run(&churn(&[&late[..], &[&key]].concat())).summary;
        assert_eq!((strict.stale_total, strict.breach_total), (0, 0), "{granularity}");
        assert_eq!(strict.exposure_frame_us, 0.0, "{granularity}");
        assert!(strict.blocked_not_mapped > 5_000, "{granularity}: {}", strict.blocked_not_mapped);
        assert_eq!(strict.invalidations, strict.unmaps, "{granularity}");
    }
    for granularity in ["domain", "global"] {
        let key = format!("iommu.invalidation.granularity={granularity}");
        let deferred = ["iommu.invalidation.mode=deferred", &key];
        let found = run(&churn(&[&late[..], &deferred].concat())).summary;
        assert_eq!(found.breach_total, 0, "{granularity}");
        assert!(found.stale_total > 1_000, "{granularity}: {}", found.stale_total);
        assert!(found.exposure_frame_us > 0.0, "{granularity}");
    }
}

/// Deferred, a page is exposed until its flush: at most the timer, and what the queue of commands holds up.
#[test]
fn exposure_ends_with_the_timer() {
    let deferred = ["iommu.invalidation.mode=deferred", "iommu.invalidation.flush_entries=1000000"];
    let timer_us = 50.0;
    let timer = format!("iommu.invalidation.flush_timer_us={timer_us}");
    let found = run(&churn(&[&deferred[..], &[&timer]].concat())).summary;
    let mean_us = found.exposure_frame_us / found.unmaps as f64;
    // Unmaps come evenly while a timer runs: half of it, and the accesses that a flush waits for.
    assert_within("exposure", mean_us, timer_us / 2.0, 0.06);
    let flushes = found.simulated_ns / 1e3 / timer_us * 4.0;
    assert_within("flushes", found.invalidation_flushes as f64, flushes, 0.1);
}

/// A full flush queue is one command for so many unmaps.
#[test]
fn a_flush_takes_as_many_unmaps_as_the_queue_holds() {
    for entries in [16, 256] {
        let key = format!("iommu.invalidation.flush_entries={entries}");
        let never = "iommu.invalidation.flush_timer_us=1e9";
        let found = run(&churn(&["iommu.invalidation.mode=deferred", &key, never])).summary;
        let of_full_queues = found.unmaps / entries;
        // What is left in the four queues goes at the end.
        assert!((of_full_queues - 4..=of_full_queues + 4).contains(&found.invalidations), "{found:?}");
    }
}

/// Strict, the invalidation queue is a serial server: saturated, it lets so many unmaps a second through.
#[test]
fn a_saturated_invalidation_queue_bounds_the_unmaps() {
    for command_ns in [714.0, 2_000.0] {
        let key = format!("iommu.invalidation.command_ns={command_ns}");
        let found = run(&churn(&[&key])).summary;
        let unmaps_per_s = found.unmaps as f64 / found.simulated_ns * 1e9;
        assert_within("unmaps", unmaps_per_s, 1e9 / command_ns, 0.01);
        assert!(found.invalidation_queue_utilisation > 0.99, "{found:?}");
    }
}

/// The same packets without an IOMMU, past it, deferred and strict: each does less than the one before, and
/// strict costs every packet a miss.
#[test]
fn protection_has_its_price() {
    let gbps = |changes: &[&str]| {
        let saturating = ["tenants.rings.arrivals.think_ns=0", "iommu.invalidation.command_ns=714"];
        let found = run(&churn(&[&saturating[..], changes].concat())).summary;
        (found.read_gbps + found.write_gbps, found)
    };
    let (off, _) = gbps(&["iommu.mode=off"]);
    let (passthrough, passed) = gbps(&["iommu.mode=passthrough"]);
    let (deferred, _) = gbps(&["iommu.invalidation.mode=deferred"]);
    let (strict, checked) = gbps(&[]);
    assert!(
        off >= passthrough && passthrough > deferred && deferred > 3.0 * strict,
        "{off} {passthrough} {deferred} {strict}"
    );
    assert_eq!((passed.iotlb_lookups, passed.walks, passed.invalidations), (0, 0, 0));
    assert!(checked.iotlb_misses >= checked.unmaps, "{} {}", checked.iotlb_misses, checked.unmaps);
}
