//! Handles: names of adapters, devices, contexts, allocations and resources, each of one VM.

/// The handles of a VM: a run of numbers that no other VM has.
///
/// A host keeps a table of handles for each VM; that a number belongs to one is all the filter asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handles {
    first: u32,
}

impl Handles {
    /// Handles a VM has.
    pub const COUNT: u32 = 1 << 10;

    /// Those of a VM, by its index within the host.
    #[must_use]
    pub const fn of_vm(vm: u32) -> Self {
        Self { first: (vm + 1) * Self::COUNT }
    }

    /// One of them; every number names one.
    #[must_use]
    pub const fn handle(self, number: u32) -> u32 {
        self.first + number % Self::COUNT
    }

    /// Whether a handle is one of them.
    #[inline]
    #[must_use]
    pub const fn owns(self, handle: u32) -> bool {
        handle.wrapping_sub(self.first) < Self::COUNT
    }
}

/// The handle of an adapter, by its index within the host: above those of any VM.
#[must_use]
pub const fn adapter_handle(adapter: u32) -> u32 {
    1 << 31 | adapter
}
