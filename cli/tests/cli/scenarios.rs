//! The built-in scenarios and scenario files.

use crate::support::{SHORT, Workplace, json_without_wall};

const BUILT_IN: [&str; 18] = [
    "default",
    "gpu-copy-2m",
    "nic-rings",
    "noisy-neighbour",
    "iotlb-thrash",
    "rogue-vf",
    "forged-ats",
    "fleet-4096",
    "dense-1024",
    "mixed-fleet",
    "secure-vms",
    "escape-flood",
    "switch-storm",
    "silence-vs-atomic",
    "unsafe-switch",
    "migration",
    "time-slices",
    "window-sweep",
];

#[test]
fn the_list_has_a_line_with_a_question_for_each() {
    let list = Workplace::new().succeed(&["scenarios"]);
    for name in BUILT_IN {
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(name));
        assert!(line.is_some_and(|line| line.contains('?')), "{name}: {list}");
    }
}

#[test]
fn an_unknown_name_is_answered_by_the_nearest() {
    let place = Workplace::new();
    place.refuse(&["scenarios", "noisy"], &["`noisy`", "did you mean `noisy-neighbour`?"]);
    place.refuse(&["run", "fleet"], &["`fleet`", "did you mean `fleet-4096`?"]);
    place.refuse(&["run", "xyz"], &["`xyz`", "`portcullis scenarios`"]);
    place.refuse(&["run", ""], &["``"]);
}

#[test]
fn every_built_in_runs_and_its_print_is_the_same_scenario() {
    let place = Workplace::new();
    for name in BUILT_IN {
        let file = format!("{name}.toml");
        place.file(&file, place.succeed(&["scenarios", name]));
        let summary = |scenario: &str, out: &str| {
            let out = format!("{name}-{out}");
            let cut = ["--set", "requests=20000", "--json", "--out", &out];
            json_without_wall(&place.succeed(&[&["run", scenario], &cut[..]].concat()))
        };
        let built_in = summary(name, "built-in");
        assert_eq!(built_in["scenario"], name);
        assert_eq!(built_in["dma_total"], 20_000);
        assert_eq!(built_in, summary(&format!("./{file}"), "file"));
    }
}

#[test]
fn a_hostile_file_is_refused() {
    let place = Workplace::new();
    let text = place.succeed(&["scenarios", "default"]);
    place.file("empty.toml", "");
    place.refuse(&["run", "empty.toml"], &["empty.toml"]);
    place.file("junk.toml", b"\x7fELF\x02\x01\x00\xff\xfe\x00");
    place.refuse(&["run", "junk.toml"], &["junk.toml", "UTF-8"]);
    place.file("nul.toml", "name = \"a\0b\"");
    place.refuse(&["run", "nul.toml"], &["nul.toml:1"]);
    place.file("syntax.toml", "name = \"a\"\nrequests = = 3\n");
    place.refuse(&["run", "syntax.toml"], &["syntax.toml:2"]);
    place.file("unknown.toml", format!("reqeusts = 3\n{text}"));
    place.refuse(&["run", "unknown.toml"], &["unknown.toml:1", "`reqeusts`", "`requests`"]);
    place.file("long.toml", vec![b'#'; (1 << 20) + 1]);
    place.refuse(&["run", "long.toml"], &["long.toml", "1048576 bytes"]);
    place.file("deep.toml", format!("a = {}", "[".repeat(100_000)));
    place.refuse(&["run", "deep.toml"], &["deep.toml"]);
    place.file("path.toml", text.replacen("name = \"default\"", "name = \"../../escape\"", 1));
    place.refuse(&["run", "path.toml"], &["path.toml", "`name`"]);
    place.refuse(&["run", "missing.toml"], &["missing.toml", "No such file"]);
    place.refuse(&["run", "missing/"], &["missing/", "No such file"]);
    std::fs::create_dir(place.path("folder.toml")).expect("a directory");
    place.refuse(&["run", "folder.toml"], &["folder.toml", "directory"]);
    place.refuse(&["run", "."], &["directory"]);
}

#[test]
fn a_hostile_setting_is_refused() {
    let place = Workplace::new();
    let refuse = |setting: &str, words: &[&str]| {
        place.refuse(&["run", "default", "--set", setting], words);
    };
    refuse("requests", &["requests", "key=value"]);
    refuse("=3", &["=3"]);
    refuse("requests=", &["requests="]);
    refuse("a..b=3", &["a..b"]);
    refuse("reqeusts=3", &["`reqeusts`", "`requests`"]);
    refuse("iommu.iotlb.entires=3", &["entires", "`iommu.iotlb.entries`"]);
    refuse("requests=many", &["`requests`", "\"many\""]);
    refuse("requests=-1", &["`requests`", "-1"]);
    refuse("requests=1.5", &["`requests`", "1.5"]);
    refuse("requests=0", &["`requests`"]);
    refuse("requests=99999999999999999999", &["`requests`"]);
    refuse("duration_us=nan", &["`duration_us`"]);
    refuse("duration_us=1e300", &["`duration_us`"]);
    refuse("topology.hosts=0", &["`topology.hosts`"]);
    refuse("topology.hosts=4000000000", &["`topology.hosts`"]);
    refuse("topology.iommus_per_host=2", &["`topology.iommus_per_host`"]);
    refuse("hosts.old.count=3", &["`hosts`", "list"]);
    place.refuse(&["run", "mixed-fleet", "--set", "hosts.oldre.count=3"], &["`hosts.oldre`", "\"older\""]);
    place.refuse(&["run", "mixed-fleet", "--set", "hosts.older.count=3"], &["`topology.hosts` is 16", "9"]);
    refuse("topology=3", &["`topology`"]);
    refuse("iommu.mode=sideways", &["`iommu.mode`", "sideways"]);
    refuse("iommu.iotlb.entries=0", &["`iommu.iotlb.entries`"]);
    refuse("iommu.iotlb.entries=4294967296", &["`iommu.iotlb.entries`"]);
    refuse("iommu.iotlb.entries=1001", &["`iommu.iotlb.entries`", "8 ways"]);
    refuse("iommu.iotlb.ways=0", &["`iommu.iotlb.ways`"]);
    refuse("iommu.iotlb.ways=half", &["`iommu.iotlb.ways`", "half"]);
    refuse("iommu.iotlb.replacement=lur", &["`iommu.iotlb.replacement`", "lru"]);
    refuse("iommu.walkers.memory_ns=-1", &["`iommu.walkers.memory_ns`"]);
    refuse("tenants.nobody.count=3", &["nobody"]);
    refuse("seed=18446744073709551616", &["`seed`"]);
    let both = ["--set", "iommu.walkers.memory_ns=80", "--set", "iommu.walkers.walk_ns=80"];
    place.refuse(&[&["run"], &both[..]].concat(), &["memory_ns", "walk_ns"]);
}

#[test]
fn flags_are_settings_and_win_over_them() {
    let place = Workplace::new();
    let seed = |more: &[&str]| {
        let out = format!("out-{}", place.listing().len());
        let out = ["--json", "--out", &out];
        json_without_wall(&place.succeed(&[&SHORT[..], more, &out].concat()))
    };
    assert_eq!(seed(&["--seed", "7"]), seed(&["--set", "seed=7"]));
    assert_eq!(seed(&["--set", "seed=3", "--seed", "7"])["seed"], 7);
    assert_eq!(seed(&["--audit", "off"])["audited_total"], 0);
    assert_ne!(seed(&["--audit", "full"])["audited_total"], 0);
}
