//! Builds the world of an IOMMU from a plan.

use core::cmp::Reverse;

use bevy_ecs::prelude::*;

use super::components::*;
use super::dense::columns_mut;
use super::place::Place;
use super::spec::DomainScope;
use crate::account::{
    AuditPolicy, Audited, Levels, RequestLog, ServiceTimes, TenantWindows, Timeline, VfBooks, VfIncidents,
    VfLatencies, WarmUp, Windows,
};
use crate::admission::{AttachError, Refusal};
use crate::attribution::{Attribution, DeviceWaits, LinkWaits, Watch};
use crate::crash::{Crashes, HeldBack};
use crate::device_tlb::{Ats, AtsPlan, DeviceTlb, Function, Invalidations};
use crate::domain::{DidAllocator, Domain, Leaf, LeafSize, Mapping, Owner, OwnerMap, PageTable};
use crate::escape::{
    ChannelBooks, ChannelOrder, DriverQueue, EscapeBatch, EscapeBooks, EscapeChannel, EscapeFilter,
    EscapePacket, EscapeRun, EscapeSource, EscapeTraffic, ExclusiveWindows, GuestArena, Handles, Sender,
    Stalls, adapter_handle,
};
use crate::gate::{Candidates, Credit, HeldCredits, Refunds, Tag, Uplink, VfQueue};
use crate::hash::mix64;
use crate::ids::{DomainId, Iova, PhysAddr, RequesterId, VfIndex};
use crate::interrupts::Interrupts;
use crate::invalidation::{Control, ControlPlane, FramePool, Stream, StreamingPlan};
use crate::lifecycle::{Living, Partitions, VfLifecycle, VfState, VmBooks, VmSchedule};
use crate::link::{RateLimits, WireTimes};
use crate::memory::{
    CompletedRows, Downlink, LastLevelCache, MemoryTimes, PostedWrites, Retirement, Watchers,
};
use crate::plan::{BufferPlan, FrameLayout, RunPlan, Sabotage, TenantPlan, VmPlan};
use crate::schedule::Progress;
use crate::silence::{
    AdapterPlace, DomainSwitches, Escapes, Silence, SilenceBooks, SilenceScope, SwitchMode, SwitchTotals,
    Switching,
};
use crate::slices::Slices;
use crate::traffic::{Batch, BatchLimits, Feedback, NextIntended, Silent, Source, TrafficSource, spawn_rows};
use crate::translation::replacement::with_iotlb;
use crate::translation::{
    AnyIotlb, Arrivals, Context, ContextEntry, FaultQueue, IommuMode, IotlbState, LookedUp, LookupBound,
    LookupClock, Reached, StalledDma, TranslationTimes, WalkCaches, WalkCosts, Walkers,
};
use crate::units::Picoseconds;

/// Frames below this address belong to the host.
const TENANT_MEMORY: u64 = 1 << 32;
/// Function number of the first VF on its segment.
const FIRST_VF_FUNCTION: u32 = 0x100;
/// Under domain scope `adapter` each VF has a part of the address space this large.
const SHARED_DOMAIN_PART_SHIFT: u32 = 40;
/// What tells the stream of late requests from those of buffers.
const LATE: u64 = 1 << 63;
/// What distinguishes the seeds of device TLBs.
const DEVICE_TLB: u64 = 1 << 62;
/// What distinguishes the seeds of switches.
const SWITCHES: u64 = 1 << 61;
/// What distinguishes the seeds of forged translated requests.
const FORGED: u64 = 1 << 60;
/// DIDs of 16 bits, as on VT-d.
const DOMAIN_IDS: u32 = 1 << 16;

/// Simulated time a run takes at its tenants' mean rate, cut into spans of work.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// One window of the time series.
    pub window: Picoseconds,
    /// From one instant at which levels are counted to the next, where they are asked for.
    pub levels: Option<Picoseconds>,
    /// One slice of the request log.
    pub log_slice: Picoseconds,
}

/// Requests a slice of the log is expected to hold, over all hosts.
const LOG_SLICE_REQUESTS: u64 = 1 << 18;

impl Spans {
    /// The spans of a plan. Windows and slices depend on the scenario alone, never on how the work is cut.
    #[must_use]
    pub fn new(plan: &RunPlan) -> Self {
        let duration = u128::from(plan.expected_duration.0.max(1));
        let requests = u128::from(plan.expected_requests.max(1));
        let cut = |spans: u32| Picoseconds(plan.expected_duration.0.div_ceil(u64::from(spans)).max(1));
        let slice = duration * u128::from(LOG_SLICE_REQUESTS) / requests;
        Self {
            window: cut(plan.report.windows),
            levels: (plan.report.levels > 0).then(|| cut(plan.report.levels)),
            log_slice: within_a_run(slice),
        }
    }
}

/// A span of at least a picosecond that can be added to any time of a run.
pub(super) fn within_a_run(ps: u128) -> Picoseconds {
    Picoseconds(u64::try_from(ps.clamp(1, 1 << 62)).expect("clamped"))
}

/// Builds the world of one IOMMU: a function of the plan and the place alone.
#[must_use]
pub fn build_iommu(plan: &RunPlan, spans: &Spans, place: &Place) -> World {
    let mut world = World::new();
    // A source is asked for a few requests at a time at least.
    let batch_rows = plan.batch.batch_requests.div_ceil(place.vfs());
    world.insert_resource(Batch::default());
    world.insert_resource(Progress::default());
    let rows_per_vf = (4 * batch_rows).max(16);
    let attributed = plan.report.attributes();
    let of_device_tlbs = place.machine(plan).device.tlb.is_on();
    world.insert_resource(BatchLimits {
        span: place.batch_span(plan),
        rows_per_vf,
        attributed,
        of_device_tlbs,
    });
    spawn_rows(&mut world, (place.vfs() * rows_per_vf) as usize);
    spawn_iommu(&mut world, plan, place);
    let frames = Frames { next: place.first_frame };
    let mut host_memory = HostMemory { owners: OwnerMap::default(), frames };
    let mut timeline = Timeline::new(*place, plan.report.timeline_rows_per_host);
    let Tenants { kinds, streams, channels, domains, ats, obeys } =
        spawn_tenants(&mut world, plan, place, &mut host_memory, &mut timeline);
    let all_obey = !obeys.contains(&false);
    start_control(&mut world, plan, place, (streams, all_obey), &mut host_memory);
    start_switches(&mut world, plan, place, &domains, &mut host_memory);
    let may_stall = channels.iter().any(may_stall);
    spawn_adapters(&mut world, plan, place, (&kinds, &obeys), may_stall);
    set_functions(&mut world, plan, place, &ats, &host_memory.frames);
    if attributed {
        start_attribution(&mut world, plan, place);
    }
    spawn_escapes(&mut world, plan, place, channels, all_obey);
    world.spawn((
        Host(place.host),
        host_memory.owners,
        timeline,
        RequestLog::new(plan.log_requests, spans.log_slice, *place),
        Windows::new(spans.window),
        (
            VfLatencies::new(place.vfs()),
            ServiceTimes::default(),
            Audited::default(),
            HeldBack(place.machine(plan).may_crash(all_obey).then(Vec::new)),
        ),
        WarmUp::new(plan.warm_up),
        TenantWindows::new(spans.window, if plan.report.tenant_windows { place.vfs() } else { 0 }),
        Attribution::new(plan.report.attribution, plan.report.miss_causes, place.vfs()),
    ));
    if let Some(step) = spans.levels {
        let mut host = world.query_filtered::<Entity, With<Host>>();
        let host = host.single(&world).expect("one host");
        world.entity_mut(host).insert(Levels::new(step));
    }
    world
}

fn spawn_iommu(world: &mut World, plan: &RunPlan, place: &Place) {
    let machine = place.machine(plan);
    let spec = &machine.iommu;
    let seed = seed_of_iommu(plan, place);
    let parts = machine.parts(&plan.classes, &plan.shares).expect("a valid plan");
    let hit = Picoseconds::from_ns_f64(spec.iotlb.hit_ns);
    let of_device_tlbs = machine.device.tlb.is_on();
    let mut iommu = world.spawn((
        (
            Iommu(place.iommu),
            DidAllocator::new(DOMAIN_IDS),
            IotlbState(AnyIotlb::divided(&spec.iotlb, seed, &parts.iotlb)),
            WalkCaches::new(spec, seed),
            Walkers::new(&spec.walkers, &parts.walkers, plan.warm_up),
            TranslationTimes { walks: WalkCosts::new(spec, seed), hit, mode: spec.mode },
            MemoryTimes {
                least_answer: if machine.device.tlb.is_on() { hit } else { Picoseconds::MAX },
                ..MemoryTimes::new(&machine.memory, machine.device.write_order)
            },
            AuditPolicy(plan.audit),
            FaultQueue::new(&spec.faults, plan.warm_up),
        ),
        (
            ControlPlane::default(),
            StalledDma::default(),
            LookupClock::default(),
            LookupBound::default(),
            Arrivals { stepwise: spec.mode != IommuMode::Translate, of_device_tlbs, ..Arrivals::default() },
            LookedUp { with_answers: of_device_tlbs.then(Vec::new), ..LookedUp::default() },
            Reached::default(),
            CompletedRows::default(),
        ),
    ));
    if let Some(llc) = LastLevelCache::new(&machine.memory.llc) {
        iommu.insert(llc);
    }
}

/// The seed of all that an IOMMU draws.
/// The seed of the switches of an adapter, by its index within the host, and of what happens to its VMs.
fn seed_of_switches(plan: &RunPlan, place: &Place, adapter: u32) -> u64 {
    mix64(plan.seed ^ mix64(u64::from(place.host.0) << 32 | u64::from(adapter)) ^ SWITCHES)
}

/// What happens to the VM of a VF, by its index within the host.
fn vm_schedule(plan: &RunPlan, place: &Place, vf: u32) -> VmSchedule {
    let (adapter, vf) = (vf / place.vfs_per_adapter, vf % place.vfs_per_adapter);
    let seed = seed_of_switches(plan, place, adapter);
    VmSchedule::new(&place.machine(plan).lifecycle, (place.host.0, adapter), vf, seed)
}

fn seed_of_iommu(plan: &RunPlan, place: &Place) -> u64 {
    let stream = u64::from(place.iommu.0) << 32 | (u64::from(place.host.0) + 1);
    mix64(plan.seed ^ mix64(stream))
}

/// Has the look-ups and the links watched.
fn start_attribution(world: &mut World, plan: &RunPlan, place: &Place) {
    let class_of_vf = world.query::<&Vm>().iter(world).map(|vm| vm.class).collect();
    let mut iommus = world.query::<(Entity, &mut IotlbState)>();
    let (iommu, mut iotlb) = iommus.single_mut(world).expect("one IOMMU");
    with_iotlb!(&mut iotlb.0, |iotlb| iotlb.note_dropped());
    let machine = place.machine(plan);
    let (spec, seed) = (&machine.iommu.iotlb, seed_of_iommu(plan, place));
    let watch = Watch::new(spec, seed, plan.report.miss_causes, class_of_vf, plan.classes.len());
    world.entity_mut(iommu).insert(watch);
    let adapters: Vec<_> = world.query_filtered::<Entity, With<Uplink>>().iter(world).collect();
    for adapter in adapters {
        if machine.device.tlb.is_on() {
            world.entity_mut(adapter).insert(DeviceWaits::default());
        } else {
            world.entity_mut(adapter).insert(LinkWaits::new(RateLimits::new(&machine.device)));
        }
    }
}

/// Spawns the adapters, whose sources are `kinds`.
fn spawn_adapters(
    world: &mut World,
    plan: &RunPlan,
    place: &Place,
    (kinds, obeys): (&[SourceKinds], &[bool]),
    may_stall: bool,
) {
    let machine = place.machine(plan);
    let vfs = place.vfs_per_adapter;
    let device = &machine.device;
    // A function has the number of the domain that it starts with.
    let tag = |entry: &ContextEntry| entry.0.map(|context| context.domain);
    let tags: Vec<_> = world.query::<&ContextEntry>().iter(world).map(tag).collect();
    let tlb = |adapter: u32| {
        let number = u64::from(place.first_adapter + adapter);
        let seed = mix64(plan.seed ^ mix64(u64::from(place.host.0) << 32 | number) ^ DEVICE_TLB);
        let slot = Picoseconds::from_ns_f64(device.slot_ns);
        let of_vfs = tags[(adapter * vfs) as usize..((adapter + 1) * vfs) as usize].to_vec();
        let invalidations = Invalidations::of_switches(machine.switches_domains());
        let made = || Box::new(Ats::new(&device.tlb, slot, adapter * vfs, of_vfs, invalidations, seed));
        DeviceTlb(device.tlb.is_on().then(made))
    };
    // Stalls alone leave nothing of the protocol out.
    let mut protocol = machine.silence.clone();
    if !machine.switches_domains() {
        (protocol.mode, protocol.scope) = (SwitchMode::Silence, SilenceScope::Adapter);
        protocol.skip.clear();
    }
    let silence = |adapter: u32| {
        let of_host = place.first_adapter + adapter;
        let seed = seed_of_switches(plan, place, of_host);
        let at = AdapterPlace { host: place.host.0, adapter: of_host, vfs };
        let specs = (&protocol, &machine.switches, &machine.failures, &machine.lifecycle);
        let shared = machine.topology.domain_scope == DomainScope::Adapter;
        let made = || {
            let mut switching = Switching::new(specs, at, (adapter * vfs, shared), seed, plan.warm_up);
            switching.note_obedience(&obeys[(adapter * vfs) as usize..((adapter + 1) * vfs) as usize]);
            Box::new(switching)
        };
        Silence((machine.switches_domains() || may_stall).then(made))
    };
    let present: Vec<_> = world.query::<&Vm>().iter(world).map(|vm| vm.admission.is_ok()).collect();
    let slices = |adapter: u32| {
        let of_adapter = &present[(adapter * vfs) as usize..((adapter + 1) * vfs) as usize];
        Slices::new(&machine.scheduler, of_adapter, adapter * vfs, plan.warm_up)
    };
    let interrupts = |adapter: u32| {
        let of_adapter = &obeys[(adapter * vfs) as usize..((adapter + 1) * vfs) as usize];
        Interrupts::new(&machine.interrupts, of_adapter, machine.silence.mask_interrupts, plan.warm_up)
    };
    let adapters: Vec<_> = (0..place.adapters)
        .map(|adapter| {
            (
                Adapter(place.first_adapter + adapter),
                AdapterVfs { first: adapter * vfs, end: (adapter + 1) * vfs },
                Partitions::default().set(vfs, 0).expect("there are no virtual GPUs yet"),
                Uplink {
                    queues_never_fill: kinds[adapter as usize].all_hold_back,
                    streams: kinds[adapter as usize].any_streams,
                    warm_up: plan.warm_up,
                    recovery: machine.failures.recovery(),
                    takes_turns: machine.scheduler.policy.has_slices(),
                    ..Uplink::new(
                        WireTimes::new(&machine.link),
                        RateLimits::new(&machine.device),
                        machine.scheduler.vf_queue_entries,
                        machine.scheduler.vf_outstanding > 0,
                    )
                },
                Downlink { warm_up: plan.warm_up, ..Downlink::default() },
                Candidates::default(),
                Retirement::new(
                    machine.device.retire,
                    machine.device.outstanding,
                    Watchers {
                        vfs_limited: machine.scheduler.vf_outstanding > 0,
                        any_feeds_back: kinds[adapter as usize].any_feeds_back,
                        all_feed_back: kinds[adapter as usize].all_feed_back,
                    },
                ),
                Refunds::<Credit>::new(machine.link.flow_credits),
                HeldCredits::default(),
                Refunds::<Tag>::new(machine.device.read_tags),
                tlb(adapter),
                (silence(adapter), SwitchTotals::default(), slices(adapter), interrupts(adapter)),
            )
        })
        .collect();
    world.spawn_batch(adapters);
}

/// The frames of a host that are free.
pub(super) struct Frames {
    /// The first of them.
    pub next: u64,
}

impl Default for Frames {
    fn default() -> Self {
        Self { next: TENANT_MEMORY >> 12 }
    }
}

impl Frames {
    /// The first byte of those that are free.
    fn next(&self) -> PhysAddr {
        PhysAddr(self.next << 12)
    }

    /// A run of frames for a buffer, aligned to its pages; returns the first and how many bytes there are.
    pub fn take(&mut self, buffer: &BufferPlan) -> (PhysAddr, u64) {
        let bytes = buffer.pages * buffer.page_size.bytes();
        (self.take_run(buffer.page_size, buffer.pages), bytes)
    }

    fn take_run(&mut self, page_size: LeafSize, pages: u64) -> PhysAddr {
        let first = (self.next << 12).next_multiple_of(page_size.bytes());
        self.next = (first + pages * page_size.bytes()) >> 12;
        PhysAddr(first)
    }

    /// The frames that streaming mappings take and give back: by page size, those of all buffers and one to spare
    /// for each VF.
    pub fn take_pool<'a>(&mut self, streams: impl Iterator<Item = &'a StreamingPlan> + Clone) -> FramePool {
        let mut pool = FramePool::default();
        for size in LeafSize::ALL {
            let of_size = streams.clone().filter(|stream| stream.page_size == size);
            let frames: u32 = of_size.map(|stream| stream.buffers + 1).sum();
            if frames > 0 {
                pool.add_run(size, self.take_run(size, frames.into()), frames);
            }
        }
        pool
    }
}

/// Frames of a host, as far as they are behind one of its IOMMUs, and who owns them.
struct HostMemory {
    owners: OwnerMap,
    frames: Frames,
}

impl HostMemory {
    /// A run of frames for a buffer of a VM.
    fn take(&mut self, buffer: &BufferPlan, vm: u32) -> PhysAddr {
        let (first, bytes) = self.frames.take(buffer);
        self.owners.give(first, bytes >> 12, Some(Owner(vm)));
        first
    }
}

/// What the sources of an adapter's VFs have in common.
#[derive(Clone, Copy)]
struct SourceKinds {
    any_feeds_back: bool,
    any_streams: bool,
    all_feed_back: bool,
    /// None ever has more under way than its VF's queue holds.
    all_hold_back: bool,
}

/// What is left to do for the tenants of a world.
struct Tenants {
    /// The kinds of sources of each adapter.
    kinds: Vec<SourceKinds>,
    /// The streaming mappings of each VF.
    streams: Vec<Option<Stream>>,
    /// The channels of those that send escapes, with what they send.
    channels: Vec<(EscapeChannel, Box<dyn EscapeSource>)>,
    /// The domains, each with what is mapped in it.
    domains: Vec<DomainPlan>,
    /// What each VF does with ATS.
    ats: Vec<AtsPlan>,
    /// Whether each VF obeys silence.
    obeys: Vec<bool>,
}

/// What a domain is made of.
struct DomainPlan {
    context: Context,
    /// The class of its tenants.
    class: u32,
    /// VFs by their indices within the world, each with its VM by its index within the host, and its part of the domain.
    vfs: core::ops::Range<u32>,
    /// The frames behind it.
    frames: core::ops::Range<PhysAddr>,
    /// Buffers with the part of the domain they lie in, what orders their frames, and their VM.
    buffers: Vec<(BufferPlan, u64, u64, u32)>,
}

/// A tenant as far as it is admitted: who is not gets no domain and sends nothing. The frames for its memory stay
/// set aside, so that those of the others are where they would be.
fn admitted(mut tenant: TenantPlan, admission: Result<(), Refusal>) -> TenantPlan {
    if admission.is_err() {
        tenant.streaming = None;
        tenant.source = Box::new(Silent);
        tenant.escapes = None;
    }
    tenant
}

/// Spawns the VFs and their VMs, domains and mappings.
fn spawn_tenants(
    world: &mut World,
    plan: &RunPlan,
    place: &Place,
    memory: &mut HostMemory,
    timeline: &mut Timeline,
) -> Tenants {
    let none =
        SourceKinds { any_feeds_back: false, any_streams: false, all_feed_back: true, all_hold_back: true };
    let (mut streams, mut channels, mut plans) = (Vec::new(), Vec::new(), Vec::<DomainPlan>::new());
    let (mut ats_of_vfs, mut obeys) = (Vec::new(), Vec::new());
    let mut kinds = vec![none; place.adapters as usize];
    let machine = place.machine(plan);
    let queue_entries = machine.scheduler.vf_queue_entries;
    let mut domains: Vec<(Entity, Context)> = Vec::new();
    // Tenants, seeds and requester IDs go by the indices within the host, so that they do not depend on how
    // many IOMMUs it has.
    for vf in place.first_vf()..place.first_vf() + place.vfs() {
        let (adapter, vf_of_adapter) = (vf / place.vfs_per_adapter, vf % place.vfs_per_adapter);
        let tenant = (plan.tenants)(place.host, VfIndex(vf));
        let attached = tenant.attached;
        let admission = machine.admission.admit(tenant.vm.kind, machine.iommu.mode, attached);
        if machine.admission.examines(tenant.vm.kind) {
            timeline.admission(vf - place.first_vf(), admission);
        } else if let Err(error) = attached
            && error != AttachError::NotAttached
        {
            timeline.attachment(vf - place.first_vf(), error);
        }
        let TenantPlan {
            class,
            vm,
            attached: _,
            obeys_silence,
            buffers,
            streaming,
            aims_at,
            ats,
            packet_dmas,
            source,
            escapes,
        } = admitted(tenant, admission);
        ats_of_vfs.push(ats);
        obeys.push(obeys_silence);
        assert!(
            streaming.is_none() || !machine.device.tlb.is_on(),
            "streaming mappings and device TLBs do not go together"
        );
        let shared = machine.topology.domain_scope == DomainScope::Adapter;
        let of_world = vf - place.first_vf();
        if !shared || vf_of_adapter == 0 {
            domains.push(spawn_domain(world, domains.len() as u32, class));
            let (_, context) = *domains.last().expect("just spawned");
            let frames = memory.frames.next();
            let plan = DomainPlan {
                context,
                class,
                vfs: of_world..of_world,
                frames: frames..frames,
                buffers: Vec::new(),
            };
            plans.push(plan);
        }
        let of_domain = plans.last_mut().expect("just pushed");
        of_domain.vfs.end = of_world + 1;
        let (domain, mut context) = *domains.last().expect("just spawned");
        if plan.sabotage == Some(Sabotage::WrongDomainTag) && domains.len() == 2 {
            context.domain = domains[0].1.domain;
        }
        let first_vf = vf - vf_of_adapter;
        let part_of = |vf: u32| if shared { u64::from(vf - first_vf) << SHARED_DOMAIN_PART_SHIFT } else { 0 };
        let part = part_of(vf);
        let iova_offset = aims_at.map_or(part, |VfIndex(vf)| part_of(vf));
        world.spawn(Vm { class, kind: vm.kind, admission, attached });
        if let Some(escapes) = escapes {
            channels.push((channel(place, vf, class, vm), escapes));
        }
        for (number, buffer) in buffers.iter().enumerate() {
            if admission.is_err() {
                memory.frames.take(buffer);
                continue;
            }
            let seed =
                mix64(plan.seed ^ mix64(u64::from(place.host.0) << 32 | u64::from(vf)) ^ number as u64);
            map_buffer(world, domain, buffer, part, seed, memory, vf);
            if machine.switches_domains() {
                of_domain.buffers.push((buffer.clone(), part, seed, vf));
            }
            if machine.memory.llc.bytes > 0 {
                let mut llc = world.query::<&mut LastLevelCache>();
                let mut llc = llc.single_mut(world).expect("one IOMMU");
                let bytes = buffer.pages * buffer.page_size.bytes();
                llc.warm(context.domain, Iova(buffer.iova.0 + part), bytes);
            }
        }
        of_domain.frames.end = memory.frames.next();
        let lives = machine.lifecycle.is_on().then(|| vm_schedule(plan, place, vf));
        let begins_up = lives.as_ref().is_none_or(VmSchedule::begins_up);
        let source = match lives {
            Some(schedule) => Box::new(Living::new(source, schedule.up_spans())) as Box<dyn Source>,
            None => source,
        };
        let feedback = source.feedback();
        let kinds = &mut kinds[(adapter - place.first_adapter) as usize];
        kinds.any_feeds_back |= feedback.is_some();
        kinds.any_streams |= streaming.is_some();
        kinds.all_feed_back &= feedback.is_some();
        kinds.all_hold_back &= source.outstanding().is_some_and(|most| most <= queue_entries);
        let sharing = if shared { first_vf..first_vf + place.vfs_per_adapter } else { vf..vf + 1 };
        world.spawn((
            Vf { requester_id: RequesterId(adapter << 16 | (FIRST_VF_FUNCTION + vf_of_adapter)) },
            AdapterOfVf(adapter),
            TenantOf {
                vm: vf,
                sharing_first: sharing.start,
                sharing_end: sharing.end,
                streams: streaming.is_some(),
            },
            ContextEntry((attached.is_ok() && admission.is_ok()).then_some(context)),
            NextIntended(source.peek().unwrap_or(Picoseconds::MAX)),
            Feedback::new(feedback),
            TrafficSource { source, emitted: 0, intended: None, iova_offset },
            VfQueue {
                streams: streaming.is_some(),
                packet_dmas,
                ..VfQueue::new(queue_entries, machine.scheduler.vf_outstanding, feedback.is_some())
            },
            (VfBooks::default(), VfIncidents::default(), SilenceBooks::default()),
            (VmBooks::default(), VfLifecycle::new(begins_up)),
            PostedWrites::default(),
        ));
        streams.push(streaming.map(|mut streaming| {
            streaming.iova.0 += part;
            let seed = mix64(plan.seed ^ mix64(u64::from(place.host.0) << 32 | u64::from(vf)) ^ LATE);
            Stream::new(streaming, context.table, seed)
        }));
    }
    Tenants { kinds, streams, channels, domains: plans, ats: ats_of_vfs, obeys }
}

/// Tells the devices which of their VFs forge translated requests or have their ATS off, if any does. Forged
/// addresses are of the frames that the tenants behind the IOMMU were given, those between buffers among them.
fn set_functions(world: &mut World, plan: &RunPlan, place: &Place, ats: &[AtsPlan], frames: &Frames) {
    if !ats.iter().any(AtsPlan::is_special) {
        return;
    }
    let frames = place.first_frame..frames.next;
    let function = |(ats, vf): (&AtsPlan, u32)| {
        let of_host = u64::from(place.host.0) << 32 | u64::from(vf);
        Function::new(ats, frames.clone(), mix64(plan.seed ^ mix64(of_host) ^ FORGED))
    };
    let all: Vec<_> = ats.iter().zip(place.first_vf()..).map(function).collect();
    let any_forged = ats.iter().any(|ats| ats.forged_share > 0.0);
    world.query::<&mut LookedUp>().single_mut(world).expect("one IOMMU").any_forged = any_forged;
    let mut tlbs = world.query::<(&AdapterVfs, &mut DeviceTlb)>();
    for (vfs, mut tlb) in tlbs.iter_mut(world) {
        let tlb = tlb.get().expect("only a device with a TLB uses ATS");
        tlb.set_functions(all[vfs.first as usize..vfs.end as usize].to_vec());
    }
}

/// The channel of the VM of a VF, by its index within the host.
fn channel(place: &Place, vf: u32, class: u32, vm: VmPlan) -> EscapeChannel {
    let of_world = vf - place.first_vf();
    EscapeChannel {
        vf: of_world,
        adapter: of_world / place.vfs_per_adapter,
        class,
        sender: Sender {
            vm: vf,
            kind: vm.kind,
            escapes_enabled: vm.escapes_enabled,
            adapter: adapter_handle(vf / place.vfs_per_adapter),
            handles: Handles::of_vm(vf),
        },
    }
}

/// Whether an escape of a VM may stall its adapter. A secure VM's are never allowed to touch hardware.
fn may_stall((channel, source): &(EscapeChannel, Box<dyn EscapeSource>)) -> bool {
    channel.sender.kind != VmKind::Secure && source.may_touch_hardware()
}

/// Sets up the filter of escapes, if any VM sends some.
fn spawn_escapes(
    world: &mut World,
    plan: &RunPlan,
    place: &Place,
    channels: Vec<(EscapeChannel, Box<dyn EscapeSource>)>,
    all_obey: bool,
) {
    if channels.is_empty() {
        return;
    }
    let machine = place.machine(plan);
    let spec = &machine.escape;
    let any_may_stall = channels.iter().any(may_stall);
    assert!(
        !any_may_stall || machine.validate_stalls(all_obey).is_ok(),
        "what does not go together with escapes that touch hardware is refused before"
    );
    let mut orders = vec![ChannelOrder::default(); place.adapters as usize];
    for ((channel, source), number) in channels.iter().zip(0..) {
        let next = source.peek().map(|time| Reverse((time, number)));
        orders[channel.adapter as usize].0.extend(next);
    }
    let channels: Vec<_> = channels
        .into_iter()
        .map(|(channel, source)| (channel, EscapeTraffic(source), ChannelBooks::default()))
        .collect();
    world.spawn_batch(channels);
    let filter = EscapeFilter { policy: spec.policy(), times: spec.times(), warm_up: plan.warm_up };
    world.spawn((filter, EscapeBooks::default()));
    let mut adapters = world.query::<(Entity, &mut Silence)>();
    let mut with_windows = Vec::new();
    for (adapter, mut silence) in adapters.iter_mut(world) {
        let has_windows = silence.get().is_some_and(|switching| {
            let has_windows = machine.switches.are_on() && switching.has_exclusive_windows();
            if has_windows || any_may_stall {
                switching.follow_escapes(Escapes::new(&filter.times, any_may_stall));
            }
            has_windows
        });
        with_windows.push((adapter, has_windows));
    }
    let count = with_windows.len();
    for (((adapter, has_windows), order), number) in with_windows.into_iter().zip(orders).zip(0..) {
        world.entity_mut(adapter).insert((
            (EscapeBatch::of_adapter(number, count), GuestArena::default(), order),
            DriverQueue::default(),
            if has_windows { ExclusiveWindows::unknown() } else { ExclusiveWindows::never() },
            Stalls::default(),
        ));
    }
    let rows = count * EscapeBatch::of_adapter(0, count).room;
    world.spawn_batch(vec![EscapePacket::default(); rows]);
    world.insert_resource(EscapeRun::default());
}

/// Sets up the control plane, if any VF has streaming mappings or domains are switched, and maps the first buffers.
fn start_control(
    world: &mut World,
    plan: &RunPlan,
    place: &Place,
    (streams, all_obey): (Vec<Option<Stream>>, bool),
    memory: &mut HostMemory,
) {
    let switches = place.machine(plan).switches_domains();
    let crashes = place.machine(plan).may_crash(all_obey);
    if streams.iter().all(Option::is_none) && !switches && !crashes {
        return;
    }
    assert!(
        !switches || streams.iter().all(Option::is_none),
        "streaming mappings and switches do not go together"
    );
    let spec = &place.machine(plan).iommu;
    let translates = spec.mode == IommuMode::Translate;
    let domains = world.query::<&Domain>().iter(world).map(|domain| domain.id).collect();
    let mut control = Control::new(&spec.invalidation, translates, plan.warm_up, streams, domains);
    control.crashes = crashes.then(|| Crashes::new(&place.machine(plan).host, &place.machine(plan).failures));
    control.misses_invalidations = plan.sabotage == Some(Sabotage::MissedInvalidation);
    // The frames are nobody's as far as lasting mappings are concerned.
    control.frames = memory.frames.take_pool(control.streams.iter().flatten().map(|stream| &stream.plan));
    let mut tables = world.query::<&mut PageTable>();
    let mut tables = tables.query_mut(&mut *world);
    let mut tables = columns_mut!(tables);
    control.map_first(tables.bypass_change_detection());
    let mut iommus = world.query::<(&mut ControlPlane, &mut Arrivals)>();
    let (mut plane, mut arrivals) = iommus.single_mut(world).expect("one IOMMU");
    plane.0 = Some(Box::new(control));
    arrivals.stepwise = true;
}

/// Gives every domain a second one that takes its place at the next switch, with frames of its own behind the same
/// addresses, if domains are switched.
fn start_switches(
    world: &mut World,
    plan: &RunPlan,
    place: &Place,
    domains: &[DomainPlan],
    memory: &mut HostMemory,
) {
    let machine = place.machine(plan);
    if !machine.switches_domains() {
        return;
    }
    let ids = world.query::<&DidAllocator>().single(world).expect("one IOMMU").clone();
    let ids = if machine.silence.did_reuse { ids } else { ids.without_limit() };
    let mut switches = DomainSwitches::new(&machine.silence, place.vfs(), ids, machine.device.tlb.is_on());
    for domain in domains {
        let table = world.query::<&PageTable>().iter(world).len() as u32;
        // Its ID is given to it when it is attached.
        let second = world.spawn((Domain { id: DomainId(0) }, PageTable::new())).id();
        let first = memory.frames.next();
        for (buffer, part, seed, vm) in &domain.buffers {
            map_buffer(world, second, buffer, *part, *seed, memory, *vm);
        }
        let frames = [domain.frames.clone(), first..memory.frames.next()];
        let name = (domain.context.domain, domain.class);
        switches.add(domain.vfs.clone(), name, [domain.context.table, table], frames);
    }
    let contexts: Vec<_> = world.query::<&ContextEntry>().iter(world).map(|entry| entry.0).collect();
    contexts.into_iter().zip(0..).for_each(|(context, vf)| switches.start_with(vf, context));
    for (lifecycle, vf) in world.query::<&VfLifecycle>().iter(world).zip(0..) {
        if lifecycle.state == VfState::Destroyed {
            switches.start_without(vf);
        }
    }
    let mut planes = world.query::<&mut ControlPlane>();
    let mut plane = planes.single_mut(world).expect("one IOMMU");
    plane.get().expect("it was set up").switches = Some(switches);
}

/// A domain without mappings, for tenants of a class.
fn spawn_domain(world: &mut World, table: u32, class: u32) -> (Entity, Context) {
    let mut iommus = world.query::<(&mut DidAllocator, &mut IotlbState, &mut Walkers)>();
    let (mut ids, mut iotlb, mut walkers) = iommus.single_mut(world).expect("one IOMMU");
    let id = ids.allocate().expect("VFs an IOMMU are fewer than domain IDs");
    with_iotlb!(&mut iotlb.0, |iotlb| iotlb.assign(id, class));
    walkers.assign(id, class);
    let entity = world.spawn((Domain { id }, PageTable::new())).id();
    (entity, Context { domain: id, table })
}

/// Maps a buffer: one mapping entity, and the leaves derived from it.
fn map_buffer(
    world: &mut World,
    domain: Entity,
    buffer: &BufferPlan,
    part: u64,
    seed: u64,
    memory: &mut HostMemory,
    vm: u32,
) {
    let bytes = buffer.page_size.bytes();
    let base = Iova(buffer.iova.0 + part);
    let first = memory.take(buffer, vm);
    world.spawn(Mapping {
        domain,
        iova: base,
        pages: buffer.pages,
        page_size: buffer.page_size,
        permissions: buffer.permissions,
    });
    let mut entity = world.entity_mut(domain);
    let mut table = entity.get_mut::<PageTable>().expect("a domain has a page table");
    if buffer.hole_share < 0.5 {
        table.reserve(base, buffer.page_size, buffer.pages);
    }
    let holes_below = (buffer.hole_share * (1_u64 << 32) as f64) as u64;
    let order = FrameOrder::new(buffer.frames, buffer.pages, seed);
    for page in 0..buffer.pages {
        if mix64(seed ^ page.wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> 32 < holes_below {
            continue;
        }
        let leaf = Leaf {
            base: Iova(base.0 + page * bytes),
            target: PhysAddr(first.0 + order.frame(page) * bytes),
            size: buffer.page_size,
            permissions: buffer.permissions,
        };
        table.map(leaf).expect("a plan's buffers are aligned and do not overlap");
    }
}

/// Which frame of a run a page gets: `page x multiplier + offset` modulo the pages, with a
/// multiplier prime to them, is a permutation.
struct FrameOrder {
    multiplier: u64,
    offset: u64,
    pages: u64,
}

impl FrameOrder {
    fn new(layout: FrameLayout, pages: u64, seed: u64) -> Self {
        if layout == FrameLayout::Contiguous || pages < 2 {
            return Self { multiplier: 1, offset: 0, pages: pages.max(1) };
        }
        let drawn = mix64(seed ^ 0x5CA7_7E2E_D000_0001);
        let mut multiplier = drawn % pages;
        while greatest_common_divisor(multiplier, pages) != 1 {
            multiplier = (multiplier + 1) % pages;
        }
        Self { multiplier, offset: mix64(drawn) % pages, pages }
    }

    fn frame(&self, page: u64) -> u64 {
        let product = u128::from(page) * u128::from(self.multiplier) + u128::from(self.offset);
        (product % u128::from(self.pages)) as u64
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
