//! The page table of a domain: 4 KiB, 2 MiB and 1 GiB leaves.
//!
//! It is laid out for look-ups that can be prefetched, not as a radix tree: what a walk costs is
//! the walkers' affair. A 2 MiB region with many 4 KiB leaves is a block of 512 packed entries of
//! 7 bytes; other 4 KiB leaves lie in one flat table. So contiguous pages cost 7.2 bytes each and
//! scattered ones at most 24.

use bevy_ecs::component::Component;
use hashbrown::HashMap;

use super::sparse::SparseTable;
use super::{Leaf, LeafSize, Permissions};
use crate::hash::MixBuildHasher;
use crate::ids::{Iova, PhysAddr};
use crate::prefetch::prefetch;

/// 4 KiB leaves at which a region becomes a block.
const BLOCK_FROM: u32 = 192;
/// 4 KiB leaves below which a block is dissolved: 3.6 KiB over 160 leaves are 22.5 bytes each.
const BLOCK_UNTIL: u32 = 160;

const PTE_BYTES: usize = 7;
const PTE_PRESENT: u64 = 1;
const PTE_MASK: u64 = (1 << (8 * PTE_BYTES)) - 1;

/// Frame number << 3 | rights << 1 | present, in 55 bits.
#[inline]
fn pack(leaf: &Leaf) -> u64 {
    (leaf.target.0 >> 12) << 3 | (leaf.permissions as u64) << 1 | PTE_PRESENT
}

#[inline]
fn unpack(pte: u64, iova: Iova, size: LeafSize) -> Leaf {
    Leaf {
        base: size.base(iova),
        target: PhysAddr((pte >> 3) << 12),
        size,
        permissions: Permissions::from_bits((pte >> 1) as u8),
    }
}

/// The 512 4 KiB entries of a 2 MiB region.
#[derive(Clone)]
struct Block {
    /// Entries of 7 bytes each, and one byte more so that any can be read as 8.
    entries: [u8; 512 * PTE_BYTES + 1],
    present: u32,
}

impl Block {
    fn empty() -> Box<Self> {
        Box::new(Self { entries: [0; 512 * PTE_BYTES + 1], present: 0 })
    }

    #[inline]
    fn word(&self, index: usize) -> u64 {
        let at = index * PTE_BYTES;
        u64::from_le_bytes(self.entries[at..at + 8].try_into().expect("eight bytes"))
    }

    #[inline]
    fn get(&self, index: usize) -> Option<u64> {
        let pte = self.word(index) & PTE_MASK;
        (pte & PTE_PRESENT != 0).then_some(pte)
    }

    fn set(&mut self, index: usize, pte: u64) {
        let at = index * PTE_BYTES;
        let word = self.word(index) & !PTE_MASK | pte;
        self.entries[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
}

/// What covers a 2 MiB region.
#[derive(Clone, Default)]
enum Region {
    /// Nothing, or scattered 4 KiB leaves.
    #[default]
    Empty,
    /// One 2 MiB leaf.
    Leaf(u64),
    /// 4 KiB leaves, densely; none where the region is only reserved.
    Block(Box<Block>),
}

impl Region {
    fn maps_any(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Leaf(_) => true,
            Self::Block(block) => block.present > 0,
        }
    }
}

/// Regions a window may cover; it costs 16 bytes each.
const WINDOW_MAX: u64 = 1 << 20;

/// The regions of a table: by position within a window that was reserved, by hash elsewhere. What is
/// seldom used lies in a box, so that all that leads to a block lies in one cache line.
#[derive(Clone, Default)]
struct Regions {
    window_first: u64,
    window: Box<[Region]>,
    elsewhere: Box<HashMap<u64, Region, MixBuildHasher>>,
}

impl Regions {
    #[inline]
    fn get(&self, region: u64) -> Option<&Region> {
        match self.window.get(region.wrapping_sub(self.window_first) as usize) {
            Some(found) => Some(found),
            None => self.get_elsewhere(region),
        }
    }

    #[inline(never)]
    fn get_elsewhere(&self, region: u64) -> Option<&Region> {
        self.elsewhere.get(&region)
    }

    fn get_mut(&mut self, region: u64) -> Option<&mut Region> {
        match self.window.get_mut(region.wrapping_sub(self.window_first) as usize) {
            Some(found) => Some(found),
            None => self.elsewhere.get_mut(&region),
        }
    }

    fn is_empty(&self, region: u64) -> bool {
        matches!(self.get(region), None | Some(Region::Empty))
    }

    fn maps_any(&self, region: u64) -> bool {
        self.get(region).is_some_and(Region::maps_any)
    }

    fn insert(&mut self, region: u64, content: Region) {
        match self.window.get_mut(region.wrapping_sub(self.window_first) as usize) {
            Some(place) => *place = content,
            None => {
                self.elsewhere.insert(region, content);
            }
        }
    }

    fn remove(&mut self, region: u64) -> Region {
        match self.window.get_mut(region.wrapping_sub(self.window_first) as usize) {
            Some(place) => core::mem::take(place),
            None => self.elsewhere.remove(&region).unwrap_or_default(),
        }
    }

    /// Makes the window that of these regions, where there is none yet.
    fn reserve(&mut self, first: u64, count: u64) {
        if !self.window.is_empty() || count > WINDOW_MAX {
            return;
        }
        self.window_first = first;
        self.window =
            (first..first + count).map(|at| self.elsewhere.remove(&at).unwrap_or_default()).collect();
    }

    fn iter(&self) -> impl Iterator<Item = (u64, &Region)> {
        let elsewhere = self.elsewhere.iter().map(|(region, content)| (*region, content));
        (self.window_first..).zip(self.window.iter()).chain(elsewhere)
    }

    fn memory_bytes(&self) -> usize {
        self.window.len() * size_of::<Region>()
            + size_of_val(&*self.elsewhere)
            + self.elsewhere.allocation_size()
    }
}

/// Why a leaf cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// IOVA or physical address is no multiple of the leaf's size.
    Misaligned,
    /// Some part of the range is mapped already.
    Overlap,
}

/// There is no leaf of exactly this base and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotALeaf;

/// The leaves of one domain; no two overlap.
#[derive(Component, Clone, Default)]
#[repr(align(64))]
pub struct PageTable {
    regions: Regions,
    scattered: Box<SparseTable>,
    giant: Box<HashMap<u64, u64, MixBuildHasher>>,
    leaves: u64,
}

#[inline]
fn page(iova: Iova) -> u64 {
    iova.0 >> 12
}

#[inline]
fn region(iova: Iova) -> u64 {
    iova.0 >> 21
}

#[inline]
fn index_in_block(iova: Iova) -> usize {
    (iova.0 >> 12) as usize & 511
}

impl PageTable {
    /// A table without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leaves there are.
    #[must_use]
    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    /// The leaf that covers `iova`.
    #[inline]
    #[must_use]
    pub fn lookup(&self, iova: Iova) -> Option<Leaf> {
        let in_block = match self.regions.get(region(iova)) {
            Some(Region::Block(block)) => block.get(index_in_block(iova)),
            _ => None,
        };
        // Packed, whatever is found stays in registers.
        let (pte, size) = match in_block {
            Some(pte) => (pte, LeafSize::Size4K),
            None => self.lookup_elsewhere(iova)?,
        };
        Some(unpack(pte, iova, size))
    }

    /// The entry and the size of a leaf that is not in a block.
    #[inline(never)]
    fn lookup_elsewhere(&self, iova: Iova) -> Option<(u64, LeafSize)> {
        if let Some(Region::Leaf(pte)) = self.regions.get(region(iova)) {
            return Some((*pte, LeafSize::Size2M));
        }
        if let Some(pte) = self.scattered.get(page(iova)) {
            return Some((pte, LeafSize::Size4K));
        }
        if self.giant.is_empty() {
            return None;
        }
        self.giant.get(&(iova.0 >> 30)).map(|pte| (*pte, LeafSize::Size1G))
    }

    /// Asks for the word a later look-up of `iova` will read, where it is in a block.
    #[inline]
    pub fn prefetch_entry(&self, iova: Iova) {
        if let Some(Region::Block(block)) = self.regions.get(region(iova)) {
            // One in nine words lies across two cache lines.
            let first = &raw const block.entries[index_in_block(iova) * PTE_BYTES];
            prefetch(first);
            prefetch(first.wrapping_add(PTE_BYTES));
        }
    }

    /// Asks for the cache line that leads to the entry of `iova`.
    #[inline]
    pub fn prefetch_region(&self, iova: Iova) {
        let at = region(iova).wrapping_sub(self.regions.window_first) as usize;
        prefetch(self.regions.window.as_ptr().wrapping_add(at));
    }

    /// Whether any leaf overlaps the range of `size` at `base`, which is aligned.
    fn overlaps(&self, base: Iova, size: LeafSize) -> bool {
        if self.giant.contains_key(&(base.0 >> 30)) {
            return true;
        }
        match size {
            LeafSize::Size4K => self.lookup(base).is_some(),
            LeafSize::Size2M => self.regions.maps_any(region(base)) || self.any_scattered(page(base), 512),
            LeafSize::Size1G => {
                let first = region(base);
                let any_region = (first..first + 512).any(|at| self.regions.maps_any(at));
                any_region || self.any_scattered(page(base), 512 * 512)
            }
        }
    }

    fn any_scattered(&self, first: u64, pages: u64) -> bool {
        let range = first..first + pages;
        if (self.scattered.len() as u64) < pages {
            self.scattered.iter().any(|(page, _)| range.contains(&page))
        } else {
            range.into_iter().any(|page| self.scattered.get(page).is_some())
        }
    }

    /// Adds a leaf.
    ///
    /// # Errors
    /// [`MapError`]; the table is then unchanged.
    pub fn map(&mut self, leaf: Leaf) -> Result<(), MapError> {
        if leaf.size.offset(leaf.base) != 0 || leaf.target.0 & (leaf.size.bytes() - 1) != 0 {
            return Err(MapError::Misaligned);
        }
        if self.overlaps(leaf.base, leaf.size) {
            return Err(MapError::Overlap);
        }
        let pte = pack(&leaf);
        match leaf.size {
            LeafSize::Size4K => self.insert_page(leaf.base, pte),
            LeafSize::Size2M => {
                self.regions.insert(region(leaf.base), Region::Leaf(pte));
            }
            LeafSize::Size1G => {
                self.giant.insert(leaf.base.0 >> 30, pte);
            }
        }
        self.leaves += 1;
        Ok(())
    }

    /// Prepares for `pages` leaves of `size` from `base` on: look-ups find their regions by position,
    /// and regions that will be dense become blocks at once instead of when the flat table grows.
    pub fn reserve(&mut self, base: Iova, size: LeafSize, pages: u64) {
        if size == LeafSize::Size1G {
            return;
        }
        let end = page(base) + (pages << (size.shift() - 12));
        self.regions.reserve(region(base), end.div_ceil(512) - region(base));
        if size == LeafSize::Size2M {
            return;
        }
        let mut at = page(base);
        while at < end {
            let next = ((at >> 9) + 1) << 9;
            let covered = next.min(end) - at;
            let here = at >> 9;
            if covered >= u64::from(BLOCK_FROM) && self.regions.is_empty(here) {
                self.gather_block(here);
            }
            at = next;
        }
    }

    fn insert_page(&mut self, base: Iova, pte: u64) {
        if let Some(Region::Block(block)) = self.regions.get_mut(region(base)) {
            block.set(index_in_block(base), pte);
            block.present += 1;
            return;
        }
        if self.scattered.is_full() {
            self.gather_dense_regions();
            if self.scattered.is_full() {
                self.scattered.grow();
            }
            if !self.regions.is_empty(region(base)) {
                return self.insert_page(base, pte);
            }
        }
        self.scattered.insert(page(base), pte);
    }

    /// Turns every region that has become dense into a block; called before the flat table grows, so
    /// that its cost is spread over the leaves added since.
    fn gather_dense_regions(&mut self) {
        let mut counts: HashMap<u64, u32, MixBuildHasher> = HashMap::default();
        for (page, _) in self.scattered.iter() {
            *counts.entry(page >> 9).or_default() += 1;
        }
        for (region, count) in counts {
            if count >= BLOCK_FROM {
                self.gather_block(region);
            }
        }
    }

    /// Makes a block of a region without one, out of its scattered leaves.
    fn gather_block(&mut self, region: u64) {
        let mut block = Block::empty();
        for index in 0..512 {
            if let Some(pte) = self.scattered.remove(region << 9 | index as u64) {
                block.set(index, pte);
                block.present += 1;
            }
        }
        self.regions.insert(region, Region::Block(block));
    }

    /// Removes exactly the leaf of `size` at `base` and returns it.
    ///
    /// # Errors
    /// [`NotALeaf`]; the table is then unchanged.
    pub fn unmap(&mut self, base: Iova, size: LeafSize) -> Result<Leaf, NotALeaf> {
        if size.offset(base) != 0 {
            return Err(NotALeaf);
        }
        let pte = match size {
            LeafSize::Size4K => self.remove_page(base),
            LeafSize::Size2M => match self.regions.get(region(base)) {
                Some(Region::Leaf(pte)) => {
                    let pte = *pte;
                    self.regions.remove(region(base));
                    Some(pte)
                }
                _ => None,
            },
            LeafSize::Size1G => self.giant.remove(&(base.0 >> 30)),
        };
        let pte = pte.ok_or(NotALeaf)?;
        self.leaves -= 1;
        Ok(unpack(pte, base, size))
    }

    fn remove_page(&mut self, base: Iova) -> Option<u64> {
        let Some(Region::Block(block)) = self.regions.get_mut(region(base)) else {
            return self.scattered.remove(page(base));
        };
        let index = index_in_block(base);
        let pte = block.get(index)?;
        block.set(index, 0);
        block.present -= 1;
        if block.present < BLOCK_UNTIL {
            self.dissolve_block(region(base));
        }
        Some(pte)
    }

    fn dissolve_block(&mut self, region: u64) {
        let Region::Block(block) = self.regions.remove(region) else {
            unreachable!("only blocks are dissolved")
        };
        for index in 0..512 {
            if let Some(pte) = block.get(index) {
                if self.scattered.is_full() {
                    self.scattered.grow();
                }
                self.scattered.insert(region << 9 | index as u64, pte);
            }
        }
    }

    /// Every leaf, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Leaf> + '_ {
        let regions = self.regions.iter().flat_map(|(region, content)| {
            let base = region << 21;
            let leaves: Vec<Leaf> = match content {
                Region::Empty => Vec::new(),
                Region::Leaf(pte) => vec![unpack(*pte, Iova(base), LeafSize::Size2M)],
                Region::Block(block) => (0..512)
                    .filter_map(|index| {
                        let iova = Iova(base | (index as u64) << 12);
                        block.get(index).map(|pte| unpack(pte, iova, LeafSize::Size4K))
                    })
                    .collect(),
            };
            leaves
        });
        let scattered =
            self.scattered.iter().map(|(page, pte)| unpack(pte, Iova(page << 12), LeafSize::Size4K));
        let giant = self.giant.iter().map(|(index, pte)| unpack(*pte, Iova(index << 30), LeafSize::Size1G));
        regions.chain(scattered).chain(giant)
    }

    /// Heap memory of the table in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let blocks = self.regions.iter().filter(|(_, content)| matches!(content, Region::Block(_))).count();
        self.regions.memory_bytes()
            + self.giant.allocation_size()
            + blocks * size_of::<Block>()
            + self.scattered.memory_bytes()
    }
}
