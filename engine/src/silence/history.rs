//! The pauses of a unit that are over.

use std::collections::VecDeque;

use crate::units::Picoseconds;

/// Pauses that are kept: more than any request ever waits through.
const KEPT: usize = 4_096;

/// Pauses that are over, in order and apart from one another, each with the time of all before it.
#[derive(Clone, Debug, Default)]
pub struct PauseHistory {
    pauses: VecDeque<(Picoseconds, Picoseconds, u64)>,
}

impl PauseHistory {
    /// A pause behind all others is over.
    pub fn push(&mut self, from: Picoseconds, until: Picoseconds) {
        let before = self.pauses.back().map_or(0, |(from, until, before)| before + (*until - *from).0);
        if self.pauses.len() == KEPT {
            self.pauses.pop_front();
        }
        self.pauses.push_back((from, until, before));
    }

    /// How much of the time from `from` to `to` was paused.
    #[must_use]
    pub fn between(&self, from: Picoseconds, to: Picoseconds) -> Picoseconds {
        match self.pauses.back() {
            Some((_, until, _)) if *until > from => Picoseconds(self.until(to).saturating_sub(self.until(from))),
            _ => Picoseconds::ZERO,
        }
    }

    /// The pauses that lie, in part at least, between two times.
    pub fn overlapping(
        &self,
        from: Picoseconds,
        to: Picoseconds,
    ) -> impl Iterator<Item = (Picoseconds, Picoseconds)> + '_ {
        let first = self.pauses.partition_point(|(_, until, _)| *until <= from);
        let pauses = self.pauses.range(first..).map(|(from, until, _)| (*from, *until));
        pauses.take_while(move |(from, _)| *from < to)
    }

    /// How long it was paused in all until `time`.
    fn until(&self, time: Picoseconds) -> u64 {
        let first = self.pauses.partition_point(|(_, until, _)| *until <= time);
        match self.pauses.get(first) {
            Some((from, _, before)) => before + time.saturating_sub(*from).0,
            None => self.pauses.back().map_or(0, |(from, until, before)| before + (*until - *from).0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_pauses_is_counted() {
        let at = Picoseconds;
        let mut history = PauseHistory::default();
        assert_eq!(history.between(at(0), at(100)), at(0));
        history.push(at(10), at(20));
        history.push(at(30), at(60));
        let cases = [(0, 5, 0), (0, 15, 5), (12, 15, 3), (0, 100, 40), (20, 30, 0), (15, 40, 15), (60, 90, 0), (59, 90, 1)];
        for (from, to, paused) in cases {
            assert_eq!(history.between(at(from), at(to)), at(paused), "{from}..{to}");
        }
        let overlapping: Vec<_> = history.overlapping(at(15), at(31)).collect();
        assert_eq!(overlapping, [(at(10), at(20)), (at(30), at(60))]);
        assert_eq!(history.overlapping(at(20), at(30)).count(), 0);
    }

    #[test]
    fn old_pauses_are_forgotten_and_the_rest_keep_their_sums() {
        let mut history = PauseHistory::default();
        for number in 0..2 * KEPT as u64 {
            history.push(Picoseconds(10 * number), Picoseconds(10 * number + 4));
        }
        assert_eq!(history.pauses.len(), KEPT);
        let last = 20 * KEPT as u64;
        assert_eq!(history.between(Picoseconds(last - 20), Picoseconds(last)), Picoseconds(8));
    }
}
