//! The streaming mappings of one VF: a buffer a DMA.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::domain::{LeafSize, Permissions};
use crate::hash::{mix64, reduce};
use crate::ids::Iova;
use crate::request::Address;
use crate::units::Picoseconds;

/// Stream of random numbers that addresses are drawn from.
const ADDRESSES: u64 = 1 << 62;

/// Which of the addresses that are free a driver hands out next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IovaReuse {
    /// The one given back last, as Linux's caches of IOVAs do.
    #[default]
    Lifo,
    /// The one given back first: a ring.
    Fifo,
    /// Any: an allocator that has been at work for long, whose free addresses are in no order.
    Random,
}

/// Streaming mappings: each DMA goes to a buffer of one page that was mapped for it, and ends in it. When it is over the
/// driver unmaps the buffer, and when the unmap has returned it maps another for the client that waited.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamingPlan {
    /// Buffers that are mapped at once: the clients of the VF's source, which must be a closed loop.
    pub buffers: u32,
    /// Size of a buffer.
    pub page_size: LeafSize,
    /// First of the addresses that the driver hands out.
    pub iova: Iova,
    /// How many pages of addresses it begins with, at least as many as buffers; where all are in use or wait
    /// for a flush, it goes on behind them.
    pub addresses: u64,
    /// Rights of each buffer.
    pub permissions: Permissions,
    /// From the completion of a DMA to the unmap of its buffer.
    pub unmap_after: Picoseconds,
    /// How often the driver looks what is over: it unmaps at multiples of this. 0: whenever something is.
    pub poll: Picoseconds,
    /// Which address is handed out next.
    pub reuse: IovaReuse,
    /// Share of the DMAs that go where an earlier one went, whose buffer the driver has, or will have,
    /// unmapped: a device that does not know when to stop. 0 for none.
    pub late_share: f64,
    /// How many requests of the VF before.
    pub late_by: u32,
}

/// What became of a VF's streaming mappings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamBooks {
    /// Buffers unmapped.
    pub unmaps: u64,
    /// Time unmaps took to return, summed.
    pub unmap_wait_ps: u128,
    /// The longest.
    pub unmap_wait_max: Picoseconds,
    /// Time from an unmap's return until no cached translation of its page can be left, summed over frames.
    pub exposure_ps: u128,
    /// DMAs that a translation served whose leaf was unmapped.
    pub stale: u64,
    /// DMAs that reached a frame of another owner though no invalidation was pending.
    pub breaches: u64,
}

/// The streaming mappings of a VF.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What was planned, with addresses in the VF's part of its domain.
    pub plan: StreamingPlan,
    /// Index of the domain's page table.
    pub table: u32,
    /// Unmaps that wait for the next flush.
    pub queued: u32,
    /// What was counted.
    pub books: StreamBooks,
    seed: u64,
    /// Addresses handed out so far.
    taken: u64,
    /// Buffers mapped and not yet used, the first to be used first.
    posted: VecDeque<Iova>,
    /// Addresses that can be handed out, the one given back last last.
    free: VecDeque<Iova>,
    /// Behind all addresses handed out so far.
    next_fresh: Iova,
    /// Where the last requests went; only kept where some are late.
    went: VecDeque<Iova>,
}

impl Stream {
    /// Nothing mapped yet.
    #[must_use]
    pub fn new(plan: StreamingPlan, table: u32, seed: u64) -> Self {
        let bytes = plan.page_size.bytes();
        let addresses = (0..plan.addresses).map(|page| Iova(plan.iova.0 + page * bytes));
        let free = match plan.reuse {
            IovaReuse::Fifo | IovaReuse::Random => addresses.collect(),
            // The lowest first, as long as none has come back.
            IovaReuse::Lifo => addresses.rev().collect(),
        };
        Self {
            next_fresh: Iova(plan.iova.0 + plan.addresses * bytes),
            table,
            queued: 0,
            books: StreamBooks::default(),
            seed,
            taken: 0,
            posted: VecDeque::new(),
            free,
            went: VecDeque::new(),
            plan,
        }
    }

    /// An address for the next buffer.
    pub fn take_address(&mut self) -> Iova {
        let free = match self.plan.reuse {
            IovaReuse::Lifo => self.free.pop_back(),
            IovaReuse::Fifo => self.free.pop_front(),
            IovaReuse::Random => {
                let drawn = mix64(self.seed ^ mix64(self.taken ^ ADDRESSES));
                self.free.swap_remove_back(reduce(drawn, self.free.len() as u32) as usize)
            }
        };
        self.taken += 1;
        free.unwrap_or_else(|| {
            let fresh = self.next_fresh;
            self.next_fresh = Iova(fresh.0 + self.plan.page_size.bytes());
            fresh
        })
    }

    /// When the driver unmaps the buffer of a DMA that is complete at `completed`.
    #[must_use]
    pub fn reacts_at(&self, completed: Picoseconds) -> Picoseconds {
        let StreamingPlan { unmap_after, poll, .. } = self.plan;
        let sees_at = completed + unmap_after;
        if poll == Picoseconds::ZERO { sees_at } else { Picoseconds(sees_at.0.next_multiple_of(poll.0)) }
    }

    /// An address can be handed out again.
    pub fn give_address_back(&mut self, iova: Iova) {
        self.free.push_back(iova);
    }

    /// A buffer is mapped at `iova`, for the next request but those that have one.
    pub fn post(&mut self, iova: Iova) {
        self.posted.push_back(iova);
    }

    /// Whether the request of this number goes where an earlier one went.
    #[must_use]
    pub fn is_late(&self, sequence: u64) -> bool {
        sequence >= u64::from(self.plan.late_by)
            && self.plan.late_share > 0.0
            && (mix64(self.seed ^ mix64(sequence)) as f64) < self.plan.late_share * 2_f64.powi(64)
    }

    /// Puts requests, numbered from `first` on, into their buffers: what their source drew is where in it.
    pub fn place(&mut self, first: u64, addresses: &mut [Address]) {
        let in_buffer = self.plan.page_size.bytes() - 1;
        for (address, sequence) in addresses.iter_mut().zip(first..) {
            let buffer = if self.is_late(sequence) {
                // The one that was `late_by` requests before.
                *self.went.front().expect("as many requests were before")
            } else {
                self.posted.pop_front().expect("a client that sends has a buffer")
            };
            if self.plan.late_share > 0.0 {
                self.went.push_back(buffer);
                if self.went.len() > self.plan.late_by as usize {
                    self.went.pop_front();
                }
            }
            address.0.0 = buffer.0 | (address.0.0 & in_buffer);
        }
    }

    /// The buffer that an address lies in.
    #[must_use]
    pub fn buffer_of(&self, iova: Iova) -> Iova {
        self.plan.page_size.base(iova)
    }
}
