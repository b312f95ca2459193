//! The events a replay understands.

use crate::domain::{LeafSize, Permissions};
use crate::ids::{DomainId, Iova, PhysAddr, RequesterId};
use crate::request::Op;

/// One event of a trace. A size or address that is not aligned is for the replay to refuse; what
/// has no meaning at all (another size, an unknown name) a reader must reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Adds one leaf; invalidates nothing.
    Map {
        /// The domain; it exists from its first mention.
        domain: DomainId,
        /// First address of the leaf.
        iova: Iova,
        /// Where it maps to.
        pa: PhysAddr,
        /// Its size.
        size: LeafSize,
        /// Its rights.
        permissions: Permissions,
    },
    /// Removes exactly one leaf and every cached translation that overlaps it.
    Unmap {
        /// The domain.
        domain: DomainId,
        /// First address of the leaf.
        iova: Iova,
        /// Its size.
        size: LeafSize,
    },
    /// Removes exactly one leaf and leaves the cached translations.
    UnmapDeferred {
        /// The domain.
        domain: DomainId,
        /// First address of the leaf.
        iova: Iova,
        /// Its size.
        size: LeafSize,
    },
    /// Drops every cached translation of the domain that overlaps the range.
    InvalidatePage {
        /// The domain.
        domain: DomainId,
        /// First address of the range.
        iova: Iova,
        /// Length of the range.
        size: LeafSize,
    },
    /// Drops every cached translation of the domain.
    InvalidateDomain {
        /// The domain.
        domain: DomainId,
    },
    /// Drops every cached translation.
    InvalidateAll,
    /// Sets the device's domain, replacing another.
    Attach {
        /// The device.
        device: RequesterId,
        /// Its domain from now on.
        domain: DomainId,
    },
    /// Leaves the device without a domain.
    Detach {
        /// The device.
        device: RequesterId,
    },
    /// A DMA.
    Dma {
        /// The device.
        device: RequesterId,
        /// First byte.
        iova: Iova,
        /// Bytes.
        length_bytes: u64,
        /// Direction.
        op: Op,
    },
}

impl Event {
    /// Every name of an event, as traces write it.
    pub const NAMES: [&'static str; 9] = [
        "map",
        "unmap",
        "unmap_deferred",
        "invalidate_page",
        "invalidate_domain",
        "invalidate_all",
        "attach",
        "detach",
        "dma",
    ];

    /// The name of this event, as traces write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        Self::NAMES[match self {
            Self::Map { .. } => 0,
            Self::Unmap { .. } => 1,
            Self::UnmapDeferred { .. } => 2,
            Self::InvalidatePage { .. } => 3,
            Self::InvalidateDomain { .. } => 4,
            Self::InvalidateAll => 5,
            Self::Attach { .. } => 6,
            Self::Detach { .. } => 7,
            Self::Dma { .. } => 8,
        }]
    }
}
