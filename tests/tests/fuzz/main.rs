//! Random and damaged input for everything that reads what others wrote: packets of escapes, scenarios, traces.
//!
//! A target is a function of bytes that panics where an invariant is broken (`targets.rs`). It is run on the kept corpus
//! below `tests/corpus/`, and on as many mutations of it as `PORTCULLIS_FUZZ_CASES` says. A panic or an allocation without measure is a bug; the input that
//! showed it is written to a file, whose place is printed: it belongs into the corpus.

mod corpus;
mod memory;
mod mutate;
mod run;
mod targets;
