//! What do maps, unmaps and look-ups of a page table cost?
//!
//! `cargo bench --locked --bench page_table`
//!
//! A domain of 100,000 pages of 4 KiB, in three layouts: `contiguous` (one buffer, mapped page by page),
//! `reserved` (the same, announced before, as the buffers of a plan are) and `scattered` (pages drawn out of
//! 2^48 bytes, hardly two near one another).
//!
//! - `page_table/map`: all 100,000 maps into an empty table.
//! - `page_table/unmap`: 1,000 pages that follow one another (that were mapped one after the other, where
//!   they are scattered) out of the 100,000.
//! - `page_table/lookup`: look-ups of mapped pages, in the order of the maps or in any; beside them a hash
//!   map of pages (`hashed`), with the engine's own hash. A look-up waits for none before it.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use portcullis_benches::measure::{Group, group, run};
use portcullis_engine::domain::{Leaf, LeafSize, PageTable, Permissions};
use portcullis_engine::hash::{MixBuildHasher, mix64, reduce};
use portcullis_engine::ids::{Iova, PhysAddr};

/// Pages of the domain.
const PAGES: u64 = 100_000;
/// Pages that are unmapped together.
const UNMAPPED: u64 = 1_000;
/// Where the contiguous buffer begins.
const FIRST_PAGE: u64 = 1 << 18;

fn main() {
    run(&[map, unmap, lookup]);
}

/// How the pages lie.
#[derive(Clone, Copy)]
enum Layout {
    Contiguous,
    Reserved,
    Scattered,
}

impl Layout {
    const ALL: [(&'static str, Self); 3] =
        [("contiguous", Self::Contiguous), ("reserved", Self::Reserved), ("scattered", Self::Scattered)];

    /// Page numbers, in the order of the maps.
    fn pages(self) -> Vec<u64> {
        match self {
            Self::Contiguous | Self::Reserved => (FIRST_PAGE..FIRST_PAGE + PAGES).collect(),
            Self::Scattered => (1..=PAGES).map(|number| mix64(number) >> 28).collect(),
        }
    }

    fn empty_table(self) -> PageTable {
        let mut table = PageTable::new();
        if matches!(self, Self::Reserved) {
            table.reserve(Iova(FIRST_PAGE << 12), LeafSize::Size4K, PAGES);
        }
        table
    }

    fn table(self) -> PageTable {
        let mut table = self.empty_table();
        map_all(&mut table, &self.pages());
        table
    }
}

fn map_all(table: &mut PageTable, pages: &[u64]) {
    for &page in pages {
        let leaf = Leaf {
            base: Iova(page << 12),
            target: PhysAddr((page ^ 0x55_5555) << 12),
            size: LeafSize::Size4K,
            permissions: Permissions::ReadWrite,
        };
        table.map(leaf).expect("no page comes twice");
    }
}

fn map(criterion: &mut Criterion) {
    let mut group = group(criterion, "page_table/map");
    group.throughput(Throughput::Elements(PAGES));
    for (id, layout) in Layout::ALL {
        let pages = layout.pages();
        group.bench_function(id, |bencher| {
            bencher.iter_batched(
                || layout.empty_table(),
                |mut table| {
                    map_all(&mut table, &pages);
                    table
                },
                BatchSize::PerIteration,
            );
        });
    }
}

fn unmap(criterion: &mut Criterion) {
    let mut group = group(criterion, "page_table/unmap");
    group.throughput(Throughput::Elements(UNMAPPED));
    for (id, layout) in Layout::ALL {
        let (pages, table) = (layout.pages(), layout.table());
        let middle = PAGES as usize / 2;
        let unmapped = &pages[middle..middle + UNMAPPED as usize];
        group.bench_function(id, |bencher| {
            bencher.iter_batched(
                || table.clone(),
                |mut table| {
                    for page in unmapped {
                        table.unmap(Iova(page << 12), LeafSize::Size4K).expect("it is mapped");
                    }
                    table
                },
                BatchSize::PerIteration,
            );
        });
    }
}

/// Measures look-ups of these pages, in this order.
fn bench_lookups(group: &mut Group<'_>, id: &str, pages: &[u64], frame: impl Fn(u64) -> u64) {
    group.throughput(Throughput::Elements(PAGES));
    group.bench_function(id, |bencher| {
        bencher.iter(|| black_box(pages.iter().map(|page| frame(*page)).fold(0, u64::wrapping_add)));
    });
}

fn lookup(criterion: &mut Criterion) {
    let mut group = group(criterion, "page_table/lookup");
    for (id, layout) in Layout::ALL {
        let (table, in_order) = (layout.table(), layout.pages());
        let in_any: Vec<u64> =
            (0..PAGES).map(|at| in_order[reduce(mix64(at + 1), PAGES as u32) as usize]).collect();
        let hashed: HashMap<u64, u64, MixBuildHasher> =
            in_order.iter().map(|page| (*page, page ^ 0x55_5555)).collect();
        for (order, pages) in [("in_order", &in_order), ("in_any_order", &in_any)] {
            bench_lookups(&mut group, &format!("{id}/{order}"), pages, |page| {
                table.lookup(Iova(page << 12)).expect("it is mapped").target.0
            });
            if !matches!(layout, Layout::Reserved) {
                bench_lookups(&mut group, &format!("{id}/{order}/hashed"), pages, |page| hashed[&page]);
            }
        }
    }
}
