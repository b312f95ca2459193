//! How many DMAs wait and are under way at instants of simulated time: a pass of its own, and only where it is asked for.

use bevy_ecs::prelude::*;
use hashbrown::HashMap;

use super::rows::LevelRow;
use crate::crash::Crashes;
use crate::hash::MixBuildHasher;
use crate::invalidation::ControlPlane;
use crate::link::Issued;
use crate::memory::{Completed, CompletedRows};
use crate::request::Intent;
use crate::silence::Silence;
use crate::topology::{AdapterVfs, Place, columns};
use crate::units::Picoseconds;

/// What changes from one instant to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    backlog: i64,
    in_flight: i64,
}

/// DMAs of each adapter that wait, and that are under way, at every multiple of a time; on the host, where they are asked
/// for.
///
/// Only differences between neighbouring instants are kept, and only where there are any: a DMA that is over before the
/// next instant leaves no trace.
#[derive(Component, Clone, Debug)]
pub struct Levels {
    step: Picoseconds,
    /// By adapter within the world, and number of the instant.
    changes: HashMap<(u32, u64), Change, MixBuildHasher>,
}

impl Levels {
    /// Of instants that are `step` apart, the first at 0.
    #[must_use]
    pub fn new(step: Picoseconds) -> Self {
        Self { step, changes: HashMap::default() }
    }

    /// Counts a DMA of an adapter that waited from `intended` until `issued`, and was under way from then until
    /// `completed`: at instants from the first of two times until before the second.
    pub fn count(
        &mut self,
        adapter: u32,
        intended: Picoseconds,
        issued: Picoseconds,
        completed: Picoseconds,
    ) {
        let [intended, issued, completed] =
            [intended, issued, completed].map(|time| time.0.div_ceil(self.step.0));
        if intended != issued {
            self.change(adapter, intended).backlog += 1;
            self.change(adapter, issued).backlog -= 1;
        }
        if issued != completed {
            self.change(adapter, issued).in_flight += 1;
            self.change(adapter, completed).in_flight -= 1;
        }
    }

    fn change(&mut self, adapter: u32, instant: u64) -> &mut Change {
        self.changes.entry((adapter, instant)).or_default()
    }

    /// The levels at every instant at which one differs from that at the instant before, in the order of adapters and
    /// instants.
    #[must_use]
    pub fn rows(&self, place: &Place) -> Vec<LevelRow> {
        let mut changes: Vec<_> = self.changes.iter().map(|(key, change)| (*key, *change)).collect();
        changes.sort_unstable_by_key(|(key, _)| *key);
        let mut rows = Vec::new();
        for of_adapter in changes.chunk_by(|((one, _), _), ((next, _), _)| one == next) {
            let (mut backlog, mut in_flight) = (0, 0);
            for ((adapter, instant), change) in of_adapter {
                if (change.backlog, change.in_flight) == (0, 0) {
                    continue;
                }
                backlog += change.backlog;
                in_flight += change.in_flight;
                let level = |level: i64| u64::try_from(level).expect("what goes has come");
                rows.push(LevelRow {
                    time_ps: instant * self.step.0,
                    host: place.host.0,
                    iommu: place.iommu.0,
                    adapter: place.first_adapter + adapter,
                    backlog: level(backlog),
                    in_flight: level(in_flight),
                });
            }
        }
        rows
    }
}

/// A DMA that would be over at `over`, on a host that may go down before: when it is over.
fn cut(crashes: Option<&Crashes>, intended: Picoseconds, over: Picoseconds) -> Picoseconds {
    let down = crashes.and_then(|crashes| crashes.aborted_at(intended, over));
    down.map_or(over, |down| over.min(down.max(intended)))
}

/// Counts the DMAs that are over.
pub fn count_levels(
    iommu: Single<(&CompletedRows, &ControlPlane)>,
    mut levels: Single<&mut Levels>,
    requests: Query<(&Intent, &Issued, &Completed)>,
) {
    let (done, control) = iommu.into_inner();
    let crashes = control.0.as_deref().and_then(|control| control.crashes.as_ref());
    let (intents, issued, completed) = columns!(requests);
    for at in done.0.iter().map(|row| *row as usize) {
        let Intent { time, adapter, .. } = intents[at];
        let over = cut(crashes, time, completed[at].0);
        levels.count(adapter, time, issued[at].0.min(over), over);
    }
}

/// Counts the DMAs that never left.
pub fn count_lost_levels(
    control: Single<&ControlPlane>,
    mut levels: Single<&mut Levels>,
    adapters: Query<(&AdapterVfs, &Silence)>,
) {
    let crashes = control.0.as_deref().and_then(|control| control.crashes.as_ref());
    let (_, silences) = columns!(adapters);
    for (silence, adapter) in silences.iter().zip(0..) {
        for lost in silence.0.iter().flat_map(|switching| &switching.lost) {
            let at = cut(crashes, lost.intended, lost.at);
            levels.count(adapter, lost.intended, at, at);
        }
    }
}
