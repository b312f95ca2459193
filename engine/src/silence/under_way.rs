//! What is under way where nothing stops requests from leaving: then a device is drained only when by chance nothing is.

use std::collections::VecDeque;

use super::components::Sent;
use super::kernel::LinkState;
use crate::request::Op;
use crate::units::Picoseconds;

/// A request that has left.
#[derive(Clone, Copy, Debug)]
struct Request {
    sent: Sent,
    /// When it is over, once that is known.
    over: Option<Picoseconds>,
    /// It is over at or after this time.
    over_from: Picoseconds,
}

/// The requests of a unit in the order in which they left, as far back as it may matter.
#[derive(Clone, Debug, Default)]
pub struct UnderWay {
    requests: VecDeque<Request>,
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
    /// Not before these times.
    NotBefore(Picoseconds, Picoseconds),
}

impl UnderWay {
    /// A request has left.
    pub fn push(&mut self, sent: Sent) {
        self.requests.push_back(Request { sent, over: None, over_from: sent.arrives_at });
    }

    /// A request is over at `over_from` or later; at that very time where `is_known`.
    pub fn note(&mut self, vf: u32, sequence: u64, over_from: Picoseconds, is_known: bool) {
        let is_it = |request: &&mut Request| (request.sent.vf, request.sent.sequence) == (vf, sequence);
        // What nobody waits for is gone.
        let Some(request) = self.requests.iter_mut().find(is_it) else { return };
        request.over_from = request.over_from.max(over_from);
        request.over = is_known.then_some(over_from);
    }

    /// Forgets the first requests of which all is known.
    pub fn forget(&mut self) {
        while let Some(over) = self.requests.front().and_then(|request| request.over) {
            self.take_first(over);
        }
    }

    fn take_first(&mut self, over: Picoseconds) {
        let Some(Request { sent, .. }) = self.requests.pop_front() else { return };
        match sent.op {
            Op::Read => self.busy_until = self.busy_until.max(over),
            Op::Write => {
                self.busy_until = self.busy_until.max(sent.left_at);
                self.written = self.written.max(over);
            }
        }
    }

    /// The first time from `from` on at which nothing is under way; `from` itself where nobody waits for that, and only writes
    /// that left before it matter; these matter only where `flushes`.
    pub fn idle_from(&mut self, from: Picoseconds, waits: bool, flushes: bool, link: &LinkState) -> Idle {
        loop {
            let at = if waits { from.max(self.busy_until) } else { from };
            let Some(&Request { sent, over, over_from }) = self.requests.front() else {
                let is_known = link.frontier >= at;
                return if is_known { Idle::At(at, self.written) } else { Idle::NotBefore(at, self.written) };
            };
            if sent.start >= at {
                return Idle::At(at, self.written);
            }
            if !waits && sent.op == Op::Read {
                self.requests.pop_front();
                continue;
            }
            if !flushes && sent.op == Op::Write {
                self.busy_until = self.busy_until.max(sent.left_at);
                self.requests.pop_front();
                continue;
            }
            let Some(over) = over else {
                let looked_up = sent.number <= link.looked_up;
                let over_from = if looked_up { over_from } else { over_from.max(link.looked_up_from) };
                return match sent.op {
                    Op::Read => Idle::NotBefore(at.max(over_from), self.written),
                    Op::Write if waits => Idle::NotBefore(at.max(sent.left_at), self.written.max(over_from)),
                    Op::Write => Idle::NotBefore(at, self.written.max(over_from)),
                };
            };
            self.take_first(over);
        }
    }
}
