//! What requests whose clients wait can make sources intend, and when at the earliest: how far a batch may go.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::units::Picoseconds;

/// A time, and the request of which VF it is of.
type Key = Reverse<(Picoseconds, u32, u64)>;

/// A request whose client waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// How long the client thinks when it goes on.
    think: Picoseconds,
    /// It does not go on before this time; zero where nothing is known, the greatest time when it has.
    from: Picoseconds,
}

/// The requests of one VF from the first on whose client waits.
#[derive(Clone, Debug, Default)]
struct OfVf {
    first: u64,
    requests: VecDeque<Waiting>,
}

impl OfVf {
    fn get(&self, sequence: u64) -> Option<&Waiting> {
        self.requests.get(sequence.checked_sub(self.first)? as usize)
    }

    fn is_unknown(&self, sequence: u64) -> bool {
        self.get(sequence).is_some_and(|waiting| waiting.from == Picoseconds::ZERO)
    }
}

/// Entries of [`Outlook::unknown`] that may be out of date, beside as many as are not.
const OUT_OF_DATE_MAX: usize = 64;

/// The requests of streaming mappings whose clients wait for their unmaps. How long each client thinks afterwards is known
/// as soon as it has sent, so it is known before which time it sends nothing.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    vfs: Vec<OfVf>,
    /// Requests of which nothing was known, by think time.
    unknown: BinaryHeap<Key>,
    /// Requests of which nothing is known.
    unknown_requests: usize,
    /// Requests of which something was, by a time before which their clients do not send.
    known: BinaryHeap<Key>,
}

impl Outlook {
    /// Of so many VFs, none of which has sent anything.
    #[must_use]
    pub fn new(vfs: usize) -> Self {
        Self { vfs: vec![OfVf::default(); vfs], ..Self::default() }
    }

    fn waiting(&mut self, vf: u32, sequence: u64) -> &mut Waiting {
        let OfVf { first, requests } = &mut self.vfs[vf as usize];
        &mut requests[(sequence - *first) as usize]
    }

    /// The next request of a VF is emitted; its client will think for `think`.
    pub fn emit(&mut self, vf: u32, think: Picoseconds) {
        let of_vf = &mut self.vfs[vf as usize];
        let sequence = of_vf.first + of_vf.requests.len() as u64;
        of_vf.requests.push_back(Waiting { think, from: Picoseconds::ZERO });
        self.unknown_requests += 1;
        if self.unknown.len() > 2 * self.unknown_requests + OUT_OF_DATE_MAX {
            // Clients that think for long come first never: they would be kept for ever.
            let vfs = &self.vfs;
            self.unknown.retain(|Reverse((_, vf, sequence))| vfs[*vf as usize].is_unknown(*sequence));
        }
        if think < Picoseconds::MAX {
            self.unknown.push(Reverse((think, vf, sequence)));
        }
    }

    /// The client of a request does not go on before `time`, which never decreases.
    pub fn not_before(&mut self, vf: u32, sequence: u64, time: Picoseconds) {
        let waiting = self.waiting(vf, sequence);
        let was_known = waiting.from > Picoseconds::ZERO;
        debug_assert!(waiting.from <= time, "what is known stays so");
        waiting.from = time;
        let think = waiting.think;
        self.unknown_requests -= usize::from(!was_known);
        if !was_known && think < Picoseconds::MAX {
            self.known.push(Reverse((time.saturating_add(think), vf, sequence)));
        }
    }

    /// The client of a request goes on.
    pub fn goes_on(&mut self, vf: u32, sequence: u64) {
        self.waiting(vf, sequence).from = Picoseconds::MAX;
        let OfVf { first, requests } = &mut self.vfs[vf as usize];
        while requests.front().is_some_and(|first| first.from == Picoseconds::MAX) {
            requests.pop_front();
            *first += 1;
        }
    }

    /// The least think time of clients of whose requests nothing is known yet.
    pub fn least_think_of_unknown(&mut self) -> Picoseconds {
        while let Some(&Reverse((think, vf, sequence))) = self.unknown.peek() {
            if self.vfs[vf as usize].is_unknown(sequence) {
                return think;
            }
            self.unknown.pop();
        }
        Picoseconds::MAX
    }

    /// No client sends before this time of whose request anything is known.
    pub fn known_send_from(&mut self) -> Picoseconds {
        while let Some(&Reverse((from, vf, sequence))) = self.known.peek() {
            let waiting = self.vfs[vf as usize].get(sequence);
            let waits = waiting.filter(|waiting| waiting.from < Picoseconds::MAX);
            match waits.map(|waiting| waiting.from.saturating_add(waiting.think)) {
                Some(now) if now == from => return from,
                now => {
                    self.known.pop();
                    // More is known than when it was put there.
                    self.known.extend(now.map(|now| Reverse((now, vf, sequence))));
                }
            }
        }
        Picoseconds::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_follow_what_is_known() {
        let at = Picoseconds;
        let mut outlook = Outlook::new(2);
        assert_eq!(
            (outlook.least_think_of_unknown(), outlook.known_send_from()),
            (at(u64::MAX), at(u64::MAX))
        );
        outlook.emit(0, at(50));
        outlook.emit(1, at(20));
        outlook.emit(1, at(30));
        assert_eq!(outlook.least_think_of_unknown(), at(20));
        outlook.not_before(1, 0, at(1_000));
        assert_eq!((outlook.least_think_of_unknown(), outlook.known_send_from()), (at(30), at(1_020)));
        outlook.not_before(0, 0, at(980));
        assert_eq!(outlook.known_send_from(), at(1_020), "1,030 comes later");
        outlook.not_before(1, 0, at(1_500));
        assert_eq!(outlook.known_send_from(), at(1_030), "1,520 comes later by now");
        outlook.goes_on(0, 0);
        assert_eq!(outlook.known_send_from(), at(1_520));
        outlook.goes_on(1, 0);
        assert_eq!((outlook.least_think_of_unknown(), outlook.known_send_from()), (at(30), at(u64::MAX)));
        outlook.emit(0, at(u64::MAX));
        outlook.not_before(0, 1, at(2_000));
        assert_eq!(outlook.known_send_from(), at(u64::MAX), "it sends nothing more");
        outlook.goes_on(0, 1);
    }

    #[test]
    fn what_is_over_is_not_kept() {
        let mut outlook = Outlook::new(1);
        for sequence in 0..10_000 {
            outlook.emit(0, Picoseconds(if sequence == 0 { 1 } else { 1_000_000 }));
            if sequence > 0 {
                outlook.not_before(0, sequence, Picoseconds(100 * sequence));
                outlook.goes_on(0, sequence);
            }
            assert_eq!(outlook.least_think_of_unknown(), Picoseconds(1), "of the first, which waits on");
            outlook.known_send_from();
        }
        assert!(outlook.unknown.len() <= 2 * OUT_OF_DATE_MAX, "{}", outlook.unknown.len());
        assert!(outlook.known.is_empty());
    }
}
