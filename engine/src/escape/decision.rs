//! The filter's decision: a table of conditions, the first that holds decides.

use super::handles::Handles;
use super::known::{KnownEscapes, known_payload};
use super::packet::{DRIVER_PRIVATE, EscapeFlags, Header, Malformed, Packet};
use crate::topology::VmKind;

/// Who sends, as the host knows it: from the channel the packet came through, never from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its VM, by its index within the host.
    pub vm: u32,
    /// What it is.
    pub kind: VmKind,
    /// Whether conventional escapes are enabled for it.
    pub escapes_enabled: bool,
    /// The handle of its adapter.
    pub adapter: u32,
    /// Its handles.
    pub handles: Handles,
}

/// What the filter of a host is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterPolicy {
    /// Most bytes of a guest's payload.
    pub max_payload_bytes: u32,
    /// Whether a process of the host may send the escapes that are for testing.
    pub allow_test_types: bool,
    /// The known escapes.
    pub known: KnownEscapes,
}

impl FilterPolicy {
    /// Most bytes of a payload that are copied: those of a packet that may be allowed.
    #[inline]
    #[must_use]
    pub fn capture_bytes_max(&self, sender: &Sender) -> usize {
        if sender.kind.is_guest() { self.max_payload_bytes as usize } else { u32::MAX as usize }
    }
}

/// Which kind of escape a packet is, by its type and its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EscapeClass {
    /// No packet at all.
    Malformed,
    /// It says that it is a known escape, and a common one too.
    Ambiguous,
    /// A known escape.
    Known,
    /// One that all drivers of a vendor share.
    Common,
    /// Private to the driver.
    Conventional,
    /// One of the types for testing.
    Test,
}

impl EscapeClass {
    /// All, in order.
    pub const ALL: [Self; 6] =
        [Self::Malformed, Self::Ambiguous, Self::Known, Self::Common, Self::Conventional, Self::Test];

    /// The class of a packet.
    #[inline]
    #[must_use]
    pub const fn of(header: &Header) -> Self {
        match (header.flags.has(EscapeFlags::DRIVER_KNOWN), header.flags.has(EscapeFlags::DRIVER_COMMON)) {
            (true, true) => Self::Ambiguous,
            (true, false) => Self::Known,
            (false, true) => Self::Common,
            (false, false) if header.escape_type == DRIVER_PRIVATE => Self::Conventional,
            (false, false) => Self::Test,
        }
    }

    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Ambiguous => "ambiguous",
            Self::Known => "known",
            Self::Common => "common",
            Self::Conventional => "conventional",
            Self::Test => "test",
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Decision {
    /// It never reaches the driver.
    Deny,
    /// It is handed to the driver.
    Allow,
}

impl Decision {
    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The header is none, or its size is not that of the payload.
    Malformed,
    /// A guest's payload is over the limit.
    TooLarge,
    /// Another adapter or sender, a context without a device, or a handle of somebody else.
    InvalidHandle,
    /// A flag that no sender may set.
    ReservedFlag,
    /// Flags that exclude each other.
    FlagConflict,
    /// What the runtime serves has come to the kernel.
    RuntimeOnly,
    /// It claims two classes.
    AmbiguousClass,
    /// A known escape that is none.
    BadKnownEscape,
    /// A known escape, well formed.
    Known,
    /// A common escape.
    Common,
    /// A common escape of a secure VM.
    CommonInSecure,
    /// A conventional escape.
    Conventional,
    /// A conventional escape of a VM for which these are disabled.
    EscapesDisabled,
    /// A conventional escape of a secure VM.
    ConventionalInSecure,
    /// A type for testing.
    TestEscape,
}

impl Reason {
    /// All, in order.
    pub const ALL: [Self; 15] = [
        Self::Malformed,
        Self::TooLarge,
        Self::InvalidHandle,
        Self::ReservedFlag,
        Self::FlagConflict,
        Self::RuntimeOnly,
        Self::AmbiguousClass,
        Self::BadKnownEscape,
        Self::Known,
        Self::Common,
        Self::CommonInSecure,
        Self::Conventional,
        Self::EscapesDisabled,
        Self::ConventionalInSecure,
        Self::TestEscape,
    ];

    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::InvalidHandle => "invalid_handle",
            Self::ReservedFlag => "reserved_flag",
            Self::FlagConflict => "flag_conflict",
            Self::RuntimeOnly => "runtime_only",
            Self::AmbiguousClass => "ambiguous_class",
            Self::BadKnownEscape => "bad_known_escape",
            Self::Known => "known",
            Self::Common => "common",
            Self::CommonInSecure => "common_in_secure",
            Self::Conventional => "conventional",
            Self::EscapesDisabled => "escapes_disabled",
            Self::ConventionalInSecure => "conventional_in_secure",
            Self::TestEscape => "test_escape",
        }
    }
}

/// The decision on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Which kind of escape it is.
    pub class: EscapeClass,
    /// What becomes of it.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// The flags that the driver gets: the sender's, with the host's stamp where there is one.
    pub flags: EscapeFlags,
}

impl Ruling {
    /// That on what is no packet.
    pub const MALFORMED: Self = Self {
        class: EscapeClass::Malformed,
        decision: Decision::Deny,
        reason: Reason::Malformed,
        flags: EscapeFlags(0),
    };

    /// Whether it is handed to the driver.
    #[inline]
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allow
    }

    /// Whether the driver needs the whole adapter for it.
    #[inline]
    #[must_use]
    pub fn stalls_the_adapter(&self) -> bool {
        self.is_allowed() && self.flags.has(EscapeFlags::HARDWARE_ACCESS)
    }
}

/// Decides on what came in: a function of its arguments alone, `docs/model.md` has the table.
///
/// That secure VMs are denied conventional escapes and allowed known ones is documented (Microsoft, WDDM: GPU
/// isolation); the rest is modelled.
#[inline]
#[must_use]
pub fn decide(packet: &Result<Packet<'_>, Malformed>, sender: &Sender, policy: &FilterPolicy) -> Ruling {
    match packet {
        Ok(packet) => decide_packet(packet, sender, policy),
        Err(_) => Ruling::MALFORMED,
    }
}

/// Decides on what is a packet: the rows behind the first.
#[inline]
#[must_use]
pub fn decide_packet(packet: &Packet<'_>, sender: &Sender, policy: &FilterPolicy) -> Ruling {
    let (decision, reason) = first_match(packet, sender, policy);
    let Header { mut flags, .. } = packet.header;
    if reason == Reason::Conventional && sender.kind == VmKind::Normal {
        flags.0 |= EscapeFlags::VIRTUAL_MACHINE_DATA;
    }
    Ruling { class: EscapeClass::of(&packet.header), decision, reason, flags }
}

/// What the flags say, whoever sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Denied for the flags alone.
    Denied(Reason),
    /// It is a known escape.
    Known,
    /// It is a common one.
    Common,
    /// It is neither.
    Private,
}

impl Claim {
    /// Rows 4 to 7, and the classes of those behind them.
    const fn read(flags: EscapeFlags) -> Self {
        let exclusive = flags.0 & (EscapeFlags::HARDWARE_ACCESS | EscapeFlags::RUNTIME);
        if flags.has(EscapeFlags::NOT_FOR_SENDERS) {
            return Self::Denied(Reason::ReservedFlag);
        }
        if exclusive & exclusive.wrapping_sub(1) != 0 {
            return Self::Denied(Reason::FlagConflict);
        }
        if flags.has(EscapeFlags::RUNTIME) {
            return Self::Denied(Reason::RuntimeOnly);
        }
        match (flags.has(EscapeFlags::DRIVER_KNOWN), flags.has(EscapeFlags::DRIVER_COMMON)) {
            (true, true) => Self::Denied(Reason::AmbiguousClass),
            (true, false) => Self::Known,
            (false, true) => Self::Common,
            (false, false) => Self::Private,
        }
    }

    /// The same for every low byte, read once by the compiler: a load a packet instead of a branch a row,
    /// which hostile packets make hard to predict.
    const OF_LOW_BYTE: [Self; 256] = {
        let mut all = [Self::Private; 256];
        let mut low = 0;
        while low < 256 {
            all[low] = Self::read(EscapeFlags(low as u32));
            low += 1;
        }
        all
    };

    #[inline]
    fn of(flags: EscapeFlags) -> Self {
        match u8::try_from(flags.0) {
            Ok(low) => Self::OF_LOW_BYTE[usize::from(low)],
            Err(_) => Self::Denied(Reason::ReservedFlag),
        }
    }
}

/// The rows of the table behind the first, in order.
#[inline]
fn first_match(packet: &Packet<'_>, sender: &Sender, policy: &FilterPolicy) -> (Decision, Reason) {
    use Decision::{Allow, Deny};
    let Header { flags, escape_type, payload_bytes, .. } = packet.header;
    if sender.kind.is_guest() && payload_bytes > policy.max_payload_bytes {
        return (Deny, Reason::TooLarge);
    }
    if !handles_are_the_senders(&packet.header, sender) {
        return (Deny, Reason::InvalidHandle);
    }
    let secure = sender.kind == VmKind::Secure;
    match Claim::of(flags) {
        Claim::Denied(reason) => (Deny, reason),
        Claim::Known if is_good_known_escape(packet, sender, policy) => (Allow, Reason::Known),
        Claim::Known => (Deny, Reason::BadKnownEscape),
        Claim::Common if secure => (Deny, Reason::CommonInSecure),
        Claim::Common => (Allow, Reason::Common),
        Claim::Private if escape_type != DRIVER_PRIVATE => {
            let allowed = policy.allow_test_types && !sender.kind.is_guest();
            (if allowed { Allow } else { Deny }, Reason::TestEscape)
        }
        Claim::Private if secure => (Deny, Reason::ConventionalInSecure),
        Claim::Private if sender.kind == VmKind::Normal && !sender.escapes_enabled => {
            (Deny, Reason::EscapesDisabled)
        }
        Claim::Private => (Allow, Reason::Conventional),
    }
}

/// Whether a header names its sender, the sender's adapter, and no handle of anybody else.
#[inline]
fn handles_are_the_senders(header: &Header, sender: &Sender) -> bool {
    let own_or_none = |handle: u32| (handle == 0) | sender.handles.owns(handle);
    // All of it, then one branch.
    (header.sender == sender.vm)
        & (header.adapter == sender.adapter)
        & own_or_none(header.device)
        & own_or_none(header.context)
        & ((header.context == 0) | (header.device != 0))
}

/// Whether a packet that says it is a known escape is one.
#[inline]
fn is_good_known_escape(packet: &Packet<'_>, sender: &Sender, policy: &FilterPolicy) -> bool {
    let Header { flags, escape_type, payload_bytes, .. } = packet.header;
    let Some((number, handle)) = known_payload(packet.payload) else { return false };
    escape_type == DRIVER_PRIVATE
        && !flags.has(EscapeFlags::HARDWARE_ACCESS)
        && policy.known.payload_bytes(number) == Some(payload_bytes)
        && sender.handles.owns(handle)
}
