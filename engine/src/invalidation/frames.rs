//! The frames that streaming mappings take and give back: their owners at every moment.

use std::collections::VecDeque;

use crate::domain::{Leaf, LeafSize};
use crate::ids::PhysAddr;
use crate::units::Picoseconds;

const NOBODY: u32 = u32::MAX;

/// A frame of the pool.
#[derive(Clone, Copy, Debug)]
struct Frame {
    owner: u32,
    /// When the last access to it ends that was translated so far.
    accessed_until: Picoseconds,
}

/// Frames of one size, in one run of host memory.
#[derive(Clone, Debug, Default)]
struct Run {
    first: PhysAddr,
    frames: Vec<Frame>,
    /// Frames that nobody owns; the one given back first goes first.
    free: VecDeque<u32>,
}

/// The frames of an IOMMU's streaming mappings: a few more than can be mapped at once, so that what one
/// tenant gives back is what another gets soon.
#[derive(Clone, Debug, Default)]
pub struct FramePool {
    runs: [Run; 3],
}

/// What the pool says of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The frame is the tenant's own.
    Own,
    /// It is another VM's.
    Other(u32),
    /// It is nobody's, or no frame of the pool.
    Nobody,
}

impl FramePool {
    /// A pool that has `count` frames of `size` from `first` on as well.
    pub fn add_run(&mut self, size: LeafSize, first: PhysAddr, count: u32) {
        let frame = Frame { owner: NOBODY, accessed_until: Picoseconds::ZERO };
        self.runs[size as usize] =
            Run { first, frames: vec![frame; count as usize], free: (0..count).collect() };
    }

    /// A frame of `size` for `vm`.
    ///
    /// # Panics
    /// If none is left; there is one for every buffer that can be mapped at once.
    pub fn take(&mut self, size: LeafSize, vm: u32) -> PhysAddr {
        let run = &mut self.runs[size as usize];
        let number = run.free.pop_front().expect("a frame for every buffer");
        run.frames[number as usize] = Frame { owner: vm, accessed_until: Picoseconds::ZERO };
        PhysAddr(run.first.0 + u64::from(number) * size.bytes())
    }

    /// The frame behind a leaf leaves its owner at `now`. Whether every access that was translated to it
    /// has ended by then.
    pub fn give_back(&mut self, leaf: &Leaf, now: Picoseconds) -> bool {
        let number = self.number(leaf).expect("a frame of the pool");
        let run = &mut self.runs[leaf.size as usize];
        let frame = &mut run.frames[number];
        debug_assert_ne!(frame.owner, NOBODY, "a frame is given back once");
        frame.owner = NOBODY;
        run.free.push_back(number as u32);
        frame.accessed_until <= now
    }

    /// The VM accesses the frame behind a leaf until `until`.
    pub fn access(&mut self, leaf: &Leaf, vm: u32, until: Picoseconds) -> Holder {
        let Some(number) = self.number(leaf) else { return Holder::Nobody };
        let frame = &mut self.runs[leaf.size as usize].frames[number];
        if frame.owner != vm {
            return if frame.owner == NOBODY { Holder::Nobody } else { Holder::Other(frame.owner) };
        }
        frame.accessed_until = frame.accessed_until.max(until);
        Holder::Own
    }

    fn number(&self, leaf: &Leaf) -> Option<usize> {
        let run = &self.runs[leaf.size as usize];
        let number = (leaf.target.0.checked_sub(run.first.0)? >> leaf.size.shift()) as usize;
        (number < run.frames.len()).then_some(number)
    }
}
