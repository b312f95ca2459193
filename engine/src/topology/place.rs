//! Which part of the fleet a world holds.

use super::build::{Frames, within_a_run};
use crate::ids::{HostIndex, IommuIndex, VfIndex};
use crate::plan::{MachineSpec, RunPlan};
use crate::units::Picoseconds;

/// The part of the fleet that one world holds: an IOMMU of a host and the adapters behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The host.
    pub host: HostIndex,
    /// The class of the host, by its index in [`RunPlan::host_classes`].
    pub class: usize,
    /// The IOMMU within the host.
    pub iommu: IommuIndex,
    /// The first adapter behind it, by its index within the host.
    pub first_adapter: u32,
    /// Adapters behind it.
    pub adapters: u32,
    /// VFs of each adapter.
    pub vfs_per_adapter: u32,
    /// The first frame of the host that no IOMMU before this one has taken.
    pub first_frame: u64,
}

impl Place {
    /// The places of a host of the fleet, in the order of its IOMMUs. A function of the plan and the host's
    /// index alone.
    ///
    /// # Panics
    /// If the fleet has no such host.
    #[must_use]
    pub fn of_host(plan: &RunPlan, host: HostIndex) -> Vec<Self> {
        let (_, class) = plan.hosts().nth(host.0 as usize).expect("a host of the fleet");
        Self::of_host_in(plan, host, class)
    }

    /// The same, of a host whose class is known.
    pub(crate) fn of_host_in(plan: &RunPlan, host: HostIndex, class: usize) -> Vec<Self> {
        let topology = &plan.host_classes[class].machine.topology;
        let vfs_per_adapter = topology.vfs_per_adapter;
        let mut frames = Frames::default();
        let mut places = Vec::with_capacity(topology.iommus_per_host as usize);
        for iommu in (0..topology.iommus_per_host).map(IommuIndex) {
            let behind = topology.adapters_behind(iommu);
            let (first_adapter, adapters) = (behind.start, behind.len() as u32);
            let first_frame = frames.next;
            let place = Self { host, class, iommu, first_adapter, adapters, vfs_per_adapter, first_frame };
            if iommu.0 + 1 < topology.iommus_per_host {
                let vfs = place.first_vf()..place.first_vf() + place.vfs();
                let mut streams = Vec::new();
                for tenant in vfs.map(|vf| (plan.tenants)(host, VfIndex(vf))) {
                    tenant.buffers.iter().for_each(|buffer| {
                        frames.take(buffer);
                    });
                    streams.extend(tenant.streaming);
                }
                frames.take_pool(streams.iter());
            }
            places.push(place);
        }
        places
    }

    /// The first VF behind the IOMMU, by its index within the host.
    #[must_use]
    pub fn first_vf(&self) -> u32 {
        self.first_adapter * self.vfs_per_adapter
    }

    /// VFs behind the IOMMU.
    #[must_use]
    pub fn vfs(&self) -> u32 {
        self.adapters * self.vfs_per_adapter
    }

    /// The machine it is part of.
    #[must_use]
    pub fn machine<'a>(&self, plan: &'a RunPlan) -> &'a MachineSpec {
        &plan.host_classes[self.class].machine
    }

    /// How many DMAs its tenants are expected to intend: its adapters' share of what its class does.
    #[must_use]
    pub fn expected_requests(&self, plan: &RunPlan) -> u64 {
        let class = &plan.host_classes[self.class];
        let topology = &class.machine.topology;
        let adapters = u128::from(topology.hosts) * u128::from(topology.adapters_per_host);
        (u128::from(class.expected_requests) * u128::from(self.adapters) / adapters) as u64
    }

    /// Simulated time in which its tenants are expected to intend one batch.
    #[must_use]
    pub fn batch_span(&self, plan: &RunPlan) -> Picoseconds {
        let class = &plan.host_classes[self.class];
        let topology = &class.machine.topology;
        let duration = u128::from(plan.expected_duration.0.max(1));
        let adapters = u128::from(topology.hosts) * u128::from(topology.adapters_per_host);
        let requests = u128::from(class.expected_requests.max(1)) * u128::from(self.adapters);
        within_a_run(duration * u128::from(plan.batch.batch_requests) * adapters / requests)
    }

    /// A VF of the world as results name it: the adapter within the host, the VF within the adapter.
    #[must_use]
    pub fn name_of(&self, vf: u32) -> (u32, u32) {
        (self.first_adapter + vf / self.vfs_per_adapter, vf % self.vfs_per_adapter)
    }
}
