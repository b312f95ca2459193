//! Leaves of a page table: their sizes, rights and contents.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{Iova, PhysAddr};

/// The size of a page-table leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum LeafSize {
    /// 4,096 bytes.
    #[default]
    #[serde(rename = "4k")]
    Size4K = 0,
    /// 2,097,152 bytes.
    #[serde(rename = "2m")]
    Size2M = 1,
    /// 1,073,741,824 bytes.
    #[serde(rename = "1g")]
    Size1G = 2,
}

impl LeafSize {
    /// Every size, the smallest first.
    pub const ALL: [Self; 3] = [Self::Size4K, Self::Size2M, Self::Size1G];

    /// Base-2 logarithm of the size in bytes.
    #[must_use]
    pub const fn shift(self) -> u32 {
        12 + 9 * self as u32
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self.shift()
    }

    /// The size of `bytes` bytes, if there is one.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        match bytes {
            0x1000 => Some(Self::Size4K),
            0x20_0000 => Some(Self::Size2M),
            0x4000_0000 => Some(Self::Size1G),
            _ => None,
        }
    }

    /// The first address of the leaf of this size that covers `iova`.
    #[must_use]
    pub const fn base(self, iova: Iova) -> Iova {
        Iova(iova.0 & !(self.bytes() - 1))
    }

    /// The offset of `iova` in its leaf of this size.
    #[must_use]
    pub const fn offset(self, iova: Iova) -> u64 {
        iova.0 & (self.bytes() - 1)
    }
}

impl fmt::Display for LeafSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size4K => "4 KiB",
            Self::Size2M => "2 MiB",
            Self::Size1G => "1 GiB",
        })
    }
}

/// The rights a leaf grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Permissions {
    /// Mapped without rights.
    #[serde(rename = "none")]
    None = 0,
    /// Read only.
    #[serde(rename = "r")]
    Read = 1,
    /// Write only.
    #[serde(rename = "w")]
    Write = 2,
    /// Read and write.
    #[default]
    #[serde(rename = "rw")]
    ReadWrite = 3,
}

impl Permissions {
    /// From the two low bits: 1 read, 2 write.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::None,
            1 => Self::Read,
            2 => Self::Write,
            _ => Self::ReadWrite,
        }
    }

    /// Whether `op` is granted.
    #[must_use]
    pub const fn allow(self, op: crate::request::Op) -> bool {
        (self as u8) & (1 << op as u8) != 0
    }
}

/// A leaf as the walker reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leaf {
    /// The first address it maps, a multiple of its size.
    pub base: Iova,
    /// Where it maps to, a multiple of its size.
    pub target: PhysAddr,
    /// Its size.
    pub size: LeafSize,
    /// The rights it grants.
    pub permissions: Permissions,
}

impl Leaf {
    /// The last address it maps.
    #[inline]
    #[must_use]
    pub const fn last(&self) -> Iova {
        Iova(self.base.0 | (self.size.bytes() - 1))
    }

    /// The part of it that a smaller leaf maps at `iova`, which must lie in it.
    #[must_use]
    pub const fn part(&self, size: LeafSize, iova: Iova) -> Self {
        let base = size.base(iova);
        Self { base, target: self.translate(base), size, permissions: self.permissions }
    }

    /// Where the leaf maps `iova`, which must lie in it.
    #[inline]
    #[must_use]
    pub const fn translate(&self, iova: Iova) -> PhysAddr {
        PhysAddr(self.target.0 | self.size.offset(iova))
    }
}
