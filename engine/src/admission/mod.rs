//! Admission: which tenants get their VF at all.
//!
//! A secure VM gets a GPU only where the driver declares that it supports isolation, in both of its capability
//! structures, an IOMMU is there that isolates, and the VF can be attached to a domain. Where a host requires
//! isolation, the last two hold for every tenant. Whoever does not get its VF gets nothing in its place: it
//! maps nothing, and neither its DMAs nor its escapes are ever sent.
//!
//! Invariants: every refusal has one reason, the first that holds; no fallback.

mod kernel;
mod spec;

#[cfg(test)]
mod tests;

pub use kernel::*;
pub use spec::*;
