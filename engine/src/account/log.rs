//! The log of requests: a pass of its own, in the order of the look-ups.

use std::collections::VecDeque;

use bevy_ecs::prelude::*;

use super::rows::RequestRow;
use crate::link::Issued;
use crate::memory::Completed;
use crate::request::{Address, Intended, Sequence, SourceVf, Transfer};
use crate::table::Table;
use crate::topology::columns_mut;
use crate::traffic::Live;
use crate::translation::{LookedUpAt, LookupCounts, Resolution, Translated};
use crate::units::Picoseconds;

/// Requests that were looked up and are not yet logged, on the host.
#[derive(Component, Clone, Debug)]
pub struct RequestLog {
    /// Whether requests are logged at all.
    pub on: bool,
    /// Rows in the order of their look-ups.
    pub rows: VecDeque<u32>,
    /// Length of a slice of simulated time: the unit in which the hosts' logs are merged.
    pub slice: Picoseconds,
    /// Logged requests by the slice of their look-up, the first first.
    pub slices: VecDeque<(u64, Table)>,
    /// The host.
    pub host: u32,
    /// VFs an adapter.
    pub vfs_per_adapter: u32,
}

impl RequestLog {
    /// An empty log.
    #[must_use]
    pub fn new(on: bool, slice: Picoseconds, host: u32, vfs_per_adapter: u32) -> Self {
        Self { on, rows: VecDeque::new(), slice, slices: VecDeque::new(), host, vfs_per_adapter }
    }

    fn slice_at(&mut self, time: Picoseconds) -> &mut Table {
        let number = time.0 / self.slice.0;
        if self.slices.back().is_none_or(|(last, _)| *last != number) {
            self.slices.push_back((number, Table::new::<RequestRow>()));
        }
        &mut self.slices.back_mut().expect("just pushed").1
    }
}

/// Logs the requests that are over, up to the first in the order of look-ups that is not, and ends
/// their lives.
#[expect(clippy::type_complexity, reason = "the query is the stage's data flow")]
pub fn log_requests(
    mut log: Single<&mut RequestLog>,
    mut requests: Query<(
        &SourceVf,
        &Sequence,
        &Intended,
        &Address,
        &Transfer,
        &Issued,
        &LookedUpAt,
        &Translated,
        &Resolution,
        &LookupCounts,
        &Completed,
        &mut Live,
    )>,
) {
    if !log.on {
        return;
    }
    let (
        source,
        sequence,
        intended,
        address,
        transfer,
        issued,
        looked_up_at,
        translated,
        resolution,
        counts,
        completed,
        mut live,
    ) = columns_mut!(requests);
    let live = live.bypass_change_detection();
    while let Some(&row) = log.rows.front() {
        let at = row as usize;
        if completed[at] == Completed::default() {
            return;
        }
        log.rows.pop_front();
        live[at] = Live(false);
        let Resolution { address: reached, fault } = resolution[at];
        let (host, vfs) = (log.host, log.vfs_per_adapter);
        log.slice_at(looked_up_at[at].0).push(RequestRow {
            host,
            adapter: source[at].0 / vfs,
            vf: source[at].0 % vfs,
            sequence: sequence[at].0,
            iova: address[at].0.0,
            length: transfer[at].length_bytes,
            op: transfer[at].op.letter(),
            intended_ps: intended[at].0.0,
            issued_ps: issued[at].0.0,
            translated_ps: translated[at].0.0,
            completed_ps: completed[at].0.0,
            outcome: if fault.is_none() { "translated" } else { "blocked" },
            fault: fault.map(crate::request::Fault::name),
            fault_iova: fault.map(|_| reached),
            pa: fault.is_none().then_some(reached),
            iotlb_hits: counts[at].0.hits,
            iotlb_misses: counts[at].0.misses,
            stale: 0,
        });
    }
}

/// Notes the order of the look-ups; part of the flow, and only where requests are logged.
pub fn note_order(
    looked_up: Single<&crate::translation::LookedUp>,
    mut log: Single<&mut RequestLog>,
    mut completed: Query<&mut Completed>,
) {
    if !log.on {
        return;
    }
    let mut completed = columns_mut!(completed);
    let completed = completed.bypass_change_detection();
    for &row in &looked_up.0 {
        completed[row as usize] = Completed::default();
        log.rows.push_back(row);
    }
}
