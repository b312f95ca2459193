//! What watches an IOMMU's look-ups.

use bevy_ecs::component::Component;
use hashbrown::HashMap;

use super::components::WalkWaits;
use super::misses::{Key, MissCause, Misses};
use crate::domain::Leaf;
use crate::hash::MixBuildHasher;
use crate::ids::{DomainId, Iova};
use crate::translation::replacement::Replacement;
use crate::translation::{Iotlb, IotlbSpec, Missed, Observe, PendingWalk};
use crate::units::Picoseconds;

/// A walk that waits or is under way, as those that join it see it.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    start: Picoseconds,
    cause: MissCause,
    /// The class of the VF whose DMA started it.
    class: u32,
    first: Iova,
    last: Iova,
}

/// Watches the look-ups of an IOMMU, on the IOMMU; only where attribution is asked for.
#[derive(Component)]
pub struct Watch {
    misses: Misses,
    under_way: HashMap<Key, UnderWay, MixBuildHasher>,
    class_of_vf: Vec<u32>,
    /// Whether misses are counted by cause.
    counts: bool,
    /// The class of the DMA that is looked up.
    class: u32,
    /// When the latest answer to it comes, and what it waits for until then.
    known_at: Picoseconds,
    waits: WalkWaits,
}

impl Watch {
    /// Of an idle IOMMU whose VFs are of these classes, of `classes`; see [`Misses::new`].
    #[must_use]
    pub fn new(spec: &IotlbSpec, seed: u64, causes: bool, class_of_vf: Vec<u32>, classes: usize) -> Self {
        Self {
            misses: Misses::new(spec, seed, causes, classes),
            under_way: HashMap::default(),
            class_of_vf,
            counts: causes,
            class: 0,
            known_at: Picoseconds::ZERO,
            waits: WalkWaits::default(),
        }
    }

    /// See [`Misses::evictions`].
    #[must_use]
    pub fn evictions(&self) -> &[u64] {
        self.misses.evictions()
    }
}

impl Observe for &mut Watch {
    const ON: bool = true;

    fn begin(&mut self, vf: u32) {
        self.class = self.class_of_vf[vf as usize];
        self.known_at = Picoseconds::ZERO;
        self.waits = WalkWaits::default();
    }

    fn note_hit(&mut self, domain: DomainId, at: Iova, leaf: &Leaf, known_at: Picoseconds) {
        self.misses.note_hit(domain, at, leaf);
        if known_at > self.known_at {
            self.known_at = known_at;
            (self.waits.walk, self.waits.invalidation) = (Picoseconds::ZERO, Picoseconds::ZERO);
        }
    }

    fn note_miss(&mut self, missed: &Missed) {
        let &Missed { now, domain, at, tag, began, end, known_at } = missed;
        let cause = self.misses.cause(domain, at, &tag);
        let walk = match began {
            Some(start) => {
                let (first, last) = tag.range();
                let walk = UnderWay { start, cause, class: self.class, first, last };
                self.under_way.insert(tag.key_of_walk(), walk);
                walk
            }
            None => self.under_way[&tag.key_of_walk()],
        };
        if self.counts {
            self.waits.misses[walk.cause as usize] += 1;
        }
        if known_at > self.known_at {
            self.known_at = known_at;
            let walked = end - now.max(walk.start);
            let of_invalidation = walk.cause == MissCause::Invalidation;
            self.waits.walk = if of_invalidation { Picoseconds::ZERO } else { walked };
            self.waits.invalidation = if of_invalidation { end - now } else { Picoseconds::ZERO };
        }
    }

    fn end_walk<P: Replacement>(&mut self, iotlb: &mut Iotlb<P>, walk: &PendingWalk) {
        let under_way = self.under_way.remove(&walk.tag.key_of_walk());
        let Some(target) = walk.fills else { return };
        let filled = iotlb.fill_over(&walk.tag, target);
        let class = under_way.expect("a walk that fills was not cancelled").class;
        self.misses.note_fill(&walk.tag, target, class, filled);
    }

    fn note_invalidation<P: Replacement>(
        &mut self,
        iotlb: &mut Iotlb<P>,
        domain: Option<DomainId>,
        first: Iova,
        last: Iova,
    ) {
        self.misses.note_invalidation(iotlb.take_dropped(), domain, first, last);
        // Nobody joins the walks that are cancelled.
        self.under_way.retain(|(there, _), walk| {
            let of_another = domain.is_some_and(|domain| domain != *there);
            of_another || walk.last < first || walk.first > last
        });
    }

    fn start_counting(&mut self) {
        self.misses.start_counting();
    }

    fn waits(&self) -> WalkWaits {
        self.waits
    }
}
