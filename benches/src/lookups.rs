//! Look-ups in a file that other cache simulators read too, and what goes through it.
//!
//! The file is libCacheSim's `oracleGeneral`: records of 24 bytes, little endian, without a header: `u32` time,
//! `u64` object, `u32` size, `i64` time of the next access. The object is a leaf of a domain in one number; time is
//! 0, so that nothing expires; every size is 1, so that a capacity in bytes is one in entries; -1 says that the next
//! access is not known.
//!
//! A look-up decodes its record, as it does in a peer.

use std::num::NonZeroUsize;

use lru::LruCache;
use portcullis_engine::domain::{Leaf, LeafSize, Permissions};
use portcullis_engine::hash::MixBuildHasher;
use portcullis_engine::ids::{DomainId, Iova, PhysAddr, RequesterId};
use portcullis_engine::plan::Audit;
use portcullis_engine::replay::{Event, Replay, ReplayPlan, ReplayResult};
use portcullis_engine::request::Op;
use portcullis_engine::translation::replacement::{Replacement, ReplacementPolicy};
use portcullis_engine::translation::{AnyIotlb, FullWord, Iotlb, IotlbIndex, IotlbSpec, Ways};

/// Fully associative.
pub const FULL: Ways = Ways::Full(FullWord::Full);

/// Bytes of a record.
pub const RECORD_BYTES: usize = 24;

/// Bits of an object that say which leaf of its domain it is: two of the leaf's size, 0 for 4 KiB, over 45 of
/// the number of its first page.
const LEAF_BITS: u32 = 47;

/// A leaf of a domain, as a page of its own: leaves of other sizes lie where no 4 KiB page does, so that one
/// leaf never serves another's look-up, as in caches that know objects only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Whose it is, numbered from 0.
    pub domain: u16,
    /// The page.
    pub page: Iova,
}

impl Lookup {
    /// Of an object.
    #[inline]
    #[must_use]
    pub fn of_object(object: u64) -> Self {
        let page = Iova((object & ((1 << LEAF_BITS) - 1)) << 12);
        Self { domain: (object >> LEAF_BITS) as u16, page }
    }

    /// The object of the 4 KiB page that holds an address.
    ///
    /// # Panics
    /// If the address has more than 57 bits.
    #[must_use]
    pub fn object(domain: u16, iova: Iova) -> u64 {
        assert!(iova.0 < 1 << 57, "{:#x} has more than 57 bits", iova.0);
        u64::from(domain) << LEAF_BITS | iova.0 >> 12
    }

    #[inline]
    fn domain_id(self) -> DomainId {
        DomainId(u32::from(self.domain) + 1)
    }

    /// What the page maps to: a frame that no other leaf has.
    #[inline]
    fn leaf(self, frame: u64) -> Leaf {
        Leaf {
            base: self.page,
            target: PhysAddr(frame << 12),
            size: LeafSize::Size4K,
            permissions: Permissions::ReadWrite,
        }
    }
}

/// The record of a look-up.
#[must_use]
pub fn record(object: u64) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[4..12].copy_from_slice(&object.to_le_bytes());
    record[12..16].copy_from_slice(&1_u32.to_le_bytes());
    record[16..].copy_from_slice(&(-1_i64).to_le_bytes());
    record
}

/// The objects of a file's records.
fn objects(records: &[[u8; RECORD_BYTES]]) -> impl Iterator<Item = u64> {
    records.iter().map(|record| {
        let [_, _, _, _, object @ .., _, _, _, _, _, _, _, _, _, _, _, _] = *record;
        u64::from_le_bytes(object)
    })
}

/// Records of a file that is whole.
///
/// # Errors
/// If its last record is cut short.
pub fn records(bytes: &[u8]) -> Result<&[[u8; RECORD_BYTES]], String> {
    let (records, rest) = bytes.as_chunks();
    if rest.is_empty() {
        return Ok(records);
    }
    Err(format!("{} bytes are no multiple of {RECORD_BYTES}", bytes.len()))
}

/// Something that look-ups go through, empty at first.
pub trait Arm {
    /// Looks up every record in order.
    fn look_up(&mut self, records: &[[u8; RECORD_BYTES]]);

    /// Misses so far.
    fn misses(self) -> u64;
}

struct IotlbArm<P> {
    iotlb: Iotlb<P>,
    misses: u64,
}

/// The engine's IOTLB under LRU, filled at once, alone: of so many entries in sets of so many ways, indexed by
/// hash.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn lru_arm(entries: u32, ways: Ways) -> impl Arm {
    let spec = iotlb_spec(entries, ways, ReplacementPolicy::Lru);
    let AnyIotlb::Lru(iotlb) = AnyIotlb::new(&spec, 0) else { unreachable!("LRU was asked for") };
    IotlbArm { iotlb, misses: 0 }
}

/// The same under FIFO, fully associative.
///
/// # Panics
/// If it cannot be built.
#[must_use]
pub fn fifo_arm(entries: u32) -> impl Arm {
    let spec = iotlb_spec(entries, FULL, ReplacementPolicy::Fifo);
    let AnyIotlb::Fifo(iotlb) = AnyIotlb::new(&spec, 0) else { unreachable!("FIFO was asked for") };
    IotlbArm { iotlb, misses: 0 }
}

impl<P: Replacement> Arm for IotlbArm<P> {
    fn look_up(&mut self, records: &[[u8; RECORD_BYTES]]) {
        for lookup in objects(records).map(Lookup::of_object) {
            if self.iotlb.lookup(lookup.domain_id(), lookup.page).is_none() {
                self.misses += 1;
                self.iotlb.fill(lookup.domain_id(), &lookup.leaf(self.misses));
            }
        }
    }

    fn misses(self) -> u64 {
        self.misses
    }
}

/// The cache of the crate `lru`, under the hash of the engine's tables.
pub struct LruCrateArm {
    cache: LruCache<u64, u64, MixBuildHasher>,
    misses: u64,
}

impl LruCrateArm {
    /// Of so many entries.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn new(entries: u32) -> Self {
        let entries = NonZeroUsize::new(entries as usize).expect("one entry or more");
        Self { cache: LruCache::with_hasher(entries, MixBuildHasher::default()), misses: 0 }
    }
}

impl Arm for LruCrateArm {
    fn look_up(&mut self, records: &[[u8; RECORD_BYTES]]) {
        for object in objects(records) {
            if self.cache.get(&object).is_none() {
                self.misses += 1;
                self.cache.put(object, self.misses);
            }
        }
    }

    fn misses(self) -> u64 {
        self.misses
    }
}

/// Events that are applied together, as the command line does.
const BATCH: usize = 1 << 16;

/// A whole replay: every look-up is a DMA of the domain's device, translated through context, IOTLB and page
/// table, judged by the owner map, and left as a row.
pub struct ReplayArm(Replay);

impl ReplayArm {
    /// Under LRU, of so many entries in sets of so many ways; every leaf of the records is mapped, every device
    /// attached.
    ///
    /// # Panics
    /// If the IOTLB cannot be built.
    #[must_use]
    pub fn new(entries: u32, ways: Ways, records: &[[u8; RECORD_BYTES]]) -> Self {
        let iotlb = iotlb_spec(entries, ways, ReplacementPolicy::Lru);
        let plan = ReplayPlan { trace: String::from("look-ups"), seed: 0, iotlb, audit: Audit::Full };
        let mut replay = Replay::new(plan).expect("a valid IOTLB");
        let mut leaves: Vec<u64> = objects(records).collect();
        leaves.sort_unstable();
        leaves.dedup();
        let mut events = Vec::new();
        let mut attached = None;
        for (frame, object) in (0..).zip(leaves) {
            let lookup = Lookup::of_object(object);
            if attached.replace(lookup.domain) != Some(lookup.domain) {
                let device = RequesterId(u32::from(lookup.domain));
                events.push(Event::Attach { device, domain: lookup.domain_id() });
            }
            let Leaf { base, target, size, permissions } = lookup.leaf(frame);
            events.push(Event::Map { domain: lookup.domain_id(), iova: base, pa: target, size, permissions });
        }
        for batch in events.chunks(BATCH) {
            replay.apply(batch);
        }
        Self(replay)
    }
}

impl Arm for ReplayArm {
    fn look_up(&mut self, records: &[[u8; RECORD_BYTES]]) {
        let mut events = Vec::with_capacity(BATCH);
        for batch in records.chunks(BATCH) {
            events.clear();
            events.extend(objects(batch).map(Lookup::of_object).map(|lookup| Event::Dma {
                device: RequesterId(u32::from(lookup.domain)),
                iova: lookup.page,
                length_bytes: 64,
                op: Op::Read,
            }));
            self.0.apply(&events);
            drop(self.0.drain_tables());
        }
    }

    fn misses(self) -> u64 {
        let ReplayResult { summary, breach, .. } = self.0.finish();
        assert_eq!((summary.refused_total, summary.dma_blocked, breach), (0, 0, None));
        summary.iotlb_misses
    }
}

fn iotlb_spec(entries: u32, ways: Ways, replacement: ReplacementPolicy) -> IotlbSpec {
    let spec = IotlbSpec { entries, ways, replacement, index: IotlbIndex::Hash, ..IotlbSpec::default() };
    spec.validate("iommu.iotlb").expect("a valid IOTLB");
    spec
}

#[cfg(test)]
mod tests {
    use portcullis_engine::hash::{mix64, reduce};

    use super::*;

    /// Look-ups of five domains, of which two draws choose the nearer page.
    fn drawn(count: u32, pages: u32) -> Vec<u8> {
        let object = |number: u32| {
            let draw = |purpose: u64, bound| reduce(mix64(mix64(u64::from(number)) ^ purpose), bound);
            let page = u64::from(draw(1, pages).min(draw(2, pages)));
            Lookup::object(draw(3, 5) as u16, Iova(1 << 30 | page << 12 | 0x123))
        };
        (0..count).flat_map(|number| record(object(number))).collect()
    }

    /// The least that is a cache: of LRU, or else of FIFO.
    fn naive_misses(bytes: &[u8], entries: usize, lru: bool) -> u64 {
        let mut cached: Vec<u64> = Vec::new();
        let mut misses = 0;
        for object in objects(records(bytes).expect("whole records")) {
            match cached.iter().position(|there| *there == object) {
                Some(at) if lru => drop(cached.remove(at)),
                Some(_) => continue,
                None => misses += 1,
            }
            cached.push(object);
            if cached.len() > entries {
                cached.remove(0);
            }
        }
        misses
    }

    fn misses(mut arm: impl Arm, records: &[[u8; RECORD_BYTES]]) -> u64 {
        arm.look_up(records);
        arm.misses()
    }

    #[test]
    fn every_fully_associative_arm_misses_as_the_naive_cache_does() {
        let bytes = drawn(20_000, 100);
        let records = records(&bytes).expect("whole records");
        for entries in [1, 7, 64, 300, 1_000] {
            let expected = naive_misses(&bytes, entries as usize, true);
            assert_eq!(misses(lru_arm(entries, FULL), records), expected, "IOTLB of {entries}");
            let fifo = naive_misses(&bytes, entries as usize, false);
            assert_eq!(misses(fifo_arm(entries), records), fifo, "FIFO of {entries}");
            assert_eq!(misses(LruCrateArm::new(entries), records), expected, "crate, {entries}");
            assert_eq!(misses(ReplayArm::new(entries, FULL, records), records), expected, "{entries}");
        }
    }

    #[test]
    fn sets_miss_otherwise_than_one_set_does() {
        let bytes = drawn(20_000, 100);
        let records = records(&bytes).expect("whole records");
        let sets = misses(lru_arm(64, Ways::Count(8)), records);
        assert_eq!(misses(ReplayArm::new(64, Ways::Count(8), records), records), sets);
        assert_ne!(sets, naive_misses(&bytes, 64, true));
    }

    #[test]
    fn an_object_is_a_domain_and_a_page() {
        for (domain, iova) in [(0, 0), (3, 0x1234_5678), (u16::MAX, (1 << 57) - 1)] {
            let lookup = Lookup::of_object(Lookup::object(domain, Iova(iova)));
            assert_eq!(lookup, Lookup { domain, page: Iova(iova & !0xFFF) });
        }
        let leaf_of_2_mib = Lookup::object(3, Iova(1 << 30)) | 1 << 45;
        assert_ne!(Lookup::of_object(leaf_of_2_mib), Lookup::of_object(Lookup::object(3, Iova(1 << 30))));
    }

    #[test]
    fn a_record_that_is_cut_short_is_refused() {
        let bytes = drawn(2, 10);
        assert_eq!(records(&bytes).map(<[_]>::len), Ok(2));
        assert!(records(&bytes[..47]).is_err());
    }
}
