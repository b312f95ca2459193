//! Issues the requests of one adapter, as far as is known.

use super::components::{Candidates, Credit, Grant, Halt, Refunds, Tag, Uplink, VfQueue};
use crate::link::Issued;
use crate::request::{Intent, Op};
use crate::units::Picoseconds;

/// What an adapter's requests wait for.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Flow credits of the link.
    pub credits: &'a Refunds<Credit>,
    /// Read tags of the device.
    pub tags: &'a Refunds<Tag>,
}

/// Issues every request of the adapter whose start is known and lies before the horizon; returns how many.
///
/// At one instant, new requests enter their queues before the link takes one out; a request that a
/// full queue held enters when its place is vacated, behind those.
pub fn issue(
    uplink: &mut Uplink,
    candidates: &mut Candidates,
    queues: &mut [VfQueue],
    limits: Limits<'_>,
    intents: &[Intent],
    issued: &mut [Issued],
) -> u64 {
    let before = uplink.sent;
    uplink.halt = loop {
        if uplink.fifo.waiting().is_empty()
            && let Some(halt) = issue_unqueued(uplink, candidates, limits, intents, issued)
        {
            break halt;
        }
        let first = uplink.fifo.waiting().first().copied();
        let Some((eligible, row)) = first.or_else(|| admit_first(uplink, candidates, queues, intents)) else {
            break Halt::Horizon;
        };
        let Intent { transfer, vf, .. } = intents[row as usize];
        let start = match earliest_start(uplink, limits, eligible, transfer.op) {
            Ok(start) => start,
            Err(halt) => break halt,
        };
        admit_until(start, uplink, candidates, queues, intents);
        if start >= candidates.horizon {
            break Halt::Horizon;
        }
        uplink.fifo.take_first();
        let queue = &mut queues[vf as usize];
        queue.queued -= 1;
        if let Some(released) = queue.stalled.pop_front() {
            queue.queued += 1;
            uplink.fifo.push((start, released));
        }
        if queue.lagging && queue.stalled.is_empty() {
            // What the source holds back would enter next, and is not here yet.
            candidates.horizon = candidates.horizon.min(start);
        }
        issued[row as usize] = Issued(start);
        uplink.send(start, transfer, row);
    };
    uplink.sent - before
}

/// When a request eligible since `eligible` can start, or what it waits for.
#[inline(always)]
fn earliest_start(
    uplink: &Uplink,
    limits: Limits<'_>,
    eligible: Picoseconds,
    op: Op,
) -> Result<Picoseconds, Halt> {
    let mut start = eligible.max(uplink.free_at).max(uplink.limits.earliest(op));
    match limits.credits.grant(uplink.sent) {
        Grant::From(time) => start = start.max(time),
        Grant::Unknown => return Err(Halt::Credits),
    }
    if op == Op::Read {
        match limits.tags.grant(uplink.reads_sent) {
            Grant::From(time) => start = start.max(time),
            Grant::Unknown => return Err(Halt::Tags),
        }
    }
    Ok(start)
}

/// Issues candidates one after the other while the queues are as good as empty: fewer requests wait
/// than one queue holds, so none can be full, and the FIFO is the order of the candidates. Returns
/// why it issued no more, or `None` where queues must be looked at.
fn issue_unqueued(
    uplink: &mut Uplink,
    candidates: &mut Candidates,
    limits: Limits<'_>,
    intents: &[Intent],
    issued: &mut [Issued],
) -> Option<Halt> {
    let intents = &intents[..issued.len()];
    let rows = &candidates.rows[candidates.admitted..];
    let least_entries = uplink.least_queue_entries as usize;
    let horizon = candidates.horizon;
    let mut taken = 0;
    let halt = loop {
        let Some(&row) = rows.get(taken) else { break Some(Halt::Horizon) };
        let Intent { time, transfer, .. } = intents[row as usize];
        let start = match earliest_start(uplink, limits, time, transfer.op) {
            Ok(start) if start < horizon => start,
            Ok(_) => break Some(Halt::Horizon),
            Err(halt) => break Some(halt),
        };
        if let Some(&behind) = rows.get(taken + least_entries)
            && intents[behind as usize].time <= start
        {
            break None;
        }
        taken += 1;
        issued[row as usize] = Issued(start);
        uplink.send(start, transfer, row);
    };
    candidates.admitted += taken;
    halt
}

/// Puts the next candidate into the empty FIFO, if it is known to be the next.
fn admit_first(
    uplink: &mut Uplink,
    candidates: &mut Candidates,
    queues: &mut [VfQueue],
    intents: &[Intent],
) -> Option<(Picoseconds, u32)> {
    let row = *candidates.rows.get(candidates.admitted)?;
    let intended = intents[row as usize].time;
    if intended >= candidates.horizon {
        return None;
    }
    candidates.admitted += 1;
    queues[intents[row as usize].vf as usize].queued += 1;
    uplink.fifo.push((intended, row));
    Some((intended, row))
}

/// Lets every candidate intended at or before `start` into its queue, or leaves it to its source
/// where the queue is full.
#[inline]
fn admit_until(
    start: Picoseconds,
    uplink: &mut Uplink,
    candidates: &mut Candidates,
    queues: &mut [VfQueue],
    intents: &[Intent],
) {
    while let Some(&row) = candidates.rows.get(candidates.admitted) {
        let intended = intents[row as usize].time;
        if intended > start || intended >= candidates.horizon {
            return;
        }
        candidates.admitted += 1;
        let queue = &mut queues[intents[row as usize].vf as usize];
        if queue.queued < queue.entries {
            queue.queued += 1;
            uplink.fifo.push((intended, row));
        } else {
            queue.stalls += 1;
            queue.stalled.push_back(row);
        }
    }
}
