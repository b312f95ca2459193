//! Whether a scenario can be built.

use std::collections::BTreeSet;

use portcullis_engine::error::SpecError;
use portcullis_engine::topology::DomainScope;

use super::{ArrivalKind, Scenario, TenantClass, is_name};
use crate::plan::ClassRate;

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
        self.machine().validate()?;
        self.engine.validate()?;
        self.report.validate()?;
        self.validate_classes()?;
        self.validate_addresses()?;
        self.validate_rates()?;
        self.validate_length()?;
        self.validate_warm_up()
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
            class.validate(&path_of(class))?;
        }
        self.validate_counts()
    }

    fn validate_counts(&self) -> Result<(), SpecError> {
        if self.class_counts().is_some() {
            return Ok(());
        }
        let open: Vec<_> = self.tenants.iter().filter(|class| class.count.is_none()).collect();
        if let [_, second, ..] = open[..] {
            return Err(SpecError::new(
                format!("{}.count", path_of(second)),
                "is missing; only one class may leave its count out",
            ));
        }
        let given: u64 = self.tenants.iter().filter_map(|class| class.count).map(u64::from).sum();
        Err(SpecError::new(
            "topology.vfs_per_adapter",
            format!(
                "is {}, but the counts of the tenant classes add up to {given}",
                self.topology.vfs_per_adapter
            ),
        ))
    }

    /// Buffers fit into what the page table, or a VF's part of a shared domain, can address.
    fn validate_addresses(&self) -> Result<(), SpecError> {
        let table_bits = 12 + 9 * u32::from(self.iommu.page_table_levels);
        let bits = match self.topology.domain_scope {
            DomainScope::Vf => table_bits,
            DomainScope::Adapter => {
                let offsets = u128::from(self.topology.vfs_per_adapter) << SHARED_VF_BITS;
                if offsets > 1 << table_bits {
                    return Err(SpecError::new(
                        "topology.domain_scope",
                        format!(
                            "is \"adapter\", where {} VFs need more than the {table_bits} bits of address \
                             that `iommu.page_table_levels` gives",
                            self.topology.vfs_per_adapter
                        ),
                    ));
                }
                SHARED_VF_BITS
            }
        };
        for class in &self.tenants {
            if class.memory.end() > 1 << bits {
                return Err(SpecError::new(
                    format!("{}.memory.pages", path_of(class)),
                    format!(
                        "puts the end of the buffer at {:#x}, beyond the {bits} bits of address it may have",
                        class.memory.end()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Rates that come out of `link_load` lie where rates may lie, and bursts are no specks.
    fn validate_rates(&self) -> Result<(), SpecError> {
        let rates = ClassRate::of_scenario(self);
        for (class, rate) in self.tenants.iter().zip(rates).filter(|(_, rate)| rate.vfs_per_adapter > 0) {
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
        requests as f64 / ClassRate::total_hz(self) * 1e6
    }

    /// The warm-up ends before the run is expected to.
    fn validate_warm_up(&self) -> Result<(), SpecError> {
        SpecError::in_range("warmup_us", self.warmup_us, 0.0, DURATION_US_MAX)?;
        let expected = self.duration_us.or_else(|| self.requests.map(|requests| self.expected_us(requests)));
        match expected {
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

fn path_of(class: &TenantClass) -> String {
    format!("tenants.{}", class.name)
}

fn name_rule(name: &str) -> String {
    format!("is {name:?}; it must be 1 to 64 letters, digits, - or _, and not digits alone")
}
