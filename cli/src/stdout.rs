//! Stdout, whose reader may leave early and whose disk may be full.

use std::io::{self, ErrorKind, Write};

use crate::failure::Failure;

/// Writes `bytes` to stdout. A reader that has gone (`| head`) has seen enough: that is no failure.
///
/// # Errors
/// Stdout cannot be written for any other reason.
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format_args!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
