//! The last-level cache: whether the data of a DMA lies in it.

use bevy_ecs::component::Component;

use super::spec::LlcSpec;
use crate::hash::{mix64, reduce};
use crate::ids::{DomainId, Iova};
use crate::units::Picoseconds;

/// A line. No frame is mapped twice, so as long as mappings last domain and address in the domain tell it as well
/// as its frame does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    domain: DomainId,
    number: u64,
}

/// What an empty place holds: no domain has this number.
const EMPTY: Line = Line { domain: DomainId(0), number: 0 };

/// The last-level cache in front of an IOMMU's memory: sets by a hash, LRU.
///
/// DMAs touch it in the order of their look-ups. Reads and writes alike bring in what was not there, as a write
/// does under Intel's DDIO; a write takes no longer for it.
#[derive(Component, Clone, Debug)]
pub struct LastLevelCache {
    sets: u32,
    ways: usize,
    /// Set by set, the line that was touched last first.
    lines: Vec<Line>,
    /// What a read takes longer whose data is not all here.
    pub miss: Picoseconds,
}

/// The set of a line, by its number in its domain.
#[must_use]
pub fn llc_set(domain: DomainId, line: u64, sets: u32) -> u32 {
    reduce(mix64(line ^ mix64(u64::from(domain.0))), sets)
}

impl LastLevelCache {
    /// An empty one from a valid specification; none where that says so.
    #[must_use]
    pub fn new(spec: &LlcSpec) -> Option<Self> {
        (spec.bytes > 0).then(|| Self {
            sets: spec.sets(),
            ways: spec.ways as usize,
            lines: vec![EMPTY; spec.sets() as usize * spec.ways as usize],
            miss: Picoseconds::from_ns_f64(spec.miss_ns),
        })
    }

    /// Touches every line of `length_bytes` bytes, at least one, from `iova` on; returns whether all were there.
    pub fn touch(&mut self, domain: DomainId, iova: Iova, length_bytes: u64) -> bool {
        let last = (iova.0 + (length_bytes - 1)) / LlcSpec::LINE_BYTES;
        let mut all = true;
        for number in iova.0 / LlcSpec::LINE_BYTES..=last {
            all &= self.touch_line(Line { domain, number });
        }
        all
    }

    /// Touches the last lines of a buffer that the host has just written, as many as there is room for.
    pub fn warm(&mut self, domain: DomainId, iova: Iova, bytes: u64) {
        let held = bytes.min(self.lines.len() as u64 * LlcSpec::LINE_BYTES);
        self.touch(domain, Iova(iova.0 + (bytes - held)), held);
    }

    fn touch_line(&mut self, line: Line) -> bool {
        let first = llc_set(line.domain, line.number, self.sets) as usize * self.ways;
        let set = &mut self.lines[first..first + self.ways];
        let found = set.iter().position(|there| *there == line);
        let place = found.unwrap_or(self.ways - 1);
        set[..=place].rotate_right(1);
        set[0] = line;
        found.is_some()
    }
}
