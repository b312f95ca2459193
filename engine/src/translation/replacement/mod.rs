//! Replacement policies of the IOTLB: a file each, and a line each in `policies!` below.
//!
//! To add one: write `mine.rs` with a type that implements [`Replacement`], and add a line like
//! `mine::Mine => Mine "What it replaces.",` to the list. The module, the scenario key, the command line,
//! the engine and the tests of every policy's contract take it from there. A plain twin in
//! `engine/tests/plain_iotlb` has it compared, look-up by look-up, with the sequential reference too.
//!
//! Invariants: a policy rules each set by itself; it is asked for a victim only when every way of
//! the set is valid; the IOTLB fills invalid ways first, the lowest one.

mod absent;
mod policy;
mod recency;
#[cfg(test)]
mod tests;

pub use policy::Replacement;
use policy::policies;

policies! {
    lru::Lru => Lru "The least recently used entry." (default),
    fifo::Fifo => Fifo "The entry filled longest ago.",
    plru::TreePlru => Plru "The leaf that a binary tree of bits points at; ways must be a power of two.",
    random::Random => Random "A way drawn by a counter-based generator a set.",
}
