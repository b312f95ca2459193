//! Simulated time: an integer number of picoseconds, never a float and never the host's clock.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A point in simulated time, or a span of it, in picoseconds.
///
/// A `u64` of picoseconds spans 213 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Picoseconds(pub u64);

impl Picoseconds {
    /// The start of every run.
    pub const ZERO: Self = Self(0);
    /// Later than any point a run can reach.
    pub const MAX: Self = Self(u64::MAX);

    /// `ns` nanoseconds.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns * 1_000)
    }

    /// `us` microseconds.
    #[must_use]
    pub const fn from_us(us: u64) -> Self {
        Self(us * 1_000_000)
    }

    /// Nearest picosecond to `ns` nanoseconds; negative values become 0.
    #[must_use]
    pub fn from_ns_f64(ns: f64) -> Self {
        Self((ns * 1e3 + 0.5) as u64)
    }

    /// This span in whole nanoseconds, rounded down.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0 / 1_000
    }

    /// This span in nanoseconds.
    #[must_use]
    pub fn as_ns_f64(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// This span in seconds.
    #[must_use]
    pub fn as_seconds_f64(self) -> f64 {
        self.0 as f64 / 1e12
    }

    /// `self - earlier`, or zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// `self + span`, or [`Picoseconds::MAX`].
    #[must_use]
    pub const fn saturating_add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Add for Picoseconds {
    type Output = Self;
    fn add(self, span: Self) -> Self {
        Self(self.0 + span.0)
    }
}

impl AddAssign for Picoseconds {
    fn add_assign(&mut self, span: Self) {
        self.0 += span.0;
    }
}

impl Sub for Picoseconds {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self(self.0 - earlier.0)
    }
}

impl fmt::Display for Picoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ps if ps < 1_000 => write!(f, "{ps} ps"),
            ps if ps < 1_000_000 => write!(f, "{:.3} ns", ps as f64 / 1e3),
            ps if ps < 1_000_000_000 => write!(f, "{:.3} us", ps as f64 / 1e6),
            ps if ps < 1_000_000_000_000 => write!(f, "{:.3} ms", ps as f64 / 1e9),
            ps => write!(f, "{:.3} s", ps as f64 / 1e12),
        }
    }
}
