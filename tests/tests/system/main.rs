//! The whole system, engine, workloads and reports in one process: one file a question, in one binary,
//! since linking polars is slow.

mod edges;
mod replay;
mod support;
mod tidy;
