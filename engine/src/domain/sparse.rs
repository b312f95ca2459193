//! A flat table for scattered 4 KiB leaves: 16 bytes a slot, 60 to 90 % full.
//!
//! Open addressing by linear probing. A slot holds not the page but its hash, which is a bijection. Slots
//! are kept in the order of their hashes, and the home of a hash is monotone in it: so a look-up compares
//! words, one that finds nothing ends early, and a table of another size is filled from front to back.
//! Clusters never wrap: a few spare slots follow the last home.

/// Slots a table never goes below.
const SLOTS_MIN: usize = 16;
/// Spare slots behind the last home; a cluster that would run over them makes the table grow.
const SPARE: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Hash of the page; 0 where the slot is free.
    hash: u64,
    value: u64,
}

/// Odd factors of the hash (splitmix64), and what undoes them.
const FACTORS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBF58_476D_1CE4_E5B9];
const INVERSES: [u64; 2] = [inverse(FACTORS[0]), inverse(FACTORS[1])];

/// The inverse of an odd number modulo 2^64, by Newton's iteration.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 6 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

/// The hash of a page, never 0: a bijection of the numbers from 1 on.
#[inline]
fn hash_of(page: u64) -> u64 {
    let hash = (page + 1).wrapping_mul(FACTORS[0]);
    (hash ^ (hash >> 29)).wrapping_mul(FACTORS[1])
}

/// The page of a hash.
#[inline]
fn page_of(hash: u64) -> u64 {
    let hash = hash.wrapping_mul(INVERSES[1]);
    (hash ^ (hash >> 29) ^ (hash >> 58)).wrapping_mul(INVERSES[0]) - 1
}

/// Values by page number. Filled to 90 % it grows by a quarter; emptied to 60 % it shrinks.
#[derive(Clone, Debug, Default)]
pub(super) struct SparseTable {
    slots: Vec<Slot>,
    homes: usize,
    len: usize,
}

impl SparseTable {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all slots.
    pub fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// Where the slot of a hash would be, were there no others.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.homes as u128) >> 64) as usize
    }

    /// The slot of a hash, or the one where it would have to be put.
    #[inline]
    fn find(&self, hash: u64) -> Result<usize, usize> {
        let home = self.home(hash);
        let slots = self.slots.get(home..).unwrap_or_default();
        match slots.iter().position(|slot| slot.hash == 0 || slot.hash >= hash) {
            Some(at) if slots[at].hash == hash => Ok(home + at),
            Some(at) => Err(home + at),
            None => Err(self.slots.len()),
        }
    }

    /// The value of `page`.
    #[inline]
    pub fn get(&self, page: u64) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        self.find(hash_of(page)).ok().map(|at| self.slots[at].value)
    }

    /// Whether one more value needs a larger table.
    pub fn is_full(&self) -> bool {
        self.len * 10 >= self.homes * 9
    }

    /// Makes room for one more value.
    pub fn grow(&mut self) {
        self.rebuild((self.len * 5).div_ceil(4).max(SLOTS_MIN));
    }

    /// Adds a value for a page that has none. The table must not be full.
    pub fn insert(&mut self, page: u64, value: u64) {
        debug_assert!(!self.is_full());
        let hash = hash_of(page);
        loop {
            let Err(at) = self.find(hash) else { unreachable!("the page has no value yet") };
            let free = self.slots[at..].iter().position(|slot| slot.hash == 0);
            if let Some(run) = free {
                self.slots.copy_within(at..at + run, at + 1);
                self.slots[at] = Slot { hash, value };
                self.len += 1;
                return;
            }
            self.rebuild(self.homes + self.homes / 8 + 1);
        }
    }

    /// Removes and returns the value of `page`.
    pub fn remove(&mut self, page: u64) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let at = self.find(hash_of(page)).ok()?;
        let value = self.slots[at].value;
        let mut end = at + 1;
        while end < self.slots.len() && self.slots[end].hash != 0 && self.home(self.slots[end].hash) < end {
            end += 1;
        }
        self.slots.copy_within(at + 1..end, at);
        self.slots[end - 1] = Slot::default();
        self.len -= 1;
        if self.homes > SLOTS_MIN && self.len * 10 < self.homes * 6 {
            self.rebuild((self.len * 4).div_ceil(3).max(SLOTS_MIN));
        }
        Some(value)
    }

    /// Every page with its value, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.slots.iter().filter(|slot| slot.hash != 0).map(|slot| (page_of(slot.hash), slot.value))
    }

    /// Moves everything to a table of `homes` homes.
    fn rebuild(&mut self, homes: usize) {
        let before = core::mem::take(&mut self.slots);
        self.homes = homes;
        let mut spare = SPARE.min(homes);
        'attempt: loop {
            let size = homes + spare;
            let mut slots = Vec::new();
            slots.reserve_exact(size);
            slots.resize(size, Slot::default());
            let mut next = 0;
            for slot in before.iter().filter(|slot| slot.hash != 0) {
                let at = self.home(slot.hash).max(next);
                if at >= size {
                    spare *= 2;
                    continue 'attempt;
                }
                slots[at] = *slot;
                next = at + 1;
            }
            self.slots = slots;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hash_tells_its_page(page in 0_u64..1 << 52) {
            prop_assert_ne!(hash_of(page), 0);
            prop_assert_eq!(page_of(hash_of(page)), page);
        }
    }
}
