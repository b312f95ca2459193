//! Wire times against the PCIe model's own numbers.

use super::*;
use crate::ids::Iova;
use crate::request::{Op, Transfer};
use crate::units::Picoseconds;

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

/// Completions of a read from `at`, counted as a completer makes them: request by request, each completion as long as it may be
/// and its end at a multiple of the boundary, unless the request ends before.
fn completions(spec: &LinkSpec, at: u64, bytes: u64) -> u64 {
    let most = u64::from(spec.completion_bytes.unwrap_or(spec.mps));
    let rcb = u64::from(spec.rcb.unwrap_or(1));
    let mut count = 0;
    for start in (0..bytes).step_by(spec.mrrs as usize) {
        let mut next = at + start;
        let end = at + bytes.min(start + u64::from(spec.mrrs));
        while next < end {
            next = end.min((next + most) / rcb * rcb);
            count += 1;
        }
    }
    count
}

#[test]
fn completions_end_at_the_read_completion_boundary() {
    for (rcb, completion_bytes, mps, mrrs) in [
        (64, None, 256, 512),
        (128, None, 256, 512),
        (64, Some(64), 256, 512),
        (128, Some(128), 128, 4_096),
        (64, Some(128), 512, 128),
    ] {
        let spec = LinkSpec { rcb: Some(rcb), completion_bytes, mps, mrrs, ..LinkSpec::default() };
        spec.validate().expect("it can be built");
        let wires = WireTimes::new(&spec);
        let without_headers = WireTimes::new(&LinkSpec { completion_header_bytes: 0, ..spec.clone() });
        for at in [0, 1, 4, 63, 64, 65, 127, 128, 4_000] {
            for bytes in [1_u32, 63, 64, 65, 127, 128, 129, 256, 257, 511, 512, 513, 2_048, 4_096] {
                let headers = wires.downstream_from(Iova(at), bytes, true).0
                    - without_headers.downstream_from(Iova(at), bytes, true).0;
                let one = wires.downstream(bytes, false).0;
                let found = (headers + one / 2) / one;
                assert_eq!(found, completions(&spec, at, bytes.into()), "{spec:?}: {bytes} bytes from {at}");
                if at.is_multiple_of(128) {
                    assert_eq!(wires.downstream_from(Iova(at), bytes, true), wires.downstream(bytes, true));
                }
            }
        }
        assert_eq!(wires.downstream_from(Iova(1), 4_096, false), wires.downstream(4_096, false));
    }
}

/// A completion carries no more than its request asked for.
#[test]
fn short_requests_have_short_completions() {
    let wires = |mps, mrrs| WireTimes::new(&LinkSpec { mps, mrrs, ..LinkSpec::default() });
    assert_eq!(wires(512, 128).downstream(4_096, true), wires(128, 128).downstream(4_096, true));
    assert_eq!(wires(256, 512).downstream(4_096, true), wires(256, 4_096).downstream(4_096, true));
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
