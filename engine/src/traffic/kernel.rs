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
    keys.sort_unstable();
    candidates.extend(keys.iter().map(|key| new_rows.start + (key & ((1 << ROW_BITS) - 1)) as u32));
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
