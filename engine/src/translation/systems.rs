//! Runs the ordered pass over the arrivals.

use bevy_ecs::prelude::*;

use super::components::*;
use super::faults::FaultQueue;
use super::iotlb::Tag;
use super::kernel::{OrderedPass, Prepared, Segment};
use super::replacement::{Replacement, with_iotlb};
use super::walk_cache::WalkCaches;
use super::walk_costs::{VaryingWalks, Walks};
use super::walkers::Walkers;
use crate::account::AuditPolicy;
use crate::domain::{LeafSize, PageTable};
use crate::gate::{Credit, Refunds, Uplink};
use crate::ids::Iova;
use crate::request::{Intent, Sequence, Transfer};
use crate::schedule::Progress;
use crate::topology::{columns, columns_mut};
use crate::traffic::Batch;
use crate::units::Picoseconds;

/// What the ordered pass reads of a request and writes to it: columns of one length.
struct Columns<'a> {
    intents: &'a [Intent],
    sequence: &'a [Sequence],
    translations: &'a mut [Translation],
}

/// The links that arrivals come from.
struct Links<'a> {
    uplinks: &'a [Uplink],
    credits: &'a mut [Refunds<Credit>],
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
        &Arrivals,
        &mut FaultQueue,
        &mut LookupClock,
        &mut LookupBound,
        &mut LookedUp,
        &mut Reached,
    )>,
    mut adapters: Query<(&Uplink, &mut Refunds<Credit>)>,
    vfs: Query<&ContextEntry>,
    tables: Query<&PageTable>,
    mut requests: Query<(&Intent, &Sequence, &mut Translation)>,
    batch: Res<Batch>,
    mut blocks: Local<Blocks>,
    mut progress: ResMut<Progress>,
) {
    let (
        (mut iotlb, mut walk_caches, mut walkers, times, audit),
        arrivals,
        mut faults,
        mut clock,
        mut bound,
        mut looked_up,
        mut reached,
    ) = iommu.into_inner();
    let (uplinks, mut credits) = columns_mut!(adapters);
    let credits = credits.bypass_change_detection();
    let (intents, sequence, mut translations) = columns_mut!(requests);
    let rows = batch.rows as usize;
    let mut columns = Columns {
        intents: &intents[..rows],
        sequence: &sequence[..rows],
        translations: &mut translations.bypass_change_detection()[..rows],
    };
    let mut notes = Notes { reached: &mut reached.0, faults: &mut faults, audit: *audit };
    let contexts = columns!(vfs);
    let tables = columns!(tables);
    let mut links = Links { uplinks, credits };
    let TranslationTimes { walks: costs, hit } = times;
    let walkers = &mut *walkers;
    with_iotlb!(&mut iotlb.0, |iotlb| {
        let pieces = Vec::new();
        clock.0 = if let Some(walks) = costs.fixed() {
            let pass = OrderedPass { iotlb, walkers, contexts, tables, walks, hit: *hit, pieces };
            pass_over(pass, &mut blocks.0, arrivals, &mut columns, &mut links, &mut notes, clock.0)
        } else {
            let walks = VaryingWalks { costs, caches: &mut walk_caches };
            let pass = OrderedPass { iotlb, walkers, contexts, tables, walks, hit: *hit, pieces };
            pass_over(pass, &mut blocks.0, arrivals, &mut columns, &mut links, &mut notes, clock.0)
        };
    });
    bound.0 = arrivals.until.max(clock.0);
    looked_up.last_pass = looked_up.rows.len();
    looked_up.rows.extend(arrivals.ordered.iter().map(|arrived| arrived.row));
    progress.moved += arrivals.ordered.len() as u64;
}

/// Looks up the arrivals, and ends every walk behind the last; returns when the last look-up was done.
#[inline(always)]
fn pass_over<P: Replacement, W: Walks>(
    mut pass: OrderedPass<'_, P, W>,
    blocks: &mut [Block; 3],
    arrivals: &Arrivals,
    columns: &mut Columns<'_>,
    links: &mut Links<'_>,
    notes: &mut Notes<'_>,
    clock: Picoseconds,
) -> Picoseconds {
    let clock = run_pass(&mut pass, blocks, &arrivals.ordered, columns, links, notes, clock);
    if arrivals.until == Picoseconds::MAX {
        pass.end_walks(Picoseconds::MAX);
    }
    clock
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
fn prepare<P: Replacement, W: Walks>(
    pass: &OrderedPass<'_, P, W>,
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
fn prefetch_entries<P: Replacement, W: Walks>(pass: &OrderedPass<'_, P, W>, block: &Block) {
    for dma in block.dmas() {
        let Some(context) = dma.context else { continue };
        pass.iotlb.prefetch_entry(dma.set, dma.hash);
        pass.tables[context.table as usize].prefetch_entry(dma.iova);
    }
}

/// Looks up one arrival after another; returns when the last look-up was done.
fn run_pass<P: Replacement, W: Walks>(
    pass: &mut OrderedPass<'_, P, W>,
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
            clock = pass.translate(time.max(clock), dma, translation);
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

/// Keeps the pieces of a DMA for the owner map.
#[cold]
fn note_pieces(pieces: &mut Vec<Segment>, row: u32, sequence: &[Sequence], notes: &mut Notes<'_>) {
    let judged = notes.audit.judges(sequence[row as usize].0);
    let reached = pieces.drain(..).map(|segment| ReachedPiece { row, segment });
    if judged {
        notes.reached.extend(reached);
    }
}
