//! Translation: context look-up, IOTLB, walk caches, walkers, check and fault queue of an IOMMU.
//!
//! Everything that has an order happens in one ordered pass over the arrivals of all links of an
//! IOMMU. Invariants: a walk that faults fills nothing and evicts nothing; an entry is filled when
//! its walk ends; a miss on a page under walk joins that walk; the page table is read and the walk
//! caches are looked up at the look-up's place in the order; look-ups never go back in time.

mod arrivals;
mod components;
mod faults;
mod iotlb;
mod kernel;
mod latency;
mod observe;
pub mod replacement;
mod sharing;
mod spec;
mod stepwise;
mod systems;
mod walk_cache;
mod walk_costs;
mod walkers;

pub use arrivals::*;
pub use components::*;
pub use faults::*;
pub use iotlb::*;
pub use kernel::*;
pub use latency::*;
pub use observe::*;
pub use replacement::AnyIotlb;
pub use sharing::*;
pub use spec::*;
pub use stepwise::*;
pub use systems::*;
pub use walk_cache::*;
pub use walk_costs::*;
pub use walkers::*;
