//! Which points are whose, where several processes share a sweep.

use std::fmt;
use std::str::FromStr;

/// Most shards a sweep may be cut into.
const SHARDS_MAX: u64 = 1_000_000;

/// The points whose number leaves the rest `index` - 1 when divided by `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// All points.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Whether the point is this shard's.
    #[must_use]
    pub const fn contains(self, point: u64) -> bool {
        point % self.count == self.index - 1
    }

    /// How many of `points` are this shard's.
    #[must_use]
    pub const fn len(self, points: u64) -> u64 {
        (points + self.count - self.index) / self.count
    }

    /// The shard's point of this ordinal.
    #[must_use]
    pub const fn point(self, ordinal: u64) -> u64 {
        self.index - 1 + ordinal * self.count
    }

    /// Whether some number is a point of both.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        let (mut one, mut two) = (self.count, other.count);
        while two > 0 {
            (one, two) = (two, one % two);
        }
        self.index.abs_diff(other.index).is_multiple_of(one)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, count)| Some(Self { index: index.parse().ok()?, count: count.parse().ok()? }));
        match parts {
            None => Err("it must have the form I/N, such as 1/4".into()),
            Some(Self { count, .. }) if !(1..=SHARDS_MAX).contains(&count) => {
                Err(format!("the number of shards must lie between 1 and {SHARDS_MAX}"))
            }
            Some(Self { index, count }) if !(1..=count).contains(&index) => {
                Err(format!("the shard must lie between 1 and {count}"))
            }
            Some(shard) => Ok(shard),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}
