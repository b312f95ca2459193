//! Issues what may issue.

use bevy_ecs::prelude::*;

use super::components::{Candidates, Credit, Refunds, Tag, Uplink, VfQueue};
use super::kernel::{Columns, Gate, Limits};
use crate::link::Issued;
use crate::memory::{Downlink, MemoryTimes, Retirement};
use crate::request::{Intent, Sequence};
use crate::schedule::Progress;
use crate::topology::columns_mut;

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
    ),
>;

/// Lets every adapter issue as far as its horizon, credits, tags and slots reach.
pub fn issue_requests(
    memory: Single<&MemoryTimes>,
    mut adapters: AdapterQuery<'_, '_>,
    mut vfs: Query<&mut VfQueue>,
    mut requests: Query<(&Intent, &Sequence, &mut Issued)>,
    mut progress: ResMut<Progress>,
) {
    let mut queues = columns_mut!(vfs);
    let queues = queues.bypass_change_detection();
    let (intents, sequence, mut issued) = columns_mut!(requests);
    let mut columns = Columns { intents, sequence, issued: issued.bypass_change_detection() };
    for (mut uplink, mut candidates, mut retirement, credits, tags, downlink) in &mut adapters {
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
        let sent = gate.issue(&mut columns);
        progress.moved += sent;
        progress.waits |= uplink.waits_for_returns();
        if was_free_at < uplink.warm_up {
            uplink.note_warm_up(sent, columns.issued);
        }
    }
}
