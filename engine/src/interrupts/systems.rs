//! Raises the interrupts of a batch.

use bevy_ecs::prelude::*;

use super::components::Interrupts;
use crate::memory::{Completed, CompletedRows, Downlink};
use crate::request::Intent;
use crate::silence::Silence;
use crate::topology::{AdapterVfs, columns, columns_mut};
use crate::translation::LookupBound;
use crate::units::Picoseconds;

/// Takes note of what is complete, and counts the interrupts whose times and windows are known; before requests are booked.
pub fn raise(
    iommu: Single<(&CompletedRows, &LookupBound)>,
    mut adapters: Query<(&AdapterVfs, &Downlink, &Silence, &mut Interrupts)>,
    requests: Query<(&Intent, &Completed)>,
) {
    let (of_adapters, downlinks, silences, mut interrupts) = columns_mut!(adapters);
    let interrupts = interrupts.bypass_change_detection();
    if interrupts.iter().all(|of| of.0.is_none()) {
        return;
    }
    let (intents, completed) = columns!(requests);
    let (done, bound) = iommu.into_inner();
    for &row in &done.0 {
        let Intent { vf, adapter, .. } = intents[row as usize];
        let of = interrupts[adapter as usize].0.as_deref_mut().filter(|of| of.hears_completions());
        let vf = vf - of_adapters[adapter as usize].first;
        of.into_iter().for_each(|of| of.note_completed(vf, completed[row as usize].0));
    }
    let returns = downlinks.iter().filter_map(Downlink::earliest_start).min().unwrap_or(Picoseconds::MAX);
    for (of, silence) in interrupts.iter_mut().zip(silences) {
        let windows_from = silence.0.as_deref().map_or(Picoseconds::MAX, |switching| switching.windows_from);
        of.0.iter_mut().for_each(|of| of.settle(bound.0.min(returns), windows_from));
    }
}
