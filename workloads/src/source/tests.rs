//! Distributions, places, limits, and that cutting the output into calls does not change it.

use portcullis_engine::domain::LeafSize;
use portcullis_engine::ids::{HostIndex, Iova, VfIndex};
use portcullis_engine::request::{Address, Intended, Op, Transfer};
use portcullis_engine::traffic::{Source, SourceRows};
use portcullis_engine::units::Picoseconds;
use proptest::prelude::*;
use rand_distr::Distribution;
use rand_pcg::rand_core::Rng;

use super::*;
use crate::scenario::SizeMix;

const HOST: HostIndex = HostIndex(3);
const VF: VfIndex = VfIndex(5);

fn rng(purpose: Stream) -> StreamRng {
    stream(7, HOST, VF, purpose)
}

fn layout(pages: u32) -> Layout {
    Layout { base: Iova(1 << 30), pages, page_size: LeafSize::Size4K, alignment: 64, cross_pages: false }
}

fn source(
    arrivals: Arrivals,
    pattern: &Pattern,
    layout: Layout,
    sizes: &SizeMix,
    limit: Limit,
) -> TenantSource {
    let when = When::Open(arrivals);
    TenantSource::new((7, HOST, VF), when, (pattern, layout), Transfers::new(sizes, 0.7), limit)
}

const ENDLESS: Limit = Limit { requests: u64::MAX, until: Picoseconds::MAX };

type Request = (u64, u64, u32, Op);

/// Emits with room for `rows` requests before `until`.
fn emit(source: &mut TenantSource, until: Picoseconds, rows: usize) -> Vec<Request> {
    let mut intended = vec![Intended::default(); rows];
    let mut address = vec![Address::default(); rows];
    let mut transfer = vec![Transfer::default(); rows];
    let rows = SourceRows { intended: &mut intended, address: &mut address, transfer: &mut transfer };
    let count = source.emit(until, rows);
    (0..count)
        .map(|row| {
            let Transfer { length_bytes, op } = transfer[row];
            (intended[row].0.0, address[row].0.0, length_bytes, op)
        })
        .collect()
}

fn take(source: &mut TenantSource, count: usize) -> Vec<Request> {
    let requests = emit(source, Picoseconds::MAX, count);
    assert_eq!(requests.len(), count);
    requests
}

fn one_pattern(kind: usize, pages: u32) -> Pattern {
    match kind {
        0 => Pattern::Ring,
        1 => Pattern::Uniform,
        2 => Pattern::Table(zipf_table(7, pages, 0.99)),
        3 => Pattern::Strided { stride_pages: 7 },
        4 if pages > 1 => Pattern::HotCold {
            order: permutation(7, pages).into(),
            hot_pages: pages.div_ceil(10),
            hot_access_share: 0.9,
        },
        _ => Pattern::Stream { copy_pages: pages.div_ceil(4) },
    }
}

fn one_process(kind: usize, rate_hz: f64) -> Arrivals {
    match kind {
        0 => Arrivals::constant(rate_hz, rng(Stream::Arrivals)),
        1 => Arrivals::poisson(rate_hz, rng(Stream::Arrivals)),
        2 => Arrivals::on_off(rate_hz, 10.0, 30.0, false, rng(Stream::Arrivals)),
        _ => Arrivals::on_off(rate_hz, 10.0, 30.0, true, rng(Stream::Arrivals)),
    }
}

proptest! {

    /// However rows and times cut the output, it is the same.
    #[test]
    fn cutting_changes_nothing(
        process in 0_usize..4,
        pattern in 0_usize..6,
        pages in prop_oneof![Just(1_u32), 2_u32..200, Just(70_000_u32)],
        cross_pages: bool,
        sizes in prop_oneof![
            Just(SizeMix::Fixed(4_096)),
            Just(SizeMix::PowersOfTwo { low: 1, high: 4_096 }),
            Just(SizeMix::Weighted(vec![(64, 7.0), (594, 4.0), (1_518, 1.0)])),
        ],
        requests in 1_u64..400,
        cuts in prop::collection::vec((0_u64..40_000_000, 0_usize..50), 1..60),
    ) {
        let layout = Layout { cross_pages, ..layout(pages) };
        let limit = Limit { requests, until: Picoseconds::from_us(300) };
        let arrivals = one_process(process, 1e6);
        let fresh = source(arrivals, &one_pattern(pattern, pages), layout, &sizes, limit);
        let whole = emit(&mut fresh.clone(), Picoseconds::MAX, 1_000);
        prop_assert_eq!(emit(&mut fresh.clone(), Picoseconds::MAX, requests as usize).len(), whole.len());

        let mut cut = fresh;
        let (mut parts, mut until) = (Vec::new(), 0);
        for (step, rows) in cuts.into_iter().chain([(u64::MAX / 2, 1_000)]) {
            until += step;
            let next = cut.peek();
            let part = emit(&mut cut, Picoseconds(until), rows);
            prop_assert!(part.iter().all(|(time, ..)| *time < until));
            prop_assert_eq!(part.first().map(|(time, ..)| Picoseconds(*time)).is_some(),
                rows > 0 && next.is_some_and(|next| next.0 < until));
            if let Some((time, ..)) = part.first() {
                prop_assert_eq!(Some(Picoseconds(*time)), next);
            }
            // Room was left: all that is intended before `until` is out.
            if part.len() < rows {
                prop_assert!(cut.peek().is_none_or(|next| next.0 >= until));
            }
            parts.extend(part);
        }
        prop_assert_eq!(cut.peek(), None);
        prop_assert_eq!(&parts, &whole);
        prop_assert!(whole.len() as u64 <= requests);
        prop_assert!(whole.windows(2).all(|pair| pair[0].0 <= pair[1].0));

        let end = layout.base.0 + (u64::from(pages) << 12);
        for (time, address, length, _) in whole {
            prop_assert!(time < 300_000_000);
            prop_assert_eq!(address % 64, 0);
            prop_assert!(address >= layout.base.0 && address + u64::from(length) <= end);
            prop_assert!(cross_pages || address >> 12 == (address + u64::from(length) - 1) >> 12);
        }
    }
}

mod limits {
    use super::*;

    #[test]
    fn a_source_ends_after_its_requests() {
        let limit = Limit { requests: 3, ..ENDLESS };
        let mut source =
            source(one_process(1, 1e6), &Pattern::Uniform, layout(4), &SizeMix::Fixed(64), limit);
        assert_eq!(emit(&mut source, Picoseconds::MAX, 2).len(), 2);
        assert!(source.peek().is_some());
        assert_eq!(emit(&mut source, Picoseconds::MAX, 2).len(), 1);
        assert_eq!((source.peek(), emit(&mut source, Picoseconds::MAX, 2).len()), (None, 0));
    }

    #[test]
    fn until_is_the_first_time_that_is_not_emitted() {
        let endless = source(one_process(1, 1e6), &Pattern::Uniform, layout(4), &SizeMix::Fixed(64), ENDLESS);
        let third = take(&mut endless.clone(), 3)[2].0;
        for (until, count) in [(third, 2), (third + 1, 3)] {
            let limit = Limit { until: Picoseconds(until), ..ENDLESS };
            let mut limited =
                source(one_process(1, 1e6), &Pattern::Uniform, layout(4), &SizeMix::Fixed(64), limit);
            assert_eq!(emit(&mut limited, Picoseconds::MAX, 10).len(), count);
            assert_eq!(limited.peek(), None);
            assert_eq!(emit(&mut endless.clone(), Picoseconds(until), 10).len(), count);
        }
        let none = Limit { requests: 0, ..ENDLESS };
        let empty = source(one_process(0, 1e6), &Pattern::Ring, layout(4), &SizeMix::Fixed(64), none);
        assert_eq!(empty.peek(), None);
    }
}

mod arrivals {
    use super::*;

    /// The time of the last of `count` arrivals, in picoseconds.
    fn last(mut arrivals: Arrivals, count: usize) -> f64 {
        let mut last = 0;
        let written = arrivals.fill(Picoseconds::MAX, count, |_, time| last = time.0);
        assert_eq!(written, count);
        last as f64
    }

    #[test]
    fn constant_rates_are_exact() {
        for rate_hz in [1.0, 3.0, 123_456.789, 7e6, 3.3e9, 1e10] {
            let gap = 1e12 / rate_hz;
            let first = one_process(0, rate_hz).next().0 as f64;
            assert!(first < gap, "{first} lies in the first gap");
            let count = 3_000_000;
            let mean = (last(one_process(0, rate_hz), count) - first) / (count - 1) as f64;
            let error = (mean - gap).abs();
            // The two ends are rounded down to whole picoseconds.
            assert!(error <= gap * 1e-9 + 2.0 / count as f64, "{rate_hz} Hz: {mean} for {gap}");
        }
    }

    #[test]
    fn random_rates_converge() {
        let count = 4_000_000;
        for (kind, rate_hz, deviations) in
            [(1, 5e6, 1.0), (1, 1e10, 1.0), (1, 1.0, 1.0), (2, 5e6, 15.0), (3, 5e6, 3.0)]
        {
            let mean = last(one_process(kind, rate_hz), count) / count as f64 * rate_hz / 1e12;
            // The standard deviation of a mean gap, times what bursts add, times four.
            let bound = 4.0 * deviations / (count as f64).sqrt();
            assert!((mean - 1.0).abs() < bound, "process {kind} at {rate_hz} Hz: {mean}");
        }
    }

    #[test]
    fn bursts_are_as_long_as_asked() {
        // 10 us on, 30 us off, fixed, 400 arrivals a burst: gaps of 30 us part bursts.
        let mut arrivals = one_process(3, 1e7);
        let mut times = Vec::new();
        arrivals.fill(Picoseconds::MAX, 100_000, |_, time| times.push(time.0));
        let pauses: Vec<usize> =
            (1..times.len()).filter(|index| times[*index] - times[index - 1] >= 30_000_000).collect();
        let bursts: Vec<u64> = pauses.windows(2).map(|pair| times[pair[1] - 1] - times[pair[0]]).collect();
        assert!(bursts.len() > 200, "{}", bursts.len());
        assert!(bursts.iter().all(|length| (9_000_000..=10_000_000).contains(length)));
        let mean = times.len() as f64 / pauses.len() as f64;
        assert!((mean - 400.0).abs() < 8.0, "{mean} arrivals a burst");
    }

    #[test]
    fn a_process_that_is_never_off_is_a_poisson_process() {
        let mean = |mut arrivals: Arrivals| {
            let (mut last, mut squares) = (0, 0.0);
            arrivals.fill(Picoseconds::MAX, 1_000_000, |_, time| {
                squares += ((time.0 - last) as f64).powi(2);
                last = time.0;
            });
            (last as f64 / 1e6, squares / 1e6)
        };
        for fixed in [false, true] {
            let (gap, square) = mean(Arrivals::on_off(1e6, 5.0, 0.0, fixed, rng(Stream::Arrivals)));
            assert!((gap / 1e6 - 1.0).abs() < 0.005, "{gap}");
            assert!((square / 2e12 - 1.0).abs() < 0.02, "{square}");
        }
    }

    /// Kolmogorov and Smirnov's distance to 1 - exp(-x), and the first two moments, beside the
    /// distribution of `rand_distr`.
    #[test]
    fn the_ziggurat_is_exponential() {
        let count = 1_000_000;
        let mut rng = rng(Stream::Arrivals);
        let ours: Vec<f64> = (0..count).map(|_| Exponential::tables().draw(&mut rng)).collect();
        let peers: Vec<f64> = (0..count).map(|_| rand_distr::Exp1.sample(&mut rng)).collect();
        for mut draws in [ours, peers] {
            let mean = draws.iter().sum::<f64>() / count as f64;
            let square = draws.iter().map(|x| x * x).sum::<f64>() / count as f64;
            assert!((mean - 1.0).abs() < 0.004 && (square - 2.0).abs() < 0.018, "{mean}, {square}");
            draws.sort_by(f64::total_cmp);
            let distance = draws.iter().enumerate().map(|(rank, x)| {
                let share = 1.0 - libm::exp(-x);
                (share - rank as f64 / count as f64).abs()
            });
            let distance = distance.fold(0.0, f64::max) * 1_000.0;
            assert!(distance < 1.95, "sqrt(n) times the distance is {distance}: p < 0.001");
            // The tail begins at 7.7 and must hold its share: 453 of a million expected.
            let tail = draws.iter().filter(|x| **x > 7.697_117_470_131_05).count();
            assert!((370..540).contains(&tail), "{tail} in the tail");
        }
    }
}

mod patterns {
    use super::*;

    /// Chi-square of `counts` against `shares`, in standard deviations from its mean.
    fn chi_square(counts: &[u64], shares: &[f64]) -> f64 {
        let total: u64 = counts.iter().sum();
        let sum: f64 = counts
            .iter()
            .zip(shares)
            .map(|(count, share)| {
                let expected = share * total as f64;
                (*count as f64 - expected).powi(2) / expected
            })
            .sum();
        let freedom = (counts.len() - 1) as f64;
        (sum - freedom) / (2.0 * freedom).sqrt()
    }

    fn zipf_shares(pages: u32, exponent: f64) -> Vec<f64> {
        let weights: Vec<f64> = (1..=pages).map(|rank| libm::pow(f64::from(rank), -exponent)).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }

    #[test]
    fn alias_tables_match_zipf() {
        for (pages, exponent) in [(1, 0.99), (2, 1.0), (100, 0.0), (1_024, 0.99), (4_096, 0.99), (1_000, 2.0)]
        {
            let shares = zipf_shares(pages, exponent);
            let table = AliasTable::new(&shares);
            let mut rng = rng(Stream::Pattern);
            let (mut wide, mut narrow) = (vec![0; pages as usize], vec![0; pages as usize]);
            for _ in 0..4_000_000 {
                let bits = rng.next_u64();
                wide[table.draw(bits) as usize] += 1;
                narrow[table.draw_narrow(rng.next_u64() as u32) as usize] += 1;
            }
            if pages > 1 {
                for counts in [wide, narrow] {
                    let deviations = chi_square(&counts, &shares);
                    assert!(deviations.abs() < 4.0, "{pages} pages, {exponent}: {deviations}");
                }
            }
        }
    }

    /// What the lines of a table give each index, added up, is its weight.
    #[test]
    fn alias_tables_hold_their_weights() {
        for weights in [vec![1.0], vec![0.0, 3.0, 1.0], vec![5.0; 7], (1..500).map(f64::from).collect()] {
            let sum: f64 = weights.iter().sum();
            let mut shares = vec![0.0; weights.len()];
            let table = AliasTable::new(&weights);
            assert_eq!(table.len(), weights.len());
            for (own, (threshold, alias)) in table.lines().enumerate() {
                let below = f64::from(threshold) / 4_294_967_296.0;
                shares[own] += below / weights.len() as f64;
                shares[alias as usize] += (1.0 - below) / weights.len() as f64;
            }
            for (share, weight) in shares.iter().zip(&weights) {
                assert!((share - weight / sum).abs() < 1e-9, "{share} for {weight} of {sum}");
            }
        }
    }

    fn page_counts(pattern: &Pattern, pages: u32, requests: usize) -> Vec<u64> {
        let mut source = source(one_process(0, 1e9), pattern, layout(pages), &SizeMix::Fixed(64), ENDLESS);
        let mut counts = vec![0; pages as usize];
        for (_, address, ..) in take(&mut source, requests) {
            counts[((address - (1 << 30)) >> 12) as usize] += 1;
        }
        counts
    }

    #[test]
    fn zipf_ranks_are_scattered_and_turned() {
        for pages in [1_024, 70_000] {
            let pattern = Pattern::Table(zipf_table(7, pages, 0.99));
            let counts = page_counts(&pattern, pages, 4_000_000);
            let order = permutation(7, pages);
            let hottest = counts.iter().enumerate().max_by_key(|(_, count)| **count).expect("pages").0;
            // Rank 0 is at `order[0]`, turned by this VF's offset; so are all ranks.
            let turn = (hottest + pages as usize - order[0] as usize) % pages as usize;
            assert_ne!(turn, 0);
            let by_rank: Vec<u64> =
                order.iter().map(|page| counts[(*page as usize + turn) % pages as usize]).collect();
            let deviations = chi_square(&by_rank, &zipf_shares(pages, 0.99));
            assert!(deviations.abs() < 4.0, "{pages}: {deviations}");
            let neighbours = order.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
            assert!(neighbours < 12, "hot pages do not lie together: {neighbours}");
        }
    }

    #[test]
    fn a_permutation_holds_every_page_once() {
        for pages in [1, 2, 1_000] {
            let mut order = permutation(3, pages);
            order.sort_unstable();
            assert!(order.into_iter().eq(0..pages));
        }
        assert_ne!(permutation(1, 1_000), permutation(2, 1_000));
    }

    #[test]
    fn uniform_pages_are_alike() {
        for pages in [1_000, 70_000] {
            let counts = page_counts(&Pattern::Uniform, pages, 4_000_000);
            let deviations = chi_square(&counts, &vec![1.0 / f64::from(pages); pages as usize]);
            assert!(deviations.abs() < 4.0, "{pages}: {deviations}");
        }
    }

    #[test]
    fn hot_pages_get_their_share() {
        let order: std::sync::Arc<[u32]> = permutation(7, 1_000).into();
        let pattern = Pattern::HotCold { order, hot_pages: 100, hot_access_share: 0.8 };
        let mut counts = page_counts(&pattern, 1_000, 4_000_000);
        counts.sort_unstable_by(|one, other| other.cmp(one));
        let shares: Vec<f64> =
            (0..1_000).map(|page| if page < 100 { 0.8 / 100.0 } else { 0.2 / 900.0 }).collect();
        let hot: u64 = counts[..100].iter().sum();
        assert!((hot as f64 / 4e6 - 0.8).abs() < 0.001, "{hot}");
        // Sorted counts are not independent of the shares, so only that they are flat is checked.
        assert!(chi_square(&counts, &shares).abs() < 5.0);
    }

    #[test]
    fn a_ring_goes_through_every_slot_in_order() {
        let layout = Layout { alignment: 2_048, ..layout(3) };
        let mut ring = source(one_process(0, 1e6), &Pattern::Ring, layout, &SizeMix::Fixed(1_500), ENDLESS);
        let offsets: Vec<u64> =
            take(&mut ring, 13).iter().map(|(_, address, ..)| address - (1 << 30)).collect();
        assert_eq!(offsets[0] % 4_096, 0, "it starts with a page");
        for pair in offsets.windows(2) {
            assert_eq!(pair[1], (pair[0] + 2_048) % (3 * 4_096));
        }
    }

    #[test]
    fn a_ring_leaves_the_rest_of_a_page_unless_it_may_cross() {
        let next = |cross_pages| {
            let layout = Layout { cross_pages, ..layout(4) };
            let mut ring =
                source(one_process(0, 1e6), &Pattern::Ring, layout, &SizeMix::Fixed(3_000), ENDLESS);
            let requests = take(&mut ring, 2);
            (requests[1].1 + 4 * 4_096 - requests[0].1) % (4 * 4_096)
        };
        assert_eq!((next(false), next(true)), (4_096, 3_008));
    }

    #[test]
    fn strides_are_strides() {
        let pattern = Pattern::Strided { stride_pages: 7 };
        let mut strided = source(one_process(0, 1e6), &pattern, layout(10), &SizeMix::Fixed(4_096), ENDLESS);
        for pair in take(&mut strided, 30).windows(2) {
            assert_eq!((pair[1].1 - (1 << 30)) >> 12, (((pair[0].1 - (1 << 30)) >> 12) + 7) % 10);
        }
    }

    #[test]
    fn streams_run_in_order_and_start_anew() {
        let pattern = Pattern::Stream { copy_pages: 4 };
        let mut streamed = source(one_process(0, 1e6), &pattern, layout(64), &SizeMix::Fixed(1_024), ENDLESS);
        let requests = take(&mut streamed, 16 * 200);
        let mut starts = std::collections::BTreeSet::new();
        for run in requests.chunks(16) {
            starts.insert(run[0].1);
            assert_eq!(run[0].1 % 4_096, 0);
            assert!(run.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1_024));
        }
        // 61 starts are possible; 200 draws miss a few.
        assert!((50..=61).contains(&starts.len()), "{}", starts.len());
    }

    #[test]
    fn offsets_fill_the_page() {
        let mut source =
            source(one_process(0, 1e6), &Pattern::Uniform, layout(1), &SizeMix::Fixed(1_024), ENDLESS);
        let mut counts = vec![0; 49];
        for (_, address, ..) in take(&mut source, 1_000_000) {
            counts[((address & 4_095) / 64) as usize] += 1;
        }
        let deviations = chi_square(&counts, &[1.0 / 49.0; 49]);
        assert!(deviations.abs() < 4.0, "{deviations}");
    }

    #[test]
    fn sizes_and_directions_have_their_shares() {
        let mix = SizeMix::Weighted(vec![(64, 7.0), (594, 4.0), (1_518, 1.0)]);
        let mut source = source(one_process(0, 1e6), &Pattern::Uniform, layout(8), &mix, ENDLESS);
        let mut counts = [0; 6];
        for (.., length, op) in take(&mut source, 1_000_000) {
            let size = [64, 594, 1_518].iter().position(|bytes| *bytes == length).expect("a size of the mix");
            counts[size * 2 + usize::from(op == Op::Write)] += 1;
        }
        let shares: Vec<f64> =
            [7.0, 4.0, 1.0].iter().flat_map(|weight| [weight / 12.0 * 0.7, weight / 12.0 * 0.3]).collect();
        let deviations = chi_square(&counts, &shares);
        assert!(deviations.abs() < 4.0, "{deviations}");
        for (read_share, op) in [(0.0, Op::Write), (1.0, Op::Read)] {
            let transfers = Transfers::new(&SizeMix::Fixed(64), read_share);
            for bits in [0, 1, u32::MAX / 2, u32::MAX] {
                assert_eq!(transfers.draw(bits).0, Transfer { length_bytes: 64, op });
            }
        }
    }
}

mod streams {
    use super::*;

    #[test]
    fn differ_in_each_of_their_names() {
        let first = |seed, host, vf, purpose| stream(seed, HostIndex(host), VfIndex(vf), purpose).next_u64();
        let mut seen = std::collections::BTreeSet::new();
        for seed in [0, 1, 2, u64::MAX] {
            for host in 0..20 {
                for vf in 0..20 {
                    seen.insert(first(seed, host, vf, Stream::Arrivals));
                    seen.insert(first(seed, host, vf, Stream::Pattern));
                }
            }
        }
        assert_eq!(seen.len(), 4 * 20 * 20 * 2);
        // Swapped names are other names.
        assert_ne!(first(1, 2, 3, Stream::Arrivals), first(1, 3, 2, Stream::Arrivals));
    }

    #[test]
    fn rounding_is_to_the_nearest() {
        for (value, nearest) in [
            (0.0, 0),
            (0.49, 0),
            (0.51, 1),
            (1e15, 1_000_000_000_000_000),
            (4.5e15 - 1.0, 4_499_999_999_999_999),
        ] {
            assert_eq!(rng::round(value), nearest, "{value}");
        }
    }

    /// The very requests of the built-in scenarios, the same on every machine. If a change to a source is
    /// meant to change them, put the number that the message shows in place of the old one, and say so
    /// in the change log: recorded runs cannot be repeated across it.
    #[test]
    fn requests_are_the_same_everywhere() {
        let expected = [
            ("default", GOLDEN[0]),
            ("gpu-copy-2m", GOLDEN[1]),
            ("nic-rings", GOLDEN[2]),
            ("noisy-neighbour", GOLDEN[3]),
            ("fleet-4096", GOLDEN[4]),
            ("dense-1024", GOLDEN[5]),
            ("mixed-fleet", GOLDEN[6]),
        ];
        let found = expected.map(|(name, _)| (name, digest(name)));
        assert_eq!(found, expected, "found on the left");
    }

    const GOLDEN: [u64; 7] = [
        6_671_756_754_709_328_988,
        5_292_739_977_639_484_539,
        16_039_955_818_074_689_960,
        14_828_763_524_324_389_616,
        6_308_425_163_228_091_028,
        920_393_615_987_213_622,
        12_985_947_396_479_826_637,
    ];

    /// FNV-1a over the first requests of a few VFs.
    fn digest(name: &str) -> u64 {
        let builtin = crate::builtin(name).expect(name);
        let plan = crate::Scenario::parse(name, builtin.toml, &[]).expect(name).plan();
        let mut digest = 0xCBF2_9CE4_8422_2325_u64;
        let mut add = |word: u64| {
            for byte in word.to_le_bytes() {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
            }
        };
        for vf in [0, 1, 7] {
            let mut source = (plan.tenants)(HostIndex(0), VfIndex(vf)).source;
            let mut intended = vec![Intended::default(); 500];
            let mut address = vec![Address::default(); 500];
            let mut transfer = vec![Transfer::default(); 500];
            let rows = SourceRows { intended: &mut intended, address: &mut address, transfer: &mut transfer };
            let count = source.emit(Picoseconds::MAX, rows);
            for row in 0..count {
                add(intended[row].0.0);
                add(address[row].0.0);
                add(u64::from(transfer[row].length_bytes) << 1 | transfer[row].op as u64);
            }
        }
        digest
    }
}

mod closed {
    use super::*;

    fn clients(count: u32, mean_ns: u64, fixed: bool) -> Clients {
        let think = Think { mean: Picoseconds::from_ns(mean_ns), fixed };
        Clients::new(count, think, rng(Stream::Think))
    }

    fn times(clients: &mut Clients, until: u64, room: usize) -> Vec<u64> {
        let mut times = Vec::new();
        clients.fill(Picoseconds(until), room, |_, time| times.push(time.0));
        times
    }

    #[test]
    fn each_client_sends_once_and_waits() {
        let mut three = clients(3, 100, true);
        assert_eq!(three.least_think(), Picoseconds::from_ns(100));
        assert_eq!(times(&mut three, 100_000, 10), [0_u64; 0], "until is the first that does not count");
        assert_eq!(times(&mut three, u64::MAX, 2), [100_000; 2]);
        assert_eq!(times(&mut three, u64::MAX, 10), [100_000]);
        assert_eq!(three.next(), Picoseconds::MAX, "all wait");
        three.retire(1, Picoseconds(900_000));
        three.retire(0, Picoseconds(700_000));
        assert_eq!(times(&mut three, u64::MAX, 10), [800_000, 1_000_000]);
    }

    proptest! {
        /// The order in which retirements become known changes nothing.
        #[test]
        fn retirements_may_be_told_in_any_order(
            ends in prop::collection::vec(0_u64..5, 1..30),
            order in prop::collection::vec(any::<u64>(), 30),
            fixed: bool,
        ) {
            let mut told: Vec<(u64, u64)> = ends.iter().map(|end| end * 1_000).zip(0..).collect();
            let mut in_order = clients(1, 7, fixed);
            told.iter().for_each(|(time, number)| in_order.retire(*number, Picoseconds(*time)));
            told.sort_by_key(|(_, number)| order[*number as usize]);
            let mut shuffled = clients(1, 7, fixed);
            told.iter().for_each(|(time, number)| shuffled.retire(*number, Picoseconds(*time)));
            prop_assert_eq!(times(&mut shuffled, u64::MAX, 100), times(&mut in_order, u64::MAX, 100));
        }
    }

    #[test]
    fn think_times_are_exponential() {
        let mut one = clients(1, 1_000, false);
        assert_eq!(one.least_think(), Picoseconds::ZERO);
        let first = times(&mut one, u64::MAX, 1);
        let thinks: Vec<f64> = (0..100_000)
            .map(|number| {
                one.retire(number, Picoseconds(0));
                times(&mut one, u64::MAX, 1)[0] as f64 / 1e6
            })
            .collect();
        assert_eq!(first.len(), 1);
        let mean = thinks.iter().sum::<f64>() / 1e5;
        let longer = thinks.iter().filter(|think| **think > 2.0).count() as f64 / 1e5;
        // Four standard errors: 1 / sqrt(n), and sqrt(p / n) for p = e^-2.
        assert!((mean - 1.0).abs() < 0.0127, "{mean}");
        assert!((longer - (-2.0_f64).exp()).abs() < 0.0047, "{longer}");
    }

    #[test]
    fn a_closed_source_ends_after_its_requests() {
        let when = When::Closed(clients(2, 0, true));
        let sizes = SizeMix::Fixed(64);
        let limit = Limit { requests: 3, until: Picoseconds::MAX };
        let transfers = Transfers::new(&sizes, 0.7);
        let mut source =
            TenantSource::new((7, HOST, VF), when, (&Pattern::Uniform, layout(8)), transfers, limit);
        assert_eq!((source.feedback(), source.outstanding()), (Some(Picoseconds::ZERO), Some(2)));
        assert_eq!(emit(&mut source, Picoseconds::MAX, 10).len(), 2);
        source.retire(1, Picoseconds(5_000));
        source.retire(0, Picoseconds(9_000));
        assert_eq!(source.peek(), Some(Picoseconds(5_000)));
        assert_eq!(emit(&mut source, Picoseconds::MAX, 10).len(), 1, "the third is the last");
        assert_eq!((source.peek(), source.feedback()), (None, None));
    }
}
