//! From a scenario to a plan that the engine runs.
//!
//! Rates first ([`ClassRate`]), then how many DMAs each VF intends ([`Quotas`]), then a function that
//! makes any tenant from its host and VF alone, sharing tables with the others of its class.

mod build;
mod memory;
mod quota;
mod rate;

pub use quota::*;
pub use rate::*;

#[cfg(test)]
mod tests;
