//! Components and resources of traffic.

use bevy_ecs::component::Component;
use bevy_ecs::resource::Resource;

use super::source::Source;
use crate::prefetch::prefetch;
use crate::units::Picoseconds;

/// The traffic source of a VF.
#[derive(Component)]
pub struct TrafficSource {
    /// What it emits.
    pub source: Box<dyn Source>,
    /// Requests it has emitted.
    pub emitted: u64,
    /// When it intended the first and the last of them.
    pub intended: Option<(Picoseconds, Picoseconds)>,
    /// Added to every address: the VF's place in a shared domain.
    pub iova_offset: u64,
}

impl TrafficSource {
    /// Asks for the cache lines of the source.
    #[inline]
    pub fn prefetch(&self) {
        let first = (&raw const *self.source).cast::<u8>();
        for line in 0..size_of_val(&*self.source).div_ceil(64) {
            prefetch(first.wrapping_add(64 * line));
        }
    }
}

/// When a VF's source intends its next request; `Picoseconds::MAX` after the last.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct NextIntended(pub Picoseconds);

/// The least time from a retirement of a VF to what it makes the VF's source intend;
/// `Picoseconds::MAX` where it makes it intend nothing.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Feedback(pub Picoseconds);

impl Feedback {
    /// As a source says it.
    #[inline]
    #[must_use]
    pub fn new(of_source: Option<Picoseconds>) -> Self {
        Self(of_source.unwrap_or(Picoseconds::MAX))
    }
}

/// Whether a row of the pool holds a request that is not over.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Live(pub bool);

/// How a host's work is cut.
#[derive(Resource, Clone, Copy, Debug)]
pub struct BatchLimits {
    /// How far the horizon advances a batch.
    pub span: Picoseconds,
    /// Rows a VF may emit a batch.
    pub rows_per_vf: u32,
    /// Whether rows have columns for what requests wait for.
    pub attributed: bool,
    /// Whether devices have TLBs of their own.
    pub of_device_tlbs: bool,
}

/// The batch under way.
#[derive(Resource, Clone, Copy, Debug, Default)]
pub struct Batch {
    /// Rows in use, from the front of the pool.
    pub rows: u32,
    /// Everything intended before this is emitted at least.
    pub horizon: Picoseconds,
    /// The least horizon of any adapter when the batch began.
    pub reached: Picoseconds,
    /// A hash of the horizons of all adapters: whether any has moved.
    pub horizons: u64,
    /// Requests emitted since the start.
    pub emitted: u64,
    /// Requests that are over.
    pub over: u64,
    /// Of these, since rows were reused last.
    pub over_since_reuse: u64,
    /// Whether every source was exhausted when the batch began.
    pub exhausted: bool,
}
