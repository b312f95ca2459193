//! Issues what may issue.

use bevy_ecs::prelude::*;

use super::components::{Candidates, Credit, Refunds, Tag, Uplink, VfQueue};
use super::kernel::{Limits, issue};
use crate::link::Issued;
use crate::request::Intent;
use crate::schedule::Progress;
use crate::topology::columns_mut;

/// Lets every adapter issue as far as its horizon, credits and tags reach.
pub fn issue_requests(
    mut adapters: Query<(&mut Uplink, &mut Candidates, &Refunds<Credit>, &Refunds<Tag>)>,
    mut vfs: Query<&mut VfQueue>,
    mut requests: Query<(&Intent, &mut Issued)>,
    mut progress: ResMut<Progress>,
) {
    let mut queues = columns_mut!(vfs);
    let queues = queues.bypass_change_detection();
    let (intents, mut issued) = columns_mut!(requests);
    let issued = issued.bypass_change_detection();
    for (mut uplink, mut candidates, credits, tags) in &mut adapters {
        let limits = Limits { credits, tags };
        progress.0 += issue(&mut uplink, &mut candidates, queues, limits, intents, issued);
    }
}
