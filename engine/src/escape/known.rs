//! The registry of known escapes: what a driver that declares them lets the kernel look into.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A version of the driver model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wddm {
    /// Before the dot.
    pub major: u8,
    /// Behind it.
    pub minor: u8,
}

impl Wddm {
    /// The versions there are, oldest first: those that share GPUs among VMs (GPU-PV) or isolate them.
    pub const ALL: [Self; 13] = {
        let mut all = [Self::new(3, 2); 13];
        let mut minor = 0;
        while minor < 10 {
            all[minor as usize] = Self::new(2, minor);
            minor += 1;
        }
        (all[10], all[11]) = (Self::new(3, 0), Self::new(3, 1));
        all
    };

    /// `major.minor`.
    #[must_use]
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for Wddm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Wddm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|version| version.to_string() == text);
        let [first, .., last] = Self::ALL;
        found.ok_or_else(|| {
            format!(
                "{text:?} is no version of WDDM; there are \"{first}\" to \"2.9\" and \"3.0\" to \"{last}\""
            )
        })
    }
}

impl Serialize for Wddm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wddm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A known escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownEscape {
    /// Its number, with which the payload begins.
    pub number: u32,
    /// What Microsoft calls it.
    pub name: &'static str,
    /// The first version that has it.
    pub since: Wddm,
    /// Bytes of its payload; `None` where they are not documented.
    pub payload_bytes: Option<u32>,
}

/// The registry (Microsoft, d3dukmdt.h and the WDDM documentation). Each payload begins with the number, then
/// the handle it is about, both of 32 bits.
pub const KNOWN_ESCAPES: [KnownEscape; 4] = [
    KnownEscape {
        number: 0,
        name: "TRANSLATEALLOCATIONHANDLE",
        since: Wddm::new(2, 5),
        payload_bytes: Some(8),
    },
    KnownEscape {
        number: 1,
        name: "TRANSLATERESOURCEHANDLE",
        since: Wddm::new(2, 5),
        payload_bytes: Some(8),
    },
    KnownEscape { number: 2, name: "CPUEVENTUSAGE", since: Wddm::new(3, 0), payload_bytes: Some(48) },
    KnownEscape { number: 3, name: "BUILDTESTCOMMANDBUFFER", since: Wddm::new(3, 2), payload_bytes: None },
];

/// The known escapes of a host: the bytes of each payload, by number; 0 where there is no such escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownEscapes([u32; KNOWN_ESCAPES.len()]);

impl KnownEscapes {
    /// Those of a version; one whose size is not documented exists where `undocumented_bytes` gives it.
    #[must_use]
    pub fn of(version: Wddm, undocumented_bytes: Option<u32>) -> Self {
        Self(KNOWN_ESCAPES.map(|known| {
            let bytes = known.payload_bytes.or(undocumented_bytes);
            bytes.filter(|_| known.since <= version).unwrap_or(0)
        }))
    }

    /// Bytes of the payload of one, if there is such an escape.
    #[inline]
    #[must_use]
    pub fn payload_bytes(&self, number: u32) -> Option<u32> {
        self.0.get(number as usize).copied().filter(|bytes| *bytes > 0)
    }

    /// Numbers and bytes of those there are.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        (0..).zip(self.0).filter(|(_, bytes)| *bytes > 0)
    }
}

/// Number and handle with which the payload of a known escape begins, if it has room for them.
#[inline]
#[must_use]
pub fn known_payload(payload: &[u8]) -> Option<(u32, u32)> {
    let (number, rest) = payload.split_first_chunk::<4>()?;
    let (handle, _) = rest.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), u32::from_le_bytes(*handle)))
}
