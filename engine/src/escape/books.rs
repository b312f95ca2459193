//! What is counted of escapes.

use std::collections::BTreeMap;

use bevy_ecs::component::Component;
use histogram::Histogram;

use super::components::{Dispatched, Message, Verdict};
use super::decision::{Decision, EscapeClass, Reason};
use crate::account::{EscapeRow, count_time, new_histogram, quantile_ns, ratio};
use crate::topology::VmKind;
use crate::units::Picoseconds;

/// What packets have in common that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EscapeKey {
    /// The class of the tenant.
    pub tenant_class: u32,
    /// The kind of its VM.
    pub kind: VmKind,
    /// The kind of escape.
    pub class: EscapeClass,
    /// What became of it.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
}

/// Counts of packets that have a key in common.
#[derive(Clone, Debug)]
pub struct EscapeCounts {
    packets: u64,
    bytes: u64,
    deferred: u64,
    exposed: u64,
    latency_sum_ps: u128,
    latency_max: Picoseconds,
    latencies: Histogram,
}

impl Default for EscapeCounts {
    fn default() -> Self {
        Self {
            packets: 0,
            bytes: 0,
            deferred: 0,
            exposed: 0,
            latency_sum_ps: 0,
            latency_max: Picoseconds::ZERO,
            latencies: new_histogram(),
        }
    }
}

impl EscapeCounts {
    fn count(&mut self, message: &Message, exposes: bool, dispatched: &Dispatched) {
        let latency = dispatched.decided - message.arrived;
        self.packets += 1;
        self.bytes += u64::from(message.bytes);
        self.deferred += u64::from(dispatched.deferred);
        self.exposed += u64::from(exposes);
        self.latency_sum_ps += u128::from(latency.0);
        self.latency_max = self.latency_max.max(latency);
        count_time(&mut self.latencies, latency);
    }

    fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.deferred += other.deferred;
        self.exposed += other.exposed;
        self.latency_sum_ps += other.latency_sum_ps;
        self.latency_max = self.latency_max.max(other.latency_max);
        self.latencies.checked_add_assign(&other.latencies).expect("64 bits suffice");
    }
}

/// Sums over packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EscapeTotals {
    /// Packets decided on.
    pub packets: u64,
    /// Of these, denied.
    pub denied: u64,
    /// Of these, those that waited for the end of an exclusive window.
    pub deferred: u64,
    /// Of these, those that reached the driver with a payload it does not know.
    pub exposed: u64,
}

/// The books of escapes of a world, or of the fleet.
#[derive(Component, Clone, Debug, Default)]
pub struct EscapeBooks(BTreeMap<EscapeKey, Box<EscapeCounts>>);

impl EscapeBooks {
    /// Counts a packet.
    pub fn count(
        &mut self,
        (tenant_class, kind): (u32, VmKind),
        message: &Message,
        verdict: &Verdict,
        dispatched: &Dispatched,
    ) {
        let Verdict { ruling, exposes } = verdict;
        let key = EscapeKey {
            tenant_class,
            kind,
            class: ruling.class,
            decision: ruling.decision,
            reason: ruling.reason,
        };
        self.0.entry(key).or_default().count(message, *exposes, dispatched);
    }

    /// Adds those of another world.
    pub fn add(&mut self, other: &Self) {
        for (key, counts) in &other.0 {
            self.0.entry(*key).or_default().add(counts);
        }
    }

    /// All together.
    #[must_use]
    pub fn totals(&self) -> EscapeTotals {
        let mut totals = EscapeTotals::default();
        for (key, counts) in &self.0 {
            totals.packets += counts.packets;
            totals.denied += if key.decision == Decision::Deny { counts.packets } else { 0 };
            totals.deferred += counts.deferred;
            totals.exposed += counts.exposed;
        }
        totals
    }

    /// A row a key, in their order; `classes` are the names of the tenants' classes.
    pub fn rows(&self, classes: &[String]) -> impl Iterator<Item = EscapeRow> {
        self.0.iter().map(|(key, counts)| EscapeRow {
            class: classes[key.tenant_class as usize].clone(),
            vm_kind: key.kind.name(),
            escape_class: key.class.name(),
            decision: key.decision.name(),
            reason: key.reason.name(),
            packets: counts.packets,
            message_bytes: counts.bytes,
            deferred: counts.deferred,
            kmd_exposed: counts.exposed,
            latency_mean_ns: ratio(counts.latency_sum_ps as f64 / 1e3, counts.packets as f64),
            latency_p50_ns: quantile_ns(&counts.latencies, 0.5, counts.latency_max),
            latency_p99_ns: quantile_ns(&counts.latencies, 0.99, counts.latency_max),
            latency_max_ns: counts.latency_max.as_ns_f64(),
        })
    }
}
