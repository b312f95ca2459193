//! What DMAs take beyond memory's latency: for data that is not cached, and for writes before them.

use super::components::{MemoryTimes, PostedWrites};
use super::llc::LastLevelCache;
use crate::ids::{DomainId, Iova};
use crate::request::{Intent, Op};
use crate::translation::{ContextEntry, Translation};
use crate::units::Picoseconds;

/// Whose lines those of streaming mappings are: their frames change hands, so it is the frames that tell them.
/// No domain has this number.
const BY_FRAME: DomainId = DomainId(0);

/// What a DMA waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// What it takes beyond memory's latency.
    pub longer: Picoseconds,
    /// When the writes before it that it may not overtake are out of its way.
    pub turn: Picoseconds,
}

/// The memory side of a host, which DMAs reach in the order of their look-ups.
pub struct Waits<'a> {
    /// The last-level cache, where there is one.
    pub llc: Option<&'a mut LastLevelCache>,
    /// The writes of each VF.
    pub posted: &'a mut [PostedWrites],
    /// The context entries, by VF.
    pub contexts: &'a [ContextEntry],
    /// Whether writes of a VF stay in order.
    pub in_order: bool,
}

impl<'a> Waits<'a> {
    /// Of an IOMMU with this memory; nothing where no DMA ever waits.
    #[must_use]
    pub fn new(
        memory: &MemoryTimes,
        llc: Option<&'a mut LastLevelCache>,
        posted: &'a mut [PostedWrites],
        contexts: &'a [ContextEntry],
    ) -> Option<Self> {
        let in_order = memory.writes_in_order;
        (llc.is_some() || in_order).then_some(Self { llc, posted, contexts, in_order })
    }

    /// What the next DMA waits for, in the order of look-ups; `streams` says whether its mapping is streaming.
    pub fn of(&mut self, intent: &Intent, translation: &Translation, streams: bool) -> Wait {
        let data = self.data(intent, translation, streams);
        if !self.in_order {
            return Wait { longer: data, turn: Picoseconds::ZERO };
        }
        let (posted, op) = (&mut self.posted[intent.vf as usize], intent.transfer.op);
        let turn = posted.turn(op);
        Wait { longer: data + posted.turn_wait(op, translation.known_at), turn }
    }

    /// What it takes longer for its data, whose lines it touches.
    fn data(&mut self, intent: &Intent, translation: &Translation, streams: bool) -> Picoseconds {
        let Some(llc) = &mut self.llc else { return Picoseconds::ZERO };
        let context = self.contexts[intent.vf as usize].0;
        let Some(context) = context.filter(|_| translation.fault.is_none()) else { return Picoseconds::ZERO };
        let transfer = intent.transfer;
        let (domain, first) =
            if streams { (BY_FRAME, Iova(translation.address)) } else { (context.domain, intent.iova) };
        let cached = llc.touch(domain, first, u64::from(transfer.length_bytes));
        if cached || transfer.op == Op::Write { Picoseconds::ZERO } else { llc.miss }
    }
}
