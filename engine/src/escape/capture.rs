//! Copying a packet out of a guest's memory: once, before anything of it is looked at.
//!
//! A guest can change its memory at any time. Whoever validates there and uses it later, or reads a length
//! twice, validates one packet and uses another. So a packet is read once into the host's own buffer, and
//! everything after that (parsing, the decision, the driver) sees the copy alone: [`Captured`] lends no
//! access to where it came from.

use super::packet::{HEADER_BYTES, Malformed, Packet, parse};

/// The memory of a guest, as the host sees it: what is read may differ from what was read before.
pub trait GuestMemory {
    /// Bytes of the message at hand. The transport says so, not the guest's memory.
    fn message_bytes(&self) -> usize;
    /// Copies its first bytes into `target`, which is no longer than the message.
    fn read(&self, target: &mut [u8]);
}

/// Memory that nobody changes.
impl GuestMemory for &[u8] {
    #[inline]
    fn message_bytes(&self) -> usize {
        self.len()
    }
    #[inline]
    fn read(&self, target: &mut [u8]) {
        target.copy_from_slice(&self[..target.len()]);
    }
}

/// A buffer of the host for one packet at a time. It grows to the longest it may take, and no further.
#[derive(Clone, Debug, Default)]
pub struct CaptureBuffer(Vec<u8>);

impl CaptureBuffer {
    /// Copies a packet whose payload has at most `payload_bytes_max` bytes; of a longer one the header alone,
    /// which is all it takes to deny it.
    #[inline]
    pub fn capture(&mut self, memory: &impl GuestMemory, payload_bytes_max: usize) -> Captured<'_> {
        let message_bytes = memory.message_bytes();
        let longest = payload_bytes_max.saturating_add(HEADER_BYTES);
        let bytes = if message_bytes <= longest { message_bytes } else { HEADER_BYTES };
        if self.0.len() < bytes {
            self.0.resize(bytes, 0);
        }
        let copied = &mut self.0[..bytes];
        memory.read(copied);
        Captured { copied, message_bytes }
    }
}

/// A packet in the host's memory.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    copied: &'a [u8],
    message_bytes: usize,
}

impl<'a> Captured<'a> {
    /// The packet, if it is one.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    #[inline]
    pub fn packet(&self) -> Result<Packet<'a>, Malformed> {
        parse(self.copied, self.message_bytes)
    }
}
