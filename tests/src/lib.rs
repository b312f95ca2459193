//! Tests of the whole system: engine, workloads and reports joined in one process.
//!
//! The crate holds tests and nothing else; they stand in `tests/system`, a file a question.
