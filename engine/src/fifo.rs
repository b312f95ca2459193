//! A queue for what is taken in about the order in which it comes.

/// A FIFO: a list with a mark, cheaper than a ring where it empties now and then.
#[derive(Clone, Debug)]
pub struct Fifo<T> {
    items: Vec<T>,
    taken: usize,
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self { items: Vec::new(), taken: 0 }
    }
}

impl<T> Fifo<T> {
    /// Taken items are given up when there are this many, and no more of others.
    const TAKEN_MIN: usize = 1_024;

    /// Appends one.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// Inserts one behind every item whose key is not greater; it is mostly the last.
    #[inline]
    pub fn insert_in_order<K: Ord>(&mut self, item: T, key: impl Fn(&T) -> K) {
        if self.waiting().last().is_none_or(|last| key(last) <= key(&item)) {
            self.items.push(item);
            return;
        }
        let before = self.waiting().iter().rev().take_while(|there| key(there) > key(&item)).count();
        self.items.insert(self.items.len() - before, item);
    }

    /// What waits, the first first.
    #[inline]
    #[must_use]
    pub fn waiting(&self) -> &[T] {
        &self.items[self.taken..]
    }

    /// What waits, the first first.
    pub fn waiting_mut(&mut self) -> &mut [T] {
        &mut self.items[self.taken..]
    }

    /// Forgets the first, which must be there.
    #[inline]
    pub fn take_first(&mut self) {
        self.take(1);
    }

    /// Forgets so many of the first, which must be there.
    #[inline]
    pub fn take(&mut self, count: usize) {
        self.taken += count;
        assert!(self.taken <= self.items.len(), "more was taken than waits");
        if self.taken == self.items.len() {
            self.items.clear();
            self.taken = 0;
        } else if self.taken >= Self::TAKEN_MIN && self.taken * 2 >= self.items.len() {
            self.items.drain(..self.taken);
            self.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::Fifo;

    proptest! {
        /// The same as a ring of the standard library, whatever is done to it.
        #[test]
        fn is_a_queue(steps in prop::collection::vec((0_u8..4, 0_u32..8, 1_usize..900), 1..200)) {
            let (mut fifo, mut ring) = (Fifo::default(), VecDeque::new());
            for (step, value, count) in steps {
                match step {
                    0 => for number in 0..count {
                        fifo.push((value, number));
                        ring.push_back((value, number));
                    },
                    1 => {
                        let count = count.min(ring.len());
                        fifo.take(count);
                        ring.drain(..count);
                    }
                    2 if !ring.is_empty() => {
                        fifo.take_first();
                        ring.pop_front();
                    }
                    _ => {
                        fifo.insert_in_order((value, count), |item| item.0);
                        let before = ring.iter().rev().take_while(|there| there.0 > value).count();
                        ring.insert(ring.len() - before, (value, count));
                    }
                }
                prop_assert!(fifo.waiting().iter().eq(ring.iter()));
            }
        }
    }
}
