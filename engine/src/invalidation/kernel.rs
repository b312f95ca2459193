//! Control events, one after another in the order of time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use hashbrown::HashMap;

use super::frames::{FramePool, Holder};
use super::outlook::Outlook;
use super::spec::{Granularity, InvalidationMode, InvalidationSpec, WalkCacheInvalidation};
use super::stream::Stream;
use super::turns::Turns;
use crate::account::{Breach, BreachCause};
use crate::crash::{Crashes, Hang};
use crate::domain::{Leaf, PageTable};
use crate::hash::MixBuildHasher;
use crate::ids::{DomainId, Iova};
use crate::link::time_before;
use crate::memory::Retired;
use crate::request::{Fault, Sequence};
use crate::silence::{Attachment, DeviceInvalidation, DomainSwitches, Failure, NewDomain};
use crate::translation::replacement::Replacement;
use crate::translation::{Iotlb, Observe, Served, WalkCaches, Walkers};
use crate::units::Picoseconds;

/// What happens, in the order in which it does at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A command of the invalidation queue is complete, and whoever waits for it goes on.
    Complete {
        /// Which, counted from 0.
        command: u64,
    },
    /// The IOMMU carries a command out.
    Invalidate {
        /// Which, counted from 0.
        command: u64,
    },
    /// The flush timer of a domain.
    Timer {
        /// Index of its page table.
        table: u32,
    },
    /// A driver unmaps the buffer of a request that is over.
    Unmap {
        /// The VF, by its index within the host.
        vf: u32,
        /// Which of its requests.
        sequence: u64,
        /// The buffer.
        buffer: Iova,
    },
    /// A driver learns that a request is over which had no buffer of its own.
    Return {
        /// The VF, by its index within the host.
        vf: u32,
        /// Which of its requests.
        sequence: u64,
    },
    /// The context entries of a domain are cleared, or replaced.
    Detach {
        /// The VF whose domain is switched, by its index within the world.
        vf: u32,
    },
    /// A device or its driver hangs.
    Hang {
        /// The VF whose domain was to be switched, by its index within the world.
        vf: u32,
        /// Which of them.
        hang: Hang,
    },
    /// The host is up again.
    Reboot,
    /// The context entries of a new domain are there.
    Attach {
        /// The VF whose domain is switched, by its index within the world.
        vf: u32,
    },
}

/// A buffer that was unmapped.
#[derive(Clone, Copy, Debug)]
struct Unmapped {
    vf: u32,
    leaf: Leaf,
    /// When the unmap returned; where somebody waits for it, when it began.
    since: Picoseconds,
}

/// A command in the invalidation queue.
#[derive(Clone, Debug)]
struct Command {
    domain: DomainId,
    table: u32,
    drops: Drops,
    /// Unmapped buffers whose addresses are free again when it is complete.
    flushes: Vec<Unmapped>,
    /// The unmap that waits for it, and the request it belongs to.
    waiter: Option<(Unmapped, u64)>,
    /// The VF whose domain is being switched; whether this is the last invalidation of the switch.
    switch: Option<(u32, bool)>,
}

#[derive(Clone, Copy, Debug)]
enum Drops {
    /// What the context cache holds of the devices of a domain.
    Contexts,
    /// What the device TLBs hold of a domain.
    DeviceTlbs,
    Page(Iova, Iova),
    Domain,
    Global,
}

/// What waits for the next flush of a domain.
#[derive(Clone, Debug, Default)]
struct FlushQueue {
    entries: Vec<Unmapped>,
    timer_on: bool,
}

/// When the invalidation queue begins with a command, and when it has carried it out.
pub type BusySpan = (Picoseconds, Picoseconds);

/// What the invalidation queue counted after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InvalidationCounters {
    /// Commands carried out after it, whose waits count too.
    pub commands: u64,
    /// Of these, flushes of deferred unmaps.
    pub flushes: u64,
    /// Time the queue was busy, summed, but for [`Control::late_commands`].
    pub busy_ps: u64,
    /// Time commands waited for it, summed.
    pub wait_ps: u128,
    /// Accesses of streaming mappings that were judged.
    pub judged: u64,
    /// The first breach among them.
    pub first_breach: Option<Breach>,
}

/// The parts of an IOMMU that control events act on.
pub struct Hardware<'a, P, O> {
    /// The cache.
    pub iotlb: &'a mut Iotlb<P>,
    /// The walk caches, where there may be some.
    pub walk_caches: Option<&'a mut WalkCaches>,
    /// The walkers.
    pub walkers: &'a mut Walkers,
    /// The page tables, by index.
    pub tables: &'a mut [PageTable],
    /// Who watches.
    pub observer: &'a mut O,
}

impl<P: Replacement, O> Hardware<'_, P, O> {
    /// A domain is new.
    fn meet(&mut self, new: &NewDomain) {
        self.iotlb.assign(new.id, new.class);
        self.walkers.assign(new.id, new.class);
    }
}

/// A DMA to a streaming mapping, for [`Control::judge`].
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The VF, by its index within the host.
    pub vf: u32,
    /// What served its look-ups: all of one buffer.
    pub served: &'a [Served],
    /// When it was intended.
    pub intended: Picoseconds,
    /// When its access to memory ends.
    pub until: Picoseconds,
    /// Whether the owner's map is asked.
    pub audited: bool,
}

/// The control plane of an IOMMU: drivers, page tables, invalidation queue.
#[derive(Debug)]
pub struct Control {
    /// The streaming mappings of each VF that has some, by its index within the host.
    pub streams: Vec<Option<Stream>>,
    /// Who holds which frame.
    pub frames: FramePool,
    /// What clients that wait can come to send.
    pub outlook: Outlook,
    /// Requests whose clients go on, and whose sources have not been told.
    pub told: Vec<Retired>,
    /// Rows completed in this batch whose drivers know.
    pub noted: usize,
    /// What was counted.
    pub counters: InvalidationCounters,
    /// Domains that are switched, where any are.
    pub switches: Option<DomainSwitches>,
    /// The host's bug checks, where there may be some.
    pub crashes: Option<Crashes>,
    /// Whether every eighth command drops nothing: [`crate::plan::Sabotage::MissedInvalidation`].
    pub misses_invalidations: bool,
    least_reaction: Picoseconds,
    mode: InvalidationMode,
    granularity: Granularity,
    walk_caches: WalkCacheInvalidation,
    /// When counting starts.
    warm_up: Picoseconds,
    /// Whether there is an IOTLB to invalidate.
    translates: bool,
    command_cost: Picoseconds,
    /// How long a command may go without its completion.
    invalidation_timeout: Picoseconds,
    flush_entries: u32,
    flush_timer: Picoseconds,
    /// Domain IDs, by the index of the page table.
    domains: Vec<DomainId>,
    events: BinaryHeap<Reverse<(Picoseconds, Event)>>,
    flush_queues: Vec<FlushQueue>,
    /// Commands that are not complete, in the order of their numbers.
    commands: VecDeque<Command>,
    submitted: u64,
    completed: u64,
    /// Commands that are carried out, and their turn to be complete.
    pub(super) turns: Turns,
    /// The least time that a device takes to answer to an invalidation of its TLB.
    pub(super) device_tlb_cost: Picoseconds,
    queue_free_at: Picoseconds,
    /// When a request was last over, as far as drivers know.
    last_over: Picoseconds,
    /// Commands that the queue carries out later than that, in order.
    late: VecDeque<BusySpan>,
    /// When the last access ends of those that were translated so far.
    pub(super) drained_at: Picoseconds,
    /// Leaves taken out of page tables whose invalidation is not complete, by table and base; whether their
    /// unmap has returned.
    pending: HashMap<(u32, u64), bool, MixBuildHasher>,
}

impl Control {
    /// Of the IOMMU of this specification, `translates` unless it is off or passes through, that counts from
    /// `warm_up` on; `domains` are the IDs of its domains by the index of their page tables.
    #[must_use]
    pub fn new(
        spec: &InvalidationSpec,
        translates: bool,
        warm_up: Picoseconds,
        streams: Vec<Option<Stream>>,
        domains: Vec<DomainId>,
    ) -> Self {
        let reactions = streams.iter().flatten().map(|stream| stream.plan.unmap_after);
        Self {
            least_reaction: reactions.min().unwrap_or(Picoseconds::MAX),
            outlook: Outlook::new(streams.len()),
            streams,
            frames: FramePool::default(),
            told: Vec::new(),
            noted: 0,
            counters: InvalidationCounters::default(),
            switches: None,
            crashes: None,
            misses_invalidations: false,
            mode: spec.mode,
            granularity: spec.granularity(),
            walk_caches: spec.walk_caches(),
            warm_up,
            translates,
            command_cost: Picoseconds::from_ns_f64(spec.command_ns),
            invalidation_timeout: Picoseconds::ZERO,
            flush_entries: spec.flush_entries,
            flush_timer: Picoseconds::from_ns_f64(spec.flush_timer_us * 1e3),
            events: BinaryHeap::new(),
            flush_queues: vec![FlushQueue::default(); domains.len()],
            domains,
            commands: VecDeque::new(),
            submitted: 0,
            completed: 0,
            turns: Turns::default(),
            device_tlb_cost: Picoseconds::from_ns_f64(spec.device_tlb_us * 1e3).max(Picoseconds(1)),
            queue_free_at: Picoseconds::ZERO,
            last_over: Picoseconds::ZERO,
            late: VecDeque::new(),
            drained_at: Picoseconds::ZERO,
            pending: HashMap::default(),
        }
    }

    /// The streaming mappings of a VF, if it has some.
    #[inline]
    #[must_use]
    pub fn stream(&self, vf: u32) -> Option<&Stream> {
        self.streams[vf as usize].as_ref()
    }

    /// The least time from a completion to what a driver does about it.
    #[inline]
    #[must_use]
    pub fn least_reaction(&self) -> Picoseconds {
        self.least_reaction
    }

    /// When the next event that is known comes; `Picoseconds::MAX` where none is.
    #[inline]
    #[must_use]
    pub fn next_time(&self) -> Picoseconds {
        self.events.peek().map_or(Picoseconds::MAX, |Reverse((time, _))| *time)
    }

    fn at(&mut self, time: Picoseconds, event: Event) {
        self.events.push(Reverse((time, event)));
    }

    /// Maps the first buffers of every VF, before the start.
    pub fn map_first(&mut self, tables: &mut [PageTable]) {
        for vf in 0..self.streams.len() as u32 {
            let buffers = self.stream(vf).map_or(0, |stream| stream.plan.buffers);
            (0..buffers).for_each(|_| self.map_next(vf, tables));
        }
    }

    /// A request is over at `completed`: its driver will know.
    pub fn note_over(&mut self, vf: u32, sequence: Sequence, iova: Iova, completed: Picoseconds) {
        self.last_over = self.last_over.max(completed);
        let Some(stream) = self.stream(vf) else { return };
        let time = stream.reacts_at(completed);
        let sequence = sequence.0;
        let (event, goes_on_from) = if stream.is_late(sequence) {
            (Event::Return { vf, sequence }, time)
        } else {
            let waits = self.translates && self.mode == InvalidationMode::Strict;
            let least = if waits { self.command_cost } else { Picoseconds::ZERO };
            (Event::Unmap { vf, sequence, buffer: stream.buffer_of(iova) }, time + least)
        };
        self.outlook.not_before(vf, sequence, goes_on_from);
        self.at(time, event);
    }

    /// A DMA was translated at its place in the order: its access to memory ends at `until`.
    #[inline]
    pub fn note_access(&mut self, until: Picoseconds) {
        self.drained_at = self.drained_at.max(until);
    }

    /// Whether what happens at `time` counts.
    fn counts(&self, time: Picoseconds) -> bool {
        time >= self.warm_up
    }

    /// Judges a DMA of a VF with streaming mappings, at its place in the order of look-ups. Whether it is
    /// stale: served by a cached translation though the unmap of its page has returned.
    pub fn judge(&mut self, access: Access<'_>) -> bool {
        let Access { vf, served, intended, until, audited } = access;
        let counts = self.counts(intended);
        let stream = self.streams[vf as usize].as_mut().expect("a VF with streaming mappings");
        let (mut stale, mut breach) = (false, None);
        for Served { leaf, unheld, .. } in served {
            let holder = self.frames.access(stream.plan.page_size, leaf.target, vf, until);
            // What is gone from the table is excused by the invalidation under way, and by nothing else.
            let buffer = stream.buffer_of(leaf.base);
            let pending = if *unheld { self.pending.get(&(stream.table, buffer.0)) } else { None };
            stale |= pending == Some(&true);
            let cause = match holder {
                _ if *unheld && pending.is_some() => continue,
                _ if *unheld => BreachCause::OutlivedInvalidation,
                Holder::Own => continue,
                Holder::Other(other) => BreachCause::OthersFrame(other),
                Holder::Nobody => BreachCause::NoTenantsFrame,
            };
            breach.get_or_insert(Breach::new(until, vf, leaf.target, cause));
        }
        stream.books.stale += u64::from(stale && counts);
        if audited {
            self.counters.judged += 1;
            stream.books.breaches += u64::from(breach.is_some());
            if let Some(breach) = breach {
                self.note_breach(breach);
            }
        }
        stale
    }

    /// Lets the next event take effect, which is at `now`.
    pub fn step<P: Replacement, O: Observe>(&mut self, hardware: &mut Hardware<'_, P, O>) {
        let Some(Reverse((now, event))) = self.events.pop() else { return };
        match event {
            Event::Complete { .. } => self.complete(now, hardware.tables),
            Event::Invalidate { command } => self.invalidate(now, command, hardware),
            Event::Timer { table } => {
                self.flush_queues[table as usize].timer_on = false;
                if !self.flush_queues[table as usize].entries.is_empty() {
                    self.flush(now, table, None);
                }
            }
            Event::Unmap { vf, sequence, buffer } => self.unmap(now, vf, sequence, buffer, hardware.tables),
            Event::Return { vf, sequence } => self.tell(vf, sequence, now),
            Event::Detach { vf } => self.detach(now, vf, hardware),
            Event::Hang { vf, hang } => {
                let up_at = self.crashes.as_mut().and_then(|crashes| crashes.note_hang(now, vf, hang));
                self.reboot_at(up_at);
            }
            Event::Reboot => {
                self.switches.iter_mut().for_each(DomainSwitches::forget_contexts);
                reboot(now, hardware);
            }
            Event::Attach { vf } => match self.switches().attach(vf, now) {
                Attachment::Done(new) => hardware.meet(&new),
                Attachment::Again(at) => self.at(at, Event::Attach { vf }),
                Attachment::Never => {}
            },
        }
    }

    pub(super) fn switches(&mut self) -> &mut DomainSwitches {
        self.switches.as_mut().expect("domains are switched")
    }

    /// The domain of a VF will be switched: its context entry is cleared at `at`, and the new one, if any, takes `attach` to be set.
    /// What fails comes with how long an invalidation may go without its completion.
    pub fn switch(
        &mut self,
        vf: u32,
        at: Picoseconds,
        (attach, failure): (Option<Picoseconds>, Option<(Failure, Picoseconds)>),
    ) {
        let device = self.device_tlb_cost;
        self.switches().begin(vf, at, (attach, device), failure.map(|(failure, _)| failure));
        self.invalidation_timeout = failure.map_or(self.invalidation_timeout, |(_, timeout)| timeout);
        self.at(at, Event::Detach { vf });
    }

    /// A domain will be attached at `at` to a VF that has none.
    pub fn attach(&mut self, vf: u32, at: Picoseconds) {
        self.switches().begin_attachment(vf, at);
        self.at(at, Event::Attach { vf });
    }

    /// The domain of a VF is detached; what is cached of it is invalidated: context cache, IOTLB, device TLB.
    fn detach<P: Replacement, O: Observe>(
        &mut self,
        now: Picoseconds,
        vf: u32,
        hardware: &mut Hardware<'_, P, O>,
    ) {
        let switches = self.switches();
        let (old, new) = switches.detach(vf);
        if let Some(new) = new {
            hardware.meet(&new);
        }
        let switches = self.switches();
        let table = switches.table_of(vf);
        let steps = [
            (switches.invalidates_context, Drops::Contexts),
            (switches.invalidates_iotlb, Drops::Domain),
            (switches.invalidates_device_tlb, Drops::DeviceTlbs),
        ];
        let steps: Vec<_> = steps.into_iter().filter(|(is_taken, _)| *is_taken).collect();
        if steps.is_empty() {
            return self.invalidated(vf, old, now);
        }
        for (number, &(_, drops)) in steps.iter().enumerate() {
            let switch = Some((vf, number + 1 == steps.len()));
            self.submit(
                now,
                Command { domain: old, table, drops, flushes: Vec::new(), waiter: None, switch },
            );
        }
        let (free_at, last_command) = (self.queue_free_at, self.submitted - 1);
        let carried_out_from = free_at - self.device_tlb_cost.min(free_at);
        let operation = self.switches().operation(vf);
        operation.not_before = free_at;
        operation.last_command = Some(last_command);
        if operation.device != DeviceInvalidation::Over {
            operation.device = DeviceInvalidation::ToCome { carried_out_from, answers_from: free_at };
        }
    }

    /// Nothing cached is left of the domain that a VF had.
    fn invalidated(&mut self, vf: u32, old: DomainId, now: Picoseconds) {
        let released_at = now.max(self.drained_at);
        if let Some(attached_at) = self.switches().invalidated(vf, old, now, released_at) {
            self.at(attached_at, Event::Attach { vf });
        }
    }

    /// A DMA of a VF was blocked: it may have met its domain in the middle of a switch.
    pub fn note_switch_fault(&mut self, fault: Fault, access: &Access<'_>) {
        let counts = self.counts(access.intended);
        let Some(switches) = &mut self.switches else { return };
        if fault == Fault::NoContext && switches.is_switching(access.vf) {
            switches.books[access.vf as usize].faults += u64::from(counts);
        }
    }

    /// Whether the host is down at `now`.
    #[inline]
    #[must_use]
    pub fn is_down(&self, now: Picoseconds) -> bool {
        self.crashes.as_ref().is_some_and(|crashes| crashes.is_down(now))
    }

    /// A DMA of a VF was blocked at `now`, which may end the host.
    pub fn note_fault(&mut self, vf: u32, fault: Fault, now: Picoseconds) {
        let of_switch = fault == Fault::NoContext
            && self.switches.as_ref().is_some_and(|switches| switches.is_switching(vf));
        let Some(crashes) = &mut self.crashes else { return };
        let up_at = crashes.note_fault(now, vf, of_switch);
        self.reboot_at(up_at);
    }

    /// A device or its driver will hang at `at` in a switch of a VF's domain, which may end the host.
    pub fn hang(&mut self, vf: u32, at: Picoseconds, hang: Hang) {
        if self.crashes.is_some() {
            self.at(at, Event::Hang { vf, hang });
        }
    }

    /// The host went down, and is up again at this time, if ever.
    fn reboot_at(&mut self, up_at: Option<Picoseconds>) {
        if let Some(up_at) = up_at.filter(|up_at| *up_at < Picoseconds::MAX) {
            self.at(up_at, Event::Reboot);
        }
    }

    /// Judges a DMA of a VF whose domain may be switched, each leaf by when it was looked up. Whether it is stale: it
    /// reaches what was the old domain's, since an invalidation was left out.
    pub fn judge_switched(&mut self, access: Access<'_>) -> bool {
        let Access { vf, served, intended, until, audited } = access;
        let counts = self.counts(intended);
        let Some(switches) = &mut self.switches else { return false };
        let gone = served.iter().find(|served| !switches.owns(vf, served.leaf.target, served.looked_up_at));
        let Some(gone) = gone.filter(|_| audited) else { return false };
        let stale = switches.leaves_out_invalidations();
        let books = &mut switches.books[vf as usize];
        books.stale += u64::from(stale && counts);
        books.breaches += u64::from(!stale);
        if !stale {
            let cause = BreachCause::OutlivedInvalidation;
            self.note_breach(Breach::new(until, vf, gone.leaf.target, cause));
        }
        stale
    }

    fn unmap(&mut self, now: Picoseconds, vf: u32, sequence: u64, buffer: Iova, tables: &mut [PageTable]) {
        let counts = self.counts(now);
        let stream = self.streams[vf as usize].as_mut().expect("a VF with streaming mappings");
        let (table, size) = (stream.table, stream.plan.page_size);
        let leaf = tables[table as usize].unmap(buffer, size).expect("a buffer is unmapped once");
        stream.books.unmaps += u64::from(counts);
        let unmapped = Unmapped { vf, leaf, since: now };
        if !self.translates {
            // Nothing was cached, and nothing stands between the device and memory.
            stream.give_address_back(leaf.base);
            self.frames.give_back(&leaf, now);
            return self.go_on(vf, sequence, now, tables);
        }
        self.pending.insert((table, leaf.base.0), false);
        if self.mode == InvalidationMode::Strict {
            let drops = match self.granularity {
                Granularity::Page => Drops::Page(leaf.base, leaf.last()),
                Granularity::Domain => Drops::Domain,
                Granularity::Global => Drops::Global,
            };
            let waiter = Some((unmapped, sequence));
            let domain = self.domains[table as usize];
            let command = Command { domain, table, drops, flushes: Vec::new(), waiter, switch: None };
            return self.submit(now, command);
        }
        stream.queued += 1;
        if stream.queued == self.flush_entries {
            return self.flush(now, table, Some((unmapped, sequence)));
        }
        let queue = &mut self.flush_queues[table as usize];
        queue.entries.push(unmapped);
        if !core::mem::replace(&mut queue.timer_on, true) {
            self.at(now + self.flush_timer, Event::Timer { table });
        }
        self.pending.insert((table, leaf.base.0), true);
        self.release(&unmapped, now);
        self.go_on(vf, sequence, now, tables);
    }

    /// Flushes what waits in the queues of a domain.
    fn flush(&mut self, now: Picoseconds, table: u32, waiter: Option<(Unmapped, u64)>) {
        let flushes = core::mem::take(&mut self.flush_queues[table as usize].entries);
        for unmapped in flushes.iter().chain(waiter.as_ref().map(|(unmapped, _)| unmapped)) {
            self.streams[unmapped.vf as usize].as_mut().expect("it unmapped").queued = 0;
        }
        let drops = if self.granularity == Granularity::Global { Drops::Global } else { Drops::Domain };
        let domain = self.domains[table as usize];
        self.submit(now, Command { domain, table, drops, flushes, waiter, switch: None });
        self.counters.flushes += u64::from(self.counts(self.queue_free_at));
    }

    /// A command enters the invalidation queue.
    fn submit(&mut self, now: Picoseconds, command: Command) {
        let start = now.max(self.queue_free_at);
        let carried_out_at = start + self.cost_of(&command);
        // The queue waits for the device.
        let answer =
            if matches!(command.drops, Drops::DeviceTlbs) { self.device_tlb_cost } else { Picoseconds::ZERO };
        self.queue_free_at = carried_out_at + answer;
        self.note_busy(start, self.queue_free_at);
        if self.counts(carried_out_at) {
            self.counters.commands += 1;
            self.counters.wait_ps += u128::from((start - now).0);
        }
        if let Some((unmapped, sequence)) = &command.waiter {
            self.outlook.not_before(unmapped.vf, *sequence, self.queue_free_at);
        }
        self.commands.push_back(command);
        self.at(carried_out_at, Event::Invalidate { command: self.submitted });
        self.submitted += 1;
    }

    /// What the queue takes to carry a command out; one that is never complete is waited for as long as that is allowed.
    fn cost_of(&mut self, command: &Command) -> Picoseconds {
        match command.switch {
            Some((vf, true)) if self.switches().operation(vf).failure == Some(Failure::Invalidation) => {
                self.invalidation_timeout
            }
            _ => self.command_cost,
        }
    }

    /// The queue is busy with a command. What it does after the last request is over is no part of the simulated time.
    fn note_busy(&mut self, start: Picoseconds, end: Picoseconds) {
        self.late.push_back((start, end));
        while let Some((start, end)) = self.late.pop_front_if(|(_, end)| *end <= self.last_over) {
            self.counters.busy_ps += (end - start).0 - time_before(self.warm_up, start, end);
        }
    }

    /// When the queue carries out the commands that it may finish after the last request is over.
    pub fn late_commands(&self) -> impl Iterator<Item = BusySpan> + '_ {
        self.late.iter().map(|(start, end)| (self.warm_up.max(*start).min(*end), *end))
    }

    /// The IOMMU carries out a command: nothing it names is cached from now on, and what is under way for
    /// it will not be. It is complete when every access translated before has ended.
    fn invalidate<P: Replacement, O: Observe>(
        &mut self,
        now: Picoseconds,
        number: u64,
        hardware: &mut Hardware<'_, P, O>,
    ) {
        let command = &self.commands[(number - self.completed) as usize];
        let complete_at = now.max(self.drained_at);
        if let Some((unmapped, sequence)) = &command.waiter {
            self.outlook.not_before(unmapped.vf, *sequence, complete_at);
        }
        if let (Drops::DeviceTlbs, Some((vf, _))) = (command.drops, command.switch) {
            return self.invalidate_device_tlbs(now, number, vf);
        }
        self.complete_in_turn(number, complete_at);
        let command = &self.commands[(number - self.completed) as usize];
        if let (Drops::Contexts, Some((vf, _)), Some(switches)) =
            (command.drops, command.switch, &mut self.switches)
        {
            // Of the context cache alone nothing is missed on purpose: it would be seen at once.
            return switches.invalidate_context(vf);
        }
        if self.misses(number) {
            return;
        }
        let (first, last) = match command.drops {
            Drops::Page(first, last) => {
                hardware.iotlb.invalidate_range(command.domain, first, last);
                (first, last)
            }
            Drops::Domain => {
                hardware.iotlb.invalidate_domain(command.domain);
                (Iova(0), Iova(u64::MAX))
            }
            Drops::Global => {
                hardware.iotlb.invalidate_all();
                (Iova(0), Iova(u64::MAX))
            }
            Drops::Contexts | Drops::DeviceTlbs => unreachable!("they are apart"),
        };
        let domain = (!matches!(command.drops, Drops::Global)).then_some(command.domain);
        hardware.walkers.cancel_fills(domain, first, last);
        if (self.walk_caches == WalkCacheInvalidation::Full || command.switch.is_some())
            && let Some(caches) = hardware.walk_caches.as_deref_mut()
        {
            match command.drops {
                Drops::Page(first, last) => caches.invalidate_range(now, command.domain, first, last),
                Drops::Domain => caches.invalidate_domain(now, command.domain),
                Drops::Global => caches.invalidate_all(now),
                Drops::Contexts | Drops::DeviceTlbs => {}
            }
        }
        hardware.observer.note_invalidation(hardware.iotlb, domain, first, last);
    }

    /// A command is carried out, and complete at `time`, but not before the command before it.
    fn complete_in_turn(&mut self, command: u64, time: Picoseconds) {
        if self.switches.is_none() {
            // No device keeps a command waiting.
            return self.at(time, Event::Complete { command });
        }
        self.turns.push(command, Some(time));
        self.complete_known();
    }

    /// Commands are complete as far as it is known when.
    pub(super) fn complete_known(&mut self) {
        while let Some((command, time)) = self.turns.next_complete() {
            self.at(time, Event::Complete { command });
            let switch = self.commands[(command - self.completed) as usize].switch;
            if let (Some((vf, true)), Some(switches)) = (switch, &mut self.switches) {
                switches.operation(vf).not_before = time;
            }
        }
    }

    /// Whether a command drops nothing, on purpose.
    pub(super) fn misses(&self, command: u64) -> bool {
        self.misses_invalidations && command % 8 == 7
    }

    /// The oldest command is complete.
    fn complete(&mut self, now: Picoseconds, tables: &mut [PageTable]) {
        let command = self.commands.pop_front().expect("a command under way");
        self.completed += 1;
        for unmapped in &command.flushes {
            self.forget(command.table, unmapped);
            let stream = self.streams[unmapped.vf as usize].as_mut().expect("it unmapped");
            let since = unmapped.since.max(self.warm_up);
            stream.books.exposure_ps += u128::from(now.saturating_sub(since).0);
        }
        if let Some((unmapped, sequence)) = command.waiter {
            self.forget(command.table, &unmapped);
            self.release(&unmapped, now);
            if self.counts(unmapped.since) {
                let books = &mut self.streams[unmapped.vf as usize].as_mut().expect("it unmapped").books;
                let wait = now - unmapped.since;
                books.unmap_wait_ps += u128::from(wait.0);
                books.unmap_wait_max = books.unmap_wait_max.max(wait);
            }
            self.go_on(unmapped.vf, sequence, now, tables);
        }
        if let Some((vf, true)) = command.switch {
            self.invalidated(vf, command.domain, now);
        }
    }

    fn note_breach(&mut self, breach: Breach) {
        self.counters.first_breach = Some(breach.or_earlier(self.counters.first_breach));
    }

    /// No cached translation of a page is left: its address is free.
    fn forget(&mut self, table: u32, unmapped: &Unmapped) {
        self.pending.remove(&(table, unmapped.leaf.base.0));
        let stream = self.streams[unmapped.vf as usize].as_mut().expect("it unmapped");
        stream.give_address_back(unmapped.leaf.base);
    }

    /// An unmap returns: the frame leaves its owner. An access that was translated before and has not ended
    /// reaches what is no longer the tenant's: stale where that was accepted, a breach where it was not.
    fn release(&mut self, unmapped: &Unmapped, now: Picoseconds) {
        let over = self.frames.give_back(&unmapped.leaf, now);
        let counts = self.counts(now);
        let books = &mut self.streams[unmapped.vf as usize].as_mut().expect("it unmapped").books;
        match self.mode {
            InvalidationMode::Strict if !over => {
                books.breaches += 1;
                self.note_breach(Breach::new(now, unmapped.vf, unmapped.leaf.target, BreachCause::FrameLeft));
            }
            InvalidationMode::Strict => {}
            InvalidationMode::Deferred => books.stale += u64::from(!over && counts),
        }
    }

    /// An unmap has returned: the driver maps the next buffer, and the client goes on.
    fn go_on(&mut self, vf: u32, sequence: u64, now: Picoseconds, tables: &mut [PageTable]) {
        self.map_next(vf, tables);
        self.tell(vf, sequence, now);
    }

    fn map_next(&mut self, vf: u32, tables: &mut [PageTable]) {
        let stream = self.streams[vf as usize].as_mut().expect("a VF with streaming mappings");
        let size = stream.plan.page_size;
        let base = stream.take_address();
        let leaf =
            Leaf { base, target: self.frames.take(size, vf), size, permissions: stream.plan.permissions };
        tables[stream.table as usize].map(leaf).expect("a free address is not mapped");
        stream.post(base);
    }

    /// The client of a request goes on, a picosecond later: at one instant, what is intended comes before
    /// control events, and nothing can be the cause of what was before it.
    fn tell(&mut self, vf: u32, sequence: u64, now: Picoseconds) {
        let time = now + Picoseconds(1);
        self.outlook.goes_on(vf, sequence);
        self.told.push(Retired { vf, sequence: Sequence(sequence), time });
    }
}

/// A host that was down is up: nothing is cached.
fn reboot<P: Replacement, O: Observe>(now: Picoseconds, hardware: &mut Hardware<'_, P, O>) {
    hardware.iotlb.invalidate_all();
    hardware.walkers.cancel_fills(None, Iova(0), Iova(u64::MAX));
    if let Some(caches) = hardware.walk_caches.as_deref_mut() {
        caches.invalidate_all(now);
    }
    hardware.observer.note_invalidation(hardware.iotlb, None, Iova(0), Iova(u64::MAX));
}
