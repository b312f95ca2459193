//! How much memory a scenario takes to simulate, about.

use portcullis_engine::device_tlb::TlbSharing;
use portcullis_engine::domain::LeafSize;

use super::HostGroup;
use crate::scenario::{ClassMemory, Scenario, TenantClass};

/// Bytes of a row of the pool of requests, all columns.
const ROW_BYTES: u128 = 128;
/// Bytes of a row's columns for what its request waits for, where that is attributed.
const WAITS_BYTES: u128 = 80;
/// Bytes more of it where devices have TLBs of their own.
const SPLIT_BYTES: u128 = 88;
/// Bytes of a page in the table of translations that were ever cached, where misses have causes.
const PAST_BYTES: u128 = 40;
/// Bytes of a VF's books, histograms, queue and source.
const VF_BYTES: u128 = 24 << 10;
/// Bytes of a page in the tables of a pattern.
const PATTERN_PAGE_BYTES: u128 = 24;
/// Bytes of an IOTLB entry with its fingerprint and its place in the policy's order.
const IOTLB_ENTRY_BYTES: u128 = 40;
/// Bytes of an IOMMU's world with nothing in it.
const WORLD_BYTES: u128 = 256 << 10;

impl Scenario {
    /// Bytes of memory that the simulation takes, about: what grows with the fleet, its IOTLBs and its
    /// tenants' pages. Meant to tell what cannot be built from what can.
    #[must_use]
    pub fn memory_bytes(&self) -> u128 {
        let pages = |class: &TenantClass| class.aim(&self.tenants, "").map_or(0, |aim| aim.pages);
        let patterns = self.tenants.iter().map(|class| PATTERN_PAGE_BYTES * u128::from(pages(class)));
        let hosts = self.host_groups();
        let hosts = hosts.iter().map(|group| self.memory_bytes_of(group));
        patterns.sum::<u128>() + hosts.sum::<u128>()
    }

    /// Bytes of memory that hosts of one class take.
    fn memory_bytes_of(&self, group: &HostGroup) -> u128 {
        let topology = &group.machine.topology;
        let (hosts, iommus) = (u128::from(topology.hosts), u128::from(topology.iommus_per_host));
        let vfs = u128::from(topology.vfs_per_host().max(1));
        // Where adapters do not divide evenly, the IOMMU with fewer VFs has the more rows for each.
        let vfs_per_iommu = (vfs / iommus).max(1);
        let rows_per_vf = (4 * u128::from(self.engine.batch_requests).div_ceil(vfs_per_iommu)).max(16);
        let classes = self.tenants.iter().zip(&group.rates);
        let mapped = classes.map(|(class, rate)| {
            let of_memory = |memory: &ClassMemory| {
                let pages = u128::from(memory.pages);
                let past_bytes = if self.report.miss_causes { PAST_BYTES } else { 0 };
                let leaf_bytes = if memory.page_size == LeafSize::Size4K { 8 } else { 40 };
                // Of streaming mappings only the buffers are mapped, but every address is kept in a list.
                let frames = pages << (memory.page_size.shift() - 12);
                // A domain that can be switched has a second page table, to frames of its own.
                let tables = 1 + u128::from(group.machine.switches_domains());
                // The page table, and the owner map: a word of 4 bytes for 512 frames, in which each IOMMU of a host
                // has room for the frames of those before it.
                tables * (pages * (leaf_bytes + past_bytes) + frames * (iommus + 1) / 256)
            };
            let of_vf: u128 = class.memories().iter().map(of_memory).sum();
            u128::from(rate.vfs_per_adapter) * u128::from(group.adapters()) * of_vf
        });
        // Misses by cause take a second IOTLB.
        let iotlbs = 1 + u128::from(self.report.miss_causes);
        let iotlb = u128::from(group.machine.iommu.iotlb.entries) * IOTLB_ENTRY_BYTES * iotlbs;
        let tlb = &group.machine.device.tlb;
        let tlbs = if tlb.sharing == TlbSharing::Vf { vfs } else { u128::from(topology.adapters_per_host) };
        let tlbs = tlbs * u128::from(tlb.entries) * IOTLB_ENTRY_BYTES;
        let attributed_bytes = WAITS_BYTES + if tlb.is_on() { SPLIT_BYTES } else { 0 };
        let row_bytes = ROW_BYTES + if self.report.attributes() { attributed_bytes } else { 0 };
        let of_host = iommus * (WORLD_BYTES + iotlb) + vfs * (VF_BYTES + rows_per_vf * row_bytes);
        hosts * (of_host + tlbs) + mapped.sum::<u128>()
    }
}
