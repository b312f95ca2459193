//! Random traces over a few domains, devices and pages, so that everything collides.

use portcullis_engine::domain::{LeafSize, Permissions};
use portcullis_engine::ids::{DomainId, Iova, PhysAddr, RequesterId};
use portcullis_engine::plan::Audit;
use portcullis_engine::replay::{Event, ReplayPlan};
use portcullis_engine::request::Op;
use portcullis_engine::translation::{FullWord, IotlbIndex, IotlbSpec, Ways};
use proptest::prelude::*;

use crate::plain_iotlb::POLICIES;
use crate::trace::{GIB, MIB2, attach, page, read};

/// A replay: its plan, its events, and where they are cut into batches.
#[derive(Clone, Debug)]
pub struct Case {
    pub plan: ReplayPlan,
    pub events: Vec<Event>,
    pub cuts: Vec<usize>,
}

/// 1 and 2,049 have the same lowest 11 bits, which is what a tag holds of a domain.
const DOMAINS: [u32; 4] = [1, 2_049, 0, u32::MAX];
/// Requester IDs, two with a segment.
const DEVICES: [u32; 3] = [0x08, 0x01_0008, 0xFF_FFFF];
/// Two GiB side by side, so that a DMA runs from one into the other, and the last of the address space.
const GIBS: [u64; 3] = [0, GIB, GIB.wrapping_neg()];
/// 2 MiB regions of a GiB.
const REGIONS: [u64; 4] = [0, 1, 511, 256];

fn domain() -> impl Strategy<Value = DomainId> {
    prop_oneof![5 => Just(0), 4 => Just(1), 1 => Just(2), 1 => Just(3)]
        .prop_map(|at: usize| DomainId(DOMAINS[at]))
}

fn device() -> impl Strategy<Value = RequesterId> {
    prop::sample::select(DEVICES.to_vec()).prop_map(RequesterId)
}

fn size() -> impl Strategy<Value = LeafSize> {
    prop_oneof![8 => Just(LeafSize::Size4K), 3 => Just(LeafSize::Size2M), 1 => Just(LeafSize::Size1G)]
}

/// The first address of a page; the first pages of the first region are the hot ones.
fn place() -> impl Strategy<Value = u64> {
    let gib = prop_oneof![8 => Just(0), 2 => Just(1), 2 => Just(2)];
    let region = prop_oneof![8 => Just(0), 3 => Just(1), 2 => Just(2), 1 => Just(3)];
    let page = prop_oneof![6 => 0u64..6, 3 => 6u64..24, 2 => Just(511)];
    (gib, region, page).prop_map(|(gib, region, page): (usize, usize, u64)| {
        GIBS[gib] + REGIONS[region] * MIB2 + page * 4_096
    })
}

/// Where a leaf of the size begins, now and then not aligned.
fn base(size: LeafSize) -> impl Strategy<Value = Iova> {
    (place(), prop_oneof![14 => Just(0u64), 1 => Just(8u64), 1 => Just(4_096u64)])
        .prop_map(move |(place, off)| Iova(size.base(Iova(place)).0 | off))
}

/// A size and where a leaf of it begins.
fn leaf_range() -> impl Strategy<Value = (LeafSize, Iova)> {
    size().prop_flat_map(|size| (Just(size), base(size)))
}

fn map() -> impl Strategy<Value = Event> {
    let permissions = prop_oneof![
        6 => Just(Permissions::ReadWrite),
        2 => Just(Permissions::Read),
        2 => Just(Permissions::Write),
        1 => Just(Permissions::None),
    ];
    let frame = prop_oneof![6 => 0u64..3, 1 => Just(u64::MAX)];
    let off = prop_oneof![15 => Just(0u64), 1 => Just(0x10u64)];
    (domain(), leaf_range(), frame, off, permissions).prop_map(
        |(domain, (size, iova), frame, off, permissions)| {
            let pa = PhysAddr(frame.wrapping_mul(size.bytes()) | off);
            Event::Map { domain, iova, pa, size, permissions }
        },
    )
}

fn dma() -> impl Strategy<Value = Event> {
    let offset = prop_oneof![3 => Just(0u64), 1 => 0u64..4_096];
    // What is added to the bytes up to the end of the address space, or a length.
    let length = prop_oneof![
        8 => Just(Length::Bytes(64)),
        4 => (1u64..20_000).prop_map(Length::Bytes),
        2 => Just(Length::Bytes(4_096)),
        1 => (MIB2 - 5_000..MIB2 + 5_000).prop_map(Length::Bytes),
        1 => Just(Length::Bytes(0)),
        1 => Just(Length::Bytes(u64::MAX)),
        1 => (0u64..3).prop_map(Length::UpToTheEnd),
    ];
    (device(), place(), offset, length, any::<bool>()).prop_map(|(device, place, offset, length, writes)| {
        let iova = place + offset;
        let length_bytes = match length {
            Length::Bytes(bytes) => bytes,
            Length::UpToTheEnd(beyond) => iova.wrapping_neg().saturating_add(beyond).saturating_sub(1),
        };
        let op = if writes { Op::Write } else { Op::Read };
        Event::Dma { device, iova: Iova(iova), length_bytes, op }
    })
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Bytes(u64),
    /// One byte less than what is left of the address space, plus this.
    UpToTheEnd(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        50 => dma(),
        20 => map(),
        7 => (domain(), leaf_range()).prop_map(|(domain, (size, iova))| Event::Unmap { domain, iova, size }),
        9 => (domain(), leaf_range())
            .prop_map(|(domain, (size, iova))| Event::UnmapDeferred { domain, iova, size }),
        3 => (domain(), leaf_range())
            .prop_map(|(domain, (size, iova))| Event::InvalidatePage { domain, iova, size }),
        1 => domain().prop_map(|domain| Event::InvalidateDomain { domain }),
        1 => Just(Event::InvalidateAll),
        5 => (device(), domain()).prop_map(|(device, domain)| Event::Attach { device, domain }),
        2 => device().prop_map(|device| Event::Detach { device }),
    ]
}

/// A leaf that gives way to one of another size on the same place, with both of them cached; then
/// what took its place goes too. Each step may be left out.
fn resized() -> impl Strategy<Value = Vec<Event>> {
    let gib = prop_oneof![1 => Just(0), 3 => Just(1), 3 => Just(2)];
    let sizes = prop::sample::select(vec![
        [LeafSize::Size4K, LeafSize::Size2M],
        [LeafSize::Size2M, LeafSize::Size4K],
        [LeafSize::Size4K, LeafSize::Size1G],
        [LeafSize::Size2M, LeafSize::Size1G],
        [LeafSize::Size1G, LeafSize::Size4K],
    ]);
    let steps = prop::collection::vec(prop::bool::weighted(0.9), 11);
    (device(), domain(), gib, 0usize..REGIONS.len(), 0u64..3, sizes, steps).prop_map(
        |(device, domain, gib, region, at, sizes, steps)| {
            let place = Iova(GIBS[gib] + REGIONS[region] * MIB2 + at * 4_096);
            let beside = Iova(place.0 ^ 0x4_0000);
            let [first, second] = sizes.map(|size| (size, size.base(place)));
            let map = |(size, iova): (LeafSize, Iova)| {
                let pa = PhysAddr(size.bytes());
                Event::Map { domain, iova, pa, size, permissions: Permissions::ReadWrite }
            };
            let dma = |iova| Event::Dma { device, iova, length_bytes: 64, op: Op::Read };
            let deferred = |(size, iova)| Event::UnmapDeferred { domain, iova, size };
            let all = [
                Event::Attach { device, domain },
                map(first),
                dma(place),
                deferred(first),
                map(second),
                dma(beside),
                dma(place),
                Event::Unmap { domain, iova: second.1, size: second.0 },
                dma(place),
                map(first),
                dma(place),
            ];
            all.into_iter().zip(steps).filter_map(|(event, stays)| stays.then_some(event)).collect()
        },
    )
}

/// Every device reads the hot pages, which fills wide sets.
fn swept() -> Vec<Event> {
    DEVICES.iter().map(|device| read(*device, 0, PREPARED_PAGES * 4_096)).collect()
}

/// Pages mapped at the start in each of two domains.
const PREPARED_PAGES: u64 = 20;

/// Devices attached and hot pages mapped in two domains, so that most DMAs reach something.
fn prepared() -> Vec<Event> {
    let mut events = Vec::new();
    for (device, domain) in DEVICES.into_iter().zip(DOMAINS) {
        events.push(attach(device, domain));
    }
    for at in 0..PREPARED_PAGES {
        events.push(page(DOMAINS[0], at * 4_096, at % 3 * 4_096));
        events.push(page(DOMAINS[1], at * 4_096, at % 4 * 4_096));
    }
    events
}

/// Events one by one, and a few that belong together.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let part = prop_oneof![
        90 => event().prop_map(|event| vec![event]),
        2 => resized(),
        2 => Just(swept()),
    ];
    prop::collection::vec(part, 0..250).prop_map(|parts| parts.concat())
}

fn iotlb() -> impl Strategy<Value = IotlbSpec> {
    let shape = prop_oneof![
        (0u32..3, 0u32..4).prop_map(|(sets, ways)| (1 << (sets + ways), Ways::Count(1 << ways))),
        (1u32..6, 1u32..8).prop_map(|(sets, ways)| (sets * ways, Ways::Count(ways))),
        // Sets of more than 16 ways find their entries in another way.
        (1u32..3, 15u32..22).prop_map(|(sets, ways)| (sets * ways, Ways::Count(ways))),
        (1u32..30).prop_map(|entries| (entries, Ways::Full(FullWord::Full))),
        Just((32, Ways::Full(FullWord::Full))),
    ];
    let policy = prop::sample::select(POLICIES.to_vec());
    (shape, policy, any::<bool>())
        .prop_map(|((entries, ways), replacement, hashed)| IotlbSpec {
            enabled: true,
            entries,
            ways,
            replacement,
            index: if hashed { IotlbIndex::Hash } else { IotlbIndex::Iova },
            ..IotlbSpec::default()
        })
        .prop_filter("can be built", |spec| spec.validate("iommu.iotlb").is_ok())
}

/// A random replay.
pub fn case() -> impl Strategy<Value = Case> {
    let audit = prop::sample::select(vec![Audit::Full, Audit::Full, Audit::Sample, Audit::Off]);
    let cuts = prop::collection::vec(prop_oneof![0usize..4, 0usize..60], 0..30);
    (iotlb(), audit, any::<u64>(), prop::bool::weighted(0.8), events(), cuts).prop_map(
        |(iotlb, audit, seed, is_prepared, random, cuts)| {
            let mut events = if is_prepared { prepared() } else { Vec::new() };
            events.extend(random);
            Case { plan: ReplayPlan { trace: "random".to_owned(), seed, iotlb, audit }, events, cuts }
        },
    )
}

#[test]
fn the_prepared_pages_are_accepted() {
    let outcome = crate::trace::run(&prepared());
    assert_eq!(outcome.refused, []);
    assert_eq!(outcome.summary.leaves_mapped, 2 * PREPARED_PAGES);
}
