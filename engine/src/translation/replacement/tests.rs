//! What every policy must keep to, whatever it replaces.

use proptest::prelude::*;

use super::*;
use crate::domain::{Leaf, LeafSize, Permissions};
use crate::ids::{DomainId, Iova, PhysAddr};
use crate::translation::{FullWord, IotlbIndex, IotlbSharing, Ways};

const DOMAIN: DomainId = DomainId(3);

fn leaf(page: u64) -> Leaf {
    Leaf {
        base: Iova(page << 12),
        target: PhysAddr(page << 12 | 1 << 40),
        size: LeafSize::Size4K,
        permissions: Permissions::ReadWrite,
    }
}

/// Looks pages up and fills those that miss; returns which hit, and how many entries were replaced.
fn run(spec: &IotlbSpec, seed: u64, pages: &[u64]) -> (Vec<bool>, u64) {
    let mut any = AnyIotlb::new(spec, seed);
    with_iotlb!(&mut any, |iotlb| {
        let hits = pages.iter().map(|page| {
            if let Some(found) = iotlb.lookup(DOMAIN, Iova(page << 12)) {
                assert_eq!(found, leaf(*page), "a hit is the leaf that was filled");
                return true;
            }
            let (valid, evictions) = (iotlb.valid_entries(), iotlb.counters().evictions);
            iotlb.fill(DOMAIN, &leaf(*page));
            assert!(iotlb.lookup(DOMAIN, Iova(page << 12)).is_some(), "what is filled is found");
            let evicted = (iotlb.counters().evictions - evictions) as u32;
            assert_eq!(iotlb.valid_entries(), valid + 1 - evicted, "a fill takes one way");
            false
        });
        let hits = hits.collect();
        assert!(iotlb.valid_entries() <= spec.entries);
        (hits, iotlb.counters().evictions)
    })
}

proptest! {
    /// One set of `ways` ways: nothing is replaced before all are valid; then each miss replaces one; the
    /// same seed draws the same.
    #[test]
    fn a_victim_is_chosen_only_from_a_full_set(
        policy in prop::sample::select(ReplacementPolicy::ALL),
        ways_log2 in 0_u32..6,
        seed in any::<u64>(),
        pages in prop::collection::vec(0_u64..80, 1..300),
    ) {
        let spec = IotlbSpec {
            entries: 1 << ways_log2,
            ways: Ways::Full(FullWord::Full),
            replacement: policy,
            index: IotlbIndex::Hash,
            ..IotlbSpec::default()
        };
        prop_assert_eq!(spec.validate(), Ok(()));
        let (hits, evictions) = run(&spec, seed, &pages);
        let misses = hits.iter().filter(|hit| !**hit).count() as u64;
        prop_assert_eq!(evictions, misses.saturating_sub(u64::from(spec.entries)));
        prop_assert_eq!(run(&spec, seed, &pages), (hits, evictions));
    }
}

#[test]
fn every_policy_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> =
        ReplacementPolicy::ALL.iter().map(|policy| format!("{policy:?}").to_lowercase()).collect();
    assert_eq!(names.len(), ReplacementPolicy::ALL.len());
}

proptest! {
    /// Of a full set, a victim among some of its ways is one of them: no class's entries make room for another's.
    #[test]
    fn a_victim_among_some_ways_is_one_of_them(
        policy in prop::sample::select(ReplacementPolicy::ALL),
        ways_log2 in 1_u32..6,
        first in any::<u32>(),
        classes in prop::collection::vec(0_usize..2, 1..200),
    ) {
        let ways = 1 << ways_log2;
        let first = 1 + first % (ways - 1);
        let spec = IotlbSpec {
            entries: ways,
            ways: Ways::Full(FullWord::Full),
            replacement: policy,
            sharing: IotlbSharing::Ways,
            ..IotlbSpec::default()
        };
        let parts = [Part { first: 0, count: first }, Part { first, count: ways - first }];
        let mut any = AnyIotlb::divided(&spec, 7, &parts);
        with_iotlb!(&mut any, |iotlb| {
            (0..2).for_each(|class| iotlb.assign(DomainId(class), class));
            let mut held = [0_u32; 2];
            for (page, class) in classes.iter().enumerate() {
                iotlb.fill(DomainId(*class as u32), &leaf(page as u64));
                held[*class] = (held[*class] + 1).min(parts[*class].count);
                prop_assert_eq!(iotlb.valid_entries(), held[0] + held[1]);
            }
        });
    }
}
