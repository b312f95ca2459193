//! Into how many partitions an adapter is divided.

use bevy_ecs::component::Component;
use thiserror::Error;

/// The partitions of an adapter: as many virtual GPUs can be made of it.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partitions {
    /// It is not divided.
    #[default]
    Unpartitioned,
    /// It is, into so many.
    Partitioned(u32),
}

/// The number of an adapter's partitions cannot change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the number of partitions cannot change while there are {virtual_gpus} virtual GPUs")]
pub struct InUse {
    /// The virtual GPUs that there are.
    pub virtual_gpus: u32,
}

impl Partitions {
    /// The adapter is divided into `count` partitions, 0 for none, while `virtual_gpus` virtual GPUs exist.
    ///
    /// # Errors
    /// If there are any and the number is another: it may change only while no virtual GPU exists (WDDM, GPU
    /// paravirtualization).
    pub fn set(self, count: u32, virtual_gpus: u32) -> Result<Self, InUse> {
        let set = if count == 0 { Self::Unpartitioned } else { Self::Partitioned(count) };
        if set != self && virtual_gpus > 0 { Err(InUse { virtual_gpus }) } else { Ok(set) }
    }

    /// Virtual GPUs that can exist at once.
    #[must_use]
    pub fn count(self) -> u32 {
        match self {
            Self::Unpartitioned => 0,
            Self::Partitioned(count) => count,
        }
    }
}
