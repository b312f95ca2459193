//! Commands are complete in their turn, whichever of them a device keeps waiting.

use std::collections::VecDeque;

use crate::units::Picoseconds;

/// Commands that are carried out, from the first on of which it is not known when it is complete.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// Their numbers, and when each would be complete if none was before it.
    waiting: VecDeque<(u64, Option<Picoseconds>)>,
    /// When the last of those before them is complete.
    last: Picoseconds,
    /// The first of them is not complete before this time.
    from: Picoseconds,
}

impl Turns {
    /// A command is carried out, which would be complete at `time`, if that is known.
    pub fn push(&mut self, command: u64, time: Option<Picoseconds>) {
        self.waiting.push_back((command, time));
    }

    /// It is known that a command would be complete at `time`.
    ///
    /// # Panics
    /// If the command is not waiting.
    pub fn know(&mut self, command: u64, time: Picoseconds) {
        let is_it = |waiting: &&mut (u64, _)| waiting.0 == command;
        self.waiting.iter_mut().find(is_it).expect("it was carried out").1 = Some(time);
    }

    /// A command is not complete before `time`.
    pub fn not_before(&mut self, command: u64, time: Picoseconds) {
        if self.waiting.front().is_some_and(|(first, _)| *first == command) {
            self.from = time;
        }
    }

    /// The next command that is complete, and when, if that is known.
    pub fn next_complete(&mut self) -> Option<(u64, Picoseconds)> {
        let (command, time) = *self.waiting.front()?;
        self.last = self.last.max(time?);
        self.waiting.pop_front();
        Some((command, self.last))
    }

    /// When a command is complete at the earliest because of those before it.
    #[must_use]
    pub fn earliest(&self, command: u64) -> Picoseconds {
        match self.waiting.front() {
            Some((first, _)) if *first <= command => self.from,
            _ => Picoseconds::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_complete_in_turn() {
        let at = Picoseconds;
        let mut turns = Turns::default();
        turns.push(0, Some(at(5)));
        assert_eq!(turns.next_complete(), Some((0, at(5))));
        turns.push(1, None);
        turns.push(2, Some(at(7)));
        assert_eq!(turns.next_complete(), None);
        turns.not_before(1, at(9));
        turns.not_before(2, at(20));
        assert_eq!([0, 1, 2].map(|command| turns.earliest(command)), [at(0), at(9), at(9)]);
        turns.know(1, at(11));
        assert_eq!([turns.next_complete(), turns.next_complete()], [Some((1, at(11))), Some((2, at(11)))]);
        assert_eq!((turns.next_complete(), turns.earliest(3)), (None, at(0)));
    }
}
