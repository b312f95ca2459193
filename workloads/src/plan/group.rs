//! Hosts that are alike, as a scenario asks for them.

use portcullis_engine::plan::MachineSpec;

use super::ClassRate;
use crate::scenario::Scenario;

/// Hosts that are alike: a class of `[[hosts]]`, or all hosts of a scenario without classes.
#[derive(Clone, Debug, PartialEq)]
pub struct HostGroup {
    /// The name of the class.
    pub name: String,
    /// Its first host, by its index in the fleet.
    pub first_host: u32,
    /// The machine; `topology.hosts` is how many hosts there are. Of the switches that are listed it has those of these hosts.
    pub machine: MachineSpec,
    /// The rates of all tenant classes.
    pub rates: Vec<ClassRate>,
}

impl HostGroup {
    /// What the hosts of a scenario without classes are called.
    pub const ALL: &'static str = "all";

    /// Adapters of all hosts of the group.
    #[must_use]
    pub fn adapters(&self) -> u64 {
        u64::from(self.machine.topology.hosts) * u64::from(self.machine.topology.adapters_per_host)
    }

    /// DMAs a second of all hosts of the group.
    #[must_use]
    pub fn total_hz(&self) -> f64 {
        let per_adapter: f64 =
            self.rates.iter().map(|rate| f64::from(rate.vfs_per_adapter) * rate.per_vf_hz).sum();
        self.adapters() as f64 * per_adapter
    }
}

impl Scenario {
    /// The hosts by their classes, in the order of their indices; classes without hosts are left out. Counts
    /// must add up.
    #[must_use]
    pub fn host_groups(&self) -> Vec<HostGroup> {
        let mut first_host = 0;
        let mut group = |name: &str, mut machine: MachineSpec, counts: Option<Vec<u32>>| {
            let hosts = first_host..first_host + machine.topology.hosts;
            first_host = hosts.end;
            machine.switches.list.retain(|listed| hosts.contains(&listed.host));
            machine.lifecycle.list.retain(|listed| hosts.contains(&listed.host));
            let counts = counts.unwrap_or_else(|| vec![0; self.tenants.len()]);
            let rates = self.tenants.iter().zip(counts);
            let rates = rates.map(|(class, count)| ClassRate::of_class(class, count, &machine)).collect();
            HostGroup { name: name.to_owned(), first_host: hosts.start, machine, rates }
        };
        if self.hosts.is_empty() {
            return vec![group(HostGroup::ALL, self.machine(), self.class_counts())];
        }
        let counts = self.host_counts().unwrap_or_else(|| vec![0; self.hosts.len()]);
        let classes = self.hosts.iter().zip(counts).filter(|(_, count)| *count > 0);
        classes
            .map(|(class, count)| group(&class.name, class.machine(count), self.class_counts_on(class)))
            .collect()
    }

    /// DMAs a second of the whole fleet.
    #[must_use]
    pub fn total_hz(&self) -> f64 {
        self.host_groups().iter().map(HostGroup::total_hz).sum()
    }
}
