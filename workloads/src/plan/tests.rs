//! Rates, shares and tenants.

use portcullis_engine::ids::{HostIndex, VfIndex};
use portcullis_engine::plan::{RunPlan, TenantPlan};
use portcullis_engine::request::{Address, Intended, Transfer};
use portcullis_engine::traffic::{Source, SourceRows};
use portcullis_engine::units::Picoseconds;
use proptest::prelude::*;

use super::*;
use crate::{Override, Scenario, builtin, builtins};

fn read(name: &str, changes: &[&str]) -> Scenario {
    let changes: Vec<Override> = changes.iter().map(|change| change.parse().expect("an override")).collect();
    Scenario::parse(name, builtin(name).expect(name).toml, &changes).expect(name)
}

fn tenants(scenario: &Scenario) -> Vec<(u32, u32, TenantPlan)> {
    let plan = scenario.plan();
    let vfs = |class: usize| 0..plan.host_classes[class].machine.topology.vfs_per_host();
    plan.hosts()
        .flat_map(|(host, class)| vfs(class).map(move |vf| (host, vf)))
        .map(|(host, vf)| (host.0, vf, (plan.tenants)(host, VfIndex(vf))))
        .collect()
}

/// Everything `source` emits: times, addresses, transfers.
fn drain(source: &mut dyn Source) -> Vec<(u64, u64, Transfer)> {
    let mut all = Vec::new();
    while source.peek().is_some() {
        let mut intended = vec![Intended::default(); 512];
        let mut address = vec![Address::default(); 512];
        let mut transfer = vec![Transfer::default(); 512];
        let rows = SourceRows { intended: &mut intended, address: &mut address, transfer: &mut transfer };
        let count = source.emit(Picoseconds::MAX, rows);
        all.extend((0..count).map(|row| (intended[row].0.0, address[row].0.0, transfer[row])));
    }
    all
}

#[test]
fn every_builtin_plans() {
    for listed in builtins() {
        let scenario = read(listed.name, &[]);
        let plan: RunPlan = scenario.plan();
        plan.validate().expect(listed.name);
        assert_eq!(plan.name, listed.name);
        assert_eq!(Some(plan.expected_requests), scenario.requests);
        assert!(plan.expected_duration > Picoseconds::ZERO);
        assert_eq!(plan.classes.len(), scenario.tenants.len());
        let first = (plan.tenants)(HostIndex(0), VfIndex(0));
        assert!(first.source.peek().is_some());
        assert_eq!(first.buffers.is_empty(), first.streaming.is_some());
    }
}

#[test]
fn all_vfs_together_intend_what_is_asked() {
    for (name, requests) in [
        ("default", 10_007),
        ("fleet-4096", 5_000),
        ("nic-rings", 1),
        ("dense-1024", 3_000),
        ("mixed-fleet", 9_001),
    ] {
        let scenario = read(name, &[&format!("requests={requests}")]);
        let total: usize =
            tenants(&scenario).iter_mut().map(|(.., tenant)| drain(&mut *tenant.source).len()).sum();
        assert_eq!(total, requests, "{name}");
    }
}

#[test]
fn the_expected_duration_is_about_right() {
    let scenario = read("default", &["requests=200000"]);
    let expected = scenario.plan().expected_duration.0 as f64;
    let last = tenants(&scenario)
        .iter_mut()
        .map(|(.., tenant)| drain(&mut *tenant.source).last().expect("requests").0)
        .max()
        .expect("tenants") as f64;
    assert!((0.9..2.0).contains(&(last / expected)), "{last} of {expected}");
}

#[test]
fn a_duration_ends_every_vf() {
    let scenario = read("default", &["duration_us=1000"]);
    let plan = scenario.plan();
    assert_eq!(plan.expected_duration, Picoseconds::from_us(1_000));
    let mut total = 0;
    for (.., mut tenant) in tenants(&scenario) {
        let requests = drain(&mut *tenant.source);
        assert!(requests.iter().all(|(time, ..)| *time < 1_000_000_000));
        total += requests.len();
    }
    let ratio = total as f64 / plan.expected_requests as f64;
    assert!((0.9..1.1).contains(&ratio), "{total} of {}", plan.expected_requests);
}

#[test]
fn classes_take_the_vfs_of_every_adapter_in_order() {
    let scenario = read("default", &["topology.hosts=2", "topology.adapters_per_host=2"]);
    for (_, vf, tenant) in tenants(&scenario) {
        let class = match vf % 31 {
            0..12 => 0,
            12..20 => 1,
            20..26 => 2,
            _ => 3,
        };
        assert_eq!(tenant.class, class, "VF {vf}");
        assert_eq!(tenant.buffers[0].pages, scenario.tenants[class as usize].memory.pages);
    }
    let emptied = read("default", &["tenants.training.count=0", "tenants.inference.count=20"]);
    assert!(tenants(&emptied).iter().all(|(.., tenant)| tenant.class != 1));
    let detached = read("default", &["tenants.training.attached=false"]);
    assert!(tenants(&detached).iter().all(|(.., tenant)| tenant.attached.is_ok() == (tenant.class != 1)));
}

/// A VF's requests are a function of the seed and its own place: other classes and hosts do not matter.
#[test]
fn vfs_are_independent() {
    let requests = |changes: &[&str], host, vf| {
        let scenario = read("noisy-neighbour", changes);
        let mut tenant = (scenario.plan().tenants)(HostIndex(host), VfIndex(vf));
        drain(&mut *tenant.source)
    };
    let base = ["duration_us=200"];
    let one = requests(&base, 0, 3);
    assert!(!one.is_empty());
    let others = ["duration_us=200", "topology.hosts=3", "tenants.noisy.arrivals.mops_per_vf=1"];
    assert_eq!(requests(&others, 0, 3), one);
    assert_ne!(requests(&others, 1, 3), one);
    assert_ne!(requests(&base, 0, 4), one);
    assert_ne!(requests(&["duration_us=200", "seed=2"], 0, 3), one);
}

#[test]
fn link_bytes_by_hand() {
    // 1,000 bytes: 4 TLPs of 256, 2 reads of 512. Write 1,000 + 4 x 24 = 1,096 up; read 2 x 24 = 48 up and
    // 1,000 + 4 x 20 = 1,080 down. A quarter reads: .25 x 48 + .75 x 1,096 = 834 up, 270 down.
    let scenario = read("gpu-copy-2m", &["tenants.copy.sizes=1000", "tenants.copy.read_share=0.25"]);
    let bytes = LinkBytes::mean(&scenario.tenants[0], &scenario.link);
    assert_eq!(bytes, LinkBytes { upstream: 834.0, downstream: 270.0 });
    assert_eq!(bytes.limiting(), 834.0);
    // t-1 and t of a TLP.
    for (size, down) in [(256, 276.0), (257, 297.0)] {
        let changes = [&format!("tenants.copy.sizes={size}"), "tenants.copy.read_share=1.0"];
        let scenario = read("gpu-copy-2m", &changes);
        assert_eq!(LinkBytes::mean(&scenario.tenants[0], &scenario.link).downstream, down);
    }
    // A mix weighs its sizes.
    let mixed = read("gpu-copy-2m", &["tenants.copy.sizes=[[64, 3], [128, 1]]", "tenants.copy.read_share=0"]);
    assert_eq!(LinkBytes::mean(&mixed.tenants[0], &mixed.link).upstream, 0.75 * 88.0 + 0.25 * 152.0);
}

#[test]
fn a_link_load_is_a_share_of_the_adapter() {
    let scenario =
        read("gpu-copy-2m", &["tenants.copy.arrivals.link_load=0.5", "tenants.copy.read_share=1.0"]);
    let rate = scenario.host_groups()[0].rates[0];
    // 4,096 bytes down with 16 headers of 20: 4,416 bytes a DMA.
    let adapter_hz = 0.5 * scenario.link.tlp_gbps() * 1e9 / (4_416.0 * 8.0);
    assert!((rate.per_vf_hz * 8.0 / adapter_hz - 1.0).abs() < 1e-12);
    assert!((scenario.total_hz() / adapter_hz - 1.0).abs() < 1e-12);
    let mut more = scenario.clone();
    more.topology.hosts = 3;
    more.topology.adapters_per_host = 2;
    assert!((more.total_hz() / adapter_hz - 6.0).abs() < 1e-9);
}

#[test]
fn hosts_of_each_class_carry_their_own_tenants() {
    let scenario = read("mixed-fleet", &["topology.hosts=4", "hosts.training.count=2"]);
    let plan = scenario.plan();
    let classes: Vec<usize> = plan.hosts().map(|(_, class)| class).collect();
    assert_eq!(classes, [0, 1, 1, 2]);
    let carried = |host: u32| {
        let of_host = tenants(&scenario).into_iter().filter(|(of, ..)| *of == host);
        let mut counts = [0; 2];
        of_host.for_each(|(.., tenant)| counts[tenant.class as usize] += 1);
        counts
    };
    assert_eq!([0, 1, 2, 3].map(carried), [[512, 0], [0, 32], [0, 32], [24, 8]]);
    let groups = scenario.host_groups();
    assert_eq!(groups[2].machine.link.generation, 3);
    assert_eq!(groups[2].machine.iommu.iotlb.ways(), 8);
    // Half the bandwidth, about: the load is a share of it.
    let ratio = groups[2].rates[0].per_vf_hz / groups[0].rates[0].per_vf_hz * (12.0 / 64.0);
    assert!((ratio - 0.5).abs() < 1e-9, "{ratio}");
    // A class without hosts is left out.
    let two = read("mixed-fleet", &["hosts.training.count=0", "hosts.dense.count=16"]);
    assert_eq!(two.host_groups().iter().map(|group| &*group.name).collect::<Vec<_>>(), ["dense"]);
}

#[test]
fn a_mixed_fleet_intends_in_proportion_to_its_rates() {
    let scenario = read("mixed-fleet", &["requests=1000000"]);
    let plan = scenario.plan();
    let intended: u64 = plan.host_classes.iter().map(|class| class.expected_requests).sum();
    assert!(intended.abs_diff(1_000_000) <= 2, "{intended}");
    for (class, group) in plan.host_classes.iter().zip(scenario.host_groups()) {
        let expected = group.total_hz() * plan.expected_duration.as_seconds_f64();
        assert!((class.expected_requests as f64 / expected - 1.0).abs() < 1e-4, "{}", class.name);
    }
    // The last requests of all VFs come at about the same time, whatever the class of host.
    let mut last = std::collections::BTreeMap::new();
    for (host, _, mut tenant) in tenants(&scenario) {
        let end = drain(&mut *tenant.source).last().expect("requests").0;
        last.entry(host).and_modify(|last: &mut u64| *last = end.max(*last)).or_insert(end);
    }
    for (host, last) in last {
        let ratio = last as f64 / plan.expected_duration.0 as f64;
        assert!((0.95..1.25).contains(&ratio), "host {host}: {ratio}");
    }
}

#[test]
fn memory_adds_up_over_classes_of_hosts() {
    let of = |changes: &[&str]| read("mixed-fleet", changes).memory_bytes() as f64;
    let whole = of(&[]);
    let only = |class: &str| {
        let others = ["dense", "training", "older"].into_iter().filter(|other| *other != class);
        let count = match class {
            "dense" => 1,
            "training" => 5,
            _ => 10,
        };
        let mut changes: Vec<String> = others.map(|other| format!("hosts.{other}.count=0")).collect();
        changes.extend([format!("hosts.{class}.count={count}"), format!("topology.hosts={count}")]);
        of(&changes.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let parts: f64 = ["dense", "training", "older"].map(only).iter().sum();
    assert!((parts / whole - 1.0).abs() < 1e-2, "{parts} of {whole}");
    let one = of(&["hosts.dense.topology.iommus_per_host=1"]);
    assert!(one < whole, "each IOMMU takes its own: {one}, {whole}");
}

/// An 8-way LRU cache beside the engine's: what the scenario promises about its hit ratio.
#[test]
fn the_fleet_hits_in_five_to_seven_of_ten() {
    let scenario = read("fleet-4096", &["topology.hosts=1", "requests=1500000"]);
    let sets = scenario.iommu.iotlb.sets() as usize;
    let mut requests: Vec<(u64, u32, u64)> = tenants(&scenario)
        .iter_mut()
        .flat_map(|(_, vf, tenant)| {
            let vf = *vf;
            drain(&mut *tenant.source).into_iter().map(move |(time, address, _)| (time, vf, address >> 12))
        })
        .collect();
    requests.sort_unstable();
    let mut cache = vec![Vec::<(u32, u64)>::new(); sets];
    let mut hits = 0;
    let warm = requests.len() / 3;
    for (row, (_, vf, page)) in requests.iter().copied().enumerate() {
        let hash = (page ^ u64::from(vf) << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let set = &mut cache[hash as usize % sets];
        match set.iter().position(|entry| *entry == (vf, page)) {
            Some(way) => {
                set.remove(way);
                hits += usize::from(row >= warm);
            }
            None if set.len() == 8 => {
                set.remove(0);
            }
            None => {}
        }
        set.push((vf, page));
    }
    let ratio = hits as f64 / (requests.len() - warm) as f64;
    assert!((0.5..0.7).contains(&ratio), "{ratio}");
}

fn shares(rate: ClassRate, adapters: u64) -> Shares {
    Shares { vfs: u64::from(rate.vfs_per_adapter) * adapters, per_vf_hz: rate.per_vf_hz }
}

proptest! {
    /// Shares add up, differ by one at most within a class, and follow the rates.
    #[test]
    fn quotas_add_up(
        requests in 0_u64..1_000_000_000_000,
        classes in prop::collection::vec((0_u32..40, 1e-3_f64..1e9), 1..6),
        adapters in 1_u64..200,
    ) {
        let rates: Vec<ClassRate> = classes
            .iter()
            .map(|(vfs_per_adapter, per_vf_hz)| ClassRate { vfs_per_adapter: *vfs_per_adapter, per_vf_hz: *per_vf_hz })
            .collect();
        prop_assume!(rates.iter().any(|rate| rate.vfs_per_adapter > 0));
        let shares: Vec<Shares> = rates.iter().map(|rate| shares(*rate, adapters)).collect();
        let quotas = Quotas::new(requests, &shares);
        let total_hz: f64 =
            rates.iter().map(|rate| f64::from(rate.vfs_per_adapter) * adapters as f64 * rate.per_vf_hz).sum();
        let mut total = 0;
        for (class, rate) in rates.iter().enumerate() {
            let vfs = u64::from(rate.vfs_per_adapter) * adapters;
            let exact = requests as f64 * rate.per_vf_hz / total_hz;
            let shares: Vec<u64> = (0..vfs).map(|ordinal| quotas.of(class, ordinal)).collect();
            prop_assert!(shares.windows(2).all(|pair| pair[0] == pair[1] || pair[0] == pair[1] + 1));
            for share in &shares {
                // Rates count in thousandths of a DMA a second.
                let slack = 1.0 + exact * (1e-3 / rate.per_vf_hz + 1e-9) + requests as f64 * 1e-3 * vfs as f64 / total_hz;
                prop_assert!((*share as f64 - exact).abs() <= slack, "{share} for {exact}");
            }
            total += shares.iter().sum::<u64>();
        }
        prop_assert_eq!(total, requests);
    }
}

#[test]
fn what_is_left_over_goes_to_the_largest_remainders() {
    let share = |vfs, per_vf_hz| Shares { vfs, per_vf_hz };
    // 10 in shares of 1 : 1 : 2 (x1) among 1 + 1 + 1 VFs: 2.5, 2.5, 5.
    let quotas = Quotas::new(10, &[share(1, 1.0), share(1, 1.0), share(1, 2.0)]);
    assert_eq!([quotas.of(0, 0), quotas.of(1, 0), quotas.of(2, 0)], [3, 2, 5]);
    // 11 among 4 VFs of one class: 3, 3, 3, 2.
    let quotas = Quotas::new(11, &[share(4, 1.0)]);
    assert_eq!([0, 1, 2, 3].map(|ordinal| quotas.of(0, ordinal)), [3, 3, 3, 2]);
}

/// All classes but one.
fn others(scenario: &Scenario, class: u32) -> Vec<u32> {
    (0..scenario.tenants.len() as u32).filter(|other| *other != class).collect()
}

/// Alone, a class's VFs intend what they do among the others, who are there and intend nothing.
#[test]
fn a_class_alone_intends_what_it_does_among_the_others() {
    for changes in [["requests=3000"], ["duration_us=100"]] {
        let scenario = read("default", &changes);
        for (class, number) in scenario.tenants.iter().zip(0..) {
            assert_eq!(scenario.class_index(&class.name), Ok(number));
            let (together, alone) = (scenario.plan(), scenario.plan_without(&others(&scenario, number)));
            let mut total = 0;
            for vf in 0..scenario.topology.vfs_per_host() {
                let of = |plan: &RunPlan| (plan.tenants)(HostIndex(0), VfIndex(vf));
                let (mut among, mut lonely) = (of(&together), of(&alone));
                let place = |tenant: &TenantPlan| (tenant.class, tenant.attached, tenant.buffers.clone());
                assert_eq!(place(&among), place(&lonely), "VF {vf}");
                let requests = drain(&mut *lonely.source);
                total += requests.len() as u64;
                let expected = if among.class == number { drain(&mut *among.source) } else { Vec::new() };
                assert_eq!(requests, expected, "{}: VF {vf}", class.name);
            }
            assert_eq!(alone.expected_duration, together.expected_duration);
            // In a given time bursts may come, or not; a number of DMAs is shared in whole ones.
            let off = alone.expected_requests.abs_diff(total);
            let shared = scenario.requests.is_none() || off <= u64::from(scenario.topology.vfs_per_host());
            assert!(shared, "{}: {total} of {}", class.name, alone.expected_requests);
        }
    }
    let problem = read("default", &[]).class_index("trainin").expect_err("no such class");
    assert!(problem.contains("no tenant class \"trainin\"; did you mean \"training\"?"), "{problem}");
}

#[test]
fn domains_that_are_switched_take_their_memory_twice() {
    let of = |changes: &[&str]| read("fleet-4096", changes).memory_bytes() as f64;
    let pages = |pages: &str, schedule: &str| {
        of(&[&format!("tenants.0.memory.pages={pages}"), &format!("switches.schedule={schedule}")])
    };
    // What grows with the pages, but for the pattern's tables.
    let growth = |schedule| pages("200000", schedule) - pages("100000", schedule) - 24.0 * 100_000.0;
    assert!(
        (growth("poisson") / growth("none") - 2.0).abs() < 1e-9,
        "{}",
        growth("poisson") / growth("none")
    );
}
