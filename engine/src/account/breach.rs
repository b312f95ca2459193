//! A breach of isolation: who reached what, when, and why that is one.

use core::fmt;

use crate::ids::{HostIndex, PhysAddr};
use crate::units::Picoseconds;

/// Why an access was a breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreachCause {
    /// Its translation reached a frame of this tenant, by the index of its VF within the host.
    OthersFrame(u32),
    /// Its translation reached a frame that is no tenant's.
    NoTenantsFrame,
    /// A cached translation served it after the invalidation of its page was complete, or with none under way.
    OutlivedInvalidation,
    /// The frame left its tenant before the access ended.
    FrameLeft,
}

impl fmt::Display for BreachCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OthersFrame(vf) => write!(formatter, "which is tenant {vf}'s"),
            Self::NoTenantsFrame => formatter.write_str("which is no tenant's"),
            Self::OutlivedInvalidation => {
                formatter.write_str("through a cached translation that outlived its page's invalidation")
            }
            Self::FrameLeft => formatter.write_str("which had left the tenant before the access ended"),
        }
    }
}

/// An access to what is not the tenant's, with no invalidation pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// When its translation was known; where a frame left too early, when it left.
    pub time: Picoseconds,
    /// The tenant, by the index of its VF within the host.
    pub vf: u32,
    /// The first byte of the frame.
    pub frame: PhysAddr,
    /// Why it is one.
    pub cause: BreachCause,
}

impl Breach {
    /// Of an access to `pa`.
    #[must_use]
    pub fn new(time: Picoseconds, vf: u32, pa: PhysAddr, cause: BreachCause) -> Self {
        Self { time, vf, frame: PhysAddr(pa.0 & !0xFFF), cause }
    }

    /// The earlier of what was seen so far and this one.
    #[must_use]
    pub fn or_earlier(self, seen: Option<Self>) -> Self {
        seen.map_or(self, |seen| seen.min(self))
    }

    /// What happened, in a sentence about the first of `total`.
    #[must_use]
    pub fn describe(&self, host: HostIndex, total: u64) -> String {
        format!(
            "isolation was broken: at {} ns tenant {} of host {} reached frame {:#x}, {}; {total} DMAs in all reached \
             what was not their tenant's, with no invalidation pending",
            self.time.as_ns_f64(),
            self.vf,
            host.0,
            self.frame.0,
            self.cause
        )
    }
}
