//! Builds the world of a host from a plan.

use bevy_ecs::prelude::*;

use super::components::*;
use super::spec::DomainScope;
use crate::account::{
    AuditPolicy, Audited, RequestLog, ServiceTimes, Timeline, VfBooks, VfIncidents, VfLatencies, Windows,
};
use crate::domain::{DidAllocator, Domain, Leaf, Mapping, Owner, OwnerMap, PageTable};
use crate::gate::{Candidates, Credit, Refunds, Tag, Uplink, VfQueue};
use crate::hash::mix64;
use crate::ids::{HostIndex, Iova, PhysAddr, RequesterId, VfIndex};
use crate::link::{RateLimits, WireTimes};
use crate::memory::{CompletedRows, Downlink, LastLevelCache, MemoryTimes, PostedWrites, Retirement};
use crate::plan::{BufferPlan, FrameLayout, RunPlan, TenantPlan};
use crate::schedule::Progress;
use crate::traffic::{Batch, BatchLimits, NextIntended, TrafficSource, spawn_rows};
use crate::translation::{
    AnyIotlb, Arrivals, Context, ContextEntry, FaultQueue, IotlbState, LookedUp, LookupBound, LookupClock,
    Reached, TranslationTimes, WalkCosts, Walkers,
};
use crate::units::Picoseconds;

/// Frames below this address belong to the host.
const TENANT_MEMORY: u64 = 1 << 32;
/// Function number of the first VF on its segment.
const FIRST_VF_FUNCTION: u32 = 0x100;
/// Under domain scope `adapter` each VF has a part of the address space this large.
const SHARED_DOMAIN_PART_SHIFT: u32 = 40;
/// DIDs of 16 bits, as on VT-d.
const DOMAIN_IDS: u32 = 1 << 16;

/// Simulated time a run takes at its tenants' mean rate, cut into spans of work.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// One batch of a host.
    pub batch: Picoseconds,
    /// One window of the time series.
    pub window: Picoseconds,
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
        let hosts = u128::from(plan.machine.topology.hosts);
        let of_requests = |count: u128| {
            Picoseconds(u64::try_from((duration * count / requests).clamp(1, 1 << 62)).expect("clamped"))
        };
        Self {
            batch: of_requests(u128::from(plan.batch.batch_requests) * hosts),
            window: Picoseconds(plan.expected_duration.0.div_ceil(u64::from(plan.report.windows)).max(1)),
            log_slice: of_requests(u128::from(LOG_SLICE_REQUESTS)),
        }
    }
}

/// Builds the world of one host: a function of the plan and the host's index alone.
#[must_use]
pub fn build_host(plan: &RunPlan, spans: &Spans, host: HostIndex) -> World {
    let mut world = World::new();
    let topology = &plan.machine.topology;
    // A source is asked for a few requests at a time at least.
    let batch_rows = plan.batch.batch_requests.div_ceil(topology.vfs_per_host());
    world.insert_resource(Batch::default());
    world.insert_resource(Progress::default());
    let rows_per_vf = (4 * batch_rows).max(16);
    world.insert_resource(BatchLimits { span: spans.batch, rows_per_vf });
    spawn_rows(&mut world, (topology.vfs_per_host() * rows_per_vf) as usize);
    spawn_iommu(&mut world, plan, host);
    let mut host_memory = HostMemory { owners: OwnerMap::default(), next_frame: TENANT_MEMORY >> 12 };
    let kinds = spawn_tenants(&mut world, plan, host, &mut host_memory);
    spawn_adapters(&mut world, plan, &kinds);
    world.spawn((
        Host(host),
        host_memory.owners,
        Timeline::new(host.0, topology.vfs_per_adapter, plan.report.timeline_rows_per_host),
        RequestLog::new(plan.log_requests, spans.log_slice, host.0, topology.vfs_per_adapter),
        Windows::new(spans.window),
        (VfLatencies::new(topology.vfs_per_host()), ServiceTimes::default(), Audited::default()),
    ));
    world
}

fn spawn_iommu(world: &mut World, plan: &RunPlan, host: HostIndex) {
    let spec = &plan.machine.iommu;
    let seed = mix64(plan.seed ^ mix64(u64::from(host.0) + 1));
    let mut iommu = world.spawn((
        (
            Iommu,
            DidAllocator::new(DOMAIN_IDS),
            IotlbState(AnyIotlb::new(&spec.iotlb, seed)),
            Walkers::new(&spec.walkers),
            TranslationTimes {
                walks: WalkCosts::new(spec),
                hit: Picoseconds::from_ns_f64(spec.iotlb.hit_ns),
            },
            MemoryTimes::new(&plan.machine.memory, plan.machine.device.write_order),
            AuditPolicy(plan.audit),
            FaultQueue::new(&spec.faults),
        ),
        (
            LookupClock::default(),
            LookupBound::default(),
            Arrivals::default(),
            LookedUp::default(),
            Reached::default(),
            CompletedRows::default(),
        ),
    ));
    if let Some(llc) = LastLevelCache::new(&plan.machine.memory.llc) {
        iommu.insert(llc);
    }
}

/// Spawns the adapters, whose sources are `kinds`.
fn spawn_adapters(world: &mut World, plan: &RunPlan, kinds: &[SourceKinds]) {
    let machine = &plan.machine;
    let vfs = machine.topology.vfs_per_adapter;
    let adapters: Vec<_> = (0..machine.topology.adapters_per_host)
        .map(|adapter| {
            (
                Adapter(adapter),
                AdapterVfs { first: adapter * vfs, end: (adapter + 1) * vfs },
                Uplink {
                    queues_never_fill: kinds[adapter as usize].all_hold_back,
                    ..Uplink::new(
                        WireTimes::new(&machine.link),
                        RateLimits::new(&machine.device),
                        machine.scheduler.vf_queue_entries,
                        machine.scheduler.vf_outstanding > 0,
                    )
                },
                Downlink::default(),
                Candidates::default(),
                Retirement::new(
                    machine.device.retire,
                    machine.device.outstanding,
                    machine.scheduler.vf_outstanding > 0 || kinds[adapter as usize].any_feeds_back,
                ),
                Refunds::<Credit>::new(machine.link.flow_credits),
                Refunds::<Tag>::new(machine.device.read_tags),
            )
        })
        .collect();
    world.spawn_batch(adapters);
}

/// Frames of a host and who owns them.
struct HostMemory {
    owners: OwnerMap,
    next_frame: u64,
}

impl HostMemory {
    /// A run of frames for a VM, aligned to `alignment_bytes`.
    fn take(&mut self, bytes: u64, alignment_bytes: u64, vm: u32) -> PhysAddr {
        let first = PhysAddr((self.next_frame << 12).next_multiple_of(alignment_bytes));
        self.next_frame = (first.0 + bytes) >> 12;
        self.owners.give(first, bytes >> 12, Some(Owner(vm)));
        first
    }
}

/// What the sources of an adapter's VFs have in common.
#[derive(Clone, Copy)]
struct SourceKinds {
    any_feeds_back: bool,
    /// None ever has more under way than its VF's queue holds.
    all_hold_back: bool,
}

/// Spawns the VFs and their VMs, domains and mappings; returns the kinds of sources of each adapter.
fn spawn_tenants(
    world: &mut World,
    plan: &RunPlan,
    host: HostIndex,
    memory: &mut HostMemory,
) -> Vec<SourceKinds> {
    let topology = &plan.machine.topology;
    let none = SourceKinds { any_feeds_back: false, all_hold_back: true };
    let mut kinds = vec![none; topology.adapters_per_host as usize];
    let queue_entries = plan.machine.scheduler.vf_queue_entries;
    let mut domains: Vec<(Entity, Context)> = Vec::new();
    for vf in 0..topology.vfs_per_host() {
        let adapter = vf / topology.vfs_per_adapter;
        let TenantPlan { class, attached, buffers, source } = (plan.tenants)(host, VfIndex(vf));
        let shared = topology.domain_scope == DomainScope::Adapter;
        if !shared || vf % topology.vfs_per_adapter == 0 {
            domains.push(spawn_domain(world, domains.len() as u32));
        }
        let (domain, context) = *domains.last().expect("just spawned");
        let first_vf = adapter * topology.vfs_per_adapter;
        let part = if shared { u64::from(vf - first_vf) << SHARED_DOMAIN_PART_SHIFT } else { 0 };
        world.spawn(Vm { class });
        for (number, buffer) in buffers.iter().enumerate() {
            let seed = mix64(plan.seed ^ mix64(u64::from(host.0) << 32 | u64::from(vf)) ^ number as u64);
            map_buffer(world, domain, buffer, part, seed, memory, vf);
            if plan.machine.memory.llc.bytes > 0 {
                let mut llc = world.query::<&mut LastLevelCache>();
                let mut llc = llc.single_mut(world).expect("one IOMMU");
                let bytes = buffer.pages * buffer.page_size.bytes();
                llc.warm(context.domain, Iova(buffer.iova.0 + part), bytes);
            }
        }
        let feedback = source.feedback();
        let kinds = &mut kinds[adapter as usize];
        kinds.any_feeds_back |= feedback.is_some();
        kinds.all_hold_back &= source.outstanding().is_some_and(|most| most <= queue_entries);
        let sharing = if shared { first_vf..first_vf + topology.vfs_per_adapter } else { vf..vf + 1 };
        world.spawn((
            Vf { requester_id: RequesterId(adapter << 16 | (FIRST_VF_FUNCTION + (vf - first_vf))) },
            AdapterOfVf(adapter),
            TenantOf { vm: vf, sharing_first: sharing.start, sharing_end: sharing.end },
            ContextEntry(attached.then_some(context)),
            NextIntended(source.peek().unwrap_or(Picoseconds::MAX)),
            TrafficSource { source, emitted: 0, intended: None, iova_offset: part },
            VfQueue::new(queue_entries, plan.machine.scheduler.vf_outstanding, feedback),
            (VfBooks::default(), VfIncidents::default()),
            PostedWrites::default(),
        ));
    }
    kinds
}

fn spawn_domain(world: &mut World, table: u32) -> (Entity, Context) {
    let id = world
        .query::<&mut DidAllocator>()
        .single_mut(world)
        .expect("one IOMMU")
        .allocate()
        .expect("VFs a host are fewer than domain IDs");
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
    let first = memory.take(buffer.pages * bytes, bytes, vm);
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
