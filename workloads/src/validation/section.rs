//! The sections of the suite.

use super::{Check, cliff, closed_forms, invalidation, latency, misses, pcie, throughput};

/// A part of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Closed forms: caches, queues, conservation.
    ClosedForms,
    /// What PCIe leaves to payload.
    Pcie,
    /// Latency under IOTLB misses, one DMA at a time.
    Latency,
    /// Throughput under IOTLB misses.
    Throughput,
    /// Misses to throughput, where a page is mapped for each packet.
    Misses,
    /// A device TLB that many tenants share.
    Cliff,
    /// Throughput under invalidations.
    Invalidation,
}

impl Section {
    /// Every section, in order.
    pub const ALL: [Self; 7] = [
        Self::ClosedForms,
        Self::Pcie,
        Self::Latency,
        Self::Throughput,
        Self::Misses,
        Self::Cliff,
        Self::Invalidation,
    ];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The section of a number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.number() == number)
    }

    /// What it is about, and where its figures come from.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::ClosedForms => "closed forms",
            Self::Pcie => "PCIe efficiency (pcie-bench's model; Gen3 x8)",
            Self::Latency => "latency under IOTLB misses (pcie-bench; one 64-byte read at a time)",
            Self::Throughput => "throughput under IOTLB misses (pcie-bench; 4 KiB pages)",
            Self::Misses => "misses to throughput (Fast & Safe IO Memory Protection, SOSP 2024)",
            Self::Cliff => "many tenants on a device TLB of 64 entries (HyperTRIO, ISCA 2020; 200 Gb/s)",
            Self::Invalidation => "throughput under invalidations (NVIDIA NV-Kernels, pull request 182)",
        }
    }

    /// Its rows.
    #[must_use]
    pub fn checks(self) -> Vec<Check> {
        match self {
            Self::ClosedForms => closed_forms::checks(),
            Self::Pcie => pcie::checks(),
            Self::Latency => latency::checks(),
            Self::Throughput => throughput::checks(),
            Self::Misses => misses::checks(),
            Self::Cliff => cliff::checks(),
            Self::Invalidation => invalidation::checks(),
        }
    }
}
