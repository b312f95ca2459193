//! What does it cost to copy, parse and judge an escape, on one core?
//!
//! `cargo bench --locked --bench escape`
//!
//! Packets of 48 bytes of header and, but for `hostile`, 8 of payload: known escapes of a secure VM, conventional ones of a
//! normal VM and of a secure one, which denies them, and a hostile mix in which no branch is easy to predict.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use portcullis_benches::measure::{group, run};
use portcullis_benches::packets::Packets;
use portcullis_engine::escape::{CaptureBuffer, Verdict};
use portcullis_engine::topology::VmKind;

fn main() {
    run(&[escape]);
}

/// Packets a pass: their bytes stay in L2.
const PACKETS: usize = 4_096;

const CASES: [(&str, VmKind, &str); 4] = [
    ("known", VmKind::Secure, "{ known = 1 }"),
    ("conventional", VmKind::Normal, "{ conventional = 1 }"),
    ("denied", VmKind::Secure, "{ conventional = 1 }"),
    (
        "hostile",
        VmKind::Normal,
        "{ known = 1, common = 1, conventional = 1, malformed = 1, spoofed_flags = 1, foreign_handle = 1, random = 1 }",
    ),
];

fn escape(criterion: &mut Criterion) {
    let mut group = group(criterion, "escape");
    group.throughput(Throughput::Elements(PACKETS as u64));
    for (id, kind, mix) in CASES {
        let packets = Packets::new(PACKETS, kind, mix);
        let mut buffer = CaptureBuffer::default();
        let mut verdicts = vec![Verdict::default(); PACKETS];
        group.bench_function(id, |bencher| {
            bencher.iter(|| packets.judge(&mut buffer, black_box(&mut verdicts)))
        });
    }
}
