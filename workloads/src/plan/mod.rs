//! From a scenario to a plan that the engine runs.
//!
//! The hosts by their classes first ([`HostGroup`]) with the rates of their tenants ([`ClassRate`]), then how many
//! DMAs each VF intends ([`Quotas`]), then a function that
//! makes any tenant from its host and VF alone, sharing tables with the others of its class.

mod build;
mod group;
mod memory;
mod quota;
mod rate;

pub use group::*;
pub use quota::*;
pub use rate::*;

#[cfg(test)]
mod tests;
