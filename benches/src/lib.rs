//! What the benches share.
//!
//! - [`mod@cases`]: plans of built-in scenarios, cut and changed for a bench;
//! - [`staged_host`]: a host of the engine whose stages are timed one by one, in the engine's own schedules;
//! - [`captured`]: the requests of a host as plain columns, in the order in which they reach its IOMMU;
//! - [`bare_loop`]: what translation costs without an engine: one hand-written loop over such columns;
//! - [`entity_per_request`], [`boxed_objects`]: the same look-ups with a request laid out otherwise;
//! - [`functional`]: the engine's IOTLB and page tables driven by the same kind of loop;
//! - [`lookups`]: look-ups as a file that other cache simulators read, and what goes through it;
//! - [`trace`]: events for a replay, made up from a seed;
//! - [`packets`]: escapes of one VM, and the filter's work on them;
//! - [`measure`]: how the benches are run.
//!
//! How to run them and how to read them: `docs/performance.md`.

pub mod bare_loop;
pub mod boxed_objects;
pub mod captured;
pub mod cases;
pub mod entity_per_request;
pub mod functional;
pub mod lookups;
pub mod measure;
pub mod packets;
pub mod staged_host;
pub mod trace;
