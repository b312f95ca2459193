//! The page table against a plain ordered map; its memory; owners; domain IDs.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ids::{DomainId, Iova, PhysAddr};

#[derive(Default)]
struct Reference(BTreeMap<u64, Leaf>);

impl Reference {
    fn lookup(&self, iova: u64) -> Option<Leaf> {
        let (base, leaf) = self.0.range(..=iova).next_back()?;
        (iova - base < leaf.size.bytes()).then_some(*leaf)
    }

    fn map(&mut self, leaf: Leaf) -> Result<(), MapError> {
        let bytes = leaf.size.bytes();
        if !leaf.base.0.is_multiple_of(bytes) || !leaf.target.0.is_multiple_of(bytes) {
            return Err(MapError::Misaligned);
        }
        let last = leaf.base.0 + (bytes - 1);
        let inside = self.0.range(leaf.base.0..=last).next().is_some();
        if inside || self.lookup(leaf.base.0).is_some() {
            return Err(MapError::Overlap);
        }
        self.0.insert(leaf.base.0, leaf);
        Ok(())
    }

    fn unmap(&mut self, base: u64, size: LeafSize) -> Result<Leaf, NotALeaf> {
        match self.0.get(&base) {
            Some(leaf) if leaf.size == size => Ok(self.0.remove(&base).expect("present")),
            _ => Err(NotALeaf),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Map(Leaf),
    MapRun { first_page: u64, pages: u64 },
    Unmap { base: u64, size: LeafSize },
    UnmapRun { first_page: u64, pages: u64 },
    Reserve { first_page: u64, size: LeafSize, pages: u64 },
}

fn size() -> impl Strategy<Value = LeafSize> {
    prop_oneof![6 => Just(LeafSize::Size4K), 2 => Just(LeafSize::Size2M), 1 => Just(LeafSize::Size1G)]
}

fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0u64..1 << 24,
        2 => 0u64..1 << 32,
        1 => (0u64..1 << 24).prop_map(|low| u64::MAX - low),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let leaf = (address(), any::<u64>(), size(), 0u8..4, 0u8..20).prop_map(|(iova, pa, size, bits, skew)| {
        let mask = if skew == 0 { !0xFFF } else { !(size.bytes() - 1) };
        Leaf {
            base: Iova(iova & mask),
            target: PhysAddr(pa & mask),
            size,
            permissions: Permissions::from_bits(bits),
        }
    });
    prop_oneof![
        4 => leaf.prop_map(Step::Map),
        2 => (0u64..4096, 1u64..700).prop_map(|(first_page, pages)| Step::MapRun { first_page, pages }),
        3 => (address(), size()).prop_map(|(at, size)| Step::Unmap { base: at & !(size.bytes() - 1), size }),
        2 => (0u64..4096, 1u64..700).prop_map(|(first_page, pages)| Step::UnmapRun { first_page, pages }),
        1 => (0u64..4096, size(), 1u64..700).prop_map(|(first_page, size, pages)| Step::Reserve { first_page, size, pages }),
    ]
}

fn page_leaf(page: u64) -> Leaf {
    Leaf {
        base: Iova(page << 12),
        target: PhysAddr(page << 12 ^ 0x5_5555_5000),
        size: LeafSize::Size4K,
        permissions: Permissions::ReadWrite,
    }
}

proptest! {
    #[test]
    fn the_table_equals_an_ordered_map(
        steps in prop::collection::vec(step(), 1..60),
        probes in prop::collection::vec(address(), 40),
    ) {
        let mut table = PageTable::new();
        let mut reference = Reference::default();
        for step in steps {
            match step {
                Step::Map(leaf) => prop_assert_eq!(table.map(leaf), reference.map(leaf)),
                Step::MapRun { first_page, pages } => for page in first_page..first_page + pages {
                    prop_assert_eq!(table.map(page_leaf(page)), reference.map(page_leaf(page)));
                },
                Step::Unmap { base, size } => {
                    prop_assert_eq!(table.unmap(Iova(base), size), reference.unmap(base, size));
                }
                Step::UnmapRun { first_page, pages } => for page in first_page..first_page + pages {
                    let (base, size) = (page << 12, LeafSize::Size4K);
                    prop_assert_eq!(table.unmap(Iova(base), size), reference.unmap(base, size));
                },
                Step::Reserve { first_page, size, pages } => table.reserve(Iova(first_page << 12), size, pages),
            }
            prop_assert_eq!(table.leaves(), reference.0.len() as u64);
            for probe in probes.iter().chain(&[0, 4095, 4096, u64::MAX]) {
                prop_assert_eq!(table.lookup(Iova(*probe)), reference.lookup(*probe));
            }
        }
        let mut leaves: Vec<_> = table.iter().collect();
        leaves.sort_by_key(|leaf| leaf.base);
        prop_assert_eq!(leaves, reference.0.into_values().collect::<Vec<_>>());
    }
}

/// 100,000 pages: at most 8 bytes each where they are contiguous, 24 where they are scattered,
/// whether or not the table was told in advance, and again after 1,000-page unmaps.
#[test]
fn memory_a_page_is_bounded() {
    const PAGES: u64 = 100_000;
    for reserved in [false, true] {
        let mut table = PageTable::new();
        if reserved {
            table.reserve(Iova(0), LeafSize::Size4K, PAGES);
        }
        for page in 0..PAGES {
            table.map(page_leaf(page)).unwrap();
        }
        assert!(table.memory_bytes() as u64 <= 8 * PAGES, "{} bytes", table.memory_bytes());
    }
    let mut table = PageTable::new();
    let scattered = |n: u64| page_leaf(crate::hash::mix64(n) >> 20);
    for n in 0..PAGES {
        table.map(scattered(n)).unwrap();
        let bytes = table.memory_bytes() as u64;
        assert!(n < 1_000 || bytes <= 24 * (n + 1), "{bytes} bytes for {} pages", n + 1);
    }
    for n in 0..PAGES - 1_000 {
        table.unmap(scattered(n).base, LeafSize::Size4K).unwrap();
        let bytes = table.memory_bytes() as u64;
        let left = PAGES - n - 1;
        assert!(bytes <= 28 * left, "{bytes} bytes for {left} pages");
    }
}

#[test]
fn the_lowest_free_domain_id_is_given_out_first() {
    let mut ids = DidAllocator::new(5);
    let given: Vec<_> = core::iter::from_fn(|| ids.allocate()).map(|id| id.0).collect();
    assert_eq!(given, [1, 2, 3, 4]);
    ids.release(DomainId(3));
    ids.release(DomainId(2));
    assert_eq!(ids.allocate(), Some(DomainId(2)));
    assert_eq!(ids.allocate(), Some(DomainId(3)));
    assert_eq!(ids.allocate(), None);
}

#[test]
fn a_frame_has_the_owner_it_was_given_last() {
    let mut map = OwnerMap::default();
    map.give(PhysAddr(0), 1_024, Some(Owner(7)));
    map.give(PhysAddr(0x30_0000), 1, Some(Owner(8)));
    assert_eq!(map.owner(PhysAddr(0x2F_FFFF)), Some(Owner(7)));
    assert_eq!(map.owner(PhysAddr(0x30_0FFF)), Some(Owner(8)));
    assert_eq!(map.owner(PhysAddr(0x40_0000)), None);
    assert_eq!(map.judge(PhysAddr(0), 0x30_0000, Owner(7)), Ok(()));
    assert_eq!(map.judge(PhysAddr(0x1F_F000), 0x10_1001, Owner(7)), Err(Some(Owner(8))));
    assert_eq!(map.judge(PhysAddr(0x3F_F000), 0x1001, Owner(7)), Err(None));
    map.give(PhysAddr(0), 1_024, None);
    assert_eq!(map.owner(PhysAddr(0)), None);
    assert_eq!(map.owner(PhysAddr(0x30_0000)), None);
}

#[test]
fn a_frame_belongs_to_every_domain_that_maps_it_by_count() {
    let mut frames = MappedFrames::default();
    let leaf = |size: LeafSize, target| Leaf {
        base: Iova(0),
        target: PhysAddr(target),
        size,
        permissions: Permissions::ReadWrite,
    };
    frames.add(DomainId(1), &leaf(LeafSize::Size4K, 0x20_0000));
    frames.add(DomainId(1), &leaf(LeafSize::Size4K, 0x20_0000));
    frames.add(DomainId(2), &leaf(LeafSize::Size2M, 0x20_0000));
    frames.remove(DomainId(1), &leaf(LeafSize::Size4K, 0x20_0000));
    assert!(frames.owns(DomainId(1), PhysAddr(0x20_0FFF)));
    assert!(!frames.owns(DomainId(1), PhysAddr(0x20_1000)));
    assert!(frames.owns(DomainId(2), PhysAddr(0x3F_FFFF)));
    frames.remove(DomainId(1), &leaf(LeafSize::Size4K, 0x20_0000));
    assert!(!frames.owns(DomainId(1), PhysAddr(0x20_0000)));
}
