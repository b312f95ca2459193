//! How the benches are run.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use portcullis_engine::plan::RunPlan;
use portcullis_engine::schedule::Stage;

use crate::staged_host::StagedHost;

/// The group of the benches of one question.
pub type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// DMAs that an iteration of a stage's bench moves through the host: the stage sees as many.
pub const STAGE_DMAS: u64 = 32_768;

/// The `main` of every bench: short runs, so that all of them take some minutes; the command line
/// changes that.
pub fn run(benches: &[fn(&mut Criterion)]) {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
        .configure_from_args();
    for bench in benches {
        bench(&mut criterion);
    }
    criterion.final_summary();
}

/// A group whose iterations are long: as many in every sample.
pub fn group<'a>(criterion: &'a mut Criterion, name: &str) -> Group<'a> {
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    group
}

/// Measures `stages` of a host under way, in DMAs a second. The host is built at first need, and its
/// other stages run outside of the time.
pub fn bench_stages(group: &mut Group<'_>, id: &str, stages: &[Stage], plan: impl Fn() -> RunPlan) {
    let mut host = None;
    group.throughput(Throughput::Elements(STAGE_DMAS));
    group.bench_function(id, |bencher| {
        let host = host.get_or_insert_with(|| StagedHost::new(&plan()));
        bencher.iter_custom(|iterations| host.time(stages, iterations * STAGE_DMAS));
    });
}
