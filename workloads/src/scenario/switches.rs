//! Whether switches of domains can be built, and go together with what else a scenario asks for.

use portcullis_engine::error::SpecError;
use portcullis_engine::lifecycle::LifecycleSchedule;
use portcullis_engine::plan::MachineSpec;
use portcullis_engine::silence::{ProtocolStep, SilenceScope, SwitchMode, SwitchSchedule, SwitchesSpec};
use portcullis_engine::topology::VmKind;

use super::validate::{carries, path_of};
use super::{EscapesSpec, Scenario, TenantClass};
use crate::plan::HostGroup;

/// Domain IDs of an IOMMU: 16 bits, of which one is reserved.
const DOMAIN_IDS: u32 = (1 << 16) - 1;

impl Scenario {
    /// A machine with keys under `path`. Which hosts the switches that are listed belong to is checked elsewhere.
    pub(super) fn validate_machine_at(&self, path: &str, mut machine: MachineSpec) -> Result<(), SpecError> {
        let switches = machine.switches.clone();
        machine.switches.list.clear();
        let lifecycle = machine.lifecycle.clone();
        machine.lifecycle.list.clear();
        let lists = switches.validate().and_then(|()| lifecycle.validate());
        let valid = lists.and_then(|()| machine.validate());
        valid
            .and_then(|()| self.report.validate_on(&machine))
            .map_err(|error| SpecError::new(format!("{path}{}", error.key), error.problem))
    }

    /// Switches that are listed are those of adapters and VFs that there are.
    pub(super) fn validate_listed_switches(&self) -> Result<(), SpecError> {
        let hosts = self.topology.hosts;
        for (listed, number) in self.switches.list.iter().zip(0..) {
            SpecError::in_range(&format!("switches.list.{number}.host"), listed.host, 0, hosts - 1)?;
        }
        if self.hosts.is_empty() {
            is_not_empty("", &self.switches)?;
        }
        for class in &self.hosts {
            is_not_empty(&format!("hosts.{}.", class.name), &class.switches)?;
        }
        Ok(())
    }

    /// The same for those of the hosts of a group, with keys under `path`.
    pub(super) fn validate_listed_switches_of(&self, path: &str, group: &HostGroup) -> Result<(), SpecError> {
        let class = self.hosts.iter().find(|class| class.name == group.name);
        let list = class.map_or(&self.switches.list, |class| &class.switches.list);
        let topology = &group.machine.topology;
        let hosts = group.first_host..group.first_host + topology.hosts;
        for (listed, number) in list.iter().zip(0..) {
            let key = |index: &str| format!("{path}switches.list.{number}.{index}");
            if hosts.contains(&listed.host) {
                SpecError::in_range(&key("adapter"), listed.adapter, 0, topology.adapters_per_host - 1)?;
                SpecError::in_range(&key("vf"), listed.vf, 0, topology.vfs_per_adapter - 1)?;
            } else if *list != self.switches.list {
                // A list that is taken over names hosts of other classes too.
                SpecError::in_range(&key("host"), listed.host, hosts.start, hosts.end - 1)?;
            }
        }
        Ok(())
    }

    /// Failures that are listed are those of hosts that there are.
    pub(super) fn validate_listed_failures(&self) -> Result<(), SpecError> {
        let hosts = self.topology.hosts;
        for (listed, number) in self.failures.list.iter().zip(0..) {
            SpecError::in_range(&format!("failures.list.{number}.host"), listed.host, 0, hosts - 1)?;
        }
        Ok(())
    }

    /// The same for those of the hosts of a group, with keys under `path`, and their adapters.
    pub(super) fn validate_listed_failures_of(&self, path: &str, group: &HostGroup) -> Result<(), SpecError> {
        let class = self.hosts.iter().find(|class| class.name == group.name);
        let list = class.map_or(&self.failures.list, |class| &class.failures.list);
        let topology = &group.machine.topology;
        let hosts = group.first_host..group.first_host + topology.hosts;
        for (listed, number) in list.iter().zip(0..) {
            let key = |index: &str| format!("{path}failures.list.{number}.{index}");
            if hosts.contains(&listed.host) {
                SpecError::in_range(&key("adapter"), listed.adapter, 0, topology.adapters_per_host - 1)?;
            } else if *list != self.failures.list {
                // A list that is taken over names hosts of other classes too.
                SpecError::in_range(&key("host"), listed.host, hosts.start, hosts.end - 1)?;
            }
        }
        Ok(())
    }

    /// What tenants do, and what is left out, goes together with switches of domains.
    pub(super) fn validate_switches(&self, path: &str, group: &HostGroup) -> Result<(), SpecError> {
        let carried = || self.tenants.iter().zip(&group.rates).filter(|(_, rate)| carries(rate));
        for (class, _) in carried().filter(|(class, _)| !class.obeys_silence) {
            self.validate_disobedience(path, &path_of(class), &group.machine)?;
        }
        self.validate_stalls(path, group)?;
        if !group.machine.switches_domains() {
            return Ok(());
        }
        let silence = &group.machine.silence;
        let never_ends = silence.scope == SilenceScope::Adapter && silence.skips(ProtocolStep::End);
        for (class, _) in carried() {
            if class.streaming.is_some() {
                let problem =
                    format!("does not go together yet with switches of domains (`{path}switches.schedule`)");
                return Err(SpecError::new(format!("{}.streaming", path_of(class)), problem));
            }
            if class.escapes.is_some() && never_ends {
                let problem = format!(
                    "would wait for ever where switches are never ended (`{path}silence.skip` with \"end\")"
                );
                return Err(SpecError::new(format!("{}.escapes", path_of(class)), problem));
            }
        }
        Ok(())
    }

    /// Where escapes may touch hardware their adapter can stall for them. A secure VM's never do.
    fn validate_stalls(&self, path: &str, group: &HostGroup) -> Result<(), SpecError> {
        let carried = || self.tenants.iter().zip(&group.rates).filter(|(_, rate)| carries(rate));
        let may_stall = |class: &TenantClass| {
            class.vm.kind != VmKind::Secure
                && class.escapes.as_ref().is_some_and(EscapesSpec::may_touch_hardware)
        };
        if !carried().any(|(class, _)| may_stall(class)) {
            return Ok(());
        }
        let all_obey = carried().all(|(class, _)| class.obeys_silence);
        let at = |error: SpecError| SpecError::new(format!("{path}{}", error.key), error.problem);
        group.machine.validate_stalls(all_obey).map_err(at)
    }

    /// Where a class at `class` does not obey silence there is silence, of a kind that knows about it.
    fn validate_disobedience(&self, path: &str, class: &str, machine: &MachineSpec) -> Result<(), SpecError> {
        let MachineSpec { silence, switches, failures, device, .. } = machine;
        let refused = [
            (!switches.are_on(), "domains are never switched", "switches.schedule"),
            (
                silence.mode != SwitchMode::Silence,
                "only mode \"silence\" has everybody silent",
                "silence.mode",
            ),
            (failures.are_on(), "that is not modelled where steps fail", "failures"),
            (device.tlb.is_on(), "that is not modelled where devices have TLBs", "device.tlb.entries"),
        ];
        for (is_refused, why, key) in refused {
            if is_refused {
                let problem = format!("is false, but {why} (`{path}{key}`)");
                return Err(SpecError::new(format!("{class}.obeys_silence"), problem));
            }
        }
        if self.report.attribution {
            let problem = "is false, where `report.attribution` cannot be asked for";
            return Err(SpecError::new(format!("{class}.obeys_silence"), problem));
        }
        Ok(())
    }

    /// Where no domain ID is used twice, there are enough for a run of this length.
    pub(super) fn validate_domain_ids(path: &str, group: &HostGroup, us: f64) -> Result<(), SpecError> {
        let MachineSpec { topology, silence, switches, lifecycle, .. } = &group.machine;
        if silence.did_reuse || !group.machine.switches_domains() {
            return Ok(());
        }
        let adapters = topology.adapters_per_host.div_ceil(topology.iommus_per_host);
        let domains = f64::from(adapters) * f64::from(topology.vfs_per_adapter);
        let expected = match switches.schedule {
            _ if lifecycle.schedule == LifecycleSchedule::List => lifecycle.list.len() as f64,
            _ if lifecycle.is_on() => domains * us / (lifecycle.up_us + lifecycle.down_us),
            SwitchSchedule::List => switches.list.len() as f64,
            _ => f64::from(adapters) * us / switches.every_us,
        };
        // Twice what is expected: a run may take longer, and switches come at random.
        let left = f64::from(DOMAIN_IDS) - domains;
        if 2.0 * expected <= left {
            return Ok(());
        }
        let problem = format!(
            "is false, where about {expected:.0} switches of the domains of an IOMMU are expected to take an ID each; \
             of {left} that are left at most half may be expected to be taken"
        );
        Err(SpecError::new(format!("{path}silence.did_reuse"), problem))
    }
}

/// A schedule that is a list lists something.
fn is_not_empty(path: &str, switches: &SwitchesSpec) -> Result<(), SpecError> {
    if switches.schedule == SwitchSchedule::List && switches.list.is_empty() {
        let problem = "is empty, where `switches.schedule = \"list\"` takes the switches from it";
        return Err(SpecError::new(format!("{path}switches.list"), problem));
    }
    Ok(())
}
