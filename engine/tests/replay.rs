//! Replays against the contract, line by line with traces made by hand, and against a plain
//! reference on random traces: every column of every row and every counter.

#[path = "replay/books.rs"]
mod books;
#[path = "replay/domains.rs"]
mod domains;
#[path = "replay/equality.rs"]
mod equality;
#[path = "replay/faults.rs"]
mod faults;
#[path = "replay/invalidation.rs"]
mod invalidation;
#[path = "replay/pages.rs"]
mod pages;
#[path = "plain_iotlb/mod.rs"]
mod plain_iotlb;
#[path = "replay/random.rs"]
mod random;
#[path = "replay/reference.rs"]
mod reference;
#[path = "replay/refusals.rs"]
mod refusals;
#[path = "replay/stale.rs"]
mod stale;
#[path = "replay/trace.rs"]
mod trace;
