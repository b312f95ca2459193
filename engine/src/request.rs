//! A DMA request: the components that describe it from the tenant's intention to its completion.
//!
//! Requests are entities of a pool that is spawned once. A stage reads the columns of the stages
//! before it and writes its own, one column a stage: the queries of the systems are the data-flow
//! diagram. What a stage writes together lies together, for a cache line a request and not one a field.

use bevy_ecs::bundle::Bundle;
use bevy_ecs::component::Component;

use crate::ids::Iova;
use crate::link::Issued;
use crate::memory::Completed;
use crate::traffic::Live;
use crate::translation::Translation;
use crate::units::Picoseconds;

/// Direction of a DMA, seen from the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// The device reads host memory: non-posted, completed by data.
    #[default]
    Read,
    /// The device writes host memory: posted.
    Write,
}

impl Op {
    /// `"r"` or `"w"`.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Write => "w",
        }
    }

    /// `"read"` or `"write"`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Why a DMA was blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fault {
    /// The device has no domain.
    NoContext = 1,
    /// The request is empty.
    BadLength = 2,
    /// The request runs over the end of the 64-bit address space.
    AddressOverflow = 3,
    /// No leaf maps the page.
    NotMapped = 4,
    /// The leaf does not grant the right.
    NoPermission = 5,
    /// It is marked as translated, and the context entry of its device does not enable ATS.
    AtsDisabled = 6,
}

impl Fault {
    /// Every fault: in the order in which they are checked, then that of what is marked as translated.
    pub const ALL: [Self; 6] = [
        Self::NoContext,
        Self::BadLength,
        Self::AddressOverflow,
        Self::NotMapped,
        Self::NoPermission,
        Self::AtsDisabled,
    ];

    /// The name reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoContext => "no_context",
            Self::BadLength => "bad_length",
            Self::AddressOverflow => "address_overflow",
            Self::NotMapped => "not_mapped",
            Self::NoPermission => "no_permission",
            Self::AtsDisabled => "ats_disabled",
        }
    }
}

/// When the tenant intended a request; latency counts from here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Intended(pub Picoseconds);

/// The first byte's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Address(pub Iova);

/// How many bytes, and in which direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes; at least 1 in a run.
    pub length_bytes: u32,
    /// Direction.
    pub op: Op,
}

/// Traffic: what is intended, when and by whom. 32 bytes, two requests a cache line.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// When.
    pub time: Picoseconds,
    /// The first byte's address.
    pub iova: Iova,
    /// Length and direction.
    pub transfer: Transfer,
    /// The VF, by its index within the host.
    pub vf: u32,
    /// Its adapter, by its index within the host.
    pub adapter: u32,
}

/// Traffic: which request of its VF this is, counted from 0.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Sequence(pub u64);

/// A row of the request pool: everything any stage knows of a request.
#[derive(Bundle, Clone, Copy, Default)]
pub struct DmaRequest {
    live: Live,
    intent: Intent,
    sequence: Sequence,
    issued: Issued,
    translation: Translation,
    completed: Completed,
}
