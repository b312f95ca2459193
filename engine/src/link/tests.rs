//! Wire times against the PCIe model's own numbers.

use super::*;
use crate::request::{Op, Transfer};

/// Gb/s of payload for back-to-back DMAs on Gen3 x8: writes by their upstream time, reads by their
/// downstream time. The figures are those of the pcie-bench model (MPS 256, MRRS 512, 24 and 20
/// bytes a TLP).
#[test]
fn efficiency_is_that_of_the_pcie_model() {
    let spec = LinkSpec { generation: 3, lanes: 8, ..LinkSpec::default() };
    let wires = WireTimes::new(&spec);
    for (bytes, write, read) in [
        (64_u32, 42.10, 44.10),
        (128, 48.75, 50.06),
        (256, 52.92, 53.69),
        (257, 48.78, 50.09),
        (512, 52.92, 53.69),
        (2_048, 52.92, 53.69),
    ] {
        let gbps = |ps: u64| f64::from(bytes) * 8e3 / ps as f64;
        let upstream = wires.upstream(Transfer { length_bytes: bytes, op: Op::Write }).0;
        let downstream = wires.downstream(bytes, true).0;
        assert!((gbps(upstream) / write - 1.0).abs() < 0.001, "write {bytes}: {}", gbps(upstream));
        assert!((gbps(downstream) / read - 1.0).abs() < 0.001, "read {bytes}: {}", gbps(downstream));
    }
}

#[test]
fn a_read_request_is_one_header_each_mrrs() {
    let wires = WireTimes::new(&LinkSpec::default());
    let read = |length_bytes| wires.upstream(Transfer { length_bytes, op: Op::Read }).0;
    assert_eq!(read(1), read(512));
    assert!(read(513).abs_diff(2 * read(512)) <= 1);
}

#[test]
fn a_completion_without_data_is_one_header() {
    let wires = WireTimes::new(&LinkSpec::default());
    assert_eq!(wires.downstream(4_096, false) + wires.propagation, wires.least_downstream());
}

#[test]
fn a_rate_limit_spaces_starts_of_its_kind_only() {
    let spec = DeviceSpec { max_read_mops: 10.0, ..DeviceSpec::default() };
    let mut limits = RateLimits::new(&spec);
    limits.start(Op::Read, Picoseconds(5_000));
    limits.start(Op::Write, Picoseconds(6_000));
    assert_eq!(limits.earliest(Op::Read), Picoseconds(105_000));
    assert_eq!(limits.earliest(Op::Write), Picoseconds(6_000));
}
use crate::units::Picoseconds;
