//! Packets of a class: DMAs that are intended together, each with a buffer of its own.

use portcullis_engine::domain::LeafSize;
use portcullis_engine::error::SpecError;
use portcullis_engine::request::Op;
use serde::{Deserialize, Serialize};

use super::{ArrivalKind, ClassMemory, PatternSpec, SizeMix, TenantClass};

/// Direction of a DMA: `r` reads host memory, `w` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PacketOp {
    /// Reads host memory.
    #[serde(rename = "r")]
    Read,
    /// Writes host memory.
    #[serde(rename = "w")]
    Write,
}

impl PacketOp {
    /// As the engine calls it.
    #[must_use]
    pub const fn op(self) -> Op {
        match self {
            Self::Read => Op::Read,
            Self::Write => Op::Write,
        }
    }
}

/// `[[tenants.packet]]`: one DMA of every packet, at the start of a page of a buffer of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketDma {
    /// Bytes. Required.
    pub bytes: u32,
    /// `r` or `w`. Required.
    pub op: PacketOp,
    /// First address of its buffer, a multiple of the page size. Required.
    pub iova: u64,
    /// Size of a page: `4k`, `2m` or `1g`. Default `4k`.
    #[serde(default)]
    pub page_size: LeafSize,
    /// Pages of its buffer. Default 1.
    #[serde(default = "one_page")]
    pub pages: u64,
    /// Packets that go to one page before the next ones go to the page behind it, round and round. Default 1.
    #[serde(default = "one_packet")]
    pub packets_per_page: u64,
}

fn one_page() -> u64 {
    1
}
fn one_packet() -> u64 {
    1
}

impl PacketDma {
    /// One in which every key is present.
    pub(super) fn with_every_key() -> Self {
        Self {
            bytes: 64,
            op: PacketOp::Read,
            iova: 0,
            page_size: LeafSize::Size4K,
            pages: 1,
            packets_per_page: 1,
        }
    }

    /// Its buffer.
    #[must_use]
    pub fn memory(&self) -> ClassMemory {
        let Self { iova, page_size, pages, .. } = *self;
        ClassMemory { iova, page_size, pages, ..ClassMemory::default() }
    }

    fn validate(&self, path: &str) -> Result<(), SpecError> {
        self.memory().validate(path)?;
        let page = u32::try_from(self.page_size.bytes()).expect("pages are of 1 GiB at most");
        SpecError::in_range(&format!("{path}.bytes"), self.bytes, 1, page)?;
        SpecError::in_range(&format!("{path}.packets_per_page"), self.packets_per_page, 1, 1 << 40)
    }
}

/// Most DMAs of a packet.
const PACKET_DMAS_MAX: usize = 16;

impl TenantClass {
    /// DMAs in a row that are a packet.
    #[must_use]
    pub fn packet_dmas(&self) -> u32 {
        u32::try_from(self.packet.len()).expect("a packet is small").max(1)
    }

    /// The buffers each VF of the class maps, or for streaming mappings hands out addresses of.
    #[must_use]
    pub fn memories(&self) -> Vec<ClassMemory> {
        if self.packet.is_empty() {
            return vec![self.memory.clone()];
        }
        self.packet.iter().map(PacketDma::memory).collect()
    }

    /// Checks the packet, with keys under `path`: what it says stands nowhere else.
    pub(super) fn validate_packet(&self, path: &str) -> Result<(), SpecError> {
        if self.packet.is_empty() {
            return Ok(());
        }
        SpecError::in_range(&format!("{path}.packet"), self.packet.len(), 1, PACKET_DMAS_MAX).map_err(
            |_| {
                SpecError::new(
                    format!("{path}.packet"),
                    format!("has {} DMAs; a packet has {PACKET_DMAS_MAX} at most", self.packet.len()),
                )
            },
        )?;
        for (number, dma) in self.packet.iter().enumerate() {
            dma.validate(&format!("{path}.packet.{number}"))?;
        }
        for (key, given) in [
            ("sizes", self.sizes != SizeMix::default()),
            ("read_share", self.read_share != super::class::half()),
            ("alignment", self.alignment != super::class::cache_line()),
            ("cross_pages", self.cross_pages),
            ("memory", self.memory != ClassMemory::default()),
            ("pattern", self.pattern != PatternSpec::default()),
            ("streaming", self.streaming.is_some()),
            ("target", self.target.is_some()),
        ] {
            if given {
                let problem =
                    "cannot be given for a class with a `packet`, which says that of each of its DMAs";
                return Err(SpecError::new(format!("{path}.{key}"), problem));
            }
        }
        if self.arrivals.kind == ArrivalKind::Closed {
            let problem =
                "is \"closed\", where clients send one DMA after another: a `packet` needs another kind";
            return Err(SpecError::new(format!("{path}.arrivals.kind"), problem));
        }
        self.validate_overlap(path)
    }

    fn validate_overlap(&self, path: &str) -> Result<(), SpecError> {
        let memories = self.memories();
        for (number, one) in memories.iter().enumerate() {
            let overlaps = |other: &ClassMemory| {
                u128::from(other.iova) < one.end() && u128::from(one.iova) < other.end()
            };
            if let Some(other) = memories[..number].iter().position(overlaps) {
                return Err(SpecError::new(
                    format!("{path}.packet.{number}.iova"),
                    format!("is {:#x}: the buffer overlaps that of `{path}.packet.{other}`", one.iova),
                ));
            }
        }
        Ok(())
    }
}
