//! A flat table for scattered 4 KiB leaves: 16 bytes a slot, 60 to 90 % full.
//!
//! Open addressing by linear probing. The slots of a cluster are kept in the order of their home
//! slots, so that a look-up that finds nothing ends early. The home is monotone in the hash and
//! clusters never wrap: a few spare slots follow the last home.

/// Slots a table never goes below.
const SLOTS_MIN: usize = 16;
/// Spare slots behind the last home; a cluster that would run over them makes the table grow.
const SPARE: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Page number plus one; 0 where the slot is free.
    key: u64,
    value: u64,
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

    #[inline]
    fn home(&self, key: u64) -> usize {
        let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let hash = (hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((u128::from(hash) * self.homes as u128) >> 64) as usize
    }

    /// The slot of `key`, or the one where it would have to be put.
    #[inline]
    fn find(&self, key: u64) -> Result<usize, usize> {
        let home = self.home(key);
        let mut at = home;
        loop {
            let Some(slot) = self.slots.get(at) else { return Err(at) };
            if slot.key == key {
                return Ok(at);
            }
            if slot.key == 0 || self.home(slot.key) > home {
                return Err(at);
            }
            at += 1;
        }
    }

    /// The value of `page`.
    #[inline]
    pub fn get(&self, page: u64) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        self.find(page + 1).ok().map(|at| self.slots[at].value)
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
        loop {
            let Err(at) = self.find(page + 1) else { unreachable!("the page has no value yet") };
            let free = self.slots[at..].iter().position(|slot| slot.key == 0);
            if let Some(run) = free {
                self.slots.copy_within(at..at + run, at + 1);
                self.slots[at] = Slot { key: page + 1, value };
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
        let at = self.find(page + 1).ok()?;
        let value = self.slots[at].value;
        let mut end = at + 1;
        while end < self.slots.len() && self.slots[end].key != 0 && self.home(self.slots[end].key) < end {
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
        self.slots.iter().filter(|slot| slot.key != 0).map(|slot| (slot.key - 1, slot.value))
    }

    fn rebuild(&mut self, homes: usize) {
        let mut entries: Vec<Slot> = self.slots.drain(..).filter(|slot| slot.key != 0).collect();
        self.homes = homes;
        entries.sort_unstable_by_key(|slot| (self.home(slot.key), slot.key));
        let mut spare = SPARE.min(homes);
        'attempt: loop {
            let size = homes + spare;
            let mut slots = Vec::new();
            slots.reserve_exact(size);
            slots.resize(size, Slot::default());
            let mut next = 0;
            for slot in &entries {
                let at = self.home(slot.key).max(next);
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
