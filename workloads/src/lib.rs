//! What tenants do: scenarios, the traffic of their virtual functions, and traces of events.
//!
//! - [`scenario`]: what a user writes, its parsing, its overrides and its errors;
//! - [`mod@builtins`]: the scenarios that come with Portcullis;
//! - [`mod@machines`]: the machines that come with it, whose values a scenario may take;
//! - [`source`]: the requests of one VF, drawn from streams that depend on nothing but the seed;
//! - [`plan`]: from a scenario to what the engine runs;
//! - [`sweep`]: one scenario at many points, by axes of keys and values;
//! - [`validation`]: closed forms and measurements, and the scenarios that reproduce them;
//! - [`events`]: traces for a replay, read from CSV.

pub mod builtins;
pub mod events;
pub mod machines;
pub mod plan;
pub mod scenario;
pub mod source;
pub mod sweep;
pub mod validation;

pub use builtins::{Builtin, builtin, builtins};
pub use events::{CsvEvents, EventError};
pub use machines::{Machine, machine, machines};
pub use scenario::{Override, ReplaySettings, Scenario, ScenarioError, Template};
