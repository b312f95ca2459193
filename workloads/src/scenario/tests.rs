//! Parsing, overrides, errors and printing.

use portcullis_engine::translation::WalkLatency;

use super::*;
use crate::{builtin, builtins};

fn set(changes: &[&str]) -> Vec<Override> {
    changes.iter().map(|change| change.parse().expect("an override")).collect()
}

const SMALL: &str = r#"
name = "small"
requests = 1000

[topology]
vfs_per_adapter = 4

[iommu.walkers]
memory_ns = 50

[[tenants]]
name = "rings"
count = 3
arrivals = { kind = "poisson", mops_per_vf = 1.0 }

[[tenants]]
name = "rest"
sizes = [[64, 3], [1500, 1]]

[tenants.arrivals]
kind = "constant"
link_load = 0.1

[tenants.pattern]
kind = "zipf"
exponent = 1.2
"#;

fn parse(text: &str, changes: &[&str]) -> Result<Scenario, ScenarioError> {
    Scenario::parse("small.toml", text, &set(changes))
}

fn small(changes: &[&str]) -> Result<Scenario, ScenarioError> {
    parse(SMALL, changes)
}

/// The error of `text`, which must begin with `place` and hold every one of `words`.
#[track_caller]
fn assert_error(result: Result<Scenario, ScenarioError>, place: &str, words: &[&str]) {
    let message = result.expect_err("an error").to_string();
    assert!(message.starts_with(&format!("{place}: ")), "at {place}: {message}");
    for word in words {
        assert!(message.contains(word), "{word:?} in: {message}");
    }
    assert!(!message.contains('\n'), "one sentence: {message}");
}

/// `SMALL` with one line replaced, and the number of that line.
fn edited(old: &str, new: &str) -> (String, usize) {
    assert_eq!(SMALL.matches(old).count(), 1, "{old:?} stands once");
    let line = SMALL[..SMALL.find(old).expect("checked")].matches('\n').count() + 1;
    (SMALL.replace(old, new), line)
}

#[track_caller]
fn assert_edit_fails(old: &str, new: &str, words: &[&str]) {
    let (text, line) = edited(old, new);
    assert_error(parse(&text, &[]), &format!("small.toml:{line}"), words);
}

mod builtin_scenarios {
    use super::*;

    #[test]
    fn all_parse_and_say_what_the_list_says() {
        assert_eq!(builtins().len(), 19);
        for listed in builtins() {
            let scenario = Scenario::parse(listed.name, listed.toml, &[]).expect(listed.name);
            assert_eq!(scenario.name, listed.name);
            assert_eq!(scenario.question, listed.question);
            assert_eq!(builtin(listed.name), Some(listed));
        }
        assert_eq!(builtin("no-such"), None);
    }

    #[test]
    fn have_the_sizes_they_promise() {
        let read = |name: &str| Scenario::parse(name, builtin(name).expect(name).toml, &[]).expect(name);
        assert_eq!(read("default").requests, Some(1_000_000));
        assert_eq!(read("default").topology.vfs(), 31);
        let fleet = read("fleet-4096");
        assert_eq!((fleet.topology.vfs(), fleet.requests), (4_096, Some(10_000_000)));
        assert_eq!((fleet.iommu.iotlb.sets(), fleet.iommu.iotlb.ways()), (1_024, 8));
        assert_eq!(fleet.tenants[0].memory.pages, 1_024);
        let dense = read("dense-1024");
        assert_eq!((dense.topology.vfs(), dense.requests), (1_024, Some(10_000_000)));
        assert_eq!((dense.iommu.iotlb.sets(), dense.iommu.iotlb.ways()), (4_096, 8));
        assert_eq!(dense.tenants[0].memory.pages, 4_096);
    }
}

mod machines {
    use super::*;
    use crate::{machine, machines};

    /// `SMALL` without the key that excludes a machine's.
    fn on(machine: &str, changes: &[&str]) -> Result<Scenario, ScenarioError> {
        let (text, _) = edited("memory_ns = 50", "");
        parse(&format!("machine = {machine:?}{text}"), changes)
    }

    #[test]
    fn all_can_be_built_and_say_what_the_list_says() {
        for listed in machines() {
            let scenario = on(listed.name, &[]).expect(listed.name);
            assert!(scenario.memory.read_ns > 0.0, "{}", listed.name);
            let text: toml::Table = listed.toml.parse().expect(listed.name);
            assert_eq!(text["name"].as_str(), Some(listed.name));
            assert_eq!(text["description"].as_str(), Some(listed.description));
            // A figure without a source is an assumption, and says so.
            for line in listed.toml.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')) {
                let generic = listed.toml.contains("All\n# are modelled");
                let told = line.contains('#') || line.starts_with("name") || line.starts_with("description");
                assert!(told || generic, "{}: {line}", listed.name);
            }
        }
        assert_eq!(machine("broadwell").map(|found| found.name), Some("broadwell"));
        assert_eq!(machine("abacus"), None);
    }

    #[test]
    fn its_values_lie_below_those_of_the_scenario() {
        let scenario = on("broadwell", &[]).expect("a machine");
        assert_eq!((scenario.link.generation, scenario.link.lanes), (3, 8));
        assert_eq!((scenario.device.outstanding, scenario.iommu.iotlb.entries), (31, 118));
        assert_eq!((scenario.iommu.walkers.count, scenario.iommu.walkers.walk_ns), (6, Some(290.0)));
        // What every machine has.
        assert_eq!(scenario.iommu.walkers.queue_entries, 1);
        assert_eq!(scenario.iommu.walkers.latency, WalkLatency::Exponential);
        assert_eq!(small(&[]).expect("no machine").iommu.walkers.latency, WalkLatency::Constant);
        let constant = on("broadwell", &["iommu.walkers.latency=constant"]).expect("a machine");
        assert_eq!(constant.iommu.walkers.latency, WalkLatency::Constant);
        // What it does not say is the scenario's, or its default.
        assert_eq!((scenario.topology.vfs_per_adapter, scenario.device.read_tags), (4, 768));
        let changed = on("broadwell", &["iommu.iotlb.entries=64", "link.lanes=16"]).expect("a machine");
        assert_eq!((changed.iommu.iotlb.entries, changed.link.lanes, changed.link.generation), (64, 16, 3));
        let other = on("broadwell", &["machine=haswell"]).expect("another");
        assert_eq!(other.iommu.walkers.walk_ns, Some(228.0));
        assert_eq!(small(&["machine=haswell"]).expect("by --set alone").iommu.walkers.count, 5);
    }

    #[test]
    fn a_key_of_the_scenario_does_away_with_the_one_it_excludes() {
        let accesses =
            small(&["machine=broadwell"]).expect("`memory_ns` stands in the scenario").iommu.walkers;
        assert_eq!((accesses.memory_ns, accesses.walk_ns), (Some(50.0), None));
        let memory = on("broadwell", &["memory.read_ns=10"]).expect("`read_ns` by --set").memory;
        assert_eq!((memory.read_ns, memory.base_read_ns), (10.0, None));
        let (text, line) =
            edited("[iommu.walkers]", "[memory]\nread_ns = 5\nbase_read_ns = 500\n[iommu.walkers]");
        let place = format!("small.toml:{}", line + 2);
        assert_error(parse(&text, &[]), &place, &["`memory.read_ns` and `memory.base_read_ns` exclude"]);
    }

    #[test]
    fn a_lone_read_takes_what_was_measured() {
        let of = |link: &str, base: &str| on("broadwell", &[link, base]);
        let slow = of("link.generation=1", "memory.base_read_ns=432").expect("enough").memory.read_ns;
        let fast = of("link.generation=5", "memory.base_read_ns=432").expect("enough").memory.read_ns;
        // 108 bytes at 2.0 and at 31.5 Gb/s a lane, of which TLPs get 0.9185.
        let wire_ns = |lane: f64| 108.0 * 8.0 / (8.0 * lane * 0.9185);
        assert!((fast - slow - (wire_ns(2.0) - wire_ns(32.0 * 128.0 / 130.0))).abs() < 0.01, "{slow} {fast}");
        let too_short = of("link.lanes=8", "memory.base_read_ns=200");
        let place = "--set memory.base_read_ns=200";
        assert_error(too_short, place, &["`memory.base_read_ns` is 200", "the least", "216.9"]);
    }

    #[test]
    fn one_of_your_own_is_a_file() {
        let directory = std::env::temp_dir().join(format!("portcullis-machines-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let mine = "[link]\ngeneration = 4\nlanes = 16\nmps = 512\nmrrs = 1024\n\
                    [device]\noutstanding = 64\nretire = \"out_of_order\"\nmax_read_mops = 100\nmax_write_mops = 80\n\
                    [iommu.iotlb]\nentries = 96\nways = \"full\"\n\
                    [iommu.walkers]\ncount = 4\nwalk_ns = 350.0\n[memory]\nbase_read_ns = 510.5\n";
        let path = write("mine.toml", mine);
        let scenario = on(&path, &[]).expect("by its path");
        assert_eq!((scenario.link.mps, scenario.device.outstanding), (512, 64));
        // Beside the scenario's file.
        let (text, _) = edited("memory_ns = 50", "");
        let text = format!("machine = \"mine.toml\"{text}");
        let origin = directory.join("scenario.toml").display().to_string();
        assert_eq!(Scenario::parse(&origin, &text, &[]).expect("beside it"), scenario);

        let broken = |name: &str, old: &str, new: &str, line: usize, words: &[&str]| {
            let path = write(name, &mine.replace(old, new));
            assert_error(on(&path, &[]), &format!("{path}:{line}"), words);
        };
        broken("a.toml", "lanes = 16", "lane = 16", 3, &["unknown key `link.lane`", "`link.lanes`"]);
        broken("b.toml", "entries = 96", "entries = \"many\"", 12, &["`iommu.iotlb.entries`"]);
        broken("c.toml", "lanes = 16", "lanes = 3", 3, &["`link.lanes` is 3"]);
        broken("d.toml", "walk_ns = 350.0", "walk_ns = 350.0\nmemory_ns = 3", 17, &["exclude"]);
        broken("e.toml", "base_read_ns = 510.5", "base_read_ns = 3", 18, &["the least"]);
        broken("f.toml", "[link]", "requests = 3\n[link]", 1, &["unknown key `requests`"]);
        std::fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn what_is_no_machine_is_named() {
        assert_error(on("brodwell", &[]), "small.toml:1", &["`machine` is \"brodwell\"", "\"broadwell\""]);
        assert_error(on("abacus", &[]), "small.toml:1", &["there are broadwell, haswell"]);
        assert_error(on("no/such.toml", &[]), "small.toml:1", &["no/such.toml", "No such file"]);
        assert_error(small(&["machine=3"]), "--set machine=3", &["`machine` is 3"]);
    }

    #[test]
    fn a_print_holds_its_values_and_not_its_name() {
        let scenario = on("broadwell", &[]).expect("a machine");
        let printed = scenario.to_toml();
        assert!(!printed.contains("machine") && printed.contains("entries = 118"), "{printed}");
        assert_eq!(Scenario::parse("printed", &printed, &[]), Ok(scenario));
    }
}

mod printing {
    use super::*;

    #[test]
    fn what_is_printed_reads_back_the_same() {
        let mut scenarios: Vec<Scenario> = builtins()
            .iter()
            .map(|listed| Scenario::parse(listed.name, listed.toml, &[]).expect(listed.name))
            .collect();
        scenarios.push(
            small(&["seed=18446744073709551615", "link.tlp_share=0.12345678901234567"]).expect("small"),
        );
        scenarios.push(small(&["duration_us=0.1", "iommu.iotlb.ways=full", "audit=off"]).expect("small"));
        let drawn = ["iommu.walkers.empirical_ns=[[60, 3], [90.5, 1]]", "iommu.walkers.latency=empirical"];
        scenarios.push(small(&drawn).expect("small"));
        scenarios
            .push(small(&["iommu.walk_caches.l3.entries=24", "iommu.walk_caches.l3.ways=8"]).expect("small"));
        for scenario in scenarios {
            let printed = scenario.to_toml();
            let again = Scenario::parse("printed", &printed, &[]).expect(&printed);
            assert_eq!(again, scenario, "{printed}");
            assert_eq!(again.to_toml(), printed);
        }
    }

    #[test]
    fn defaults_that_depend_on_other_keys_are_written_down() {
        let text = "name='a'\nrequests=1\n[topology]\nvfs_per_adapter=1\n[[tenants]]\nname='b'\narrivals.mops_per_vf=1\n";
        let keys = |kind: &str| {
            let scenario = parse(text, &[&format!("tenants.b.pattern.kind={kind}")]).expect(kind);
            document::Document::parse("", &scenario.to_toml()).expect("printed").leaf_keys()
        };
        let has = |keys: &[String], key: &str| keys.iter().any(|known| known == key);
        assert!(has(&keys("zipf"), "tenants.N.pattern.exponent"));
        assert!(has(&keys("strided"), "tenants.N.pattern.stride_pages"));
        assert!(has(&keys("hot_cold"), "tenants.N.pattern.hot_access_share"));
        assert!(has(&keys("stream"), "tenants.N.pattern.copy_pages"));
        assert!(!has(&keys("ring"), "tenants.N.pattern.copy_pages"));
        assert!(has(&keys("ring"), "iommu.walkers.memory_ns"));
        assert!(!has(&keys("ring"), "iommu.walkers.walk_ns"));
    }

    #[test]
    fn every_key_is_documented_and_every_documented_key_exists() {
        let docs = include_str!("../../../docs/scenarios.md");
        let (_, keys) = docs.split_once("\n## Keys\n").expect("the section of keys");
        let documented: std::collections::BTreeSet<String> = keys
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(key, _)| key.to_owned())
            .collect();
        let known: std::collections::BTreeSet<String> = Scenario::known_keys().into_iter().collect();
        let surplus: Vec<_> = documented.difference(&known).collect();
        let missing: Vec<_> = known.difference(&documented).collect();
        assert!(surplus.is_empty(), "documented, but no key: {surplus:?}");
        assert!(missing.is_empty(), "a key, but not documented in docs/scenarios.md: {missing:?}");
        for builtin in builtins() {
            assert!(docs.contains(&format!("`{}`", builtin.name)), "{} is listed", builtin.name);
        }
    }
}

mod overriding {
    use super::*;

    #[test]
    fn values_are_toml_and_bare_words_are_text() {
        let scenario = small(&[
            "topology.hosts=0x10",
            "iommu.iotlb.ways=full",
            "tenants.rest.sizes=64..4096",
            "tenants.0.pattern.kind=ring",
            "tenants.rings.count = 2",
            "question=\"a = b?\"",
            "requests=2_000",
            "tenants.rest.memory={pages=16, page_size='2m'}",
        ])
        .expect("valid");
        assert_eq!(scenario.topology.hosts, 16);
        assert_eq!(scenario.iommu.iotlb.ways(), scenario.iommu.iotlb.entries);
        assert_eq!(scenario.tenants[1].sizes, SizeMix::PowersOfTwo { low: 64, high: 4096 });
        assert_eq!(scenario.tenants[0].pattern.kind, PatternKind::Ring);
        assert_eq!(scenario.class_counts(), Some(vec![2, 2]));
        assert_eq!(scenario.question, "a = b?");
        assert_eq!(scenario.requests, Some(2_000));
        assert_eq!(scenario.tenants[1].memory.pages, 16);
    }

    #[test]
    fn the_last_of_two_wins() {
        assert_eq!(small(&["seed=3", "seed=4"]).expect("valid").seed, 4);
    }

    #[test]
    fn one_of_two_keys_takes_the_place_of_the_other_in_the_file() {
        let timed = small(&["duration_us=5"]).expect("valid");
        assert_eq!((timed.requests, timed.duration_us), (None, Some(5.0)));
        let walked = small(&["iommu.walkers.walk_ns=100"]).expect("valid");
        assert_eq!((walked.iommu.walkers.memory_ns, walked.iommu.walkers.walk_ns), (None, Some(100.0)));
        let drawn = ["iommu.walkers.empirical_ns=[[60, 3], [90.5, 1]]", "iommu.walkers.latency=empirical"];
        let walkers = small(&drawn).expect("valid").iommu.walkers;
        assert_eq!((walkers.memory_ns, walkers.empirical_ns), (None, Some(vec![(60.0, 3.0), (90.5, 1.0)])));
        let rated = small(&["tenants.rest.arrivals.mops_per_vf=2"]).expect("valid");
        assert_eq!(rated.tenants[1].arrivals.link_load, None);
        let both = small(&["duration_us=5", "requests=7"]);
        assert_error(both, "--set requests=7", &["`requests`", "`duration_us`", "exclude"]);
        let both = small(&["iommu.walkers.memory_ns=5", "iommu.walkers.walk_ns=7"]);
        assert_error(both, "--set iommu.walkers.walk_ns=7", &["`iommu.walkers.memory_ns`", "exclude"]);
        let both = small(&["tenants.rest.arrivals.mops_per_vf=2", "tenants.1.arrivals.link_load=2"]);
        assert_error(
            both,
            "--set tenants.1.arrivals.link_load=2",
            &["`tenants.rest.arrivals.mops_per_vf`", "exclude"],
        );
    }

    #[test]
    fn a_new_kind_drops_what_it_does_not_use() {
        let scenario = small(&["tenants.rest.pattern.kind=ring"]).expect("valid");
        assert_eq!(scenario.tenants[1].pattern.exponent, None);
        let given = small(&["tenants.rest.pattern.kind=ring", "tenants.rest.pattern.exponent=1"]);
        assert_error(given, "--set tenants.rest.pattern.exponent=1", &["`tenants.rest.pattern.exponent`"]);
    }

    #[test]
    fn mistakes_name_the_override() {
        for (text, word) in [("requests", "key=value"), ("=1", "key"), ("a..b=1", "key"), ("a=", "value")] {
            let error = text.parse::<Override>().expect_err(text).to_string();
            assert!(error.starts_with(&format!("--set {text}: ")) && error.contains(word), "{error}");
        }
        assert_error(
            small(&["topology.host=2"]),
            "--set topology.host=2",
            &["unknown key `topology.host`", "`topology.hosts`"],
        );
        assert_error(small(&["iotlb.entries=2"]), "--set iotlb.entries=2", &["unknown key `iotlb`"]);
        assert_error(
            small(&["tenants.ring.count=2"]),
            "--set tenants.ring.count=2",
            &["`tenants.ring`", "\"rings\""],
        );
        assert_error(small(&["tenants.2.count=2"]), "--set tenants.2.count=2", &["`tenants.2`"]);
        assert_error(
            small(&["tenants.rest.kount=2"]),
            "--set tenants.rest.kount=2",
            &["unknown key `tenants.rest.kount`", "`tenants.rest.count`"],
        );
        assert_error(small(&["requests.x=2"]), "--set requests.x=2", &["`requests.x`", "no keys"]);
        assert_error(
            small(&["topology.hosts=-1"]),
            "--set topology.hosts=-1",
            &["`topology.hosts` is -1", "whole number"],
        );
        assert_error(small(&["topology.hosts=0"]), "--set topology.hosts=0", &["`topology.hosts` is 0"]);
    }
}

mod classes_of_hosts {
    use super::*;

    const MIXED: &str = r#"
name = "mixed"
requests = 1000
[topology]
hosts = 10
adapters_per_host = 2
vfs_per_adapter = 4
[iommu.walkers]
count = 3
memory_ns = 50
[iommu.iotlb]
entries = 64
ways = 4
[[hosts]]
name = "big"
count = 3
tenants = { rings = 5, rest = "rest" }
topology = { vfs_per_adapter = 16, iommus_per_host = 2 }
[hosts.iommu]
walkers.walk_ns = 100
iotlb.entries = 512
[[hosts]]
name = "small"
link.generation = 3
[[tenants]]
name = "rings"
count = 3
arrivals = { mops_per_vf = 1.0 }
[[tenants]]
name = "rest"
arrivals = { mops_per_vf = 1.0 }
"#;

    fn mixed(changes: &[&str]) -> Result<Scenario, ScenarioError> {
        parse(MIXED, changes)
    }

    #[test]
    fn take_over_what_they_do_not_set() {
        let scenario = mixed(&[]).expect("valid");
        assert_eq!(scenario.host_counts(), Some(vec![3, 7]));
        let [big, small] = &scenario.hosts[..] else { panic!("two classes") };
        let topology = &big.machine(3).topology;
        assert_eq!((topology.hosts, topology.adapters_per_host, topology.iommus_per_host), (3, 2, 2));
        assert_eq!((big.iommu.iotlb.entries, big.iommu.iotlb.ways()), (512, 4));
        // Of two keys that exclude each other, the class's own stands.
        let walkers = &big.iommu.walkers;
        assert_eq!((walkers.count, walkers.memory_ns, walkers.walk_ns), (3, None, Some(100.0)));
        assert_eq!(scenario.class_counts_on(big), Some(vec![5, 11]));
        assert_eq!(scenario.class_counts_on(small), Some(vec![3, 1]));
        assert_eq!(small.iommu, scenario.iommu);
        assert_eq!((small.link.generation, small.link.lanes), (3, scenario.link.lanes));
        // Where the section stands in the file does not matter.
        let (machine, classes) = MIXED.split_once("[[hosts]]").expect("classes");
        let (_, topology) = machine.split_once("[topology]").expect("a machine");
        let turned = format!("name = 'mixed'\nrequests = 1000\n[[hosts]]{classes}[topology]{topology}");
        assert_eq!(parse(&turned, &[]).expect("valid"), scenario);
        let printed = scenario.to_toml();
        assert_eq!(Scenario::parse("printed", &printed, &[]).expect(&printed), scenario);
    }

    #[test]
    fn are_set_from_the_command_line() {
        let scenario = mixed(&[
            "hosts.small.iommu.iotlb.entries=256",
            "hosts.0.count=4",
            "iommu.walkers.count=9",
            "hosts.small.tenants.rings=4",
            "hosts.big.iommu.walkers.memory_ns=70",
        ])
        .expect("valid");
        assert_eq!([0, 1].map(|at: usize| scenario.hosts[at].iommu.iotlb.entries), [512, 256]);
        assert_eq!([0, 1].map(|at: usize| scenario.hosts[at].iommu.walkers.count), [9, 9]);
        assert_eq!(scenario.host_counts(), Some(vec![4, 6]));
        assert_eq!(scenario.class_counts_on(&scenario.hosts[1]), Some(vec![4, 0]));
        assert_eq!(scenario.hosts[0].iommu.walkers.walk_ns, None);
    }

    #[test]
    fn mistakes_name_key_and_place() {
        let line = |text: &str| MIXED[..MIXED.find(text).expect(text)].matches('\n').count() + 1;
        let at = |text: &str| format!("small.toml:{}", line(text));
        let edit = |old: &str, new: &str| parse(&MIXED.replacen(old, new, 1), &[]);
        let words = &["unknown key `hosts.big.iommu.iotlb.entires`", "mean `hosts.big.iommu.iotlb.entries`?"];
        assert_error(edit("iotlb.entries = 512", "iotlb.entires = 512"), &at("iotlb.entries = 512"), words);
        let words = &["unknown key `hosts.small.links`", "mean `hosts.small.link`?"];
        assert_error(edit("link.generation = 3", "links.generation = 3"), &at("link.generation"), words);
        let words = &["unknown key `hosts.big.topology.hosts`", "mean `topology.hosts`?"];
        assert_error(mixed(&["hosts.big.topology.hosts=2"]), "--set hosts.big.topology.hosts=2", words);
        assert_error(mixed(&["hosts.bgi.count=2"]), "--set hosts.bgi.count=2", &["`hosts.bgi`", "\"big\""]);
        // A mistake in what is taken over stands where it was made, once.
        let words = &["unknown key `iommu.iotlb.weighs`", "`iommu.iotlb.ways`"];
        assert_error(edit("ways = 4", "weighs = 4"), &at("ways = 4"), words);
        assert_error(
            edit("entries = 512", "entries = 510"),
            &at("iotlb.entries = 512"),
            &["`hosts.big.iommu.iotlb"],
        );
        let words = &["`hosts.big.topology.iommus_per_host` is 3", "2 adapters"];
        let three = "--set hosts.big.topology.iommus_per_host=3";
        assert_error(mixed(&["hosts.big.topology.iommus_per_host=3"]), three, words);
        let both = mixed(&["hosts.big.iommu.walkers.walk_ns=1", "hosts.big.iommu.walkers.memory_ns=2"]);
        assert_error(
            both,
            "--set hosts.big.iommu.walkers.memory_ns=2",
            &["`hosts.big.iommu.walkers", "exclude"],
        );
        assert_error(
            edit("name = \"small\"", "name = \"big\""),
            &at("name = \"small\""),
            &["`hosts.1.name`"],
        );
    }

    #[test]
    fn counts_come_out() {
        let refuse = |changes: &[&str], words: &[&str]| {
            // A sum that does not come out stands where the total does, a wrong count where it is given.
            let place =
                if words[0].contains("topology.") { "small.toml:" } else { "--set hosts.big.tenants." };
            let message = mixed(changes).expect_err("an error").to_string();
            assert!(
                message.starts_with(place) && words.iter().all(|word| message.contains(word)),
                "{message}"
            );
        };
        refuse(&["hosts.small.count=6"], &["`topology.hosts` is 10", "add up to 9"]);
        refuse(&["hosts.big.count=11"], &["`topology.hosts` is 10", "add up to 11"]);
        let rest = mixed(&["hosts.big.tenants.rings=rest"]);
        let line = MIXED[..MIXED.find("tenants = {").expect("there")].matches('\n').count() + 1;
        assert_error(
            rest,
            &format!("small.toml:{line}"),
            &["`hosts.big.tenants.rest` is \"rest\"", "only one"],
        );
        refuse(&["hosts.big.tenants.rings=17"], &["`hosts.big.topology.vfs_per_adapter` is 16", "17"]);
        refuse(&["hosts.big.tenants.rest=3"], &["`hosts.big.topology.vfs_per_adapter` is 16", "8"]);
        refuse(
            &["hosts.big.tenants.ring=1"],
            &["`hosts.big.tenants.ring`", "mean `hosts.big.tenants.rings`?"],
        );
        refuse(&["hosts.big.tenants.rings=all"], &["`hosts.big.tenants.rings` is \"all\"", "\"rest\""]);
        refuse(&["hosts.big.tenants.rings=4294967296"], &["`hosts.big.tenants.rings`", "32 bits"]);
        refuse(&["tenants.rings.count=5"], &["`hosts.small.topology.vfs_per_adapter` is 4", "5"]);
        let open = MIXED.replacen("name = \"big\"\ncount = 3\n", "name = \"big\"\n", 1);
        let line = open[..open.find("[[hosts]]\nname = \"small\"").expect("there")].matches('\n').count() + 1;
        assert_error(
            parse(&open, &[]),
            &format!("small.toml:{line}"),
            &["`hosts.small.count` is missing", "only one"],
        );
        // The counts of the tenant classes need not fit where no host asks for them.
        let own = ["hosts.small.tenants.rest=rest", "tenants.rings.count=5"];
        assert!(mixed(&own).is_ok());
        let many =
            ["hosts.big.topology.vfs_per_adapter=2048", "topology.hosts=60000", "hosts.big.count=59000"];
        // A fleet is as large as its classes make it.
        let few = ["topology.vfs_per_adapter=2048", "topology.hosts=600", "hosts.big.count=599"];
        let small = ["hosts.small.topology.vfs_per_adapter=4", "hosts.big.topology.vfs_per_adapter=16"];
        assert!(mixed(&[&few[..], &small].concat()).is_ok());
        let message = mixed(&many).expect_err("too many").to_string();
        assert!(message.contains("`hosts` ask for ") && message.contains("1048576"), "{message}");
    }
}

mod mistakes_in_files {
    use super::*;

    #[test]
    fn unknown_keys_get_the_nearest_name() {
        assert_edit_fails("requests = 1000", "request = 1000", &["unknown key `request`", "`requests`"]);
        assert_edit_fails(
            "vfs_per_adapter = 4",
            "vfs_per_adaptor = 4",
            &["`topology.vfs_per_adaptor`", "mean `topology.vfs_per_adapter`?"],
        );
        assert_edit_fails("memory_ns = 50", "memory_nss = 50", &["mean `iommu.walkers.memory_ns`?"]);
        assert_edit_fails(
            "exponent = 1.2",
            "exponant = 1.2",
            &["`tenants.rest.pattern.exponant`", "mean `tenants.rest.pattern.exponent`?"],
        );
        // A key that lost its section, or stands in a wrong one.
        assert_edit_fails("requests = 1000", "walk_ns = 4", &["`walk_ns`", "mean `iommu.walkers.walk_ns`?"]);
        assert_edit_fails("vfs_per_adapter = 4", "memory_ns = 4", &["mean `iommu.walkers.memory_ns`?"]);
        assert_edit_fails(
            "[iommu.walkers]",
            "[iommu.wakers]",
            &["unknown key `iommu.wakers`", "`iommu.walkers`"],
        );
    }

    #[test]
    fn wrong_types_negative_and_huge_numbers_name_key_and_line() {
        for value in [
            "\"many\"",
            "true",
            "1.5",
            "-1",
            "4294967296",
            "1e400",
            "99999999999999999999999",
            "[1]",
            "{}",
            "1979-05-27",
        ] {
            assert_edit_fails(
                "vfs_per_adapter = 4",
                &format!("vfs_per_adapter = {value}"),
                &["`topology.vfs_per_adapter` is ", "whole number"],
            );
        }
        for value in ["0", "4294967295"] {
            assert_edit_fails(
                "vfs_per_adapter = 4",
                &format!("vfs_per_adapter = {value}"),
                &["`topology.vfs_per_adapter` is ", "between"],
            );
        }
        for value in ["0", "1_000_000_000_000_001"] {
            assert_edit_fails(
                "requests = 1000",
                &format!("requests = {value}"),
                &["`requests` is ", "between"],
            );
        }
        for value in ["\"50\"", "false", "[50]"] {
            assert_edit_fails(
                "memory_ns = 50",
                &format!("memory_ns = {value}"),
                &["memory_ns` is ", "a number"],
            );
        }
        for value in ["-50", "nan", "inf", "0", "1e9", "1e400"] {
            assert_edit_fails(
                "memory_ns = 50",
                &format!("memory_ns = {value}"),
                &["memory_ns` is ", "between"],
            );
        }
        assert_edit_fails("name = \"small\"", "name = 3", &["`name` is 3", "text"]);
        assert_edit_fails("[topology]", "[[topology]]", &["`topology` is a list", "section"]);
        assert_edit_fails("exponent = 1.2", "exponent = -0.1", &["`tenants.rest.pattern.exponent`"]);
    }

    #[test]
    fn names_out_of_a_set_get_the_nearest() {
        assert_edit_fails(
            "kind = \"zipf\"",
            "kind = \"zip\"",
            &["`tenants.rest.pattern.kind` is \"zip\"", "ring, uniform", "mean \"zipf\"?"],
        );
        assert_error(
            small(&["iommu.iotlb.replacement=lruu"]),
            "--set iommu.iotlb.replacement=lruu",
            &["`iommu.iotlb.replacement` is \"lruu\"", "mean \"lru\"?"],
        );
        assert_error(
            small(&["iommu.iotlb.ways=half"]),
            "--set iommu.iotlb.ways=half",
            &["`iommu.iotlb.ways` is \"half\"", "\"full\""],
        );
        assert_error(small(&["audit=3"]), "--set audit=3", &["`audit` is 3", "name"]);
    }

    #[test]
    fn two_keys_that_exclude_each_other() {
        let (text, line) = edited("requests = 1000", "requests = 1000\nduration_us = 3");
        let place = format!("small.toml:{}", line + 1);
        assert_error(parse(&text, &[]), &place, &["`requests` and `duration_us` exclude"]);
        assert_error(parse(&text, &["requests=3"]), &place, &["exclude"]);
        let (text, line) = edited("memory_ns = 50", "memory_ns = 50\nwalk_ns = 3");
        let place = format!("small.toml:{}", line + 1);
        assert_error(parse(&text, &[]), &place, &["`iommu.walkers.memory_ns`", "exclude"]);
        let (text, line) = edited("link_load = 0.1", "link_load = 0.1\nmops_per_vf = 1");
        let place = format!("small.toml:{}", line + 1);
        assert_error(parse(&text, &[]), &place, &["`tenants.rest.arrivals.link_load`", "exclude"]);
    }

    #[test]
    fn what_is_missing() {
        let (text, _) = edited("requests = 1000", "");
        assert_error(parse(&text, &[]), "small.toml", &["`requests` is missing"]);
        let (text, _) = edited("name = \"small\"", "");
        assert_error(parse(&text, &[]), "small.toml", &["`name` is missing"]);
        assert_error(parse("", &[]), "small.toml", &["`name` is missing"]);
        assert_error(parse("name = 'a'\nrequests = 1", &[]), "small.toml", &["`tenants`", "at least one"]);
        // What is missing in a section is reported at the section.
        let (text, line) = edited("link_load = 0.1", "");
        let place = format!("small.toml:{}", line - 2);
        assert_error(parse(&text, &[]), &place, &["`tenants.rest.arrivals.mops_per_vf` is missing"]);
        let (text, line) = edited("name = \"rest\"", "");
        assert_error(
            parse(&text, &[]),
            &format!("small.toml:{}", line - 1),
            &["`tenants.1.name` is missing"],
        );
    }

    #[test]
    fn what_is_no_toml() {
        assert_edit_fails("requests = 1000", "requests = = 1", &["no TOML"]);
        let (text, line) = edited("requests = 1000", "requests = 1\nname = 3");
        assert_error(parse(&text, &[]), &format!("small.toml:{}", line + 1), &["duplicate key"]);
        let error = parse("\u{0}\u{1}\u{2}", &[]).expect_err("junk").to_string();
        assert!(error.starts_with("small.toml:1: ") && !error.contains('\n'), "{error}");
    }
}

mod validation {
    use super::*;

    /// Each change breaks one rule; the error names the key, and a neighbour of the value passes.
    #[test]
    fn bounds_at_t_and_t_minus_1() {
        for (good, bad, key) in [
            ("tenants.rest.read_share=1.0", "tenants.rest.read_share=1.0000001", "tenants.rest.read_share"),
            ("tenants.rest.read_share=0", "tenants.rest.read_share=-0.0000001", "tenants.rest.read_share"),
            ("tenants.rest.memory.pages=1", "tenants.rest.memory.pages=0", "tenants.rest.memory.pages"),
            (
                "tenants.rest.memory.hole_share=1",
                "tenants.rest.memory.hole_share=1.1",
                "tenants.rest.memory.hole_share",
            ),
            ("tenants.rest.memory.iova=4096", "tenants.rest.memory.iova=4097", "tenants.rest.memory.iova"),
            ("tenants.rest.sizes=1", "tenants.rest.sizes=0", "tenants.rest.sizes"),
            ("tenants.rest.sizes=4096", "tenants.rest.sizes=4097", "tenants.rest.sizes"),
            ("tenants.rest.sizes=[1, 64]", "tenants.rest.sizes=[]", "tenants.rest.sizes"),
            ("tenants.rest.sizes=[[64, 0.1]]", "tenants.rest.sizes=[[64, 0]]", "tenants.rest.sizes"),
            ("tenants.rest.sizes=[[64, 1]]", "tenants.rest.sizes=[[64, -1], [32, 2]]", "tenants.rest.sizes"),
            ("tenants.rest.alignment=4096", "tenants.rest.alignment=8192", "tenants.rest.alignment"),
            ("tenants.rest.alignment=1", "tenants.rest.alignment=3", "tenants.rest.alignment"),
            (
                "tenants.rest.pattern.exponent=10",
                "tenants.rest.pattern.exponent=10.1",
                "tenants.rest.pattern.exponent",
            ),
            (
                "tenants.rest.arrivals.mops_per_vf=1e4",
                "tenants.rest.arrivals.mops_per_vf=10001",
                "tenants.rest.arrivals.mops_per_vf",
            ),
            (
                "tenants.rest.arrivals.link_load=0.1",
                "tenants.rest.arrivals.link_load=0",
                "tenants.rest.arrivals.link_load",
            ),
            ("tenants.rest.count=1", "tenants.rest.count=2", "topology.vfs_per_adapter"),
            ("tenants.rings.count=4", "tenants.rings.count=5", "topology.vfs_per_adapter"),
            ("tenants.rest.name=other", "tenants.rest.name=rings", "tenants.1.name"),
            ("tenants.rest.name=o1", "tenants.rest.name='11'", "tenants.1.name"),
            ("name=a-B_1", "name=a/b", "name"),
            ("question=one", "question=\"one\\ntwo\"", "question"),
            ("engine.batch_requests=1", "engine.batch_requests=0", "engine.batch_requests"),
            ("report.windows=1", "report.windows=0", "report.windows"),
            ("duration_us=8.64e12", "duration_us=8.65e12", "duration_us"),
        ] {
            small(&[good]).unwrap_or_else(|error| panic!("{good}: {error}"));
            let error = small(&[bad]).expect_err(bad);
            assert_eq!(error.key, key, "{bad}: {error}");
            assert!(error.to_string().contains(&format!("`{key}`")), "{error}");
        }
    }

    #[test]
    fn the_warm_up_ends_before_the_run() {
        for good in ["warmup_us=0", "warmup_us=4.999"] {
            small(&["duration_us=5", good]).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for (bad, says) in [
            ("warmup_us=5", "expected to intend DMAs for 5 us: nothing would be counted"),
            ("warmup_us=1e9", "nothing would be counted"),
            ("warmup_us=-1", "must lie between 0 and"),
            ("warmup_us=nan", "must lie between 0 and"),
        ] {
            let error = small(&["duration_us=5", bad]).expect_err(bad);
            assert_eq!(error.key, "warmup_us", "{error}");
            assert!(error.to_string().contains(says), "{bad}: {error}");
        }
        let expected_us = small(&[]).expect("small").plan().expected_duration.0 as f64 / 1e6;
        small(&[&format!("warmup_us={}", expected_us * 0.999)]).expect("just before its end");
        small(&[&format!("warmup_us={}", expected_us * 1.001)]).expect_err("beyond its end");
    }

    #[test]
    fn kinds_and_their_keys() {
        for (good, bad, key) in [
            (
                ["tenants.rest.pattern.kind=strided", "tenants.rest.pattern.stride_pages=1"],
                ["tenants.rest.pattern.kind=strided", "tenants.rest.pattern.stride_pages=0"],
                "tenants.rest.pattern.stride_pages",
            ),
            (
                ["tenants.rest.pattern.kind=stream", "tenants.rest.pattern.copy_pages=1024"],
                ["tenants.rest.pattern.kind=stream", "tenants.rest.pattern.copy_pages=1025"],
                "tenants.rest.pattern.copy_pages",
            ),
            (
                ["tenants.rest.pattern.kind=hot_cold", "tenants.rest.memory.pages=2"],
                ["tenants.rest.pattern.kind=hot_cold", "tenants.rest.memory.pages=1"],
                "tenants.rest.pattern.kind",
            ),
            (
                ["tenants.rest.pattern.kind=zipf", "tenants.rest.memory.pages=16777216"],
                ["tenants.rest.pattern.kind=zipf", "tenants.rest.memory.pages=16777217"],
                "tenants.rest.pattern.kind",
            ),
            (
                ["tenants.rest.arrivals.kind=onoff", "tenants.rest.arrivals.on_us=0.001"],
                ["tenants.rest.arrivals.kind=onoff", "tenants.rest.arrivals.on_us=0"],
                "tenants.rest.arrivals.on_us",
            ),
            (
                ["tenants.rest.arrivals.kind=onoff", "tenants.rest.arrivals.off_us=0"],
                ["tenants.rest.arrivals.kind=poisson", "tenants.rest.arrivals.off_us=0"],
                "tenants.rest.arrivals.off_us",
            ),
            (
                ["tenants.rest.arrivals.kind=closed", "tenants.rest.arrivals.outstanding=1"],
                ["tenants.rest.arrivals.kind=closed", "tenants.rest.arrivals.outstanding=0"],
                "tenants.rest.arrivals.outstanding",
            ),
            (
                ["tenants.rest.arrivals.kind=closed", "tenants.rest.arrivals.think_ns=0"],
                ["tenants.rest.arrivals.kind=onoff", "tenants.rest.arrivals.think_ns=0"],
                "tenants.rest.arrivals.think_ns",
            ),
            (
                ["tenants.rest.arrivals.kind=closed", "tenants.rest.arrivals.durations=fixed"],
                ["tenants.rest.arrivals.kind=closed", "tenants.rest.arrivals.mops_per_vf=1"],
                "tenants.rest.arrivals.mops_per_vf",
            ),
            (
                ["tenants.rest.cross_pages=true", "tenants.rest.sizes=4194304"],
                ["tenants.rest.cross_pages=true", "tenants.rest.sizes=4194305"],
                "tenants.rest.sizes",
            ),
        ] {
            small(&good).unwrap_or_else(|error| panic!("{good:?}: {error}"));
            let error = small(&bad).expect_err(bad[1]);
            assert_eq!(error.key, key, "{bad:?}: {error}");
        }
    }

    #[test]
    fn only_one_class_leaves_its_count_out() {
        let (text, _) = edited("count = 3\n", "");
        let error = parse(&text, &[]).expect_err("two counts are open");
        assert_eq!(error.key, "tenants.rest.count");
        assert_eq!(parse(&text, &["tenants.rest.count=0"]).expect("valid").class_counts(), Some(vec![4, 0]));
    }

    #[test]
    fn buffers_stay_in_their_address_space() {
        // 3 levels address 2^39 bytes, a shared domain gives each VF 2^40 of 2^48.
        let end = |bits: u32| format!("tenants.rest.memory.iova={}", (1_u64 << bits) - 1024 * 4096);
        let after = |bits: u32| format!("tenants.rest.memory.iova={}", (1_u64 << bits) - 1023 * 4096);
        for (setting, bits) in [
            ("iommu.page_table_levels=3", 39),
            ("iommu.page_table_levels=4", 48),
            ("topology.domain_scope=adapter", 40),
        ] {
            small(&[setting, &end(bits)]).unwrap_or_else(|error| panic!("{setting}: {error}"));
            let error = small(&[setting, &after(bits)]).expect_err(setting);
            assert_eq!(error.key, "tenants.rest.memory.pages", "{error}");
        }
        let shared = |vfs: u32| {
            let vfs =
                [String::from("topology.domain_scope=adapter"), format!("topology.vfs_per_adapter={vfs}")];
            small(&[&vfs[0], &vfs[1]])
        };
        shared(256).expect("256 x 2^40 = 2^48");
        assert_eq!(shared(257).expect_err("too many").key, "topology.domain_scope");
    }

    #[test]
    fn rates_and_lengths_stay_buildable() {
        let fast = [
            "link.generation=5",
            "tenants.rest.sizes=1",
            "tenants.rest.alignment=1",
            "tenants.rest.arrivals.link_load=1000",
        ];
        assert_eq!(small(&fast).expect_err("too fast").key, "tenants.rest.arrivals.link_load");
        let slow = ["tenants.rings.arrivals.mops_per_vf=1e-6", "tenants.rest.arrivals.mops_per_vf=1e-6"];
        small(&[&slow[..], &["requests=34_560_000"]].concat()).expect("4 VFs at 1 Hz take 100 days");
        let error = small(&[&slow[..], &["requests=34_560_001"]].concat()).expect_err("more than 100 days");
        assert_eq!(error.key, "requests");
        let specks = [
            "tenants.rest.arrivals.kind=onoff",
            "tenants.rest.arrivals.mops_per_vf=0.001",
            "tenants.rest.arrivals.on_us=0.001",
            "tenants.rest.arrivals.off_us=1",
        ];
        assert_eq!(small(&specks).expect_err("bursts of nothing").key, "tenants.rest.arrivals.on_us");
    }
}

mod replay_settings {
    use super::*;

    #[test]
    fn what_a_replay_takes() {
        assert_eq!(ReplaySettings::parse(&[]), Ok(ReplaySettings::default()));
        let settings = ReplaySettings::parse(&set(&[
            "seed=7",
            "audit=sample",
            "iommu.iotlb.entries=64",
            "iommu.iotlb.ways=full",
            "iommu.iotlb.replacement=fifo",
            "iommu.iotlb.index=iova",
        ]))
        .expect("valid");
        assert_eq!((settings.seed, settings.iotlb.entries, settings.iotlb.ways()), (7, 64, 64));
        assert_eq!(settings.audit, portcullis_engine::plan::Audit::Sample);
        assert_eq!(
            settings.iotlb.replacement,
            portcullis_engine::translation::replacement::ReplacementPolicy::Fifo
        );
        assert_eq!(settings.iotlb.index, portcullis_engine::translation::IotlbIndex::Iova);
    }

    #[test]
    fn what_it_refuses() {
        for (change, words) in [
            ("iommu.walkers.count=4", ["functional", "iommu.iotlb.entries", "--set iommu.walkers.count=4: "]),
            ("iommu.iotlb.hit_ns=4", ["functional", "iommu.iotlb.ways", "`iommu.iotlb.hit_ns`"]),
            ("iommu.iotlb.entry=4", ["mean `iommu.iotlb.entries`", "audit", "seed"]),
            (
                "iommu.iotlb.entries=0",
                ["`iommu.iotlb.entries` is 0", "between", "--set iommu.iotlb.entries=0: "],
            ),
            ("iommu.iotlb.entries=-1", ["`iommu.iotlb.entries` is -1", "whole number", "--set"]),
            ("iommu.iotlb.entries=12", ["`iommu.iotlb.entries` is 12", "multiple", "--set"]),
            ("iommu.iotlb.replacement=mru", ["`iommu.iotlb.replacement` is \"mru\"", "lru", "--set"]),
            ("seed=-1", ["`seed` is -1", "64 bits", "--set seed=-1: "]),
        ] {
            let error = ReplaySettings::parse(&set(&[change])).expect_err(change).to_string();
            for word in words {
                assert!(error.contains(word), "{word:?} in: {error}");
            }
        }
    }
}

mod device_tlbs_and_packets {
    use portcullis_engine::ids::{HostIndex, Iova, VfIndex};
    use portcullis_engine::request::{Address, Intended, Transfer};
    use portcullis_engine::traffic::SourceRows;
    use portcullis_engine::units::Picoseconds;

    use super::*;

    const NIC: &str = r#"
name = "nic"
requests = 900
scheduler.vf_queue_entries = 6
device.tlb.entries = 8

[[tenants]]
name = "guests"
arrivals = { kind = "round_robin", mops_per_vf = 3.0 }
packet = [
    { bytes = 16, op = "r", iova = 0x10000 },
    { bytes = 1_500, op = "w", iova = 0x4000_0000, page_size = "2m", pages = 2, packets_per_page = 5 },
    { bytes = 16, op = "w", iova = 0x20000 },
]
"#;

    #[test]
    fn what_does_not_go_together_is_refused_by_its_key() {
        assert!(parse(NIC, &[]).is_ok());
        for (change, key, word) in [
            ("scheduler.vf_queue_entries=7", "scheduler.vf_queue_entries", "multiple of the 3 DMAs"),
            ("scheduler.vf_outstanding=4", "scheduler.vf_outstanding", "device TLB"),
            ("iommu.stages=2", "iommu.stages", "device TLB"),
            ("iommu.mode=passthrough", "iommu.mode", "device TLB"),
            ("tenants.guests.cross_pages=true", "tenants.guests.cross_pages", "packet"),
            ("tenants.guests.sizes=64", "tenants.guests.sizes", "packet"),
            ("tenants.guests.packet.0.bytes=5000", "tenants.guests.packet.0.bytes", "between 1 and 4096"),
            ("tenants.guests.packet.0.iova=5", "tenants.guests.packet.0.iova", "no multiple"),
            ("tenants.guests.packet.2.iova=0x10000", "tenants.guests.packet.2.iova", "overlaps"),
            ("tenants.guests.packet.1.pages=0", "tenants.guests.packet.1.pages", "between 1"),
            ("tenants.guests.packet.0.op=x", "tenants.guests.packet.0.op", "r, w"),
            ("tenants.guests.forged_share=1.5", "tenants.guests.forged_share", "between 0 and 1"),
            ("memory.llc={bytes=65536}", "tenants.guests.forged_share", "last-level cache"),
            ("device.tlb.entries=0", "device.slot_ns", "device TLB"),
            ("device.tlb.ways=3", "device.tlb.entries", "no multiple"),
            ("device.tlb.pending=0", "device.tlb.pending", "between 1"),
            ("iommu.walkers.walk_2m_ns=90", "iommu.walkers.walk_2m_ns", "walk_ns"),
        ] {
            let beside = match key {
                "device.slot_ns" => "device.slot_ns=61",
                "tenants.guests.forged_share" => "tenants.guests.forged_share=0.5",
                _ => "seed=1",
            };
            let error = parse(NIC, &[beside, change]).expect_err(change).to_string();
            assert!(error.contains(&format!("`{key}`")) && error.contains(word), "{change}: {error}");
        }
    }

    #[test]
    fn only_devices_with_tlbs_use_ats() {
        let (honest, hostile) = ("tenants.all.ats=true", "tenants.all.forged_share=0.5");
        let plain =
            "name = \"x\"\nrequests = 9\n[[tenants]]\nname = \"all\"\narrivals = { mops_per_vf = 1.0 }\n";
        assert!(parse(plain, &[honest, "tenants.all.forged_share=0"]).is_ok());
        assert!(parse(plain, &["device.tlb.entries=8", "tenants.all.ats=false", hostile]).is_ok());
        for (change, key) in
            [("tenants.all.ats=false", "tenants.all.ats"), (hostile, "tenants.all.forged_share")]
        {
            let error = parse(plain, &[change]).expect_err(change).to_string();
            let expected = "only devices with a TLB (`device.tlb.entries`) use ATS";
            assert!(error.contains(&format!("`{key}`")) && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn round_robin_is_strict_and_packets_go_page_by_page() {
        let vfs = 4;
        let plan = parse(NIC, &["topology.vfs_per_adapter=4"]).expect("valid").plan();
        let mut packets = Vec::new();
        for vf in 0..vfs {
            let mut source = (plan.tenants)(HostIndex(0), VfIndex(vf)).source;
            let mut rows = Vec::new();
            // Cut anyhow: two, three, four, ... at a time.
            for count in 2.. {
                let mut intended = vec![Intended::default(); count];
                let mut address = vec![Address::default(); count];
                let mut transfer = vec![Transfer::default(); count];
                let out =
                    SourceRows { intended: &mut intended, address: &mut address, transfer: &mut transfer };
                let emitted = source.emit(Picoseconds::MAX, out);
                rows.extend((0..emitted).map(|row| (intended[row].0, address[row].0, transfer[row])));
                if emitted < count {
                    break;
                }
            }
            assert_eq!(rows.len(), 225);
            for (number, packet) in rows.chunks(3).enumerate() {
                let page = number as u64 / 5 % 2;
                let addresses = packet.iter().map(|(_, address, _)| *address);
                assert!(addresses.eq([0x10000, 0x4000_0000 + page * 0x20_0000, 0x20000].map(Iova)));
                assert!(packet.iter().all(|(time, ..)| *time == packet[0].0), "together");
                packets.push((packet[0].0, vf));
            }
        }
        packets.sort();
        // A packet a microsecond and VF, so one a quarter of it.
        let in_turn =
            (0..packets.len() as u64).map(|number| (Picoseconds(number * 250_000), number as u32 % vfs));
        assert!(packets.into_iter().eq(in_turn));
    }
}

mod escapes {
    use super::*;

    const SENDS: &str = "tenants.rings.escapes.packets_per_s=1000";

    fn with(changes: &[&str]) -> Result<Scenario, ScenarioError> {
        small(&[&[SENDS], changes].concat())
    }

    #[test]
    fn take_the_mix_of_a_driver_that_means_no_harm() {
        let scenario = with(&[]).expect("it can be built");
        let escapes = scenario.tenants[0].escapes.as_ref().expect("they are sent");
        assert_eq!(escapes.mix, EscapeMix::well_formed());
        assert_eq!(Scenario::parse("print", &scenario.to_toml(), &[]), Ok(scenario));
    }

    #[test]
    fn mistakes_name_key_and_place() {
        for (changes, words) in [
            (
                &["tenants.rings.escapes.packets_per_s=0"][..],
                &["`tenants.rings.escapes.packets_per_s`", "between 1 and"][..],
            ),
            (&["tenants.rings.escapes.on_us=1"], &["`tenants.rings.escapes.off_us` is missing"]),
            (&["tenants.rings.escapes.off_us=1"], &["`tenants.rings.escapes.on_us` is missing"]),
            (
                &["tenants.rings.escapes.on_us=1", "tenants.rings.escapes.off_us=1"],
                &["`tenants.rings.escapes.on_us`", "bursts"],
            ),
            (
                &["tenants.rings.escapes.mix.known=-1"],
                &["`tenants.rings.escapes.mix.known`", "between 0 and"],
            ),
            (&["tenants.rings.escapes.mix.known=0"], &["`tenants.rings.escapes.mix`", "above 0"]),
            (&["tenants.rings.escapes.mix.knwon=1"], &["`tenants.rings.escapes.mix.known`?"]),
            (&["tenants.rings.escapes.sizes=7"], &["`tenants.rings.escapes.sizes` is 7", "8 and 131008"]),
            (&["tenants.rings.escapes.sizes=131009"], &["`tenants.rings.escapes.sizes` is 131009"]),
            (&["tenants.rings.escapes.mix.corpus=1"], &["`tenants.rings.escapes.corpus` is empty"]),
            (&["tenants.rings.escapes.corpus=['00']"], &["`tenants.rings.escapes.corpus` is not used"]),
            (
                &["tenants.rings.escapes.mix.corpus=1", "tenants.rings.escapes.corpus=['0']"],
                &["hexadecimal digits"],
            ),
            (
                &["tenants.rings.escapes.mix.corpus=1", "tenants.rings.escapes.corpus=['\u{e9}0']"],
                &["hexadecimal digits"],
            ),
            (
                &["tenants.rings.escapes.mix.corpus=1", "tenants.rings.escapes.corpus=no-such"],
                &["`tenants.rings.escapes.corpus`", "no-such"],
            ),
            (&["tenants.rings.vm.kind=secret"], &["`tenants.rings.vm.kind`", "secure"]),
            (
                &["tenants.rings.vm.kind=secure", "tenants.rings.vm.escapes_enabled=false"],
                &["`tenants.rings.vm.escapes_enabled`", "secure"],
            ),
            (&["escape.wddm=2.10"], &["`escape.wddm`"]),
            (
                &["escape.wddm='3.1'", "escape.build_test_command_buffer_bytes=8"],
                &["`escape.build_test_command_buffer_bytes`", "3.2"],
            ),
        ] {
            let error = with(changes).expect_err(changes[0]).to_string();
            for word in words {
                assert!(error.contains(word), "{changes:?}: {error}");
            }
            assert!(error.starts_with("--set "), "{changes:?}: {error}");
        }
    }

    #[test]
    fn a_corpus_of_files_is_part_of_the_scenario() {
        let directory = std::env::temp_dir().join(format!("portcullis-corpus-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("below")).expect("a directory");
        std::fs::write(directory.join("b"), [0xAB, 0x01]).expect("a file");
        std::fs::write(directory.join("a"), []).expect("a file");
        let path = format!("tenants.rings.escapes.corpus='{}'", directory.display());
        let scenario = with(&["tenants.rings.escapes.mix.corpus=1", &path]).expect("it can be built");
        std::fs::remove_dir_all(&directory).expect("it is there");
        let corpus = &scenario.tenants[0].escapes.as_ref().expect("they are sent").corpus;
        assert_eq!(*corpus, [PacketBytes(vec![]), PacketBytes(vec![0xAB, 0x01])]);
        assert!(scenario.to_toml().contains(r#"corpus = ["", "ab01"]"#));
        assert_eq!(Scenario::parse("print", &scenario.to_toml(), &[]), Ok(scenario));
    }
}

mod switches_of_domains {
    use portcullis_engine::silence::{ListedSwitch, ProtocolStep, SilenceScope, SwitchMode, SwitchSchedule};

    use super::*;

    const LISTED: &str = r#"
name = "listed"
requests = 1000
topology = { hosts = 3, adapters_per_host = 2, vfs_per_adapter = 4 }
switches.schedule = "list"

[[switches.list]]
at_us = 1
vf = 3

[[switches.list]]
at_us = 2.5
host = 2
adapter = 1

[[hosts]]
name = "small"
count = 1

[[hosts]]
name = "large"
topology.vfs_per_adapter = 9

[[tenants]]
name = "all"
arrivals = { mops_per_vf = 1.0 }
"#;

    fn listed(at_us: f64, host: u32, adapter: u32, vf: u32) -> ListedSwitch {
        ListedSwitch { at_us, host, adapter, vf }
    }

    #[test]
    fn are_read_from_file_and_command_line() {
        let changes = [
            "silence.mode=unsafe",
            "silence.scope=vf",
            "silence.skip=[\"drain\", \"invalidate_iotlb\"]",
            "silence.end_us=3.5",
            "switches.schedule=list",
            "switches.list=[{ at_us = 1, vf = 2 }, { at_us = 4 }]",
            "switches.list.1.vf=3",
        ];
        let scenario = small(&changes).expect("valid");
        let silence = &scenario.machine().silence;
        assert_eq!(
            (silence.mode, silence.scope, silence.end_us),
            (SwitchMode::Unsafe, SilenceScope::Vf, 3.5)
        );
        assert_eq!(silence.skip, [ProtocolStep::Drain, ProtocolStep::InvalidateIotlb]);
        assert_eq!(scenario.switches.schedule, SwitchSchedule::List);
        assert_eq!(
            scenario.plan().host_classes[0].machine.switches.list,
            [listed(1.0, 0, 0, 2), listed(4.0, 0, 0, 3)]
        );
        assert!(!small(&[]).expect("valid").machine().switches.are_on());
    }

    #[test]
    fn of_a_list_each_class_has_what_names_its_hosts() {
        let lists = |changes: &[&str]| {
            let groups = parse(LISTED, changes).expect("valid").host_groups();
            groups.into_iter().map(|group| group.machine.switches.list).collect::<Vec<_>>()
        };
        let [first, last] = [listed(1.0, 0, 0, 3), listed(2.5, 2, 1, 0)];
        assert_eq!(lists(&[]), [vec![first.clone()], vec![last.clone()]]);
        let own = "hosts.large.switches.list=[{ at_us = 7, host = 1, vf = 8 }]";
        assert_eq!(lists(&[own]), [vec![first.clone()], vec![listed(7.0, 1, 0, 8)]]);
        let none = ["hosts.large.switches.schedule=none", "hosts.large.switches.list=[]"];
        assert_eq!(lists(&none), [vec![first], vec![]]);
        let printed = parse(LISTED, &[own]).expect("valid").to_toml();
        assert_eq!(Scenario::parse("printed", &printed, &[]).expect(&printed).to_toml(), printed);
    }

    #[test]
    fn listed_ones_name_what_there_is() {
        for (change, key, word) in [
            ("switches.list.1.host=3", "switches.list.1.host", "is 3; it must lie between 0 and 2"),
            ("switches.list.0.vf=4", "hosts.small.switches.list.0.vf", "is 4; it must lie between 0 and 3"),
            ("switches.list.1.vf=9", "hosts.large.switches.list.1.vf", "is 9; it must lie between 0 and 8"),
            ("switches.list.1.adapter=2", "hosts.large.switches.list.1.adapter", "between 0 and 1"),
            ("switches.list.1.at_us=0.5", "switches.list", "order of time"),
            ("switches.list.1.at_us=-1", "switches.list.at_us", "is -1"),
            ("switches.schedule=poisson", "switches.list", "only `switches.schedule = \"list\"`"),
            ("switches.list.0.at_ms=3", "switches.list.0.at_ms", "mean `switches.list.0.at_us`?"),
            ("hosts.small.switches.list=[]", "hosts.small.switches.list", "is empty"),
            (
                "hosts.large.switches.list=[{ at_us = 7, host = 0 }]",
                "hosts.large.switches.list.0.host",
                "is 0; it must lie between 1 and 2",
            ),
        ] {
            let error = parse(LISTED, &[change]).expect_err(change).to_string();
            assert!(error.contains(&format!("`{key}`")) && error.contains(word), "{change}: {error}");
            assert!(!error.contains('\n'), "one sentence: {error}");
        }
        let error = small(&["switches.schedule=list"]).expect_err("no list");
        assert_eq!(error.key, "switches.list", "{error}");
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_its_key() {
        let every = "switches.schedule=periodic";
        for (changes, key, word) in [
            (&["iommu.mode=passthrough"][..], "iommu.mode", "switches.schedule"),
            (
                &["silence.mode=unsafe", "silence.skip=[\"invalidate_device_tlb\"]"],
                "silence.skip",
                "device.tlb.entries",
            ),
            (&["iommu.invalidation.device_tlb_us=-1"], "iommu.invalidation.device_tlb_us", "between 0"),
            (&["memory.llc.bytes=65536"], "memory.llc.bytes", "switches.schedule"),
            (&["topology.domain_scope=adapter", "silence.scope=vf"], "silence.scope", "domain_scope"),
            (&["silence.skip=[\"drain\"]"], "silence.skip", "unsafe"),
            (&["silence.mode=unsafe", "silence.skip=[\"resume\"]"], "silence.skip.0", "must be one of"),
            (&["silence.begin_us=-1"], "silence.begin_us", "between 0"),
            (&["silence.drain_timeout_us=0"], "silence.drain_timeout_us", "between 0.001"),
            (&["report.attribution=true", "silence.scope=vf"], "report.attribution", "silence.scope"),
            (&["switches.waiting=0"], "switches.waiting", "between 1"),
            (&["switches.gap_us=0"], "switches.gap_us", "between 0.001"),
            (&["switches.every_us=0"], "switches.every_us", "between 0.001"),
            (
                &[
                    "tenants.rest.streaming={}",
                    "tenants.rest.arrivals={ kind = \"closed\" }",
                    "tenants.rest.pattern={ kind = \"ring\" }",
                ],
                "tenants.rest.streaming",
                "switches.schedule",
            ),
        ] {
            let error = small(&[&[every], changes].concat()).expect_err(key).to_string();
            assert!(error.contains(&format!("`{key}`")) && error.contains(word), "{changes:?}: {error}");
            assert!(!error.contains('\n'), "one sentence: {error}");
        }
        // A class that is not there is asked for nothing.
        let absent =
            ["tenants.rest.count=0", "tenants.rings.count=4", "tenants.rest.escapes={ packets_per_s = 5 }"];
        assert!(small(&[&[every], &absent[..]].concat()).is_ok());
        // In a class of hosts the keys are its own.
        let error = parse(LISTED, &["hosts.small.silence.attach_us=-2"]).expect_err("negative");
        assert_eq!(error.key, "hosts.small.silence.attach_us");
    }

    #[test]
    fn domain_ids_that_are_not_reused_suffice() {
        // 65,535 IDs but for the four in use: half of the others may be expected to be taken.
        let with = |every_us: &str| {
            let every = format!("switches.every_us={every_us}");
            small(&["duration_us=65531", "switches.schedule=poisson", "silence.did_reuse=false", &every])
        };
        assert!(with("2").is_ok());
        let error = with("1.99").expect_err("too many");
        assert_eq!(error.key, "silence.did_reuse", "{error}");
        assert!(small(&["duration_us=65531", "switches.schedule=poisson", "switches.every_us=1.99"]).is_ok());
    }
}

mod slices {
    use super::*;

    const SLICED: &str = r#"
name = "sliced"
requests = 900
topology.vfs_per_adapter = 4
scheduler.policy = "equal_share"

[[tenants]]
name = "guests"
arrivals = { kind = "poisson", mops_per_vf = 1.0 }
"#;

    #[test]
    fn what_does_not_go_together_with_slices_is_refused_by_its_key() {
        assert!(parse(SLICED, &[]).is_ok());
        let of_switches = "switches.schedule=poisson";
        for (changes, key, word) in [
            (&["scheduler.policy=fair"][..], "scheduler.policy", "best_effort"),
            (&["scheduler.slice_us=0"], "scheduler.slice_us", "between 0.001"),
            (&["scheduler.switch_us=-1"], "scheduler.switch_us", "between 0"),
            (
                &["scheduler.policy=fixed_share", "scheduler.partitions=3"],
                "scheduler.partitions",
                "between 4",
            ),
            (&["device.tlb.entries=8"], "scheduler.policy", "device.tlb.entries"),
            (&[of_switches, "failures.begin_share=0.5"], "scheduler.policy", "failures"),
            (
                &[of_switches, "silence.mode=unsafe", "silence.skip=[\"end\"]"],
                "scheduler.policy",
                "silence.skip",
            ),
            (&[of_switches, "scheduler.policy=best_effort"], "scheduler.policy", "switches.schedule"),
            (&["report.attribution=true"], "report.attribution", "scheduler.policy"),
        ] {
            let error = parse(SLICED, changes).expect_err(key).to_string();
            assert!(error.contains(&format!("`{key}`")) && error.contains(word), "{changes:?}: {error}");
        }
        for changes in [&[of_switches][..], &["scheduler.policy=best_effort", "scheduler.partitions=9"]] {
            assert!(parse(SLICED, changes).is_ok(), "{changes:?}");
        }
    }
}

/// VMs that come and go.
mod vms {
    use std::fs;
    use std::path::PathBuf;

    use portcullis_engine::lifecycle::{LifecycleSchedule, ListedVmEvent, VmEventKind};
    use portcullis_engine::silence::ListedSwitch;

    use super::*;

    fn small(changes: &[&str]) -> Result<Scenario, ScenarioError> {
        parse(SMALL, changes)
    }

    const LISTED: &str =
        "lifecycle.list=[{ at_us = 1, event = \"stop\", vf = 2 }, { at_us = 4, event = \"migrate\" }]";

    fn listed(at_us: f64, event: VmEventKind, vf: u32) -> ListedVmEvent {
        ListedVmEvent { at_us, event, host: 0, adapter: 0, vf }
    }

    #[test]
    fn are_read_and_printed() {
        let scenario = small(&["lifecycle.schedule=list", LISTED, "lifecycle.reset_us=7"]).expect("valid");
        assert_eq!(
            (scenario.lifecycle.schedule, scenario.machine().lifecycle.reset_us),
            (LifecycleSchedule::List, 7.0)
        );
        let expected = [listed(1.0, VmEventKind::Stop, 2), listed(4.0, VmEventKind::Migrate, 0)];
        assert_eq!(scenario.plan().host_classes[0].machine.lifecycle.list, expected);
        let printed = scenario.to_toml();
        assert_eq!(Scenario::parse("printed", &printed, &[]).expect(&printed).to_toml(), printed);
        assert!(!small(&[]).expect("valid").machine().switches_domains());
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_its_key() {
        let churn = "lifecycle.schedule=churn";
        for (changes, key, word) in [
            (&[churn, "switches.schedule=poisson"][..], "switches.schedule", "VMs that stay"),
            (&[churn, "silence.mode=atomic_replace"], "silence.mode", "is not \"silence\""),
            (&[churn, "silence.drain_timeout_us=5"], "silence.drain_timeout_us", "however long"),
            (&[churn, "topology.domain_scope=adapter"], "topology.domain_scope", "is \"adapter\""),
            (&[churn, "device.tlb.entries=64"], "device.tlb.entries", "is not 0"),
            (&[churn, "host.on_fault=bugcheck"], "host.on_fault", "is \"bugcheck\""),
            (&[churn, "iommu.mode=passthrough"], "iommu.mode", "`lifecycle.schedule`"),
            (&[churn, "memory.llc.bytes=65536"], "memory.llc.bytes", "`lifecycle.schedule`"),
            (&[churn, "report.attribution=true"], "report.attribution", "VMs come and go"),
            (
                &[churn, "tenants.rest.obeys_silence=false"],
                "tenants.rest.obeys_silence",
                "VMs that come and go",
            ),
            (
                &[churn, "tenants.rest.escapes.packets_per_s=1000"],
                "tenants.rest.escapes",
                "VMs that come and go",
            ),
            (
                &[churn, "lifecycle.up_us=100", "lifecycle.down_us=100"],
                "lifecycle.up_us",
                "4 VFs that are silent together",
            ),
            (&[churn, LISTED], "lifecycle.list", "only `lifecycle.schedule = \"list\"`"),
            (&["lifecycle.schedule=list"], "lifecycle.list", "is empty"),
            (&["lifecycle.schedule=list", LISTED, "lifecycle.list.0.vf=4"], "lifecycle.list.0.vf", "is 4"),
            (
                &["lifecycle.schedule=list", LISTED, "lifecycle.list.1.host=1"],
                "lifecycle.list.1.host",
                "is 1",
            ),
            (
                &["lifecycle.schedule=list", LISTED, "lifecycle.list.1.vf=2"],
                "lifecycle.list.1",
                "moves a VM where there is none",
            ),
            (
                &["lifecycle.schedule=list", LISTED, "lifecycle.list.0.event=halt"],
                "lifecycle.list.0.event",
                "halt",
            ),
        ] {
            let error = small(changes).expect_err(key).to_string();
            assert!(error.contains(&format!("`{key}`")) && error.contains(word), "{changes:?}: {error}");
            assert!(!error.contains('\n'), "one sentence: {error}");
        }
        small(&[churn, "lifecycle.up_us=400", "lifecycle.down_us=400"]).expect("they can be done");
        small(&[churn, "silence.scope=vf", "lifecycle.up_us=100", "lifecycle.down_us=100"])
            .expect("each alone");
    }

    /// A file of this text, in a directory of its own.
    fn file(name: &str, text: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("portcullis-events-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    #[test]
    fn a_list_in_a_file_is_part_of_the_scenario() {
        let path = file("vms.csv", "event,at_us,vf\r\nstop,1.5,3\r\n\r\nstart,2, 3\r\nmigrate,2,\r\n");
        let from_file = format!("lifecycle.list={:?}", path.display().to_string());
        let scenario = small(&["lifecycle.schedule=list", &from_file]).expect("valid");
        let expected = [
            listed(1.5, VmEventKind::Stop, 3),
            listed(2.0, VmEventKind::Start, 3),
            listed(2.0, VmEventKind::Migrate, 0),
        ];
        assert_eq!(scenario.lifecycle.list, expected);
        fs::remove_file(&path).expect("it was there");
        let printed = scenario.to_toml();
        assert_eq!(Scenario::parse("printed", &printed, &[]).expect(&printed).lifecycle.list, expected);
        // Beside the scenario, and of switches.
        let path = file("switches.csv", "at_us,vf\n7,1\n");
        let beside = path.with_file_name("scenario.toml").display().to_string();
        let changes = set(&["switches.schedule=list", "switches.list=switches.csv"]);
        let scenario = Scenario::parse(&beside, SMALL, &changes).expect("valid");
        assert_eq!(scenario.switches.list, [ListedSwitch { at_us: 7.0, host: 0, adapter: 0, vf: 1 }]);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_by_its_line() {
        for (number, (text, problem)) in [
            ("", "1: the header is missing"),
            (
                "at_us,event,name\n",
                "1: there is no column \"name\"; there are `at_us`, `event`, `host`, `adapter`, `vf`",
            ),
            ("at_us,vf\n", "1: the column `event` is missing"),
            ("at_us,event,at_us\n", "1: the column `at_us` is there twice"),
            ("at_us,event\n1,stop\n2\n", "3: there are 1 cells, and 2 columns"),
            (
                "at_us,event\n1,stop\n2,halt\n",
                "3: `event` is \"halt\"; it must be `start`, `stop` or `migrate`",
            ),
            ("at_us,event\n\n,stop\n", "3: `at_us` is \"\", which is no number"),
            ("at_us,event,vf\n1,stop,-1\n", "2: `vf` is \"-1\", which is no index"),
        ]
        .into_iter()
        .enumerate()
        {
            let path = file(&format!("wrong-{number}.csv"), text).display().to_string();
            let change = format!("lifecycle.list={path:?}");
            let error = small(&["lifecycle.schedule=list", &change]).expect_err(problem);
            assert_eq!(error.key, "lifecycle.list");
            assert!(error.problem.contains(&format!("{path}:{problem}")), "{error}, not {problem}");
        }
        let error = small(&["lifecycle.schedule=list", "lifecycle.list=no-such.csv"]).expect_err("no file");
        assert!(error.problem.contains("`lifecycle.list`: cannot read \"no-such.csv\""), "{error}");
    }
}
