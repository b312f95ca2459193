//! The packet: 48 bytes of header, little endian, then the private payload.
//!
//! The fields are those of `D3DKMT_ESCAPE` (Microsoft, d3dkmthk.h) and the flags those of `D3DDDI_ESCAPEFLAGS`
//! (libdxg, d3dukmdt.h); their arrangement is modelled.

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 48;
/// What a packet begins with: `ESC1` in memory.
pub const MAGIC: u32 = 0x3143_5345;
/// The one version.
pub const VERSION: u16 = 1;
/// Magic number, version and length of the header as one number: they are compared at once.
const START: u64 = MAGIC as u64 | (VERSION as u64) << 32 | (HEADER_BYTES as u64) << 48;
/// Bytes of the extension header that stands before a packet in a message of the VMBus (Linux, dxgkrnl).
pub const EXTENSION_HEADER_BYTES: u32 = 16;
/// Most bytes of a message of the VMBus (Linux, dxgkrnl).
pub const MESSAGE_BYTES_MAX: u32 = 131_072;
/// Most bytes of a guest's payload that fit one message.
pub const PAYLOAD_BYTES_MAX: u32 = MESSAGE_BYTES_MAX - EXTENSION_HEADER_BYTES - HEADER_BYTES as u32;

/// The flags of an escape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EscapeFlags(pub u32);

impl EscapeFlags {
    /// The driver touches hardware: one thread in it, and the GPU idle.
    pub const HARDWARE_ACCESS: u32 = 0x01;
    /// Served by the runtime, never by the kernel.
    pub const DEVICE_STATUS_QUERY: u32 = 0x02;
    /// Served by the runtime, never by the kernel.
    pub const CHANGE_FRAME_LATENCY: u32 = 0x04;
    /// The driver needs no synchronisation with the adapter.
    pub const NO_ADAPTER_SYNCHRONIZATION: u32 = 0x08;
    /// Set by the host, on what comes from a VM.
    pub const VIRTUAL_MACHINE_DATA: u32 = 0x20;
    /// The payload is one of the [known escapes](super::KnownEscapes).
    pub const DRIVER_KNOWN: u32 = 0x40;
    /// The payload is one of those that all drivers of a vendor share.
    pub const DRIVER_COMMON: u32 = 0x80;
    /// What no sender may set: reserved bits, and the host's own.
    pub const NOT_FOR_SENDERS: u32 = 0xFFFF_FF00 | Self::VIRTUAL_MACHINE_DATA | 0x10;
    /// Served by the runtime.
    pub const RUNTIME: u32 = Self::DEVICE_STATUS_QUERY | Self::CHANGE_FRAME_LATENCY;

    /// Whether any of `bits` is set.
    #[inline]
    #[must_use]
    pub const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }
}

/// The type of an escape that is private to the driver.
pub const DRIVER_PRIVATE: u32 = 0;

/// What a header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `hAdapter`.
    pub adapter: u32,
    /// `hDevice`, 0 for none.
    pub device: u32,
    /// `hContext`, 0 for none; needs a device.
    pub context: u32,
    /// `Type`: [`DRIVER_PRIVATE`], or one of those for testing.
    pub escape_type: u32,
    /// `Flags`.
    pub flags: EscapeFlags,
    /// `PrivateDriverDataSize`.
    pub payload_bytes: u32,
    /// The VM that the sender says it is.
    pub sender: u32,
    /// Which packet of its sender.
    pub sequence: u64,
}

impl Header {
    /// The header as it lies in memory.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        put(0, MAGIC);
        put(4, u32::from(VERSION) | (HEADER_BYTES as u32) << 16);
        put(8, self.adapter);
        put(12, self.device);
        put(16, self.context);
        put(20, self.escape_type);
        put(24, self.flags.0);
        put(28, self.payload_bytes);
        put(32, self.sender);
        bytes[40..48].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }
}

/// A packet that was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload as far as it was copied: all of it, unless it is longer than the capture allowed.
    pub payload: &'a [u8],
}

/// Why a packet is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// It ends within the header.
    #[error("the packet ends within its header")]
    Truncated,
    /// It does not begin with [`MAGIC`].
    #[error("the packet does not begin with its magic number")]
    Magic,
    /// It is of another version.
    #[error("the packet is of an unknown version")]
    Version,
    /// The header says another length of itself.
    #[error("the header is of another length")]
    HeaderLength,
    /// The reserved field is not 0.
    #[error("the reserved field is not 0")]
    Reserved,
    /// The size is not that of the payload.
    #[error("the size is not that of the payload")]
    Size,
}

/// Reads a packet from what was copied of a message of `message_bytes`.
///
/// # Errors
/// The first thing that is wrong.
#[inline]
pub fn parse(copied: &[u8], message_bytes: usize) -> Result<Packet<'_>, Malformed> {
    let Some((head, payload)) = copied.split_first_chunk::<HEADER_BYTES>() else {
        return Err(Malformed::Truncated);
    };
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if long(0) != START {
        return Err(wrong_start(long(0)));
    }
    if word(36) != 0 {
        return Err(Malformed::Reserved);
    }
    let payload_bytes = word(28);
    if payload_bytes as usize != message_bytes - HEADER_BYTES {
        return Err(Malformed::Size);
    }
    let header = Header {
        adapter: word(8),
        device: word(12),
        context: word(16),
        escape_type: word(20),
        flags: EscapeFlags(word(24)),
        payload_bytes,
        sender: word(32),
        sequence: long(40),
    };
    Ok(Packet { header, payload })
}

/// What is wrong with the first eight bytes of a header.
#[cold]
fn wrong_start(start: u64) -> Malformed {
    let wrong = start ^ START;
    if wrong as u32 != 0 {
        Malformed::Magic
    } else if (wrong >> 32) as u16 != 0 {
        Malformed::Version
    } else {
        Malformed::HeaderLength
    }
}
