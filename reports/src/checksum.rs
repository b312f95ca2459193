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

#[cfg(test)]
mod tests {
    use super::*;

    /// The first from xxHash's own test vectors, XXH3_64bits of nothing with seed 0.
    #[test]
    fn a_checksum_is_the_same_in_parts_and_from_a_file() {
        assert_eq!(of_bytes(b""), "xxh3:2d06800538d394c2");
        let bytes: Vec<u8> = (0..200_000_u32).map(|index| (index * 7) as u8).collect();
        let mut parts = Checksum::new();
        bytes.chunks(777).for_each(|part| parts.update(part));
        assert_eq!(parts.finish(), of_bytes(&bytes));
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        std::fs::write(&path, &bytes).expect("written");
        assert_eq!(of_file(&path).expect("read"), (200_000, of_bytes(&bytes)));
    }
}
