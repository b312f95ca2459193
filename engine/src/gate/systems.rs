//! Issues what may issue.

use bevy_ecs::change_detection::ContiguousMut;
use bevy_ecs::prelude::*;

use super::components::{Arrival, Candidates, Credit, Refunds, Tag, Uplink, VfQueue};
use super::kernel::{Columns, Gate, Limits};
use crate::attribution::{DeviceWaits, DeviceWatch, GateWaits, LinkWaits, SplitSoFar};
use crate::device_tlb::DeviceTlb;
use crate::link::Issued;
use crate::memory::{Downlink, MemoryTimes, Retirement};
use crate::request::{Intent, Sequence};
use crate::schedule::Progress;
use crate::silence::Silence;
use crate::slices::{Slices, Turns};
use crate::topology::{columns_mut, optional_columns_mut};
use crate::translation::{Translation, Unobserved};
use crate::units::Picoseconds;

/// An adapter, as issuing reads and changes it.
type AdapterQuery<'w, 's> = Query<
    'w,
    's,
    (
        &'static mut Uplink,
        &'static mut Candidates,
        &'static mut Retirement,
        &'static Refunds<Credit>,
        &'static Refunds<Tag>,
        &'static Downlink,
        &'static mut DeviceTlb,
        &'static mut Silence,
        &'static mut Slices,
        Option<&'static mut LinkWaits>,
        Option<&'static mut DeviceWaits>,
    ),
>;

/// Lets every adapter issue as far as its horizon, credits, tags and slots reach.
pub fn issue_requests(
    memory: Single<&MemoryTimes>,
    mut adapters: AdapterQuery<'_, '_>,
    mut vfs: Query<&mut VfQueue>,
    mut requests: Query<(&Intent, &Sequence, &mut Issued, &mut Translation)>,
    mut waits: Query<(&mut GateWaits, Option<&mut SplitSoFar>)>,
    mut progress: ResMut<Progress>,
) {
    let mut queues = columns_mut!(vfs);
    let queues = queues.bypass_change_detection();
    let (intents, sequence, mut issued, mut translations) = columns_mut!(requests);
    let issued = issued.bypass_change_detection();
    let translations = translations.bypass_change_detection();
    let (mut waits, so_far) = optional_columns_mut!(waits).unzip();
    let waits = waits.as_mut().map(ContiguousMut::bypass_change_detection);
    let mut so_far = so_far.flatten();
    let mut so_far = so_far.as_mut().map(ContiguousMut::bypass_change_detection);
    let mut columns = Columns { intents, sequence, issued, translations, waits };
    for adapter in &mut adapters {
        let (mut uplink, mut candidates, mut retirement, credits, tags, downlink, mut tlb, ..) = adapter;
        let (.., silence, slices, link_waits, device_waits) = adapter;
        let (silence, slices) = (silence.into_inner(), slices.into_inner());
        let returns_from = downlink.returns_from(&uplink, &memory);
        let was_free_at = uplink.free_at;
        let mut gate = Gate {
            uplink: &mut uplink,
            candidates: &mut candidates,
            queues,
            limits: Limits { credits, tags },
            retirement: &mut retirement,
            returns_from,
            downlink,
            memory: **memory,
            switching: silence.get(),
            slicing: slices.get(),
        };
        if let Some(ats) = tlb.get() {
            let pauses = gate.switching.is_some();
            progress.moved += match (device_waits, so_far.as_deref_mut()) {
                (Some(mut waits), Some(so_far)) => {
                    let watch = DeviceWatch { waits: &mut waits, so_far };
                    if pauses {
                        gate.issue_through_tlb::<_, true>(ats, &mut columns, watch)
                    } else {
                        gate.issue_through_tlb::<_, false>(ats, &mut columns, watch)
                    }
                }
                _ if pauses => gate.issue_through_tlb::<_, true>(ats, &mut columns, Unobserved),
                _ => gate.issue_through_tlb::<_, false>(ats, &mut columns, Unobserved),
            };
            progress.waits = true;
            continue;
        }
        let sent = if gate.switching.is_some() {
            let lost = |gate: &Gate<'_>| gate.switching.as_ref().map_or(0, |switching| switching.lost.len());
            let before = lost(&gate);
            let sent = if gate.slicing.is_some() {
                gate.issue::<true, true>(&mut columns)
            } else {
                gate.issue::<true, false>(&mut columns)
            };
            progress.moved += (lost(&gate) - before) as u64;
            gate.note_frontier();
            gate.note_losses(columns.intents);
            sent
        } else {
            match gate.slicing.as_deref().map(|slicing| &slicing.turns) {
                None => gate.issue::<false, false>(&mut columns),
                Some(Turns::Clock(_)) => gate.issue::<false, true>(&mut columns),
                Some(Turns::Work(_)) => gate.issue_by_work(&mut columns),
            }
        };
        progress.moved += sent;
        progress.waits |= uplink.takes_turns || uplink.waits_for_returns();
        if was_free_at < uplink.warm_up {
            uplink.note_warm_up(sent, columns.issued);
        }
        if let (Some(mut link_waits), Some(waits)) = (link_waits, &mut columns.waits) {
            let columns = (columns.intents, &*columns.issued);
            note_waits(&mut link_waits, &uplink, silence, sent, columns, waits);
        }
    }
}

/// Notes what the last `sent` requests that left waited for.
fn note_waits(
    link_waits: &mut LinkWaits,
    uplink: &Uplink,
    silence: &Silence,
    sent: u64,
    (intents, issued): (&[Intent], &[Issued]),
    waits: &mut [GateWaits],
) {
    let in_flight = uplink.in_flight.waiting();
    for &Arrival { row, .. } in &in_flight[in_flight.len() - sent as usize..] {
        let (at, Intent { time, transfer, vf, .. }) = (row as usize, intents[row as usize]);
        let eligible = waits[at].eligible.max(time);
        let start = issued[at].0;
        let on_wire = (start, uplink.wires.upstream(transfer));
        let pauses = silence.0.as_deref().map(|switching| switching.pauses_of(vf));
        let paused = |from, to| pauses.map_or(Picoseconds::ZERO, |pauses| pauses.between(from, to));
        let held = eligible - time - paused(time, eligible);
        let credit = link_waits.send(eligible, transfer.op, on_wire, pauses);
        waits[at] = GateWaits { eligible: Picoseconds::ZERO, held, silence: paused(time, start), credit };
    }
}
