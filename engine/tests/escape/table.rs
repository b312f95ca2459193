//! Every combination that the table tells apart, against the oracle.

use std::collections::BTreeMap;

use portcullis_engine::escape::{
    CaptureBuffer, DriverQueue, EscapeFlags, EscapeSpec, ExclusiveWindows, FilterPolicy, Handles, Header,
    Sender, Span, Wddm, adapter_handle, filter,
};
use portcullis_engine::topology::VmKind;
use portcullis_engine::units::Picoseconds;

use crate::oracle::{Answer, Case, answer};

pub const VM: u32 = 5;
pub const ADAPTER: u32 = 2;
/// Every kind of sender: what it is, and whether its conventional escapes are enabled.
pub const SENDERS: [(VmKind, bool); 5] = [
    (VmKind::HostProcess, true),
    (VmKind::Normal, true),
    (VmKind::Normal, false),
    (VmKind::Secure, true),
    (VmKind::Secure, false),
];
/// Sizes around every bound.
pub const SIZES: [u32; 18] =
    [0, 3, 4, 7, 8, 9, 47, 48, 49, 64, 65, 131_007, 131_008, 131_009, 131_024, 131_025, 131_072, 131_073];

pub fn sender((kind, escapes_enabled): (VmKind, bool)) -> Sender {
    Sender { vm: VM, kind, escapes_enabled, adapter: adapter_handle(ADAPTER), handles: Handles::of_vm(VM) }
}

/// The oracle's case of the same.
pub fn case<'a>(bytes: &'a [u8], sender: &Sender, spec: &EscapeSpec) -> Case<'a> {
    Case {
        bytes,
        kind: sender.kind,
        escapes_enabled: sender.escapes_enabled,
        vm: sender.vm,
        adapter: (1 << 31) + ADAPTER,
        first_handle: (VM + 1) * 1024,
        limit: spec.max_payload_bytes.into(),
        test_types: spec.allow_test_types,
        wddm: u32::from(spec.wddm.major) * 10 + u32::from(spec.wddm.minor),
        undocumented: spec.build_test_command_buffer_bytes.map(u64::from),
    }
}

/// What the engine makes of it.
pub fn engine_answer(
    bytes: &[u8],
    sender: &Sender,
    policy: &FilterPolicy,
    buffer: &mut CaptureBuffer,
) -> (bool, &'static str, bool) {
    let (ruling, handed) = filter(&bytes, sender, policy, buffer, |handed| {
        (handed.payload == &bytes[48..], handed.ruling.flags.has(EscapeFlags::VIRTUAL_MACHINE_DATA))
    });
    let (same_payload, stamped) = handed.unwrap_or((true, false));
    assert!(same_payload, "the driver gets the payload");
    assert_eq!(ruling.is_allowed(), handed.is_some(), "the driver gets what is allowed, and nothing else");
    (ruling.is_allowed(), ruling.reason.name(), stamped)
}

/// A packet whose payload begins with the number of a known escape and a handle.
pub fn packet(header: Header, known: u32, handle: u32) -> Vec<u8> {
    let mut bytes = header.encode().to_vec();
    let payload = header.payload_bytes as usize;
    let start = [known.to_le_bytes(), handle.to_le_bytes()].concat();
    bytes.extend(&start[..start.len().min(payload)]);
    bytes.resize(48 + payload, 0xA5);
    bytes
}

/// Every kind of sender x type x low flag byte x size around a bound, and for known escapes x number, with a
/// handle that is the sender's and one that is not.
#[test]
fn every_row_is_decided_as_the_oracle_says() {
    let own = Handles::of_vm(VM).handle(7);
    let specs = [
        EscapeSpec::default(),
        EscapeSpec { wddm: Wddm::new(2, 9), allow_test_types: true, ..EscapeSpec::default() },
        EscapeSpec {
            build_test_command_buffer_bytes: Some(64),
            max_payload_bytes: 48,
            ..EscapeSpec::default()
        },
        EscapeSpec { wddm: Wddm::new(2, 4), ..EscapeSpec::default() },
    ];
    let mut buffer = CaptureBuffer::default();
    let mut seen: BTreeMap<(VmKind, Answer), u64> = BTreeMap::new();
    let mut compared = 0;
    for size in SIZES {
        for escape_type in [0, 1, 6, 8, 37, 39, u32::MAX] {
            let header = Header {
                adapter: adapter_handle(ADAPTER),
                escape_type,
                payload_bytes: size,
                sender: VM,
                ..Header::default()
            };
            // Sizes that hold no number do not tell known escapes apart.
            let numbers: &[u32] = if size < 8 || escape_type > 1 { &[0] } else { &[0, 1, 2, 3, 4, u32::MAX] };
            for (number, handle) in numbers.iter().flat_map(|number| [(number, own), (number, own + 1024)]) {
                let mut bytes = packet(header, *number, handle);
                for flags in 0..=255_u8 {
                    bytes[24] = flags;
                    for (of_sender, spec) in
                        SENDERS.iter().flat_map(|of| specs.iter().map(move |spec| (of, spec)))
                    {
                        let sender = sender(*of_sender);
                        let expected = answer(&case(&bytes, &sender, spec));
                        let found = engine_answer(&bytes, &sender, &spec.policy(), &mut buffer);
                        assert_eq!(
                            found,
                            (expected.allowed, expected.reason, expected.stamped),
                            "{of_sender:?}, {spec:?}: {size} bytes, type {escape_type}, flags {flags:#x}, \
                             known {number}, handle {handle}; row {}",
                            expected.row
                        );
                        *seen.entry((sender.kind, expected)).or_default() += 1;
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 1_000_000, "{compared} packets were compared");
    let rows = |kind: VmKind| {
        let mut rows: Vec<u32> = seen.keys().filter(|(of, _)| *of == kind).map(|(_, is)| is.row).collect();
        rows.dedup();
        rows
    };
    // Rows 1 and 3 are those of the next test.
    assert_eq!(rows(VmKind::HostProcess), [4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(rows(VmKind::Normal), [2, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(rows(VmKind::Secure), [2, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
}

/// The bits of the flags that are reserved, one by one, and the fields of the header, each of its bytes changed.
#[test]
fn every_field_of_the_header_is_checked() {
    let spec = EscapeSpec::default();
    let mut buffer = CaptureBuffer::default();
    let own = Handles::of_vm(VM);
    let mut rows = [0_u32; 13];
    for (device, context) in
        [(0, 0), (own.handle(1), 0), (own.handle(1), own.handle(1023)), (0, own.handle(2))]
    {
        let header = Header {
            adapter: adapter_handle(ADAPTER),
            device,
            context,
            payload_bytes: 8,
            sender: VM,
            sequence: 3,
            ..Header::default()
        };
        let whole = packet(header, 0, own.handle(0));
        let lengths = (0..whole.len()).map(|length| whole[..length].to_vec());
        let longer = [[&whole[..], &[0]].concat()];
        let changed = (0..56).flat_map(|at| (0..=255).map(move |byte| (at, byte)));
        let changed = changed.map(|(at, byte)| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            bytes
        });
        for bytes in lengths.chain(longer).chain(changed) {
            for of_sender in SENDERS {
                let sender = sender(of_sender);
                let expected = answer(&case(&bytes, &sender, &spec));
                let found = engine_answer(&bytes, &sender, &spec.policy(), &mut buffer);
                assert_eq!(
                    found,
                    (expected.allowed, expected.reason, expected.stamped),
                    "{of_sender:?}: {bytes:x?}"
                );
                rows[expected.row as usize] += 1;
            }
        }
    }
    for row in [1, 3, 4, 5, 6, 7, 9, 10, 11, 12] {
        assert!(rows[row] > 0, "row {row} was reached");
    }
}

/// A window defers what is allowed to its end, and nothing that is denied, for every sender and flag byte.
#[test]
fn a_window_defers_what_is_allowed_and_nothing_else() {
    let spec = EscapeSpec { filter_ns: 0.0, ..EscapeSpec::default() };
    let (begin, inside, end) = (Picoseconds(1_000), Picoseconds(1_500), Picoseconds(9_000));
    let mut open = ExclusiveWindows::never();
    open.push(Span { begin, end });
    let mut buffer = CaptureBuffer::default();
    for (of_sender, flags) in SENDERS.iter().flat_map(|of| (0..=255_u8).map(move |flags| (of, flags))) {
        let header = Header { adapter: adapter_handle(ADAPTER), sender: VM, ..Header::default() };
        let mut bytes = packet(Header { payload_bytes: 8, ..header }, 0, Handles::of_vm(VM).handle(1));
        bytes[24] = flags;
        let sender = sender(*of_sender);
        let expected = answer(&case(&bytes, &sender, &spec));
        let (ruling, _) = filter(&&bytes[..], &sender, &spec.policy(), &mut buffer, |_| ());
        for (windows, is_open) in [(ExclusiveWindows::never(), false), (open.clone(), true)] {
            let mut queue = DriverQueue::default();
            let (times, stall) =
                queue.dispatch(inside, &ruling, &windows, &spec.times()).expect("windows are known");
            let deferred = expected.allowed && is_open;
            assert_eq!(times.deferred, deferred, "{of_sender:?}, flags {flags:#x}");
            assert_eq!(times.decided, if deferred { end } else { inside });
            assert_eq!(stall.is_some(), expected.allowed && flags & 1 != 0);
        }
    }
}
