//! Every combination that the table tells apart, against the oracle.

use std::cell::Cell;
use std::collections::BTreeMap;

use portcullis_engine::escape::{
    CaptureBuffer, Dispatch, DriverQueue, EscapeFlags, EscapeSpec, EscapeTimes, ExclusiveWindows,
    FilterPolicy, GuestMemory, Handles, Header, Ruling, Sender, Span, Wddm, adapter_handle, filter,
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

/// Whether a packet is allowed, why, whether the driver gets the host's stamp, and which kind of escape it is.
pub type Found = (bool, &'static str, bool, &'static str);

/// What the engine makes of bytes.
pub fn engine_answer(
    bytes: &[u8],
    sender: &Sender,
    policy: &FilterPolicy,
    buffer: &mut CaptureBuffer,
) -> Found {
    answer_of(&bytes, bytes, sender, policy, buffer).0
}

/// What the engine makes of a guest's memory, which holds `bytes`.
fn answer_of(
    memory: &impl GuestMemory,
    bytes: &[u8],
    sender: &Sender,
    policy: &FilterPolicy,
    buffer: &mut CaptureBuffer,
) -> (Found, Ruling) {
    let (ruling, handed) = filter(memory, sender, policy, buffer, |handed| {
        let payload = &bytes[48..];
        let start = ..payload.len().min(HEAD_BYTES);
        let same = handed.payload.len() == payload.len() && handed.payload[start] == payload[start];
        (same, handed.ruling.flags.has(EscapeFlags::VIRTUAL_MACHINE_DATA))
    });
    let (same_payload, stamped) = handed.unwrap_or((true, false));
    assert!(same_payload, "the driver gets the payload");
    assert_eq!(ruling.is_allowed(), handed.is_some(), "the driver gets what is allowed, and nothing else");
    ((ruling.is_allowed(), ruling.reason.name(), stamped, ruling.class.name()), ruling)
}

/// A packet whose payload begins with the number of a known escape and a handle.
pub fn packet(header: Header, known: u32, handle: u32) -> Vec<u8> {
    let mut bytes = vec![0xA5; 48 + header.payload_bytes as usize];
    write_head(&mut bytes, header, known, handle);
    bytes
}

/// Writes the header, and what of the payload's beginning there is room for, over those of another packet.
fn write_head(bytes: &mut [u8], header: Header, known: u32, handle: u32) {
    let head = [&header.encode()[..], &known.to_le_bytes(), &handle.to_le_bytes()].concat();
    let room = head.len().min(bytes.len());
    bytes[..room].copy_from_slice(&head[..room]);
}

/// Bytes that packets of the enumeration do not have in common lie in the first of a packet.
const HEAD_BYTES: usize = 64;

/// A guest whose packets differ in their heads alone: what follows is copied once a length, and is in the host's
/// buffer from then on. So the longest cost no more than the shortest.
struct SameTail<'a> {
    bytes: &'a [u8],
    copied_before: &'a Cell<usize>,
}

impl GuestMemory for SameTail<'_> {
    fn message_bytes(&self) -> usize {
        self.bytes.len()
    }
    fn read(&self, target: &mut [u8]) {
        let fresh = target.len() > self.copied_before.get();
        let bytes = if fresh { target.len() } else { target.len().min(HEAD_BYTES) };
        target[..bytes].copy_from_slice(&self.bytes[..bytes]);
        self.copied_before.set(self.copied_before.get().max(target.len()));
    }
}

/// A packet each millisecond of one adapter, whose window is open in the middle of it, or is not.
struct Driver {
    open: bool,
    queue: DriverQueue,
    windows: ExclusiveWindows,
    now: Picoseconds,
}

impl Driver {
    const STEP: Picoseconds = Picoseconds::from_us(1_000);
    const INSIDE: Picoseconds = Picoseconds::from_us(300);
    const WINDOW_END: Picoseconds = Picoseconds::from_us(500);

    fn new(open: bool) -> Self {
        let (queue, windows) = (DriverQueue::default(), ExclusiveWindows::never());
        Self { open, queue, windows, now: Picoseconds::ZERO }
    }

    /// Sends a packet into the window, and sees that it is deferred to its end if it is allowed, answered at once
    /// if it is denied, and that it stalls the adapter only if it may touch hardware.
    fn send(&mut self, ruling: &Ruling, expected: &Answer, low_flags: u8, times: &EscapeTimes) {
        let begin = self.now;
        let (inside, end) = (begin + Self::INSIDE, begin + Self::WINDOW_END);
        if self.open {
            self.windows.push(Span { begin, end });
        }
        let mut stalls = false;
        let dispatched = match self.queue.dispatch(inside, ruling, &self.windows, times) {
            Dispatch::Over(dispatched) => dispatched,
            Dispatch::Due(due) => {
                stalls = true;
                let begin = self.windows.next_outside(due).expect("windows are known");
                let end = begin + times.hardware_access;
                self.queue.stalled(Span { begin, end }, &self.windows)
            }
            Dispatch::NotKnown(_) => panic!("windows are known"),
        };
        let deferred = expected.allowed && self.open;
        assert_eq!(dispatched.deferred, deferred, "window open: {}, {expected:?}", self.open);
        let judged = inside + times.filter;
        assert_eq!(dispatched.decided, if deferred { end } else { judged }, "{expected:?}");
        assert_eq!(stalls, expected.allowed && low_flags % 2 == 1, "{expected:?}");
        self.now += Self::STEP;
        self.windows.forget_until(self.now);
    }
}

/// How the filter may be set: each changes rows of its own.
fn specs() -> [EscapeSpec; 4] {
    let default = EscapeSpec::default();
    [
        default.clone(),
        EscapeSpec { wddm: Wddm::new(2, 9), allow_test_types: true, ..default.clone() },
        EscapeSpec { build_test_command_buffer_bytes: Some(64), max_payload_bytes: 48, ..default.clone() },
        EscapeSpec { wddm: Wddm::new(2, 4), ..default },
    ]
}

/// Device, context and high flag bits of a header: those of an honest one first, then one thing wrong at a time.
fn headers() -> [(u32, u32, u32); 9] {
    let (own, foreign) = (Handles::of_vm(VM), Handles::of_vm(VM + 1).handle(0));
    let (device, context) = (own.handle(1), own.handle(1023));
    [
        (0, 0, 0),
        (device, 0, 0),
        (device, context, 0),
        (0, context, 0),
        (foreign, 0, 0),
        (device, foreign, 0),
        (device, context, 0x100),
        (0, 0, 0x0080_0000),
        (0, 0, 0x8000_0000),
    ]
}

/// Types, with the numbers of known escapes and the handles that the payload begins with. Only type 0 may be a
/// known escape, and a payload that is too short holds neither.
fn payloads(payload_bytes: u32) -> Vec<(u32, u32, u32)> {
    let (own, foreign) = (Handles::of_vm(VM).handle(7), Handles::of_vm(VM + 1).handle(7));
    let of_types = [1, 6, 8, 37, 39, u32::MAX].map(|escape_type| (escape_type, 0, own));
    let mut all = of_types.to_vec();
    if payload_bytes < 8 {
        all.push((0, 0, own));
    } else {
        let numbers = [0, 1, 2, 3, 4, u32::MAX];
        all.extend(numbers.into_iter().flat_map(|number| [(0, number, own), (0, number, foreign)]));
    }
    all
}

/// What is the same of all packets of the enumeration, and what was found.
struct Enumeration {
    drivers: [Driver; 2],
    buffer: CaptureBuffer,
    copied_before: Cell<usize>,
    /// Packets by the kind of their sender and the row that decided.
    rows: BTreeMap<VmKind, [u64; 13]>,
}

impl Enumeration {
    /// Every kind of sender, setting and low flag byte, for one packet but for that byte.
    fn compare_all_flags(&mut self, bytes: &mut [u8], senders: &[Sender], specs: &[EscapeSpec]) {
        for spec in specs {
            let (policy, times) = (spec.policy(), spec.times());
            for sender in senders {
                let mut rows = [0; 13];
                for low in 0..=255_u8 {
                    bytes[24] = low;
                    let expected = answer(&case(bytes, sender, spec));
                    let memory = SameTail { bytes, copied_before: &self.copied_before };
                    let (found, ruling) = answer_of(&memory, bytes, sender, &policy, &mut self.buffer);
                    assert_eq!(
                        found,
                        expected.without_row(),
                        "{sender:?}, {spec:?}: {} bytes, {:x?}; row {}",
                        bytes.len(),
                        &bytes[..HEAD_BYTES.min(bytes.len())],
                        expected.row
                    );
                    for driver in &mut self.drivers {
                        driver.send(&ruling, &expected, low, &times);
                    }
                    rows[expected.row as usize] += 1;
                }
                let sums = self.rows.entry(sender.kind).or_default();
                sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum += row);
            }
        }
    }
}

/// Kind of sender x type and number of the known escape x low flag byte x size around a bound x header with a
/// thing wrong x setting of the filter x window open or not: all combined.
#[test]
fn every_row_is_decided_as_the_oracle_says() {
    let specs = specs();
    let senders = SENDERS.map(sender);
    let mut enumeration = Enumeration {
        drivers: [false, true].map(Driver::new),
        buffer: CaptureBuffer::default(),
        copied_before: Cell::new(0),
        rows: BTreeMap::new(),
    };
    for payload_bytes in SIZES {
        let header =
            Header { adapter: adapter_handle(ADAPTER), payload_bytes, sender: VM, ..Header::default() };
        let mut bytes = packet(header, 0, 0);
        for (device, context, high_flags) in headers() {
            for (escape_type, number, handle) in payloads(payload_bytes) {
                let header =
                    Header { device, context, escape_type, flags: EscapeFlags(high_flags), ..header };
                write_head(&mut bytes, header, number, handle);
                enumeration.compare_all_flags(&mut bytes, &senders, &specs);
            }
        }
    }
    let reached = |kind: VmKind| (0..13).filter(|row| enumeration.rows[&kind][*row] > 0).collect::<Vec<_>>();
    // Row 1 is that of the next test.
    assert_eq!(reached(VmKind::HostProcess), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(reached(VmKind::Normal), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(reached(VmKind::Secure), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    let compared: u64 = enumeration.rows.values().flatten().sum();
    let heads: u64 = SIZES.map(|size| payloads(size).len() as u64 * headers().len() as u64).iter().sum();
    assert_eq!(compared, heads * 256 * SENDERS.len() as u64 * specs.len() as u64, "none was left out");
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
                assert_eq!(found, expected.without_row(), "{of_sender:?}: {bytes:x?}");
                rows[expected.row as usize] += 1;
            }
        }
    }
    for row in [1, 3, 4, 5, 6, 7, 9, 10, 11, 12] {
        assert!(rows[row] > 0, "row {row} was reached");
    }
}
