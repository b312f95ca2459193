//! The whole system, engine, workloads and reports in one process: one file a question, in one binary,
//! since linking polars is slow.

mod attacks;
mod attribution;
mod balance;
mod books;
mod conservation;
mod crashes;
mod determinism;
mod disobedience;
mod edges;
mod escapes;
mod failures;
mod forged;
mod interrupts;
mod invalidation;
mod isolation;
mod lifecycle;
mod loops;
mod replay;
mod reports;
mod scenarios;
mod slices;
mod support;
mod switches;
mod theory;
mod tidy;
mod validation;
