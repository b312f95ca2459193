//! The log of requests: a pass of its own, in the order of the look-ups.

use std::collections::VecDeque;

use bevy_ecs::prelude::*;

use super::rows::RequestRow;
use crate::attribution::{Attribution, Cause, Splits};
use crate::crash::HeldBack;
use crate::device_tlb::Route;
use crate::invalidation::ControlPlane;
use crate::link::Issued;
use crate::memory::Completed;
use crate::request::{Intent, Sequence};
use crate::table::Table;
use crate::topology::{Place, columns_mut};
use crate::traffic::Live;
use crate::translation::{LookupBound, Translation};
use crate::units::Picoseconds;

/// Requests that were looked up and are not yet logged, on the host.
#[derive(Component, Clone, Debug)]
pub struct RequestLog {
    /// Whether requests are logged at all.
    pub on: bool,
    /// Rows in the order of their look-ups.
    pub rows: VecDeque<u32>,
    /// Length of a slice of simulated time: the unit in which the worlds' logs are merged.
    pub slice: Picoseconds,
    /// Logged requests by the slice of their look-up, the first first.
    pub slices: VecDeque<(u64, Table)>,
    /// What the world holds.
    pub place: Place,
}

impl RequestLog {
    /// An empty log.
    #[must_use]
    pub fn new(on: bool, slice: Picoseconds, place: Place) -> Self {
        Self { on, rows: VecDeque::new(), slice, slices: VecDeque::new(), place }
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
pub fn log_requests(
    log: Single<(&mut RequestLog, &Attribution, &HeldBack)>,
    iommu: Single<(&LookupBound, &ControlPlane)>,
    mut requests: Query<(&Intent, &Sequence, &Issued, &Translation, &Completed, &mut Live)>,
    splits: Splits<'_, '_>,
) {
    let (mut log, attribution, held_back) = log.into_inner();
    let (bound, control) = iommu.into_inner();
    let crashes = control.0.as_deref().and_then(|control| control.crashes.as_ref());
    if !log.on {
        return;
    }
    let splits = splits.columns().filter(|_| attribution.latency);
    let (intents, sequence, issued, translations, completed, mut live) = columns_mut!(requests);
    let live = live.bypass_change_detection();
    while let Some(&row) = log.rows.front() {
        let at = row as usize;
        if completed[at] == Completed::default() || (held_back.0.is_some() && completed[at].0 >= bound.0) {
            return;
        }
        log.rows.pop_front();
        live[at] = Live(false);
        let Intent { time, iova, transfer, vf, .. } = intents[at];
        let Translation { looked_up_at, known_at, address, lookups, fault, stale, device_tlb, route } =
            translations[at];
        let Place { host, iommu, .. } = log.place;
        let (adapter, vf) = log.place.name_of(vf);
        let aborted = crashes.is_some_and(|crashes| crashes.aborts(time, completed[at].0));
        let split = splits.as_ref().map(|splits| splits.split(row));
        let time_of = |cause| split.map(|split| split.of(cause));
        log.slice_at(looked_up_at).push(RequestRow {
            host: host.0,
            iommu: iommu.0,
            adapter,
            vf,
            sequence: sequence[at].0,
            iova: iova.0,
            length: transfer.length_bytes,
            op: transfer.op.letter(),
            intended_ps: time.0,
            issued_ps: issued[at].0.0,
            translated_ps: known_at.0,
            completed_ps: completed[at].0.0,
            outcome: match fault {
                _ if aborted => "aborted",
                None => "translated",
                Some(_) => "blocked",
            },
            fault: fault.map(crate::request::Fault::name),
            fault_iova: fault.map(|_| address),
            pa: fault.is_none().then_some(address),
            iotlb_hits: lookups.hits,
            iotlb_misses: lookups.misses,
            stale: u32::from(stale),
            device_tlb: if route == Route::Forged { Some("forged") } else { device_tlb.name() },
            held_ps: time_of(Cause::Held),
            silence_ps: time_of(Cause::Silence),
            device_tlb_ps: time_of(Cause::DeviceTlb),
            credit_ps: time_of(Cause::Credit),
            link_ps: time_of(Cause::Link),
            iotlb_ps: time_of(Cause::Iotlb),
            walk_queue_ps: time_of(Cause::WalkQueue),
            walk_ps: time_of(Cause::Walk),
            invalidation_ps: time_of(Cause::Invalidation),
            memory_ps: time_of(Cause::Memory),
            retirement_ps: time_of(Cause::Retirement),
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
    for &row in looked_up.in_last_pass() {
        completed[row as usize] = Completed::default();
        log.rows.push_back(row);
    }
}
