//! Copies, parses and judges escapes, for profilers: `cargo run --release -p portcullis-benches --example escapes -- known 1000`
//! goes a thousand times over 4,096 known escapes of a secure VM; any other key of a mix is sent by a normal VM.

use portcullis_benches::packets::Packets;
use portcullis_engine::escape::CaptureBuffer;
use portcullis_engine::topology::VmKind;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_else(|| "known".to_owned());
    let rounds: u32 = arguments.next().map_or(1_000, |rounds| rounds.parse().expect("a number of rounds"));
    let vm = if kind == "known" { VmKind::Secure } else { VmKind::Normal };
    let packets = Packets::new(4_096, vm, &format!("{{ {kind} = 1 }}"));
    let mut buffer = CaptureBuffer::default();
    let allowed: u64 = (0..rounds).map(|_| packets.judge(&mut buffer)).sum();
    println!("{allowed} of {} packets were allowed", packets.len() as u64 * u64::from(rounds));
}
