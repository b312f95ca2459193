//! Issues what may issue.

use bevy_ecs::prelude::*;

use super::components::{Candidates, Credit, Refunds, Tag, Uplink, VfQueue};
use super::kernel::{Columns, Gate, Limits};
use crate::device_tlb::DeviceTlb;
use crate::link::Issued;
use crate::memory::{Downlink, MemoryTimes, Retirement};
use crate::request::{Intent, Sequence};
use crate::schedule::Progress;
use crate::topology::columns_mut;
use crate::translation::{ContextEntry, Translation};

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
    ),
>;

/// Lets every adapter issue as far as its horizon, credits, tags and slots reach.
pub fn issue_requests(
    memory: Single<&MemoryTimes>,
    mut adapters: AdapterQuery<'_, '_>,
    mut vfs: Query<(&mut VfQueue, &ContextEntry)>,
    mut requests: Query<(&Intent, &Sequence, &mut Issued, &mut Translation)>,
    mut progress: ResMut<Progress>,
) {
    let (mut queues, contexts) = columns_mut!(vfs);
    let queues = queues.bypass_change_detection();
    let (intents, sequence, mut issued, mut translations) = columns_mut!(requests);
    let issued = issued.bypass_change_detection();
    let translations = translations.bypass_change_detection();
    let mut columns = Columns { intents, sequence, issued, translations, contexts };
    for (mut uplink, mut candidates, mut retirement, credits, tags, downlink, mut tlb) in &mut adapters {
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
        };
        if let Some(ats) = tlb.get() {
            progress.moved += gate.issue_through_tlb(ats, &mut columns);
            progress.waits = true;
            continue;
        }
        let sent = gate.issue(&mut columns);
        progress.moved += sent;
        progress.waits |= uplink.waits_for_returns();
        if was_free_at < uplink.warm_up {
            uplink.note_warm_up(sent, columns.issued);
        }
    }
}
