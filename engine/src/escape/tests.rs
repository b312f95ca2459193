//! What needs no oracle: sizes, versions, handles, the specification.

use super::*;

#[test]
fn a_message_of_the_vmbus_holds_131_008_bytes_of_payload() {
    assert_eq!(PAYLOAD_BYTES_MAX, 131_008);
    assert_eq!(EscapeSpec::default().max_payload_bytes, PAYLOAD_BYTES_MAX);
}

#[test]
fn known_escapes_are_those_of_the_version() {
    let of = |text: &str, undocumented| {
        let version: Wddm = text.parse().expect("a version");
        KnownEscapes::of(version, undocumented).iter().collect::<Vec<_>>()
    };
    assert_eq!(of("2.4", None), []);
    assert_eq!(of("2.5", None), [(0, 8), (1, 8)]);
    assert_eq!(of("2.9", None), [(0, 8), (1, 8)]);
    assert_eq!(of("3.0", Some(64)), [(0, 8), (1, 8), (2, 48)]);
    assert_eq!(of("3.2", None), [(0, 8), (1, 8), (2, 48)]);
    assert_eq!(of("3.2", Some(64)), [(0, 8), (1, 8), (2, 48), (3, 64)]);
    for (at, known) in KNOWN_ESCAPES.iter().enumerate() {
        assert_eq!(known.number as usize, at, "the registry is in order");
    }
}

#[test]
fn versions_are_in_order_and_others_are_refused() {
    assert!(Wddm::ALL.is_sorted());
    for version in Wddm::ALL {
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    for text in ["", "3", "2.10", "3.3", "1.0", "3.2 ", "v3.2"] {
        assert!(text.parse::<Wddm>().is_err(), "{text:?}");
    }
}

#[test]
fn handles_of_vms_are_apart_from_each_other_and_from_those_of_adapters() {
    let last_vm = crate::topology::VFS_MAX as u32 - 1;
    for vm in [0, 1, 77, last_vm] {
        let handles = Handles::of_vm(vm);
        assert!(handles.owns(handles.handle(0)) && handles.owns(handles.handle(Handles::COUNT - 1)));
        assert!(
            !handles.owns(handles.handle(0) - 1) && !handles.owns(handles.handle(Handles::COUNT - 1) + 1)
        );
        assert!(!handles.owns(0), "0 names nothing");
        assert!(!handles.owns(adapter_handle(0)) && !handles.owns(adapter_handle(63)));
    }
    assert_eq!(Handles::of_vm(4).handle(Handles::COUNT - 1) + 1, Handles::of_vm(5).handle(0));
}

#[test]
fn the_driver_knows_commands_of_the_length_they_claim() {
    let payload = |command: u32, length: u32, bytes: usize| {
        let mut payload = [command.to_le_bytes(), length.to_le_bytes()].concat();
        payload.resize(bytes, 0);
        is_well_formed(&payload)
    };
    assert!(is_well_formed(&[]));
    assert!(payload(0, 8, 8) && payload(DRIVER_COMMANDS - 1, 100, 100));
    assert!(!payload(DRIVER_COMMANDS, 8, 8));
    assert!(!payload(0, 9, 8) && !payload(0, 8, 9) && !payload(0, u32::MAX, 8));
    for bytes in 1..8 {
        assert!(!payload(0, bytes as u32, bytes), "{bytes} bytes hold no command");
    }
}

#[test]
fn a_specification_that_cannot_be_built_names_its_key() {
    let key = |spec: EscapeSpec| spec.validate().expect_err("it cannot be built").key;
    let spec = EscapeSpec::default();
    assert_eq!(spec.validate(), Ok(()));
    assert_eq!(key(EscapeSpec { max_payload_bytes: 131_009, ..spec.clone() }), "escape.max_payload_bytes");
    assert_eq!(key(EscapeSpec { filter_ns: -1.0, ..spec.clone() }), "escape.filter_ns");
    assert_eq!(key(EscapeSpec { hardware_access_us: f64::NAN, ..spec.clone() }), "escape.hardware_access_us");
    assert_eq!(key(EscapeSpec { waiting_packets: 0, ..spec.clone() }), "escape.waiting_packets");
    let undocumented = EscapeSpec { build_test_command_buffer_bytes: Some(8), ..spec };
    assert_eq!(undocumented.validate(), Ok(()));
    let older = EscapeSpec { wddm: Wddm::new(3, 1), ..undocumented.clone() };
    assert_eq!(key(older), "escape.build_test_command_buffer_bytes");
    let short = EscapeSpec { build_test_command_buffer_bytes: Some(7), ..undocumented };
    assert_eq!(key(short), "escape.build_test_command_buffer_bytes");
}
