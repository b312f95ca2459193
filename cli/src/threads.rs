//! Threads of a command's own.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::failure::Failure;

/// So many threads, called by what they do.
///
/// # Errors
/// They cannot be started.
pub fn pool(threads: usize, what: &'static str) -> Result<ThreadPool, Failure> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(move |index| format!("{what}-{index}"))
        .build()
        .map_err(|error| Failure::failed(format_args!("cannot start {threads} threads: {error}")))
}
