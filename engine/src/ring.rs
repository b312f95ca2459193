//! A queue kept in the order of a key.

use crate::prefetch::prefetch;

/// A ring whose items lie in the order of their keys; ties in the order in which they came. What is
/// inserted is mostly the last or nearly so, and what is taken is the first.
#[derive(Clone, Debug)]
pub struct OrderedRing<T> {
    /// A power of two of places.
    items: Box<[T]>,
    first: usize,
    len: usize,
}

impl<T: Copy + Default> OrderedRing<T> {
    /// An empty ring with room for `items` items; it grows where more come.
    #[must_use]
    pub fn new(items: usize) -> Self {
        Self { items: vec![T::default(); items.next_power_of_two()].into(), first: 0, len: 0 }
    }

    #[inline]
    fn place(&self, number: usize) -> usize {
        number & (self.items.len() - 1)
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first item.
    #[inline]
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        (self.len > 0).then(|| &self.items[self.place(self.first)])
    }

    /// Asks for the cache lines of the first item and of the place behind the last.
    #[inline]
    pub fn prefetch(&self) {
        let at = |number| self.items.as_ptr().wrapping_add(self.place(number));
        prefetch(at(self.first));
        prefetch(at(self.first + self.len));
    }

    /// Every item, the first first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        (self.first..self.first + self.len).map(|number| &self.items[self.place(number)])
    }

    /// Changes every item, but not its key, the first first.
    pub fn for_each_mut(&mut self, mut change: impl FnMut(&mut T)) {
        for number in self.first..self.first + self.len {
            let place = self.place(number);
            change(&mut self.items[place]);
        }
    }

    /// Forgets the first item, which must be there.
    #[inline]
    pub fn take_first(&mut self) {
        debug_assert!(self.len > 0, "nothing to take");
        self.first = self.place(self.first + 1);
        self.len -= 1;
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let mut items: Vec<T> = self.iter().copied().collect();
        items.resize(2 * self.items.len(), T::default());
        (self.items, self.first) = (items.into(), 0);
    }

    /// Forgets every item.
    pub fn clear(&mut self) {
        (self.first, self.len) = (0, 0);
    }

    /// Forgets every item that is not to be kept.
    pub fn retain(&mut self, keeps: impl Fn(&T) -> bool) {
        let mut kept = Self::new(self.items.len());
        self.iter().filter(|item| keeps(item)).for_each(|item| kept.insert(*item, |_| 0));
        *self = kept;
    }

    /// Inserts an item behind every one whose key is not greater.
    #[inline]
    pub fn insert<K: Ord>(&mut self, item: T, key: impl Fn(&T) -> K) {
        if self.len == self.items.len() {
            self.grow();
        }
        let mut number = self.first + self.len;
        while number > self.first {
            let before = self.items[self.place(number - 1)];
            if key(&before) <= key(&item) {
                break;
            }
            let place = self.place(number);
            self.items[place] = before;
            number -= 1;
        }
        let place = self.place(number);
        self.items[place] = item;
        self.len += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::OrderedRing;

    proptest! {
        /// The same as a list that is sorted, stably, after every insertion.
        #[test]
        fn is_a_sorted_list(steps in prop::collection::vec((0_u32..20, 0_u32..8), 1..300)) {
            let (mut ring, mut list) = (OrderedRing::new(5), Vec::<(u32, usize)>::new());
            for (number, (step, key)) in steps.into_iter().enumerate() {
                if step == 0 {
                    ring.retain(|item: &(u32, usize)| item.0 != key);
                    list.retain(|item| item.0 != key);
                } else if step < 11 {
                    ring.insert((key, number), |item| item.0);
                    list.push((key, number));
                    list.sort_by_key(|item| item.0);
                } else if !list.is_empty() {
                    ring.take_first();
                    list.remove(0);
                }
                prop_assert_eq!(ring.first(), list.first());
                prop_assert_eq!(ring.len(), list.len());
                prop_assert!(ring.iter().eq(list.iter()));
            }
        }
    }
}
