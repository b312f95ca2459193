//! The scenario itself.

use portcullis_engine::admission::AdmissionSpec;
use portcullis_engine::crash::HostSpec;
use portcullis_engine::error::SpecError;
use portcullis_engine::escape::EscapeSpec;
use portcullis_engine::gate::SchedulerSpec;
use portcullis_engine::interrupts::InterruptsSpec;
use portcullis_engine::invalidation::{Granularity, WalkCacheInvalidation};
use portcullis_engine::lifecycle::{LifecycleSpec, ListedVmEvent, VmEventKind};
use portcullis_engine::link::{DeviceSpec, LinkSpec};
use portcullis_engine::memory::MemorySpec;
use portcullis_engine::plan::{Audit, BatchSpec, MachineSpec, ReportSpec, Sabotage};
use portcullis_engine::silence::{
    Failure, FailuresSpec, ListedFailure, ListedSwitch, SilenceSpec, SwitchesSpec,
};
use portcullis_engine::topology::TopologySpec;
use portcullis_engine::translation::{ClassShare, IommuSpec, WalkersSpec};
use serde::{Deserialize, Serialize};

use super::{HostClassSpec, TenantClass};

/// What is simulated: the machine, the tenants, and for how long.
///
/// Every key with its unit, its default and where the default comes from: `docs/scenarios.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: letters, digits, `-` and `_`. Required.
    pub name: String,
    /// The question it answers, in one line. Default empty.
    #[serde(default)]
    pub question: String,
    /// DMAs all tenants intend together, shared in proportion to their rates; excludes `duration_us`.
    /// One of the two is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Simulated time in microseconds in which tenants intend DMAs; excludes `requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<f64>,
    /// Simulated time in microseconds until which DMAs that are intended are simulated in full and not counted in any
    /// result, and at which the hardware's counters start. Default 0.
    #[serde(default)]
    pub warmup_us: f64,
    /// Seed of every stream of random numbers. Default 1.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Which translations the owner map judges: `full`, `sample` or `off`. Default `full`.
    #[serde(default)]
    pub audit: Audit,
    /// What goes wrong on purpose, so that it can be seen that the audit finds it: `wrong_domain_tag` or
    /// `missed_invalidation`. Left out: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
    /// The machine whose values stand in for keys that are left out: a name or a file. It is gone once the
    /// scenario is read, as they stand in their places then. No default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// How many of everything there are.
    #[serde(default)]
    pub topology: TopologySpec,
    /// Queues before the link.
    #[serde(default)]
    pub scheduler: SchedulerSpec,
    /// The PCIe link of each adapter.
    #[serde(default)]
    pub link: LinkSpec,
    /// Limits of each adapter.
    #[serde(default)]
    pub device: DeviceSpec,
    /// The IOMMU of each host.
    #[serde(default)]
    pub iommu: IommuSpec,
    /// The memory of each host.
    #[serde(default)]
    pub memory: MemorySpec,
    /// Who gets a VF.
    #[serde(default)]
    pub admission: AdmissionSpec,
    /// The filter of escapes.
    #[serde(default)]
    pub escape: EscapeSpec,
    /// How domains are switched.
    #[serde(default)]
    pub silence: SilenceSpec,
    /// When domains are switched.
    #[serde(default)]
    pub switches: SwitchesSpec,
    /// What fails in switches of domains.
    #[serde(default)]
    pub failures: FailuresSpec,
    /// When VMs start, stop and move.
    #[serde(default)]
    pub lifecycle: LifecycleSpec,
    /// What faults do to hosts.
    #[serde(default)]
    pub host: HostSpec,
    /// What interrupts devices raise.
    #[serde(default)]
    pub interrupts: InterruptsSpec,
    /// How the work is cut; results do not depend on it.
    #[serde(default)]
    pub engine: BatchSpec,
    /// What is recorded beside the totals.
    #[serde(default)]
    pub report: ReportSpec,
    /// Classes of hosts; without them all hosts are alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostClassSpec>,
    /// Classes of tenants; at least one.
    #[serde(default)]
    pub tenants: Vec<TenantClass>,
}

/// What each gets of `total`: what is given, and the one that is not gets what the others leave. `None` if
/// that does not come out.
fn share_out(given: &[Option<u32>], total: u32) -> Option<Vec<u32>> {
    let sum: u64 = given.iter().flatten().copied().map(u64::from).sum();
    let open = given.iter().filter(|count| count.is_none()).count();
    let rest = u64::from(total).checked_sub(sum)?;
    if open > 1 || (open == 0 && rest != 0) {
        return None;
    }
    let rest = u32::try_from(rest).ok()?;
    Some(given.iter().map(|count| count.unwrap_or(rest)).collect())
}

fn default_seed() -> u64 {
    1
}

impl Scenario {
    /// The hardware it asks for where all hosts are alike.
    #[must_use]
    pub fn machine(&self) -> MachineSpec {
        MachineSpec {
            topology: self.topology.clone(),
            scheduler: self.scheduler.clone(),
            link: self.link.clone(),
            device: self.device.clone(),
            iommu: self.iommu.clone(),
            memory: self.memory.clone(),
            admission: self.admission.clone(),
            escape: self.escape.clone(),
            silence: self.silence.clone(),
            switches: self.switches.clone(),
            failures: self.failures.clone(),
            lifecycle: self.lifecycle.clone(),
            host: self.host.clone(),
            interrupts: self.interrupts.clone(),
        }
    }

    /// VFs of each class on every adapter, in the order of the classes: the class that leaves its
    /// count out gets what the others leave. `None` if that does not come out.
    #[must_use]
    pub fn class_counts(&self) -> Option<Vec<u32>> {
        let given: Vec<_> = self.tenants.iter().map(|class| class.count).collect();
        share_out(&given, self.topology.vfs_per_adapter)
    }

    /// The same, on every adapter of the hosts of a class.
    #[must_use]
    pub fn class_counts_on(&self, hosts: &HostClassSpec) -> Option<Vec<u32>> {
        share_out(&hosts.given_counts(&self.tenants), hosts.topology.vfs_per_adapter)
    }

    /// Hosts of each class of hosts, in their order: the class that leaves its count out gets what the others
    /// leave. `None` if that does not come out.
    #[must_use]
    pub fn host_counts(&self) -> Option<Vec<u32>> {
        let given: Vec<_> = self.hosts.iter().map(|class| class.count).collect();
        share_out(&given, self.topology.hosts)
    }

    /// What each class of tenants gets of hardware that is not free for all.
    #[must_use]
    pub fn class_shares(&self) -> Vec<ClassShare> {
        let share =
            |class: &TenantClass| ClassShare { iotlb: class.iotlb_share, walkers: class.walker_share };
        self.tenants.iter().map(share).collect()
    }

    /// Writes down the values that depend on other keys, so that a print shows them.
    ///
    /// # Errors
    /// A value from which none follows.
    pub(super) fn fill_in(&mut self) -> Result<(), SpecError> {
        self.machine = None;
        self.memory.derive_read_ns(&self.link, self.iommu.iotlb.hit_ns)?;
        for class in &mut self.hosts {
            class.memory.derive_read_ns(&class.link, class.iommu.iotlb.hit_ns)?;
        }
        let of_classes = self.hosts.iter_mut().map(|class| &mut class.iommu.walkers);
        for walkers in of_classes.chain([&mut self.iommu.walkers]) {
            if walkers.walk_ns.is_none() && walkers.empirical_ns.is_none() {
                walkers.memory_ns.get_or_insert(WalkersSpec::MEMORY_NS_DEFAULT);
            }
        }
        let aims: Vec<_> = self.tenants.iter().map(|class| class.aim(&self.tenants, "")).collect();
        for (class, aim) in self.tenants.iter_mut().zip(aims) {
            class.arrivals.fill_in();
            class.pattern.fill_in(aim.map_or(class.memory.pages, |aim| aim.pages));
        }
        Ok(())
    }

    /// A scenario in which every key is present, if not together buildable.
    pub(super) fn with_every_key() -> Self {
        let mut iommu = IommuSpec::default();
        iommu.walkers.memory_ns = Some(1.0);
        iommu.walkers.walk_ns = Some(1.0);
        iommu.walkers.walk_2m_ns = Some(1.0);
        iommu.walkers.walk_1g_ns = Some(1.0);
        iommu.invalidation.granularity = Some(Granularity::Domain);
        iommu.invalidation.walk_caches = Some(WalkCacheInvalidation::Full);
        iommu.walkers.empirical_ns = Some(vec![(1.0, 1.0)]);
        let memory = MemorySpec { base_read_ns: Some(1.0), ..MemorySpec::default() };
        Self {
            name: String::from("every-key"),
            question: String::new(),
            requests: Some(1),
            duration_us: Some(1.0),
            warmup_us: 0.0,
            seed: default_seed(),
            audit: Audit::default(),
            sabotage: Some(Sabotage::WrongDomainTag),
            machine: Some(String::new()),
            topology: TopologySpec::default(),
            scheduler: SchedulerSpec { slice_us: Some(1.0), partitions: Some(1), ..SchedulerSpec::default() },
            link: LinkSpec { rcb: Some(64), completion_bytes: Some(64), ..LinkSpec::default() },
            device: DeviceSpec::default(),
            iommu,
            memory,
            admission: AdmissionSpec::default(),
            escape: EscapeSpec { build_test_command_buffer_bytes: Some(8), ..EscapeSpec::default() },
            silence: SilenceSpec::default(),
            switches: SwitchesSpec {
                list: vec![ListedSwitch { at_us: 1.0, host: 0, adapter: 0, vf: 0 }],
                ..SwitchesSpec::default()
            },
            failures: FailuresSpec {
                list: vec![ListedFailure { at_us: 1.0, failure: Failure::Begin, host: 0, adapter: 0 }],
                ..FailuresSpec::default()
            },
            lifecycle: LifecycleSpec {
                list: vec![ListedVmEvent {
                    at_us: 1.0,
                    event: VmEventKind::Stop,
                    host: 0,
                    adapter: 0,
                    vf: 0,
                }],
                ..LifecycleSpec::default()
            },
            host: HostSpec { reboot_us: Some(1.0), ..HostSpec::default() },
            interrupts: InterruptsSpec::default(),
            engine: BatchSpec::default(),
            report: ReportSpec::default(),
            hosts: vec![HostClassSpec::with_every_key()],
            tenants: vec![TenantClass::with_every_key()],
        }
    }
}
