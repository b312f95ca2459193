//! Completes what was translated.

use bevy_ecs::prelude::*;

use super::components::{Completed, CompletedRows, Downlink, MemoryTimes, Return};
use super::retirement::{Retired, Retirement};
use crate::gate::{Refunds, Tag, Uplink, VfQueue};
use crate::request::{Intent, Op, Sequence};
use crate::schedule::Progress;
use crate::topology::columns_mut;
use crate::traffic::{Batch, insertion_sort};
use crate::translation::{LookedUp, LookupBound, Translation};
use crate::units::Picoseconds;

/// Completes writes at once and reads in the order in which their data is ready.
pub fn complete(
    iommu: Single<(&LookedUp, &LookupBound, &MemoryTimes, &mut CompletedRows)>,
    mut adapters: Query<(&mut Uplink, &mut Downlink, &mut Retirement, &mut Refunds<Tag>)>,
    mut vfs: Query<&mut VfQueue>,
    mut requests: Query<(&Intent, &Sequence, &Translation, &mut Completed)>,
    batch: Res<Batch>,
    mut progress: ResMut<Progress>,
) {
    let (looked_up, bound, memory, mut done) = iommu.into_inner();
    let (memory, done) = (*memory, &mut done.0);
    let (mut uplinks, mut downlinks, mut retirements, mut tags) = columns_mut!(adapters);
    let (uplinks, downlinks) = (uplinks.bypass_change_detection(), downlinks.bypass_change_detection());
    let (retirements, tags) = (retirements.bypass_change_detection(), tags.bypass_change_detection());
    let mut queues = columns_mut!(vfs);
    let queues = queues.bypass_change_detection();
    let (intents, sequence, translations, mut completed) = columns_mut!(requests);
    let rows = batch.rows as usize;
    let (intents, translations) = (&intents[..rows], &translations[..rows]);
    let completed = &mut completed.bypass_change_detection()[..rows];

    for &row in looked_up.in_last_pass() {
        let at = row as usize;
        let (intent, translation) = (&intents[at], &translations[at]);
        let blocked = translation.fault.is_some();
        if intent.transfer.op == Op::Read {
            let latency = if blocked { memory.unsupported_request } else { memory.read };
            let ready = translation.known_at + latency;
            downlinks[intent.adapter as usize].pending.push(Return { ready, row });
        } else {
            let latency = if blocked { Picoseconds::ZERO } else { memory.write };
            completed[at] = Completed(translation.known_at + latency);
            done.push(row);
        }
    }

    let overtaken_from = bound.0.saturating_add(memory.least_read());
    let adapters = uplinks.iter_mut().zip(downlinks).zip(retirements).zip(tags);
    for (((uplink, downlink), retirement), tags) in adapters {
        // Stable: completions ready at one instant stay in the order of their look-ups.
        if !insertion_sort(&mut downlink.pending, |pending| pending.ready) {
            downlink.pending.sort_by_key(|pending| pending.ready);
        }
        let served = downlink.pending.partition_point(|pending| pending.ready < overtaken_from);
        let wires = uplink.wires;
        for Return { ready, row } in downlink.pending.drain(..served) {
            let at = row as usize;
            let with_data = translations[at].fault.is_none();
            let wire = wires.downstream(intents[at].transfer.length_bytes, with_data);
            downlink.free_at = ready.max(downlink.free_at) + wire;
            downlink.busy_ps += wire.0;
            let time = downlink.free_at + wires.propagation;
            tags.give_back(time);
            if retirement.is_in_order() {
                retirement.note_back(row, time);
                continue;
            }
            completed[at] = Completed(time);
            done.push(row);
            if retirement.is_watched() {
                let vf = intents[at].vf;
                let queue = &mut queues[vf as usize];
                retirement.give_back(Retired { vf, sequence: sequence[at], time }, queue);
                uplink.wake_held(vf, queue);
            }
        }
        while let Some((row, op, Retired { vf, time, .. })) = retirement.retire_next(queues) {
            uplink.wake_held(vf, &queues[vf as usize]);
            if op == Op::Read {
                completed[row as usize] = Completed(time);
                done.push(row);
            }
        }
        progress.0 += served as u64;
    }
}
