//! The escapes of one VM: real bytes, well formed or not.

use std::sync::Arc;

use portcullis_engine::escape::{
    DRIVER_COMMANDS, EscapeFlags, EscapeSource, HEADER_BYTES, Handles, Header, KnownEscapes,
    PAYLOAD_BYTES_MAX, adapter_handle,
};
use portcullis_engine::units::Picoseconds;
use rand_pcg::rand_core::Rng;

use super::rng::{StreamRng, below};
use super::{AliasTable, Arrivals};
use crate::scenario::{EscapesSpec, PacketBytes};

/// Sizes of payloads around every bound that a filter checks.
pub const BOUNDARY_BYTES: [u32; 15] =
    [0, 3, 4, 7, 8, 9, 47, 48, 49, 131_007, 131_008, 131_009, 131_024, 131_072, 131_073];

/// Types that are for testing (libdxg, `D3DKMT_ESCAPETYPE`).
const TEST_TYPES: [u32; 9] = [1, 2, 3, 4, 5, 6, 8, 37, 39];

/// Most bytes of a packet of random bytes.
const RANDOM_BYTES_MAX: u32 = 512;

/// What the VMs of a class have in common.
#[derive(Debug)]
pub struct EscapeTables {
    kinds: AliasTable,
    sizes: Vec<u32>,
    of_sizes: AliasTable,
    known: Vec<(u32, u32)>,
    corpus: Vec<PacketBytes>,
    /// Whether any packet may be allowed to touch hardware.
    may_touch_hardware: bool,
}

impl EscapeTables {
    /// Those of a class, on a host with these known escapes.
    #[must_use]
    pub fn new(spec: &EscapesSpec, known: &KnownEscapes) -> Self {
        let (sizes, weights): (Vec<_>, Vec<_>) = spec.sizes.weighted().into_iter().unzip();
        // Where there are no known escapes, those of the first number are sent all the same.
        let mut known: Vec<_> = known.iter().collect();
        if known.is_empty() {
            known.push((0, 8));
        }
        Self {
            kinds: AliasTable::new(&spec.mix.weights().map(|(_, weight)| weight)),
            sizes,
            of_sizes: AliasTable::new(&weights),
            known,
            corpus: spec.corpus.clone(),
            may_touch_hardware: spec.may_touch_hardware(),
        }
    }
}

/// Who a VM is.
#[derive(Clone, Copy, Debug)]
pub struct VmIdentity {
    /// Its index within the host.
    pub vm: u32,
    /// Its adapter, by its index within the host.
    pub adapter: u32,
}

/// The escapes of one VM.
#[derive(Clone, Debug)]
pub struct TenantEscapes {
    arrivals: Arrivals,
    until: Picoseconds,
    rng: StreamRng,
    tables: Arc<EscapeTables>,
    who: VmIdentity,
    sequence: u64,
}

impl TenantEscapes {
    /// Those of a VM, sent before `until`.
    #[must_use]
    pub fn new(
        arrivals: Arrivals,
        until: Picoseconds,
        rng: StreamRng,
        tables: Arc<EscapeTables>,
        who: VmIdentity,
    ) -> Self {
        Self { arrivals, until, rng, tables, who, sequence: 0 }
    }

    fn bits(&mut self) -> u32 {
        self.rng.next_u64() as u32
    }

    fn below(&mut self, bound: u32) -> u32 {
        below(self.bits(), bound)
    }

    fn draw(&mut self, table: impl Fn(&EscapeTables) -> &AliasTable) -> u32 {
        let bits = self.rng.next_u64();
        table(&self.tables).draw(bits)
    }

    /// Bytes of a private payload.
    fn size(&mut self) -> u32 {
        let which = self.draw(|tables| &tables.of_sizes);
        self.tables.sizes[which as usize]
    }

    /// A header that names the VM, and in two of three packets a device, or a device and a context, of its own.
    fn header(&mut self, flags: u32) -> Header {
        let own = Handles::of_vm(self.who.vm);
        let bits = self.bits();
        let device = if bits.is_multiple_of(3) { 0 } else { own.handle(bits >> 8) };
        let context = if bits % 3 == 2 { own.handle(bits >> 20) } else { 0 };
        Header {
            adapter: adapter_handle(self.who.adapter),
            device,
            context,
            flags: EscapeFlags(flags),
            sender: self.who.vm,
            sequence: self.sequence,
            ..Header::default()
        }
    }

    /// Appends a packet: the header with the size of the payload, and the payload.
    fn push(&mut self, memory: &mut Vec<u8>, header: Header, payload_bytes: u32, start: &[u32]) {
        let header = Header { payload_bytes, ..header };
        memory.extend_from_slice(&header.encode());
        let end = memory.len() + payload_bytes as usize;
        start.iter().for_each(|word| memory.extend_from_slice(&word.to_le_bytes()));
        memory.resize(end, self.sequence as u8);
    }

    /// A packet with a payload that the driver knows.
    fn push_private(&mut self, memory: &mut Vec<u8>, header: Header) {
        let bytes = self.size();
        let command = self.below(DRIVER_COMMANDS);
        self.push(memory, header, bytes, &[command, bytes]);
    }

    fn push_known(&mut self, memory: &mut Vec<u8>, header: Header) {
        let which = self.below(self.tables.known.len() as u32);
        let (number, bytes) = self.tables.known[which as usize];
        let handle = Handles::of_vm(self.who.vm).handle(self.bits());
        self.push(memory, header, bytes, &[number, handle]);
    }

    fn push_malformed(&mut self, memory: &mut Vec<u8>) {
        let begin = memory.len();
        let header = self.header(0);
        self.push_private(memory, header);
        let wrong = self.bits() | 1;
        let packet = &mut memory[begin..];
        match self.below(6) {
            // Magic, version, header length, reserved: not what they were.
            field @ 0..4 => packet[[0, 4, 6, 36][field as usize]] ^= wrong as u8,
            4 => memory.truncate(begin + (wrong as usize >> 1) % HEADER_BYTES),
            _ => packet[28..32].copy_from_slice(&wrong.to_le_bytes()),
        }
    }

    fn push_boundary(&mut self, memory: &mut Vec<u8>) {
        let bytes = BOUNDARY_BYTES[self.below(BOUNDARY_BYTES.len() as u32) as usize];
        let known = self.bits() & 1 == 0;
        let header = self.header(if known { EscapeFlags::DRIVER_KNOWN } else { 0 });
        let handle = Handles::of_vm(self.who.vm).handle(self.bits());
        let start = if known { [0, handle] } else { [1, bytes] };
        self.push(memory, header, bytes, if bytes < 8 { &[] } else { &start });
    }

    fn push_foreign(&mut self, memory: &mut Vec<u8>) {
        let VmIdentity { vm, adapter } = self.who;
        // The neighbour, whose handles lie next to one's own.
        let other = if vm == 0 { 1 } else { vm - 1 };
        let theirs = Handles::of_vm(other).handle(self.bits());
        let header = self.header(0);
        let which = self.below(6);
        match which {
            0 => self.push_private(memory, Header { device: theirs, ..header }),
            1 => self.push_private(
                memory,
                Header { device: Handles::of_vm(vm).handle(0), context: theirs, ..header },
            ),
            2 => self.push_private(memory, Header { adapter: adapter_handle(adapter + 1), ..header }),
            3 => self.push_private(memory, Header { sender: other, ..header }),
            4 => {
                let context = Handles::of_vm(vm).handle(self.bits());
                self.push_private(memory, Header { device: 0, context, ..header });
            }
            _ => {
                let flags = EscapeFlags(EscapeFlags::DRIVER_KNOWN);
                self.push(memory, Header { flags, ..header }, 8, &[0, theirs]);
            }
        }
    }

    /// A payload that claims another length or a command there is none of, or is too short for either.
    fn push_malformed_payload(&mut self, memory: &mut Vec<u8>) {
        let common = self.bits().is_multiple_of(4);
        let header = self.header(if common { EscapeFlags::DRIVER_COMMON } else { 0 });
        let bytes = self.size();
        match self.below(3) {
            0 => self.push(memory, header, bytes, &[0, u32::MAX - bytes]),
            1 => self.push(memory, header, bytes, &[u32::MAX, bytes]),
            _ => self.push(memory, header, bytes % 7 + 1, &[]),
        }
    }

    fn push_random(&mut self, memory: &mut Vec<u8>) {
        let bytes = self.below(RANDOM_BYTES_MAX + 1);
        let end = memory.len() + bytes as usize;
        while memory.len() < end {
            memory.extend_from_slice(&self.rng.next_u64().to_le_bytes());
        }
        memory.truncate(end);
    }
}

impl EscapeSource for TenantEscapes {
    fn peek(&self) -> Option<Picoseconds> {
        Some(self.arrivals.next()).filter(|next| *next < self.until)
    }

    fn emit(&mut self, memory: &mut Vec<u8>) {
        self.arrivals.fill(Picoseconds::MAX, 1, |_, _| {});
        match self.draw(|tables| &tables.kinds) {
            0 => {
                let header = self.header(EscapeFlags::DRIVER_KNOWN);
                self.push_known(memory, header);
            }
            1 => {
                let header = self.header(EscapeFlags::DRIVER_COMMON);
                self.push_private(memory, header);
            }
            2 => {
                let header = self.header(0);
                self.push_private(memory, header);
            }
            3 => {
                let header = self.header(EscapeFlags::HARDWARE_ACCESS);
                self.push_private(memory, header);
            }
            4 => {
                let escape_type = TEST_TYPES[self.below(TEST_TYPES.len() as u32) as usize];
                let header = Header { escape_type, ..self.header(0) };
                self.push_private(memory, header);
            }
            5 => {
                let query = self.below(2) == 0;
                let header = self.header(match query {
                    true => EscapeFlags::DEVICE_STATUS_QUERY,
                    false => EscapeFlags::CHANGE_FRAME_LATENCY,
                });
                self.push_private(memory, header);
            }
            6 => self.push_malformed(memory),
            7 => self.push_boundary(memory),
            8 => {
                let flags = if self.bits() & 1 == 0 { self.bits() } else { self.bits() & 0xFF };
                let header = self.header(flags);
                self.push_private(memory, header);
            }
            9 => self.push_foreign(memory),
            10 => self.push_malformed_payload(memory),
            11 => self.push_random(memory),
            _ => {
                let which = self.below(self.tables.corpus.len() as u32);
                memory.extend_from_slice(&self.tables.corpus[which as usize].0);
            }
        }
        self.sequence += 1;
    }

    fn may_touch_hardware(&self) -> bool {
        self.tables.may_touch_hardware
    }
}

// The greatest size is one that no guest's packet may have.
const _: () = assert!(BOUNDARY_BYTES[10] == PAYLOAD_BYTES_MAX);
