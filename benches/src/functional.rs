//! The engine's IOTLB and page tables, driven by a bare loop: the same look-ups and fills as in the
//! engine, but a miss fills at once and nothing is timed.
//!
//! Between the bare loop and the stage: what the parts that can be exact about leaf sizes, rights and
//! replacement cost by themselves.

use portcullis_engine::domain::PageTable;
use portcullis_engine::ids::{DomainId, Iova};
use portcullis_engine::translation::Iotlb;
use portcullis_engine::translation::replacement::Replacement;

use crate::captured::Requests;

/// Translates the requests in order, one physical address each, appended to `addresses`; returns how many
/// hit.
///
/// # Panics
/// If a page is not mapped.
pub fn translate_functionally<P: Replacement>(
    iotlb: &mut Iotlb<P>,
    tables: &[PageTable],
    requests: Requests<'_>,
    addresses: &mut Vec<u64>,
) -> u64 {
    let mut hits = 0;
    addresses.extend(requests.tenant.iter().zip(requests.iova).map(|(&tenant, &iova)| {
        let (domain, iova) = (DomainId(u32::from(tenant) + 1), Iova(iova));
        let leaf = iotlb.lookup(domain, iova);
        hits += u64::from(leaf.is_some());
        let leaf = leaf.unwrap_or_else(|| {
            let leaf = tables[usize::from(tenant)].lookup(iova).expect("every page is mapped");
            iotlb.fill(domain, &leaf);
            leaf
        });
        leaf.translate(iova).0
    }));
    hits
}
