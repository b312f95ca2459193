//! Goes on with the switches of an IOMMU's adapters.

use bevy_ecs::change_detection::ContiguousMut;
use bevy_ecs::prelude::*;

use super::books::{Disturbance, SilenceBooks, SwitchTotals};
use super::components::{Silence, Switched, Switching};
use super::kernel::LinkState;
use super::operations::DomainSwitches;
use crate::account::{Timeline, VfIncidents};
use crate::crash::Crashes;
use crate::device_tlb::DeviceTlb;
use crate::escape::ExclusiveWindows;
use crate::gate::{Candidates, Eligible, Halt, Uplink, VfQueue};
use crate::interrupts::Interrupts;
use crate::invalidation::{Control, ControlPlane};
use crate::lifecycle::{Step, VfLifecycle, VmBooks, states_of};
use crate::memory::{Completed, CompletedRows};
use crate::request::{Intent, Sequence};
use crate::schedule::Progress;
use crate::topology::{AdapterVfs, columns, columns_mut, optional_columns_mut};
use crate::traffic::{Batch, Live};
use crate::translation::{ContextEntry, LookupBound};
use crate::units::Picoseconds;

/// Every unit that is silent has its domain switched, and those whose domain is attached go on: after requests were issued,
/// before the next are looked up.
pub fn advance_switches(
    mut control: Single<&mut ControlPlane>,
    mut adapters: Query<(&mut Uplink, &Candidates, &mut Silence, &mut DeviceTlb)>,
    mut vfs: Query<&mut VfQueue>,
    requests: Query<(&Intent, &Sequence)>,
    mut windows: Query<&mut ExclusiveWindows>,
    batch: Res<Batch>,
    mut progress: ResMut<Progress>,
) {
    let mut control = control.get().filter(|control| control.switches.is_some());
    let (mut uplinks, candidates, mut silences, mut tlbs) = columns_mut!(adapters);
    let tlbs = tlbs.bypass_change_detection();
    let (uplinks, silences) = (uplinks.bypass_change_detection(), silences.bypass_change_detection());
    let mut queues = columns_mut!(vfs);
    let (intents, sequence) = columns!(requests);
    let queues = queues.bypass_change_detection();
    if silences.iter().all(|silence| silence.0.is_none()) {
        return;
    }
    progress.waits = true;
    let mut windows = optional_columns_mut!(windows);
    let mut windows = windows.as_mut().map(ContiguousMut::bypass_change_detection);
    let links = (&mut *uplinks, &mut *silences, &mut *tlbs);
    if let Some(control) = &mut control {
        progress.moved += resume(control, links, windows.as_deref_mut(), (&mut *queues, (intents, sequence)));
        invalidate_device_tlbs(control, silences, tlbs);
    }
    let last_over = last_over(silences);
    if batch.exhausted && uplinks.iter().zip(&*silences).all(|(uplink, silence)| is_idle(uplink, silence)) {
        silences.iter_mut().filter_map(Silence::get).for_each(|switching| switching.close(last_over));
    }
    let evidence = evidence(uplinks, silences, tlbs, (candidates, queues, intents));
    for (at, ((uplink, silence), tlb)) in uplinks.iter_mut().zip(&mut *silences).zip(tlbs).enumerate() {
        let Some(switching) = silence.get() else { continue };
        let in_flight = uplink.in_flight.waiting().len() as u64;
        let link = LinkState {
            frontier: uplink.frontier,
            leaves_from: uplink.leaves_from,
            looked_up: uplink.sent - in_flight,
            looked_up_from: uplink.looked_up_from,
        };
        progress.moved += u64::from(switching.advance(evidence, &link, control.as_deref_mut()));
        progress.moved += lose_aside(uplink, switching, queues, intents);
        let aborted = core::mem::take(&mut switching.aborted);
        for switched in &aborted {
            progress.moved += 1;
            note_window(windows.as_deref_mut(), at, switching, switched);
            let_go(uplink, Some(&mut *switching), tlb, (&mut *queues, (intents, sequence)), switched);
        }
        for stall in core::mem::take(&mut switching.stalled) {
            progress.moved += 1;
            let (resumed_at, vfs) = (stall.resumed_at, switching.vfs());
            let end = GoingOn { resumed_at, free_at: resumed_at, vfs, comes: None };
            go_on(uplink, switching, tlb, (&mut *queues, (intents, sequence)), &end);
        }
        if let Some(ats) = tlb.get() {
            ats.invalidations.unknown_from = switching.device_invalidations_from;
        }
        if let Some(switches) = control.as_deref_mut().and_then(|control| control.switches.as_mut()) {
            switches.over.extend(aborted);
        }
        if uplink.halt == Halt::Horizon && switching.resumes_from > uplink.resumes_from {
            // Requests behind the horizon that was have not been looked at.
            uplink.halt = Halt::Until(uplink.frontier);
        }
        uplink.resumes_from = switching.resumes_from;
    }
    let known = silences.iter().map(|silence| silence.0.as_deref().map(|switching| switching.windows_from));
    for (windows, known) in windows.into_iter().flatten().zip(known) {
        known.into_iter().for_each(|until| windows.know_until(until));
    }
}

/// Books the switches that are over, writes their phases into the timeline, and tells which domains VFs have by now.
pub fn book_switches(
    iommu: Single<(&mut ControlPlane, &LookupBound)>,
    mut timeline: Single<&mut Timeline>,
    mut adapters: Query<(&AdapterVfs, &Silence, &mut SwitchTotals, &mut Interrupts)>,
    mut vfs: Query<(&mut SilenceBooks, &mut ContextEntry, &mut VmBooks, &mut VfLifecycle)>,
) {
    let (mut control, bound) = iommu.into_inner();
    let (of_adapters, silences, mut totals, mut interrupts) = columns_mut!(adapters);
    if silences.iter().all(|silence| silence.0.is_none()) {
        return;
    }
    let totals = totals.bypass_change_detection();
    let interrupts = interrupts.bypass_change_detection();
    let (mut books, mut contexts, mut of_vms, mut lifecycles) = columns_mut!(vfs);
    let books = books.bypass_change_detection();
    let (of_vms, lifecycles) = (of_vms.bypass_change_detection(), lifecycles.bypass_change_detection());
    if let Some(Control { switches: Some(switches), crashes, .. }) = control.get() {
        let over = take_over(switches, crashes.as_ref(), bound);
        for (context, vf) in contexts.bypass_change_detection().iter_mut().zip(0..) {
            context.0 = switches.entry(vf);
        }
        for switched in over {
            let vf = switched.vf as usize;
            timeline.switch(switched.vf, &switched.phases(switches.is_atomic));
            timeline.lifecycle(switched.vf, &states_of(&mut lifecycles[vf], &switched));
            let covers = |vfs: &AdapterVfs| (vfs.first..vfs.end).contains(&switched.vf);
            let at = of_adapters.iter().position(covers).expect("its adapter");
            let switching = silences[at].0.as_deref().expect("it has switches");
            note_interrupts(&mut interrupts[at], switching, &switched);
            if switched.from >= switching.warm_up {
                of_vms[vf].add(&switched);
                book_switch(&switched, switching, &mut totals[at], books);
            }
        }
        for (books, of_vf) in books.iter_mut().zip(&switches.books) {
            (books.faults, books.stale, books.breaches) = (of_vf.faults, of_vf.stale, of_vf.breaches);
        }
    }
    for ((vfs, silence), totals) in of_adapters.iter().zip(silences).zip(totals) {
        let Some(switching) = silence.0.as_deref() else { continue };
        totals.refused = switching.refused;
        let of_adapter = &mut books[vfs.first as usize..vfs.end as usize];
        for (books, held) in of_adapter.iter_mut().zip(&switching.held) {
            (books.held, books.held_ps) = (held.requests, held.held_ps);
        }
    }
}

/// Books a switch that is over, of an adapter.
fn book_switch(
    switched: &Switched,
    switching: &Switching,
    totals: &mut SwitchTotals,
    books: &mut [SilenceBooks],
) {
    totals.add(switched);
    books[switched.vf as usize].switches += 1;
    if !switching.pauses {
        return;
    }
    let silent = switching.silent_with(switched.vf);
    for vf in silent.filter(|vf| switching.obeys(*vf)) {
        books[vf as usize].silence_ps += (switched.last() - switched.from).0;
    }
}

/// Interrupts of the adapter are masked, or not, in the window of a switch that is over.
fn note_interrupts(interrupts: &mut Interrupts, switching: &Switching, switched: &Switched) {
    if let (Some(of), Some(window)) = (&mut interrupts.0, switched.exclusive_window())
        && switching.quiesces
    {
        let alone = (!switching.is_of_adapter()).then_some(switched.vf - switching.first_vf);
        of.note_window(alone, window);
    }
}

/// Books the latencies of the requests that pauses disturbed and that are over.
pub fn book_disturbed(
    iommu: Single<(&CompletedRows, &ControlPlane)>,
    mut adapters: Query<(&AdapterVfs, &mut Silence)>,
    mut vfs: Query<&mut SilenceBooks>,
    requests: Query<(&Intent, &Sequence, &Completed)>,
) {
    let (of_adapters, mut silences) = columns_mut!(adapters);
    let silences = silences.bypass_change_detection();
    let has_any = |silence: &Silence| silence.0.as_deref().is_some_and(|of| !of.disturbed.is_empty());
    if !silences.iter().any(has_any) {
        return;
    }
    let mut books = columns_mut!(vfs);
    let books = books.bypass_change_detection();
    let (intents, sequence, completed) = columns!(requests);
    let (done, control) = iommu.into_inner();
    let crashes = control.0.as_deref().and_then(|control| control.crashes.as_ref());
    for &row in &done.0 {
        let Intent { time, vf, .. } = intents[row as usize];
        let at = of_adapters.partition_point(|vfs| vfs.end <= vf);
        let request = (vf, sequence[row as usize].0);
        let disturbance = silences[at].get().and_then(|switching| switching.take_disturbed(request));
        let completed = completed[row as usize].0;
        let Some(disturbance) = disturbance else { continue };
        if crashes.is_some_and(|crashes| crashes.aborts(time, completed)) {
            continue;
        }
        let books = &mut books[vf as usize];
        match disturbance {
            Disturbance::Held => books.held_over.note(completed - time),
            Disturbance::Recovery => books.recovering.note(completed - time),
        }
    }
}

/// The switches that are over and whose host was up; where it may go down, as far as that is known.
fn take_over(switches: &mut DomainSwitches, crashes: Option<&Crashes>, bound: &LookupBound) -> Vec<Switched> {
    let over = core::mem::take(&mut switches.over);
    let Some(crashes) = crashes else { return over };
    let (over, later) = over.into_iter().partition(|switched: &Switched| switched.last() < bound.0);
    switches.over = later;
    let over: Vec<Switched> = over;
    over.into_iter().filter(|switched| !crashes.aborts(switched.from, switched.last())).collect()
}

/// Books the requests that never left: they are over.
pub fn book_lost(
    mut batch: ResMut<Batch>,
    mut adapters: Query<&mut Silence>,
    mut vfs: Query<(&mut SilenceBooks, &mut VfIncidents)>,
    mut requests: Query<&mut Live>,
) {
    let mut silences = columns_mut!(adapters);
    let silences = silences.bypass_change_detection();
    if silences.iter().all(|silence| silence.0.as_deref().is_none_or(|switching| switching.lost.is_empty())) {
        return;
    }
    let (mut books, mut incidents) = columns_mut!(vfs);
    let (books, incidents) = (books.bypass_change_detection(), incidents.bypass_change_detection());
    let mut live = columns_mut!(requests);
    let live = live.bypass_change_detection();
    for switching in silences.iter_mut().filter_map(Silence::get) {
        let warm_up = switching.warm_up;
        for lost in switching.lost.drain(..) {
            live[lost.row as usize] = Live(false);
            batch.over += 1;
            batch.over_since_reuse += 1;
            if lost.intended < warm_up {
                incidents[lost.vf as usize].warm_up += 1;
            } else {
                books[lost.vf as usize].lose(&lost);
            }
        }
    }
}

/// Adapters and VFs whose switch is over go on; returns how many.
fn resume(
    control: &mut Control,
    (uplinks, silences, tlbs): (&mut [Uplink], &mut [Silence], &mut [DeviceTlb]),
    mut windows: Option<&mut [ExclusiveWindows]>,
    (queues, requests): (&mut [VfQueue], RequestColumns<'_>),
) -> u64 {
    let switches = control.switches.as_mut().expect("there are some");
    let attached = core::mem::take(&mut switches.attached);
    for attached in &attached {
        let has =
            |silence: &Silence| silence.0.as_deref().is_some_and(|switching| switching.has(attached.vf));
        let at = silences.iter().position(has).expect("its adapter has switches");
        let switching = silences[at].get().expect("it has");
        let switched = switching.finish(attached);
        switches.over.push(switched);
        note_window(windows.as_deref_mut(), at, switching, &switched);
        let queues = (&mut *queues, requests);
        let_go(&mut uplinks[at], silences[at].get(), &mut tlbs[at], queues, &switched);
    }
    attached.len() as u64
}

/// A switch is over: while it was exclusive, the driver of its adapter was not called.
fn note_window(
    windows: Option<&mut [ExclusiveWindows]>,
    adapter: usize,
    switching: &Switching,
    switched: &Switched,
) {
    let window = switched.exclusive_window().filter(|_| switching.has_exclusive_windows());
    if let (Some(windows), Some(window)) = (windows, window) {
        windows[adapter].push(window);
    }
}

/// Devices hear of invalidations of their TLBs.
fn invalidate_device_tlbs(control: &mut Control, silences: &[Silence], tlbs: &mut [DeviceTlb]) {
    let switches = control.switches.as_mut().expect("there are some");
    for invalidation in switches.device_invalidations.drain(..) {
        let vf = invalidation.vfs.start;
        let has = |silence: &Silence| silence.0.as_deref().is_some_and(|switching| switching.has(vf));
        let at = silences.iter().position(has).expect("its adapter has switches");
        let ats = tlbs[at].get().expect("it has a TLB");
        ats.invalidations.known.push_back(invalidation);
    }
}

/// What a switch held back goes on, or is lost.
fn let_go(
    uplink: &mut Uplink,
    switching: Option<&mut Switching>,
    tlb: &mut DeviceTlb,
    (queues, requests): (&mut [VfQueue], RequestColumns<'_>),
    switched: &Switched,
) {
    let Some(switching) = switching.filter(|switching| switching.pauses) else { return };
    let resumed_at = switched.resumed_at;
    // Where nobody goes on all is lost, whenever the link is free.
    let free_at = if resumed_at < Picoseconds::MAX { resumed_at } else { switched.from };
    let vfs = switching.silent_with(switched.vf);
    let comes = matches!(switched.due.step, Step::Attach(_)).then_some(switched.vf);
    go_on(uplink, switching, tlb, (queues, requests), &GoingOn { resumed_at, free_at, vfs, comes });
}

/// The end of a pause.
struct GoingOn {
    /// When what it held back goes on, or is lost.
    resumed_at: Picoseconds,
    /// Others of these VFs leave then or later.
    free_at: Picoseconds,
    /// Those who were silent, by their indices within the world.
    vfs: core::ops::Range<u32>,
    /// The one of them whose VM came.
    comes: Option<u32>,
}

fn go_on(
    uplink: &mut Uplink,
    switching: &mut Switching,
    tlb: &mut DeviceTlb,
    (queues, requests): (&mut [VfQueue], RequestColumns<'_>),
    end: &GoingOn,
) {
    let &GoingOn { resumed_at, free_at, ref vfs, comes } = end;
    let ats = tlb.get();
    let through_tlb = ats.is_some();
    if switching.sets_aside() {
        // Those that are lost go through the gate once more, before those that are not.
        for vf in vfs.clone() {
            release_aside(uplink, switching, vf, (&mut *queues, requests), resumed_at);
        }
    } else if let Some(ats) = ats {
        // What was taken up before goes on meanwhile.
        ats.takes_up_from = ats.takes_up_from.max(free_at);
    } else {
        uplink.free_at = uplink.free_at.max(free_at);
        if let Some(vf) = comes {
            release_aside(uplink, switching, vf, (queues, requests), resumed_at);
        }
    }
    if through_tlb {
        // Nothing that it takes up now leaves before what was said it might.
        return;
    }
    uplink.halt = Halt::Until(uplink.frontier);
}

/// What is intended, and which of its VF's it is.
type RequestColumns<'a> = (&'a [Intent], &'a [Sequence]);

/// What stands aside of a VF goes on at `resumed_at`, or is lost.
fn release_aside(
    uplink: &mut Uplink,
    switching: &mut Switching,
    vf: u32,
    (queues, (intents, sequence)): (&mut [VfQueue], RequestColumns<'_>),
    resumed_at: Picoseconds,
) {
    if !queues[vf as usize].aside.is_empty() && switching.keeps_aside(vf, resumed_at) {
        return;
    }
    let lost_at = |request: &Eligible| {
        let outage = switching.outage_ahead(vf, request.time);
        let of_outage = outage.map(|outage| outage.from.max(request.time));
        let times = (intents[request.row as usize].time, request.time);
        of_outage.or_else(|| switching.lost_before(vf, times, resumed_at))
    };
    uplink.release_aside(&mut queues[vf as usize], resumed_at, lost_at, sequence);
}

/// What stands aside of VFs whose VMs stop before it can leave goes through the gate once more, to be lost; how many requests
/// that are.
fn lose_aside(
    uplink: &mut Uplink,
    switching: &mut Switching,
    queues: &mut [VfQueue],
    intents: &[Intent],
) -> u64 {
    if switching.holds.is_empty() {
        return 0;
    }
    let mut lost = 0;
    for vf in switching.vfs() {
        let aside = &mut queues[vf as usize].aside;
        if aside.is_empty() {
            continue;
        }
        let leaves_from = switching.leaves_aside_from(vf);
        // They stand aside in the order in which they were intended: the first are lost.
        while let Some(&request) = aside.front() {
            let times = (intents[request.row as usize].time, request.time);
            let Some(lost_at) = switching.lost_before(vf, times, leaves_from) else { break };
            aside.pop_front();
            uplink.make_ready(request, lost_at);
            lost += 1;
        }
        if aside.is_empty() {
            switching.let_nobody_aside(vf);
        }
    }
    if lost > 0 && uplink.halt == Halt::Horizon {
        uplink.halt = Halt::Until(uplink.frontier);
    }
    lost
}

/// When the last request was over, as far as that is known.
fn last_over(silences: &[Silence]) -> Picoseconds {
    let switching = silences.iter().filter_map(|silence| silence.0.as_deref());
    switching.map(|switching| switching.last_over).max().unwrap_or_default()
}

/// Whether nothing of an adapter is under way or waits.
fn is_idle(uplink: &Uplink, silence: &Silence) -> bool {
    let open = silence.0.as_deref().map_or(0, |switching| switching.open);
    uplink.emitted == uplink.sent && open == 0
}

/// A request that has not left leaves or is lost at this time or later.
fn over_from(uplink: &Uplink, silence: &Silence) -> Picoseconds {
    let Some(switching) = silence.0.as_deref().filter(|switching| switching.loses) else {
        return uplink.frontier;
    };
    // What is first in the order is not lost, as far as is known; what is behind the horizon may be.
    let next = uplink.next.map(|next| next.time);
    let known = if next.is_some() { Picoseconds::MAX } else { uplink.processed };
    uplink.frontier.min(switching.loses_from().max(next.unwrap_or_default())).min(known)
}

/// Where VMs stop: some request of an adapter that has not left is not lost to a known stop before this time.
fn stops_from(
    uplink: &Uplink,
    candidates: &Candidates,
    switching: &Switching,
    (queues, intents): (&[VfQueue], &[Intent]),
) -> Picoseconds {
    let of_gate = uplink.next.iter().chain(uplink.released.waiting()).chain(uplink.ready.waiting());
    let of_queues = switching.vfs().flat_map(|vf| {
        let queue = &queues[vf as usize];
        let eligible = queue.held.iter().chain(&queue.aside).map(|request| request.row);
        eligible.chain(queue.stalled.iter().copied())
    });
    let rows = of_gate.map(|request| request.row).chain(of_queues);
    let rows = rows.chain(candidates.rows[candidates.admitted..].iter().copied());
    let stops = rows.map(|row| {
        let Intent { vf, time, .. } = intents[row as usize];
        switching.stops_after(vf, time)
    });
    stops.max().unwrap_or(Picoseconds::MAX)
}

/// A request of the IOMMU will be over at this time or later: a switch that is due until then takes place.
fn evidence(
    uplinks: &[Uplink],
    silences: &[Silence],
    tlbs: &[DeviceTlb],
    (candidates, queues, intents): (&[Candidates], &[VfQueue], &[Intent]),
) -> Picoseconds {
    let of_adapter =
        |(((uplink, silence), tlb), candidates): (((&Uplink, &Silence), &DeviceTlb), &Candidates)| {
            let left = silence.0.as_deref().map_or(Picoseconds::ZERO, |switching| switching.over_from);
            let stalled = !uplink.in_flight.waiting().is_empty();
            let looked_up = if stalled { uplink.looked_up_from } else { Picoseconds::ZERO };
            let intended =
                candidates.rows.last().map_or(Picoseconds::ZERO, |row| intents[*row as usize].time);
            let waits = match &tlb.0 {
                None => uplink.emitted > uplink.sent,
                Some(ats) => uplink.emitted.wrapping_sub_signed(ats.more_tlps) > ats.taken_up,
            };
            let waits = waits && uplink.frontier < Picoseconds::MAX;
            let mut to_leave = if waits { over_from(uplink, silence) } else { Picoseconds::ZERO };
            if waits && let Some(switching) = silence.0.as_deref().filter(|of| !of.stops.is_empty()) {
                to_leave = to_leave.min(stops_from(uplink, candidates, switching, (queues, intents)));
            }
            left.max(looked_up).max(intended).max(to_leave)
        };
    uplinks.iter().zip(silences).zip(tlbs).zip(candidates).map(of_adapter).max().unwrap_or_default()
}
