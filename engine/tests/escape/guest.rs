//! A guest that changes its memory while the host looks at it.

use std::cell::{Cell, RefCell};

use portcullis_engine::escape::{
    CaptureBuffer, EscapeFlags, EscapeSpec, GuestMemory, Handles, Header, adapter_handle, decide, filter,
    parse,
};
use portcullis_engine::topology::VmKind;
use proptest::prelude::*;

use crate::table::{ADAPTER, VM, packet, sender};

/// Memory that is another after every read.
struct Restless {
    versions: Vec<Vec<u8>>,
    reads: Cell<usize>,
    read_bytes: RefCell<Vec<u32>>,
}

impl Restless {
    fn new(versions: Vec<Vec<u8>>) -> Self {
        let read_bytes = RefCell::new(vec![0; versions[0].len()]);
        Self { versions, reads: Cell::new(0), read_bytes }
    }
}

impl GuestMemory for Restless {
    fn message_bytes(&self) -> usize {
        self.versions[0].len()
    }
    fn read(&self, target: &mut [u8]) {
        let version = &self.versions[self.reads.get() % self.versions.len()];
        target.copy_from_slice(&version[..target.len()]);
        self.reads.set(self.reads.get() + 1);
        self.read_bytes.borrow_mut()[..target.len()].iter_mut().for_each(|count| *count += 1);
    }
}

fn known(handle: u32) -> Vec<u8> {
    let flags = EscapeFlags(EscapeFlags::DRIVER_KNOWN);
    let header =
        Header { adapter: adapter_handle(ADAPTER), flags, payload_bytes: 8, sender: VM, ..Header::default() };
    packet(header, 0, handle)
}

/// Checked with its own handle, used with another's: the classic. The host must not see the second version.
#[test]
fn a_payload_that_changes_between_check_and_use_changes_nothing() {
    let (own, foreign) = (Handles::of_vm(VM).handle(3), Handles::of_vm(VM + 1).handle(3));
    let memory = Restless::new(vec![known(own), known(foreign)]);
    let policy = EscapeSpec::default().policy();
    let sender = sender((VmKind::Secure, true));
    let mut buffer = CaptureBuffer::default();
    let (ruling, used) = filter(&memory, &sender, &policy, &mut buffer, |handed| {
        // The guest changes everything while the driver is at work.
        memory.reads.set(1);
        handed.payload.to_vec()
    });
    assert!(ruling.is_allowed());
    assert_eq!(used.expect("it is allowed"), known(own)[48..], "the driver gets what was checked");
    assert_eq!(memory.read_bytes.borrow()[..], [1; 56], "every byte is read once");
}

/// The header of what is too long is all that is copied of it.
#[test]
fn what_is_too_long_costs_no_memory() {
    let header =
        Header { adapter: adapter_handle(ADAPTER), payload_bytes: 131_009, sender: VM, ..Header::default() };
    let memory = Restless::new(vec![packet(header, 0, 0)]);
    let (policy, mut buffer) = (EscapeSpec::default().policy(), CaptureBuffer::default());
    let (ruling, used) = filter(&memory, &sender((VmKind::Normal, true)), &policy, &mut buffer, |_| ());
    assert_eq!((ruling.reason.name(), used), ("too_large", None));
    let read: u32 = memory.read_bytes.borrow().iter().sum();
    assert_eq!(read, 48);
}

proptest! {
    /// Whatever the versions: what the driver gets would be decided on as it was.
    #[test]
    fn what_is_used_is_what_was_judged(
        flags in prop::sample::select(vec![0_u32, 0x1, 0x8, 0x40, 0x80, 0xC0, 0x20]),
        sizes in prop::collection::vec(0_u32..70, 1..4),
        handles in prop::collection::vec(prop_oneof![6_144_u32..7_168, any::<u32>()], 3),
        length in 0_usize..120,
    ) {
        let version = |(size, handle): (&u32, &u32)| {
            let header = Header {
                adapter: adapter_handle(ADAPTER), flags: EscapeFlags(flags), payload_bytes: *size, sender: VM,
                ..Header::default()
            };
            let mut bytes = packet(header, 0, *handle);
            bytes.resize(length, 0);
            bytes
        };
        let memory = Restless::new(sizes.iter().zip(&handles).map(version).collect());
        let policy = EscapeSpec::default().policy();
        let sender = sender((VmKind::Normal, true));
        let mut buffer = CaptureBuffer::default();
        let (ruling, used) = filter(&memory, &sender, &policy, &mut buffer, |handed| handed.payload.to_vec());
        prop_assert!(memory.read_bytes.borrow().iter().all(|count| *count <= 1));
        let first = &memory.versions[0];
        prop_assert_eq!(decide(&parse(first, first.len()), &sender, &policy), ruling);
        if let Some(used) = used {
            prop_assert_eq!(&used[..], &first[48..]);
        }
    }
}
