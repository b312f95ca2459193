//! The engine against closed forms, none of whose parameters were fitted. Traffic is made so that the
//! assumptions of a form hold: each test says how.

use portcullis_engine::account::SummaryRow;
use portcullis_workloads::Scenario;

use crate::support::{assert_within, custom, run};

/// One VF that reads 64 bytes a million times a second, in a machine where nothing waits: a walk takes a
/// picosecond, so that a page is cached before the next DMA comes, and each DMA finds what those before
/// it left. So look-ups are independent references.
const INDEPENDENT: &str = r#"
name = "independent"
requests = 1_000_000
audit = "off"

[topology]
vfs_per_adapter = 1

[iommu.iotlb]
ways = "full"
hit_ns = 0.0

[iommu.walkers]
walk_ns = 0.001

[[tenants]]
name = "all"
read_share = 1.0
sizes = 64
memory = { pages = 1_000 }
arrivals = { kind = "constant", mops_per_vf = 1.0 }
"#;

fn summary(toml: &str, changes: &[String]) -> SummaryRow {
    let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
    run(&custom(toml, &changes)).summary
}

#[track_caller]
fn assert_hit_ratio(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{what}: hit ratio {found:.4}, expected {expected:.4}");
}

/// Uniform references: each of N pages is as likely to be among the C that are cached as any other.
#[test]
fn uniform_references_hit_a_full_iotlb_in_proportion_to_its_size() {
    for policy in ["lru", "random", "fifo"] {
        for (pages, entries) in [(1_000, 64), (1_000, 500), (1_000, 999), (4_096, 256), (128, 118)] {
            let changes = [
                format!("tenants.all.memory.pages={pages}"),
                format!("iommu.iotlb.entries={entries}"),
                format!("iommu.iotlb.replacement={policy}"),
            ];
            let found = summary(INDEPENDENT, &changes).iotlb_hit_ratio;
            let expected = f64::from(entries) / f64::from(pages);
            assert_hit_ratio(&format!("{policy}, {entries} of {pages}"), found, expected, 0.005);
        }
    }
}

/// A cache that starts empty misses once for each entry it fills: only what comes after that is in proportion to its
/// size.
#[test]
fn a_warm_up_leaves_the_cold_start_out() {
    let hit_ratio = |warmup_us: u32| {
        let changes = [
            "requests=40000".into(),
            "tenants.all.memory.pages=4096".into(),
            "iommu.iotlb.entries=3072".into(),
            format!("warmup_us={warmup_us}"),
        ];
        summary(INDEPENDENT, &changes).iotlb_hit_ratio
    };
    let expected = 3_072.0 / 4_096.0;
    // Filling 3,072 of 4,096 entries takes 4,096 ln 4 = 5,678 references, and a microsecond each.
    assert_hit_ratio("after the warm-up", hit_ratio(10_000), expected, 0.005);
    let cold = hit_ratio(0);
    assert!(cold < expected - 0.03, "from a cold start {cold:.4}, after it {expected:.4}");
}

/// The probabilities of `pages` pages by Zipf's law.
fn zipf(pages: u32, exponent: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=pages).map(|rank| f64::from(rank).powf(-exponent)).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// The root of an increasing function between 0 and `high`.
fn root(high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, high);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if f(middle) < 0.0 { low = middle } else { high = middle }
    }
    low
}

/// The hit ratio of a fully associative LRU cache of `entries` under independent references: a page stays
/// for the characteristic time t, at which as many pages as the cache holds have been referenced (Che,
/// Tung, Wang: Hierarchical Web caching systems, IEEE JSAC 2002).
fn che(probabilities: &[f64], entries: f64) -> f64 {
    let cached = |t: f64| probabilities.iter().map(|p| 1.0 - (-p * t).exp()).sum::<f64>();
    let t = root(1e9, |t| cached(t) - entries);
    probabilities.iter().map(|p| p * (1.0 - (-p * t).exp())).sum()
}

/// Zipf's law over 10,000 pages: exponent, entries, and Che's approximation.
const CHE: [(f64, u32, f64); 6] = [
    (0.8, 64, 0.1210),
    (0.8, 256, 0.2484),
    (1.0, 64, 0.3380),
    (1.0, 256, 0.5037),
    (1.0, 1_024, 0.6787),
    (1.2, 64, 0.6055),
];

#[test]
fn zipf_references_hit_a_full_lru_iotlb_as_che_says() {
    for (exponent, entries, printed) in CHE {
        let found = che(&zipf(10_000, exponent), f64::from(entries));
        assert!((found - printed).abs() < 0.0001, "Che's approximation itself: {found}, {printed}");
    }
    for exponent in [0.8, 1.0, 1.2] {
        for entries in [64, 256, 1_024] {
            let changes = [
                "requests=2000000".into(),
                "tenants.all.memory.pages=10000".into(),
                "tenants.all.pattern.kind=zipf".into(),
                format!("tenants.all.pattern.exponent={exponent}"),
                format!("iommu.iotlb.entries={entries}"),
            ];
            let found = summary(INDEPENDENT, &changes).iotlb_hit_ratio;
            let expected = che(&zipf(10_000, exponent), f64::from(entries));
            assert_hit_ratio(&format!("exponent {exponent}, {entries} entries"), found, expected, 0.005);
        }
    }
}

/// A hashed index spreads the pages over sets at random, which costs a little against one set of all: the
/// figures are those of Smith's model (A comparative study of set associative memory mapping algorithms,
/// IEEE TSE 1978) for 8 ways. What the hash makes of a seed's pages varies, so five seeds are averaged.
#[test]
fn a_hashed_index_of_eight_ways_costs_what_smith_says() {
    for (exponent, entries, expected) in
        [(0.8, 64, 0.117), (0.8, 256, 0.242), (1.0, 64, 0.330), (1.0, 256, 0.496)]
    {
        let of_seed = |seed: u32| {
            let changes = [
                format!("seed={seed}"),
                "requests=400000".into(),
                "tenants.all.memory.pages=10000".into(),
                "tenants.all.pattern.kind=zipf".into(),
                format!("tenants.all.pattern.exponent={exponent}"),
                format!("iommu.iotlb.entries={entries}"),
                "iommu.iotlb.ways=8".into(),
            ];
            summary(INDEPENDENT, &changes).iotlb_hit_ratio
        };
        let mean = (1..=5).map(of_seed).sum::<f64>() / 5.0;
        assert_hit_ratio(&format!("exponent {exponent}, {entries} entries"), mean, expected, 0.01);
    }
}

/// One DMA at a time, uniform over N pages: all cost a hit, and those that miss a walk of W more. The
/// share that misses is 1 - C / N (the law that pcie-bench's measurements follow).
#[test]
fn latency_under_misses_rises_from_a_hit_by_the_share_that_walks() {
    let latency = |pages: u32| {
        let changes = [
            format!("tenants.all.memory.pages={pages}"),
            "requests=400000".into(),
            "iommu.iotlb.entries=118".into(),
            "iommu.walkers.walk_ns=290".into(),
        ];
        summary(INDEPENDENT, &changes).latency_mean_ns
    };
    let hit = latency(16);
    for pages in [64, 128, 256, 512, 1_024, 4_096] {
        let expected = hit + 290.0 * (1.0 - 118.0 / f64::from(pages)).max(0.0);
        assert_within(&format!("{pages} pages"), latency(pages), expected, 0.005);
    }
}

/// A DMA takes its time on the wire both ways, the look-up and the memory, and nothing else.
#[test]
fn a_read_alone_takes_the_sum_of_its_stages() {
    let changes = [
        "tenants.all.memory.pages=1".into(),
        "requests=1000".into(),
        "iommu.iotlb.hit_ns=7".into(),
        "link.generation=3".into(),
        "link.lanes=8".into(),
    ];
    let summary = summary(INDEPENDENT, &changes);
    // 24 bytes there and 84 back at 57.88 Gb/s; 100 ns each way; 7 ns to look up, 150 ns of memory.
    let expected = (24.0 + 84.0) * 8.0 / 57.88 + 2.0 * 100.0 + 7.0 + 150.0;
    assert_within("latency", summary.latency_mean_ns, expected, 0.0005);
}

/// One VF whose writes arrive at random and all miss: an IOTLB of one entry before a quarter of a million
/// pages, on a link so fast and with so much room in every queue that arrivals reach the walkers as they
/// were drawn.
const WALKERS: &str = r#"
name = "walkers"
requests = 2_000_000
audit = "off"

[topology]
vfs_per_adapter = 1

[scheduler]
vf_queue_entries = 65_536

[link]
generation = 5
flow_credits = 65_536

[iommu.iotlb]
entries = 1
ways = 1

[iommu.walkers]
queue_entries = 65_536
walk_ns = 1_000.0

[[tenants]]
name = "all"
read_share = 0.0
sizes = 64
memory = { pages = 262_144 }
arrivals = { kind = "poisson", mops_per_vf = 1.0 }
"#;

/// Mean wait of M/D/c in units of the service time: walkers, load, wait (the one of one walker is
/// Pollaczek and Khinchine's, rho / 2 (1 - rho); the others are Crommelin's).
const MDC: [(u32, f64, f64); 8] = [
    (1, 0.8, 2.0),
    (1, 0.9, 4.5),
    (4, 0.8, 0.383),
    (4, 0.9, 0.991),
    (6, 0.8, 0.2245),
    (6, 0.9, 0.624),
    (8, 0.8, 0.150),
    (8, 0.9, 0.445),
];

#[test]
fn walks_wait_for_walkers_as_in_a_queue_with_constant_service() {
    for (walkers, load, expected) in MDC {
        let changes = [
            format!("iommu.walkers.count={walkers}"),
            format!("tenants.all.arrivals.mops_per_vf={}", f64::from(walkers) * load),
        ];
        let summary = summary(WALKERS, &changes);
        let what = format!("{walkers} walkers, load {load}");
        assert!(summary.iotlb_misses_joined + summary.iotlb_hits < 200, "{what}: nearly all walk");
        assert_within(&what, summary.walker_utilisation, load, 0.005);
        let tolerance = if load > 0.85 { 0.04 } else { 0.02 };
        assert_within(&what, summary.walk_wait_mean_ns / 1_000.0, expected, tolerance);
    }
}

/// Mean wait of M/M/c in units of the service time, by Erlang's formula: the probability that all are
/// busy, over c (1 - rho).
fn mmc(walkers: u32, load: f64) -> f64 {
    let c = f64::from(walkers);
    // The blocking probability of Erlang B, walker by walker.
    let blocked = (1..=walkers).fold(1.0, |b, n| c * load * b / (f64::from(n) + c * load * b));
    blocked / (1.0 - load * (1.0 - blocked)) / (c * (1.0 - load))
}

/// The same, printed.
const MMC: [(u32, f64, f64); 6] =
    [(1, 0.8, 4.0), (1, 0.9, 9.0), (4, 0.8, 0.7455), (4, 0.9, 1.9694), (8, 0.8, 0.2860), (8, 0.9, 0.8769)];

/// Walks under load whose times vary, with these keys: their mean wait in units of a walk of a microsecond.
#[track_caller]
fn assert_wait(what: &str, walkers: u32, load: f64, changes: &[&str], expected: f64) {
    let own = [
        format!("iommu.walkers.count={walkers}"),
        format!("tenants.all.arrivals.mops_per_vf={}", f64::from(walkers) * load),
        "requests=4000000".into(),
    ];
    let changes: Vec<String> = own.into_iter().chain(changes.iter().map(|change| (*change).into())).collect();
    let summary = summary(WALKERS, &changes);
    let what = format!("{what}: {walkers} walkers, load {load}");
    assert!(summary.iotlb_misses_joined + summary.iotlb_hits < 400, "{what}: nearly all walk");
    assert_within(&what, summary.walker_utilisation, load, 0.005);
    let tolerance = if load > 0.85 { 0.04 } else { 0.02 };
    assert_within(&what, summary.walk_wait_mean_ns / 1_000.0, expected, tolerance);
}

/// Exponential walks end in another order than they start in.
#[test]
fn walks_wait_for_walkers_as_in_a_queue_with_exponential_service() {
    for (walkers, load, printed) in MMC {
        let found = mmc(walkers, load);
        assert!((found - printed).abs() < 0.0001, "Erlang's formula itself: {found}, {printed}");
    }
    for walkers in [1, 4, 6, 8] {
        for load in [0.8, 0.9] {
            let changes = ["iommu.walkers.latency=exponential"];
            assert_wait("exponential", walkers, load, &changes, mmc(walkers, load));
        }
    }
}

/// One walker of any service: rho (1 + C^2) / 2 (1 - rho), with C^2 the squared coefficient of variation
/// (Pollaczek and Khinchine). A walk is a sum of four accesses, and so has a fourth of theirs.
#[test]
fn walks_wait_for_one_walker_by_the_variance_of_their_accesses() {
    let mean_wait = |load: f64, of_accesses: f64| load * (1.0 + of_accesses / 4.0) / (2.0 * (1.0 - load));
    for load in [0.8, 0.9] {
        let exponential = ["iommu.walkers.memory_ns=250", "iommu.walkers.latency=exponential"];
        assert_wait("four exponential accesses", 1, load, &exponential, mean_wait(load, 1.0));
        // Of mean 250 and variance 202,500.
        let drawn = ["iommu.walkers.empirical_ns=[[100, 9], [1600, 1]]", "iommu.walkers.latency=empirical"];
        assert_wait("four drawn accesses", 1, load, &drawn, mean_wait(load, 202_500.0 / 62_500.0));
    }
}

/// Uniform walks over R regions of 2 MiB find one of the C that a full walk cache holds with probability
/// C / R, and then read the leaf alone: 4 - 3 C / R accesses a walk.
#[test]
fn walks_hit_a_full_walk_cache_in_proportion_to_its_size() {
    for policy in ["lru", "random", "fifo"] {
        for entries in [64, 256, 500] {
            let changes = [
                "requests=400000".into(),
                "iommu.walkers.memory_ns=0.001".into(),
                format!("iommu.walk_caches.l2.entries={entries}"),
                format!("iommu.walk_caches.l2.replacement={policy}"),
            ];
            let summary = summary(WALKERS, &changes);
            let looked_up = summary.walk_cache_l2_hits + summary.walk_cache_l2_misses;
            assert_eq!(looked_up, summary.walks);
            let found = summary.walk_cache_l2_hits as f64 / looked_up as f64;
            let expected = f64::from(entries) / 512.0;
            assert_hit_ratio(&format!("{policy}, {entries} of 512"), found, expected, 0.005);
            assert_eq!(summary.walk_accesses, 4 * summary.walks - 3 * summary.walk_cache_l2_hits);
        }
    }
}

/// One DMA at a time that always walks: the two stages cost (g + 1)(h + 1) - 1 accesses.
#[test]
fn a_walk_in_two_stages_reads_the_hosts_tables_for_each_of_the_guests() {
    for (guest, host, host_page, accesses) in [(4, 4, "4k", 24), (4, 4, "2m", 19), (5, 3, "4k", 23)] {
        let with = |stages: u32| {
            let changes = [
                "requests=20000".into(),
                "tenants.all.arrivals.mops_per_vf=0.1".into(),
                "iommu.walkers.memory_ns=50".into(),
                format!("iommu.page_table_levels={guest}"),
                format!("iommu.stages={stages}"),
                format!("iommu.host_levels={host}"),
                format!("iommu.host_page_size={host_page}"),
            ];
            summary(WALKERS, &changes)
        };
        let (one, two) = (with(1), with(2));
        let what = format!("{guest} and {host} levels of {host_page}");
        assert_eq!(
            (one.walk_accesses, two.walk_accesses),
            (guest * one.walks, accesses * two.walks),
            "{what}"
        );
        // Nearly none waits for 16 walkers, nor finds its page cached.
        let longer = (accesses - guest) as f64 * 50.0;
        assert_within(&what, two.latency_mean_ns - one.latency_mean_ns, longer, 0.005);
    }
}

/// O reads outstanding at most, each of latency L with its walk of W, before K walkers: no more than
/// O / (L + W) of them and K / W get through, and nearly as many do where one bound is well below the other.
#[test]
fn a_closed_system_gets_through_what_its_narrowest_part_lets_through() {
    let rate_per_us = |outstanding: u32, walkers: u32| {
        let changes = [
            "requests=40000".into(),
            format!("device.read_tags={outstanding}"),
            format!("iommu.walkers.count={walkers}"),
            "tenants.all.read_share=1".into(),
            "tenants.all.arrivals.mops_per_vf=1000".into(),
        ];
        let summary = summary(WALKERS, &changes);
        summary.dma_total as f64 * 1e3 / summary.simulated_ns
    };
    // 24 bytes there and 84 back at 463 Gb/s, 100 ns each way, 2 ns to look up, 150 ns of memory.
    let latency_us = ((24.0 + 84.0) * 8.0 / (32.0 * 128.0 / 130.0 * 16.0 * 0.9185) + 352.0) / 1e3;
    let walk_us = 1.0;
    for (outstanding, walkers) in
        [(1, 1), (1, 8), (4, 16), (8, 64), (32, 4), (64, 1), (64, 16), (12, 8), (9, 7)]
    {
        let outstanding_bound = f64::from(outstanding) / (latency_us + walk_us);
        let walker_bound = f64::from(walkers) / walk_us;
        let bound = f64::min(outstanding_bound, walker_bound);
        let found = rate_per_us(outstanding, walkers);
        let what = format!("{outstanding} outstanding, {walkers} walkers");
        // A walk in a few thousand is joined by a second read of its page.
        assert!(found <= bound * 1.0005, "{what}: {found} a us, at most {bound}");
        if outstanding_bound.max(walker_bound) > 2.0 * bound {
            assert_within(&what, found, bound, 0.005);
        }
    }
}

/// The interactive response time law: N clients that each wait R for their request and then think for Z get
/// N / (R + Z) requests through, whatever makes R. Here they queue for the walkers.
#[test]
fn clients_that_wait_and_think_obey_the_response_time_law() {
    for (clients, think_ns, walkers) in [(1, 0, 2), (1, 5_000, 2), (8, 0, 2), (8, 3_000, 2), (32, 1_000, 16)]
    {
        let changes = [
            "requests=60000".into(),
            format!("iommu.walkers.count={walkers}"),
            "tenants.all.read_share=1".into(),
            "tenants.all.arrivals.kind=closed".into(),
            format!("tenants.all.arrivals.outstanding={clients}"),
            format!("tenants.all.arrivals.think_ns={think_ns}"),
            "tenants.all.arrivals.durations=exponential".into(),
        ];
        let summary = summary(WALKERS, &changes);
        let rate_per_ns = summary.dma_total as f64 / summary.simulated_ns;
        let found = rate_per_ns * (summary.latency_mean_ns + f64::from(think_ns));
        // Think times are drawn, and at the end clients stop one after the other.
        assert_within(
            &format!("{clients} clients, {think_ns} ns, {walkers} walkers"),
            found,
            clients.into(),
            0.02,
        );
        let walker_bound_per_ns = f64::from(walkers) / 1_000.0;
        assert!(rate_per_ns <= walker_bound_per_ns * 1.001, "{rate_per_ns}");
    }
}

/// Eight VFs that offer a fifth more than a Gen3 x8 link can carry, over few pages, with credits and tags
/// to spare: the link is all that limits them.
const LINK: &str = r#"
name = "link"
requests = 300_000
audit = "off"

[topology]
vfs_per_adapter = 8

[link]
generation = 3
lanes = 8
flow_credits = 65_536

[device]
read_tags = 65_536

[[tenants]]
name = "all"
memory = { pages = 4, page_size = "2m" }
alignment = 1
arrivals = { kind = "constant", link_load = 1.2 }
"#;

/// Payload in Gb/s on Gen3 x8 with MPS 256, MRRS 512, 24 bytes added to a request and 20 to a completion,
/// by size: writes alone, reads alone, both (a direction each). The PCIe model of pcie-bench (Neugebauer et
/// al., SIGCOMM 2018).
const PCIE: [(u32, f64, f64, f64); 6] = [
    (64, 42.10, 44.10, 33.08),
    (128, 48.75, 50.06, 42.10),
    (256, 52.92, 53.69, 48.75),
    (257, 48.78, 50.09, 45.22),
    (512, 52.92, 53.69, 50.75),
    (2_048, 52.92, 53.69, 50.75),
];

#[test]
fn a_saturated_link_carries_what_the_pcie_model_says() {
    let link = |bytes: u32, read_share: f64| {
        let changes = [format!("tenants.all.sizes={bytes}"), format!("tenants.all.read_share={read_share}")];
        summary(LINK, &changes)
    };
    for (bytes, write, read, both) in PCIE {
        let size = f64::from(bytes);
        let of_model = |header: f64| 57.88 * size / (size + header * (size / 256.0).ceil());
        assert_within("the model itself", write, of_model(24.0), 0.0005);
        assert_within("the model itself", read, of_model(20.0), 0.0005);

        let writes = link(bytes, 0.0);
        assert_within(&format!("writes of {bytes} bytes"), writes.write_gbps, write, 0.005);
        let reads = link(bytes, 1.0);
        assert_within(&format!("reads of {bytes} bytes"), reads.read_gbps, read, 0.005);
        // Half of each: the mix that was drawn is not quite even.
        let mixed = link(bytes, 0.5);
        assert_within(
            &format!("both, of {bytes} bytes"),
            mixed.read_gbps + mixed.write_gbps,
            2.0 * both,
            0.005,
        );
    }
}

/// Limits of the device are kept: no more starts a second than it makes.
#[test]
fn a_device_starts_no_more_than_its_limit() {
    let limited = |read_share: f64, key: &str| -> f64 {
        let changes = [
            "requests=100000".into(),
            "tenants.all.sizes=64".into(),
            format!("tenants.all.read_share={read_share}"),
            format!("device.{key}=10"),
        ];
        let summary = summary(LINK, &changes);
        summary.dma_total as f64 * 1e3 / summary.simulated_ns
    };
    assert_within("reads", limited(1.0, "max_read_mops"), 10.0, 0.005);
    assert_within("writes", limited(0.0, "max_write_mops"), 10.0, 0.005);
}

/// The scenarios of this file keep what they promise of themselves.
#[test]
fn nothing_but_what_is_meant_limits_these_scenarios() {
    let parsed: Vec<Scenario> = [INDEPENDENT, WALKERS, LINK].map(|toml| custom(toml, &[])).into();
    assert!(parsed.iter().all(|scenario| scenario.topology.vfs() <= 8));
    let independent = run(&parsed[0]).summary;
    assert_eq!((independent.iotlb_misses_joined, independent.dma_source_stalled), (0, 0));
    assert!(independent.walk_wait_mean_ns == 0.0);
    let walkers = run(&custom(WALKERS, &["requests=100000"])).summary;
    assert_eq!((walkers.walker_queue_stalls, walkers.dma_source_stalled), (0, 0));
    let link = run(&custom(LINK, &["requests=100000"])).summary;
    assert!(link.iotlb_hit_ratio > 0.999 && link.dma_source_stalled > 0);
}
