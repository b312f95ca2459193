//! Splits the latencies of the requests that are over.

use bevy_ecs::prelude::*;
use bevy_ecs::system::SystemParam;

use super::components::{Attribution, GateWaits, MemoryWaits, Split, WalkWaits};
use super::device::SplitSoFar;
use super::kernel::{Over, split};
use crate::account::WarmUp;
use crate::gate::Uplink;
use crate::link::Issued;
use crate::memory::{Completed, CompletedRows};
use crate::request::Intent;
use crate::topology::columns;
use crate::translation::{Translation, TranslationTimes};
use crate::units::Picoseconds;

/// What a request's columns are, where it is noted what requests wait for.
type Noted = (
    &'static Intent,
    &'static Issued,
    &'static Translation,
    &'static Completed,
    &'static GateWaits,
    &'static WalkWaits,
    &'static MemoryWaits,
    Option<&'static SplitSoFar>,
);

/// What the splits of latencies are made from.
#[derive(SystemParam)]
pub struct Splits<'w, 's> {
    iommu: Single<'w, 's, &'static TranslationTimes>,
    adapters: Query<'w, 's, &'static Uplink>,
    requests: Query<'w, 's, Noted>,
}

/// The same, as columns.
pub struct SplitColumns<'a> {
    look_up: Picoseconds,
    uplinks: &'a [Uplink],
    intents: &'a [Intent],
    issued: &'a [Issued],
    translations: &'a [Translation],
    completed: &'a [Completed],
    gates: &'a [GateWaits],
    /// What each request waited for walks.
    pub walks: &'a [WalkWaits],
    memories: &'a [MemoryWaits],
    /// Where devices have TLBs of their own.
    so_far: Option<&'a [SplitSoFar]>,
}

impl Splits<'_, '_> {
    /// The columns, where it is noted what requests wait for.
    #[must_use]
    pub fn columns(&self) -> Option<SplitColumns<'_>> {
        let noted = self.requests.contiguous_iter().expect("hot components are kept in tables").next()?;
        let (intents, issued, translations, completed, gates, walks, memories, so_far) = noted;
        Some(SplitColumns {
            look_up: self.iommu.look_up(),
            uplinks: columns!(self.adapters),
            intents,
            issued,
            translations,
            completed,
            gates,
            walks,
            memories,
            so_far,
        })
    }
}

impl SplitColumns<'_> {
    /// Where the time of the request in `row` went, which is over.
    #[must_use]
    pub fn split(&self, row: u32) -> Split {
        let at = row as usize;
        let intent = &self.intents[at];
        let over = Over {
            intent,
            issued: self.issued[at],
            translation: &self.translations[at],
            completed: self.completed[at],
            gate: &self.gates[at],
            walk: &self.walks[at],
            memory: &self.memories[at],
            so_far: self.so_far.map(|so_far| &so_far[at]),
        };
        let split = split(&over, &self.uplinks[intent.adapter as usize].wires, self.look_up);
        debug_assert_eq!(split.total(), (over.completed.0 - intent.time).0, "the causes add up");
        split
    }
}

/// Books where the time of every request went that is over and counts: a pass of its own, and only where it is
/// asked for.
pub fn attribute(
    host: Single<(&mut Attribution, &WarmUp)>,
    done: Single<&CompletedRows>,
    requests: Query<&Intent>,
    splits: Splits<'_, '_>,
) {
    let Some(columns) = splits.columns() else { return };
    let (mut attribution, warm_up) = host.into_inner();
    let Attribution { latency, of_vfs, .. } = &mut *attribution;
    let intents = columns!(requests);
    let counted = done.0.iter().filter(|row| intents[**row as usize].time >= warm_up.until);
    for &row in counted {
        let of_vf = &mut of_vfs[intents[row as usize].vf as usize];
        if *latency {
            of_vf.latency.merge(&columns.split(row));
        }
        let misses = columns.walks[row as usize].misses;
        of_vf.misses.iter_mut().zip(misses).for_each(|(sum, more)| *sum += u64::from(more));
    }
}
