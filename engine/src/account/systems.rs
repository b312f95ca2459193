//! Judges what was reached and books what is over.

use bevy_ecs::prelude::*;

use super::breach::{Breach, BreachCause};
use super::components::{
    AuditPolicy, Audited, Over, ServiceTimes, Verdict, VfBooks, VfIncidents, VfLatencies, WarmUp, Windows,
};
use super::latencies::Place;
use super::log::RequestLog;
use super::tenant_windows::TenantWindows;
use crate::device_tlb::Route;
use crate::domain::{Owner, OwnerMap};
use crate::ids::PhysAddr;
use crate::invalidation::ControlPlane;
use crate::link::Issued;
use crate::memory::{Completed, CompletedRows};
use crate::request::{Intent, Sequence, Transfer};
use crate::topology::{TenantOf, columns, columns_mut};
use crate::traffic::{Batch, Live};
use crate::translation::{Arrivals, LookedUp, Reached, ReachedPiece, Segment, Translation};
use crate::units::Picoseconds;

/// The owner map judges every piece that the translations of this batch reached, and, whatever the policy, what was
/// forged: that no translation made, so that it is no breach.
pub fn audit(
    iommu: Single<(&AuditPolicy, &ControlPlane, &mut LookedUp, &mut Reached)>,
    host: Single<(&OwnerMap, &mut Audited, &WarmUp)>,
    mut vfs: Query<(&TenantOf, &mut VfIncidents)>,
    requests: Query<(&Intent, &Sequence, &Translation)>,
) {
    let (policy, control, mut looked_up, mut reached) = iommu.into_inner();
    let (owners, mut audited, warm_up) = host.into_inner();
    let (tenants, mut incidents) = columns_mut!(vfs);
    let (intents, sequence, translations) = columns!(requests);
    let (intents, sequence) = (&intents[..translations.len()], &sequence[..translations.len()]);
    let incidents = incidents.bypass_change_detection();
    let first_breach = &mut audited.first_breach;
    let mut auditor = Auditor { owners, tenants, incidents, intents, sequence, translations, first_breach };
    auditor.pieces(&reached.0);
    reached.0.clear();
    let explained = control.0.is_some() || looked_up.with_answers.is_some();
    let judged = if explained {
        auditor.rows::<true>(*policy, &looked_up.rows)
    } else {
        auditor.rows::<false>(*policy, &looked_up.rows)
    };
    if looked_up.any_forged {
        auditor.forged(warm_up, &looked_up.rows);
    }
    looked_up.rows.clear();
    audited.translations += judged;
}

/// Judges what was reached.
struct Auditor<'a> {
    owners: &'a OwnerMap,
    tenants: &'a [TenantOf],
    incidents: &'a mut [VfIncidents],
    intents: &'a [Intent],
    sequence: &'a [Sequence],
    translations: &'a [Translation],
    first_breach: &'a mut Option<Breach>,
}

impl Auditor<'_> {
    /// Whether a VF may reach this.
    #[inline]
    fn judge(&self, vf: u32, segment: Segment) -> Verdict {
        let tenant = &self.tenants[vf as usize];
        match self.owners.judge(segment.pa, segment.length_bytes, Owner(tenant.vm)) {
            Ok(()) => Verdict::Own,
            // The IOMMU guards the host, not one guest from another, where they share a domain.
            Err(Some(other)) if tenant.shares_domain_with(other.0) => Verdict::CrossTenant,
            Err(_) => Verdict::Breach,
        }
    }

    /// Judges DMAs of several pieces. Such a one counts once, as the worst of them.
    fn pieces(&mut self, reached: &[ReachedPiece]) {
        for pieces in reached.chunk_by(|piece, next| piece.row == next.row) {
            let at = pieces[0].row as usize;
            if self.translations[at].stale {
                // What it reaches is explained already.
                continue;
            }
            let vf = self.intents[at].vf;
            let worst = pieces.iter().map(|piece| self.judge(vf, piece.segment)).max().unwrap_or_default();
            self.incidents[vf as usize].note(worst);
            for piece in pieces.iter().filter(|_| worst == Verdict::Breach) {
                if self.judge(vf, piece.segment) == Verdict::Breach {
                    self.note_breach(at, piece.segment);
                }
            }
        }
    }

    /// Judges DMAs of one piece; returns how many DMAs there were to be judged, whatever their pieces. Without
    /// `EXPLAINED` nothing is stale, and no device has translated anything itself.
    #[inline(always)]
    fn rows<const EXPLAINED: bool>(&mut self, policy: AuditPolicy, rows: &[u32]) -> u64 {
        let mut judged = 0;
        for &row in rows {
            let at = row as usize;
            let Translation { address, fault, lookups, route, stale, .. } = self.translations[at];
            // What the device translated reaches memory by one leaf, whatever was looked up for it. Nothing was looked
            // up for what is forged.
            let translated = EXPLAINED && route == Route::Translated;
            let pieces = if translated { 1 } else { lookups.hits + lookups.misses };
            // Without an IOMMU nothing is guarded; streaming mappings were judged at their look-ups.
            let guarded = pieces > 0 && !self.tenants[self.intents[at].vf as usize].streams;
            if fault.is_some() || !guarded || !policy.judges(self.sequence[at].0) {
                continue;
            }
            judged += 1;
            // What has several pieces was judged piece by piece.
            if pieces == 1 && !(EXPLAINED && stale) {
                let Intent { transfer, vf, .. } = self.intents[at];
                let length_bytes = u64::from(transfer.length_bytes);
                let segment = Segment { pa: PhysAddr(address), length_bytes };
                let verdict = self.judge(vf, segment);
                if verdict != Verdict::Own {
                    self.note(at, verdict, segment);
                }
            }
        }
        judged
    }

    /// A DMA of one piece reached what is not its tenant's own.
    #[cold]
    #[inline(never)]
    fn note(&mut self, at: usize, verdict: Verdict, segment: Segment) {
        self.incidents[self.intents[at].vf as usize].note(verdict);
        if verdict == Verdict::Breach {
            self.note_breach(at, segment);
        }
    }

    /// Keeps what the DMA of a row broke by reaching this, if nothing was broken earlier.
    #[cold]
    fn note_breach(&mut self, at: usize, Segment { pa, length_bytes }: Segment) {
        let vf = self.intents[at].vf;
        let owner = Owner(self.tenants[vf as usize].vm);
        let other = self.owners.judge(pa, length_bytes, owner).err().flatten();
        let cause = other.map_or(BreachCause::NoTenantsFrame, |Owner(vm)| BreachCause::OthersFrame(vm));
        let breach = Breach::new(self.translations[at].known_at, vf, pa, cause);
        *self.first_breach = Some(breach.or_earlier(*self.first_breach));
    }

    /// Counts what was forged, and what of it reached others.
    fn forged(&mut self, warm_up: &WarmUp, rows: &[u32]) {
        for &row in rows {
            let (at, Intent { time, transfer, vf, .. }) = (row as usize, self.intents[row as usize]);
            let Translation { address, fault, route, .. } = self.translations[at];
            if route == Route::Forged && time >= warm_up.until {
                let (pa, length_bytes) = (PhysAddr(address), u64::from(transfer.length_bytes));
                let owner = Owner(self.tenants[vf as usize].vm);
                let foreign = fault.is_none() && self.owners.judge(pa, length_bytes, owner).is_err();
                let incidents = &mut self.incidents[vf as usize];
                incidents.forged += 1;
                incidents.forged_foreign += u64::from(foreign);
            }
        }
    }
}

/// Rows that are booked together: what they touch is asked for before the first is booked.
const BLOCK: usize = 32;

/// Takes out the rows that do not count. Off the way of a run without a warm-up.
#[cold]
#[inline(never)]
fn take_out(rows: &mut Vec<u32>, mut is_left_out: impl FnMut(u32) -> bool) {
    rows.retain(|row| !is_left_out(*row));
}

/// Books every request that is over, but for those of the warm-up.
pub fn account(
    iommu: Single<(&mut CompletedRows, &Arrivals, &ControlPlane)>,
    mut batch: ResMut<Batch>,
    host: Single<(&mut Windows, &mut VfLatencies, &mut ServiceTimes, &mut WarmUp, &RequestLog)>,
    mut tenant_windows: Single<&mut TenantWindows>,
    mut vfs: Query<(&mut VfBooks, &mut VfIncidents)>,
    mut requests: Query<(&Intent, &Issued, &Translation, &Completed, &mut Live)>,
) {
    let (mut windows, mut latencies, mut services, mut warm_up, log) = host.into_inner();
    let (windows, latencies, services) = (&mut *windows, &mut latencies.0, &mut services.0);
    let (mut books, mut incidents) = columns_mut!(vfs);
    let (books, incidents) = (books.bypass_change_detection(), incidents.bypass_change_detection());
    let (intents, issued, translations, completed, mut live) = columns_mut!(requests);
    let rows = batch.rows as usize;
    let (intents, issued, translations) = (&intents[..rows], &issued[..rows], &translations[..rows]);
    let (completed, live) = (&completed[..rows], &mut live.bypass_change_detection()[..rows]);
    // A logged request lives on until its place in the log has come.
    let lives_on = Live(log.on);
    let (mut done, arrivals, control) = iommu.into_inner();
    let done = &mut done.0;
    batch.over += done.len() as u64;
    batch.over_since_reuse += done.len() as u64;
    if warm_up.until > Picoseconds::ZERO {
        let is_left_out = |row: u32| {
            let (at, Intent { time, vf, .. }) = (row as usize, intents[row as usize]);
            let left_out = time < warm_up.until;
            if left_out {
                live[at] = lives_on;
                warm_up.leave_out(&mut incidents[vf as usize], completed[at].0);
            }
            left_out
        };
        take_out(done, is_left_out);
    }
    if let Some(crashes) = control.0.as_deref().and_then(|control| control.crashes.as_ref()) {
        let is_aborted = |row: u32| {
            let (at, Intent { time, vf, .. }) = (row as usize, intents[row as usize]);
            let aborted = crashes.aborts(time, completed[at].0);
            if aborted {
                live[at] = lives_on;
                incidents[vf as usize].aborted += 1;
                warm_up.last_completed = warm_up.last_completed.max(completed[at].0);
            }
            aborted
        };
        take_out(done, is_aborted);
    }
    let mut places = [Place::default(); BLOCK];
    for block in done.chunks(BLOCK) {
        for (&row, place) in block.iter().zip(&mut places) {
            let Intent { time, transfer, vf, .. } = intents[row as usize];
            let latency = completed[row as usize].0 - time;
            *place = latencies.place(VfLatencies::histogram(vf, transfer.op), latency);
            latencies.prefetch(*place);
            books[vf as usize].prefetch();
        }
        for (&row, &place) in block.iter().zip(&places) {
            let at = row as usize;
            let Intent { time, transfer: Transfer { length_bytes, op }, vf, .. } = intents[at];
            let Translation { lookups, fault, .. } = translations[at];
            let end = completed[at].0;
            live[at] = lives_on;
            let over =
                Over { op, length_bytes, lookups, end, latency: end - time, service: end - issued[at].0 };
            if let Some(fault) = fault {
                let incidents = &mut incidents[vf as usize];
                incidents.blocked[op as usize] += 1;
                incidents.faults[fault as usize] += 1;
            }
            books[vf as usize].add(&over, fault.is_none());
            windows.at(end).add(&over, fault.is_none());
            latencies.count(place);
            services.count(services.place(op as usize, over.service));
        }
    }
    if tenant_windows.are_on() {
        for &row in &*done {
            let at = row as usize;
            let Intent { time, transfer: Transfer { length_bytes, op }, vf, .. } = intents[at];
            let Translation { lookups, fault, .. } = translations[at];
            let end = completed[at].0;
            let over =
                Over { op, length_bytes, lookups, end, latency: end - time, service: end - issued[at].0 };
            tenant_windows.count(vf, &over, fault.is_none());
        }
    }
    if arrivals.of_device_tlbs {
        for &row in &*done {
            let at = row as usize;
            incidents[intents[at].vf as usize].device_tlb[translations[at].device_tlb as usize] += 1;
        }
    }
    done.clear();
}
