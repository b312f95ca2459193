//! Streams of random numbers, one for each (seed, host, VF, purpose).

use portcullis_engine::ids::{HostIndex, VfIndex};
use rand_pcg::Mcg128Xsl64;

/// The generator of every stream: PCG XSL 128/64 (MCG), 16 bytes of state.
pub type StreamRng = Mcg128Xsl64;

/// What a stream is for. The numbers are part of the results: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// When requests are intended.
    Arrivals = 1,
    /// Which page they touch.
    Pattern = 2,
    /// Their size and direction, and where in the page they start.
    Transfers = 3,
    /// The order of a class's pages, drawn once for all its VFs.
    Permutation = 4,
    /// How long the clients of a closed loop think.
    Think = 5,
    /// When escapes are sent.
    EscapeArrivals = 6,
    /// What they are.
    Escapes = 7,
}

/// The stream of one VF for one purpose.
///
/// The state is made of two 64-bit words, each a chain of SplitMix64 finalisers over seed, host, VF
/// and purpose, begun at two different constants. A word of the chain is a bijection of each input
/// while the others stand still, so streams that differ in one of them differ.
#[must_use]
pub fn stream(seed: u64, host: HostIndex, vf: VfIndex, purpose: Stream) -> StreamRng {
    let word = |start: u64| {
        [seed, u64::from(host.0), u64::from(vf.0), purpose as u64]
            .into_iter()
            .fold(start, |state, input| mix(state ^ input))
    };
    let (high, low) = (word(0x243F_6A88_85A3_08D3), word(0x1319_8A2E_0370_7344));
    Mcg128Xsl64::new(u128::from(high) << 64 | u128::from(low))
}

/// SplitMix64: its increment, then its finaliser (Steele, Lea, Flood, OOPSLA 2014).
const fn mix(input: u64) -> u64 {
    let mut state = input.wrapping_add(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

/// A whole number below `bound`, from 32 random bits.
///
/// The multiplication favours some numbers over others by at most `bound / 2^32`.
#[inline]
pub(super) const fn below(bits: u32, bound: u32) -> u32 {
    ((bits as u64 * bound as u64) >> 32) as u32
}

/// A number in `[0, 1)`, from 64 random bits, in steps of 2^-53.
#[inline]
pub(super) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// The nearest whole number to `value`, which must lie in `0.0..2^52`; ties to even.
///
/// In the binade of 2^52 the last bit of an `f64` is worth 1: adding 2^52 rounds, and the bits are the
/// number. A conversion by `as` checks three bounds more.
#[inline]
pub(super) fn round(value: f64) -> u64 {
    const BINADE: f64 = (1_u64 << 52) as f64;
    debug_assert!((0.0..BINADE).contains(&value), "{value} is out of range");
    (value + BINADE).to_bits() ^ BINADE.to_bits()
}

/// The share of 2^32 that 32 random bits must lie below to hit with probability `share`.
#[inline]
pub(super) fn threshold(share: f64) -> u64 {
    (share * 4_294_967_296.0 + 0.5) as u64
}
