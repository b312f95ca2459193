//! How many bytes a DMA moves.

use std::fmt;

use portcullis_engine::error::SpecError;
use serde::de::{self, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The sizes of a class's DMAs, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum SizeMix {
    /// All alike: `4096`.
    Fixed(u32),
    /// Sizes with weights, `[[64, 3], [1500, 1]]`; `[64, 1500]` weighs them alike.
    Weighted(Vec<(u32, f64)>),
    /// Every power of two of a range alike: `"64..4096"`, both ends included.
    PowersOfTwo {
        /// Least size.
        low: u32,
        /// Greatest size.
        high: u32,
    },
}

impl Default for SizeMix {
    fn default() -> Self {
        Self::Fixed(4_096)
    }
}

impl SizeMix {
    /// Most bytes of a DMA.
    pub const BYTES_MAX: u32 = 1 << 24;
    /// Most sizes of a mix.
    pub const SIZES_MAX: usize = 1_024;

    /// The sizes with their weights, which need not add up to one.
    #[must_use]
    pub fn weighted(&self) -> Vec<(u32, f64)> {
        match self {
            Self::Fixed(bytes) => vec![(*bytes, 1.0)],
            Self::Weighted(mix) => mix.clone(),
            Self::PowersOfTwo { low, high } => {
                (low.trailing_zeros()..=high.trailing_zeros()).map(|shift| (1 << shift, 1.0)).collect()
            }
        }
    }

    /// The largest size.
    #[must_use]
    pub fn largest(&self) -> u32 {
        self.weighted().iter().map(|(bytes, _)| *bytes).max().unwrap_or(0)
    }

    /// Checks every value; `key` is where the mix stands.
    pub(super) fn validate(&self, key: &str) -> Result<(), SpecError> {
        let mix = self.weighted();
        SpecError::in_range(key, mix.len(), 1, Self::SIZES_MAX)
            .map_err(|_| SpecError::new(key, format!("must hold 1 to {} sizes", Self::SIZES_MAX)))?;
        for (bytes, weight) in &mix {
            SpecError::in_range(key, *bytes, 1, Self::BYTES_MAX)?;
            if !(*weight >= 0.0 && *weight <= 1e12) {
                return Err(SpecError::new(
                    key,
                    format!("gives {bytes} bytes the weight {weight}; it must lie between 0 and 1e12"),
                ));
            }
        }
        if mix.iter().map(|(_, weight)| weight).sum::<f64>() <= 0.0 {
            return Err(SpecError::new(key, "gives no size a weight above 0"));
        }
        Ok(())
    }
}

impl Serialize for SizeMix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(bytes) => serializer.serialize_u32(*bytes),
            Self::Weighted(mix) => mix.serialize(serializer),
            Self::PowersOfTwo { low, high } => serializer.collect_str(&format_args!("{low}..{high}")),
        }
    }
}

impl<'de> Deserialize<'de> for SizeMix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeMixVisitor)
    }
}

struct SizeMixVisitor;

impl<'de> Visitor<'de> for SizeMixVisitor {
    type Value = SizeMix;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes, a list of [bytes, weight], or a range of powers of two such as \"64..4096\"")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<SizeMix, E> {
        u32::try_from(bytes)
            .map(SizeMix::Fixed)
            .map_err(|_| de::Error::invalid_value(Unexpected::Unsigned(bytes), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SizeMix, E> {
        let wrong = || de::Error::invalid_value(Unexpected::Str(text), &self);
        let power = |text: &str| text.trim().parse().ok().filter(|bytes: &u32| bytes.is_power_of_two());
        let (low, high) = text.split_once("..").ok_or_else(wrong)?;
        match (power(low), power(high)) {
            (Some(low), Some(high)) if low <= high => Ok(SizeMix::PowersOfTwo { low, high }),
            _ => Err(wrong()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<SizeMix, A::Error> {
        let mut mix = Vec::new();
        while let Some(WeightedSize(bytes, weight)) = items.next_element()? {
            mix.push((bytes, weight));
        }
        Ok(SizeMix::Weighted(mix))
    }
}

/// An item of a mix: `[bytes, weight]`, or bytes of weight 1.
struct WeightedSize(u32, f64);

impl<'de> Deserialize<'de> for WeightedSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WeightedSizeVisitor)
    }
}

struct WeightedSizeVisitor;

impl<'de> Visitor<'de> for WeightedSizeVisitor {
    type Value = WeightedSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes, or a pair [bytes, weight]")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<WeightedSize, E> {
        u32::try_from(bytes)
            .map(|bytes| WeightedSize(bytes, 1.0))
            .map_err(|_| de::Error::invalid_value(Unexpected::Unsigned(bytes), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<WeightedSize, A::Error> {
        let wrong = || de::Error::invalid_type(Unexpected::Seq, &self);
        let bytes = items.next_element()?.ok_or_else(wrong)?;
        let weight = items.next_element()?.ok_or_else(wrong)?;
        if items.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(wrong());
        }
        Ok(WeightedSize(bytes, weight))
    }
}
