//! Merging two lists in order, for lists whose items come in no predictable turn.

use core::hint::select_unpredictable;

/// Merges two lists that are in the order of `key`, through `item` (which is told whether its argument
/// is of the second list), and replaces `merged` by the result. Where keys tie, the first list goes first.
///
/// Nothing branches on keys: a branch per item that is mispredicted every second time costs more than
/// the rest of the loop.
#[inline]
pub fn merge<T, K: Ord, U: Copy + Default>(
    first: &[T],
    second: &[T],
    key: impl Fn(&T) -> K,
    item: impl Fn(&T, bool) -> U,
    merged: &mut Vec<U>,
) {
    merged.resize(first.len() + second.len(), U::default());
    let (mut from_first, mut from_second) = (0, 0);
    while let (Some(one), Some(other)) = (first.get(from_first), second.get(from_second)) {
        let is_other = key(other) < key(one);
        merged[from_first + from_second] = item(select_unpredictable(is_other, other, one), is_other);
        from_first += usize::from(!is_other);
        from_second += usize::from(is_other);
    }
    let rest = first[from_first..].iter().map(|one| (one, false));
    let rest = rest.chain(second[from_second..].iter().map(|other| (other, true)));
    for (place, (one, is_other)) in merged[from_first + from_second..].iter_mut().zip(rest) {
        *place = item(one, is_other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::merge;

    proptest! {
        /// The same as sorting one list behind the other, stably.
        #[test]
        fn is_a_stable_sort(
            mut first in prop::collection::vec(0_u32..30, 0..40),
            mut second in prop::collection::vec(0_u32..30, 0..40),
        ) {
            first.sort_unstable();
            second.sort_unstable();
            let mut merged = vec![(1, true); 20];
            merge(&first, &second, |key| *key, |key, is_second| (*key, is_second), &mut merged);
            let mut sorted: Vec<_> = first.iter().map(|key| (*key, false)).collect();
            sorted.extend(second.iter().map(|key| (*key, true)));
            sorted.sort_by_key(|item| item.0);
            prop_assert_eq!(merged, sorted);
        }
    }
}
