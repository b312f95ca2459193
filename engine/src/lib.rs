//! The Portcullis engine: tenants' DMAs through the IOMMUs of a fleet, as ECS components and systems.
//!
//! The engine knows nothing of files, command lines or report formats.

pub mod account;
pub mod admission;
pub mod attribution;
pub mod crash;
pub mod device_tlb;
pub mod domain;
pub mod error;
pub mod escape;
pub mod fifo;
pub mod gate;
pub mod hash;
pub mod ids;
pub mod interrupts;
pub mod invalidation;
pub mod lifecycle;
pub mod link;
pub mod memory;
pub mod merge;
pub mod plan;
pub mod prefetch;
pub mod replay;
pub mod request;
pub mod ring;
pub mod rounds;
pub mod schedule;
pub mod silence;
pub mod simulation;
pub mod slices;
pub mod table;
pub mod topology;
pub mod traffic;
pub mod translation;
pub mod units;
