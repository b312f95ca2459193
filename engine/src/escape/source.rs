//! The contract between a workload and the engine: what a VM's escapes are.

use crate::units::Picoseconds;

/// The escapes of one VM, in the order of their times.
///
/// A source is a function of its own seed and state alone.
pub trait EscapeSource: Send + Sync {
    /// When the next packet is sent; `None` after the last. Never before the one before it.
    fn peek(&self) -> Option<Picoseconds>;

    /// Sends it: appends its bytes to the memory of the guest, and does nothing else to that.
    fn emit(&mut self, memory: &mut Vec<u8>);

    /// Whether any of its packets may be allowed to touch hardware: no only where none ever is, whatever the filter says.
    fn may_touch_hardware(&self) -> bool {
        true
    }
}
