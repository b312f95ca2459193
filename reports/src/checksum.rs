//! Checksums of files: XXH3, 64 bits, as `xxhsum -H3` computes it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

/// What marks the algorithm in front of the digits.
const MARK: &str = "xxh3:";

/// A checksum of bytes that come in parts.
#[derive(Clone, Default)]
pub struct Checksum(Xxh3);

impl Checksum {
    /// Of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of these bytes too.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// `xxh3:` and sixteen hexadecimal digits.
    #[must_use]
    pub fn finish(&self) -> String {
        format!("{MARK}{:016x}", self.0.digest())
    }
}

/// The checksum of `bytes`.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    let mut checksum = Checksum::new();
    checksum.update(bytes);
    checksum.finish()
}

/// Length and checksum of a file.
pub(crate) fn of_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut checksum = Checksum::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, checksum.finish())),
            read => {
                bytes += read as u64;
                checksum.update(&buffer[..read]);
            }
        }
    }
}
