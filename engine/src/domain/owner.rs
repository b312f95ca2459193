//! Who owns which frame: kept apart from the page tables, so that it can judge them.

use bevy_ecs::component::Component;
use hashbrown::HashMap;

use super::{Leaf, LeafSize};
use crate::hash::MixBuildHasher;
use crate::ids::{DomainId, PhysAddr};

/// A tenant as the owner of frames: its VM's index within the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(pub u32);

const NOBODY: u32 = u32::MAX;
const MIXED: u32 = u32::MAX - 1;
const FRAMES_PER_CHUNK: u64 = 512;

/// The owner of every frame of a host: a word a 2 MiB chunk, and a table where a chunk has several owners.
#[derive(Component, Clone, Debug, Default)]
pub struct OwnerMap {
    chunks: Vec<u32>,
    mixed: HashMap<u64, Box<[u32; FRAMES_PER_CHUNK as usize]>, MixBuildHasher>,
}

impl OwnerMap {
    /// Gives `frames` 4 KiB frames from `first` (an address) on to `owner`, or to nobody.
    pub fn give(&mut self, first: PhysAddr, frames: u64, owner: Option<Owner>) {
        let word = owner.map_or(NOBODY, |owner| owner.0);
        assert!(word == NOBODY || word < MIXED, "owner index out of range");
        let (mut frame, end) = (first.0 >> 12, (first.0 >> 12) + frames);
        let chunks = end.div_ceil(FRAMES_PER_CHUNK) as usize;
        if self.chunks.len() < chunks {
            self.chunks.resize(chunks, NOBODY);
        }
        while frame < end {
            let chunk = frame / FRAMES_PER_CHUNK;
            let upto = ((chunk + 1) * FRAMES_PER_CHUNK).min(end);
            if upto - frame == FRAMES_PER_CHUNK {
                self.mixed.remove(&chunk);
                self.chunks[chunk as usize] = word;
            } else {
                let before = self.chunks[chunk as usize];
                let table = self.mixed.entry(chunk).or_insert_with(|| Box::new([before; 512]));
                self.chunks[chunk as usize] = MIXED;
                let from = (frame % FRAMES_PER_CHUNK) as usize;
                table[from..from + (upto - frame) as usize].fill(word);
            }
            frame = upto;
        }
    }

    /// The owner of the frame at `pa`.
    #[must_use]
    pub fn owner(&self, pa: PhysAddr) -> Option<Owner> {
        let frame = pa.0 >> 12;
        let chunk = frame / FRAMES_PER_CHUNK;
        let word = match self.chunks.get(chunk as usize).copied().unwrap_or(NOBODY) {
            MIXED => self.mixed[&chunk][(frame % FRAMES_PER_CHUNK) as usize],
            word => word,
        };
        (word != NOBODY).then_some(Owner(word))
    }

    /// The first owner other than `owner` among the frames of `length_bytes` bytes from `pa` on:
    /// `Ok` if there is none, `Err(None)` if nobody owns one.
    ///
    /// # Errors
    /// The other owner.
    #[inline]
    pub fn judge(&self, pa: PhysAddr, length_bytes: u64, owner: Owner) -> Result<(), Option<Owner>> {
        let last = pa.0.saturating_add(length_bytes.max(1) - 1);
        let (chunk, last_chunk) = (pa.0 >> 21, last >> 21);
        if chunk == last_chunk && self.chunks.get(chunk as usize) == Some(&owner.0) {
            return Ok(());
        }
        self.judge_chunks(pa.0, last, owner)
    }

    #[inline(never)]
    fn judge_chunks(&self, first: u64, last: u64, owner: Owner) -> Result<(), Option<Owner>> {
        for chunk in first >> 21..=last >> 21 {
            if self.chunks.get(chunk as usize) != Some(&owner.0) {
                self.judge_frames(first.max(chunk << 21), last.min((chunk << 21) | 0x1F_FFFF), owner)?;
            }
        }
        Ok(())
    }

    #[cold]
    fn judge_frames(&self, first: u64, last: u64, owner: Owner) -> Result<(), Option<Owner>> {
        for frame in first >> 12..=last >> 12 {
            let found = self.owner(PhysAddr(frame << 12));
            if found != Some(owner) {
                return Err(found);
            }
        }
        Ok(())
    }
}

/// Ownership in a replay, where a frame belongs to every domain that maps it, by count.
#[derive(Component, Clone, Debug, Default)]
pub struct MappedFrames {
    counts: HashMap<(DomainId, LeafSize, u64), u32, MixBuildHasher>,
}

impl MappedFrames {
    /// Counts one more mapping of the frames behind `leaf` by `domain`.
    pub fn add(&mut self, domain: DomainId, leaf: &Leaf) {
        *self.counts.entry((domain, leaf.size, leaf.target.0 >> leaf.size.shift())).or_default() += 1;
    }

    /// Counts one mapping less.
    pub fn remove(&mut self, domain: DomainId, leaf: &Leaf) {
        let key = (domain, leaf.size, leaf.target.0 >> leaf.size.shift());
        match self.counts.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                self.counts.remove(&key);
            }
            None => unreachable!("a frame was mapped before it is unmapped"),
        }
    }

    /// Whether `domain` maps the frame at `pa`.
    #[must_use]
    pub fn owns(&self, domain: DomainId, pa: PhysAddr) -> bool {
        LeafSize::ALL.iter().any(|size| self.counts.contains_key(&(domain, *size, pa.0 >> size.shift())))
    }
}
