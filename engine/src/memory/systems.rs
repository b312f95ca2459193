//! Completes what was translated.

use bevy_ecs::prelude::*;

use super::Return;
use super::components::{Completed, CompletedRows, Downlink, MemoryTimes};
use crate::gate::{Refunds, Tag, Uplink};
use crate::request::{Op, SourceVf, Transfer};
use crate::schedule::Progress;
use crate::topology::{AdapterOfVf, columns, columns_mut};
use crate::traffic::insertion_sort;
use crate::translation::{LookedUp, LookupBound, Resolution, Translated};

/// Completes writes at once and reads in the order in which their data is ready.
pub fn complete(
    iommu: Single<(&LookedUp, &LookupBound, &MemoryTimes, &mut CompletedRows)>,
    mut adapters: Query<(&Uplink, &mut Downlink, &mut Refunds<Tag>)>,
    vfs: Query<&AdapterOfVf>,
    mut requests: Query<(&SourceVf, &Transfer, &Translated, &Resolution, &mut Completed)>,
    mut progress: ResMut<Progress>,
) {
    let (looked_up, bound, memory, mut done) = iommu.into_inner();
    let (uplinks, mut downlinks, mut tags) = columns_mut!(adapters);
    let (downlinks, tags) = (downlinks.bypass_change_detection(), tags.bypass_change_detection());
    let adapter_of = columns!(vfs);
    let (source, transfer, translated, resolution, mut completed) = columns_mut!(requests);
    let completed = completed.bypass_change_detection();

    for &row in &looked_up.0 {
        let at = row as usize;
        let blocked = resolution[at].fault.is_some();
        if transfer[at].op == Op::Read {
            let latency = if blocked { memory.unsupported_request } else { memory.read };
            let adapter = adapter_of[source[at].0 as usize].0 as usize;
            downlinks[adapter].pending.push(Return { ready: translated[at].0 + latency, row });
        } else {
            let latency = if blocked { crate::units::Picoseconds::ZERO } else { memory.write };
            completed[at] = Completed(translated[at].0 + latency);
            done.0.push(row);
        }
    }

    let overtaken_from = bound.0.saturating_add(memory.least_read());
    for ((uplink, downlink), tags) in uplinks.iter().zip(downlinks).zip(tags) {
        if downlink.pending.is_empty() {
            continue;
        }
        // Stable: completions ready at one instant stay in the order of their look-ups.
        if !insertion_sort(&mut downlink.pending, |pending| pending.ready) {
            downlink.pending.sort_by_key(|pending| pending.ready);
        }
        let served = downlink.pending.partition_point(|pending| pending.ready < overtaken_from);
        for Return { ready, row } in downlink.pending.drain(..served) {
            let at = row as usize;
            let with_data = resolution[at].fault.is_none();
            let wire = uplink.wires.downstream(transfer[at].length_bytes, with_data);
            downlink.free_at = ready.max(downlink.free_at) + wire;
            downlink.busy_ps += wire.0;
            let time = downlink.free_at + uplink.wires.propagation;
            completed[at] = Completed(time);
            tags.give_back(time);
            done.0.push(row);
        }
        progress.0 += served as u64;
    }
}
