//! Section 1: caches under independent references, queues before walkers, Little's law, closed systems.

use super::check::scenario;
use super::facts::{MDC, MMC, ZIPF};
use super::theory::{che, closed_bound, md1, zipf};
use super::{Basis, Check, Figure, Reference, Section, Tolerance};
use crate::Scenario;

const INDEPENDENT: &str = include_str!("../../validation/independent.toml");
const WALKERS: &str = include_str!("../../validation/walkers.toml");

/// A walk in `walkers.toml`.
const WALK_NS: f64 = 1_000.0;

/// Pages that Zipf's law is drawn over.
const ZIPF_PAGES: u32 = 10_000;

/// Seeds that a hashed index is averaged over: what the hash makes of a seed's pages varies.
const HASH_SEEDS: u32 = 8;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(uniform());
    checks.extend(zipf_full());
    checks.extend(zipf_hashed());
    checks.extend(walkers());
    checks.extend(little());
    checks.extend(closed());
    checks
}

fn check(what: String, expected: f64, tolerance: Tolerance, figure: Figure, runs: Vec<Scenario>) -> Check {
    Check {
        section: Section::ClosedForms,
        what,
        reference: Reference::Theory,
        expected,
        tolerance,
        basis: Basis::Predicted,
        figure,
        runs,
        known_miss: None,
    }
}

/// Each of N pages is as likely to be among the C that are cached as any other.
fn uniform() -> Vec<Check> {
    let shapes = [(1_000, 64), (1_000, 500), (128, 118)];
    let of_policy = |policy: &str| {
        let policy = policy.to_owned();
        shapes.map(move |(pages, entries)| {
            let run = scenario(
                INDEPENDENT,
                &[
                    format!("tenants.all.memory.pages={pages}"),
                    format!("iommu.iotlb.entries={entries}"),
                    format!("iommu.iotlb.replacement={policy}"),
                ],
            );
            let what = format!("hit ratio, uniform over {pages} pages, {policy} of {entries}: C / N");
            let expected = f64::from(entries) / f64::from(pages);
            check(what, expected, Tolerance::Absolute(0.005), Figure::HitRatio, vec![run])
        })
    };
    ["lru", "random"].into_iter().flat_map(of_policy).collect()
}

fn zipf_changes(exponent: f64, entries: u32) -> [String; 4] {
    [
        format!("tenants.all.memory.pages={ZIPF_PAGES}"),
        "tenants.all.pattern.kind=zipf".into(),
        format!("tenants.all.pattern.exponent={exponent}"),
        format!("iommu.iotlb.entries={entries}"),
    ]
}

/// Che's approximation, computed anew and simulated.
fn zipf_full() -> Vec<Check> {
    let rows = ZIPF.into_iter().flat_map(|(exponent, entries, printed, _)| {
        let computed = che(&zipf(ZIPF_PAGES, exponent), f64::from(entries));
        let what = format!("Che's approximation itself, Zipf {exponent:.1}, {entries} entries");
        let figure = Figure::Computed(computed);
        let itself = check(what, printed, Tolerance::Absolute(0.000_1), figure, Vec::new());
        let mut changes = zipf_changes(exponent, entries).to_vec();
        changes.push("requests=2000000".into());
        let what = format!("hit ratio, Zipf {exponent:.1}, LRU of {entries}: Che");
        let runs = vec![scenario(INDEPENDENT, &changes)];
        [itself, check(what, printed, Tolerance::Absolute(0.005), Figure::HitRatio, runs)]
    });
    rows.collect()
}

/// A hashed index of eight ways, by Smith's model.
fn zipf_hashed() -> Vec<Check> {
    let rows = ZIPF.into_iter().filter_map(|(exponent, entries, _, smith)| {
        let of_seed = |seed: u32| {
            let mut changes = zipf_changes(exponent, entries).to_vec();
            changes.extend([format!("seed={seed}"), "requests=400000".into(), "iommu.iotlb.ways=8".into()]);
            scenario(INDEPENDENT, &changes)
        };
        let what =
            format!("hit ratio, Zipf {exponent:.1}, LRU of {entries} in 8 ways, {HASH_SEEDS} seeds: Smith");
        let runs = (1..=HASH_SEEDS).map(of_seed).collect();
        Some(check(what, smith?, Tolerance::Absolute(0.01), Figure::HitRatio, runs))
    });
    rows.collect()
}

/// Walks wait for walkers as in a queue with constant or exponential service.
fn walkers() -> Vec<Check> {
    let itself = [0.8, 0.9].map(|load| {
        let expected = MDC.iter().find(|(c, rho, _)| (*c, *rho) == (1, load)).expect("of one walker").2;
        let what = format!("M/D/1 itself, load {load}");
        check(what, expected, Tolerance::Absolute(0.000_1), Figure::Computed(md1(load)), Vec::new())
    });
    let constant = MDC.into_iter().map(|row| wait(row, "constant"));
    let exponential = MMC.into_iter().map(|row| wait(row, "exponential"));
    itself.into_iter().chain(constant).chain(exponential).collect()
}

/// The mean wait for a walker, where walks take times of this kind.
fn wait((walkers, load, expected): (u32, f64, f64), latency: &str) -> Check {
    let drawn = latency == "exponential";
    // Long busy periods, and more so drawn times, need more arrivals for the same certainty.
    let requests = if load > 0.85 || drawn { 4_000_000 } else { 2_000_000 };
    let run = scenario(
        WALKERS,
        &[
            format!("requests={requests}"),
            format!("iommu.walkers.count={walkers}"),
            format!("iommu.walkers.latency={latency}"),
            format!("tenants.all.arrivals.mops_per_vf={}", f64::from(walkers) * load),
        ],
    );
    let tolerance = Tolerance::Relative(if load > 0.85 { 0.04 } else { 0.02 });
    let service = if drawn { 'M' } else { 'D' };
    let what = format!("wait for one of {walkers} walkers, load {load}: M/{service}/{walkers}");
    check(what, expected, tolerance, Figure::WalkWait(WALK_NS), vec![run])
}

/// Clients that do not think are always under way: mean latency times rate is their number.
fn little() -> Vec<Check> {
    [(1, 2), (8, 2), (32, 16)]
        .map(|(clients, walkers)| {
            let run = scenario(
                WALKERS,
                &[
                    "requests=200000".into(),
                    format!("iommu.walkers.count={walkers}"),
                    "tenants.all.read_share=1".into(),
                    "tenants.all.arrivals.kind=closed".into(),
                    format!("tenants.all.arrivals.outstanding={clients}"),
                ],
            );
            let what = format!("rate x latency of {clients} clients before {walkers} walkers: Little");
            check(what, f64::from(clients), Tolerance::Relative(0.001), Figure::UnderWay, vec![run])
        })
        .into()
}

/// No more than min(O / (L + W), K / W) gets through.
fn closed() -> Vec<Check> {
    // 24 bytes there and 84 back at 463.2 Gb/s, 100 ns each way, 2 ns to look up, 150 ns of memory.
    let latency_ns = 108.0 * 8.0 / 463.2 + 352.0;
    [(1, 1), (8, 64), (32, 4), (64, 16), (12, 8)]
        .map(|(outstanding, walkers)| {
            let run = scenario(
                WALKERS,
                &[
                    "requests=100000".into(),
                    format!("device.outstanding={outstanding}"),
                    format!("iommu.walkers.count={walkers}"),
                    "tenants.all.read_share=1".into(),
                    "tenants.all.arrivals.mops_per_vf=1000".into(),
                ],
            );
            let what =
                format!("rate of {outstanding} outstanding before {walkers} walkers: min(O/(L+W), K/W)");
            let expected = closed_bound(outstanding, latency_ns, walkers, WALK_NS);
            // A walk in a few thousand is joined by a second read of its page.
            check(what, expected, Tolerance::AtMost(0.0005), Figure::Rate, vec![run])
        })
        .into()
}
