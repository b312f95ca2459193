//! Random machines and traffic, made so that exact ties, full queues and deep backlogs are common:
//! every time is a multiple of a coarse grid, on a link of 4 ns a byte.

use std::collections::BTreeMap;

use portcullis_engine::crash::{HostSpec, OnFault};
use portcullis_engine::device_tlb::{AtsPlan, DeviceTlbSpec, TlbSharing};
use portcullis_engine::domain::{LeafSize, Permissions};
use portcullis_engine::escape::EscapeSpec;
use portcullis_engine::gate::SchedulerSpec;
use portcullis_engine::ids::{IommuIndex, Iova};
use portcullis_engine::interrupts::InterruptsSpec;
use portcullis_engine::invalidation::{
    Granularity, InvalidationMode, InvalidationSpec, IovaReuse, StreamingPlan, WalkCacheInvalidation,
};
use portcullis_engine::lifecycle::{LifecycleSchedule, LifecycleSpec, ListedVmEvent, VmEventKind};
use portcullis_engine::link::{DeviceSpec, LinkSpec, Retire, WriteOrder};
use portcullis_engine::memory::{LlcSpec, MemorySpec};
use portcullis_engine::plan::{BufferPlan, FrameLayout, MachineSpec, ReportSpec};
use portcullis_engine::request::Op;
use portcullis_engine::silence::{
    Failure, FailuresSpec, ListedFailure, ListedSwitch, PhaseDurations, ProtocolStep, SilenceScope,
    SilenceSpec, SwitchMode, SwitchSchedule, SwitchesSpec,
};
use portcullis_engine::slices::SchedulerPolicy;
use portcullis_engine::topology::{DomainScope, TopologySpec};
use portcullis_engine::translation::{
    ClassShare, FaultQueueSpec, FullWord, IommuMode, IommuSpec, IotlbIndex, IotlbSharing, IotlbSpec,
    WalkCacheSpec, WalkCachesSpec, WalkLatency, WalkerSharing, WalkersSpec, Ways,
    replacement::ReplacementPolicy,
};
use portcullis_engine::units::Picoseconds;
use proptest::prelude::*;

use crate::plain_iotlb::POLICIES;

/// A request as its source intends it.
#[derive(Clone, Copy, Debug)]
pub struct Intent {
    pub intended_ps: u64,
    pub iova: u64,
    pub length_bytes: u32,
    pub op: Op,
}

/// A closed loop: so many clients, each of which thinks, sends its VF's next request, waits until that
/// has retired, and thinks again.
#[derive(Clone, Debug)]
pub struct Loop {
    pub clients: u64,
    /// How long a client thinks after the request of a number, by that number; and before the first, by its own.
    pub think_ps: Vec<u64>,
}

impl Loop {
    pub fn think(&self, number: u64) -> u64 {
        self.think_ps[number as usize % self.think_ps.len()]
    }
}

/// What an escape asks for, and whether it gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EscapeKind {
    Denied,
    Allowed,
    /// It is allowed, and touches hardware.
    Hardware,
}

/// One machine with the traffic of each VF.
#[derive(Clone, Debug)]
pub struct Case {
    pub machine: MachineSpec,
    pub buffers: Vec<BufferPlan>,
    pub attached: Vec<bool>,
    /// Whether each VF is silent when it is to be.
    pub obeys: Vec<bool>,
    pub traffic: Vec<Vec<Intent>>,
    /// The escapes of each VF's tenant: when they are sent, in order.
    pub escapes: Vec<Vec<(u64, EscapeKind)>>,
    /// The loops of the VFs that have one; their requests are intended when their clients say.
    pub loops: Vec<Option<Loop>>,
    /// The streaming mappings of the VFs that have some; all of these have a loop.
    pub streams: Vec<Option<StreamingPlan>>,
    /// Whether the engine is asked where time goes.
    pub attribution: bool,
    /// Whether it is asked why look-ups miss.
    pub miss_causes: bool,
    /// The classes of tenants, which the VFs of the host belong to in turn.
    pub classes: Vec<ClassShare>,
    /// What each VF does with ATS.
    pub ats: Vec<AtsPlan>,
    /// DMAs in a row that are a packet.
    pub packet_dmas: u32,
    /// When counting starts.
    pub warm_up_ps: u64,
    pub seed: u64,
    /// The IOMMU that is meant where the case is one IOMMU of a host.
    pub iommu: u32,
    /// And the first VF behind it.
    pub first_vf: usize,
}

impl Case {
    /// The class of a VF of the case, and what the classes are called.
    pub fn class_of(&self, vf: usize) -> usize {
        (self.first_vf + vf) % self.classes.len()
    }

    /// See above.
    pub fn class_names(&self) -> Vec<String> {
        (0..self.classes.len()).map(|class| format!("c{class}")).collect()
    }

    /// Where the classes' parts do not come out, what they share is free for all.
    fn share_freely_what_cannot_be_divided(&mut self) {
        let names = self.class_names();
        if self.machine.parts(&names, &self.classes).is_err() {
            self.machine.iommu.iotlb.sharing = IotlbSharing::Shared;
        }
        if self.machine.parts(&names, &self.classes).is_err() {
            self.machine.iommu.walkers.sharing = WalkerSharing::Shared;
        }
    }

    /// The first frame behind the VFs of the case before this one: buffers lie one behind the other, each aligned to
    /// its pages, from 4 GiB on, VF by VF of the host.
    pub fn frames_before(&self, vf: usize) -> u64 {
        let mut next = 1 << 20;
        for buffer in (0..self.first_vf + vf).flat_map(|_| &self.buffers) {
            next = self.run_of(buffer, next).end;
        }
        next
    }

    fn run_of(&self, buffer: &BufferPlan, next: u64) -> core::ops::Range<u64> {
        let frames = buffer.page_size.bytes() / 4_096;
        let first = next.div_ceil(frames) * frames;
        first..first + buffer.pages * frames
    }

    /// Whether a frame is one of a VF's own.
    pub fn is_given(&self, vf: usize, frame: u64) -> bool {
        let mut next = self.frames_before(vf);
        self.buffers.iter().any(|buffer| {
            let run = self.run_of(buffer, next);
            next = run.end;
            run.contains(&frame)
        })
    }

    /// What does not go with VMs that come and go; what is listed of VFs becomes possible.
    fn leave_out_what_does_not_go_with_vms(&mut self) {
        let machine = &mut self.machine;
        machine.failures = FailuresSpec::default();
        machine.switches.schedule = SwitchSchedule::None;
        machine.switches.list.clear();
        machine.silence.mode = SwitchMode::Silence;
        machine.silence.skip.clear();
        machine.silence.drain_timeout_us = SilenceSpec::default().drain_timeout_us;
        machine.topology.domain_scope = DomainScope::Vf;
        machine.device.tlb = DeviceTlbSpec::default();
        machine.device.slot_ns = 0.0;
        machine.host = HostSpec::default();
        self.attribution = false;
        self.obeys.fill(true);
        let (topology, mut last) = (&machine.topology, BTreeMap::new());
        machine.lifecycle.list.retain_mut(|listed| {
            listed.adapter %= topology.adapters_per_host;
            listed.vf %= topology.vfs_per_adapter;
            let before: Option<(f64, VmEventKind)> = last.get(&listed.vf()).copied();
            if before.is_some_and(|(at_us, _)| at_us >= listed.at_us) {
                return false;
            }
            listed.event = match (before.map(|(_, event)| event), listed.event) {
                (Some(VmEventKind::Stop), _) => VmEventKind::Start,
                (Some(_), VmEventKind::Start) => VmEventKind::Stop,
                (_, wished) => wished,
            };
            last.insert(listed.vf(), (listed.at_us, listed.event));
            true
        });
        let spec = &mut machine.lifecycle;
        if spec.list.is_empty() && spec.schedule == LifecycleSchedule::List {
            spec.schedule = LifecycleSchedule::Churn;
        }
        // As much as those who are silent together can do.
        while machine.validate().is_err() && machine.lifecycle.up_us < 1e6 {
            machine.lifecycle.up_us *= 2.0;
        }
    }

    /// What does not go with switches of domains.
    fn leave_out_what_does_not_go_with_switches(&mut self) {
        self.machine.iommu.mode = IommuMode::Translate;
        let has_tlbs = self.machine.device.tlb.is_on();
        let silence = &mut self.machine.silence;
        silence.skip.retain(|step| has_tlbs || *step != ProtocolStep::InvalidateDeviceTlb);
        // A device that finds no slot between one pause and the next would starve.
        self.machine.device.slot_ns = self.machine.device.slot_ns.min(8.0 * GRID_NS as f64);
        self.machine.memory.llc.bytes = 0;
        self.machine.iommu.iotlb.sharing = IotlbSharing::Shared;
        self.machine.iommu.walkers.sharing = WalkerSharing::Shared;
        self.streams.fill(None);
        let topology = &self.machine.topology;
        if topology.domain_scope == DomainScope::Adapter {
            self.machine.silence.scope = SilenceScope::Adapter;
        }
        let silence = &self.machine.silence;
        self.attribution &=
            silence.scope == SilenceScope::Adapter || silence.mode == SwitchMode::AtomicReplace;
        self.attribution &= !silence.skips(ProtocolStep::End);
        if self.machine.device.tlb.is_on()
            || self.machine.failures.are_on()
            || silence.mode != SwitchMode::Silence
        {
            self.obeys.fill(true);
        }
        self.attribution &= self.obeys.iter().all(|obeys| *obeys);
        if self.machine.device.tlb.is_on() {
            self.machine.failures = FailuresSpec::default();
            self.machine.silence.skip.retain(|step| *step != ProtocolStep::End);
        }
        let silence = &self.machine.silence;
        if silence.mode == SwitchMode::Silence {
            self.attribution &= !self.machine.failures.are_on();
        } else {
            self.machine.failures = FailuresSpec::default();
        }
        for listed in &mut self.machine.failures.list {
            listed.adapter %= topology.adapters_per_host;
        }
        for listed in &mut self.machine.switches.list {
            listed.adapter %= topology.adapters_per_host;
            listed.vf %= topology.vfs_per_adapter;
        }
    }

    /// What does not go with escapes, of those that touch hardware above all.
    fn leave_out_what_does_not_go_with_escapes(&mut self) {
        let machine = &self.machine;
        let all_obey = self.obeys.iter().all(|obeys| *obeys);
        let never_ends = machine.switches.are_on() && machine.silence.skips(ProtocolStep::End);
        if never_ends || machine.may_crash(all_obey) || machine.lifecycle.is_on() {
            // Those that wait for the end would wait for ever; what becomes of them where hosts go down is not modelled.
            return self.escapes.iter_mut().for_each(Vec::clear);
        }
        if machine.validate_stalls(all_obey).is_err() {
            for (_, kind) in
                self.escapes.iter_mut().flatten().filter(|(_, kind)| *kind == EscapeKind::Hardware)
            {
                *kind = EscapeKind::Allowed;
            }
        }
    }

    /// What does not go with bug checks.
    fn leave_out_what_does_not_go_with_crashes(&mut self) {
        let machine = &mut self.machine;
        let fits = machine.topology.iommus_per_host == 1
            && !machine.device.tlb.is_on()
            && machine.memory.llc.bytes == 0
            && machine.iommu.mode == IommuMode::Translate
            && self.streams.iter().all(Option::is_none);
        if !fits {
            machine.host = HostSpec {
                on_switch_fault: OnFault::Record,
                on_hangs: OnFault::Record,
                ..HostSpec::default()
            };
            machine.failures.stuck_share = 0.0;
            machine.failures.list.retain(|listed| listed.failure != Failure::Stuck);
        }
        let may_crash = machine.may_crash(self.obeys.iter().all(|obeys| *obeys));
        if may_crash {
            self.machine.interrupts = InterruptsSpec::default();
        }
        self.attribution &= !may_crash;
        self.miss_causes &= !may_crash;
    }

    /// What no device with a TLB can have: DMAs over several pages among it.
    fn leave_out_what_does_not_go_with_device_tlbs(&mut self) {
        self.machine.iommu.mode = IommuMode::Translate;
        self.machine.iommu.stages = 1;
        self.machine.scheduler.vf_outstanding = 0;
        self.streams.fill(None);
        for intent in self.traffic.iter_mut().flatten() {
            intent.length_bytes = intent.length_bytes.min(4_096 - (intent.iova % 4_096) as u32);
        }
    }

    /// Where no device has a TLB nobody uses ATS, and lines of the last-level cache do not tell what is forged.
    fn leave_out_what_does_not_go_with_ats(&mut self) {
        let (is_on, llc) = (self.machine.device.tlb.is_on(), self.machine.memory.llc.bytes > 0);
        for ats in &mut self.ats {
            if !is_on {
                *ats = AtsPlan::default();
            }
            if llc {
                ats.forged_share = 0.0;
            }
        }
    }

    /// The IOMMUs of the host, each as a case of its own: a host of one IOMMU with the adapters behind it.
    pub fn iommus(&self) -> Vec<Self> {
        let topology = &self.machine.topology;
        let of_iommu = |iommu: u32| {
            let adapters = topology.adapters_behind(IommuIndex(iommu));
            let first = |adapter: u32| (adapter * topology.vfs_per_adapter) as usize;
            let vfs = first(adapters.start)..first(adapters.end);
            let topology = TopologySpec {
                iommus_per_host: 1,
                adapters_per_host: adapters.len() as u32,
                ..topology.clone()
            };
            Self {
                machine: MachineSpec { topology, ..self.machine.clone() },
                buffers: self.buffers.clone(),
                attached: self.attached[vfs.clone()].to_vec(),
                obeys: self.obeys[vfs.clone()].to_vec(),
                traffic: self.traffic[vfs.clone()].to_vec(),
                escapes: self.escapes[vfs.clone()].to_vec(),
                loops: self.loops[vfs.clone()].to_vec(),
                first_vf: vfs.start,
                ats: self.ats[vfs.clone()].to_vec(),
                streams: self.streams[vfs].to_vec(),
                attribution: self.attribution,
                miss_causes: self.miss_causes,
                classes: self.classes.clone(),
                packet_dmas: self.packet_dmas,
                warm_up_ps: self.warm_up_ps,
                seed: self.seed,
                iommu,
            }
        };
        (0..topology.iommus_per_host).map(of_iommu).collect()
    }
}

/// The grid of times: what 4 bytes take on the link.
const GRID_NS: u64 = 16;

fn grid_ns(range: core::ops::Range<u64>) -> impl Strategy<Value = f64> {
    range.prop_map(|steps| (steps * GRID_NS) as f64)
}

fn iotlb() -> impl Strategy<Value = IotlbSpec> {
    let shape = prop_oneof![
        (0u32..3, 0u32..3).prop_map(|(sets, ways)| (1 << (sets + ways), Ways::Count(1 << ways))),
        (1u32..6, 1u32..6).prop_map(|(sets, ways)| (sets * ways, Ways::Count(ways))),
        (1u32..30).prop_map(|entries| (entries, Ways::Full(FullWord::Full))),
    ];
    let policy = prop::sample::select(POLICIES.to_vec());
    let sharing = prop_oneof![
        3 => Just(IotlbSharing::Shared),
        1 => Just(IotlbSharing::Ways),
        1 => Just(IotlbSharing::Sets),
        1 => Just(IotlbSharing::Quota),
    ];
    (shape, policy, any::<bool>(), grid_ns(0..4), sharing, prop::bool::weighted(0.95))
        .prop_map(|((entries, ways), replacement, hashed, hit_ns, sharing, enabled)| IotlbSpec {
            sharing,
            enabled: enabled || sharing != IotlbSharing::Shared,
            entries,
            ways,
            replacement,
            index: if hashed { IotlbIndex::Hash } else { IotlbIndex::Iova },
            hit_ns,
        })
        .prop_filter("can be built", |spec| spec.validate("iommu.iotlb").is_ok())
}

/// Times of whole walks or of accesses; drawn ones on the grid, so that walks tie, or not.
fn walkers() -> impl Strategy<Value = WalkersSpec> {
    let exponential = prop_oneof![2 => Just(WalkLatency::Constant), 1 => Just(WalkLatency::Exponential)];
    let list = prop::collection::vec((grid_ns(1..12), (1u32..4).prop_map(f64::from)), 1..4);
    let times = prop_oneof![
        2 => (grid_ns(1..60), exponential.clone()).prop_map(|(ns, latency)| (latency, None, Some(ns), None)),
        4 => (grid_ns(1..20), exponential).prop_map(|(ns, latency)| (latency, Some(ns), None, None)),
        2 => list.prop_map(|list| (WalkLatency::Empirical, None, None, Some(list))),
    ];
    let overhead_ns = prop_oneof![2 => Just(0.0), 1 => grid_ns(0..20)];
    let large = prop::option::of(grid_ns(1..60));
    (1u32..5, 1u32..6, times, overhead_ns, prop::bool::weighted(0.3), large).prop_map(
        |(count, queue_entries, (latency, memory_ns, walk_ns, empirical_ns), overhead_ns, divided, large)| {
            WalkersSpec {
                walk_2m_ns: large.filter(|_| walk_ns.is_some() && latency == WalkLatency::Constant),
                walk_1g_ns: None,
                count,
                queue_entries,
                sharing: if divided { WalkerSharing::Classes } else { WalkerSharing::Shared },
                latency,
                memory_ns,
                walk_ns,
                empirical_ns,
                overhead_ns: if walk_ns.is_some() { 0.0 } else { overhead_ns },
            }
        },
    )
}

fn walk_cache() -> impl Strategy<Value = WalkCacheSpec> {
    let shape = prop_oneof![
        3 => Just((0, Ways::Full(FullWord::Full))),
        2 => (1u32..5).prop_map(|entries| (entries, Ways::Full(FullWord::Full))),
        1 => (0u32..2, 0u32..2).prop_map(|(sets, ways)| (1 << (sets + ways), Ways::Count(1 << ways))),
    ];
    let policy = prop::sample::select(POLICIES.to_vec());
    (shape, policy).prop_map(|((entries, ways), replacement)| {
        // The tree needs a power of two.
        let entries = if replacement == ReplacementPolicy::Plru && entries == 3 { 4 } else { entries };
        WalkCacheSpec { entries, ways, replacement }
    })
}

fn invalidation() -> impl Strategy<Value = InvalidationSpec> {
    let device_tlb_ns = prop_oneof![1 => Just(0.0), 3 => grid_ns(0..60)];
    let costs = (grid_ns(0..40), device_tlb_ns, 1u32..5, grid_ns(1..400));
    let walk_caches =
        prop::sample::select(vec![WalkCacheInvalidation::LeafOnly, WalkCacheInvalidation::Full]);
    let walk_caches = prop::option::of(walk_caches);
    (any::<bool>(), prop::option::of(0usize..3), walk_caches, costs).prop_map(
        |(deferred, granularity, walk_caches, (command_ns, device_tlb_ns, flush_entries, timer_ns))| {
            InvalidationSpec {
                mode: if deferred { InvalidationMode::Deferred } else { InvalidationMode::Strict },
                granularity: granularity
                    .map(|which| [Granularity::Page, Granularity::Domain, Granularity::Global][which])
                    .filter(|which| !deferred || *which != Granularity::Page),
                walk_caches,
                command_ns,
                device_tlb_us: device_tlb_ns / 1e3,
                flush_entries,
                flush_timer_us: timer_ns / 1e3,
            }
        },
    )
}

/// What walks read: levels, stages and walk caches, as far as they can be built with such walkers.
fn iommu() -> impl Strategy<Value = IommuSpec> {
    let faults = (1u32..4, grid_ns(0..200))
        .prop_map(|(queue_entries, service_ns)| FaultQueueSpec { queue_entries, service_ns });
    let caches = (walk_cache(), walk_cache(), walk_cache(), walk_cache())
        .prop_map(|(l2, l3, l4, l5)| WalkCachesSpec { l2, l3, l4, l5 });
    let mode = prop_oneof![
        8 => Just(IommuMode::Translate),
        1 => Just(IommuMode::Off),
        1 => Just(IommuMode::Passthrough),
    ];
    let rest = (invalidation(), mode);
    let host = (prop::bool::weighted(0.3), 3u8..6, prop::sample::select(LeafSize::ALL.to_vec()));
    (iotlb(), walkers(), faults, 3u8..6, caches, host, rest).prop_map(
        |(iotlb, walkers, faults, page_table_levels, caches, host, (invalidation, mode))| {
            let (nested, host_levels, host_page_size) = host;
            let whole = walkers.walk_ns.is_some();
            let mut walk_caches = if whole { WalkCachesSpec::default() } else { caches };
            if page_table_levels < 5 {
                walk_caches.l5 = WalkCacheSpec::default();
            }
            if page_table_levels < 4 {
                walk_caches.l4 = WalkCacheSpec::default();
            }
            let stages = if nested && !whole { 2 } else { 1 };
            IommuSpec {
                mode,
                invalidation,
                iotlb,
                walk_caches,
                walkers,
                faults,
                page_table_levels,
                stages,
                host_levels,
                host_page_size,
            }
        },
    )
}

/// A third of the devices have TLBs.
fn device_tlb() -> impl Strategy<Value = DeviceTlbSpec> {
    let some = (iotlb(), 1u32..5, any::<bool>()).prop_map(|(iotlb, pending, shared)| {
        let IotlbSpec { entries, ways, replacement, index, hit_ns, .. } = iotlb;
        let sharing = if shared { TlbSharing::Adapter } else { TlbSharing::Vf };
        DeviceTlbSpec { entries, ways, replacement, index, hit_ns, sharing, pending }
    });
    prop_oneof![2 => Just(DeviceTlbSpec::default()), 1 => some]
}

/// What a VF does with ATS.
fn ats() -> impl Strategy<Value = AtsPlan> {
    let share = prop_oneof![2 => Just(0.0), 2 => Just(0.3), 1 => Just(1.0)];
    (prop::bool::weighted(0.6), share).prop_map(|(enabled, forged_share)| AtsPlan { enabled, forged_share })
}

/// How a switch goes, on the grid.
fn silence() -> impl Strategy<Value = SilenceSpec> {
    let mode = prop_oneof![
        6 => Just(SwitchMode::Silence),
        2 => Just(SwitchMode::AtomicReplace),
        2 => Just(SwitchMode::Unsafe),
    ];
    use ProtocolStep::{Begin, Drain, End, InvalidateContext, InvalidateDeviceTlb, InvalidateIotlb, Suspend};
    let skip = prop::sample::select(vec![
        vec![],
        vec![Drain],
        vec![Begin],
        vec![Drain, Begin],
        vec![Suspend, Drain, Begin],
        vec![Suspend],
        vec![Suspend, Begin],
        vec![Suspend, Drain],
        vec![InvalidateContext],
        vec![InvalidateIotlb],
        vec![InvalidateContext, InvalidateIotlb],
        vec![Drain, Begin, InvalidateIotlb],
        vec![End],
        vec![Drain, End],
        vec![InvalidateDeviceTlb],
        vec![InvalidateContext, InvalidateDeviceTlb],
        vec![Drain, InvalidateIotlb, InvalidateDeviceTlb],
    ]);
    let phase = || prop_oneof![2 => Just(0.0), 2 => grid_ns(0..4), 1 => grid_ns(0..60)];
    let phases = (phase(), phase(), phase(), phase(), phase(), phase(), phase());
    let timeout = prop_oneof![2 => Just(2e9), 1 => grid_ns(1..400)];
    (mode, any::<[bool; 2]>(), skip, any::<bool>(), (prop::bool::weighted(0.2), timeout), phases).prop_map(
        |(
            mode,
            [alone, mask_interrupts],
            skip,
            did_reuse,
            (drawn, timeout),
            (suspend, begin, quiesce, detach, attach, end, resume),
        )| {
            let us = |ns: f64| ns / 1e3;
            SilenceSpec {
                mode,
                scope: if alone { SilenceScope::Vf } else { SilenceScope::Adapter },
                skip: if mode == SwitchMode::Unsafe { skip } else { Vec::new() },
                did_reuse,
                durations: if drawn { PhaseDurations::Exponential } else { PhaseDurations::Constant },
                suspend_us: us(suspend),
                drain_timeout_us: us(timeout),
                begin_us: us(begin),
                quiesce_us: us(quiesce),
                detach_us: us(detach),
                attach_us: us(attach),
                end_us: us(end),
                resume_us: us(resume),
                mask_interrupts,
            }
        },
    )
}

/// What fails in switches: nothing mostly, or every other switch.
fn failures() -> impl Strategy<Value = FailuresSpec> {
    let share = || prop_oneof![3 => Just(0.0), 1 => Just(0.125)];
    let shares = (share(), share(), share(), share(), share(), share(), share(), share());
    let limits = (grid_ns(1..60), 0u32..4, grid_ns(1..300));
    let times = (grid_ns(1..60), grid_ns(1..60), grid_ns(1..60), grid_ns(1..60), grid_ns(1..20));
    let listed = (0u64..100, 0usize..Failure::ALL.len(), 0u32..3);
    let list = prop::collection::vec(listed, 0..3).prop_map(|mut listed| {
        listed.sort_unstable();
        let made = listed.into_iter().map(|(at, which, adapter)| ListedFailure {
            at_us: (at * GRID_NS) as f64 / 1e3,
            failure: Failure::ALL[which],
            host: 0,
            adapter,
        });
        made.collect()
    });
    let some = (shares, times, limits, list).prop_map(|(shares, times, limits, list)| {
        let (preempt, begin, stuck, quiesce, invalidation, attach, reattach, end) = shares;
        let (preempt_timeout, quiesce_timeout, invalidation_timeout, reset, recovery) = times;
        let (ddi_timeout, tdr_limit, tdr_limit_ns) = limits;
        FailuresSpec {
            preempt_share: preempt,
            begin_share: begin,
            stuck_share: stuck,
            ddi_timeout_us: ddi_timeout / 1e3,
            tdr_limit,
            tdr_limit_us: tdr_limit_ns / 1e3,
            quiesce_share: quiesce,
            invalidation_share: invalidation,
            attach_share: attach,
            reattach_share: reattach,
            end_share: end,
            preempt_timeout_us: preempt_timeout / 1e3,
            quiesce_timeout_us: quiesce_timeout / 1e3,
            invalidation_timeout_us: invalidation_timeout / 1e3,
            reset_us: reset / 1e3,
            recovery_us: recovery / 1e3,
            list,
        }
    });
    prop_oneof![1 => Just(FailuresSpec::default()), 1 => some]
}

/// When switches are due: never mostly, or in the midst of things.
fn switches() -> impl Strategy<Value = SwitchesSpec> {
    let listed = (0u64..12, 0u32..3, 0u32..3);
    let list = prop::collection::vec(listed, 1..8).prop_map(|steps| {
        let mut at = 0;
        let listed = |(gap, adapter, vf): (u64, u32, u32)| {
            at += gap * gap;
            ListedSwitch { at_us: (at * GRID_NS) as f64 / 1e3, host: 0, adapter, vf }
        };
        SwitchesSpec {
            schedule: SwitchSchedule::List,
            list: steps.into_iter().map(listed).collect(),
            ..SwitchesSpec::default()
        }
    });
    let rest = (grid_ns(8..40), 1u32..3);
    let every = (grid_ns(1..120), any::<bool>()).prop_map(|(ns, poisson)| SwitchesSpec {
        schedule: if poisson { SwitchSchedule::Poisson } else { SwitchSchedule::Periodic },
        every_us: ns / 1e3,
        ..SwitchesSpec::default()
    });
    let some = prop_oneof![3 => list, 2 => every];
    let some =
        (some, rest).prop_map(|(some, (gap, waiting))| SwitchesSpec { gap_us: gap / 1e3, waiting, ..some });
    prop_oneof![2 => Just(SwitchesSpec::default()), 1 => some]
}

/// VMs that come and go, mostly not: what cannot happen to a VF is made possible later.
fn lifecycle() -> impl Strategy<Value = LifecycleSpec> {
    let kinds = prop::sample::select(vec![
        VmEventKind::Start,
        VmEventKind::Stop,
        VmEventKind::Stop,
        VmEventKind::Migrate,
        VmEventKind::Migrate,
    ]);
    let listed = (0u64..12, 0u32..3, 0u32..3, kinds);
    let list = prop::collection::vec(listed, 1..9).prop_map(|steps| {
        let mut at = 0;
        let listed = |(gap, adapter, vf, event): (u64, u32, u32, VmEventKind)| {
            at += gap * gap;
            ListedVmEvent { at_us: (at * GRID_NS) as f64 / 1e3, event, host: 0, adapter, vf }
        };
        (LifecycleSchedule::List, steps.into_iter().map(listed).collect())
    });
    let some = prop_oneof![3 => list, 1 => Just((LifecycleSchedule::Churn, Vec::new()))];
    let pause = || prop_oneof![1 => Just(0.0), 3 => grid_ns(0..60)];
    let some = (some, grid_ns(8..300), grid_ns(1..100), pause(), pause()).prop_map(
        |((schedule, list), up, down, reset, pause)| LifecycleSpec {
            schedule,
            up_us: up / 1e3,
            down_us: down / 1e3,
            reset_us: reset / 1e3,
            migration_pause_us: pause / 1e3,
            list,
        },
    );
    let weight = if only_vms() { 1000 } else { 1 };
    prop_oneof![4 => Just(LifecycleSpec::default()), weight => some]
}

/// Whether cases are asked for in which VMs come and go: with `PORTCULLIS_VMS`.
fn only_vms() -> bool {
    std::env::var_os("PORTCULLIS_VMS").is_some()
}

fn machine() -> impl Strategy<Value = MachineSpec> {
    let topology =
        (1u32..4, 1u32..4, 1u32..4, any::<bool>()).prop_map(|(adapters, iommus, vfs, shared)| TopologySpec {
            hosts: 1,
            // A third of the hosts with two adapters or more have one IOMMU.
            iommus_per_host: iommus.min(adapters),
            adapters_per_host: adapters,
            vfs_per_adapter: vfs,
            domain_scope: if shared { DomainScope::Adapter } else { DomainScope::Vf },
        });
    let tlps = (
        prop::sample::select(vec![128u32, 256]),
        prop::sample::select(vec![128u32, 256, 512]),
        prop::sample::select(vec![None, None, Some(64u32), Some(128)]),
        prop::sample::select(vec![None, None, Some(64u32), Some(128)]),
    );
    let link = (grid_ns(0..8), prop_oneof![1u32..5, Just(64u32)], tlps).prop_map(
        |(propagation_ns, flow_credits, (mps, mrrs, rcb, completion_bytes))| LinkSpec {
            generation: 1,
            lanes: 1,
            mps,
            mrrs,
            rcb,
            completion_bytes: completion_bytes.map(|bytes| bytes.max(rcb.unwrap_or(64))),
            tlp_share: 1.0,
            propagation_ns,
            flow_credits,
            ..LinkSpec::default()
        },
    );
    let device = (
        prop_oneof![1u32..4, Just(64u32)],
        prop::bool::weighted(0.2),
        prop_oneof![2 => Just(0u32), 1 => 1u32..6],
        prop::bool::weighted(0.4),
        any::<bool>(),
        (device_tlb(), prop_oneof![Just(0.0), grid_ns(1..20)]),
    )
        .prop_map(|(read_tags, limited, outstanding, in_order, ordered, (tlb, slot_ns))| DeviceSpec {
            slot_ns: if tlb.is_on() { slot_ns } else { 0.0 },
            tlb,
            outstanding,
            retire: if in_order { Retire::InOrder } else { Retire::OutOfOrder },
            write_order: if ordered { WriteOrder::InOrder } else { WriteOrder::Relaxed },
            read_tags,
            max_read_mops: if limited { 3.125 } else { 0.0 },
            max_write_mops: if limited { 1.5625 } else { 0.0 },
        });
    let queues = (1u32..6, prop_oneof![2 => Just(0u32), 1 => 1u32..4]);
    let scheduler = (queues, slices()).prop_map(|((vf_queue_entries, vf_outstanding), slices)| {
        SchedulerSpec { vf_queue_entries, vf_outstanding, ..slices }
    });
    let llc = (prop_oneof![Just(0u64), 1u64..20], 1u32..4, grid_ns(0..20))
        .prop_map(|(sets, ways, miss_ns)| LlcSpec { bytes: sets * 64 * u64::from(ways), ways, miss_ns });
    let memory = (grid_ns(0..20), grid_ns(0..20), grid_ns(0..20), llc).prop_map(
        |(read_ns, write_ns, unsupported_request_ns, llc)| MemorySpec {
            read_ns,
            base_read_ns: None,
            write_ns,
            unsupported_request_ns,
            llc,
        },
    );
    let on_fault = || prop_oneof![3 => Just(OnFault::Record), 1 => Just(OnFault::Bugcheck)];
    let host = (on_fault(), on_fault(), on_fault(), prop::option::weighted(0.7, grid_ns(1..300)));
    let host = host.prop_map(|(on_fault, on_switch_fault, on_hangs, reboot)| HostSpec {
        on_fault,
        on_switch_fault,
        on_hangs,
        reboot_us: reboot.map(|ns| ns / 1e3),
    });
    let vsync_hz = prop_oneof![1 => Just(0.0), 1 => Just(1e6), 1 => Just(333_333.0)];
    let interrupts = (vsync_hz, 0u32..4)
        .prop_map(|(vsync_hz, completions_per_msi)| InterruptsSpec { vsync_hz, completions_per_msi });
    let switching = (silence(), switches(), failures(), (host, interrupts, escape_filter()), lifecycle());
    (topology, scheduler, link, device, iommu(), memory, switching).prop_map(
        |(
            topology,
            scheduler,
            link,
            device,
            iommu,
            memory,
            (silence, switches, failures, (host, interrupts, escape), lifecycle),
        )| {
            leave_out_what_does_not_go_with_slices(MachineSpec {
                host,
                interrupts,
                escape,
                silence,
                switches,
                failures,
                lifecycle,
                topology,
                scheduler,
                link,
                device,
                iommu,
                memory,
                ..MachineSpec::default()
            })
        },
    )
}

/// Who sends when: all at once mostly, or in slices that are shorter than a request on the link, or hold many. More slots
/// than VFs are as many more.
fn slices() -> impl Strategy<Value = SchedulerSpec> {
    let policy = prop_oneof![
        4 => Just(SchedulerPolicy::Concurrent),
        1 => Just(SchedulerPolicy::FixedShare),
        1 => Just(SchedulerPolicy::EqualShare),
        2 => Just(SchedulerPolicy::BestEffort),
    ];
    let slice = prop_oneof![2 => grid_ns(1..20), 1 => grid_ns(1..200)];
    let switch = prop_oneof![1 => Just(0.0), 1 => grid_ns(1..12)];
    (policy, slice, switch, prop::option::of(0u32..3)).prop_map(|(policy, slice, switch, partitions)| {
        SchedulerSpec {
            policy,
            slice_us: Some(slice / 1e3),
            switch_us: switch / 1e3,
            partitions,
            ..SchedulerSpec::default()
        }
    })
}

/// Where devices have TLBs all send at once; where domains are switched, by the clock, and nothing fails.
fn leave_out_what_does_not_go_with_slices(mut machine: MachineSpec) -> MachineSpec {
    let vfs = machine.topology.vfs_per_adapter;
    let scheduler = &mut machine.scheduler;
    scheduler.partitions = scheduler.partitions.map(|more| vfs + more);
    if machine.device.tlb.is_on() || machine.lifecycle.is_on() {
        scheduler.policy = SchedulerPolicy::Concurrent;
    }
    if scheduler.policy == SchedulerPolicy::BestEffort && machine.switches.are_on() {
        scheduler.policy = SchedulerPolicy::EqualShare;
    }
    if scheduler.policy.has_slices() {
        machine.failures = FailuresSpec::default();
        machine.silence.skip.retain(|step| *step != ProtocolStep::End);
        // A VF whose slices all come in pauses would starve.
        let slots = scheduler.partitions.unwrap_or(vfs).max(vfs);
        let slice_us = scheduler.slice_us.expect("just given");
        let round_us = f64::from(slots) * (slice_us + scheduler.switch_us);
        machine.switches.gap_us = machine.switches.gap_us.max(2.0 * round_us);
    }
    machine
}

/// Where the buffers of every VF lie, that of small pages over the end of a page table; addresses between
/// and behind them are not mapped.
const BUFFER_BASES: [u64; 3] = [0x1F_D000, 0x4000_0000, 0x1_0000_0000];

fn buffers() -> impl Strategy<Value = Vec<BufferPlan>> {
    let permissions = prop::sample::select(vec![
        Permissions::ReadWrite,
        Permissions::ReadWrite,
        Permissions::Read,
        Permissions::Write,
        Permissions::None,
    ]);
    let sizes = prop::sample::subsequence(LeafSize::ALL.to_vec(), 1..4);
    (sizes, 1u64..40, permissions, any::<bool>(), prop_oneof![Just(0.0), Just(0.3)]).prop_map(
        |(sizes, pages, permissions, scattered, hole_share)| {
            let buffer = |page_size: LeafSize| BufferPlan {
                iova: Iova(BUFFER_BASES[page_size as usize]),
                page_size,
                pages: if page_size == LeafSize::Size4K { pages } else { pages.min(3) },
                permissions: if page_size == LeafSize::Size4K { Permissions::ReadWrite } else { permissions },
                frames: if scattered { FrameLayout::Scattered } else { FrameLayout::Contiguous },
                hole_share,
            };
            sizes.into_iter().map(buffer).collect()
        },
    )
}

/// The requests of a VF: bursts on the grid over a few hot pages of its buffers, some beyond them.
fn intents() -> impl Strategy<Value = Vec<Intent>> {
    let intent = (
        prop_oneof![4 => Just(0u64), 4 => 0u64..4, 2 => 0u64..64, 1 => 0u64..2_000],
        0usize..BUFFER_BASES.len(),
        prop_oneof![6 => 0u64..6, 2 => 0u64..48],
        prop_oneof![3 => Just(0u64), 1 => 0u64..4_096],
        prop_oneof![4 => Just(64u32), 2 => 1u32..300, 1 => 1u32..9_000],
        any::<bool>(),
    );
    prop::collection::vec(intent, 0..40).prop_map(|steps| {
        let mut time = 0;
        steps
            .into_iter()
            .map(|(gap, buffer, page, offset, length_bytes, write)| {
                time += gap * GRID_NS * 1_000;
                let iova = BUFFER_BASES[buffer] + page * 4_096 + offset;
                let op = if write { Op::Write } else { Op::Read };
                Intent { intended_ps: time, iova, length_bytes, op }
            })
            .collect()
    })
}

/// The escapes of each of so many VFs' tenants: none mostly, or some in the midst of things.
fn escapes(vfs: usize) -> impl Strategy<Value = Vec<Vec<(u64, EscapeKind)>>> {
    let kind = prop_oneof![
        1 => Just(EscapeKind::Denied),
        3 => Just(EscapeKind::Allowed),
        2 => Just(EscapeKind::Hardware),
    ];
    let gap = prop_oneof![2 => Just(0u64), 3 => 0u64..6, 2 => 0u64..64, 1 => 0u64..600];
    let of_vf = prop::collection::vec((gap, kind), 0..8).prop_map(|steps| {
        let mut at = 0;
        let sent = |(gap, kind): (u64, EscapeKind)| {
            at += gap * GRID_NS * 1_000;
            (at, kind)
        };
        steps.into_iter().map(sent).collect()
    });
    prop_oneof![
        2 => Just(vec![Vec::new(); vfs]),
        1 => prop::collection::vec(prop_oneof![1 => Just(Vec::new()), 2 => of_vf], vfs),
    ]
}

/// How escapes are filtered, and how long they are in the driver.
fn escape_filter() -> impl Strategy<Value = EscapeSpec> {
    let time = || prop_oneof![1 => Just(0.0), 2 => grid_ns(0..8), 1 => grid_ns(0..60)];
    (time(), time(), time(), 1u32..4).prop_map(|(filter_ns, driver, hardware_access, waiting_packets)| {
        EscapeSpec {
            filter_ns,
            driver_us: driver / 1e3,
            hardware_access_us: hardware_access / 1e3,
            waiting_packets,
            ..EscapeSpec::default()
        }
    })
}

/// A closed loop whose clients think for a while, or not at all.
fn closed() -> impl Strategy<Value = Loop> {
    let think = prop_oneof![3 => Just(0u64), 3 => 0u64..6, 1 => 0u64..200];
    (1u64..6, prop::collection::vec(think, 1..6)).prop_map(|(clients, thinks)| Loop {
        clients,
        think_ps: thinks.into_iter().map(|steps| steps * GRID_NS * 1_000).collect(),
    })
}

/// Where the streaming mappings of a VF begin.
pub const STREAM_BASE: u64 = 0x2_0000_0000;

/// A buffer for each client of a VF's loop, and as many addresses at least; nothing for VFs without a loop.
fn with_buffers(
    streams: Vec<Option<StreamingPlan>>,
    loops: &[Option<Loop>],
    any: bool,
) -> Vec<Option<StreamingPlan>> {
    let pairs = streams.into_iter().map(|stream| stream.filter(|_| any)).zip(loops);
    pairs
        .map(|(stream, closed)| {
            let (stream, clients) = (stream?, closed.as_ref()?.clients);
            let addresses = clients + stream.addresses;
            Some(StreamingPlan { buffers: clients as u32, addresses, ..stream })
        })
        .collect()
}

/// The requests of a VF with streaming mappings end where their buffers do.
fn within_buffers(traffic: &mut [Intent], stream: &StreamingPlan) {
    let bytes = stream.page_size.bytes();
    for intent in traffic {
        let room = bytes - intent.iova % bytes;
        intent.length_bytes = intent.length_bytes.min(u32::try_from(room).unwrap_or(u32::MAX));
    }
}

/// Streaming mappings of a VF, but for how many.
fn streaming() -> impl Strategy<Value = StreamingPlan> {
    let late = prop_oneof![2 => Just(0.0), 1 => Just(0.4)];
    let size = prop_oneof![5 => Just(LeafSize::Size4K), 1 => Just(LeafSize::Size2M)];
    let reuse = prop::sample::select(vec![IovaReuse::Lifo, IovaReuse::Fifo, IovaReuse::Random]);
    let poll = prop_oneof![2 => Just(0), 1 => 1u64..100];
    (0u64..6, (0u64..30, poll), reuse, late, 1u32..5, size, prop::bool::weighted(0.9)).prop_map(
        |(more, (reaction, poll), reuse, late_share, late_by, page_size, writable)| StreamingPlan {
            buffers: 0,
            page_size,
            iova: Iova(STREAM_BASE),
            addresses: more,
            permissions: if writable { Permissions::ReadWrite } else { Permissions::Read },
            unmap_after: Picoseconds(reaction * GRID_NS * 1_000),
            poll: Picoseconds(poll * GRID_NS * 1_000),
            reuse,
            late_share,
            late_by,
        },
    )
}

/// Classes of tenants: one, or several with shares or without.
fn classes() -> impl Strategy<Value = Vec<ClassShare>> {
    let share = || prop::option::of(prop::sample::select(vec![0.25, 0.5, 0.75]));
    let class = (share(), share()).prop_map(|(iotlb, walkers)| ClassShare { iotlb, walkers });
    prop_oneof![
        1 => Just(vec![ClassShare::default()]),
        2 => Just(vec![ClassShare::default(); 2]),
        3 => prop::collection::vec(class, 2..4),
    ]
}

/// None, or one that ends in the midst of things, on the grid or beside it.
fn warm_up_ps() -> impl Strategy<Value = u64> {
    let on_grid = (0u64..120).prop_map(|steps| steps * GRID_NS * 1_000);
    prop_oneof![2 => Just(0u64), 3 => on_grid, 1 => 0u64..3_000_000]
}

/// A random case.
pub fn case() -> impl Strategy<Value = Case> {
    let packets = prop_oneof![2 => Just(1u32), 3 => 2u32..4];
    let asked = any::<[bool; 2]>();
    let seeds = (any::<u64>(), warm_up_ps(), classes(), packets, asked);
    (machine(), buffers(), seeds, any::<bool>()).prop_flat_map(|(machine, buffers, seeds, loops)| {
        let (seed, warm_up_ps, classes, packet_dmas, [attribution, miss_causes]) = seeds;
        let asked = ReportSpec { attribution, miss_causes, ..ReportSpec::default() };
        let can_tell = asked.validate_on(&machine).is_ok();
        let vfs = machine.topology.vfs_per_host() as usize;
        let traffic = prop::collection::vec(intents(), vfs);
        let attached = prop::collection::vec(prop::bool::weighted(0.95), vfs);
        let closed = prop::option::weighted(0.7, closed());
        let closed = closed.prop_map(move |closed| closed.filter(|_| loops));
        let loops = prop::collection::vec(closed, vfs);
        let streams = prop::collection::vec(prop::option::weighted(0.6, streaming()), vfs);
        let streams = (streams, prop::bool::weighted(0.6));
        let obeys = prop_oneof![
            2 => Just(vec![true; vfs]),
            1 => prop::collection::vec(prop::bool::weighted(0.6), vfs),
        ];
        let ats = (prop::collection::vec(ats(), vfs), any::<bool>());
        let attached = (attached, obeys, escapes(vfs));
        (traffic, attached, loops, streams, ats).prop_map(
            move |(mut traffic, (attached, obeys, escapes), loops, (streams, any), (ats, special))| {
                let streams = with_buffers(streams, &loops, any);
                for (traffic, stream) in traffic.iter_mut().zip(&streams) {
                    stream.iter().for_each(|stream| within_buffers(traffic, stream));
                }
                let mut case = Case {
                    machine: machine.clone(),
                    buffers: buffers.clone(),
                    attached,
                    obeys,
                    traffic,
                    escapes,
                    loops,
                    streams,
                    ats: if special { ats } else { vec![AtsPlan::default(); vfs] },
                    attribution: attribution && can_tell,
                    miss_causes: miss_causes && can_tell,
                    classes: classes.clone(),
                    packet_dmas,
                    warm_up_ps,
                    seed,
                    iommu: 0,
                    first_vf: 0,
                };
                if case.machine.lifecycle.is_on() {
                    case.leave_out_what_does_not_go_with_vms();
                }
                if case.machine.switches_domains() {
                    case.leave_out_what_does_not_go_with_switches();
                    case.ats.fill(AtsPlan::default());
                } else {
                    case.machine.failures = FailuresSpec::default();
                    case.obeys.fill(true);
                }
                case.leave_out_what_does_not_go_with_crashes();
                case.share_freely_what_cannot_be_divided();
                if case.machine.device.tlb.is_on() {
                    case.leave_out_what_does_not_go_with_device_tlbs();
                }
                case.leave_out_what_does_not_go_with_ats();
                case.leave_out_what_does_not_go_with_escapes();
                case
            },
        )
    })
}
