//! Why look-ups miss, and who evicts whom.

use hashbrown::HashMap;

use crate::domain::Leaf;
use crate::hash::MixBuildHasher;
use crate::ids::{DomainId, Iova};
use crate::translation::replacement::with_iotlb;
use crate::translation::{AnyIotlb, Filled, FullWord, IotlbSpec, Tag, Target, Ways};

/// Why a look-up missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum MissCause {
    /// The IOTLB never held the translation.
    Cold,
    /// It was evicted, and a fully associative cache of as many entries would have evicted it too.
    Capacity,
    /// It was evicted, and a fully associative cache of as many entries would hold it.
    Conflict,
    /// An invalidation dropped it.
    Invalidation,
}

impl MissCause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::Cold, Self::Capacity, Self::Conflict, Self::Invalidation];
}

/// A translation: its domain and leaf code.
pub type Key = (DomainId, u64);

/// What became of a translation that was cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// It still is, brought in by a class.
    Cached { class: u32 },
    /// It was replaced.
    Evicted,
    /// It was dropped.
    Invalidated,
}

/// The past of translations, and the cache that has no sets.
pub struct Misses {
    /// Of every translation that was ever cached; where only invalidations are asked for, those that one dropped.
    past: HashMap<Key, Past, MixBuildHasher>,
    causes: Option<Causes>,
}

/// What is kept where the causes of misses are asked for.
struct Causes {
    /// The IOTLB with all its entries in one set.
    full: AnyIotlb,
    /// Evictions, by the class that evicts and the class that is evicted.
    evictions: Vec<u64>,
    classes: usize,
}

impl Misses {
    /// Nothing cached yet, in an IOTLB of this specification and seed; with `causes`, all of them are told apart
    /// and evictions counted for `classes` classes, otherwise only invalidations are known.
    #[must_use]
    pub fn new(spec: &IotlbSpec, seed: u64, causes: bool, classes: usize) -> Self {
        let full = IotlbSpec { ways: Ways::Full(FullWord::Full), ..spec.clone() };
        let causes = causes.then(|| Causes {
            full: AnyIotlb::new(&full, seed),
            evictions: vec![0; classes * classes],
            classes,
        });
        Self { past: HashMap::default(), causes }
    }

    /// Why a look-up missed a translation; one that no leaf maps goes by its 4 KiB page.
    ///
    /// The full cache is looked up too, once for each look-up.
    pub fn cause(&mut self, domain: DomainId, at: Iova, tag: &Tag) -> MissCause {
        let past = self.past.get(&tag.key()).copied();
        let held = self.causes.as_mut().is_some_and(|causes| causes.look_up(domain, at));
        match past {
            None => MissCause::Cold,
            Some(Past::Invalidated) => MissCause::Invalidation,
            Some(_) if held => MissCause::Conflict,
            Some(_) => MissCause::Capacity,
        }
    }

    /// A look-up was served by a cached leaf. Where the full cache does not hold it, it takes it in at once.
    pub fn note_hit(&mut self, domain: DomainId, at: Iova, leaf: &Leaf) {
        if let Some(causes) = &mut self.causes
            && !causes.look_up(domain, at)
        {
            with_iotlb!(&mut causes.full, |full| full.fill(domain, leaf));
        }
    }

    /// A walk for a class brought a translation, and this came of it in the IOTLB.
    pub fn note_fill(&mut self, tag: &Tag, target: Target, class: u32, filled: Filled) {
        let Some(causes) = &mut self.causes else {
            if filled != Filled::Nowhere {
                self.past.remove(&tag.key());
            }
            return;
        };
        if let Filled::Over(victim) = filled
            && let Some(Past::Cached { class: of_victim }) = self.past.insert(victim, Past::Evicted)
        {
            causes.evictions[class as usize * causes.classes + of_victim as usize] += 1;
        }
        if filled != Filled::Nowhere {
            self.past.insert(tag.key(), Past::Cached { class });
        }
        with_iotlb!(&mut causes.full, |full| {
            if !full.holds(tag) {
                full.fill_tag(tag, target);
            }
        });
    }

    /// The IOTLB dropped these for an invalidation of what a domain, or any, has from `first` to `last`.
    pub fn note_invalidation(
        &mut self,
        dropped: impl Iterator<Item = Key>,
        domain: Option<DomainId>,
        first: Iova,
        last: Iova,
    ) {
        self.past.extend(dropped.map(|key| (key, Past::Invalidated)));
        if let Some(causes) = &mut self.causes {
            with_iotlb!(&mut causes.full, |full| match domain {
                Some(domain) => full.invalidate_range(domain, first, last),
                None => full.invalidate_all(),
            });
        }
    }

    /// Evictions are counted from now on.
    pub fn start_counting(&mut self) {
        if let Some(causes) = &mut self.causes {
            causes.evictions.fill(0);
        }
    }

    /// Evictions by evictor and victim: a row an evictor. Empty where they are not asked for.
    #[must_use]
    pub fn evictions(&self) -> &[u64] {
        self.causes.as_ref().map_or(&[], |causes| &causes.evictions)
    }
}

impl Causes {
    fn look_up(&mut self, domain: DomainId, at: Iova) -> bool {
        with_iotlb!(&mut self.full, |full| full.lookup(domain, at)).is_some()
    }
}
