//! The batched core against a plain sequential event-driven reference, on random machines and traffic:
//! every column of every request, and every counter of the hardware.

#[path = "core/case.rs"]
mod case;
#[path = "core/causes.rs"]
mod causes;
#[path = "core/engine.rs"]
mod engine;
#[path = "core/equality.rs"]
mod equality;
#[expect(dead_code, reason = "a run invalidates through `drop_where` alone")]
#[path = "plain_iotlb/mod.rs"]
mod plain_iotlb;
#[path = "core/reference.rs"]
mod reference;
#[path = "core/rules.rs"]
mod rules;
