//! Judges what was reached and books what is over.

use bevy_ecs::prelude::*;

use super::components::{ServiceTimes, VfBooks, Windows};
use super::log::RequestLog;
use crate::domain::{Owner, OwnerMap};
use crate::link::Issued;
use crate::memory::{Completed, CompletedRows};
use crate::request::{Intended, SourceVf, Transfer};
use crate::topology::{TenantOf, columns, columns_mut};
use crate::traffic::{Batch, Live};
use crate::translation::{LookupCounts, Reached, Resolution};
use crate::units::Picoseconds;

/// The owner map judges every piece that the translations of this batch reached.
pub fn audit(
    mut reached: Single<&mut Reached>,
    owners: Single<&OwnerMap>,
    mut vfs: Query<(&TenantOf, &mut VfBooks)>,
    requests: Query<&SourceVf>,
) {
    let (tenants, mut books) = columns_mut!(vfs);
    let books = books.bypass_change_detection();
    let source = columns!(requests);
    let mut last_row = u32::MAX;
    for piece in reached.0.drain(..) {
        let vf = source[piece.row as usize].0 as usize;
        let (tenant, books) = (tenants[vf], &mut books[vf]);
        books.audited += u64::from(piece.row != last_row);
        last_row = piece.row;
        let verdict = owners.judge(piece.segment.pa, piece.segment.length_bytes, Owner(tenant.vm));
        match verdict {
            Ok(()) => {}
            // The IOMMU guards the host, not one guest from another, where they share a domain.
            Err(Some(other)) if tenant.shares_domain_with(other.0) => books.cross_tenant += 1,
            Err(_) => books.breaches += 1,
        }
    }
}

/// Books every request that is over.
#[expect(clippy::type_complexity, reason = "the query is the stage's data flow")]
pub fn account(
    mut done: Single<&mut CompletedRows>,
    mut batch: ResMut<Batch>,
    host: Single<(&mut Windows, &mut ServiceTimes, &RequestLog)>,
    mut vfs: Query<&mut VfBooks>,
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
    let (mut windows, mut services, log) = host.into_inner();
    let mut books = columns_mut!(vfs);
    let books = books.bypass_change_detection();
    let (source, intended, transfer, issued, resolution, counts, completed, mut live) =
        columns_mut!(requests);
    let live = live.bypass_change_detection();
    batch.over += done.0.len() as u64;
    for row in done.0.drain(..) {
        let at = row as usize;
        let end = completed[at].0;
        let over = Over {
            op: transfer[at].op as usize,
            bytes: u64::from(transfer[at].length_bytes),
            completed: end,
            latency: end - intended[at].0,
            service: end - issued[at].0,
            fault: resolution[at].fault.map(|fault| fault as usize),
            lookups: counts[at].0,
        };
        book(&mut books[source[at].0 as usize], &over);
        services.0[over.op].record(over.service);
        let window = windows.at(end);
        match over.fault {
            None => {
                window.translated += 1;
                window.bytes[over.op] += over.bytes;
            }
            Some(_) => window.blocked += 1,
        }
        window.hits += u64::from(over.lookups.hits);
        window.misses += u64::from(over.lookups.misses);
        window.latency_sum_ps += u128::from(over.latency.0);
        window.latency_max = window.latency_max.max(over.latency);
        // A logged request lives on until its place in the log has come.
        live[at] = Live(log.on);
    }
}

/// A request that is over.
struct Over {
    op: usize,
    bytes: u64,
    completed: Picoseconds,
    latency: Picoseconds,
    service: Picoseconds,
    fault: Option<usize>,
    lookups: crate::translation::Lookups,
}

fn book(books: &mut VfBooks, over: &Over) {
    match over.fault {
        None => {
            books.translated[over.op] += 1;
            books.bytes[over.op] += over.bytes;
        }
        Some(fault) => {
            books.blocked[over.op] += 1;
            books.faults[fault] += 1;
        }
    }
    books.hits += u64::from(over.lookups.hits);
    books.misses += u64::from(over.lookups.misses);
    books.joined += u64::from(over.lookups.joined);
    books.last_completed = books.last_completed.max(over.completed);
    books.latency_sum_ps += u128::from(over.latency.0);
    books.latency_max = books.latency_max.max(over.latency);
    books.service_sum_ps += u128::from(over.service.0);
    books.service_max = books.service_max.max(over.service);
    books.latencies[over.op].record(over.latency);
}
