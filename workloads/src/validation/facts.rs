//! Figures of others. Measurements were read from the authors' own data; laws are least-squares fits to them.
//!
//! pcie-bench: Neugebauer et al., Understanding PCIe performance for end host networking, SIGCOMM 2018;
//! github.com/pcie-bench/data, commit b2abf2f.

/// Zipf's law over 10,000 pages: exponent, entries, Che's approximation, and Smith's model of 8 ways with a
/// hashed index (A comparative study of set associative memory mapping algorithms, IEEE TSE 1978), where there is one.
pub(super) const ZIPF: [(f64, u32, f64, Option<f64>); 6] = [
    (0.8, 64, 0.1210, Some(0.117)),
    (0.8, 256, 0.2484, Some(0.242)),
    (1.0, 64, 0.3380, Some(0.330)),
    (1.0, 256, 0.5037, Some(0.496)),
    (1.0, 1_024, 0.6787, None),
    (1.2, 64, 0.6055, None),
];

/// Mean wait of M/D/c in units of the service time: walkers, load, wait (Crommelin; of one walker Pollaczek
/// and Khinchine).
pub(super) const MDC: [(u32, f64, f64); 8] = [
    (1, 0.8, 2.0),
    (1, 0.9, 4.5),
    (4, 0.8, 0.383),
    (4, 0.9, 0.991),
    (6, 0.8, 0.2245),
    (6, 0.9, 0.624),
    (8, 0.8, 0.150),
    (8, 0.9, 0.445),
];

/// Mean wait of a walk of exponential time under Poisson arrivals, in units of the mean: walkers, load, wait (Erlang's C).
pub(super) const MMC: [(u32, f64, f64); 6] =
    [(1, 0.8, 4.0), (1, 0.9, 9.0), (4, 0.8, 0.7455), (4, 0.9, 1.9694), (8, 0.8, 0.2860), (8, 0.9, 0.8769)];

/// Millions of 4 KiB random reads a second of eight NVMe devices on two sockets: passthrough, deferred, strict
/// (github.com/NVIDIA/NV-Kernels, pull request 182).
pub(super) const NVME: [f64; 3] = [16.5, 16.4, 2.8];

/// Flows, misses a page of IOTLB and walk caches, and throughput in Gb/s of a Cascade Lake server with a 100 Gb/s
/// NIC (Fast & Safe IO Memory Protection, SOSP 2024).
pub(super) const MISSES: [(u32, f64, f64); 2] = [(5, 1.757, 77.8), (10, 2.311, 61.6)];
/// The authors' law of it: bytes of payload a page, ns a page, ns a miss.
pub(super) const MISS_LAW: (f64, f64, f64) = (4_000.0, 65.0, 197.0);
/// Buffers of the rings that the law is asked of.
pub(super) const RINGS: [u32; 4] = [256, 512, 1_024, 2_048];

/// Payload in Gb/s on Gen3 x8, MPS 256, MRRS 512, 24 bytes added to a request and 20 to a completion, by size:
/// writes, reads, both (each direction); and what a Broadwell Xeon gives: writes, reads (pcie-bench).
pub(super) const PCIE: [(u32, [f64; 3], [f64; 2]); 6] = [
    (64, [42.10, 44.10, 33.08], [24.27, 31.91]),
    (128, [48.75, 50.06, 42.10], [42.36, 43.77]),
    (256, [52.92, 53.69, 48.75], [50.49, 47.67]),
    (257, [48.78, 50.09, 45.22], [37.38, 49.97]),
    (512, [52.92, 53.69, 50.75], [53.01, 55.03]),
    (2_048, [52.92, 53.69, 50.75], [53.01, 55.58]),
];

/// Pages of 4 KiB, and the mean latency in ns of one 64-byte read at a time over them (pcie-bench): Broadwell,
/// Haswell.
pub(super) const LATENCY_NS: [(u32, f64, f64); 11] = [
    (64, 433.1, 428.5),
    (128, 456.5, 444.5),
    (256, 588.6, 551.0),
    (384, 632.7, 586.2),
    (512, 654.7, 603.9),
    (768, 676.4, 621.8),
    (1_024, 691.6, 630.5),
    (2_048, 704.0, 643.8),
    (4_096, 713.5, 655.8),
    (8_192, 729.6, 682.6),
    (16_384, 754.8, 696.6),
];

/// Payload in Gb/s on the Broadwell Xeon without an IOMMU, and over so many pages of 4 KiB with one: reads of 64,
/// 128, 256 and 512 bytes, writes of 64, 128 and 256 (pcie-bench).
pub(super) const WITHOUT_IOMMU: [f64; 7] = [32.5, 43.8, 47.7, 55.0, 24.27, 42.36, 50.49];
/// See [`WITHOUT_IOMMU`].
pub(super) const THROUGHPUT: [(u32, [f64; 7]); 7] = [
    (64, [32.43, 43.73, 47.75, 55.04, 24.27, 42.35, 50.49]),
    (128, [22.34, 38.81, 45.98, 55.02, 24.27, 42.35, 50.49]),
    (256, [15.19, 29.22, 41.80, 54.84, 19.39, 40.63, 50.49]),
    (512, [12.13, 23.69, 39.15, 54.73, 13.57, 29.02, 50.48]),
    (1_024, [10.92, 21.53, 36.53, 54.60, 12.03, 25.33, 49.92]),
    (4_096, [10.15, 20.11, 34.44, 54.39, 11.18, 23.29, 46.27]),
    (16_384, [9.83, 19.51, 33.62, 53.64, 11.06, 23.07, 45.31]),
];

/// The law of the Haswell Xeon's writes: entries, and ns a miss (a fit to pcie-bench's data, at most 4.3 % off it).
pub(super) const HASWELL_WRITES: (f64, f64) = (112.0, 44.3);
