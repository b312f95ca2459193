//! The targets: functions of bytes alone, so that another fuzzer can call them too.

use std::io::Write;

use portcullis_engine::escape::{
    CaptureBuffer, EscapeClass, EscapeFlags, EscapeSpec, HEADER_BYTES, Handles, Reason, Sender,
    adapter_handle, decide, filter, parse,
};
use portcullis_engine::replay::Event;
use portcullis_engine::topology::VmKind;
use portcullis_reports::ParquetEvents;
use portcullis_workloads::{CsvEvents, Scenario};

/// The VM whose packets are in the corpus.
const VM: u32 = 0;

/// The parser of packets and the filter, for every kind of sender.
pub fn packet(bytes: &[u8]) {
    let policies = [
        EscapeSpec::default(),
        EscapeSpec { max_payload_bytes: 16, allow_test_types: true, ..EscapeSpec::default() },
    ];
    for kind in VmKind::ALL {
        for (escapes_enabled, spec) in [true, false].into_iter().zip(&policies) {
            let (adapter, handles) = (adapter_handle(0), Handles::of_vm(VM));
            let sender = Sender { vm: VM, kind, escapes_enabled, adapter, handles };
            let policy = spec.policy();
            let (ruling, handed) =
                filter(&bytes, &sender, &policy, &mut CaptureBuffer::default(), |handed| {
                    (handed.payload.to_vec(), handed.ruling)
                });
            assert_eq!(ruling.is_allowed(), handed.is_some());
            assert_eq!(ruling, decide(&parse(bytes, bytes.len()), &sender, &policy), "copied in full or not");
            let Some((payload, ruling)) = handed else { continue };
            assert_eq!(payload, bytes[HEADER_BYTES..]);
            assert!(kind != VmKind::Secure || ruling.class == EscapeClass::Known);
            assert!(kind == VmKind::HostProcess || payload.len() <= policy.max_payload_bytes as usize);
            let stamped = kind == VmKind::Normal && ruling.reason == Reason::Conventional;
            assert_eq!(ruling.flags.has(EscapeFlags::VIRTUAL_MACHINE_DATA), stamped);
        }
    }
}

/// A scenario's text: an error of one line, or a scenario that is what its print says.
pub fn scenario(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    match Scenario::parse("fuzz.toml", text, &[]) {
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains('\n') && message.len() < 2_000, "{message:?}");
        }
        Ok(scenario) => {
            let print = scenario.to_toml();
            let again = Scenario::parse("print", &print, &[]);
            assert_eq!(again.as_ref().map(Scenario::to_toml), Ok(print), "a print reads back");
        }
    }
}

/// Events in CSV: the same whatever the batches, or an error of one line.
pub fn events_csv(bytes: &[u8]) {
    let read = |batch: usize| -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        let mut source = CsvEvents::new("fuzz.csv", bytes).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        loop {
            let more = source.next_batch(&mut events, batch).map_err(|error| error.to_string())?;
            found.append(&mut events);
            if !more {
                return Ok(found);
            }
        }
    };
    let (one, other) = (read(1_000), read(3));
    assert_eq!(one, other);
    match one {
        Ok(events) => assert!(events.len() <= bytes.len(), "an event takes a line"),
        Err(message) => assert!(!message.contains('\n') && message.len() < 2_000, "{message:?}"),
    }
}

/// Events in Parquet: as many as the file says, or an error of one line.
pub fn events_parquet(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    let read = || -> Result<(u64, u64), String> {
        let mut source = ParquetEvents::open(file.path()).map_err(|error| error.to_string())?;
        let (mut batch, mut count) = (Vec::new(), 0);
        while source.next_batch(&mut batch).map_err(|error| error.to_string())? {
            count += batch.len() as u64;
            batch.clear();
        }
        Ok((count, source.len()))
    };
    match read() {
        Ok((count, said)) => assert_eq!(count, said),
        Err(message) => assert!(!message.contains('\n') && message.len() < 4_000, "{message:?}"),
    }
}
