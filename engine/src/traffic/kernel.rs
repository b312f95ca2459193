//! Order of intended times; reuse of rows.

use crate::request::{Intended, SourceVf};

/// Offsets from the first intended time that leave room for a row number beside them.
const OFFSET_BITS: u32 = 40;

/// Appends the new rows of an adapter to its candidates, in the order of (intended time, VF,
/// sequence). `new_rows` are in the order of (VF, sequence); candidates that are left are older rows.
pub fn order(
    candidates: &mut Vec<u32>,
    new_rows: core::ops::Range<u32>,
    intended: &[Intended],
    source: &[SourceVf],
    keys: &mut Vec<u64>,
) {
    const ROW_BITS: u32 = 64 - OFFSET_BITS;
    let times = &intended[new_rows.start as usize..new_rows.end as usize];
    let base = times.iter().map(|time| time.0.0).min().unwrap_or(0);
    let last = times.iter().map(|time| time.0.0).max().unwrap_or(0);
    if !candidates.is_empty() || last - base >= 1 << OFFSET_BITS || times.len() >= 1 << ROW_BITS {
        candidates.extend(new_rows);
        let key = |row: &u32| (intended[*row as usize].0, source[*row as usize].0, *row);
        candidates.sort_unstable_by_key(key);
        return;
    }
    keys.clear();
    keys.extend(times.iter().zip(0_u64..).map(|(time, row)| (time.0.0 - base) << ROW_BITS | row));
    sort_spread(keys, last - base, ROW_BITS);
    candidates.extend(keys.iter().map(|key| new_rows.start + (key & ((1 << ROW_BITS) - 1)) as u32));
}

/// Sorts keys whose high parts are spread evenly over `0..=span`, as arrival times are: a counting
/// sort by the leading bits, then insertion where neighbours are still out of order.
fn sort_spread(keys: &mut Vec<u64>, span: u64, low_bits: u32) {
    const BUCKETS_MAX: usize = 4_096;
    let buckets = keys.len().next_power_of_two().min(BUCKETS_MAX);
    let span_bits = u64::BITS - span.leading_zeros();
    let shift = low_bits + span_bits.saturating_sub(buckets.trailing_zeros());
    let mut ends = [0_u32; BUCKETS_MAX + 1];
    for key in &*keys {
        ends[(key >> shift) as usize + 1] += 1;
    }
    for bucket in 1..=buckets {
        ends[bucket] += ends[bucket - 1];
    }
    let mut sorted = vec![0; keys.len()];
    for key in &*keys {
        let place = &mut ends[(key >> shift) as usize];
        sorted[*place as usize] = *key;
        *place += 1;
    }
    if !insertion_sort(&mut sorted, |key| *key) {
        sorted.sort_unstable();
    }
    *keys = sorted;
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
pub fn compaction(live: &[super::Live], renumbered: &mut Vec<u32>) -> u32 {
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
