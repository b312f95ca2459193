//! What does translation cost in the engine, and how much of that is translation?
//!
//! `cargo bench --locked --bench translation`
//!
//! The same traffic six times, one look-up a DMA:
//!
//! - `stage`: the ordered pass as the engine runs it, on a host under way, ECS part included: context, IOTLB,
//!   walks that take their time and fill when they end, walkers and their queue, rights, credits;
//! - `functional`: the engine's IOTLB and page tables alone, one DMA after another: a miss fills at once, and
//!   no cache line is asked for in advance, as the stage does;
//! - `bare`: a hand-written loop, as little as translation can be: an IOTLB of 8 ways under true LRU over a
//!   dense array of frames, one physical address out a DMA;
//! - `bare_prefetched`: the same, cache lines asked for 24 DMAs ahead: what the machine could do;
//! - `entity_per_request`: the bare loop's look-ups, but every DMA is an entity that is spawned and despawned;
//! - `boxed_objects`: every DMA a boxed object behind a trait, every tenant a hash map of its pages, every set
//!   a list of boxed entries.
//!
//! The last two show what the layout of the data is worth. All but the first go round a recording of the stage's DMAs, on one thread, and keep the cache to themselves;
//! the stage shares it with the other stages of its host.
//!
//! Cases: 1,024 tenants of 4,096 pages of 4 KiB on one adapter, pages drawn alike or by Zipf's law (0.99), with
//! 1,024, 4,096 and 65,536 sets of 8 ways; and 16 tenants of 16 pages with 64 sets, where nearly all hit.

use std::cell::LazyCell;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use portcullis_benches::bare_loop::{BareLoop, WAYS};
use portcullis_benches::boxed_objects::BoxedObjects;
use portcullis_benches::captured::{Captured, Requests};
use portcullis_benches::cases::{Change, endless_plan};
use portcullis_benches::entity_per_request::EntityPerRequest;
use portcullis_benches::functional::translate_functionally;
use portcullis_benches::measure::{Group, STAGE_DMAS, bench_stages, group, run};
use portcullis_engine::ids::Iova;
use portcullis_engine::schedule::Stage;
use portcullis_engine::translation::{AnyIotlb, IotlbSpec, Ways};

/// DMAs of a recording: far more than the largest IOTLB has entries, so that going round shows no pattern.
const RECORDED: usize = 1 << 22;
/// Recorded DMAs that are translated at a time: as many as the engine's batch holds.
const BATCH: usize = 2_048;

/// Where in a tenant's domain its pages are.
const FIRST: Iova = Iova(1 << 30);

fn main() {
    run(&[translation]);
}

/// What the tenants do.
struct Traffic {
    changes: &'static [Change<'static>],
    pages_per_tenant: u64,
    recording: LazyCell<Captured, Box<dyn FnOnce() -> Captured>>,
}

impl Traffic {
    fn new(changes: &'static [Change<'static>], pages_per_tenant: u64) -> Self {
        let record = move || Captured::new(&endless_plan("dense-1024", changes), RECORDED);
        Self { changes, pages_per_tenant, recording: LazyCell::new(Box::new(record)) }
    }
}

fn translation(criterion: &mut Criterion) {
    let uniform = Traffic::new(&[("tenants.tenant.pattern.kind", "uniform")], 4_096);
    let zipf = Traffic::new(&[], 4_096);
    let hot = Traffic::new(
        &[
            ("topology.vfs_per_adapter", "16"),
            ("tenants.tenant.memory.pages", "16"),
            ("tenants.tenant.pattern.kind", "uniform"),
        ],
        16,
    );
    let cases = [
        ("uniform_1024_sets", &uniform, 1_024),
        ("zipf_1024_sets", &zipf, 1_024),
        ("zipf_4096_sets", &zipf, 4_096),
        ("zipf_65536_sets", &zipf, 65_536),
        ("hot_256_pages", &hot, 64),
    ];
    for (id, traffic, sets) in cases {
        let mut group = group(criterion, &format!("translation/{id}"));
        bench_case(&mut group, traffic, sets);
    }
}

fn bench_case(group: &mut Group<'_>, traffic: &Traffic, sets: u32) {
    let entries = sets * WAYS as u32;
    bench_stages(group, "stage", &[Stage::Translate], || {
        let mut plan = endless_plan("dense-1024", traffic.changes);
        plan.host_classes[0].machine.iommu.iotlb.entries = entries;
        plan
    });
    let iotlb = || {
        let spec = IotlbSpec { entries, ways: Ways::Count(WAYS as u32), ..IotlbSpec::default() };
        let AnyIotlb::Lru(iotlb) = AnyIotlb::new(&spec, 0) else { unreachable!("LRU is the default") };
        iotlb
    };
    bench_recorded(group, "functional", traffic, iotlb, |iotlb, requests, addresses| {
        translate_functionally(iotlb, &traffic.recording.tables, requests, addresses)
    });
    let bare = || BareLoop::new(sets, &traffic.recording.tables, FIRST, traffic.pages_per_tenant);
    bench_recorded(group, "bare", traffic, bare, BareLoop::translate);
    bench_recorded(group, "bare_prefetched", traffic, bare, BareLoop::translate_prefetching);
    let entities = || EntityPerRequest::new(sets, &traffic.recording.tables, FIRST, traffic.pages_per_tenant);
    bench_recorded(group, "entity_per_request", traffic, entities, EntityPerRequest::translate);
    let objects = || BoxedObjects::new(sets, &traffic.recording.tables);
    bench_recorded(group, "boxed_objects", traffic, objects, BoxedObjects::translate);
}

/// Measures a loop that goes round the recording; what it works on is built at first need.
fn bench_recorded<T>(
    group: &mut Group<'_>,
    id: &str,
    traffic: &Traffic,
    build: impl Fn() -> T,
    mut translate: impl FnMut(&mut T, Requests<'_>, &mut Vec<u64>) -> u64,
) {
    let mut state = None;
    let mut addresses = Vec::with_capacity(BATCH);
    group.throughput(Throughput::Elements(STAGE_DMAS));
    group.bench_function(id, |bencher| {
        let (subject, batches) =
            state.get_or_insert_with(|| (build(), traffic.recording.columns.chunks(BATCH).cycle()));
        bencher.iter(|| {
            for requests in batches.take(STAGE_DMAS as usize / BATCH) {
                addresses.clear();
                black_box(translate(subject, requests, &mut addresses));
                black_box(&addresses);
            }
        });
    });
}
