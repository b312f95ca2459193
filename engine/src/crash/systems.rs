//! Keeps from the books what is over later than it is known whether the host was up.

use bevy_ecs::prelude::*;

use super::components::{BugCheck, HeldBack};
use crate::account::last_completed;
use crate::invalidation::ControlPlane;
use crate::memory::{Completed, CompletedRows};
use crate::topology::columns;
use crate::translation::LookupBound;

/// The bug checks of a world whose requests are over, in order.
pub fn bug_checks(world: &mut World) -> Vec<BugCheck> {
    let last = last_completed(world);
    let control = world.query::<&ControlPlane>().single(world).expect("one IOMMU");
    control
        .0
        .iter()
        .filter_map(|control| control.crashes.as_ref())
        .flat_map(|crashes| crashes.until(last))
        .copied()
        .collect()
}

/// Holds back the requests that complete at or after the time that look-ups have come to.
pub fn hold_back(
    iommu: Single<(&mut CompletedRows, &LookupBound)>,
    mut host: Single<&mut HeldBack>,
    requests: Query<&Completed>,
) {
    let Some(held) = &mut host.0 else { return };
    let (mut done, bound) = iommu.into_inner();
    let completed = columns!(requests);
    done.0.append(held);
    let known = |row: &u32| completed[*row as usize].0 < bound.0;
    let (over, later) = done.0.drain(..).partition(known);
    (done.0, *held) = (over, later);
}
