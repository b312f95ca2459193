//! Tables that VFs of equal patterns share.

use std::sync::Arc;

use portcullis_engine::ids::{HostIndex, VfIndex};
use rand_pcg::rand_core::Rng;

use super::AliasTable;
use super::rng::{Stream, below, stream};

/// The pages `0..pages` in an order drawn from the seed, the same for every VF.
///
/// VFs turn it by an offset of their own, so that their hot pages are not the same.
#[must_use]
pub fn permutation(seed: u64, pages: u32) -> Vec<u32> {
    let mut rng = stream(seed, HostIndex(0), VfIndex(pages), Stream::Permutation);
    let mut order: Vec<u32> = (0..pages).collect();
    for last in (1..pages).rev() {
        let other = below((rng.next_u64() >> 32) as u32, last + 1);
        order.swap(last as usize, other as usize);
    }
    order
}

/// An alias table that draws pages by Zipf's law, the ranks scattered over the pages.
#[must_use]
pub fn zipf_table(seed: u64, pages: u32, exponent: f64) -> Arc<AliasTable> {
    let mut weights = vec![0.0; pages as usize];
    for (rank, page) in permutation(seed, pages).into_iter().enumerate() {
        weights[page as usize] = libm::pow((rank + 1) as f64, -exponent);
    }
    Arc::new(AliasTable::new(&weights))
}
