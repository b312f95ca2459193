//! How often the VFs of a class send.

use portcullis_engine::link::LinkSpec;
use portcullis_engine::plan::MachineSpec;

use crate::scenario::{ArrivalKind, ArrivalsSpec, TenantClass};

/// The rate of a class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassRate {
    /// VFs of the class on every adapter.
    pub vfs_per_adapter: u32,
    /// DMAs a second of each VF, on average over bursts and pauses.
    pub per_vf_hz: f64,
}

impl ClassRate {
    /// The rate of a class of which there are `vfs_per_adapter` VFs on every adapter of `machine`.
    #[must_use]
    pub fn of_class(class: &TenantClass, vfs_per_adapter: u32, machine: &MachineSpec) -> Self {
        let link = &machine.link;
        if class.arrivals.kind == ArrivalKind::Closed {
            return Self::of_loop(class, vfs_per_adapter, machine);
        }
        let per_vf_hz = match (class.arrivals.mops_per_vf, class.arrivals.link_load) {
            (Some(mops), _) => mops * 1e6,
            (None, Some(load)) => {
                let bits = LinkBytes::mean(class, link).limiting() * 8.0;
                load * link.tlp_gbps() * 1e9 / bits / f64::from(vfs_per_adapter.max(1))
            }
            (None, None) => 0.0,
        };
        Self { vfs_per_adapter, per_vf_hz }
    }

    /// What a closed loop comes to, about: its clients over think time and the time of an unloaded read, but
    /// no more than the link carries. Windows, and the shares of classes in the requests, rest on it.
    fn of_loop(class: &TenantClass, vfs_per_adapter: u32, machine: &MachineSpec) -> Self {
        let MachineSpec { link, memory, iommu, .. } = machine;
        let round_trip_ns = 2.0 * link.propagation_ns + iommu.iotlb.hit_ns + memory.read_ns;
        let unmap_ns = class.streaming.as_ref().map_or(0.0, |streaming| streaming.unmap_after_ns);
        let think_ns = class.arrivals.think_ns.unwrap_or(0.0) + unmap_ns;
        let clients = f64::from(class.arrivals.outstanding.unwrap_or(1));
        let wanted_hz = clients / (think_ns + round_trip_ns).max(1.0) * 1e9;
        let bits = LinkBytes::mean(class, link).limiting() * 8.0;
        let link_hz = link.tlp_gbps() * 1e9 / bits / f64::from(vfs_per_adapter.max(1));
        Self { vfs_per_adapter, per_vf_hz: if wanted_hz < link_hz { wanted_hz } else { link_hz } }
    }

    /// DMAs a burst of `arrivals` holds on average.
    #[must_use]
    pub fn per_burst(&self, arrivals: &ArrivalsSpec) -> f64 {
        let (on_us, off_us) = (arrivals.on_us.unwrap_or(0.0), arrivals.off_us.unwrap_or(0.0));
        self.per_vf_hz * (on_us + off_us) * 1e-6
    }
}

/// Bytes on the link that a DMA of a class takes on average, headers included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkBytes {
    /// From the device to the host.
    pub upstream: f64,
    /// From the host to the device.
    pub downstream: f64,
}

impl LinkBytes {
    /// The mean over the sizes and directions of `class`. A write sends its bytes and a header for
    /// each `mps` of them upstream; a read sends a header for each `mrrs` upstream, and its bytes
    /// come back with a header for each completion, whatever their addresses.
    #[must_use]
    pub fn mean(class: &TenantClass, link: &LinkSpec) -> Self {
        let mix = class.sizes.weighted();
        let total: f64 = mix.iter().map(|(_, weight)| weight).sum();
        let mut mean = Self { upstream: 0.0, downstream: 0.0 };
        for (bytes, weight) in mix {
            let share = weight / total;
            let headers = |per: u32, header: u32| f64::from(bytes.div_ceil(per)) * f64::from(header);
            let write = f64::from(bytes) + headers(link.mps, link.tlp_header_bytes);
            let read = headers(link.mrrs, link.tlp_header_bytes);
            let completion =
                f64::from(bytes) + headers(link.completion_payload(), link.completion_header_bytes);
            mean.upstream += share * (class.read_share * read + (1.0 - class.read_share) * write);
            mean.downstream += share * class.read_share * completion;
        }
        mean
    }

    /// The greater of the two directions.
    #[must_use]
    pub fn limiting(&self) -> f64 {
        if self.upstream > self.downstream { self.upstream } else { self.downstream }
    }
}
