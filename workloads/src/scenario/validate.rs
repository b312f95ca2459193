//! Whether a scenario can be built.

use std::collections::BTreeSet;

use portcullis_engine::error::SpecError;
use portcullis_engine::invalidation::InvalidationSpec;
use portcullis_engine::plan::{MachineSpec, Sabotage};
use portcullis_engine::topology::{DomainScope, HOSTS_MAX, VFS_MAX};
use portcullis_engine::translation::IommuMode;

use super::{ArrivalKind, HostClassSpec, Scenario, TenantClass, is_name, nearest};
use crate::plan::{ClassRate, HostGroup};

/// Most simulated time a run may be expected to take, in microseconds: 100 days, while the engine's
/// picoseconds reach 213.
const DURATION_US_MAX: f64 = 8.64e12;

/// Most DMAs a run may be asked for.
const REQUESTS_MAX: u64 = 1_000_000_000_000_000;

/// Bits of the address space of a VF where an adapter's VFs share a domain: the engine puts them
/// this far apart.
const SHARED_VF_BITS: u32 = 40;

impl Scenario {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        if !is_name(&self.name) {
            return Err(SpecError::new("name", name_rule(&self.name)));
        }
        if self.question.contains(['\n', '\r']) {
            return Err(SpecError::new("question", "must be one line"));
        }
        self.validate_machine()?;
        self.validate_listed_switches()?;
        self.validate_listed_failures()?;
        self.validate_listed_vm_events()?;
        self.engine.validate()?;
        self.report.validate()?;
        self.validate_classes()?;
        self.validate_hosts()?;
        let groups = self.host_groups();
        let path_to = |group: &HostGroup| match self.hosts.is_empty() {
            true => String::new(),
            false => format!("hosts.{}.", group.name),
        };
        for group in &groups {
            let path = path_to(group);
            self.validate_addresses(&path, group)?;
            self.validate_rates(group)?;
            self.validate_shares(&path, group)?;
            self.validate_sabotage(group)?;
            self.validate_device_tlb(&path, group)?;
            self.validate_ats(&path, group)?;
            self.validate_listed_switches_of(&path, group)?;
            self.validate_listed_failures_of(&path, group)?;
            self.validate_listed_vm_events_of(&path, group)?;
            self.validate_lifecycle(&path, group)?;
            self.validate_switches(&path, group)?;
            self.validate_crashes(&path, group)?;
        }
        self.validate_length()?;
        let us = self.expected_duration_us().expect("a length");
        groups.iter().try_for_each(|group| Self::validate_domain_ids(&path_to(group), group, us))?;
        self.validate_warm_up()
    }

    /// The machine, or where there are classes of hosts what they take over: then how large the fleet is follows
    /// from them.
    fn validate_machine(&self) -> Result<(), SpecError> {
        let mut machine = self.machine();
        if !self.hosts.is_empty() {
            SpecError::in_range("topology.hosts", self.topology.hosts, 1, HOSTS_MAX)?;
            machine.topology.hosts = 1;
        }
        self.validate_machine_at("", machine)
    }

    /// Names, values and counts of the classes.
    fn validate_classes(&self) -> Result<(), SpecError> {
        if self.tenants.is_empty() {
            return Err(SpecError::new("tenants", "is empty; at least one [[tenants]] class is needed"));
        }
        let mut names = BTreeSet::new();
        for (index, class) in self.tenants.iter().enumerate() {
            let key = format!("tenants.{index}.name");
            if !is_name(&class.name) {
                return Err(SpecError::new(key, name_rule(&class.name)));
            }
            if !names.insert(&class.name) {
                return Err(SpecError::new(key, format!("is {:?}, as another class is called", class.name)));
            }
        }
        for class in &self.tenants {
            class.validate(&path_of(class), &self.tenants)?;
        }
        // Where each class of hosts says which tenants it carries, nobody asks for these counts.
        if !self.hosts.is_empty() || self.class_counts().is_some() {
            return Ok(());
        }
        let given: Vec<_> = self.tenants.iter().map(|class| class.count).collect();
        Err(self.wrong_counts(&given, "", None, self.topology.vfs_per_adapter))
    }

    /// Why counts of tenant classes on an adapter of `vfs` VFs do not come out; `path` leads to the machine, and
    /// `own` to the counts where a class of hosts has its own.
    fn wrong_counts(&self, given: &[Option<u32>], path: &str, own: Option<&str>, vfs: u32) -> SpecError {
        let open = self.tenants.iter().zip(given).filter(|(_, count)| count.is_none());
        if let Some((second, _)) = open.clone().nth(1) {
            return match own {
                None => SpecError::new(
                    format!("{}.count", path_of(second)),
                    "is missing; only one class may leave its count out",
                ),
                Some(own) => SpecError::new(
                    format!("{own}.{}", second.name),
                    "is \"rest\", as another class is; only one may be",
                ),
            };
        }
        let given: u64 = given.iter().flatten().copied().map(u64::from).sum();
        SpecError::new(
            format!("{path}topology.vfs_per_adapter"),
            format!("is {vfs}, but the counts of the tenant classes add up to {given}"),
        )
    }

    /// Names, machines, counts and tenants of the classes of hosts.
    fn validate_hosts(&self) -> Result<(), SpecError> {
        let mut names = BTreeSet::new();
        for (index, class) in self.hosts.iter().enumerate() {
            let key = format!("hosts.{index}.name");
            if !is_name(&class.name) {
                return Err(SpecError::new(key, name_rule(&class.name)));
            }
            if !names.insert(&class.name) {
                return Err(SpecError::new(key, format!("is {:?}, as another class is called", class.name)));
            }
        }
        for class in &self.hosts {
            let path = format!("hosts.{}.", class.name);
            self.validate_machine_at(&path, class.machine(1))?;
            self.validate_tenants_on(class, &path)?;
        }
        self.validate_host_counts()
    }

    /// Which tenants the hosts of a class carry.
    fn validate_tenants_on(&self, hosts: &HostClassSpec, path: &str) -> Result<(), SpecError> {
        for name in hosts.tenants.iter().flat_map(|carried| carried.keys()) {
            if self.tenants.iter().all(|class| class.name != *name) {
                let near =
                    nearest(name, self.tenants.iter().map(|class| &*class.name)).expect("there are classes");
                return Err(SpecError::new(
                    format!("{path}tenants.{name}"),
                    format!("is no class of tenants; did you mean `{path}tenants.{near}`?"),
                ));
            }
        }
        if self.class_counts_on(hosts).is_some() {
            return Ok(());
        }
        let own = hosts.tenants.as_ref().map(|_| format!("{path}tenants"));
        let given = hosts.given_counts(&self.tenants);
        Err(self.wrong_counts(&given, path, own.as_deref(), hosts.topology.vfs_per_adapter))
    }

    /// Counts of hosts add up to the fleet, which is not too large.
    fn validate_host_counts(&self) -> Result<(), SpecError> {
        if self.hosts.is_empty() {
            return Ok(());
        }
        let Some(counts) = self.host_counts() else {
            let mut open = self.hosts.iter().filter(|class| class.count.is_none());
            if let Some(second) = open.nth(1) {
                return Err(SpecError::new(
                    format!("hosts.{}.count", second.name),
                    "is missing; only one class may leave its count out",
                ));
            }
            let given: u64 = self.hosts.iter().filter_map(|class| class.count).map(u64::from).sum();
            return Err(SpecError::new(
                "topology.hosts",
                format!(
                    "is {}, but the counts of the classes of hosts add up to {given}",
                    self.topology.hosts
                ),
            ));
        };
        let vfs: u64 =
            self.hosts.iter().zip(counts).map(|(class, count)| class.machine(count).topology.vfs()).sum();
        if vfs > VFS_MAX {
            return Err(SpecError::new(
                "hosts",
                format!("ask for {vfs} VFs in all; at most {VFS_MAX} can be built"),
            ));
        }
        Ok(())
    }

    /// Buffers fit into what the page table, or a VF's part of a shared domain, can address.
    fn validate_addresses(&self, path: &str, hosts: &HostGroup) -> Result<(), SpecError> {
        let MachineSpec { topology, iommu, .. } = &hosts.machine;
        let table_bits = 12 + 9 * u32::from(iommu.page_table_levels);
        let bits = match topology.domain_scope {
            DomainScope::Vf => table_bits,
            DomainScope::Adapter => {
                let offsets = u128::from(topology.vfs_per_adapter) << SHARED_VF_BITS;
                if offsets > 1 << table_bits {
                    return Err(SpecError::new(
                        format!("{path}topology.domain_scope"),
                        format!(
                            "is \"adapter\", where {} VFs need more than the {table_bits} bits of address \
                             that `iommu.page_table_levels` gives",
                            topology.vfs_per_adapter
                        ),
                    ));
                }
                SHARED_VF_BITS
            }
        };
        for (class, _) in self.tenants.iter().zip(&hosts.rates).filter(|(_, rate)| carries(rate)) {
            for (number, memory) in class.memories().iter().enumerate() {
                let end = memory.end() + addresses_behind(class, &hosts.machine.iommu.invalidation);
                if end > 1 << bits {
                    let of =
                        if class.packet.is_empty() { "memory".into() } else { format!("packet.{number}") };
                    return Err(SpecError::new(
                        format!("{}.{of}.pages", path_of(class)),
                        format!(
                            "puts the end of the buffer at {:#x}, beyond the {bits} bits of address it may have",
                            memory.end()
                        ),
                    ));
                }
            }
            let aim = class.aim(&self.tenants, &path_of(class))?;
            if aim.end() > 1 << bits {
                return Err(SpecError::new(
                    format!("{}.target", path_of(class)),
                    format!("ends at {:#x}, beyond the {bits} bits of address that a VF may have", aim.end()),
                ));
            }
        }
        Ok(())
    }

    /// Classes that do something of their own with ATS are on hosts whose devices use it.
    fn validate_ats(&self, path: &str, hosts: &HostGroup) -> Result<(), SpecError> {
        let machine = &hosts.machine;
        for (class, _) in self.tenants.iter().zip(&hosts.rates).filter(|(_, rate)| carries(rate)) {
            let refuse = |key: &str, problem: String| {
                Err(SpecError::new(format!("{}.{key}", path_of(class)), problem))
            };
            let no_tlb = format!("only devices with a TLB (`{path}device.tlb.entries`) use ATS");
            let is_off = !machine.device.tlb.is_on();
            if is_off && !class.ats {
                return refuse("ats", format!("is false, but {no_tlb}"));
            }
            if is_off && class.forged_share > 0.0 {
                return refuse("forged_share", format!("is {}, but {no_tlb}", class.forged_share));
            }
            if machine.switches.are_on() {
                let with = format!("where domains are switched (`{path}switches.schedule`)");
                if !class.ats {
                    return refuse("ats", format!("is false, which is not modelled {with}"));
                }
                if class.forged_share > 0.0 {
                    let problem = format!("is {}, which is not modelled {with}", class.forged_share);
                    return refuse("forged_share", problem);
                }
            }
            if machine.memory.llc.bytes > 0 && class.forged_share > 0.0 {
                let problem = format!(
                    "does not go together with a last-level cache (`{path}memory.llc.bytes`), whose lines are told by \
                     domain and IOVA"
                );
                return refuse("forged_share", problem);
            }
        }
        Ok(())
    }

    /// What tenants do goes with the device TLB of their adapters, if these have one.
    fn validate_device_tlb(&self, path: &str, hosts: &HostGroup) -> Result<(), SpecError> {
        let machine = &hosts.machine;
        if !machine.device.tlb.is_on() {
            return Ok(());
        }
        let entries = machine.scheduler.vf_queue_entries;
        for (class, _) in self.tenants.iter().zip(&hosts.rates).filter(|(_, rate)| carries(rate)) {
            let class_path = path_of(class);
            let dmas = class.packet_dmas();
            for (key, refused) in [
                ("streaming", class.streaming.is_some()),
                ("target", class.target.is_some()),
                ("cross_pages", class.cross_pages),
            ] {
                if refused {
                    let problem = format!("does not go together yet with a device TLB (`{path}device.tlb`)");
                    return Err(SpecError::new(format!("{class_path}.{key}"), problem));
                }
            }
            if !entries.is_multiple_of(dmas) {
                return Err(SpecError::new(
                    format!("{path}scheduler.vf_queue_entries"),
                    format!(
                        "is {entries}; a device with a TLB takes up whole packets, so it must be a multiple of the \
                         {dmas} DMAs of a packet of `{class_path}`"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// What goes wrong on purpose can go wrong.
    fn validate_sabotage(&self, hosts: &HostGroup) -> Result<(), SpecError> {
        let Some(sabotage) = self.sabotage else { return Ok(()) };
        let MachineSpec { topology, iommu, .. } = &hosts.machine;
        let mut carried = self.tenants.iter().zip(&hosts.rates).filter(|(_, rate)| carries(rate));
        let problem = match sabotage {
            _ if iommu.mode != IommuMode::Translate => "needs `iommu.mode = \"translate\"`",
            Sabotage::WrongDomainTag if topology.domain_scope == DomainScope::Adapter => {
                "needs `topology.domain_scope = \"vf\"`: who shares a domain has one tag anyway"
            }
            Sabotage::WrongDomainTag if topology.vfs_per_adapter < 2 => "needs two VFs an adapter",
            Sabotage::MissedInvalidation
                if !hosts.machine.switches_domains()
                    && carried.all(|(class, _)| class.streaming.is_none()) =>
            {
                "needs a class with streaming mappings, or switches of domains: without them nothing is invalidated"
            }
            Sabotage::WrongDomainTag | Sabotage::MissedInvalidation => return Ok(()),
        };
        Err(SpecError::new("sabotage", problem))
    }

    /// The classes' parts of IOTLB and walkers come out.
    fn validate_shares(&self, path: &str, hosts: &HostGroup) -> Result<(), SpecError> {
        let names: Vec<_> = self.tenants.iter().map(|class| class.name.clone()).collect();
        let parts = hosts.machine.parts(&names, &self.class_shares());
        parts.map(|_| ()).map_err(|error| match error.key.starts_with("iommu.") {
            true => SpecError::new(format!("{path}{}", error.key), error.problem),
            false => error,
        })
    }

    /// Rates that come out of `link_load` lie where rates may lie, and bursts are no specks.
    fn validate_rates(&self, hosts: &HostGroup) -> Result<(), SpecError> {
        for (class, rate) in self.tenants.iter().zip(&hosts.rates).filter(|(_, rate)| carries(rate)) {
            let path = path_of(class);
            let mops = rate.per_vf_hz / 1e6;
            if !(1e-6..=1e4).contains(&mops) {
                return Err(SpecError::new(
                    format!("{path}.arrivals.link_load"),
                    format!("makes {mops} million DMAs a second for each VF; it must be 0.000001 to 10000"),
                ));
            }
            let burst = rate.per_burst(&class.arrivals);
            if class.arrivals.kind == ArrivalKind::OnOff && burst < 0.01 {
                return Err(SpecError::new(
                    format!("{path}.arrivals.on_us"),
                    format!("makes bursts of {burst} DMAs on average; it must be 0.01 or more"),
                ));
            }
        }
        Ok(())
    }

    /// Exactly one of `requests` and `duration_us`, and an end in sight.
    fn validate_length(&self) -> Result<(), SpecError> {
        match (self.requests, self.duration_us) {
            (Some(_), Some(_)) => {
                Err(SpecError::new("duration_us", "excludes `requests`: give only one of them"))
            }
            (None, None) => Err(SpecError::new("requests", "is missing; give it or `duration_us`")),
            (None, Some(us)) => SpecError::in_range("duration_us", us, 0.001, DURATION_US_MAX),
            (Some(requests), None) => {
                SpecError::in_range("requests", requests, 1, REQUESTS_MAX)?;
                let us = self.expected_us(requests);
                if us <= DURATION_US_MAX {
                    return Ok(());
                }
                Err(SpecError::new(
                    "requests",
                    format!(
                        "is {requests}; at the tenants' rates that takes {us:.3e} us, more than 100 days"
                    ),
                ))
            }
        }
    }
}

impl Scenario {
    /// Simulated time that `requests` take at the tenants' rates, in microseconds.
    fn expected_us(&self, requests: u64) -> f64 {
        requests as f64 / self.total_hz() * 1e6
    }

    /// Simulated time that the run is expected to take, in microseconds, once its length is given.
    fn expected_duration_us(&self) -> Option<f64> {
        self.duration_us.or_else(|| self.requests.map(|requests| self.expected_us(requests)))
    }

    /// The warm-up ends before the run is expected to.
    fn validate_warm_up(&self) -> Result<(), SpecError> {
        SpecError::in_range("warmup_us", self.warmup_us, 0.0, DURATION_US_MAX)?;
        match self.expected_duration_us() {
            Some(us) if self.warmup_us > 0.0 && self.warmup_us >= us => Err(SpecError::new(
                "warmup_us",
                format!(
                    "is {}, and the tenants are expected to intend DMAs for {us} us: nothing would be counted",
                    self.warmup_us
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Whether there is a VF of the class.
pub(super) fn carries(rate: &ClassRate) -> bool {
    rate.vfs_per_adapter > 0
}

pub(super) fn path_of(class: &TenantClass) -> String {
    format!("tenants.{}", class.name)
}

fn name_rule(name: &str) -> String {
    format!("is {name:?}; it must be 1 to 64 letters, digits, - or _, and not digits alone")
}

/// Bytes of addresses that a driver with streaming mappings may hand out behind the buffer: while flushes are
/// under way, each of which a client waits for, or a timer has begun.
fn addresses_behind(class: &TenantClass, invalidation: &InvalidationSpec) -> u128 {
    let clients = class.arrivals.outstanding.unwrap_or(1);
    let waiting = u128::from(clients + 2) * u128::from(invalidation.flush_entries);
    let pages = if class.streaming.is_some() { waiting } else { 0 };
    pages * u128::from(class.memory.page_size.bytes())
}
