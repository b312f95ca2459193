//! Rounds of work: jobs that are done in pieces, on all threads of the pool, so that threads end together.
//!
//! A thread takes the job of which most remains, does one piece of it and puts it back. A job is with one
//! thread at a time. Which thread does what, and when, is not seen in what jobs do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

/// A job that is done piece by piece.
pub trait Job: Send {
    /// About how much of it remains, in a unit that all jobs of a round share; 0 when it is done.
    fn remaining(&self) -> u64;
    /// Does the next piece: less must remain.
    fn advance(&mut self);
}

/// Jobs nobody is at work on, by what remains of them, and the numbers by which ties are decided.
struct Waiting<J> {
    order: BinaryHeap<(u64, Reverse<usize>)>,
    jobs: Vec<Option<J>>,
}

impl<J: Job> Waiting<J> {
    fn new(jobs: Vec<J>) -> Self {
        let mut waiting = Self { order: BinaryHeap::with_capacity(jobs.len()), jobs: Vec::new() };
        waiting.jobs.resize_with(jobs.len(), || None);
        jobs.into_iter().enumerate().for_each(|(number, job)| waiting.put(number, job));
        waiting
    }

    /// Puts a job among the others, unless it is done.
    fn put(&mut self, number: usize, job: J) {
        let remaining = job.remaining();
        if remaining > 0 {
            self.order.push((remaining, Reverse(number)));
            self.jobs[number] = Some(job);
        }
    }

    /// The job of which most remains; of several the first.
    fn take(&mut self) -> Option<(usize, J)> {
        let (_, Reverse(number)) = self.order.pop()?;
        Some((number, self.jobs[number].take().expect("what is in the order waits")))
    }
}

/// Does every job to its end, on all threads of the current rayon pool.
pub fn run<J: Job>(jobs: Vec<J>) {
    let threads = rayon::current_num_threads().min(jobs.len());
    let waiting = Mutex::new(Waiting::new(jobs));
    let lock = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    rayon::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|_| {
                // Where none waits, each job that is left is with a thread that goes on with it.
                let mut next = lock().take();
                while let Some((number, mut job)) = next {
                    job.advance();
                    let mut waiting = lock();
                    waiting.put(number, job);
                    next = waiting.take();
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    /// A job of so many pieces, each of which takes so long.
    #[derive(Clone, Debug)]
    struct Pieces<'a> {
        left: u64,
        each: u64,
        done: Option<&'a AtomicU64>,
    }

    impl Job for Pieces<'_> {
        fn remaining(&self) -> u64 {
            self.left * self.each
        }
        fn advance(&mut self) {
            self.left -= 1;
            if let Some(done) = self.done {
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn jobs(shapes: &[(u64, u64)]) -> Vec<Pieces<'static>> {
        shapes.iter().map(|(left, each)| Pieces { left: *left, each: *each, done: None }).collect()
    }

    /// When the last of `threads` threads is ready, where pieces take as long as they say: the order is the real one,
    /// the clock is not.
    fn makespan(jobs: Vec<Pieces<'_>>, threads: usize) -> u64 {
        let mut waiting = Waiting::new(jobs);
        let mut busy: Vec<(u64, usize, Pieces<'_>)> = Vec::new();
        let mut now = 0;
        loop {
            while busy.len() < threads {
                let Some((number, mut job)) = waiting.take() else { break };
                job.advance();
                busy.push((now + job.each, number, job));
            }
            busy.sort_by_key(|(end, number, _)| (*end, *number));
            if busy.is_empty() {
                return now;
            }
            let (end, number, job) = busy.remove(0);
            now = end;
            waiting.put(number, job);
        }
    }

    #[test]
    fn every_piece_is_done_once() {
        let done = AtomicU64::new(0);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("a pool");
        let jobs = (0..50).map(|number| Pieces { left: number % 7, each: number + 1, done: Some(&done) });
        pool.install(|| run(jobs.collect()));
        assert_eq!(done.into_inner(), (0..50).map(|number| number % 7).sum::<u64>());
    }

    #[test]
    fn a_big_job_among_small_ones_is_begun_first() {
        // 40 beside 40 jobs of 1: the big one lasts as long as all the others, which leave it a thread.
        let shapes: Vec<(u64, u64)> = (0..40).map(|_| (1, 1)).chain([(8, 5)]).collect();
        assert_eq!(makespan(jobs(&shapes), 2), 40);
    }

    #[test]
    fn three_equal_jobs_in_pieces_share_two_threads() {
        assert_eq!(makespan(jobs(&[(1, 8), (1, 8), (1, 8)]), 2), 16);
        assert_eq!(makespan(jobs(&[(8, 1), (8, 1), (8, 1)]), 2), 12);
    }

    proptest! {
        /// No schedule ends before all work is shared evenly, nor before the longest job; this one is not
        /// later than either by more than a piece.
        #[test]
        fn threads_end_together(shapes in prop::collection::vec((1_u64..9, 1_u64..50), 1..40), threads in 1_usize..9) {
            let total: u64 = shapes.iter().map(|(left, each)| left * each).sum();
            let longest = shapes.iter().map(|(left, each)| left * each).max().expect("a job");
            let piece = shapes.iter().map(|(_, each)| *each).max().expect("a job");
            let found = makespan(jobs(&shapes), threads);
            let least = longest.max(total.div_ceil(threads as u64));
            prop_assert!((least..=least + piece).contains(&found), "{found} where {least} would do");
        }
    }
}
