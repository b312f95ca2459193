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

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(count: u64) -> impl Iterator<Item = Shard> {
        (1..=count).map(move |index| Shard { index, count })
    }

    #[test]
    fn every_point_is_in_one_shard() {
        for count in 1..8 {
            for points in 0..20 {
                let mut seen: Vec<u64> = shards(count)
                    .flat_map(|shard| (0..shard.len(points)).map(move |k| shard.point(k)))
                    .collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..points).collect::<Vec<_>>(), "{points} points in {count} shards");
                for point in 0..points {
                    assert_eq!(shards(count).filter(|shard| shard.contains(point)).count(), 1);
                }
            }
        }
    }

    #[test]
    fn shards_overlap_if_they_share_a_number() {
        for (one, two) in
            (1..7).flat_map(shards).flat_map(|one| (1..7).flat_map(shards).map(move |two| (one, two)))
        {
            let share = (0..60).any(|point| one.contains(point) && two.contains(point));
            assert_eq!(one.overlaps(two), share, "{one} and {two}");
        }
    }

    #[test]
    fn a_shard_is_read_as_it_is_written() {
        for shard in shards(12) {
            assert_eq!(shard.to_string().parse(), Ok(shard));
        }
        for text in ["", "1", "0/1", "2/1", "1/0", "1/1000001", "a/2", "1/2/3", " 1/2", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text:?}");
        }
    }
}
