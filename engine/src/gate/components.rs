//! State of the gate, on VFs and adapters.

use std::collections::VecDeque;

use bevy_ecs::component::Component;

use super::kernel::horizon;
use super::slots::Slots;
use crate::fifo::Fifo;
use crate::link::{Issued, RateLimits, WireTimes, time_before};
use crate::request::{Op, Sequence, Transfer};
use crate::units::Picoseconds;

/// A VF's queue and its limit of requests under way.
#[derive(Component, Clone, Debug, Default)]
pub struct VfQueue {
    /// Requests it holds at most.
    pub entries: u32,
    /// Requests in the queue whose start is not known.
    pub waiting: u32,
    /// Known starts of requests that may still be in the queue when the next one comes, the first
    /// first: when their places are vacated.
    pub vacated: VecDeque<Picoseconds>,
    /// Rows that wait in the source because the queue is full, in order.
    pub stalled: VecDeque<u32>,
    /// Whether the source still holds requests intended before the batch's horizon.
    pub lagging: bool,
    /// Requests that found the queue full after the warm-up.
    pub stalls: u64,
    /// The VF's limit of requests under way.
    pub slots: Slots,
    /// Requests in the queue that wait for a slot whose time is not known, in order.
    pub held: VecDeque<Eligible>,
    /// Requests in the queue that wait for the end of a pause of their VF, in order.
    pub aside: VecDeque<Eligible>,
    /// Whether what its source intends depends on when its requests retire.
    pub feeds_back: bool,
    /// DMAs of a packet: so many in a row that a device with a TLB takes up together.
    pub packet_dmas: u32,
    /// Whether its source is told when the unmap of a request's buffer has returned, not when it retires.
    pub streams: bool,
}

impl VfQueue {
    /// An empty queue of `entries`, with at most `outstanding` requests under way, 0 for no limit;
    /// `feeds_back` says whether its source does.
    #[must_use]
    pub fn new(entries: u32, outstanding: u32, feeds_back: bool) -> Self {
        Self { entries, slots: Slots::new(outstanding), packet_dmas: 1, feeds_back, ..Self::default() }
    }

    /// Whether the queue has a place for a request that comes at `time`. What leaves at that very
    /// time is still there.
    pub fn has_place(&mut self, time: Picoseconds) -> bool {
        self.forget_vacated(time);
        self.waiting + (self.vacated.len() as u32) < self.entries
    }

    /// A request leaves at `start`, and nobody waits for its place. No request comes before `now` any more.
    pub fn vacate(&mut self, start: Picoseconds, now: Picoseconds) {
        self.forget_vacated(now);
        self.vacated.push_back(start);
    }

    /// Forgets places that were vacated before `time`.
    fn forget_vacated(&mut self, time: Picoseconds) {
        while self.vacated.front().is_some_and(|vacated| *vacated < time) {
            self.vacated.pop_front();
        }
    }
}

/// The new rows of a batch, on an adapter: in the order of (intended time, VF, sequence).
#[derive(Component, Clone, Debug, Default)]
pub struct Candidates {
    /// Rows.
    pub rows: Vec<u32>,
    /// How many rows from the front have entered their queues or wait in their sources.
    pub admitted: usize,
    /// Everything intended before this time is among the rows, or behind a stalled row of its VF.
    pub horizon: Picoseconds,
}

/// Why an adapter issued no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Halt {
    /// What comes next may become eligible at or after the horizon.
    #[default]
    Horizon,
    /// The link has no flow credit.
    Credits,
    /// A read that is under way must return first: for its tag, or for its slot.
    Returns,
    /// Nothing leaves before this time, as far as is known.
    Until(Picoseconds),
    /// The adapter is paused.
    Paused,
}

/// A request that is next on the link as soon as it may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eligible {
    /// Since when.
    pub time: Picoseconds,
    /// Whether its place in the queue was vacated at that very time: it then comes after all others.
    pub vacated: bool,
    /// Its VF.
    pub vf: u32,
    /// Its row.
    pub row: u32,
}

impl Eligible {
    /// The order in which requests leave: at one instant by VF, then what enters a vacated place.
    #[inline]
    #[must_use]
    pub fn order(&self) -> (Picoseconds, bool, u32) {
        (self.time, self.vacated, self.vf)
    }
}

/// A request on its way to the IOMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrives.
    pub time: Picoseconds,
    /// Its row.
    pub row: u32,
}

/// The upstream direction of an adapter's link and what feeds it.
#[derive(Component, Clone, Debug)]
pub struct Uplink {
    /// The request that is next, where it was not known when it can start.
    pub next: Option<Eligible>,
    /// Requests that waited for a place in their queue, in the order in which they enter it.
    pub released: Fifo<Eligible>,
    /// Requests that waited for a slot, in the order in which they become eligible.
    pub ready: Fifo<Eligible>,
    /// VFs with rows that wait for a slot whose time is not known.
    pub vfs_held: u32,
    /// VFs whose held rows may get a slot now.
    pub woken: Vec<u32>,
    /// VFs whose held rows may get a slot as soon as more returns are known.
    pub undecided: Vec<u32>,
    /// When the last place of any queue is vacated, as far as the queues know.
    pub last_vacated: Picoseconds,
    /// Requests that the smallest queue of its VFs holds.
    pub least_queue_entries: u32,
    /// Whether no queue of its VFs can ever be full, since their sources hold back by themselves.
    pub queues_never_fill: bool,
    /// Whether any of its VFs may have only so many requests under way.
    pub vfs_limited: bool,
    /// Whether any of its VFs has streaming mappings.
    pub streams: bool,
    /// Whether its VFs send in turn.
    pub takes_turns: bool,
    /// Nothing of what waits leaves before this time, unless it waits for what is under way; kept where VFs send in turn.
    pub turns_from: Picoseconds,
    /// Requests that were emitted for it since the start.
    pub emitted: u64,
    /// When the link is free.
    pub free_at: Picoseconds,
    /// The device's rate limits.
    pub limits: RateLimits,
    /// Times on the wire.
    pub wires: WireTimes,
    /// Requests that have left, in order, and have not reached the IOMMU's look-ups.
    pub in_flight: Fifo<Arrival>,
    /// Nothing in flight is looked up before this time, whenever it arrives; kept where look-ups may be stalled
    /// for long.
    pub looked_up_from: Picoseconds,
    /// Nothing that a pause holds back leaves before this time; kept where there are pauses, as the next two are.
    pub resumes_from: Picoseconds,
    /// From when a function works again until clients go on that lost a request; `Picoseconds::MAX` where none are lost.
    pub recovery: Picoseconds,
    /// Every request that was eligible before this time has left, is lost, or is the next or behind it; kept where some are lost.
    pub processed: Picoseconds,
    /// VFs of which none waits and whose requests are lost until a time, if some are still intended before it.
    pub passing: Vec<(u32, Picoseconds)>,
    /// No function that lost requests works again before this time, as long as clients do not know of it.
    pub recovers_from: Picoseconds,
    /// Nothing left before this time behind what had left when it issued last; nothing is taken up before it, where a
    /// device has a TLB.
    pub frontier: Picoseconds,
    /// Where a device has a TLB: nothing of what was in it when it issued last left it, or was refused, before this time.
    pub leaves_from: Picoseconds,
    /// No flow credit comes back before this time but those that have.
    pub credits_from: Picoseconds,
    /// Requests that have left since the start.
    pub sent: u64,
    /// Reads that have left since the start.
    pub reads_sent: u64,
    /// Why it issued no more the last time.
    pub halt: Halt,
    /// Time the link was busy, summed.
    pub busy_ps: u64,
    /// When the warm-up ends.
    pub warm_up: Picoseconds,
    /// Time the link was busy before that.
    pub warm_up_busy_ps: u64,
}

/// The last times at which something was given back, by a running count: what comes back first, a
/// credit or tag, is what the request that many later waits for.
#[derive(Component, Clone, Debug)]
pub struct Refunds<Kind: Send + Sync + 'static> {
    count: u64,
    /// A ring, longer than the count where that is no power of two.
    times: Vec<Picoseconds>,
    given_back: u64,
    kind: core::marker::PhantomData<Kind>,
}

/// Flow credits: given back when the IOMMU takes a request up.
#[derive(Clone, Copy, Debug)]
pub struct Credit;

/// Read tags: given back when the read completes.
#[derive(Clone, Copy, Debug)]
pub struct Tag;

/// What the nth taker must wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// It may go from this time on.
    From(Picoseconds),
    /// It waits for something whose time is not known yet.
    Unknown,
}

impl<Kind: Send + Sync + 'static> Refunds<Kind> {
    /// `count` of them, all there at the start.
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self {
            count: u64::from(count),
            times: vec![Picoseconds::ZERO; count.next_power_of_two() as usize],
            given_back: 0,
            kind: core::marker::PhantomData,
        }
    }

    #[inline]
    fn place(&self, number: u64) -> usize {
        number as usize & (self.times.len() - 1)
    }

    /// The next one comes back at `time`; times do not decrease.
    #[inline]
    pub fn give_back(&mut self, time: Picoseconds) {
        let place = self.place(self.given_back);
        self.times[place] = time;
        self.given_back += 1;
    }

    /// Takes those back that were given back since there were `settled`, in their order.
    pub fn take_back(&mut self, settled: u64, taken: &mut VecDeque<Picoseconds>) {
        taken.extend((settled..self.given_back).map(|number| self.times[self.place(number)]));
        self.given_back = settled;
    }

    /// Whether the taker number `taken` must wait for one that is not given back.
    #[must_use]
    pub fn are_spent(&self, taken: u64) -> bool {
        self.grant(taken) == Grant::Unknown
    }

    /// When the taker number `taken` (from 0) gets one.
    #[inline]
    #[must_use]
    pub fn grant(&self, taken: u64) -> Grant {
        if taken < self.count {
            return Grant::From(Picoseconds::ZERO);
        }
        let awaited = taken - self.count;
        if awaited >= self.given_back {
            return Grant::Unknown;
        }
        Grant::From(self.times[self.place(awaited)])
    }
}

impl Uplink {
    /// The request in `row` starts at `start`.
    #[inline(always)]
    pub fn send(&mut self, start: Picoseconds, transfer: Transfer, row: u32) {
        let wire = self.wires.upstream(transfer);
        self.limits.start(transfer.op, start);
        self.free_at = start + wire;
        self.busy_ps += wire.0;
        self.sent += 1;
        self.reads_sent += u64::from(transfer.op == Op::Read);
        let time = self.free_at + self.wires.propagation;
        self.in_flight.push(Arrival { time, row });
    }

    /// Notes how long the link was busy in the warm-up with the last `sent` requests that left.
    #[cold]
    #[inline(never)]
    pub fn note_warm_up(&mut self, sent: u64, issued: &[Issued]) {
        let in_flight = self.in_flight.waiting();
        for Arrival { time, row } in &in_flight[in_flight.len() - sent as usize..] {
            let end = *time - self.wires.propagation;
            self.warm_up_busy_ps += time_before(self.warm_up, issued[*row as usize].0, end);
        }
    }

    /// An idle link, fed by queues of at least `least_queue_entries`.
    #[must_use]
    pub fn new(wires: WireTimes, limits: RateLimits, least_queue_entries: u32, vfs_limited: bool) -> Self {
        Self {
            queues_never_fill: false,
            next: None,
            released: Fifo::default(),
            ready: Fifo::default(),
            vfs_held: 0,
            woken: Vec::new(),
            undecided: Vec::new(),
            last_vacated: Picoseconds::ZERO,
            least_queue_entries,
            vfs_limited,
            takes_turns: false,
            turns_from: Picoseconds::ZERO,
            emitted: 0,
            free_at: Picoseconds::ZERO,
            limits,
            wires,
            in_flight: Fifo::default(),
            looked_up_from: Picoseconds::ZERO,
            streams: false,
            resumes_from: Picoseconds::MAX,
            recovery: Picoseconds::MAX,
            processed: Picoseconds::ZERO,
            passing: Vec::new(),
            recovers_from: Picoseconds::MAX,
            frontier: Picoseconds::ZERO,
            leaves_from: Picoseconds::ZERO,
            credits_from: Picoseconds::ZERO,
            sent: 0,
            reads_sent: 0,
            halt: Halt::Horizon,
            busy_ps: 0,
            warm_up: Picoseconds::ZERO,
            warm_up_busy_ps: 0,
        }
    }

    /// No request leaves before this time behind those that have left; what is under way returns at
    /// `returns_from` or later.
    #[must_use]
    pub fn earliest_start(&self, candidates: &Candidates, returns_from: Picoseconds) -> Picoseconds {
        let eligible = match self.halt {
            Halt::Horizon => horizon(self, candidates, returns_from),
            Halt::Returns => returns_from,
            // What it waits for is in flight itself: nothing is known but that the link is free.
            Halt::Credits => Picoseconds::ZERO,
            Halt::Until(from) => from,
            Halt::Paused => self.resumes_from,
        };
        eligible.max(self.free_at)
    }

    /// No request that waits becomes eligible before this time, and none behind the candidates is asked about; what is under way
    /// returns at `returns_from` or later. Where VFs send in turn, `turns_from` says as much.
    #[must_use]
    pub fn eligible_from(&self, candidates: &Candidates, returns_from: Picoseconds) -> Picoseconds {
        if self.takes_turns || self.halt != Halt::Horizon || candidates.admitted < candidates.rows.len() {
            return Picoseconds::ZERO;
        }
        let times = |fifo: &Fifo<Eligible>| fifo.waiting().first().map(|first| first.time);
        let slots_from = (self.vfs_held > 0).then_some(returns_from);
        let known = [times(&self.ready), times(&self.released), slots_from];
        known.into_iter().flatten().min().unwrap_or(Picoseconds::MAX).min(self.resumes_from)
    }

    /// Whether what it issues next depends on credits, tags or slots that are still to come back.
    #[must_use]
    pub fn waits_for_returns(&self) -> bool {
        self.halt != Halt::Horizon || self.vfs_held > 0
    }

    /// A slot of the VF came back: rows that wait for one are looked at again.
    #[inline]
    pub fn wake_held(&mut self, vf: u32, queue: &VfQueue) {
        if self.vfs_held > 0 && !queue.held.is_empty() {
            self.woken.push(vf);
        }
    }

    /// The pause of a VF is over at `resumed_at`: what it held back may leave, unless it is lost: `lost_at` tells when, by
    /// when it is eligible. What later requests of the VF are ready for at that time is behind it.
    pub fn release_aside(
        &mut self,
        queue: &mut VfQueue,
        resumed_at: Picoseconds,
        mut lost_at: impl FnMut(&Eligible) -> Option<Picoseconds>,
        sequence: &[Sequence],
    ) {
        for request in queue.aside.drain(..) {
            let ready_at = lost_at(&request).unwrap_or(resumed_at);
            self.make_ready_in_order(request, ready_at, sequence);
        }
    }

    /// A request in its queue is eligible anew at `time`, before later ones of its VF that are then.
    pub fn make_ready_in_order(&mut self, mut request: Eligible, time: Picoseconds, sequence: &[Sequence]) {
        if time > request.time {
            request = Eligible { time, vacated: false, ..request };
        }
        self.ready.insert_in_order(request, |ready| (ready.order(), sequence[ready.row as usize].0));
    }

    /// A request in its queue gets a slot at `slot`.
    pub fn make_ready(&mut self, mut request: Eligible, slot: Picoseconds) {
        if slot > request.time {
            request = Eligible { time: slot, vacated: false, ..request };
        }
        self.ready.insert_in_order(request, |ready| ready.order());
    }

    /// Calls `change` with every row the gate holds outside the candidates.
    pub fn for_each_row(&mut self, mut change: impl FnMut(&mut u32)) {
        self.next.iter_mut().for_each(|next| change(&mut next.row));
        self.released.waiting_mut().iter_mut().for_each(|released| change(&mut released.row));
        self.ready.waiting_mut().iter_mut().for_each(|ready| change(&mut ready.row));
        self.in_flight.waiting_mut().iter_mut().for_each(|arrival| change(&mut arrival.row));
    }
}
