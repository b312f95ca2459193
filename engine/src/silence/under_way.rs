//! What is under way where nothing stops requests from leaving: then a device is drained only when by chance nothing is.

use std::collections::VecDeque;

use super::components::Sent;
use super::in_device::Left;
use super::kernel::LinkState;
use crate::request::Op;
use crate::units::Picoseconds;

/// A request that has left.
#[derive(Clone, Copy, Debug)]
struct Request {
    sent: Sent,
    /// When it is over, once that is known.
    over: Option<Picoseconds>,
    /// Whether it is in a device with a TLB: then it is not known when it has left.
    in_device: bool,
    /// It is over at or after this time.
    over_from: Picoseconds,
}

/// The requests of a unit in the order in which they left, as far back as it may matter.
#[derive(Clone, Debug, Default)]
pub struct UnderWay {
    requests: VecDeque<Request>,
    /// Writes before them that are not in memory as far as is known.
    flushing: VecDeque<Request>,
    /// When the last of those before them was back, or had left.
    busy_until: Picoseconds,
    /// When the last write of those before them was in memory.
    written: Picoseconds,
}

/// When a unit had nothing under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// At this time, when the writes that had left were in memory at the second.
    At(Picoseconds, Picoseconds),
    /// Not before these times; the first is it where the device is drained.
    NotBefore {
        /// Nothing under way.
        idle: Picoseconds,
        /// The writes that had left in memory.
        written: Picoseconds,
        /// Whether only the second may be later.
        is_drained: bool,
    },
}

impl UnderWay {
    /// A request has left.
    pub fn push(&mut self, sent: Sent) {
        self.requests.push_back(Request { sent, over: None, in_device: false, over_from: sent.arrives_at });
    }

    /// A device with a TLB takes a request up.
    pub fn take_up(&mut self, sent: Sent) {
        self.requests.push_back(Request { sent, over: None, in_device: true, over_from: sent.start });
    }

    /// A translation request leaves such a device, or the request itself.
    pub fn note_left(&mut self, left: &Left) {
        let is_it =
            |request: &&mut Request| (request.sent.vf, request.sent.sequence) == (left.vf, left.sequence);
        let Some(request) = self.flushing.iter_mut().chain(&mut self.requests).find(is_it) else { return };
        request.sent.number = left.number;
        request.over_from = request.over_from.max(left.arrives_at);
        if !left.asks {
            request.in_device = false;
            request.sent.left_at = left.left_at;
        }
    }

    /// A request is over at `over_from` or later; at that very time where `is_known`.
    pub fn note(&mut self, vf: u32, sequence: u64, over_from: Picoseconds, is_known: bool) {
        let is_it = |request: &&mut Request| (request.sent.vf, request.sent.sequence) == (vf, sequence);
        let request = self.flushing.iter_mut().chain(&mut self.requests).find(is_it);
        // What nobody waits for is gone.
        let Some(request) = request else { return };
        request.over_from = request.over_from.max(over_from);
        request.over = is_known.then_some(over_from);
        if is_known && request.in_device {
            // It was refused.
            request.in_device = false;
            request.sent.left_at = over_from;
        }
    }

    /// Forgets the first requests of which all is known.
    pub fn forget(&mut self) {
        while let Some(over) = self.requests.front().and_then(|request| request.over) {
            let Request { sent, .. } = self.requests.pop_front().expect("it was there");
            let until = if sent.op == Op::Read { over } else { sent.left_at };
            self.busy_until = self.busy_until.max(until);
            self.written = if sent.op == Op::Write { self.written.max(over) } else { self.written };
        }
    }

    /// The first time from `from` on at which nothing is under way; `from` itself where nobody waits for that, and only writes
    /// that left before it matter; these matter only where `flushes`.
    pub fn idle_from(&mut self, from: Picoseconds, waits: bool, flushes: bool, link: &LinkState) -> Idle {
        loop {
            let idle = if waits { from.max(self.busy_until) } else { from };
            let first = self.requests.front().copied().filter(|request| request.sent.start < idle);
            let Some(request) = first else {
                let is_drained = !self.requests.is_empty() || link.frontier >= idle;
                return self.flushed(idle, is_drained, link);
            };
            let Request { sent, over, in_device, .. } = request;
            let is_open = if sent.op == Op::Read { over.is_none() } else { in_device };
            if waits && is_open {
                let idle = idle.max(lower_bound(&request, link));
                return Idle::NotBefore { idle, written: self.written, is_drained: false };
            }
            match (sent.op, over) {
                (Op::Write, _) if flushes => self.flushing.extend(self.requests.front().copied()),
                (Op::Read, Some(over)) => self.busy_until = self.busy_until.max(over),
                _ => {}
            }
            if sent.op == Op::Write {
                self.busy_until = self.busy_until.max(sent.left_at);
            }
            self.requests.pop_front();
        }
    }

    /// The device is drained at `idle`, or later: when the writes before that are in memory.
    fn flushed(&mut self, idle: Picoseconds, is_drained: bool, link: &LinkState) -> Idle {
        let mut written = self.written;
        self.flushing.retain(|request| {
            let over = request.over.unwrap_or_else(|| lower_bound(request, link));
            written = written.max(over);
            if request.over.is_some() {
                self.written = self.written.max(over);
            }
            request.over.is_none()
        });
        if is_drained && self.flushing.is_empty() {
            return Idle::At(idle, written);
        }
        Idle::NotBefore { idle, written, is_drained }
    }
}

/// A request is over at this time or later; one that is in a device leaves it then or later.
fn lower_bound(request: &Request, link: &LinkState) -> Picoseconds {
    let Request { sent, in_device, over_from, .. } = *request;
    let leaves_from = if in_device { link.leaves_from } else { Picoseconds::ZERO };
    let looked_up_from = if sent.number > link.looked_up { link.looked_up_from } else { Picoseconds::ZERO };
    over_from.max(leaves_from).max(looked_up_from)
}
