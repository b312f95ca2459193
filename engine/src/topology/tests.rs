//! Adapters are divided, places add up to a host, frames are handed on.

use super::*;
use crate::device_tlb::AtsPlan;
use crate::domain::{LeafSize, PageTable, Permissions};
use crate::ids::{HostIndex, IommuIndex, Iova, RequesterId};
use crate::plan::{
    Audit, BatchSpec, BufferPlan, FrameLayout, HostClass, MachineSpec, ReportSpec, RunPlan, TenantPlan,
    VmPlan,
};
use crate::traffic::{Source, SourceRows};
use crate::translation::ClassShare;
use crate::units::Picoseconds;

/// Intends nothing.
struct Silent;

impl Source for Silent {
    fn peek(&self) -> Option<Picoseconds> {
        None
    }
    fn emit(&mut self, _: Picoseconds, _: SourceRows<'_>) -> usize {
        0
    }
}

/// A host whose VFs map buffers of one to three pages, every third of 2 MiB.
fn plan(iommus: u32, adapters: u32, vfs: u32) -> RunPlan {
    let topology = TopologySpec {
        hosts: 4,
        iommus_per_host: iommus,
        adapters_per_host: adapters,
        vfs_per_adapter: vfs,
        ..TopologySpec::default()
    };
    let buffer = |vf: u32| BufferPlan {
        iova: Iova(1 << 30),
        page_size: if vf.is_multiple_of(3) { LeafSize::Size2M } else { LeafSize::Size4K },
        pages: u64::from(vf % 3 + 1),
        permissions: Permissions::ReadWrite,
        frames: FrameLayout::Scattered,
        hole_share: 0.0,
    };
    RunPlan {
        name: "host".to_owned(),
        seed: 1,
        host_classes: vec![HostClass {
            name: "all".to_owned(),
            machine: MachineSpec { topology, ..MachineSpec::default() },
            expected_requests: 1,
        }],
        batch: BatchSpec::default(),
        audit: Audit::Full,
        sabotage: None,
        report: ReportSpec::default(),
        log_requests: false,
        classes: vec!["all".to_owned()],
        shares: vec![ClassShare::default()],
        tenants: Box::new(move |_, vf| TenantPlan {
            obeys_silence: true,
            class: 0,
            vm: VmPlan::default(),
            attached: Ok(()),
            buffers: vec![buffer(vf.0)],
            streaming: None,
            ats: AtsPlan::default(),
            packet_dmas: 1,
            aims_at: None,
            source: Box::new(Silent),
            escapes: None,
        }),
        warm_up: Picoseconds::ZERO,
        expected_requests: 1,
        expected_duration: Picoseconds::from_us(1),
    }
}

/// What a VF is called, and the frames behind its pages.
type Built = (RequesterId, Vec<u64>);

/// The VFs of host 3, IOMMU by IOMMU.
fn vfs(plan: &RunPlan) -> Vec<Vec<Built>> {
    let spans = Spans::new(plan);
    let of_place = |place: &Place| {
        let mut world = build_iommu(plan, &spans, place);
        let frames = |table: &PageTable| table.iter().map(|leaf| leaf.target.0).collect();
        let frames: Vec<Vec<u64>> = world.query::<&PageTable>().iter(&world).map(frames).collect();
        world.query::<&Vf>().iter(&world).map(|vf| vf.requester_id).zip(frames).collect()
    };
    Place::of_host(plan, HostIndex(3)).iter().map(of_place).collect()
}

#[test]
fn adapters_are_divided_in_order_and_evenly() {
    for (iommus, adapters) in (1..=9).flat_map(|iommus| (iommus..=20).map(move |adapters| (iommus, adapters)))
    {
        let topology =
            TopologySpec { iommus_per_host: iommus, adapters_per_host: adapters, ..TopologySpec::default() };
        let behind: Vec<_> = (0..iommus).map(|iommu| topology.adapters_behind(IommuIndex(iommu))).collect();
        assert!(behind.iter().cloned().flatten().eq(0..adapters), "{behind:?}");
        assert!(behind.windows(2).all(|pair| pair[0].len() - pair[1].len() <= 1), "{behind:?}");
        let most = behind.iter().map(|behind| behind.len() as u32).max().expect("an IOMMU");
        assert_eq!(topology.vfs_per_iommu(), most * topology.vfs_per_adapter);
    }
}

#[test]
fn what_a_host_holds_does_not_depend_on_its_iommus() {
    let whole = vfs(&plan(1, 5, 4));
    for iommus in 2..=5 {
        let parts = vfs(&plan(iommus, 5, 4));
        assert_eq!(parts.len(), iommus as usize);
        assert_eq!(parts.concat(), whole[0], "{iommus} IOMMUs");
    }
    let mut frames: Vec<u64> = whole[0].iter().flat_map(|(_, frames)| frames.clone()).collect();
    let count = frames.len();
    frames.sort_unstable();
    frames.dedup();
    assert_eq!(frames.len(), count, "a frame stands behind one page");
}

#[test]
fn results_name_vfs_within_their_host() {
    let places = Place::of_host(&plan(2, 3, 4), HostIndex(0));
    let [first, second] = places[..] else { panic!("{places:?}") };
    assert_eq!((first.first_vf(), first.vfs(), second.first_vf(), second.vfs()), (0, 8, 8, 4));
    assert_eq!([first.name_of(0), first.name_of(7), second.name_of(0)], [(0, 0), (1, 3), (2, 0)]);
}

#[test]
fn an_iommu_without_an_adapter_and_too_many_domains_are_refused() {
    let check = |iommus, adapters, vfs| plan(iommus, adapters, vfs).validate();
    assert_eq!(check(3, 3, 1), Ok(()));
    assert_eq!(check(4, 3, 1).expect_err("too few").key, "topology.iommus_per_host");
    assert_eq!(check(0, 3, 1).expect_err("none").key, "topology.iommus_per_host");
    // 31 x 2,048 VFs are fewer than the domain IDs of 16 bits, 32 x 2,048 are one more.
    assert_eq!(check(2, 62, 2_048), Ok(()));
    assert_eq!(check(2, 63, 2_048).expect_err("too many").key, "topology.vfs_per_adapter");
    assert_eq!(check(2, 64, 1_024), Ok(()));
    assert_eq!(check(1, 64, 1_024).expect_err("too many").key, "topology.vfs_per_adapter");
}
