//! Account: every request ends in exactly one outcome, and the books balance.
//!
//! Invariants: intended = held + in flight + translated + blocked, for each VF; every translation
//! that is audited is judged by the owner map, which knows nothing of page tables; sums are integers,
//! so that no order of adding shows in a result.

mod breach;
mod components;
mod figures;
mod latencies;
mod levels;
mod log;
mod metrics;
mod rows;
mod systems;
mod tenant_windows;

pub use breach::*;
pub use components::*;
pub use figures::*;
pub use latencies::*;
pub use levels::*;
pub use log::*;
pub use metrics::*;
pub use rows::*;
pub use systems::*;
pub use tenant_windows::*;
