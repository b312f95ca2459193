//! The pauses of a unit that are over.

use std::collections::VecDeque;

use crate::units::Picoseconds;

/// Pauses that are kept: more than any request ever waits through.
const KEPT: usize = 4_096;

/// How long it took after pauses until all that they held back had left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recoveries {
    /// Pauses that held back something that left.
    pub pauses: u64,
    /// From their ends until the last that each held back left, summed.
    pub total_ps: u128,
    /// The longest.
    pub max: Picoseconds,
}

impl Recoveries {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.pauses += other.pauses;
        self.total_ps += other.total_ps;
        self.max = self.max.max(other.max);
    }
}

/// A pause that is over.
#[derive(Clone, Copy, Debug)]
struct Past {
    from: Picoseconds,
    until: Picoseconds,
    /// The time of all before it.
    before_ps: u64,
    /// When the last request left that was intended before its end, and not before the end of the one before it, as far as
    /// pauses held it back.
    left_at: Picoseconds,
}

impl Past {
    fn length_ps(&self) -> u64 {
        (self.until - self.from).0
    }
}

/// Pauses that are over, in order and apart from one another.
#[derive(Clone, Debug, Default)]
pub struct PauseHistory {
    pauses: VecDeque<Past>,
    /// Counting starts.
    warm_up: Picoseconds,
    /// Time in pauses before that.
    in_warm_up_ps: u64,
    /// Of those that are not kept any more.
    recoveries: Recoveries,
    /// When the last request left that any held back, as far as is known.
    held_until: Picoseconds,
}

impl PauseHistory {
    /// One that counts from the end of the warm-up on.
    #[must_use]
    pub fn counting_from(warm_up: Picoseconds) -> Self {
        Self { warm_up, ..Self::default() }
    }

    /// A pause behind all others is over.
    pub fn push(&mut self, from: Picoseconds, until: Picoseconds) {
        let before_ps = self.pauses.back().map_or(0, |past| past.before_ps + past.length_ps());
        self.in_warm_up_ps += (until.min(self.warm_up) - from.min(self.warm_up)).0;
        if self.pauses.len() == KEPT
            && let Some(past) = self.pauses.pop_front()
        {
            self.recoveries.add(&self.recovery(&past, past.left_at));
            // What it held back may have been held back by the next too.
            let next = &mut self.pauses[0];
            next.left_at = next.left_at.max(past.left_at);
        }
        self.pauses.push_back(Past { from, until, before_ps, left_at: Picoseconds::ZERO });
    }

    /// A request that was intended at `intended`, and that pauses held back, leaves at `start`: none that has been noted
    /// left later.
    pub fn note_left(&mut self, intended: Picoseconds, start: Picoseconds) {
        self.held_until = self.held_until.max(start);
        let first = self.pauses.partition_point(|past| past.until <= intended);
        if let Some(past) = self.pauses.get_mut(first) {
            past.left_at = past.left_at.max(start);
        }
    }

    /// Whether a request that none held back, and that leaves behind all that have been noted, was intended before the
    /// last that was held back left.
    #[must_use]
    pub fn is_recovering(&self, intended: Picoseconds) -> bool {
        intended < self.held_until
    }

    /// How long it took after pauses that began after the warm-up until all that they held back had left.
    #[must_use]
    pub fn recoveries(&self) -> Recoveries {
        let mut recoveries = self.recoveries;
        let mut left_at = Picoseconds::ZERO;
        for past in &self.pauses {
            // What was intended before the end of an earlier pause was intended before the end of this one.
            left_at = left_at.max(past.left_at);
            recoveries.add(&self.recovery(past, left_at));
        }
        recoveries
    }

    /// The recovery of one pause, where the last request that was intended before its end left at `left_at`.
    fn recovery(&self, past: &Past, left_at: Picoseconds) -> Recoveries {
        if past.from < self.warm_up || past.from == past.until || left_at < past.until {
            return Recoveries::default();
        }
        let took = left_at - past.until;
        Recoveries { pauses: 1, total_ps: u128::from(took.0), max: took }
    }

    /// Time in pauses from the end of the warm-up until `end`, in picoseconds; no more pauses may have followed than are
    /// kept.
    #[must_use]
    pub fn counted_ps(&self, end: Picoseconds) -> u64 {
        self.until(end).saturating_sub(self.in_warm_up_ps)
    }

    /// How much of the time from `from` to `to` was paused.
    #[must_use]
    pub fn between(&self, from: Picoseconds, to: Picoseconds) -> Picoseconds {
        match self.pauses.back() {
            Some(past) if past.until > from => Picoseconds(self.until(to).saturating_sub(self.until(from))),
            _ => Picoseconds::ZERO,
        }
    }

    /// The pauses that lie, in part at least, between two times.
    pub fn overlapping(
        &self,
        from: Picoseconds,
        to: Picoseconds,
    ) -> impl Iterator<Item = (Picoseconds, Picoseconds)> + '_ {
        let first = self.pauses.partition_point(|past| past.until <= from);
        let pauses = self.pauses.range(first..).map(|past| (past.from, past.until));
        pauses.take_while(move |(from, _)| *from < to)
    }

    /// How long it was paused in all until `time`.
    fn until(&self, time: Picoseconds) -> u64 {
        let first = self.pauses.partition_point(|past| past.until <= time);
        match self.pauses.get(first) {
            Some(past) => past.before_ps + time.saturating_sub(past.from).0,
            None => self.pauses.back().map_or(0, |past| past.before_ps + past.length_ps()),
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
        let cases = [
            (0, 5, 0),
            (0, 15, 5),
            (12, 15, 3),
            (0, 100, 40),
            (20, 30, 0),
            (15, 40, 15),
            (60, 90, 0),
            (59, 90, 1),
        ];
        for (from, to, paused) in cases {
            assert_eq!(history.between(at(from), at(to)), at(paused), "{from}..{to}");
        }
        let overlapping: Vec<_> = history.overlapping(at(15), at(31)).collect();
        assert_eq!(overlapping, [(at(10), at(20)), (at(30), at(60))]);
        assert_eq!(history.overlapping(at(20), at(30)).count(), 0);
    }

    #[test]
    fn a_pause_is_over_for_good_when_the_last_it_held_back_has_left() {
        let at = Picoseconds;
        let mut history = PauseHistory::counting_from(at(5));
        for (from, until) in [(1, 4), (10, 20), (30, 60), (90, 90), (91, 95)] {
            history.push(at(from), at(until));
        }
        // Held back by the first of the warm-up; by the second; by that and the next.
        for (intended, start) in [(2, 6), (12, 22), (15, 63)] {
            history.note_left(at(intended), at(start));
        }
        let recoveries = Recoveries { pauses: 2, total_ps: 43 + 3, max: at(43) };
        assert_eq!(history.recoveries(), recoveries);
        // Nothing was held back by the others: what came before their ends left before them.
        history.note_left(at(40), at(61));
        assert_eq!(history.recoveries(), recoveries);
    }

    #[test]
    fn time_in_pauses_counts_from_the_warm_up_to_the_end() {
        let at = Picoseconds;
        let mut history = PauseHistory::counting_from(at(15));
        history.push(at(10), at(20));
        history.push(at(30), at(60));
        for (end, counted) in [(0, 0), (12, 0), (17, 2), (25, 5), (40, 15), (100, 35)] {
            assert_eq!(history.counted_ps(at(end)), counted, "until {end}");
        }
    }

    #[test]
    fn recoveries_of_forgotten_pauses_count() {
        let mut history = PauseHistory::default();
        for number in 0..2 * KEPT as u64 {
            history.push(Picoseconds(10 * number), Picoseconds(10 * number + 4));
            history.note_left(Picoseconds(10 * number + 1), Picoseconds(10 * number + 4 + number % 3));
        }
        let pauses = 2 * KEPT as u64;
        let total_ps = (0..pauses).map(|number| u128::from(number % 3)).sum();
        assert_eq!(history.recoveries(), Recoveries { pauses, total_ps, max: Picoseconds(2) });
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
