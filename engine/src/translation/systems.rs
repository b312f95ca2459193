//! Runs the ordered pass over the arrivals.

use bevy_ecs::change_detection::ContiguousMut;
use bevy_ecs::prelude::*;

use super::components::*;
use super::faults::FaultQueue;
use super::iotlb::Tag;
use super::kernel::{Context, Demand, Lookups, OrderedPass, Prepared, Segment};
use super::observe::{Observe, Unobserved};
use super::replacement::{Replacement, with_iotlb};
use super::spec::IommuMode;
use super::stepwise::{Step, StepwisePass};
use super::walk_cache::WalkCaches;
use super::walk_costs::{VaryingWalks, Walks};
use super::walkers::Walkers;
use crate::account::AuditPolicy;
use crate::attribution::{Cause, SplitSoFar, WalkWaits, Watch};
use crate::device_tlb::{DeviceTlb, Route};
use crate::domain::{LeafSize, PageTable};
use crate::gate::{Credit, Refunds, Uplink};
use crate::ids::Iova;
use crate::invalidation::{Access, Control, ControlPlane};
use crate::memory::{LastLevelCache, MemoryTimes, PostedWrites, Wait, Waits};
use crate::request::{Fault, Intent, Op, Sequence, Transfer};
use crate::schedule::Progress;
use crate::topology::{ADAPTERS_MAX, columns_mut, optional_columns_mut};
use crate::traffic::Batch;
use crate::units::Picoseconds;

/// What the ordered pass reads of a request and writes to it: columns of one length.
struct Columns<'a> {
    intents: &'a [Intent],
    sequence: &'a [Sequence],
    translations: &'a mut [Translation],
    /// Only where somebody watches.
    waits: Option<&'a mut [WalkWaits]>,
    /// Only where devices that look them up are watched too.
    so_far: Option<&'a mut [SplitSoFar]>,
}

/// The links that arrivals come from.
struct Links<'a> {
    uplinks: &'a mut [Uplink],
    credits: &'a mut [Refunds<Credit>],
    tlbs: &'a mut [DeviceTlb],
}

/// Where the ordered pass leaves what is not a column.
struct Notes<'a> {
    reached: &'a mut Vec<ReachedPiece>,
    faults: &'a mut FaultQueue,
    audit: AuditPolicy,
}

/// The ordered pass over the arrivals.
#[expect(clippy::type_complexity, clippy::too_many_arguments, reason = "the query is the stage's data flow")]
pub fn translate(
    iommu: Single<(
        (&mut IotlbState, &mut WalkCaches, &mut Walkers, &TranslationTimes, &AuditPolicy),
        (&mut ControlPlane, &mut StalledDma, &MemoryTimes, Option<&mut LastLevelCache>, Option<&mut Watch>),
        &mut Arrivals,
        &mut FaultQueue,
        &mut LookupClock,
        &mut LookupBound,
        &mut LookedUp,
        &mut Reached,
    )>,
    mut adapters: Query<(&mut Uplink, &mut Refunds<Credit>, &mut DeviceTlb)>,
    mut vfs: Query<(&ContextEntry, &mut PostedWrites)>,
    mut tables: Query<&mut PageTable>,
    mut requests: Query<(&Intent, &Sequence, &mut Translation)>,
    mut waits: Query<(&mut WalkWaits, Option<&mut SplitSoFar>)>,
    batch: Res<Batch>,
    mut blocks: Local<Blocks>,
    mut progress: ResMut<Progress>,
) {
    let (
        (mut iotlb, mut walk_caches, mut walkers, times, audit),
        (mut control, mut stalled, memory, llc, watch),
        mut arrivals,
        mut faults,
        mut clock,
        mut bound,
        mut looked_up,
        mut reached,
    ) = iommu.into_inner();
    let (mut uplinks, mut credits, mut tlbs) = columns_mut!(adapters);
    let uplinks = uplinks.bypass_change_detection();
    let credits = credits.bypass_change_detection();
    let (intents, sequence, mut translations) = columns_mut!(requests);
    let (mut waits, so_far) = optional_columns_mut!(waits).unzip();
    let mut so_far = so_far.flatten();
    let rows = batch.rows as usize;
    let mut columns = Columns {
        intents: &intents[..rows],
        sequence: &sequence[..rows],
        translations: &mut translations.bypass_change_detection()[..rows],
        waits: waits.as_mut().map(ContiguousMut::bypass_change_detection),
        so_far: so_far.as_mut().map(ContiguousMut::bypass_change_detection),
    };
    let mut notes = Notes { reached: &mut reached.0, faults: &mut faults, audit: *audit };
    let (contexts, mut posted) = columns_mut!(vfs);
    let posted = posted.bypass_change_detection();
    let mut tables = columns_mut!(tables);
    let tables = tables.bypass_change_detection();
    let tlbs = tlbs.bypass_change_detection();
    let mut links = Links { uplinks, credits, tlbs };
    let TranslationTimes { walks: costs, hit, mode } = times;
    let to = To { columns: &mut columns, links: &mut links, notes: &mut notes };
    looked_up.waits.clear();
    let memory = MemorySide {
        times: memory,
        waits: Waits::new(memory, llc.map(Mut::into_inner), posted, contexts),
        noted: &mut looked_up.waits,
    };
    let between = Between { control: control.get(), stalled: &mut stalled, mode: *mode, memory };
    let walkers = &mut *walkers;
    with_iotlb!(&mut iotlb.0, |iotlb| {
        let pieces = Vec::new();
        let varying = VaryingWalks { costs, caches: &mut walk_caches };
        clock.0 = if let Some(watch) = watch {
            let (walks, observer) = (varying, watch.into_inner());
            let pass = OrderedPass { iotlb, walkers, contexts, tables, walks, hit: *hit, pieces, observer };
            pass_over(pass, &mut blocks.0, between, &mut arrivals, to, clock.0)
        } else if let Some(walks) = costs.fixed() {
            let observer = Unobserved;
            let pass = OrderedPass { iotlb, walkers, contexts, tables, walks, hit: *hit, pieces, observer };
            pass_over(pass, &mut blocks.0, between, &mut arrivals, to, clock.0)
        } else {
            let (walks, observer) = (varying, Unobserved);
            let pass = OrderedPass { iotlb, walkers, contexts, tables, walks, hit: *hit, pieces, observer };
            pass_over(pass, &mut blocks.0, between, &mut arrivals, to, clock.0)
        };
    });
    let reached = arrivals.until.max(clock.0);
    // Where control events are all that happens, the time they have come to is progress.
    progress.moved += u64::from(arrivals.stepwise && reached > bound.0);
    progress.waits |= arrivals.stepwise;
    bound.0 = reached;
    let rows = arrivals.ordered.iter().map(|arrived| arrived.row);
    let LookedUp { rows: all, last_pass, with_answers, .. } = &mut *looked_up;
    *last_pass = all.len();
    match with_answers {
        None => all.extend(rows),
        Some(with_answers) => {
            with_answers.clear();
            with_answers.extend(rows);
            let translations = &columns.translations;
            let is_over = |row: &&u32| !translations[**row as usize].asked();
            all.extend(with_answers.iter().filter(is_over));
        }
    }
    progress.moved += arrivals.ordered.len() as u64;
}

/// What the ordered pass writes to.
struct To<'a, 'b> {
    columns: &'a mut Columns<'b>,
    links: &'a mut Links<'b>,
    notes: &'a mut Notes<'b>,
}

/// What comes between look-ups, where anything does.
struct Between<'a> {
    control: Option<&'a mut Control>,
    stalled: &'a mut StalledDma,
    mode: IommuMode,
    memory: MemorySide<'a>,
}

/// Memory, as far as control events depend on when accesses to it end.
struct MemorySide<'a> {
    times: &'a MemoryTimes,
    waits: Option<Waits<'a>>,
    /// What each DMA waits for memory, where any may.
    noted: &'a mut Vec<Wait>,
}

impl MemorySide<'_> {
    /// When the access of a DMA that was looked up is over; to be asked once each.
    fn over_at(&mut self, intent: &Intent, translation: &Translation, streams: bool) -> Picoseconds {
        let Translation { known_at, fault, .. } = *translation;
        let over = known_at + self.times.latency(intent.transfer.op, fault.is_some());
        let Some(waits) = &mut self.waits else { return over };
        let wait = waits.of(intent, translation, streams);
        self.noted.push(wait);
        over + wait.longer
    }
}

/// Looks up the arrivals, and ends every walk behind the last; returns when the last look-up was done.
#[inline(always)]
fn pass_over<P: Replacement, W: Walks, O: Observe>(
    mut pass: OrderedPass<'_, P, W, O>,
    blocks: &mut [Block; 3],
    between: Between<'_>,
    arrivals: &mut Arrivals,
    to: To<'_, '_>,
    clock: Picoseconds,
) -> Picoseconds {
    if arrivals.stepwise {
        return pass_stepwise(pass, between, arrivals, to, clock);
    }
    if arrivals.of_device_tlbs {
        return pass_with_answers(pass, arrivals, to, clock);
    }
    let To { columns, links, notes } = to;
    let clock = run_pass(&mut pass, blocks, &arrivals.ordered, columns, links, notes, clock);
    if arrivals.until == Picoseconds::MAX {
        pass.end_walks(Picoseconds::MAX);
    }
    clock
}

/// The same where something may come between look-ups; takes from the links what it got through.
#[inline(never)]
fn pass_stepwise<P: Replacement, W: Walks, O: Observe>(
    mut pass: OrderedPass<'_, P, W, O>,
    between: Between<'_>,
    arrivals: &mut Arrivals,
    to: To<'_, '_>,
    clock: Picoseconds,
) -> Picoseconds {
    let Between { control, stalled, mode, memory } = between;
    let To { columns, links, notes } = to;
    let mut pass = StepwisePass { pass: &mut pass, control, stalled, mode, served: Vec::new() };
    let known = Known { until: arrivals.until, controls_from: arrivals.controls_from };
    let mut taken = [0; ADAPTERS_MAX];
    let (to, ordered, known) = ((columns, &mut *links, notes), &arrivals.ordered, (known, memory));
    let clock = if arrivals.of_device_tlbs {
        run_stepwise::<_, _, _, true>(&mut pass, ordered, to, known, clock, &mut taken)
    } else {
        run_stepwise::<_, _, _, false>(&mut pass, ordered, to, known, clock, &mut taken)
    };
    arrivals.ordered.truncate(taken.iter().sum());
    for (uplink, taken) in links.uplinks.iter_mut().zip(taken) {
        uplink.in_flight.take(taken);
        uplink.looked_up_from = clock;
    }
    clock
}

/// The same where devices have TLBs: what they have translated passes, their requests are answered, and the rest is
/// looked up.
#[inline(never)]
fn pass_with_answers<P: Replacement, W: Walks, O: Observe>(
    mut pass: OrderedPass<'_, P, W, O>,
    arrivals: &Arrivals,
    to: To<'_, '_>,
    mut clock: Picoseconds,
) -> Picoseconds {
    let To { columns, links, notes } = to;
    // Elsewhere nothing is marked that was not translated for its device.
    let any_special =
        links.tlbs.iter_mut().any(|tlb| tlb.get().is_some_and(|ats| ats.has_special_functions()));
    for &Arrived { time, row, adapter } in &arrivals.ordered {
        let Intent { iova, transfer: Transfer { op, .. }, vf, .. } = columns.intents[row as usize];
        let translation = &mut columns.translations[row as usize];
        clock = clock.max(time);
        if translation.route.is_marked_translated() {
            (translation.looked_up_at, translation.known_at) = (clock, clock);
            let fault = any_special.then(|| {
                let ats = links.tlbs[adapter as usize].get().expect("it has a TLB");
                refusal(pass.contexts[vf as usize].0, ats.is_enabled_for(vf))
            });
            if let Some(fault) = fault.flatten() {
                let (time, iova) = (clock + pass.hit, Iova(translation.address));
                (translation.known_at, translation.fault) = (time, Some(fault));
                notes.faults.note(FaultNote { time, vf, iova, op, fault });
            }
            if O::ON {
                columns.note_translated(row, clock);
            }
        } else {
            if O::ON {
                pass.observer.begin(vf);
            }
            let demand = Demand { context: pass.contexts[vf as usize].0, iova, length_bytes: 1, op };
            let (taken_up, leaf) = pass.answer(clock, &demand, translation);
            clock = taken_up;
            if O::ON {
                columns.note_answer(row, pass.hit, pass.observer.waits());
            }
            let translation = &mut columns.translations[row as usize];
            if translation.route == Route::Request {
                let ats = links.tlbs[adapter as usize].get().expect("it sent a request");
                ats.request_of(row).leaf = leaf;
            } else if let Some(leaf) = leaf {
                translation.address = leaf.translate(iova).0;
            }
            if let Some(fault) = translation.fault {
                notes.faults.note(FaultNote { time: translation.known_at, vf, iova, op, fault });
            }
        }
        let propagation = links.uplinks[adapter as usize].wires.propagation;
        links.credits[adapter as usize].give_back(clock + propagation);
    }
    if arrivals.until == Picoseconds::MAX {
        pass.end_walks(Picoseconds::MAX);
    }
    clock
}

/// Why a request that is marked as translated is blocked: its mark is believed of whom ATS is enabled for.
fn refusal(context: Option<Context>, ats_enabled: bool) -> Option<Fault> {
    match context {
        None => Some(Fault::NoContext),
        Some(_) if !ats_enabled => Some(Fault::AtsDisabled),
        Some(_) => None,
    }
}

impl Columns<'_> {
    /// A DMA that is marked as translated passes at `now`, or is blocked, which is known later: whatever it waited for is
    /// in front of it.
    fn note_translated(&mut self, row: u32, now: Picoseconds) {
        let at = row as usize;
        if let Some(so_far) = &mut self.so_far {
            so_far[at].spend_until(Cause::WalkQueue, now);
            if self.translations[at].fault.is_some() {
                so_far[at].spend_until(Cause::Iotlb, self.translations[at].known_at);
            }
        }
        let looked_up = self.translations[at].lookups != Lookups::default();
        if let Some(waits) = self.waits.as_mut().filter(|_| !looked_up) {
            waits[at] = WalkWaits::default();
        }
    }

    /// A translation request was looked up, and this is what its answer waits for.
    fn note_answer(&mut self, row: u32, hit: Picoseconds, waits_for: WalkWaits) {
        let at = row as usize;
        if let Some(so_far) = &mut self.so_far {
            so_far[at].look_up(self.translations[at].known_at, hit, &waits_for);
        }
        if let Some(waits) = &mut self.waits {
            waits[at] = waits_for;
        }
    }
}

/// Arrivals that are prepared together. Their lines of the IOTLB, and of what leads to the entries of
/// the page tables, are asked for two blocks before they are looked up, the entries one block before.
const BLOCK: usize = 16;

/// Up to [`BLOCK`] arrivals.
#[derive(Clone, Copy, Default)]
struct Block {
    dmas: [Prepared; BLOCK],
    len: usize,
}

impl Block {
    #[inline]
    fn dmas(&self) -> &[Prepared] {
        &self.dmas[..self.len]
    }
}

/// The blocks between their preparation and their look-ups, kept from pass to pass.
#[derive(Default)]
pub struct Blocks([Block; 3]);

/// Reads a block's columns and asks for the cache lines it will want first.
#[inline(never)]
fn prepare<P: Replacement, W: Walks, O: Observe>(
    pass: &OrderedPass<'_, P, W, O>,
    arrivals: &[Arrived],
    intents: &[Intent],
    block: &mut Block,
) {
    block.len = arrivals.len();
    for (&arrived, dma) in arrivals.iter().zip(&mut block.dmas) {
        let Intent { iova, transfer: Transfer { length_bytes, op }, vf, .. } = intents[arrived.row as usize];
        let context = pass.contexts[vf as usize].0;
        let (mut hash, mut set) = (0, 0);
        if let Some(context) = context {
            hash = Tag::new(context.domain, iova, LeafSize::Size4K).hash();
            set = pass.iotlb.set_of_page(hash, iova);
            pass.iotlb.prefetch_set(set);
            pass.tables[context.table as usize].prefetch_region(iova);
        }
        *dma = Prepared { arrived, iova, hash, set, length_bytes, context, op };
    }
}

/// Asks for the entries of the IOTLB and of the page tables that a block may want.
#[inline(never)]
fn prefetch_entries<P: Replacement, W: Walks, O: Observe>(pass: &OrderedPass<'_, P, W, O>, block: &Block) {
    for dma in block.dmas() {
        let Some(context) = dma.context else { continue };
        pass.iotlb.prefetch_entry(dma.set, dma.hash);
        pass.tables[context.table as usize].prefetch_entry(dma.iova);
    }
}

/// Looks up one arrival after another; returns when the last look-up was done.
fn run_pass<P: Replacement, W: Walks, O: Observe>(
    pass: &mut OrderedPass<'_, P, W, O>,
    blocks: &mut [Block; 3],
    arrivals: &[Arrived],
    columns: &mut Columns<'_>,
    links: &mut Links<'_>,
    notes: &mut Notes<'_>,
    mut clock: Picoseconds,
) -> Picoseconds {
    let mut ahead = arrivals.chunks(BLOCK);
    for block in &mut blocks[..2] {
        prepare(pass, ahead.next().unwrap_or_default(), columns.intents, block);
    }
    prefetch_entries(pass, &blocks[0]);
    for turn in 0.. {
        let [now, next, then] = [turn % 3, (turn + 1) % 3, (turn + 2) % 3];
        if blocks[now].len == 0 {
            break;
        }
        prepare(pass, ahead.next().unwrap_or_default(), columns.intents, &mut blocks[then]);
        prefetch_entries(pass, &blocks[next]);
        for dma in blocks[now].dmas() {
            let Arrived { time, row, adapter } = dma.arrived;
            let translation = &mut columns.translations[row as usize];
            if O::ON {
                pass.observer.begin(columns.intents[row as usize].vf);
            }
            clock = pass.translate(time.max(clock), dma, translation);
            if O::ON
                && let Some(waits) = &mut columns.waits
            {
                waits[row as usize] = pass.observer.waits();
            }
            let propagation = links.uplinks[adapter as usize].wires.propagation;
            links.credits[adapter as usize].give_back(clock + propagation);
            let Translation { known_at, address, fault, .. } = *translation;
            if let Some(fault) = fault {
                let vf = columns.intents[row as usize].vf;
                notes.faults.note(FaultNote { time: known_at, vf, iova: Iova(address), op: dma.op, fault });
            } else if !pass.pieces.is_empty() {
                note_pieces(&mut pass.pieces, row, columns.sequence, notes);
            }
        }
    }
    clock
}

/// What a stepwise pass knows of what comes.
#[derive(Clone, Copy)]
struct Known {
    /// Nothing arrives before this time that is not known.
    until: Picoseconds,
    /// No control event comes before this time that is not known.
    controls_from: Picoseconds,
}

/// Looks up one arrival after another, with everything between that happens meanwhile, as far as it is
/// known; returns when the last look-up was done, and counts by adapter what it got through. With `ANSWERS`, devices
/// have TLBs: what they have translated passes, and their requests are answered.
fn run_stepwise<P: Replacement, W: Walks, O: Observe, const ANSWERS: bool>(
    pass: &mut StepwisePass<'_, '_, P, W, O>,
    arrivals: &[Arrived],
    (columns, links, notes): (&mut Columns<'_>, &mut Links<'_>, &mut Notes<'_>),
    (known, mut memory): (Known, MemorySide<'_>),
    mut clock: Picoseconds,
    taken: &mut [usize; ADAPTERS_MAX],
) -> Picoseconds {
    'arrivals: for &arrived in arrivals {
        let row = arrived.row as usize;
        let intent = &columns.intents[row];
        let Intent { iova, transfer: Transfer { length_bytes, op }, vf, .. } = *intent;
        clock = clock.max(arrived.time);
        let translation = &mut columns.translations[row];
        let route = if ANSWERS { translation.route } else { Route::Untranslated };
        // A translation request is for one address.
        let length_bytes = if ANSWERS { 1 } else { u64::from(length_bytes) };
        loop {
            if clock >= known.controls_from {
                break 'arrivals;
            }
            pass.advance(clock);
            if ANSWERS && matches!(route, Route::Translated | Route::Forged) {
                let demand = Demand { context: None, iova, length_bytes, op };
                pass.let_pass(clock, &demand, translation);
                break;
            }
            let is_down = pass.control.as_deref().is_some_and(|control| control.is_down(clock));
            let context = if is_down { None } else { pass.context_of(vf) };
            let demand = Demand { context, iova, length_bytes, op };
            match pass.translate(clock, vf, &demand, translation) {
                Step::Done => break,
                Step::Stalled(until) => clock = until,
            }
        }
        match route {
            Route::Untranslated => {
                if let Some(waits) = &mut columns.waits {
                    waits[row] = pass.pass.observer.waits();
                }
            }
            Route::Translated | Route::Forged => columns.note_translated(arrived.row, clock),
            Route::Request => {
                columns.note_answer(arrived.row, pass.pass.hit, pass.pass.observer.waits());
                let ats = links.tlbs[arrived.adapter as usize].get().expect("it sent a request");
                let leaf = pass.served.last().map(|served| served.leaf);
                let is_served = columns.translations[row].fault.is_none();
                ats.request_of(arrived.row).leaf = leaf.filter(|_| is_served);
            }
        }
        let translation = &mut columns.translations[row];
        taken[arrived.adapter as usize] += 1;
        let propagation = links.uplinks[arrived.adapter as usize].wires.propagation;
        links.credits[arrived.adapter as usize].give_back(clock + propagation);
        let is_down = pass.control.as_deref().is_some_and(|control| control.is_down(clock));
        if let Some(fault) = translation.fault.filter(|_| !is_down) {
            let iova = Iova(translation.address);
            notes.faults.note(FaultNote { time: translation.known_at, vf, iova, op, fault });
        }
        let sequence = columns.sequence[row];
        let streams = note_for_control(pass, translation, (intent, sequence), &mut memory, notes.audit);
        if !streams && !pass.pass.pieces.is_empty() {
            note_pieces(&mut pass.pass.pieces, arrived.row, columns.sequence, notes);
        }
    }
    // Nothing is looked up before what is not known: all else may happen.
    match known.until.max(clock).min(known.controls_from) {
        Picoseconds::MAX => pass.advance(Picoseconds::MAX),
        until => pass.advance(until.saturating_sub(Picoseconds(1))),
    }
    clock
}

/// Tells the control plane of a DMA that was looked up; whether its VF has streaming mappings.
fn note_for_control<P, W, O>(
    pass: &mut StepwisePass<'_, '_, P, W, O>,
    translation: &mut Translation,
    (intent, sequence): (&Intent, Sequence),
    memory: &mut MemorySide<'_>,
    audit: AuditPolicy,
) -> bool {
    let Intent { time: intended, iova, vf, transfer: Transfer { op, .. }, .. } = *intent;
    let streams = pass.control.as_deref().is_some_and(|control| control.stream(vf).is_some());
    if translation.route == Route::Request {
        let access = Access { vf, served: &[], intended, until: translation.known_at, audited: false };
        if let (Some(fault), Some(control)) = (translation.fault, pass.control.as_deref_mut()) {
            control.note_switch_fault(fault, &access);
        }
        return false;
    }
    let over = memory.over_at(intent, translation, streams);
    let Some(control) = pass.control.as_deref_mut() else { return false };
    let blocked = translation.fault.is_some();
    if !blocked {
        control.note_access(over);
    }
    let audited = audit.judges(sequence.0);
    let access = Access { vf, served: &pass.served, intended, until: over, audited };
    if !streams {
        if let Some(fault) = translation.fault {
            let looked_up_at = translation.looked_up_at;
            if !control.is_down(looked_up_at) {
                control.note_switch_fault(fault, &access);
                control.note_fault(vf, fault, looked_up_at);
            }
        } else {
            translation.stale = control.judge_switched(access);
        }
        return false;
    }
    if !pass.served.is_empty() && !blocked {
        translation.stale = control.judge(access);
    }
    if op == Op::Write {
        control.note_over(vf, sequence, iova, over);
    }
    true
}

/// Keeps the pieces of a DMA for the owner map.
#[cold]
fn note_pieces(pieces: &mut Vec<Segment>, row: u32, sequence: &[Sequence], notes: &mut Notes<'_>) {
    let judged = notes.audit.judges(sequence[row as usize].0);
    let reached = pieces.drain(..).map(|segment| ReachedPiece { row, segment });
    if judged {
        notes.reached.extend(reached);
    }
}
