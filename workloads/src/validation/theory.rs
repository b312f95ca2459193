//! Closed forms that are computed anew.

use super::facts::MISS_LAW;

/// The probabilities of `pages` pages by Zipf's law.
pub(super) fn zipf(pages: u32, exponent: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=pages).map(|rank| libm::pow(f64::from(rank), -exponent)).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// The root of an increasing function between 0 and `high`.
fn root(high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, high);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if f(middle) < 0.0 { low = middle } else { high = middle }
    }
    low
}

/// The hit ratio of a fully associative LRU cache of `entries` under independent references: a page stays
/// for the characteristic time t, at which as many pages as the cache holds have been referenced (Che,
/// Tung, Wang: Hierarchical Web caching systems, IEEE JSAC 2002).
pub(super) fn che(probabilities: &[f64], entries: f64) -> f64 {
    let cached = |t: f64| probabilities.iter().map(|p| 1.0 - libm::exp(-p * t)).sum::<f64>();
    let t = root(1e9, |t| cached(t) - entries);
    probabilities.iter().map(|p| p * (1.0 - libm::exp(-p * t))).sum()
}

/// Mean wait in M/D/1 in units of the service time (Pollaczek and Khinchine).
pub(super) fn md1(load: f64) -> f64 {
    load / (2.0 * (1.0 - load))
}

/// Throughput in Gb/s of a NIC whose pages take so many misses each, of IOTLB and walk caches: p / (l0 + M l_m).
pub(super) fn miss_law_gbps(misses: f64) -> f64 {
    let (bytes, page_ns, miss_ns) = MISS_LAW;
    bytes * 8.0 / (page_ns + misses * miss_ns)
}

/// Most DMAs a microsecond that a closed system of `outstanding` lets through, of latency `latency_ns` before
/// its walk of `walk_ns` in one of `walkers`.
pub(super) fn closed_bound(outstanding: u32, latency_ns: f64, walkers: u32, walk_ns: f64) -> f64 {
    let by_outstanding = f64::from(outstanding) / (latency_ns + walk_ns) * 1e3;
    let by_walkers = f64::from(walkers) / walk_ns * 1e3;
    if by_outstanding < by_walkers { by_outstanding } else { by_walkers }
}
