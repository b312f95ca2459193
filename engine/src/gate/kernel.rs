//! Issues the requests of one adapter, as far as is known.

use super::components::{Arrival, Candidates, Credit, Grant, Halt, Refunds, Tag, Uplink, VfQueue};
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
    issued: &mut [crate::link::Issued],
) -> u64 {
    let before = uplink.sent;
    uplink.halt = loop {
        let first = uplink.fifo.waiting().first().copied();
        let Some((eligible, row)) = first.or_else(|| admit_first(uplink, candidates, queues, intents)) else {
            break Halt::Horizon;
        };
        let transfer = intents[row as usize].transfer;
        let is_read = transfer.op == Op::Read;
        let mut start = eligible.max(uplink.free_at).max(uplink.limits.earliest(transfer.op));
        match limits.credits.grant(uplink.sent) {
            Grant::From(time) => start = start.max(time),
            Grant::Unknown => break Halt::Credits,
        }
        if is_read {
            match limits.tags.grant(uplink.reads_sent) {
                Grant::From(time) => start = start.max(time),
                Grant::Unknown => break Halt::Tags,
            }
        }
        admit_until(start, uplink, candidates, queues, intents);
        if start >= candidates.horizon {
            break Halt::Horizon;
        }
        uplink.fifo.take_first();
        let queue = &mut queues[intents[row as usize].vf as usize];
        queue.queued -= 1;
        if let Some(released) = queue.stalled.pop_front() {
            queue.queued += 1;
            uplink.fifo.push((start, released));
        }
        if queue.lagging && queue.stalled.is_empty() {
            // What the source holds back would enter next, and is not here yet.
            candidates.horizon = candidates.horizon.min(start);
        }
        let wire = uplink.wires.upstream(transfer);
        uplink.limits.start(transfer.op, start);
        uplink.free_at = start + wire;
        uplink.busy_ps += wire.0;
        uplink.sent += 1;
        uplink.reads_sent += u64::from(is_read);
        issued[row as usize] = crate::link::Issued(start);
        let time = uplink.free_at + uplink.wires.propagation;
        uplink.in_flight.push(Arrival { time, row });
    };
    uplink.sent - before
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
