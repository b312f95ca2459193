//! The device TLB: translations that an adapter keeps itself, by PCIe's Address Translation Services (ATS).
//!
//! A DMA is looked up before it leaves. A hit goes up the link as a translated request, which the IOMMU trusts. A miss
//! sends a translation request, a TLP of its own; the DMA follows when the answer is back and has filled the TLB.
//! Misses on a page whose request is under way join it. An entry belongs to a VF, not to its domain, and stays until it is
//! replaced or the IOMMU invalidates it ([`Invalidations`]). Invariants: what is refused fills nothing and never leaves as a
//! DMA; no more requests are under way than the device can hold when a packet is taken up; answers are taken in
//! the order in which they arrive, before look-ups of the same instant.
//!
//! A hostile function may mark a DMA as translated that it never asked about ([`Function`]): that is not a breach of the
//! IOMMU but what its trust permits, and counts apart.

mod components;
mod function;
mod invalidations;
mod kernel;
mod observe;
mod spec;

pub use components::*;
pub use function::*;
pub use invalidations::*;
pub use observe::*;
pub use spec::*;
