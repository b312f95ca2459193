//! Whether VMs that come and go can be built, and go together with what else a scenario asks for.

use portcullis_engine::error::SpecError;
use portcullis_engine::lifecycle::{LifecycleSchedule, LifecycleSpec};

use super::Scenario;
use super::validate::{carries, path_of};
use crate::plan::HostGroup;

impl Scenario {
    /// Events that are listed are those of hosts that there are.
    pub(super) fn validate_listed_vm_events(&self) -> Result<(), SpecError> {
        let hosts = self.topology.hosts;
        for (listed, number) in self.lifecycle.list.iter().zip(0..) {
            SpecError::in_range(&format!("lifecycle.list.{number}.host"), listed.host, 0, hosts - 1)?;
        }
        if self.hosts.is_empty() {
            is_not_empty("", &self.lifecycle)?;
        }
        for class in &self.hosts {
            is_not_empty(&format!("hosts.{}.", class.name), &class.lifecycle)?;
        }
        Ok(())
    }

    /// The same for those of the hosts of a group, with keys under `path`, their adapters and VFs.
    pub(super) fn validate_listed_vm_events_of(
        &self,
        path: &str,
        group: &HostGroup,
    ) -> Result<(), SpecError> {
        let class = self.hosts.iter().find(|class| class.name == group.name);
        let list = class.map_or(&self.lifecycle.list, |class| &class.lifecycle.list);
        let topology = &group.machine.topology;
        let hosts = group.first_host..group.first_host + topology.hosts;
        for (listed, number) in list.iter().zip(0..) {
            let key = |index: &str| format!("{path}lifecycle.list.{number}.{index}");
            if hosts.contains(&listed.host) {
                SpecError::in_range(&key("adapter"), listed.adapter, 0, topology.adapters_per_host - 1)?;
                SpecError::in_range(&key("vf"), listed.vf, 0, topology.vfs_per_adapter - 1)?;
            } else if *list != self.lifecycle.list {
                // A list that is taken over names hosts of other classes too.
                SpecError::in_range(&key("host"), listed.host, hosts.start, hosts.end - 1)?;
            }
        }
        Ok(())
    }

    /// What tenants do goes together with VMs that come and go.
    pub(super) fn validate_lifecycle(&self, path: &str, group: &HostGroup) -> Result<(), SpecError> {
        if !group.machine.lifecycle.is_on() {
            return Ok(());
        }
        let carried = self.tenants.iter().zip(&group.rates).filter(|(_, rate)| carries(rate));
        for (class, _) in carried {
            let refused = [
                (!class.obeys_silence, "obeys_silence", "is false, which"),
                (class.escapes.is_some(), "escapes", "is there, which"),
                (class.streaming.is_some(), "streaming", "is there, which"),
            ];
            for (is_refused, key, problem) in refused {
                if is_refused {
                    let with = "does not go together yet with VMs that come and go";
                    let problem = format!("{problem} {with} (`{path}lifecycle.schedule`)");
                    return Err(SpecError::new(format!("{}.{key}", path_of(class)), problem));
                }
            }
        }
        Ok(())
    }
}

/// A schedule that is a list lists something.
fn is_not_empty(path: &str, lifecycle: &LifecycleSpec) -> Result<(), SpecError> {
    if lifecycle.schedule == LifecycleSchedule::List && lifecycle.list.is_empty() {
        let problem = "is empty, where `lifecycle.schedule = \"list\"` takes the events from it";
        return Err(SpecError::new(format!("{path}lifecycle.list"), problem));
    }
    Ok(())
}
