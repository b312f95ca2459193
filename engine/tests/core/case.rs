//! Random machines and traffic, made so that exact ties, full queues and deep backlogs are common:
//! every time is a multiple of a coarse grid, on a link of 4 ns a byte.

use portcullis_engine::domain::{LeafSize, Permissions};
use portcullis_engine::gate::SchedulerSpec;
use portcullis_engine::ids::Iova;
use portcullis_engine::link::{DeviceSpec, LinkSpec, Retire, WriteOrder};
use portcullis_engine::memory::{LlcSpec, MemorySpec};
use portcullis_engine::plan::{BufferPlan, FrameLayout, MachineSpec};
use portcullis_engine::request::Op;
use portcullis_engine::topology::{DomainScope, TopologySpec};
use portcullis_engine::translation::{
    FaultQueueSpec, FullWord, IommuSpec, IotlbIndex, IotlbSpec, WalkersSpec, Ways,
};
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

/// One machine with the traffic of each VF.
#[derive(Clone, Debug)]
pub struct Case {
    pub machine: MachineSpec,
    pub buffers: Vec<BufferPlan>,
    pub attached: Vec<bool>,
    pub traffic: Vec<Vec<Intent>>,
    /// The loops of the VFs that have one; their requests are intended when their clients say.
    pub loops: Vec<Option<Loop>>,
    pub seed: u64,
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
    (shape, policy, any::<bool>(), grid_ns(0..4))
        .prop_map(|((entries, ways), replacement, hashed, hit_ns)| IotlbSpec {
            entries,
            ways,
            replacement,
            index: if hashed { IotlbIndex::Hash } else { IotlbIndex::Iova },
            hit_ns,
        })
        .prop_filter("can be built", |spec| spec.validate().is_ok())
}

fn walkers() -> impl Strategy<Value = WalkersSpec> {
    let cost = prop_oneof![
        grid_ns(1..60).prop_map(|ns| (None, Some(ns))),
        grid_ns(1..20).prop_map(|ns| (Some(ns), None)),
    ];
    (1u32..5, 1u32..6, cost).prop_map(|(count, queue_entries, (memory_ns, walk_ns))| WalkersSpec {
        count,
        queue_entries,
        memory_ns,
        walk_ns,
    })
}

fn machine() -> impl Strategy<Value = MachineSpec> {
    let topology = (1u32..4, 1u32..4, any::<bool>()).prop_map(|(adapters, vfs, shared)| TopologySpec {
        hosts: 1,
        iommus_per_host: 1,
        adapters_per_host: adapters,
        vfs_per_adapter: vfs,
        domain_scope: if shared { DomainScope::Adapter } else { DomainScope::Vf },
    });
    let link =
        (grid_ns(0..8), prop_oneof![1u32..5, Just(64u32)]).prop_map(|(propagation_ns, flow_credits)| {
            LinkSpec {
                generation: 1,
                lanes: 1,
                mps: 128,
                mrrs: 128,
                tlp_share: 1.0,
                propagation_ns,
                flow_credits,
                ..LinkSpec::default()
            }
        });
    let device = (
        prop_oneof![1u32..4, Just(64u32)],
        prop::bool::weighted(0.2),
        prop_oneof![2 => Just(0u32), 1 => 1u32..6],
        prop::bool::weighted(0.4),
        any::<bool>(),
    )
        .prop_map(|(read_tags, limited, outstanding, in_order, ordered)| DeviceSpec {
            outstanding,
            retire: if in_order { Retire::InOrder } else { Retire::OutOfOrder },
            write_order: if ordered { WriteOrder::InOrder } else { WriteOrder::Relaxed },
            read_tags,
            max_read_mops: if limited { 3.125 } else { 0.0 },
            max_write_mops: if limited { 1.5625 } else { 0.0 },
        });
    let scheduler = (1u32..6, prop_oneof![2 => Just(0u32), 1 => 1u32..4])
        .prop_map(|(vf_queue_entries, vf_outstanding)| SchedulerSpec { vf_queue_entries, vf_outstanding });
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
    let faults = (1u32..4, grid_ns(0..200))
        .prop_map(|(queue_entries, service_ns)| FaultQueueSpec { queue_entries, service_ns });
    let iommu =
        (iotlb(), walkers(), faults, 3u8..6).prop_map(|(iotlb, walkers, faults, page_table_levels)| {
            IommuSpec { iotlb, walkers, faults, page_table_levels, ..IommuSpec::default() }
        });
    (topology, scheduler, link, device, iommu, memory).prop_map(
        |(topology, scheduler, link, device, iommu, memory)| MachineSpec {
            topology,
            scheduler,
            link,
            device,
            iommu,
            memory,
        },
    )
}

/// Where the buffers of every VF lie; addresses between and behind them are not mapped.
const BUFFER_BASES: [u64; 3] = [0x10_0000, 0x4000_0000, 0x1_0000_0000];

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

/// A closed loop whose clients think for a while, or not at all.
fn closed() -> impl Strategy<Value = Loop> {
    let think = prop_oneof![3 => Just(0u64), 3 => 0u64..6, 1 => 0u64..200];
    (1u64..6, prop::collection::vec(think, 1..6)).prop_map(|(clients, thinks)| Loop {
        clients,
        think_ps: thinks.into_iter().map(|steps| steps * GRID_NS * 1_000).collect(),
    })
}

/// A random case.
pub fn case() -> impl Strategy<Value = Case> {
    (machine(), buffers(), any::<u64>(), any::<bool>()).prop_flat_map(|(machine, buffers, seed, loops)| {
        let vfs = machine.topology.vfs_per_host() as usize;
        let traffic = prop::collection::vec(intents(), vfs);
        let attached = prop::collection::vec(prop::bool::weighted(0.95), vfs);
        let closed = prop::option::weighted(0.7, closed());
        let closed = closed.prop_map(move |closed| closed.filter(|_| loops));
        let loops = prop::collection::vec(closed, vfs);
        (traffic, attached, loops).prop_map(move |(traffic, attached, loops)| Case {
            machine: machine.clone(),
            buffers: buffers.clone(),
            attached,
            traffic,
            loops,
            seed,
        })
    })
}
