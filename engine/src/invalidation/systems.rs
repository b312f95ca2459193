//! Tells drivers what is over.

use bevy_ecs::prelude::*;

use super::components::ControlPlane;
use crate::memory::{Completed, CompletedRows};
use crate::request::{Intent, Op, Sequence};
use crate::topology::columns;

/// Tells the drivers of VFs with streaming mappings of the reads that the last pass completed. Of writes they
/// know from the ordered pass, which knows when they are in memory.
pub fn note_completions(
    iommu: Single<(&mut ControlPlane, &CompletedRows)>,
    requests: Query<(&Intent, &Sequence, &Completed)>,
) {
    let (mut control, done) = iommu.into_inner();
    let Some(control) = control.get() else { return };
    let (intents, sequence, completed) = columns!(requests);
    for &row in &done.0[control.noted..] {
        let at = row as usize;
        let Intent { transfer, vf, iova, .. } = intents[at];
        if transfer.op == Op::Read {
            control.note_over(vf, sequence[at], iova, completed[at].0);
        }
    }
    control.noted = done.0.len();
}
