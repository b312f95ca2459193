//! The driver behind the filter, as far as it matters: what it must be able to trust.

/// Commands that the modelled driver knows.
pub const DRIVER_COMMANDS: u32 = 32;

/// Whether a private payload is one that the modelled driver knows.
///
/// What drivers put there is their own, and no filter can check it: that is why it is dangerous. The
/// modelled driver (modelled) expects nothing, or a command below [`DRIVER_COMMANDS`] and the bytes of the
/// whole payload, both of 32 bits, before the command's data. Anything else that reaches it is an attack it has to withstand
/// by itself, and counts as exposure.
#[inline]
#[must_use]
pub fn is_well_formed(payload: &[u8]) -> bool {
    if payload.is_empty() {
        return true;
    }
    let Some((command, rest)) = payload.split_first_chunk::<4>() else { return false };
    let Some((length, _)) = rest.split_first_chunk::<4>() else { return false };
    u32::from_le_bytes(*command) < DRIVER_COMMANDS && u32::from_le_bytes(*length) as usize == payload.len()
}
