//! Draws from a discrete distribution in constant time.

use std::hint::select_unpredictable;

/// Walker's alias table, built by Vose's method: a draw takes one line of 8 bytes.
#[derive(Debug)]
pub struct AliasTable {
    lines: Box<[Line]>,
}

/// One column of the table: itself below the threshold, its alias above.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    threshold: u32,
    alias: u32,
}

impl AliasTable {
    /// A table that draws `index` in proportion to `weights[index]`, exact to 2^-32 of a mean weight.
    ///
    /// # Panics
    /// If there are no weights or more than 2^32, or their sum is no positive number.
    #[must_use]
    pub fn new(weights: &[f64]) -> Self {
        let count = weights.len();
        assert!((1..=1 << 32).contains(&count), "an alias table has 1 to 2^32 lines");
        let sum: f64 = weights.iter().sum();
        assert!(sum > 0.0 && sum.is_finite(), "weights have a positive sum");
        // Scaled so that the mean weight is 1: columns below it are filled up from those above.
        let scale = count as f64 / sum;
        let mut share: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..count as u32).partition(|index| share[*index as usize] < 1.0);
        // What rounding leaves over fills its own column: the alias is the column itself.
        let mut lines: Box<[Line]> =
            (0..count as u32).map(|alias| Line { threshold: u32::MAX, alias }).collect();
        while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
            let (have, rich_share) = (share[poor as usize], &mut share[rich as usize]);
            lines[poor as usize] = Line { threshold: (have * 4_294_967_296.0) as u32, alias: rich };
            *rich_share -= 1.0 - have;
            if *rich_share < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Self { lines }
    }

    /// How many indices it draws from.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Never: a table has at least one line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The index that 64 random bits draw: the upper half chooses a line, the lower half throws its coin.
    #[inline]
    #[must_use]
    pub fn draw(&self, bits: u64) -> u32 {
        let index = ((bits >> 32) * self.lines.len() as u64) >> 32;
        let line = self.lines[index as usize];
        select_unpredictable((bits as u32) < line.threshold, index as u32, line.alias)
    }

    /// The index that 32 random bits draw: their product with the number of lines chooses a line by what
    /// is above 2^32 and throws its coin by what is below. The coin has as many steps as 2^32 over the
    /// number of lines, so this is for tables that are not long.
    #[inline]
    #[must_use]
    pub fn draw_narrow(&self, bits: u32) -> u32 {
        let scaled = u64::from(bits) * self.lines.len() as u64;
        let line = self.lines[(scaled >> 32) as usize];
        select_unpredictable((scaled as u32) < line.threshold, (scaled >> 32) as u32, line.alias)
    }

    /// Its lines: a coin of 32 bits below the threshold means the line's own index, above it the alias.
    pub(super) fn lines(&self) -> impl Iterator<Item = (u32, u32)> {
        self.lines.iter().map(|line| (line.threshold, line.alias))
    }
}
