//! The binary as a user meets it: what it prints, what it leaves behind, how it ends.

mod alone;
mod arguments;
mod interruption;
mod output;
mod replay;
mod run;
mod scenarios;
mod support;
mod sweep;
mod trace_events;
mod validate;
