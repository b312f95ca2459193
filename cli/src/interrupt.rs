//! Ctrl-C and SIGTERM: a flag that a command looks at between two rounds.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

static RAISED: AtomicBool = AtomicBool::new(false);

/// From now on a request to stop raises the flag, where it would have ended the process.
///
/// # Errors
/// The system refuses the handler.
pub fn install() -> Result<(), Failure> {
    ctrlc::set_handler(|| RAISED.store(true, Ordering::Relaxed))
        .map_err(|error| Failure::failed(format_args!("cannot handle Ctrl-C: {error}")))
}

/// `Ok` until the user or the system asks to stop.
///
/// # Errors
/// [`Failure::Interrupted`] from then on.
pub fn check() -> Result<(), Failure> {
    if RAISED.load(Ordering::Relaxed) { Err(Failure::Interrupted) } else { Ok(()) }
}
