//! Attribution: where the time of every request goes, why look-ups miss, and who evicts whom.
//!
//! Nothing here decides anything: it watches what the other rooms do, and only where a run asks for it
//! (`report.attribution`, `report.miss_causes`). Invariants: the causes of a request's latency add up to it, to
//! the picosecond; every miss has one cause; every eviction has one evictor and one victim.

mod components;
mod device;
mod kernel;
mod misses;
mod systems;
#[cfg(test)]
mod tests;
mod totals;
mod watch;

pub use components::*;
pub use device::*;
pub use kernel::*;
pub use misses::*;
pub use systems::*;
pub use totals::*;
pub use watch::*;
