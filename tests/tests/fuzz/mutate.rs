//! Mutations of inputs, from a seed.

/// Numbers at the bounds of types and of what is checked.
const NUMBERS: [u32; 14] = [0, 1, 7, 8, 9, 47, 48, 49, 255, 256, 131_008, 131_009, 0x7FFF_FFFF, 0xFFFF_FFFF];

/// What text is made of: keys, values, and marks of the formats.
const WORDS: [&str; 34] = [
    "[[tenants]]",
    "[[hosts]]",
    "[escape]",
    "name",
    "count",
    "vm",
    "escapes",
    "corpus",
    "mix",
    "iommu.mode",
    "machine",
    "hosts",
    "{",
    "}",
    "[",
    "]",
    "=",
    ".",
    "\"",
    "'''",
    "\n",
    ",",
    "-1",
    "1e308",
    "nan",
    "inf",
    "0x",
    "18446744073709551616",
    "true",
    "dma",
    "unmap_deferred",
    "0xffffffffffffffff",
    "rw",
    "1979-05-27",
];

/// Draws numbers: splitmix64.
pub struct Draw(pub u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        portcullis_engine::hash::mix64(self.0)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A place in `bytes`, its end included.
fn place(bytes: &[u8], draw: &mut Draw) -> usize {
    draw.below(bytes.len() + 1)
}

/// A part of `bytes`, short more often than long.
fn part(bytes: &[u8], draw: &mut Draw) -> std::ops::Range<usize> {
    let begin = place(bytes, draw);
    let longest = if draw.below(4) == 0 { bytes.len() } else { 8 };
    let end = (begin + draw.below(longest + 1)).min(bytes.len());
    begin..end
}

/// Another input, made of one and, now and then, of a part of `other`.
pub fn mutate(input: &[u8], other: &[u8], bytes_max: usize, draw: &mut Draw) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=draw.below(4) {
        let at = place(&bytes, draw);
        match draw.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << draw.below(8),
            1 if at < bytes.len() => bytes[at] = draw.below(256) as u8,
            2 => {
                let gone = part(&bytes, draw);
                bytes.drain(gone);
            }
            3 => bytes.truncate(at),
            4 => {
                let number = NUMBERS[draw.below(NUMBERS.len())].to_le_bytes();
                let end = (at + 4).min(bytes.len());
                bytes.splice(at..end, number);
            }
            5 | 6 => {
                bytes.splice(at..at, WORDS[draw.below(WORDS.len())].bytes());
            }
            7 => {
                let own = bytes[part(&bytes, draw)].to_vec();
                bytes.splice(at..at, own);
            }
            _ => {
                let theirs = other[part(other, draw)].to_vec();
                bytes.splice(at..at, theirs);
            }
        }
    }
    bytes.truncate(bytes_max);
    bytes
}
