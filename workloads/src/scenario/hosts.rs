//! A class of hosts: where its machine and its tenants differ from the scenario's.

use std::collections::BTreeMap;
use std::fmt;

use portcullis_engine::admission::AdmissionSpec;
use portcullis_engine::crash::HostSpec;
use portcullis_engine::escape::EscapeSpec;
use portcullis_engine::gate::SchedulerSpec;
use portcullis_engine::interrupts::InterruptsSpec;
use portcullis_engine::lifecycle::LifecycleSpec;
use portcullis_engine::link::{DeviceSpec, LinkSpec};
use portcullis_engine::memory::MemorySpec;
use portcullis_engine::plan::MachineSpec;
use portcullis_engine::silence::{FailuresSpec, SilenceSpec, SwitchesSpec};
use portcullis_engine::topology::{DomainScope, TopologySpec};
use portcullis_engine::translation::{IommuSpec, WalkersSpec};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::TenantClass;
use super::document::{Document, Node, Value};
use super::overrides::exclude_each_other;

/// `[[hosts]]`: a class of hosts.
///
/// Its machine has every key: parsing fills in the scenario's values where a class leaves a key out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostClassSpec {
    /// Its name: letters, digits, `-` and `_`, not digits alone. Required.
    pub name: String,
    /// Hosts of the class. One class may leave it out and gets the rest of `topology.hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// VFs of each tenant class on every adapter of these hosts, by its name: none of those it does not name.
    /// Default: the counts of the tenant classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<BTreeMap<String, VfCount>>,
    /// How many of everything a host has.
    #[serde(default)]
    pub topology: HostTopology,
    /// Queues before the link.
    #[serde(default)]
    pub scheduler: SchedulerSpec,
    /// The PCIe link of each adapter.
    #[serde(default)]
    pub link: LinkSpec,
    /// Limits of each adapter.
    #[serde(default)]
    pub device: DeviceSpec,
    /// Each IOMMU of a host.
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
    /// When they are.
    #[serde(default)]
    pub switches: SwitchesSpec,
    /// What fails in that.
    #[serde(default)]
    pub failures: FailuresSpec,
    /// When VMs start, stop and move.
    #[serde(default)]
    pub lifecycle: LifecycleSpec,
    /// What faults do to the hosts.
    #[serde(default)]
    pub host: HostSpec,
    /// What interrupts their devices raise.
    #[serde(default)]
    pub interrupts: InterruptsSpec,
}

/// The sections that a class of hosts takes over from the scenario.
pub(super) const INHERITED: [&str; 14] = [
    "topology",
    "scheduler",
    "link",
    "device",
    "iommu",
    "memory",
    "admission",
    "escape",
    "silence",
    "switches",
    "failures",
    "lifecycle",
    "host",
    "interrupts",
];

impl HostClassSpec {
    /// The machine of `hosts` hosts of the class.
    #[must_use]
    pub fn machine(&self, hosts: u32) -> MachineSpec {
        let HostTopology { iommus_per_host, adapters_per_host, vfs_per_adapter, domain_scope } =
            self.topology;
        MachineSpec {
            topology: TopologySpec {
                hosts,
                iommus_per_host,
                adapters_per_host,
                vfs_per_adapter,
                domain_scope,
            },
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

    /// VFs of each of `classes` on every adapter, as far as they are given.
    pub(super) fn given_counts(&self, classes: &[TenantClass]) -> Vec<Option<u32>> {
        let given = |class: &TenantClass| match &self.tenants {
            None => class.count,
            Some(carried) => match carried.get(&class.name) {
                None => Some(0),
                Some(VfCount::Count(count)) => Some(*count),
                Some(VfCount::Rest) => None,
            },
        };
        classes.iter().map(given).collect()
    }

    /// A class in which every key is present.
    pub(super) fn with_every_key() -> Self {
        let mut iommu = IommuSpec::default();
        iommu.walkers.memory_ns = Some(WalkersSpec::MEMORY_NS_DEFAULT);
        Self {
            name: String::from("every-key"),
            count: Some(1),
            tenants: Some(BTreeMap::from([(String::from("every-key"), VfCount::Rest)])),
            topology: HostTopology::default(),
            scheduler: SchedulerSpec { slice_us: Some(1.0), partitions: Some(1), ..SchedulerSpec::default() },
            link: LinkSpec::default(),
            device: DeviceSpec::default(),
            iommu,
            memory: MemorySpec::default(),
            admission: AdmissionSpec::default(),
            escape: EscapeSpec::default(),
            silence: SilenceSpec::default(),
            switches: SwitchesSpec::default(),
            failures: FailuresSpec::default(),
            lifecycle: LifecycleSpec::default(),
            host: HostSpec { reboot_us: Some(1.0), ..HostSpec::default() },
            interrupts: InterruptsSpec::default(),
        }
    }
}

/// `[hosts.topology]`: how many of everything a host of a class has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostTopology {
    /// IOMMUs a host.
    pub iommus_per_host: u32,
    /// Adapters a host.
    pub adapters_per_host: u32,
    /// Virtual functions an adapter.
    pub vfs_per_adapter: u32,
    /// Who shares a domain.
    pub domain_scope: DomainScope,
}

impl Default for HostTopology {
    fn default() -> Self {
        let TopologySpec { iommus_per_host, adapters_per_host, vfs_per_adapter, domain_scope, .. } =
            TopologySpec::default();
        Self { iommus_per_host, adapters_per_host, vfs_per_adapter, domain_scope }
    }
}

/// VFs of a tenant class on every adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VfCount {
    /// As many.
    Count(u32),
    /// `"rest"`: what the other classes leave.
    Rest,
}

impl VfCount {
    const REST: &'static str = "rest";
}

impl Serialize for VfCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Rest => serializer.serialize_str(Self::REST),
        }
    }
}

impl<'de> Deserialize<'de> for VfCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;

        impl Visitor<'_> for Count {
            type Value = VfCount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number of VFs, or \"{}\"", VfCount::REST)
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<VfCount, E> {
                let count = u32::try_from(count);
                count.map(VfCount::Count).map_err(|_| E::custom("a number of VFs of at most 32 bits"))
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<VfCount, E> {
                if word == VfCount::REST {
                    return Ok(VfCount::Rest);
                }
                Err(E::invalid_value(de::Unexpected::Str(word), &self))
            }
        }

        deserializer.deserialize_any(Count)
    }
}

impl Document {
    /// Gives each class of hosts what it leaves out of the scenario's machine.
    pub(super) fn inherit(&mut self) {
        let Value::Table(entries) = &mut self.root.value else { return };
        let Some(at) = entries.iter().position(|(key, _)| key == "hosts") else { return };
        // Read last: a mistake in what is inherited is found where it stands.
        let (key, mut hosts) = entries.remove(at);
        if let Value::Array(classes) = &mut hosts.value {
            for (section, scenario) in entries.iter().filter(|(key, _)| INHERITED.contains(&&**key)) {
                classes.iter_mut().for_each(|class| inherit_section(class, section, scenario));
            }
        }
        entries.push((key, hosts));
    }
}

/// Fills in the section `section` of a class of hosts from the scenario's.
fn inherit_section(class: &mut Node, section: &str, scenario: &Node) {
    let Value::Table(entries) = &mut class.value else { return };
    match entries.iter_mut().find(|(key, _)| key == section) {
        Some((_, own)) => fill_in(own, scenario, &mut vec![section.to_owned()]),
        None => {
            let mut own = Node::table(scenario.place);
            fill_in(&mut own, scenario, &mut vec![section.to_owned()]);
            entries.push((section.to_owned(), own));
        }
    }
}

/// Adds to the table `own` what only `scenario` has, at every depth; `path` leads there from the root.
fn fill_in(own: &mut Node, scenario: &Node, path: &mut Vec<String>) {
    let (Value::Table(own), Value::Table(scenario)) = (&mut own.value, &scenario.value) else { return };
    for (key, theirs) in scenario {
        // How many hosts there are is no property of one.
        if path.len() == 1 && path[0] == "topology" && key == "hosts" {
            continue;
        }
        if let Some((_, own)) = own.iter_mut().find(|(known, _)| known == key) {
            path.push(key.clone());
            fill_in(own, theirs, path);
            path.pop();
        } else if !own.iter().any(|(known, _)| exclude_each_other(path, known, key)) {
            own.push((key.clone(), theirs.clone()));
        }
    }
}
