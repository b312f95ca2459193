//! What a device measures, and what of it is memory's.

use super::*;
use crate::link::LinkSpec;

#[test]
fn a_round_trip_is_cut_into_its_stages() {
    let link = LinkSpec { generation: 3, lanes: 8, ..LinkSpec::default() };
    let mut memory = MemorySpec { base_read_ns: Some(432.0), ..MemorySpec::default() };
    memory.derive_read_ns(&link, 2.0).expect("enough time");
    // 24 bytes there and 84 back at 57.88 Gb/s, 100 ns each way, 2 ns to look up.
    let expected = 432.0 - 108.0 * 8.0 / 57.88 - 202.0;
    assert!((memory.read_ns - expected).abs() < 0.01, "{}", memory.read_ns);
    assert_eq!(memory.base_read_ns, None);
    memory.validate().expect("it is derived");
}

#[test]
fn too_short_a_round_trip_is_refused_with_the_least() {
    let link = LinkSpec { propagation_ns: 250.0, ..LinkSpec::default() };
    let mut memory = MemorySpec { base_read_ns: Some(500.0), ..MemorySpec::default() };
    let error = memory.derive_read_ns(&link, 2.0).expect_err("no time is left");
    assert_eq!(error.key, "memory.base_read_ns");
    let least: f64 = error
        .problem
        .split_once("alone take ")
        .and_then(|(_, rest)| rest.split_once(','))
        .and_then(|(least, _)| least.parse().ok())
        .expect("the least is named");
    let mut memory = MemorySpec { base_read_ns: Some(least), ..MemorySpec::default() };
    memory.derive_read_ns(&link, 2.0).expect("the least will do");
    assert_eq!(memory.read_ns, 0.0);
}

#[test]
fn nothing_runs_on_what_is_not_derived() {
    let memory = MemorySpec { base_read_ns: Some(432.0), ..MemorySpec::default() };
    assert_eq!(memory.validate().expect_err("not derived").key, "memory.base_read_ns");
}
