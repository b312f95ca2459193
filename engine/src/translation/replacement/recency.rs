//! The ways of each set in an order that moves one to the front: what LRU and FIFO are made of.

use crate::prefetch::prefetch;

/// A set of at most this many ways keeps its order in one word, four bits a way.
const WAYS_PER_WORD: u32 = 16;
const ONES: u64 = 0x1111_1111_1111_1111;

/// The order of the ways of every set, the front first.
pub(super) enum Recency {
    /// One word a set; the lowest four bits name the way in front.
    Words { orders: Vec<u64>, back_shift: u32 },
    /// A doubly linked ring a set, through all ways.
    Rings { links: Vec<Link>, fronts: Vec<u32>, ways: u32 },
}

/// Neighbours of a way in its ring, as indices over all sets.
#[derive(Clone, Copy)]
pub(super) struct Link {
    before: u32,
    after: u32,
}

impl Recency {
    pub fn new(sets: u32, ways: u32) -> Self {
        if ways <= WAYS_PER_WORD {
            let orders = vec![0xFEDC_BA98_7654_3210; sets as usize];
            return Self::Words { orders, back_shift: 4 * (ways - 1) };
        }
        let links = (0..sets * ways)
            .map(|at| {
                let (first, way) = (at - at % ways, at % ways);
                Link { before: first + (way + ways - 1) % ways, after: first + (way + 1) % ways }
            })
            .collect();
        Self::Rings { links, fronts: (0..sets).map(|set| set * ways).collect(), ways }
    }

    /// Moves `way` to the front of its set.
    #[inline(always)]
    pub fn move_to_front(&mut self, set: u32, way: u32) {
        match self {
            Self::Words { orders, .. } => {
                let order = &mut orders[set as usize];
                *order = way_to_front(*order, way);
            }
            Self::Rings { links, fronts, ways } => ring_to_front(links, fronts, *ways, set, way),
        }
    }

    /// The way at the back of the set.
    #[inline]
    pub fn back(&self, set: u32) -> u32 {
        match self {
            Self::Words { orders, back_shift } => (orders[set as usize] >> back_shift) as u32 & 15,
            Self::Rings { links, fronts, ways } => links[fronts[set as usize] as usize].before - set * ways,
        }
    }

    /// The rearmost way of the set that is `allowed`.
    pub fn rearmost(&self, set: u32, ways: u32, allowed: impl Fn(u32) -> bool) -> Option<u32> {
        match self {
            Self::Words { orders, back_shift } => {
                let order = orders[set as usize];
                let places = (0..=*back_shift / 4).rev();
                places.map(|place| (order >> (4 * place)) as u32 & 15).find(|way| allowed(*way))
            }
            Self::Rings { links, fronts, .. } => {
                let back = links[fronts[set as usize] as usize].before;
                let forwards = core::iter::successors(Some(back), |at| Some(links[*at as usize].before));
                forwards.take(ways as usize).map(|at| at - set * ways).find(|way| allowed(*way))
            }
        }
    }

    /// Moves the way at the back of the set to its front; returns it.
    #[inline(always)]
    pub fn back_to_front(&mut self, set: u32) -> u32 {
        if let Self::Words { orders, back_shift } = self {
            let order = &mut orders[set as usize];
            let back = *order >> *back_shift & 15;
            // The places of ways that the set does not have stay as they are.
            let above = !0 << *back_shift << 4;
            *order = *order & above | (*order << 4 | back) & !above;
            return back as u32;
        }
        let back = self.back(set);
        self.move_to_front(set, back);
        back
    }

    /// Asks for the cache line of the set's order.
    #[inline]
    pub fn prefetch(&self, set: u32) {
        if let Self::Words { orders, .. } = self {
            prefetch(orders.as_ptr().wrapping_add(set as usize));
        }
    }
}

/// Moves the four bits that equal `way` to the lowest place.
#[inline(always)]
fn way_to_front(order: u64, way: u32) -> u64 {
    // They become zero, and the lowest zero nibble is found by borrow.
    let differences = order ^ (ONES * u64::from(way));
    let zeros = differences.wrapping_sub(ONES) & !differences & (ONES << 3);
    // All bits up to that nibble's top one.
    let reach = zeros ^ (zeros - 1);
    order & !reach | (order << 4 | u64::from(way)) & reach
}

#[inline(never)]
fn ring_to_front(links: &mut [Link], fronts: &mut [u32], ways: u32, set: u32, way: u32) {
    let at = set * ways + way;
    let front = fronts[set as usize];
    if at == front {
        return;
    }
    let Link { before, after } = links[at as usize];
    links[before as usize].after = after;
    links[after as usize].before = before;
    let back = links[front as usize].before;
    links[at as usize] = Link { before: back, after: front };
    links[back as usize].after = at;
    links[front as usize].before = at;
    fronts[set as usize] = at;
}
