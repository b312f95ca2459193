//! The recorded trace: its physical addresses and misses, whatever the IOTLB.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use portcullis_engine::domain::Permissions;
use portcullis_engine::replay::{Event, RawEvent, Replay, ReplayPlan, ReplayRequestRow, ReplaySummaryRow};
use portcullis_engine::table::Table;
use portcullis_reports::{Cells, ParquetEvents, StoredTable};
use portcullis_workloads::{CsvEvents, Override, ReplaySettings};

use crate::support::{numbers, optional_numbers, repository};

fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures").join(name)
}

/// The events of the trace.
fn events() -> &'static [Event] {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    EVENTS.get_or_init(|| {
        let mut trace = ParquetEvents::open(&fixture("sriov-small.events.parquet")).expect("the fixture");
        let (mut all, mut batch) = (Vec::new(), Vec::new());
        while trace.next_batch(&mut batch).expect("every row has a meaning") {
            all.extend_from_slice(&batch);
        }
        all
    })
}

/// What was recorded: the physical address of each DMA by the index of its event.
fn recorded() -> BTreeMap<u64, u64> {
    let table = StoredTable::read(&fixture("sriov-small.expected.parquet")).expect("the fixture");
    let cells = |name: &str| -> Vec<u64> {
        match table.column(name).unwrap_or_else(|| panic!("no column `{name}`")) {
            Cells::U32(cells) => cells.iter().map(|cell| u64::from(cell.expect("a value"))).collect(),
            Cells::U64(cells) => cells.iter().map(|cell| cell.expect("a value")).collect(),
            other => panic!("`{name}` is no column of numbers: {other:?}"),
        }
    };
    cells("row").into_iter().zip(cells("pa")).collect()
}

fn expected() -> serde_json::Value {
    let text = fs::read_to_string(fixture("sriov-small.expected.json")).expect("the fixture");
    serde_json::from_str(&text).expect("JSON")
}

/// Replays the trace with settings as `--set` takes them; nothing may be refused, stale or astray.
fn replay(settings: &[&str]) -> (Table, ReplaySummaryRow) {
    let settings: Vec<Override> = settings.iter().map(|set| set.parse().expect("a setting")).collect();
    let ReplaySettings { seed, audit, iotlb } = ReplaySettings::parse(&settings).expect("an IOTLB");
    let mut replay = Replay::new(ReplayPlan { trace: "trace".into(), seed, iotlb, audit }).expect("an IOTLB");
    let mut requests = Table::new::<ReplayRequestRow>();
    for batch in events().chunks(10_000) {
        replay.apply(batch);
        replay
            .drain_tables()
            .into_iter()
            .filter(|table| table.name == "requests")
            .for_each(|t| requests.extend(t));
    }
    let result = replay.finish();
    assert_eq!(result.breach, None);
    let ReplaySummaryRow { refused_total, stale_total, dma_total, audited_total, .. } = result.summary;
    assert_eq!((refused_total, stale_total, audited_total), (0, 0, dma_total));
    (requests, result.summary)
}

/// Physical addresses of a replay by the index of their event; every DMA must have one.
fn addresses(requests: &Table) -> BTreeMap<u64, u64> {
    let pas = optional_numbers(requests, "pa").into_iter().map(|pa| pa.expect("nothing is blocked"));
    numbers(requests, "row").into_iter().zip(pas).collect()
}

#[test]
fn every_dma_reaches_the_address_that_was_recorded() {
    let (requests, summary) = replay(&[]);
    let recorded = recorded();
    assert_eq!(recorded.len() as u64, summary.dma_total);
    let found = addresses(&requests);
    let wrong = recorded.iter().find(|(row, pa)| found.get(row) != Some(pa));
    assert_eq!(wrong.map(|(row, pa)| (row, pa, found.get(row))), None, "event, recorded, found");
    assert_eq!(found.len(), recorded.len());
}

#[test]
fn a_fully_associative_lru_misses_as_an_independent_program_counted() {
    let expected = expected();
    for entries in ["64", "256", "1024"] {
        let (_, summary) = replay(&["iommu.iotlb.ways=full", &format!("iommu.iotlb.entries={entries}")]);
        assert_eq!(Some(summary.iotlb_misses), expected["lru_misses"][entries].as_u64(), "{entries} entries");
        for (name, found) in [
            ("dma_translated", summary.dma_translated),
            ("dma_blocked", summary.dma_blocked),
            ("iotlb_lookups", summary.iotlb_lookups),
            ("domains", summary.domains),
        ] {
            assert_eq!(Some(found), expected[name].as_u64(), "{name}");
        }
    }
}

#[test]
fn the_trace_holds_the_events_that_were_counted() {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for event in events() {
        *counts.entry(event.name()).or_default() += 1;
    }
    let expected = expected();
    let expected = expected["events"].as_object().expect("counts");
    let expected = expected.iter().map(|(name, count)| (name.as_str(), count.as_u64().expect("a count")));
    assert_eq!(counts, expected.collect());
}

/// Policies and shapes, from one entry to more than the trace has leaves.
const SHAPES: [&[&str]; 12] = [
    &["iommu.iotlb.entries=1", "iommu.iotlb.ways=1"],
    &["iommu.iotlb.entries=7", "iommu.iotlb.ways=7"],
    &["iommu.iotlb.entries=64", "iommu.iotlb.ways=1", "iommu.iotlb.index=iova"],
    &["iommu.iotlb.entries=64", "iommu.iotlb.replacement=random"],
    &["iommu.iotlb.entries=64", "iommu.iotlb.ways=full", "iommu.iotlb.replacement=random", "seed=9"],
    &["iommu.iotlb.entries=96", "iommu.iotlb.ways=3"],
    &["iommu.iotlb.entries=128", "iommu.iotlb.replacement=fifo", "iommu.iotlb.index=iova"],
    &["iommu.iotlb.entries=255", "iommu.iotlb.ways=full", "iommu.iotlb.replacement=fifo"],
    &["iommu.iotlb.entries=256", "iommu.iotlb.replacement=plru"],
    &[
        "iommu.iotlb.entries=512",
        "iommu.iotlb.ways=32",
        "iommu.iotlb.replacement=plru",
        "iommu.iotlb.index=iova",
    ],
    &["iommu.iotlb.entries=1024", "iommu.iotlb.ways=16", "iommu.iotlb.index=iova"],
    &["iommu.iotlb.entries=65536", "iommu.iotlb.ways=full"],
];

#[test]
fn addresses_do_not_depend_on_the_iotlb() {
    let expected = addresses(&replay(&[]).0);
    // With room for everything, only the first touch of a leaf misses.
    let least_misses = replay(SHAPES[SHAPES.len() - 1]).1.iotlb_misses;
    for shape in SHAPES {
        let (requests, summary) = replay(shape);
        assert!(addresses(&requests) == expected, "{shape:?}");
        assert_eq!(summary.iotlb_hits + summary.iotlb_misses, summary.iotlb_lookups, "{shape:?}");
        assert_eq!(summary.walks, summary.iotlb_misses, "{shape:?}");
        assert!(summary.iotlb_misses >= least_misses, "{shape:?}: {} misses", summary.iotlb_misses);
    }
}

/// The trace as a CSV file.
fn csv(events: &[Event]) -> String {
    let mut text = RawEvent::COLUMNS[1..].join(",");
    text.push('\n');
    for event in events {
        let name = event.name();
        let line = match *event {
            Event::Map { domain, iova, pa, size, permissions } => {
                let rights = match permissions {
                    Permissions::None => "none",
                    Permissions::Read => "r",
                    Permissions::Write => "w",
                    Permissions::ReadWrite => "rw",
                };
                format!("{name},,{},{:#x},{:#x},{},{rights},,", domain.0, iova.0, pa.0, size.bytes())
            }
            Event::Unmap { domain, iova, size } => {
                format!("{name},,{},{:#x},,{},,,", domain.0, iova.0, size.bytes())
            }
            Event::Attach { device, domain } => format!("{name},{:#x},{},,,,,,", device.0, domain.0),
            Event::Dma { device, iova, length_bytes, op } => {
                format!("{name},{},,{},,,,{length_bytes},{}", device.0, iova.0, op.letter())
            }
            other => panic!("the trace has no {other:?}"),
        };
        writeln!(text, "{line}").expect("text grows");
    }
    text
}

#[test]
fn the_trace_is_the_same_in_csv() {
    let text = csv(events());
    let mut reader = CsvEvents::new("trace.csv", text.as_bytes()).expect("a header");
    let (mut all, mut batch) = (Vec::new(), Vec::new());
    loop {
        batch.clear();
        reader.next_batch(&mut batch, 4_096).expect("every line has a meaning");
        if batch.is_empty() {
            break;
        }
        all.extend_from_slice(&batch);
    }
    assert_eq!(all.len(), events().len());
    assert!(all == events());
}
