//! Judges what was reached and books what is over.

use bevy_ecs::prelude::*;

use super::components::{Audited, ServiceTimes, VfBooks, VfIncidents, VfLatencies, Windows};
use super::latencies::Latencies;
use super::log::RequestLog;
use crate::domain::{Owner, OwnerMap};
use crate::link::Issued;
use crate::memory::{Completed, CompletedRows};
use crate::prefetch::prefetch;
use crate::request::{Intended, SourceVf, Transfer};
use crate::topology::{TenantOf, columns, columns_mut};
use crate::traffic::{Batch, Live};
use crate::translation::{LookupCounts, Reached, Resolution};

/// The owner map judges every piece that the translations of this batch reached.
pub fn audit(
    mut reached: Single<&mut Reached>,
    host: Single<(&OwnerMap, &mut Audited)>,
    mut vfs: Query<(&TenantOf, &mut VfIncidents)>,
    requests: Query<&SourceVf>,
) {
    let (owners, mut audited) = host.into_inner();
    let (tenants, mut incidents) = columns_mut!(vfs);
    let incidents = incidents.bypass_change_detection();
    let source = columns!(requests);
    let mut last_row = u32::MAX;
    for piece in reached.0.drain(..) {
        audited.0 += u64::from(piece.row != last_row);
        last_row = piece.row;
        let vf = source[piece.row as usize].0 as usize;
        let tenant = &tenants[vf];
        let verdict = owners.judge(piece.segment.pa, piece.segment.length_bytes, Owner(tenant.vm));
        match verdict {
            Ok(()) => {}
            // The IOMMU guards the host, not one guest from another, where they share a domain.
            Err(Some(other)) if tenant.shares_domain_with(other.0) => incidents[vf].cross_tenant += 1,
            Err(_) => incidents[vf].breaches += 1,
        }
    }
}

/// Rows whose books are asked for in advance.
const ROWS_AHEAD: usize = 24;

/// Books every request that is over.
#[expect(clippy::type_complexity, reason = "the query is the stage's data flow")]
pub fn account(
    mut done: Single<&mut CompletedRows>,
    mut batch: ResMut<Batch>,
    host: Single<(&mut Windows, &mut VfLatencies, &mut ServiceTimes, &RequestLog)>,
    mut vfs: Query<(&mut VfBooks, &mut VfIncidents)>,
    mut requests: Query<(
        &SourceVf,
        &Intended,
        &Transfer,
        &Issued,
        &Resolution,
        &LookupCounts,
        &Completed,
        &mut Live,
    )>,
) {
    let (mut windows, mut latencies, mut services, log) = host.into_inner();
    let (latencies, services) = (&mut latencies.0, &mut services.0);
    let (mut books, mut incidents) = columns_mut!(vfs);
    let (books, incidents) = (books.bypass_change_detection(), incidents.bypass_change_detection());
    let (source, intended, transfer, issued, resolution, counts, completed, mut live) =
        columns_mut!(requests);
    let live = live.bypass_change_detection();
    let latency_of = |row: u32| {
        let at = row as usize;
        let latency = completed[at].0 - intended[at].0;
        let histogram = VfLatencies::histogram(source[at].0, transfer[at].op);
        (latency, Latencies::place(histogram, latency))
    };
    batch.over += done.0.len() as u64;
    for (number, &row) in done.0.iter().enumerate() {
        if let Some(&ahead) = done.0.get(number + ROWS_AHEAD) {
            prefetch_books(&books[source[ahead as usize].0 as usize]);
            latencies.prefetch(latency_of(ahead).1);
        }
        let at = row as usize;
        let Transfer { length_bytes, op } = transfer[at];
        let vf = source[at].0 as usize;
        let end = completed[at].0;
        let (latency, place) = latency_of(row);
        let service = end - issued[at].0;
        let lookups = counts[at].0;
        let books = &mut books[vf];
        let window = windows.at(end);
        if let Some(fault) = resolution[at].fault {
            let incidents = &mut incidents[vf];
            incidents.blocked[op as usize] += 1;
            incidents.faults[fault as usize] += 1;
            window.blocked += 1;
        } else {
            books.translated[op as usize] += 1;
            books.bytes[op as usize] += u64::from(length_bytes);
            window.translated += 1;
            window.bytes[op as usize] += u64::from(length_bytes);
        }
        books.hits += u64::from(lookups.hits);
        books.misses += u64::from(lookups.misses);
        books.joined += u64::from(lookups.joined);
        books.last_completed = books.last_completed.max(end);
        books.latency_sum_ps += u128::from(latency.0);
        books.latency_max = books.latency_max.max(latency);
        books.service_sum_ps += u128::from(service.0);
        books.service_max = books.service_max.max(service);
        latencies.count(place);
        services.count(Latencies::place(op as usize, service));
        window.hits += u64::from(lookups.hits);
        window.misses += u64::from(lookups.misses);
        window.latency_sum_ps += u128::from(latency.0);
        window.latency_max = window.latency_max.max(latency);
        // A logged request lives on until its place in the log has come.
        live[at] = Live(log.on);
    }
    done.0.clear();
}

#[inline]
fn prefetch_books(books: &VfBooks) {
    let first = (&raw const *books).cast::<u8>();
    prefetch(first);
    prefetch(first.wrapping_add(64));
}
