//! The commands, a file each.

pub mod completions;
pub mod man;
pub mod replay;
pub mod run;
pub mod scenarios;
pub mod sweep;
pub mod validate;
