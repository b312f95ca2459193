//! The requests of one VF.
//!
//! [`TenantSource`] implements the engine's `Source` contract. It is built of parts that each draw
//! from a stream of their own ([`Stream`]): when ([`Arrivals`]), where ([`Pattern`]), how many bytes
//! and in which direction ([`Transfers`]). A request takes a fixed number of draws in a fixed order
//! from each stream, so how the output is cut into calls cannot change it.
//!
//! All floating-point functions come from `libm`, and otherwise only `+ - * /` and comparisons of
//! `f64` are used: the same scenario and seed give the same requests on every machine. That is also
//! why the tables here are our own: the distributions of general crates take `exp` and `ln` from
//! whatever the build links, and spread a table's line over two arrays.

mod alias;
mod arrivals;
mod closed;
mod escapes;
mod exponential;
mod packets;
mod pattern;
mod rng;
mod tables;
mod tenant;
mod transfers;

pub use alias::*;
pub use arrivals::*;
pub use closed::*;
pub use escapes::*;
pub use exponential::*;
pub use packets::*;
pub use pattern::*;
pub use rng::*;
pub use tables::*;
pub use tenant::*;
pub use transfers::*;

#[cfg(test)]
mod escape_tests;
#[cfg(test)]
mod tests;
