//! Who watches the ordered pass. It is compiled once for runs that nobody watches, which pay nothing for what
//! others can see, and once for all others.

use super::iotlb::{Iotlb, Tag};
use super::replacement::Replacement;
use super::walkers::PendingWalk;
use crate::attribution::WalkWaits;
use crate::domain::Leaf;
use crate::ids::{DomainId, Iova};
use crate::units::Picoseconds;

/// A look-up that missed.
#[derive(Clone, Copy, Debug)]
pub struct Missed {
    /// When it was done: a full walkers' queue has let its walk in.
    pub now: Picoseconds,
    /// Its domain.
    pub domain: DomainId,
    /// Its address.
    pub at: Iova,
    /// What its walk is for.
    pub tag: Tag,
    /// When its walk starts; absent where the walk was under way already.
    pub began: Option<Picoseconds>,
    /// When its walk ends.
    pub end: Picoseconds,
    /// When the answer is known.
    pub known_at: Picoseconds,
}

/// Watches an IOMMU's look-ups, in their order.
pub trait Observe {
    /// Whether it sees anything.
    const ON: bool;

    /// A DMA of this VF is looked up next.
    fn begin(&mut self, _vf: u32) {}

    /// A look-up was served by a cached leaf.
    fn note_hit(&mut self, _domain: DomainId, _at: Iova, _leaf: &Leaf, _known_at: Picoseconds) {}

    /// A look-up missed.
    fn note_miss(&mut self, _missed: &Missed) {}

    /// A walk ends: what it brings is to be cached.
    #[inline(always)]
    fn end_walk<P: Replacement>(&mut self, iotlb: &mut Iotlb<P>, walk: &PendingWalk) {
        if let Some(target) = walk.fills {
            iotlb.fill_tag(&walk.tag, target);
        }
    }

    /// What a domain, or any, has from `first` to `last` was invalidated.
    fn note_invalidation<P: Replacement>(
        &mut self,
        _iotlb: &mut Iotlb<P>,
        _domain: Option<DomainId>,
        _first: Iova,
        _last: Iova,
    ) {
    }

    /// The warm-up is over.
    fn start_counting(&mut self) {}

    /// What the DMA that was looked up waits for.
    fn waits(&self) -> WalkWaits {
        WalkWaits::default()
    }
}

/// Nobody.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl Observe for Unobserved {
    const ON: bool = false;
}
