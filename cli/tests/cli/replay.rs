//! `replay`: the real trace, and hostile ones.

use std::fs;

use crate::support::{Workplace, file_names, fixture, json_without_wall, tables};

/// A trace of two devices, one of them without a domain.
const TRACE: &str = "\
time_ns,event,device,domain,iova,pa,size,perm,length,op
0,attach,0x100,1,,,,,,
10,map,,1,0x1000,0x200000,4096,rw,,
20,dma,0x100,,0x1010,,,,64,r
30,dma,0x108,,0x1010,,,,64,r
40,map,,1,0x1000,0x300000,4096,rw,,
";

#[test]
fn the_real_trace_misses_as_an_independent_program_counted() {
    let place = Workplace::new();
    let trace = fixture();
    let trace = trace.to_str().expect("a path in UTF-8");
    let expected = fs::read_to_string(fixture().with_file_name("sriov-small.expected.json"));
    let expected: serde_json::Value = serde_json::from_str(&expected.expect("the fixture")).expect("JSON");
    for entries in ["64", "256", "1024"] {
        let setting = format!("iommu.iotlb.entries={entries}");
        let out = format!("lru-{entries}");
        let stdout = place.succeed(&[
            "replay",
            trace,
            "--set",
            &setting,
            "--set",
            "iommu.iotlb.ways=full",
            "--json",
            "--out",
            &out,
        ]);
        let summary = json_without_wall(&stdout);
        assert_eq!(summary["trace"], "sriov-small");
        assert_eq!(summary["iotlb_misses"], expected["lru_misses"][entries], "{entries} entries");
        for name in ["dma_translated", "dma_blocked", "iotlb_lookups", "domains"] {
            assert_eq!(summary[name], expected[name], "{name}");
        }
        for name in ["breach_total", "stale_total", "refused_total"] {
            assert_eq!(summary[name], 0, "{name}");
        }
    }
}

#[test]
fn a_small_trace_says_what_happened() {
    let place = Workplace::new();
    place.file("small.csv", TRACE);
    let summary = place.succeed(&["replay", "small.csv", "--out", "report"]);
    assert!(summary.starts_with("small: 5 events, 2 devices, 1 domain\n"), "{summary}");
    assert!(summary.contains("1 (1 no context)"), "{summary}");
    assert!(summary.contains("refused   1 event\n"), "{summary}");
    let names = ["manifest.json", "refused.parquet", "requests.parquet", "summary.parquet"];
    assert_eq!(file_names(&place.path("report")), names);

    let summary = json_without_wall(&place.succeed(&["replay", "small.csv", "--json"]));
    let counts = ["events_total", "dma_total", "dma_translated", "blocked_no_context", "refused_total"];
    assert_eq!(counts.map(|name| summary[name].as_u64()), [5, 2, 1, 1, 1].map(Some));
    assert!(file_names(&place.path("runs"))[0].starts_with("small-"));
}

#[test]
fn content_decides_the_format_and_a_pipe_will_do() {
    let place = Workplace::new();
    fs::copy(fixture(), place.path("trace.csv")).expect("the fixture");
    let summary = json_without_wall(&place.succeed(&["replay", "trace.csv", "--json"]));
    assert_eq!(summary["dma_total"], 103_414);

    place.file("small.parquet", TRACE);
    let summary = json_without_wall(&place.succeed(&["replay", "small.parquet", "--json"]));
    assert_eq!(summary["dma_total"], 2);

    let file = fs::File::open(place.path("small.parquet")).expect("written above");
    if cfg!(unix) {
        let command = ["replay", "/dev/stdin", "--json"];
        let output = place.portcullis().args(command).stdin(file).output().expect("the binary starts");
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn the_same_trace_gives_the_same_bytes() {
    let place = Workplace::new();
    let trace = fixture();
    let replay = |out: &str, seed: &str| {
        place.succeed(&[
            "replay",
            trace.to_str().expect("UTF-8"),
            "--seed",
            seed,
            "--set",
            "iommu.iotlb.replacement=random",
            "--set",
            "iommu.iotlb.entries=64",
            "--out",
            out,
        ]);
        tables(&place.path(out))
    };
    let first = replay("first", "1");
    assert!(first == replay("again", "1"));
    assert!(first != replay("other", "2"), "random replacement depends on the seed");
}

#[test]
fn a_hostile_file_is_refused() {
    let place = Workplace::new();
    let whole = fs::read(fixture()).expect("the fixture");
    place.refuse(&["replay", "missing.csv"], &["missing.csv", "No such file"]);
    place.refuse(&["replay", "."], &["`.`", "directory"]);
    place.file("empty.csv", "");
    place.refuse(&["replay", "empty.csv"], &["empty.csv", "empty"]);
    place.file("junk.parquet", b"\x7fELF\x02\x01\x00\xff\xfe\x00");
    place.refuse(&["replay", "junk.parquet"], &["junk.parquet", "neither CSV nor Parquet"]);
    place.file("blob.csv", vec![b'a'; 1 << 20]);
    place.refuse(&["replay", "blob.csv"], &["blob.csv", "neither CSV nor Parquet"]);
    place.file("half.parquet", &whole[..whole.len() / 2]);
    place.refuse(&["replay", "half.parquet"], &["half.parquet"]);
    place.file("magic.parquet", b"PAR1");
    place.refuse(&["replay", "magic.parquet"], &["magic.parquet"]);
    place.file("hollow.parquet", b"PAR1PAR1");
    place.refuse(&["replay", "hollow.parquet"], &["hollow.parquet"]);
    place.file("latin.csv", b"event,device\ndma\xe9,1\n");
    place.refuse(&["replay", "latin.csv"], &["latin.csv:2"]);
}

#[test]
fn parquet_with_damaged_pages_is_refused() {
    let place = Workplace::new();
    let mut damaged = fs::read(fixture()).expect("the fixture");
    let pages = 4..damaged.len() / 2;
    damaged[pages].fill(0xff);
    place.file("damaged.parquet", damaged);
    place.refuse(&["replay", "damaged.parquet"], &["damaged.parquet"]);
}

#[test]
fn parquet_with_other_columns_is_refused() {
    let place = Workplace::new();
    place.file("small.csv", TRACE);
    place.succeed(&["replay", "small.csv", "--out", "report"]);
    place.refuse(&["replay", "report/summary.parquet"], &["summary.parquet", "column"]);
}

#[test]
fn a_bad_line_is_named() {
    let place = Workplace::new();
    let refuse = |line: &str, words: &[&str]| {
        place.file("bad.csv", format!("{TRACE}{line}\n"));
        place.refuse(&["replay", "bad.csv"], &[&["bad.csv:7"], words].concat());
    };
    refuse("50,remap,,1,0x1000,0,4096,rw,,", &["remap"]);
    refuse("50,,,1,0x1000,0,4096,rw,,", &["event"]);
    refuse("50,map,,1,0x1000,0,8192,rw,,", &["8192"]);
    refuse("50,map,,1,0x1000,0,4096,rx,,", &["rx"]);
    refuse("50,map,,1,0x1000,,4096,rw,,", &["pa"]);
    refuse("50,map,,4294967296,0x1000,0,4096,rw,,", &["domain"]);
    refuse("50,dma,0x1000000000,,0x1000,,,,64,r", &["device"]);
    refuse("50,dma,0x100,,0x10000000000000000,,,,64,r", &["iova"]);
    refuse("50,dma,0x100,,-1,,,,64,r", &["iova"]);
    refuse("50,dma,0x100,,0x1000,,,,64,x", &["x"]);
    refuse("50,dma,0x100,,0x1000,,,,64", &["9 cells"]);
    refuse("39,dma,0x100,,0x1000,,,,64,r", &["39"]);
    refuse("later,dma,0x100,,0x1000,,,,64,r", &["later"]);
    refuse("50,dma\u{1b}[2J,0x100,,0x1000,,,,64,r", &["dma"]);
}

#[test]
fn a_bad_header_is_named() {
    let place = Workplace::new();
    let refuse = |header: &str, words: &[&str]| {
        place.file("bad.csv", format!("{header}\n"));
        place.refuse(&["replay", "bad.csv"], &[&["bad.csv"], words].concat());
    };
    refuse("event,devcie", &["devcie", "`device`"]);
    refuse("event,event", &["event", "twice"]);
    refuse("device,domain", &["event"]);
}

#[test]
fn a_hostile_setting_is_refused() {
    let place = Workplace::new();
    place.file("small.csv", TRACE);
    let refuse = |setting: &str, words: &[&str]| {
        place.refuse(&["replay", "small.csv", "--set", setting], words);
    };
    refuse("iommu.iotlb.entries=0", &["`iommu.iotlb.entries`"]);
    refuse("iommu.iotlb.entries=12", &["`iommu.iotlb.entries`", "8 ways"]);
    refuse("iommu.iotlb.entries=-8", &["`iommu.iotlb.entries`", "-8"]);
    refuse("iommu.iotlb.entries=4294967296", &["`iommu.iotlb.entries`"]);
    refuse("iommu.iotlb.entires=8", &["`iommu.iotlb.entries`"]);
    refuse("iommu.iotlb.replacement=best", &["best"]);
    refuse("iommu.walkers.count=3", &["iommu.walkers.count"]);
    refuse("entries", &["key=value"]);
}
