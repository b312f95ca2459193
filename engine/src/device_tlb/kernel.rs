//! Looks DMAs up in a device TLB, and takes the answers of the IOMMU.

use super::components::{Answer, Ats, Leaving, Route, TlbLookup, TranslationRequest, page_of};
use crate::domain::Leaf;
use crate::ids::DomainId;
use crate::request::{Intent, Sequence};
use crate::translation::replacement::with_iotlb;
use crate::translation::{Tag, Translation};
use crate::units::Picoseconds;

impl Ats {
    /// Looks the DMA in `row` up at `now`; what follows leaves when the look-up is over. Whether it sends a request.
    pub fn look_up(
        &mut self,
        now: Picoseconds,
        (row, sequence): (u32, Sequence),
        intent: &Intent,
        translation: &mut Translation,
    ) -> bool {
        let Intent { iova, transfer, vf, .. } = *intent;
        *translation = Translation { address: iova.0, ..Translation::default() };
        if self.has_special_functions() && self.passes_by(now, (row, sequence), intent, translation) {
            return false;
        }
        let tag = self.tag_of(vf);
        // A device without a domain has nothing to look up by; an entry without the right does not serve.
        let cached = tag.and_then(|tag| with_iotlb!(self.tlb_of(vf), |tlb| tlb.lookup(tag, iova)));
        if let Some(leaf) = cached.filter(|leaf| leaf.permissions.allow(transfer.op)) {
            translation.device_tlb = TlbLookup::Hit;
            translation.address = leaf.translate(iova).0;
            self.leave(Leaving { ready: now + self.hit, looked_up: true, route: Route::Translated, row });
            return false;
        }
        let page = tag.map(|tag| page_of(tag, iova));
        let is_it = |request: &&mut TranslationRequest| request.page == page && !request.cancelled;
        let under_way = self.requests.iter_mut().find(is_it).filter(|_| page.is_some());
        if let Some(request) = under_way {
            translation.device_tlb = TlbLookup::Joined;
            request.joined.push(row);
            return false;
        }
        translation.device_tlb = TlbLookup::Miss;
        self.request(Leaving { ready: now + self.hit, looked_up: true, route: Route::Request, row }, page);
        true
    }

    /// Sends at once what is not looked up: a DMA that its function forges, or one of a function whose ATS is off.
    /// Whether it is such a one.
    #[inline(never)]
    fn passes_by(
        &mut self,
        now: Picoseconds,
        (row, Sequence(sequence)): (u32, Sequence),
        &Intent { iova, vf, .. }: &Intent,
        translation: &mut Translation,
    ) -> bool {
        let Some(function) = self.function(vf) else { return false };
        let route = match function.forge(sequence, iova) {
            Some(address) => {
                translation.address = address;
                Route::Forged
            }
            None if function.ats_enabled => return false,
            None => Route::Untranslated,
        };
        self.leave(Leaving { ready: now, looked_up: true, route, row });
        true
    }

    /// A request that leaves.
    fn request(&mut self, leaving: Leaving, page: Option<(DomainId, u64)>) {
        let number = self.numbered;
        self.numbered += 1;
        let row = Some(leaving.row);
        let joined = Vec::new();
        self.requests.push(TranslationRequest { number, row, page, cancelled: false, joined, leaf: None });
        self.leave(leaving);
    }

    /// Puts a TLP behind those that leave before it: at one instant, what follows from an answer goes first.
    fn leave(&mut self, leaving: Leaving) {
        let order = |leaving: &Leaving| (leaving.ready, leaving.looked_up);
        let at = self.leaving.partition_point(|there| order(there) <= order(&leaving));
        self.leaving.insert(at, leaving);
    }

    /// Takes the first answer, which is there: it fills the TLB, and the DMAs that wait for it leave. One that joined
    /// and is not served by it asks for itself; returns how many do, less 1 where the DMA that asked was refused.
    pub fn take_answer(&mut self, intents: &[Intent], translations: &mut [Translation]) -> i64 {
        let Answer { time, request } = self.answers.pop_front().expect("an answer");
        let at = self.requests.iter().position(|there| there.number == request).expect("under way");
        let TranslationRequest { row, page, cancelled, joined, leaf, .. } = self.requests.remove(at);
        let mut more = 0;
        match (leaf, row, page) {
            (Some(leaf), Some(row), Some((tag, _))) => {
                if !cancelled {
                    self.fill(intents[row as usize].vf, tag, &leaf);
                }
                self.serve(time, row, &leaf, intents, translations);
            }
            _ => more -= 1,
        }
        for row in joined {
            let op = intents[row as usize].transfer.op;
            match leaf.filter(|leaf| leaf.permissions.allow(op)) {
                Some(leaf) => self.serve(time, row, &leaf, intents, translations),
                None => {
                    let route = Route::Request;
                    self.request(Leaving { ready: time, looked_up: false, route, row }, page);
                    more += 1;
                }
            }
        }
        more
    }

    /// Caches a leaf, unless another answer has brought it meanwhile.
    fn fill(&mut self, vf: u32, tag: DomainId, leaf: &Leaf) {
        with_iotlb!(self.tlb_of(vf), |tlb| {
            if !tlb.holds(&Tag::new(tag, leaf.base, leaf.size)) {
                tlb.fill(tag, leaf);
            }
        });
    }

    /// The DMA in `row` leaves, translated by `leaf`.
    fn serve(
        &mut self,
        time: Picoseconds,
        row: u32,
        leaf: &Leaf,
        intents: &[Intent],
        translations: &mut [Translation],
    ) {
        let at = row as usize;
        translations[at].address = leaf.translate(intents[at].iova).0;
        self.leave(Leaving { ready: time, looked_up: false, route: Route::Translated, row });
    }
}
