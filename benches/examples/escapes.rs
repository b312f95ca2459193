//! Copies, parses and judges escapes, for profilers: `cargo run --release -p portcullis-benches --example escapes -- known 1000`
//! goes a thousand times over 4,096 known escapes of a secure VM; any other key of a mix is sent by a normal VM.

use std::hint::black_box;

use portcullis_benches::packets::Packets;
use portcullis_engine::escape::{CaptureBuffer, Verdict};
use portcullis_engine::topology::VmKind;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_else(|| "known".to_owned());
    let rounds: u32 = arguments.next().map_or(1_000, |rounds| rounds.parse().expect("a number of rounds"));
    let vm = if kind == "known" { VmKind::Secure } else { VmKind::Normal };
    let packets = Packets::new(4_096, vm, &format!("{{ {kind} = 1 }}"));
    let mut buffer = CaptureBuffer::default();
    let mut verdicts = vec![Verdict::default(); packets.len()];
    for _ in 0..rounds {
        packets.judge(&mut buffer, black_box(&mut verdicts));
    }
    let allowed = verdicts.iter().filter(|verdict| verdict.ruling.is_allowed()).count();
    println!("{allowed} of {} packets were allowed", packets.len());
}
