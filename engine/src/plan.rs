//! What a run is asked to do: the machine, the tenants and how the work is cut.

use serde::{Deserialize, Serialize};

use crate::admission::{AdmissionSpec, AttachError};
use crate::crash::{HostSpec, OnFault};
use crate::device_tlb::AtsPlan;
use crate::domain::{LeafSize, Permissions};
use crate::error::SpecError;
use crate::escape::{EscapeSource, EscapeSpec};
use crate::gate::SchedulerSpec;
use crate::ids::{HostIndex, Iova, VfIndex};
use crate::interrupts::InterruptsSpec;
use crate::invalidation::StreamingPlan;
use crate::lifecycle::{LifecycleSchedule, LifecycleSpec};
use crate::link::{DeviceSpec, LinkSpec};
use crate::memory::MemorySpec;
use crate::silence::{
    Failure, FailuresSpec, ProtocolStep, SilenceScope, SilenceSpec, SwitchMode, SwitchesSpec,
};
use crate::slices::SchedulerPolicy;
use crate::topology::{DomainScope, HOSTS_MAX, TopologySpec, VmKind};
use crate::traffic::Source;
use crate::translation::{ClassShare, IommuMode, IommuSpec, IotlbSharing, IotlbSpec, Parts, WalkerSharing};
use crate::units::Picoseconds;

/// The hardware of hosts that are alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineSpec {
    /// How many of everything.
    pub topology: TopologySpec,
    /// Queues before the link.
    pub scheduler: SchedulerSpec,
    /// The PCIe link of each adapter.
    pub link: LinkSpec,
    /// Limits of each adapter.
    pub device: DeviceSpec,
    /// Each IOMMU of a host.
    pub iommu: IommuSpec,
    /// The memory of each host.
    pub memory: MemorySpec,
    /// Who gets a VF.
    pub admission: AdmissionSpec,
    /// The filter of escapes.
    pub escape: EscapeSpec,
    /// How domains are switched.
    pub silence: SilenceSpec,
    /// When they are.
    pub switches: SwitchesSpec,
    /// What fails in that.
    pub failures: FailuresSpec,
    /// When VMs start, stop and move.
    pub lifecycle: LifecycleSpec,
    /// What faults do to the host.
    pub host: HostSpec,
    /// What interrupts devices raise.
    pub interrupts: InterruptsSpec,
}

/// What lets hosts end, for messages.
pub const ENDS_OF_HOSTS: &str =
    "`host.on_fault`, `host.on_switch_fault`, `host.on_hangs`, `failures.stuck_share`";

impl MachineSpec {
    /// Checks every value of every part.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        self.topology.validate()?;
        self.scheduler.validate()?;
        self.link.validate()?;
        self.device.validate()?;
        self.iommu.validate()?;
        self.memory.validate()?;
        self.escape.validate()?;
        self.silence.validate()?;
        self.switches.validate()?;
        self.failures.validate()?;
        self.lifecycle.validate()?;
        self.host.validate()?;
        self.interrupts.validate()?;
        self.validate_device_tlb()?;
        self.validate_slices()?;
        self.validate_switches()?;
        self.validate_failures()?;
        self.validate_lifecycle()?;
        self.validate_crashes(true)
    }

    /// Whether domains are switched: because that is asked for, or since VMs come and go.
    #[must_use]
    pub fn switches_domains(&self) -> bool {
        self.switches.are_on() || self.lifecycle.is_on()
    }

    /// Whether a fault or a hang may end a host: a fault of a switch only where domains are switched and steps are left out, or devices
    /// do not obey silence.
    #[must_use]
    pub fn may_crash(&self, all_obey: bool) -> bool {
        let of_switches = self.switches_domains() && self.host.on_switch_fault == OnFault::Bugcheck;
        let may_fault = self.silence.mode == SwitchMode::Unsafe || !all_obey;
        self.host.on_fault == OnFault::Bugcheck || (of_switches && may_fault) || self.hangs_may_end_hosts()
    }

    fn hangs_may_end_hosts(&self) -> bool {
        let too_many = self.host.on_hangs == OnFault::Bugcheck && self.failures.have(Failure::Preempt);
        too_many || self.failures.have(Failure::Stuck)
    }

    /// What bug checks do not go together with.
    ///
    /// # Errors
    /// The first key that does not.
    pub fn validate_crashes(&self, all_obey: bool) -> Result<(), SpecError> {
        if !self.may_crash(all_obey) {
            return Ok(());
        }
        let refused = [
            (self.iommu.mode != IommuMode::Translate, "iommu.mode", "is not \"translate\""),
            (self.memory.llc.bytes > 0, "memory.llc.bytes", "is not 0"),
            (self.topology.iommus_per_host > 1, "topology.iommus_per_host", "is above 1"),
            (self.device.tlb.is_on(), "device.tlb.entries", "is not 0"),
            (self.interrupts.are_on(), "interrupts", "lets devices raise interrupts"),
        ];
        for (is_refused, key, problem) in refused {
            if is_refused {
                return Err(SpecError::new(
                    key,
                    format!(
                        "{problem}, where faults or hangs end hosts ({ENDS_OF_HOSTS}), which is not modelled"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// What does not go together with slices of time.
    fn validate_slices(&self) -> Result<(), SpecError> {
        self.scheduler.validate_slots(self.topology.vfs_per_adapter)?;
        let policy = self.scheduler.policy;
        let switches = self.switches.are_on();
        let refused = [
            (
                policy.has_slices() && self.device.tlb.is_on(),
                "is not modelled where devices have TLBs (`device.tlb.entries`)",
            ),
            (
                policy.has_slices() && self.lifecycle.is_on(),
                "is not modelled where VMs come and go (`lifecycle.schedule`)",
            ),
            (
                policy.has_slices() && self.failures.are_on(),
                "is not modelled where steps of switches fail (`failures`)",
            ),
            (
                policy.has_slices() && switches && self.silence.skips(ProtocolStep::End),
                "is not modelled where switches are never ended (`silence.skip` with \"end\")",
            ),
            (
                policy == SchedulerPolicy::BestEffort && switches,
                "is not modelled where domains are switched (`switches.schedule`); `fixed_share` and `equal_share` are",
            ),
        ];
        for (is_refused, problem) in refused {
            if is_refused {
                let problem = format!("is {:?}, which {problem}", policy.name());
                return Err(SpecError::new("scheduler.policy", problem));
            }
        }
        Ok(())
    }

    /// What does not go together with switches of domains.
    fn validate_switches(&self) -> Result<(), SpecError> {
        if !self.switches_domains() {
            return Ok(());
        }
        let has_tlbs = self.device.tlb.is_on();
        let refused = [
            (
                self.iommu.mode != IommuMode::Translate,
                "iommu.mode",
                "is not \"translate\": there are no domains",
            ),
            (
                !has_tlbs && self.silence.skips(ProtocolStep::InvalidateDeviceTlb),
                "silence.skip",
                "leaves out \"invalidate_device_tlb\", but no device has a TLB (`device.tlb.entries`)",
            ),
            (
                has_tlbs && self.silence.skips(ProtocolStep::End),
                "silence.skip",
                "leaves out \"end\", which is not modelled where devices have TLBs (`device.tlb.entries`),",
            ),
            (self.memory.llc.bytes > 0, "memory.llc.bytes", "is not 0: no data is cached"),
            (
                self.topology.domain_scope == DomainScope::Adapter && self.silence.scope == SilenceScope::Vf,
                "silence.scope",
                "is \"vf\", but with `topology.domain_scope = \"adapter\"` all VFs share the domain: it is \"adapter\"",
            ),
        ];
        for (is_refused, key, problem) in refused {
            if is_refused {
                return Err(SpecError::new(
                    key,
                    format!("{problem} where domains are switched ({})", self.why_domains_are_switched()),
                ));
            }
        }
        let vfs = self.topology.vfs_per_adapter;
        for listed in &self.switches.list {
            for (key, index, count) in [
                ("switches.list.adapter", listed.adapter, self.topology.adapters_per_host),
                ("switches.list.vf", listed.vf, vfs),
            ] {
                SpecError::in_range(key, index, 0, count - 1)?;
            }
        }
        Ok(())
    }

    /// The key that has domains switched.
    #[must_use]
    pub fn why_domains_are_switched(&self) -> &'static str {
        if self.switches.are_on() { "`switches.schedule`" } else { "`lifecycle.schedule`" }
    }

    /// What does not go together with VMs that come and go.
    fn validate_lifecycle(&self) -> Result<(), SpecError> {
        if !self.lifecycle.is_on() {
            return Ok(());
        }
        let refused = [
            (
                self.switches.are_on(),
                "switches.schedule",
                "is not \"none\": it switches domains of VMs that stay,",
            ),
            (self.silence.mode != SwitchMode::Silence, "silence.mode", "is not \"silence\""),
            (
                self.silence.drain_timeout_us != SilenceSpec::default().drain_timeout_us,
                "silence.drain_timeout_us",
                "is set: the drains of VMs that come and go are waited for, however long they take,",
            ),
            (
                self.topology.domain_scope == DomainScope::Adapter,
                "topology.domain_scope",
                "is \"adapter\": a domain for all VFs stays,",
            ),
            (self.device.tlb.is_on(), "device.tlb.entries", "is not 0"),
            (self.failures.are_on(), "failures", "lets steps of switches fail"),
            (self.host.on_fault == OnFault::Bugcheck, "host.on_fault", "is \"bugcheck\""),
        ];
        for (is_refused, key, problem) in refused {
            if is_refused {
                let with = "which does not go together with VMs that come and go (`lifecycle.schedule`)";
                return Err(SpecError::new(key, format!("{} {with}", with_comma(problem))));
            }
        }
        let topology = &self.topology;
        for (listed, number) in self.lifecycle.list.iter().zip(0..) {
            let key = |index: &str| format!("lifecycle.list.{number}.{index}");
            SpecError::in_range(&key("adapter"), listed.adapter, 0, topology.adapters_per_host - 1)?;
            SpecError::in_range(&key("vf"), listed.vf, 0, topology.vfs_per_adapter - 1)?;
        }
        self.validate_churn()
    }

    /// Those who are silent together can do the switches that their VMs ask for on average.
    fn validate_churn(&self) -> Result<(), SpecError> {
        let Self { lifecycle, silence, topology, .. } = self;
        if lifecycle.schedule != LifecycleSchedule::Churn {
            return Ok(());
        }
        let together = if silence.scope == SilenceScope::Adapter { topology.vfs_per_adapter } else { 1 };
        let phases: f64 = silence.phases().iter().map(|(_, mean_us)| mean_us).sum();
        let switch_us = phases + self.switches.gap_us;
        // A stop has nothing attached, and a start nothing detached.
        let cycle_us = 2.0 * switch_us - silence.detach_us - silence.attach_us;
        let needed_us = f64::from(together) * cycle_us;
        if lifecycle.up_us + lifecycle.down_us >= needed_us {
            return Ok(());
        }
        let problem = format!(
            "is {}, with `lifecycle.down_us` {}: the stops and starts of {together} VFs that are silent together take {needed_us} in \
             the mean, which is longer",
            lifecycle.up_us, lifecycle.down_us
        );
        Err(SpecError::new("lifecycle.up_us", problem))
    }

    /// What does not go together with escapes that may touch hardware: their adapter stalls for them. Whether all devices obey
    /// silence matters.
    ///
    /// # Errors
    /// The first key that does not.
    pub fn validate_stalls(&self, all_obey: bool) -> Result<(), SpecError> {
        let silence = &self.silence;
        let switches = self.switches.are_on();
        let skips = |step| switches && silence.skips(step);
        let skips_any =
            skips(ProtocolStep::Suspend) || skips(ProtocolStep::Drain) || skips(ProtocolStep::End);
        let refused = [
            (self.scheduler.policy.has_slices(), "scheduler.policy", "is not \"concurrent\""),
            (self.lifecycle.is_on(), "lifecycle.schedule", "is not \"none\""),
            (switches && silence.scope == SilenceScope::Vf, "silence.scope", "is \"vf\""),
            (
                switches && silence.mode == SwitchMode::AtomicReplace,
                "silence.mode",
                "is \"atomic_replace\", where nobody pauses",
            ),
            (skips_any, "silence.skip", "leaves out \"suspend\", \"drain\" or \"end\""),
            (self.host.on_fault == OnFault::Bugcheck, "host.on_fault", "is \"bugcheck\""),
            (self.hangs_may_end_hosts(), "failures", "lets hangs end hosts"),
            (self.may_crash(all_obey), "host.on_switch_fault", "is \"bugcheck\""),
        ];
        for (is_refused, key, problem) in refused {
            if is_refused {
                let beside =
                    "does not go together with escapes that may touch hardware and stall a whole adapter";
                return Err(SpecError::new(key, format!("{problem}, which {beside}")));
            }
        }
        Ok(())
    }

    /// What failures are of.
    fn validate_failures(&self) -> Result<(), SpecError> {
        if !self.failures.are_on() {
            return Ok(());
        }
        if !self.switches.are_on() {
            return Err(SpecError::new(
                "failures",
                "lets switches of domains fail, of which there are none (`switches.schedule`)",
            ));
        }
        if self.silence.mode != SwitchMode::Silence {
            return Err(SpecError::new(
                "failures",
                "lets steps of the protocol fail, all of which only `silence.mode = \"silence\"` takes",
            ));
        }
        if self.device.tlb.is_on() {
            return Err(SpecError::new(
                "failures",
                "lets steps of the protocol fail, which is not modelled where devices have TLBs (`device.tlb.entries`)",
            ));
        }
        Ok(())
    }

    /// What does not go together with a device TLB.
    fn validate_device_tlb(&self) -> Result<(), SpecError> {
        let error = |key: &str, problem: &str| {
            Err(SpecError::new(
                key,
                format!("{problem} does not go together with a device TLB (`device.tlb`)"),
            ))
        };
        if !self.device.tlb.is_on() {
            return Ok(());
        }
        if self.iommu.mode != IommuMode::Translate {
            return error("iommu.mode", "is not \"translate\", which");
        }
        if self.iommu.stages == 2 {
            return error("iommu.stages", "is 2, which");
        }
        if self.scheduler.vf_outstanding > 0 {
            return error("scheduler.vf_outstanding", "limits the requests of a VF, which");
        }
        Ok(())
    }

    /// The parts of an IOMMU's IOTLB and walkers that classes of tenants of these names and shares get.
    ///
    /// # Errors
    /// The key of a share that does not come out, or of parts that a domain of several classes cannot have.
    pub fn parts(&self, names: &[String], shares: &[ClassShare]) -> Result<Parts, SpecError> {
        let IommuSpec { iotlb, walkers, .. } = &self.iommu;
        for (key, is_divided) in [
            ("iommu.iotlb.sharing", iotlb.sharing != IotlbSharing::Shared),
            ("iommu.walkers.sharing", walkers.sharing != WalkerSharing::Shared),
        ] {
            if is_divided && self.topology.domain_scope == DomainScope::Adapter && names.len() > 1 {
                return Err(SpecError::new(
                    key,
                    "divides hardware by the classes of domains; with `topology.domain_scope = \"adapter\"` a domain \
                     is of several",
                ));
            }
        }
        Parts::new(&self.iommu, names, shares)
    }
}

/// A clause that another one follows.
fn with_comma(clause: &str) -> String {
    if clause.ends_with(',') { clause.to_owned() } else { format!("{clause},") }
}

/// `[engine]`: how the work is cut. Results do not depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSpec {
    /// Requests an IOMMU's tenants emit and it translates as one batch. Default 2,048: its columns stay in L2.
    pub batch_requests: u32,
    /// Requests an IOMMU advances by, on average over the fleet, while a thread visits it. Default 131,072: its
    /// tables are fetched once a visit.
    pub visit_requests: u32,
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self { batch_requests: 2_048, visit_requests: 131_072 }
    }
}

impl BatchSpec {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("engine.batch_requests", self.batch_requests, 1, 1 << 14)?;
        SpecError::in_range("engine.visit_requests", self.visit_requests, 1, 1 << 30)
    }
}

/// Which translations the owner map judges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audit {
    /// Every one.
    #[default]
    Full,
    /// Every 64th request of each VF; in a replay every 64th of the trace.
    Sample,
    /// None.
    Off,
}

/// `sabotage`: what the engine does wrong on purpose, so that it can be seen that the audit finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sabotage {
    /// The cached translations of each IOMMU's second domain carry the tag of its first.
    WrongDomainTag,
    /// Every eighth command of an invalidation queue drops nothing and is reported complete.
    MissedInvalidation,
}

/// `[report]`: what a run records beside its totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportSpec {
    /// Windows the expected duration is cut into for the time series: a run that takes longer gets more, and
    /// windows in which nothing completes are left out. Default 100.
    pub windows: u32,
    /// Whether each VF has a row of its own in each of these windows. Default false.
    pub tenant_windows: bool,
    /// Instants of the expected duration at which it is counted how many DMAs of each adapter wait and are under way: a run
    /// that takes longer gets more. Default 0: none.
    pub levels: u32,
    /// Rows of the timeline a host may write; the rest are counted. Default 10,000.
    pub timeline_rows_per_host: u32,
    /// Whether latencies are split by cause. Default false.
    pub attribution: bool,
    /// Whether misses of the IOTLB are told apart by cause, and evictions by class. Default false.
    pub miss_causes: bool,
}

impl Default for ReportSpec {
    fn default() -> Self {
        Self {
            windows: 100,
            tenant_windows: false,
            levels: 0,
            timeline_rows_per_host: 10_000,
            attribution: false,
            miss_causes: false,
        }
    }
}

impl ReportSpec {
    /// Whether anything is attributed to causes.
    #[must_use]
    pub fn attributes(&self) -> bool {
        self.attribution || self.miss_causes
    }

    /// Whether what is asked for can be told of a machine.
    ///
    /// # Errors
    /// If latencies are to be split where VFs send in slices, are silent one by one or requests never leave, or causes of misses are asked for and the replacement policy cannot rule all entries as one set.
    pub fn validate_on(&self, machine: &MachineSpec) -> Result<(), SpecError> {
        let silence = &machine.silence;
        let alone = silence.scope == SilenceScope::Vf && silence.mode != SwitchMode::AtomicReplace;
        if machine.switches_domains() && self.attribution && alone {
            let problem = "cannot be asked for where VFs are silent one by one (`silence.scope = \"vf\"`)";
            return Err(SpecError::new("report.attribution", problem));
        }
        if machine.lifecycle.is_on() && self.attribution {
            let problem = "cannot be asked for where VMs come and go (`lifecycle.schedule`)";
            return Err(SpecError::new("report.attribution", problem));
        }
        let loses = machine.failures.are_on() || silence.skips(ProtocolStep::End);
        if machine.switches.are_on() && self.attribution && loses {
            let problem = "cannot be asked for where requests never leave (`[failures]`, or `silence.skip` with \"end\")";
            return Err(SpecError::new("report.attribution", problem));
        }
        if machine.scheduler.policy.has_slices() && self.attribution {
            let problem = "cannot be asked for where VFs send in slices of time (`scheduler.policy`)";
            return Err(SpecError::new("report.attribution", problem));
        }
        let IotlbSpec { entries, replacement, .. } = machine.iommu.iotlb;
        if !self.miss_causes {
            return Ok(());
        }
        replacement.validate("iommu.iotlb.entries", entries).map_err(|error| {
            let problem = format!("compares with a fully associative IOTLB, and {error}");
            SpecError::new("report.miss_causes", problem)
        })
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("report.windows", self.windows, 1, 100_000)?;
        SpecError::in_range("report.levels", self.levels, 0, 1_000_000)?;
        SpecError::in_range("report.timeline_rows_per_host", self.timeline_rows_per_host, 0, 1 << 24)
    }
}

/// How the frames behind a buffer lie in host memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameLayout {
    /// One run of frames, in order.
    #[default]
    Contiguous,
    /// The frames of one run, in an order drawn from the seed.
    Scattered,
}

/// Memory that a tenant maps for its VF: one map call.
#[derive(Clone, Debug, PartialEq)]
pub struct BufferPlan {
    /// First address; a multiple of the page size. Within a domain, buffers must not overlap: under
    /// domain scope `adapter` the engine adds `VF index within the adapter x 2^40`.
    pub iova: Iova,
    /// Size of each leaf.
    pub page_size: LeafSize,
    /// Number of leaves.
    pub pages: u64,
    /// Rights of each leaf.
    pub permissions: Permissions,
    /// How the frames lie.
    pub frames: FrameLayout,
    /// Share of the pages left unmapped, drawn page by page from the seed: 0 for none.
    pub hole_share: f64,
}

/// What a tenant is to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmPlan {
    /// Its kind.
    pub kind: VmKind,
    /// Whether conventional escapes are enabled for it, where it is a normal VM.
    pub escapes_enabled: bool,
}

impl Default for VmPlan {
    fn default() -> Self {
        Self { kind: VmKind::Normal, escapes_enabled: true }
    }
}

/// A tenant: its memory and its traffic. It counts for nothing where it is not admitted.
pub struct TenantPlan {
    /// Index of its class in [`RunPlan::classes`].
    pub class: u32,
    /// What it is.
    pub vm: VmPlan,
    /// Whether its VF is attached to a domain, or why not; the DMAs of one that is not are blocked.
    pub attached: Result<(), AttachError>,
    /// Whether its VF sends nothing while a switch of a domain has it silent. What does not obey is nothing that anybody waits
    /// for either.
    pub obeys_silence: bool,
    /// What it maps for the whole run.
    pub buffers: Vec<BufferPlan>,
    /// What it maps for each DMA. Its source must then be a closed loop.
    pub streaming: Option<StreamingPlan>,
    /// What it does with ATS, where its adapter has a device TLB.
    pub ats: AtsPlan,
    /// So many DMAs in a row, counted from its first, are a packet: a device with a TLB takes them up together.
    pub packet_dmas: u32,
    /// The VF, of the same adapter, whose part of a domain under scope `adapter` its DMAs go to: its own where there
    /// is none.
    pub aims_at: Option<VfIndex>,
    /// What it sends. Under domain scope `adapter` the engine adds the same offset as to the buffers of the VF that
    /// it aims at.
    pub source: Box<dyn Source>,
    /// The escapes it sends.
    pub escapes: Option<Box<dyn EscapeSource>>,
}

/// Makes the tenant of a VF; a function of its arguments alone.
pub type Tenants = dyn Fn(HostIndex, VfIndex) -> TenantPlan + Send + Sync;

/// Hosts that are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct HostClass {
    /// What they are called in results.
    pub name: String,
    /// Their machine; `topology.hosts` is how many of them there are.
    pub machine: MachineSpec,
    /// How many DMAs the tenants of all of them together are expected to intend: how work is cut and shared
    /// rests on it, no result.
    pub expected_requests: u64,
}

/// Everything a run needs.
pub struct RunPlan {
    /// The scenario's name.
    pub name: String,
    /// The seed of every stream.
    pub seed: u64,
    /// The hosts by their classes; they are counted class by class.
    pub host_classes: Vec<HostClass>,
    /// How the work is cut.
    pub batch: BatchSpec,
    /// Which translations the owner map judges.
    pub audit: Audit,
    /// What goes wrong on purpose.
    pub sabotage: Option<Sabotage>,
    /// What is recorded.
    pub report: ReportSpec,
    /// Whether every request is logged.
    pub log_requests: bool,
    /// Names of the tenant classes.
    pub classes: Vec<String>,
    /// What each of them gets of hardware that is not free for all.
    pub shares: Vec<ClassShare>,
    /// Makes the tenant of each VF.
    pub tenants: Box<Tenants>,
    /// How many DMAs the tenants intend in all, or an estimate where a duration is given.
    pub expected_requests: u64,
    /// Simulated time until the last is intended, or an estimate where a number is given.
    pub expected_duration: Picoseconds,
    /// What is intended before this time is simulated and not counted, and the hardware's counters start at it.
    pub warm_up: Picoseconds,
}

impl RunPlan {
    /// Every host, with the index of its class.
    pub fn hosts(&self) -> impl Iterator<Item = (HostIndex, usize)> {
        let classes = self.host_classes.iter().enumerate();
        let classes = classes.flat_map(|(class, of)| (0..of.machine.topology.hosts).map(move |_| class));
        (0..).map(HostIndex).zip(classes)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        for class in &self.host_classes {
            class.machine.validate()?;
            class.machine.parts(&self.classes, &self.shares)?;
        }
        SpecError::in_range("topology.hosts", self.hosts().count(), 1, HOSTS_MAX as usize)?;
        self.batch.validate()?;
        self.report.validate()?;
        self.host_classes.iter().try_for_each(|class| self.report.validate_on(&class.machine))
    }
}
