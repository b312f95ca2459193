//! Closed loops: what a VF intends depends on when its requests retire.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use portcullis_engine::ring::OrderedRing;
use portcullis_engine::units::Picoseconds;
use rand_pcg::Mcg128Xsl64;
use rand_pcg::rand_core::Rng;

use super::Exponential;
use super::rng::{StreamRng, round};

/// How long a client thinks between the end of a request and the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Think {
    /// Mean time.
    pub mean: Picoseconds,
    /// Whether all are alike; otherwise they are exponential.
    pub fixed: bool,
}

/// The clients of a VF. Each thinks, sends a request, waits until it has retired, and thinks again.
///
/// How long a client thinks is drawn from the number of the request that has retired, so that it does
/// not depend on the order in which retirements become known. Clients that are done thinking at one
/// instant send in the order of the requests that they sent before.
#[derive(Clone, Debug)]
pub struct Clients {
    think: Think,
    seed: u128,
    clients: u32,
    thinking: Thinkers,
}

/// Clients that think, by when they send; ties by what made them think.
#[derive(Clone, Debug)]
enum Thinkers {
    /// All think as long: who begins last is mostly the last to send.
    InTurn(OrderedRing<Thinking>),
    /// Times are drawn: who begins may be the next to send as well as the last.
    AsDrawn(BinaryHeap<Reverse<Thinking>>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Thinking {
    until: Picoseconds,
    /// The client, for the first request of each; the number of clients plus that of the request later.
    cause: u64,
}

impl Clients {
    /// So many clients, which all begin by thinking.
    #[must_use]
    pub fn new(clients: u32, think: Think, mut rng: StreamRng) -> Self {
        let seed = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        let thinking = if think.fixed || think.mean == Picoseconds::ZERO {
            Thinkers::InTurn(OrderedRing::new(clients as usize))
        } else {
            Thinkers::AsDrawn(BinaryHeap::with_capacity(clients as usize))
        };
        let mut loops = Self { think, seed, clients, thinking };
        for client in 0..u64::from(clients) {
            loops.begin(client, Picoseconds::ZERO);
        }
        loops
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.clients
    }

    /// When the next client sends; `Picoseconds::MAX` while all wait.
    #[inline]
    #[must_use]
    pub fn next(&self) -> Picoseconds {
        match &self.thinking {
            Thinkers::InTurn(ring) => ring.first().map_or(Picoseconds::MAX, |first| first.until),
            Thinkers::AsDrawn(heap) => heap.peek().map_or(Picoseconds::MAX, |Reverse(first)| first.until),
        }
    }

    /// Asks for the cache lines of who sends next, and of the place of who begins to think.
    #[inline]
    pub fn prefetch(&self) {
        if let Thinkers::InTurn(ring) = &self.thinking {
            ring.prefetch();
        }
    }

    /// The least time any client thinks.
    #[must_use]
    pub fn least_think(&self) -> Picoseconds {
        if self.think.fixed { self.think.mean } else { Picoseconds::ZERO }
    }

    /// How long the client of the request number `sequence` thinks when that has retired.
    #[must_use]
    pub fn think_after(&self, sequence: u64) -> Picoseconds {
        self.draw(u64::from(self.clients) + sequence)
    }

    /// The request number `sequence` retired at `time`: its client thinks.
    pub fn retire(&mut self, sequence: u64, time: Picoseconds) {
        self.begin(u64::from(self.clients) + sequence, time);
    }

    /// Others take their places, and all begin by thinking at `time`.
    pub fn restart(&mut self, time: Picoseconds) {
        match &mut self.thinking {
            Thinkers::InTurn(ring) => ring.clear(),
            Thinkers::AsDrawn(heap) => heap.clear(),
        }
        // How long they think is drawn from who they are and when they begin.
        let first = time.0.wrapping_mul(u64::from(self.clients));
        for client in 0..u64::from(self.clients) {
            self.begin(1 << 63 | first.wrapping_add(client), time);
        }
    }

    /// Writes the times before `until` at which clients send through `write`, at most `room` of them;
    /// returns how many.
    pub fn fill(
        &mut self,
        until: Picoseconds,
        room: usize,
        mut write: impl FnMut(usize, Picoseconds),
    ) -> usize {
        let mut written = 0;
        while written < room && self.next() < until {
            write(written, self.next());
            match &mut self.thinking {
                Thinkers::InTurn(ring) => ring.take_first(),
                Thinkers::AsDrawn(heap) => {
                    heap.pop();
                }
            }
            written += 1;
        }
        written
    }

    fn begin(&mut self, cause: u64, now: Picoseconds) {
        let thinking = Thinking { until: now.saturating_add(self.draw(cause)), cause };
        match &mut self.thinking {
            // Retirements become known in about their order, so the place is mostly the last.
            Thinkers::InTurn(ring) => ring.insert(thinking, |other| *other),
            Thinkers::AsDrawn(heap) => heap.push(Reverse(thinking)),
        }
    }

    fn draw(&self, cause: u64) -> Picoseconds {
        if self.think.fixed || self.think.mean == Picoseconds::ZERO {
            return self.think.mean;
        }
        let key = self.seed ^ u128::from(cause.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 32;
        let mut rng = Mcg128Xsl64::new(key);
        // The first numbers of generators whose states differ in few bits are alike.
        rng.next_u64();
        Picoseconds(round(Exponential::tables().draw(&mut rng) * self.think.mean.0 as f64))
    }
}
