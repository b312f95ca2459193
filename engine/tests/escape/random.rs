//! Bytes at random: the parser and the filter never panic, and say what the oracle says.

use portcullis_engine::escape::{
    CaptureBuffer, EscapeFlags, EscapeSpec, Handles, Header, Wddm, adapter_handle, parse,
};
use proptest::prelude::*;

use crate::oracle::answer;
use crate::table::{ADAPTER, SENDERS, VM, case, engine_answer, packet, sender};

/// Packets near the valid ones, which random bytes never come to.
fn nearly_valid() -> impl Strategy<Value = Vec<u8>> {
    let own = Handles::of_vm(VM);
    let handle = prop_oneof![Just(0), (0_u32..2000).prop_map(move |n| own.handle(0) + n), any::<u32>()];
    let flags =
        prop_oneof![0_u32..256, prop::sample::select(vec![0x40, 0x80, 0x8, 0x41, 0x100]), any::<u32>()];
    let fields = (handle.clone(), handle.clone(), prop_oneof![Just(0_u32), 0_u32..45], flags, 0_u32..70);
    let tampering = prop::collection::vec((0_usize..118, any::<u8>()), 0..3);
    (fields, handle, 0_u32..5, tampering, prop_oneof![Just(None), (0_usize..120).prop_map(Some)]).prop_map(
        |((device, context, escape_type, flags, payload_bytes), handle, known, tampering, length)| {
            let header = Header {
                adapter: adapter_handle(ADAPTER),
                device,
                context,
                escape_type,
                flags: EscapeFlags(flags),
                payload_bytes,
                sender: VM,
                sequence: 9,
            };
            let mut bytes = packet(header, known, handle);
            for (at, byte) in tampering {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            if let Some(length) = length {
                bytes.resize(length, 0);
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_decided_as_the_oracle_says(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..120), nearly_valid()],
        of_sender in prop::sample::select(SENDERS.to_vec()),
        version in prop::sample::select(Wddm::ALL.to_vec()),
        limit in prop_oneof![Just(131_008_u32), 0_u32..80],
        allow_test_types: bool,
    ) {
        let spec = EscapeSpec { wddm: version, max_payload_bytes: limit, allow_test_types, ..EscapeSpec::default() };
        let sender = sender(of_sender);
        let expected = answer(&case(&bytes, &sender, &spec));
        let found = engine_answer(&bytes, &sender, &spec.policy(), &mut CaptureBuffer::default());
        prop_assert_eq!(found, expected.without_row());
    }

    #[test]
    fn a_header_is_parsed_as_it_was_encoded(
        words in prop::array::uniform6(any::<u32>()),
        sequence: u64,
        payload_bytes in 0_u32..300,
    ) {
        let [adapter, device, context, escape_type, flags, sender] = words;
        let flags = EscapeFlags(flags);
        let header = Header { adapter, device, context, escape_type, flags, payload_bytes, sender, sequence };
        let bytes = packet(header, 1, 2);
        let parsed = parse(&bytes, bytes.len()).expect("a packet");
        prop_assert_eq!(parsed.header, header);
        prop_assert_eq!(parsed.payload, &bytes[48..]);
    }
}
