//! The grammar of axes, their combination, and errors that name the axis.

use proptest::prelude::*;

use super::decimal::Decimal;
use super::*;
use crate::Override;

const SCENARIO: &str = r#"
name = "small"
requests = 1000
[topology]
vfs_per_adapter = 4
[[tenants]]
name = "rings"
arrivals = { kind = "poisson", mops_per_vf = 1.0 }
"#;

fn axis(text: &str) -> Axis {
    Axis::parse(text).expect(text)
}

fn texts(text: &str) -> Vec<String> {
    axis(text).items.into_iter().map(|item| item.text).collect()
}

fn plan(axes: &[&str], change: impl FnOnce(&mut SweepSpec)) -> Result<SweepPlan, SweepError> {
    let axes = axes.iter().map(|text| Axis::parse(text)).collect::<Result<_, _>>()?;
    let mut spec = SweepSpec { axes, ..SweepSpec::default() };
    change(&mut spec);
    SweepPlan::new("small", SCENARIO, spec)
}

/// The first error of making the plan or any of its points: of this axis, with these words.
#[track_caller]
fn refused(axes: &[&str], axis: Option<&str>, words: &[&str]) {
    let plan = plan(axes, |_| {});
    let error = plan.and_then(|plan| (0..plan.points()).try_for_each(|index| plan.point(index).map(drop)));
    let error = error.expect_err("an error");
    assert_eq!(error.axis.as_deref(), axis, "{error}");
    for word in axis.iter().chain(words) {
        assert!(error.to_string().contains(word), "{word:?} in: {error}");
    }
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[test]
fn lists_and_ranges_may_mix() {
    assert_eq!(texts("k=1,2,4"), ["1", "2", "4"]);
    assert_eq!(texts(" k = 1 , 2 "), ["1", "2"]);
    assert_eq!(texts("k=16..128:*2"), ["16", "32", "64", "128"]);
    assert_eq!(texts("k=16..127:*2"), ["16", "32", "64"]);
    assert_eq!(texts("k=1..10:3"), ["1", "4", "7", "10"]);
    assert_eq!(texts("k=1..2:*2,3,10..8:-1"), ["1", "2", "3", "10", "9", "8"]);
    assert_eq!(texts("k=64..8:*0.5"), ["64", "32", "16", "8"]);
    assert_eq!(texts("k=0x10..0x40:*2"), ["16", "32", "64"]);
    assert_eq!(texts("k=5..5:1"), ["5"]);
    assert_eq!(texts("k=-2..2:2"), ["-2", "0", "2"]);
    assert_eq!(texts("k=full,8"), ["full", "8"]);
    assert_eq!(texts("k=[64, 1500],[[64, 3], [1, 2]]"), ["[64, 1500]", "[[64, 3], [1, 2]]"]);
    assert_eq!(texts(r#"k={ kind = "ring" },"a,b",'c,d'"#), [r#"{ kind = "ring" }"#, "\"a,b\"", "'c,d'"]);
    assert_eq!(texts("k=64..4096"), ["64..4096"], "no step: text, as sizes take it");
}

#[test]
fn decimal_ranges_do_not_drift() {
    let tenths = ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"];
    assert_eq!(texts("k=0.1..0.9:0.1"), tenths);
    assert_eq!(texts("k=0.9..0.1:-0.1").iter().rev().collect::<Vec<_>>(), tenths.iter().collect::<Vec<_>>());
    assert_eq!(texts("k=0.5..2.0:0.5"), ["0.5", "1.0", "1.5", "2.0"]);
    assert_eq!(texts("k=1e-3..1e-1:*10"), ["0.001", "0.01", "0.1"]);
    assert_eq!(texts("k=1.0..1.331:*1.1"), ["1.0", "1.1", "1.21", "1.331"]);
    assert_eq!(axis("k=1.0..1000000.0:*1.1").items.len(), 145, "long products are rounded, not refused");
}

#[test]
fn an_axis_has_one_type() {
    let kind = |text: &str| axis(text).kind;
    let values = |text: &str| axis(text).items.into_iter().map(|item| item.value).collect::<Vec<_>>();
    assert_eq!(kind("k=1,2"), AxisType::Integer);
    assert_eq!(kind("k=1,2.5"), AxisType::Float);
    assert_eq!(values("k=1,2.5"), [AxisValue::Float(1.0), AxisValue::Float(2.5)]);
    assert_eq!(kind("k=1..3:0.5"), AxisType::Float);
    assert_eq!(kind("k=true,false"), AxisType::Boolean);
    assert_eq!(kind("k=lru,fifo"), AxisType::Text);
    assert_eq!(values("k=8,full"), ["8", "full"].map(|text| AxisValue::Text(text.into())));
    assert_eq!(values("k=\"full\""), [AxisValue::Text("full".into())], "without the quotes");
    assert_eq!(axis("k=8,full").items[0].text, "8", "set as it was given");
}

#[test]
fn what_is_no_axis_is_refused() {
    for (text, words) in [
        ("entries", &["`entries`", "key=values"][..]),
        ("", &["key=values"]),
        ("k=", &["`k`", "no values"]),
        ("k= ", &["`k`", "no values"]),
        ("k=,", &["`k`", "value 1", "empty"]),
        ("k=1,,2", &["`k`", "value 2", "empty"]),
        ("k=1,", &["`k`", "value 2", "empty"]),
        ("=1", &["names joined by dots"]),
        ("a..b=1", &["`a..b`", "names joined by dots"]),
        ("k=1..9:0", &["`k`", "`1..9:0`", "step is 0"]),
        ("k=1..9:-1", &["`k`", "away"]),
        ("k=9..1:1", &["`k`", "away"]),
        ("k=1..9:*1", &["`k`", "factor is 1"]),
        ("k=1..9:*-2", &["`k`", "factor is -2"]),
        ("k=1..9:*0.5", &["`k`", "away"]),
        ("k=0..9:*2", &["`k`", "greater than 0"]),
        ("k=1..x:2", &["`k`", "end `x`"]),
        ("k=1..2:x", &["`k`", "step `x`"]),
        ("k=1..2:*", &["`k`", "factor ``"]),
        ("k=1..:2", &["`k`", "end ``"]),
        ("k=0..9000000:1", &["`k`", "more than 1000000 values"]),
        ("k=9223372036854775808", &["`k`", "64 bits"]),
        ("k=1..9223372036854775808:*2", &["`k`", "64 bits"]),
        ("k=0..1:0.0000000000000000000000000000000001", &["`k`", "step"]),
    ] {
        let error = Axis::parse(text).expect_err(text).to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} in: {error}");
        }
    }
}

#[test]
fn a_grid_turns_the_last_axis_fastest_and_repeats_faster() {
    let plan =
        plan(&["requests=10,20", "iommu.iotlb.ways=4,8,full"], |spec| spec.repeat = Some(2)).expect("a plan");
    assert_eq!((plan.groups(), plan.points()), (6, 12));
    let points: Vec<(u64, String, u64)> = (0..12)
        .map(|index| {
            let point = plan.point(index).expect("a point");
            let ways = plan.items(plan.group_of(index))[1].text.clone();
            (point.scenario.requests.expect("set"), ways, point.scenario.seed)
        })
        .collect();
    let expected = [10, 20].iter().flat_map(|requests| {
        ["4", "8", "full"]
            .iter()
            .flat_map(move |ways| [1, 2].map(|seed| (*requests, (*ways).to_owned(), seed)))
    });
    assert_eq!(points, expected.collect::<Vec<_>>());
}

#[test]
fn zipped_axes_advance_together() {
    let zip = |spec: &mut SweepSpec| spec.zip = true;
    let plan_of = plan(&["requests=10,20,20", "seed=1,1,2"], zip).expect("a plan");
    let points: Vec<_> = (0..plan_of.points())
        .map(|index| plan_of.point(index).expect("a point").scenario)
        .map(|scenario| (scenario.requests, scenario.seed))
        .collect();
    assert_eq!(points, [(Some(10), 1), (Some(20), 1), (Some(20), 2)]);
    let error = plan(&["requests=10,20", "seed=1"], zip).expect_err("unequal").to_string();
    assert!(
        error.contains("axis `seed`") && error.contains("1 value,") && error.contains("2 values"),
        "{error}"
    );
    let error = plan(&["requests=10,10", "seed=1,1"], zip).expect_err("double").to_string();
    assert!(error.contains("10, 1 is given twice"), "{error}");
}

#[test]
fn a_point_is_what_run_makes_of_its_settings() {
    let plan = plan(&["iommu.iotlb.entries=64,128", "tenants.rings.read_share=0.0,0.5"], |spec| {
        spec.settings = vec![Override::new("requests", "77")];
    })
    .expect("a plan");
    for index in 0..4 {
        let scenario = crate::Scenario::parse("small", SCENARIO, &plan.settings(index));
        assert_eq!(plan.point(index).expect("a point").scenario, scenario.expect("a scenario"));
    }
}

#[test]
fn every_error_names_the_axis() {
    refused(
        &["iommu.iotlb.entreis=1"],
        Some("iommu.iotlb.entreis"),
        &["value `1`", "did you mean `iommu.iotlb.entries`?"],
    );
    refused(&["iommu.itolb.entries=64"], Some("iommu.itolb.entries"), &["unknown key"]);
    refused(&["nonsense=1"], Some("nonsense"), &["unknown key"]);
    refused(&["tenants.nobody.count=1"], Some("tenants.nobody.count"), &["nobody"]);
    refused(&["iommu.iotlb.entries=64,few"], Some("iommu.iotlb.entries"), &["value `few`"]);
    refused(&["iommu.iotlb.entries=64,0"], Some("iommu.iotlb.entries"), &["value `0`"]);
    refused(&["iommu.iotlb.entries=64..128:0.5"], Some("iommu.iotlb.entries"), &["value `64.0`", "whole"]);
    refused(&["iommu.iotlb.entries=64..128"], Some("iommu.iotlb.entries"), &["needs a step", "64..128:*2"]);
    refused(
        &["iommu.iotlb.entries=100", "iommu.iotlb.ways=5,8"],
        Some("iommu.iotlb.entries"),
        &["value `100`", "with iommu.iotlb.ways=8"],
    );
    refused(&["iommu.iotlb.ways=8,12"], Some("iommu.iotlb.ways"), &["12"]);
    refused(&["requests=1", "requests=2"], Some("requests"), &["twice"]);
    refused(
        &["tenants.0.read_share=0", "tenants.rings.read_share=1"],
        Some("tenants.rings.read_share"),
        &["twice"],
    );
    refused(&["requests=1,2,1"], Some("requests"), &["value `1` is given twice"]);
    refused(&["requests=1,0x1"], Some("requests"), &["value `0x1` is given twice"]);
    refused(&["requests=1", "duration_us=1"], Some("duration_us"), &["exclude"]);
    refused(&[], None, &["nothing to sweep"]);
    refused(&["seed=1..1001:1", "requests=1..1000:1"], None, &["1000000 points"]);
}

#[test]
fn settings_and_repeats_do_not_contradict_axes() {
    let with = |axes: &[&str], set: &str, repeat: Option<u64>| {
        plan(axes, |spec| {
            spec.settings = vec![set.parse().expect("an override")];
            spec.repeat = repeat;
        })
        .map(|plan| plan.point(plan.points() - 1).map(|point| point.scenario.seed))
    };
    assert!(
        with(&["requests=1"], "requests=2", None).expect_err("both").to_string().contains("axis `requests`")
    );
    assert!(with(&["seed=1"], "requests=2", Some(2)).expect_err("both").to_string().contains("axis `seed`"));
    for repeat in [0, 1, 10_001] {
        let error = with(&[], "requests=2", Some(repeat)).expect_err("few or many").to_string();
        assert!(error.contains(&format!("repeat is {repeat}")), "{error}");
    }
    assert_eq!(with(&[], "seed=5", Some(3)), Ok(Ok(7)));
    let beyond = with(&[], &format!("seed={}", u64::MAX), Some(2)).expect("a plan").expect_err("beyond");
    assert!(beyond.to_string().contains("repeat 1"), "{beyond}");
    let error = with(&["requests=1"], "seed=nonsense", None).expect("a plan").expect_err("a bad setting");
    assert_eq!(error.to_string().split(':').next(), Some("--set seed=nonsense"));
}

#[test]
fn what_only_an_axis_completes_may_be_missing_in_the_scenario() {
    let text = SCENARIO.replace("requests = 1000\n", "");
    let spec = SweepSpec { axes: vec![axis("requests=5,6")], ..SweepSpec::default() };
    let plan = SweepPlan::new("small", &text, spec).expect("a plan");
    assert_eq!(plan.point(1).expect("a point").scenario.requests, Some(6));
    assert!(plan.base_toml().contains("topology.vfs_per_adapter = 4\n"), "{}", plan.base_toml());
    assert!(plan.base_toml().parse::<toml::Table>().is_ok());
}

#[test]
fn a_file_says_the_same_as_the_command_line() {
    let file = SweepFile::parse(
        "sweep.toml",
        r#"
        scenario = "default"
        repeat = 3
        set = { requests = 1000, "iommu.iotlb.replacement" = "fifo" }
        [axes]
        iommu.iotlb.entries = "64..256:*2"
        "iommu.iotlb.ways" = [4, "full"]
        tenants.inference.memory.pages = [128, "256..512:*2"]
        audit = "off"
        seed.x = 1
        "#,
    )
    .expect("a sweep");
    assert_eq!(file.scenario, "default");
    let expected = [
        "iommu.iotlb.entries=64..256:*2",
        "iommu.iotlb.ways=4,\"full\"",
        "tenants.inference.memory.pages=128,256..512:*2",
        "audit=off",
        "seed.x=1",
    ];
    assert_eq!(file.spec.axes, expected.map(axis));
    let set = [Override::new("requests", "1000"), Override::new("iommu.iotlb.replacement", "\"fifo\"")];
    assert_eq!(file.spec.settings, set);
    assert_eq!((file.spec.zip, file.spec.repeat), (false, Some(3)));
    let list = SweepFile::parse("f", "scenario = 's'\nset = ['requests=5']\nzip = true\n[axes]\nseed = 1\n");
    let spec = list.expect("a sweep").spec;
    assert_eq!((spec.zip, spec.settings), (true, vec![Override::new("requests", "5")]));
}

#[test]
fn a_file_is_a_sweep_by_its_axes() {
    assert!(SweepFile::is_one("scenario = 'x'\n[axes]\nseed = 1\n"));
    assert!(!SweepFile::is_one(SCENARIO) && !SweepFile::is_one("[axes"));
    for (text, place, words) in [
        ("[axes]\nseed = 1\n", "f", &["`scenario`"][..]),
        ("scenario = 1\n[axes]\n", "f:1", &["`scenario`"]),
        ("scenario = 's'\naxes = 3\n", "f:2", &["`axes`"]),
        ("scenario = 's'\nzpi = true\n[axes]\n", "f:2", &["`zpi`", "`zip`"]),
        ("scenario = 's'\nzip = 1\n[axes]\n", "f:2", &["`zip`"]),
        ("scenario = 's'\nrepeat = -1\n[axes]\n", "f:2", &["`repeat`"]),
        ("scenario = 's'\nset = 'a=b'\n[axes]\n", "f:2", &["`set`"]),
        ("scenario = 's'\nset = ['a']\n[axes]\n", "f:2", &["key=value"]),
        ("scenario = 's'\n[axes]\nseed = []\n", "f:3", &["`seed`", "no values"]),
        ("scenario = 's'\n[axes]\nseed = ''\n", "f:3", &["`seed`", "no values"]),
        ("scenario = 's'\n[axes]\nseed = '1..x:1'\n", "f:3", &["`seed`", "`x`"]),
    ] {
        let error = SweepFile::parse("f", text).expect_err(text).to_string();
        assert!(error.starts_with(&format!("{place}: ")), "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

proptest! {
    /// Ranges of tenths, hundredths, ... equal ranges of whole numbers with the point moved.
    #[test]
    fn an_arithmetic_range_is_one_of_whole_numbers(start in -1000_i64..1000, steps in 0_i64..50, step in 1_i64..100, scale in 0_u32..9, down: bool) {
        let step = if down { -step } else { step };
        let unit = |units: i64| {
            let power = 10_i64.pow(scale);
            let sign = if units < 0 { "-" } else { "" };
            let (whole, fraction) = (units.abs() / power, units.abs() % power);
            if scale == 0 { units.to_string() } else { format!("{sign}{whole}.{fraction:0width$}", width = scale as usize) }
        };
        let text = format!("k={}..{}:{}", unit(start), unit(start + steps * step), unit(step));
        let numbers: Vec<f64> = axis(&text).items.iter().map(|item| item.text.parse().expect("a number")).collect();
        let expected: Vec<f64> = (0..=steps).map(|index| unit(start + index * step).parse().expect("a number")).collect();
        prop_assert_eq!(numbers, expected);
    }

    /// Decimals count as whole numbers do.
    #[test]
    fn decimals_are_exact(one in -1_000_000_i64..1_000_000, two in -1_000_000_i64..1_000_000, scale in 0_u32..6) {
        let decimal = |units: i64| Decimal::parse(&format!("{units}e-{scale}")).expect("a number");
        let power = 10_i128.pow(scale);
        let whole = |number: Option<Decimal>, power: i128| number.and_then(|number| number.times(Decimal::whole(power))).and_then(Decimal::to_whole);
        prop_assert_eq!(whole(decimal(one).plus(decimal(two)), power), Some(i128::from(one + two)));
        prop_assert_eq!(whole(decimal(one).times(decimal(two)), power * power), Some(i128::from(one) * i128::from(two)));
        prop_assert_eq!(decimal(one).cmp(&decimal(two)), one.cmp(&two));
        prop_assert_eq!(Decimal::parse(&decimal(one).to_string()), Some(decimal(one)));
    }

    /// No text makes the grammar panic, and what it takes has as many values as parts or more.
    #[test]
    fn any_text_is_an_axis_or_an_error(text in "[0-9a-z.,:*=\\[\\]{}\"' _+-]{0,40}") {
        if let Ok(axis) = Axis::parse(&text) {
            prop_assert!(!axis.items.is_empty());
            prop_assert!(axis.items.iter().all(|item| !item.text.is_empty()));
        }
    }
}
