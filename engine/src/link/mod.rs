//! The PCIe link of an adapter: one FIFO server a direction.
//!
//! Upstream carries write data and read requests, downstream completions. Invariants: requests
//! leave in the order of the gate's queue; a request is on the wire for its bytes, headers
//! included; completions return in the order in which their data is ready.

mod kernel;
mod spec;
#[cfg(test)]
mod tests;

pub use kernel::*;
pub use spec::*;
