//! Do the project's own random draws earn their keep beside those of a crate?
//!
//! `cargo bench --locked --bench draws`
//!
//! - `draws/exponential`: the ziggurat of the sources beside `rand_distr::Exp1`.
//! - `draws/alias`: the alias table of the sources, by 64 random bits and by 32, beside
//!   `rand_distr::weighted::WeightedAliasIndex<f64>`, for Zipf's law over so many pages. `bits` is what the
//!   generator alone costs.
//!
//! All draw from the generator of the sources. Speed is not the whole of it: the project's draws take
//! `exp` and `ln` from `libm`, so that the same seed gives the same requests on every machine.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use portcullis_benches::measure::{Group, group, run};
use portcullis_engine::ids::{HostIndex, VfIndex};
use portcullis_workloads::source::{AliasTable, Exponential, Stream, StreamRng, stream};
use rand_distr::weighted::WeightedAliasIndex;
use rand_distr::{Distribution, Exp1};
use rand_pcg::rand_core::Rng;

/// Draws an iteration.
const DRAWS: u32 = 16_384;

fn main() {
    run(&[exponential, alias]);
}

fn generator() -> StreamRng {
    stream(1, HostIndex(0), VfIndex(0), Stream::Pattern)
}

/// Measures a draw: the sum of many.
fn bench_draw<T: core::iter::Sum>(
    group: &mut Group<'_>,
    id: impl Into<String>,
    draw: impl Fn(&mut StreamRng) -> T,
) {
    group.throughput(Throughput::Elements(u64::from(DRAWS)));
    group.bench_function(id.into(), |bencher| {
        let mut state = generator();
        bencher.iter(|| {
            // In the loop's own hands, as in a source.
            let mut rng = state.clone();
            let sum: T = (0..DRAWS).map(|_| draw(&mut rng)).sum();
            state = rng;
            black_box(sum)
        });
    });
}

fn exponential(criterion: &mut Criterion) {
    let mut group = group(criterion, "draws/exponential");
    let tables = Exponential::tables();
    bench_draw(&mut group, "ziggurat", |rng| tables.draw(rng));
    bench_draw(&mut group, "rand_distr_exp1", |rng| -> f64 { Exp1.sample(rng) });
}

fn alias(criterion: &mut Criterion) {
    let mut group = group(criterion, "draws/alias");
    bench_draw(&mut group, "bits", |rng| rng.next_u64() >> 32);
    for pages in [1_024_u32, 65_536, 4_194_304] {
        let weights: Vec<f64> = (1..=pages).map(|rank| f64::from(rank).powf(-0.99)).collect();
        let table = AliasTable::new(&weights);
        bench_draw(&mut group, format!("{pages}/table"), |rng| u64::from(table.draw(rng.next_u64())));
        if pages <= 1 << 16 {
            bench_draw(&mut group, format!("{pages}/table_narrow"), |rng| {
                u64::from(table.draw_narrow((rng.next_u64() >> 32) as u32))
            });
        }
        let crates = WeightedAliasIndex::new(weights).expect("weights are positive");
        bench_draw(&mut group, format!("{pages}/rand_distr_alias"), |rng| crates.sample(rng) as u64);
    }
}
