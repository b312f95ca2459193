//! What each kind of packet is: as the engine's filter judges it.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_engine::escape::{
    CaptureBuffer, EscapeFlags, EscapeSource, EscapeSpec, HEADER_BYTES, Handles, Header, PAYLOAD_BYTES_MAX,
    Sender, adapter_handle, filter, is_well_formed, parse,
};
use portcullis_engine::ids::{HostIndex, VfIndex};
use portcullis_engine::topology::VmKind;
use portcullis_engine::units::Picoseconds;

use super::*;
use crate::scenario::{EscapeMix, EscapesSpec, PacketBytes, SizeMix};

const WHO: VmIdentity = VmIdentity { vm: 9, adapter: 2 };

fn source(mix: EscapeMix) -> TenantEscapes {
    let spec = EscapesSpec {
        packets_per_s: 1e6,
        on_us: None,
        off_us: None,
        mix,
        sizes: SizeMix::PowersOfTwo { low: 8, high: 64 },
        corpus: vec![PacketBytes(vec![1, 2, 3]), PacketBytes(Vec::new())],
    };
    let stream = |purpose| stream(7, HostIndex(1), VfIndex(9), purpose);
    let tables = EscapeTables::new(&spec, &EscapeSpec::default().known_escapes());
    TenantEscapes::new(
        Arrivals::poisson(1e6, stream(Stream::EscapeArrivals)),
        Picoseconds::from_us(2_000),
        stream(Stream::Escapes),
        Arc::new(tables),
        WHO,
    )
}

fn packets(mix: EscapeMix) -> Vec<Vec<u8>> {
    let mut source = source(mix);
    let mut packets = Vec::new();
    while source.peek().is_some() {
        let mut memory = vec![0xEE; 3];
        source.emit(&mut memory);
        assert_eq!(memory[..3], [0xEE; 3], "it appends");
        packets.push(memory.split_off(3));
    }
    packets
}

/// The reasons that packets of one kind meet, and the share of them whose payload the driver does not know.
fn reasons(mix: EscapeMix, kind: VmKind) -> (BTreeSet<&'static str>, f64) {
    let policy = EscapeSpec::default().policy();
    let sender =
        Sender { vm: 9, kind, escapes_enabled: true, adapter: adapter_handle(2), handles: Handles::of_vm(9) };
    let (mut reasons, mut unknown) = (BTreeSet::new(), 0);
    let packets = packets(mix);
    assert!((1_700..2_300).contains(&packets.len()), "{} packets in 2 ms", packets.len());
    for packet in &packets {
        let (ruling, known) =
            filter(&&packet[..], &sender, &policy, &mut CaptureBuffer::default(), |handed| {
                is_well_formed(handed.payload)
            });
        reasons.insert(ruling.reason.name());
        unknown += u32::from(known == Some(false));
    }
    (reasons, f64::from(unknown) / packets.len() as f64)
}

#[test]
fn each_kind_of_packet_meets_the_reason_it_is_made_for() {
    let none = EscapeMix::default;
    let normal = |mix| reasons(mix, VmKind::Normal);
    for (mix, expected) in [
        (EscapeMix { known: 1.0, ..none() }, &["known"][..]),
        (EscapeMix { common: 1.0, ..none() }, &["common"]),
        (EscapeMix { conventional: 1.0, ..none() }, &["conventional"]),
        (EscapeMix { hardware_access: 1.0, ..none() }, &["conventional"]),
        (EscapeMix { test: 1.0, ..none() }, &["test_escape"]),
        (EscapeMix { runtime: 1.0, ..none() }, &["runtime_only"]),
        (EscapeMix { malformed: 1.0, ..none() }, &["malformed"]),
        (EscapeMix { random: 1.0, ..none() }, &["malformed"]),
        (EscapeMix { corpus: 1.0, ..none() }, &["malformed"]),
        (EscapeMix { malformed_payload: 1.0, ..none() }, &["common", "conventional"]),
        (EscapeMix { foreign_handle: 1.0, ..none() }, &["bad_known_escape", "invalid_handle"]),
        (EscapeMix { boundary: 1.0, ..none() }, &["bad_known_escape", "conventional", "known", "too_large"]),
    ] {
        let (found, _) = normal(mix.clone());
        assert_eq!(found, expected.iter().copied().collect(), "{mix:?}");
    }
    let (spoofed, _) = normal(EscapeMix { spoofed_flags: 1.0, ..none() });
    for reason in ["reserved_flag", "flag_conflict", "runtime_only", "ambiguous_class", "bad_known_escape"] {
        assert!(spoofed.contains(reason), "{reason} is not among {spoofed:?}");
    }
}

#[test]
fn the_driver_knows_what_is_well_formed_and_nothing_that_is_not() {
    let none = EscapeMix::default;
    let unknown = |mix| reasons(mix, VmKind::Normal).1;
    assert_eq!(unknown(EscapeMix { common: 1.0, conventional: 1.0, hardware_access: 1.0, ..none() }), 0.0);
    assert_eq!(unknown(EscapeMix { malformed_payload: 1.0, ..none() }), 1.0);
    let secure = reasons(EscapeMix { malformed_payload: 1.0, ..none() }, VmKind::Secure);
    assert_eq!(secure.1, 0.0, "nothing of it gets there");
}

#[test]
fn what_is_foreign_is_wrong_in_every_way_that_the_table_names() {
    let packets = packets(EscapeMix { foreign_handle: 1.0, ..EscapeMix::default() });
    let headers: Vec<_> =
        packets.iter().map(|packet| parse(packet, packet.len()).expect("a packet").header).collect();
    let own = |handle: u32| handle == 0 || Handles::of_vm(WHO.vm).owns(handle);
    let adapter = adapter_handle(WHO.adapter);
    let ways: [&dyn Fn(&Header) -> bool; 6] = [
        &|header| !own(header.device),
        &|header| !own(header.context),
        &|header| header.adapter != adapter,
        &|header| header.sender != WHO.vm,
        &|header| header.device == 0 && header.context != 0,
        &|header| header.flags.has(EscapeFlags::DRIVER_KNOWN),
    ];
    for header in &headers {
        assert_eq!(ways.iter().filter(|way| way(header)).count(), 1, "wrong in one way: {header:?}");
    }
    for (number, way) in ways.iter().enumerate() {
        let share = headers.iter().filter(|header| way(header)).count() as f64 / headers.len() as f64;
        assert!((share - 1.0 / 6.0).abs() < 0.05, "way {number}: {share}");
    }
}

#[test]
fn every_size_at_a_bound_is_sent() {
    let sizes: BTreeSet<usize> = packets(EscapeMix { boundary: 1.0, ..EscapeMix::default() })
        .iter()
        .map(|packet| packet.len() - HEADER_BYTES)
        .collect();
    assert_eq!(sizes, BOUNDARY_BYTES.iter().map(|bytes| *bytes as usize).collect());
    assert!(
        sizes.contains(&(PAYLOAD_BYTES_MAX as usize)) && sizes.contains(&(PAYLOAD_BYTES_MAX as usize + 1))
    );
}

#[test]
fn weights_are_shares() {
    let packets = packets(EscapeMix { known: 3.0, corpus: 1.0, ..EscapeMix::default() });
    let corpus = packets.iter().filter(|packet| packet.len() <= 3).count() as f64 / packets.len() as f64;
    assert!((corpus - 0.25).abs() < 0.03, "{corpus}");
}

/// The same bytes on every machine. A new digest here is a new version of the results: say so in CHANGELOG.md.
#[test]
fn packets_are_the_same_everywhere() {
    let mix = EscapeMix {
        corpus: 1.0,
        spoofed_flags: 1.0,
        random: 1.0,
        foreign_handle: 1.0,
        ..EscapeMix::well_formed()
    };
    let mut source = source(EscapeMix { malformed: 1.0, test: 1.0, malformed_payload: 1.0, ..mix });
    let mut digest = 0xCBF2_9CE4_8422_2325_u64;
    while let Some(time) = source.peek() {
        let mut bytes = time.0.to_le_bytes().to_vec();
        source.emit(&mut bytes);
        for byte in bytes {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
        }
    }
    assert_eq!(digest, 0xD10F_755A_BC93_397E, "{digest:#x}");
}
