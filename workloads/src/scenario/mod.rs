//! Scenarios: what is simulated, as a user writes it.
//!
//! A scenario is TOML. [`Scenario::parse`], or a [`Template`] for many readings, reads it through six rooms:
//! `document` (text to a tree that remembers lines), `overrides` (`--set` changes the tree), `layers` (a
//! machine's values below those of the scenario), `hosts` (classes of hosts get what they leave out),
//! `deserialize` (the tree to specifications, by serde, with errors that know their key and line) and
//! the `validate` of each specification. Invariant: printing a scenario and parsing the print gives
//! the same scenario.

mod class;
mod corpus;
mod crashes;
mod deserialize;
mod document;
mod error;
mod escapes;
mod event_files;
mod hosts;
mod layers;
mod lifecycle;
mod overrides;
mod packet;
mod parse;
mod pattern;
mod replay_settings;
mod sizes;
mod spec;
mod streaming;
mod switches;
mod target;
mod template;
mod validate;

pub use class::*;
pub use corpus::*;
pub use error::*;
pub use escapes::*;
pub use hosts::*;
pub use overrides::*;
pub use packet::*;
use parse::is_name;
pub(crate) use parse::nearest;
pub use pattern::*;
pub use replay_settings::*;
pub use sizes::*;
pub use spec::*;
pub use streaming::*;
pub use target::*;
pub use template::*;

#[cfg(test)]
mod tests;
