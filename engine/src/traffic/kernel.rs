//! Order of intended times; reuse of rows.

use super::components::Live;
use super::staging::Staged;
use crate::request::Intent;
use crate::units::Picoseconds;

/// Offsets from the first intended time that leave room for a number beside them.
const OFFSET_BITS: u32 = 40;
const NUMBER_BITS: u32 = u64::BITS - OFFSET_BITS;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

/// The staged requests in the order of (intended time, VF, sequence), as keys whose low bits
/// ([`number`]) are positions in the staging area, where they lie in the order of (VF, sequence). All
/// are intended from `first` to `last`.
pub fn order(
    staged: &Staged,
    first: Picoseconds,
    last: Picoseconds,
    scratch: &mut SortScratch,
    sorted: &mut Vec<u64>,
) {
    let times = &staged.intended[..staged.len];
    let span = (last - first).0;
    sorted.clear();
    assert!(times.len() as u64 <= NUMBER_MASK, "a batch is bounded");
    if span >= 1 << OFFSET_BITS {
        sorted.extend(0..times.len() as u64);
        sorted.sort_by_key(|number| times[*number as usize].0);
        return;
    }
    scratch.keys.clear();
    let keys = times.iter().zip(0_u64..);
    scratch.keys.extend(keys.map(|(time, number)| (time.0 - first).0 << NUMBER_BITS | number));
    sort_spread(scratch, sorted, span);
}

/// The position that a key of [`order`] stands for.
#[inline]
#[must_use]
pub fn number(key: u64) -> usize {
    (key & NUMBER_MASK) as usize
}

/// Appends new rows, which are in the order of (intended time, VF, sequence), to the candidates of
/// their adapter. Candidates that are left are older rows, but may be intended later.
pub fn append(candidates: &mut Vec<u32>, new_rows: core::ops::Range<u32>, intents: &[Intent]) {
    let any_left = !candidates.is_empty();
    candidates.extend(new_rows);
    if any_left {
        let key = |row: &u32| (intents[*row as usize].time, intents[*row as usize].vf, *row);
        candidates.sort_by_key(key);
    }
}

/// What sorting keeps from batch to batch.
#[derive(Debug, Default)]
pub struct SortScratch {
    keys: Vec<u64>,
    ends: Vec<u32>,
}

/// Sorts keys whose times are spread evenly over `0..=span`, as arrival times are: a counting sort by
/// their leading bits, then insertion where neighbours are still out of order.
fn sort_spread(scratch: &mut SortScratch, sorted: &mut Vec<u64>, span: u64) {
    const BUCKETS_MAX: usize = 4_096;
    let SortScratch { keys, ends } = scratch;
    let buckets = keys.len().next_power_of_two().min(BUCKETS_MAX);
    let span_bits = u64::BITS - span.leading_zeros();
    let shift = NUMBER_BITS + span_bits.saturating_sub(buckets.trailing_zeros());
    ends.clear();
    ends.resize(buckets + 1, 0);
    for key in &*keys {
        ends[(key >> shift) as usize + 1] += 1;
    }
    let mut end = 0;
    for bucket in &mut *ends {
        end += *bucket;
        *bucket = end;
    }
    sorted.resize(keys.len(), 0);
    for key in &*keys {
        let place = &mut ends[(key >> shift) as usize];
        sorted[*place as usize] = *key;
        *place += 1;
    }
    if !insertion_sort(sorted, |key| *key) {
        sorted.sort_unstable();
    }
}

/// Sorts what is nearly sorted, stably; gives up, with `false`, where it is not.
pub fn insertion_sort<T: Copy, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) -> bool {
    let mut moves_left = 16 * items.len();
    for next in 1..items.len() {
        let item = items[next];
        let mut at = next;
        while at > 0 && key(&items[at - 1]) > key(&item) {
            items[at] = items[at - 1];
            at -= 1;
        }
        items[at] = item;
        moves_left = match moves_left.checked_sub(next - at) {
            Some(left) => left,
            None => return false,
        };
    }
    true
}

/// New row numbers of live rows, which keep their order; `u32::MAX` for the others.
pub fn compaction(live: &[Live], renumbered: &mut Vec<u32>) -> u32 {
    renumbered.clear();
    let mut kept = 0;
    renumbered.extend(live.iter().map(|live| {
        if !live.0 {
            return u32::MAX;
        }
        kept += 1;
        kept - 1
    }));
    kept
}

/// Moves the live rows of a column to their new places.
pub fn compact<T: Copy>(column: &mut [T], moves: &[(u32, u32)]) {
    for &(from, to) in moves {
        column[to as usize] = column[from as usize];
    }
}
