//! What is counted, on VFs, IOMMUs and hosts.

use std::collections::BTreeMap;

use bevy_ecs::component::Component;

use super::breach::Breach;
use super::latencies::Latencies;
use super::rows::TimelineRow;
use crate::admission::{AttachError, Refusal, outcome_name};
use crate::crash::BugCheck;
use crate::lifecycle::VfState;
use crate::plan::Audit;
use crate::prefetch::prefetch;
use crate::request::Op;
use crate::topology::Place;
use crate::translation::{FaultNote, Lookups};
use crate::units::Picoseconds;

/// Which requests the owner map judges, on the IOMMU.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct AuditPolicy(pub Audit);

impl AuditPolicy {
    /// Whether the request of this sequence number is judged.
    #[inline]
    #[must_use]
    pub fn judges(self, sequence: u64) -> bool {
        match self.0 {
            Audit::Full => true,
            Audit::Sample => sequence.is_multiple_of(64),
            Audit::Off => false,
        }
    }
}

/// The books of a VF: what every request that is over touches, in two cache lines.
#[derive(Component, Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub struct VfBooks {
    /// DMAs translated and performed, by direction.
    pub translated: [u64; 2],
    /// Bytes of the DMAs performed, by direction.
    pub bytes: [u64; 2],
    /// IOTLB hits.
    pub hits: u64,
    /// IOTLB misses.
    pub misses: u64,
    /// Misses that joined a walk under way.
    pub joined: u64,
    /// Last completion.
    pub last_completed: Picoseconds,
    /// Sum of latencies.
    pub latency_sum_ps: u128,
    /// Greatest latency.
    pub latency_max: Picoseconds,
    /// Greatest service time.
    pub service_max: Picoseconds,
    /// Sum of service times.
    pub service_sum_ps: u128,
}

/// A request that is over.
#[derive(Clone, Copy, Debug)]
pub struct Over {
    /// Direction.
    pub op: Op,
    /// Bytes.
    pub length_bytes: u32,
    /// Its look-ups.
    pub lookups: Lookups,
    /// When it was complete.
    pub end: Picoseconds,
    /// Since it was intended.
    pub latency: Picoseconds,
    /// Since it was issued.
    pub service: Picoseconds,
}

impl VfBooks {
    /// Asks for their cache lines.
    #[inline]
    pub fn prefetch(&self) {
        let first = (&raw const *self).cast::<u8>();
        prefetch(first);
        prefetch(first.wrapping_add(64));
    }

    /// Books a request.
    #[inline]
    pub fn add(&mut self, over: &Over, translated: bool) {
        self.translated[over.op as usize] += u64::from(translated);
        self.bytes[over.op as usize] += if translated { u64::from(over.length_bytes) } else { 0 };
        self.hits += u64::from(over.lookups.hits);
        self.misses += u64::from(over.lookups.misses);
        self.joined += u64::from(over.lookups.joined);
        self.last_completed = self.last_completed.max(over.end);
        self.latency_sum_ps += u128::from(over.latency.0);
        self.latency_max = self.latency_max.max(over.latency);
        self.service_sum_ps += u128::from(over.service.0);
        self.service_max = self.service_max.max(over.service);
    }
}

/// What is rare in the life of a VF.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct VfIncidents {
    /// DMAs intended in the warm-up that are over.
    pub warm_up: u64,
    /// DMAs blocked, by direction.
    pub blocked: [u64; 2],
    /// DMAs blocked, by fault.
    pub faults: [u64; 7],
    /// DMAs that were aborted, since their host went down.
    pub aborted: u64,
    /// DMAs that reached a frame of another owner.
    pub breaches: u64,
    /// DMAs that reached another tenant's frame through a shared domain.
    pub cross_tenant: u64,
    /// DMAs by what became of their look-up in the device TLB.
    pub device_tlb: [u64; 4],
    /// DMAs that were marked as translated, with an address that was made up.
    pub forged: u64,
    /// Of these, such that reached a frame that is not their tenant's.
    pub forged_foreign: u64,
}

/// What the owner map says of the frames that a DMA reached, the worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// They are the tenant's own.
    #[default]
    Own,
    /// One belongs to a tenant whose VF shares the domain.
    CrossTenant,
    /// One belongs to somebody else, or to nobody.
    Breach,
}

impl VfIncidents {
    /// Notes what was said of a DMA.
    pub fn note(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Own => {}
            Verdict::CrossTenant => self.cross_tenant += 1,
            Verdict::Breach => self.breaches += 1,
        }
    }
}

/// Latencies of a host's VFs, on the host: a histogram a VF and direction.
#[derive(Component)]
pub struct VfLatencies(pub Latencies);

impl VfLatencies {
    /// For `vfs` VFs.
    #[must_use]
    pub fn new(vfs: u32) -> Self {
        Self(Latencies::new(vfs as usize * 2))
    }

    /// The number of a histogram.
    #[inline]
    #[must_use]
    pub fn histogram(vf: u32, op: Op) -> usize {
        vf as usize * 2 + op as usize
    }
}

/// Service times of a host, on the host: a histogram a direction.
#[derive(Component)]
pub struct ServiceTimes(pub Latencies);

impl Default for ServiceTimes {
    fn default() -> Self {
        Self(Latencies::new(2))
    }
}

/// The part of a run that is simulated and not counted, on the host: what is intended before `until`.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct WarmUp {
    /// When it ends.
    pub until: Picoseconds,
    /// Last completion of what was intended in it, or aborted.
    pub last_completed: Picoseconds,
}

impl WarmUp {
    /// One that ends at `until`; there is none where that is 0.
    #[must_use]
    pub fn new(until: Picoseconds) -> Self {
        Self { until, last_completed: Picoseconds::ZERO }
    }

    /// Leaves out a request that was complete at `end`.
    pub fn leave_out(&mut self, incidents: &mut VfIncidents, end: Picoseconds) {
        incidents.warm_up += 1;
        self.last_completed = self.last_completed.max(end);
    }
}

/// What the owner map has judged, on the host.
#[derive(Component, Clone, Copy, Debug, Default)]
pub struct Audited {
    /// Translations.
    pub translations: u64,
    /// The first breach, if there was one.
    pub first_breach: Option<Breach>,
}

/// What completed in one window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// DMAs translated and performed.
    pub translated: u64,
    /// DMAs blocked.
    pub blocked: u64,
    /// Bytes, by direction.
    pub bytes: [u64; 2],
    /// IOTLB hits.
    pub hits: u64,
    /// IOTLB misses.
    pub misses: u64,
    /// Sum of latencies.
    pub latency_sum_ps: u128,
    /// Greatest latency.
    pub latency_max: Picoseconds,
}

impl Window {
    /// Counts a request.
    #[inline]
    pub fn add(&mut self, over: &Over, translated: bool) {
        self.translated += u64::from(translated);
        self.blocked += u64::from(!translated);
        self.bytes[over.op as usize] += if translated { u64::from(over.length_bytes) } else { 0 };
        self.hits += u64::from(over.lookups.hits);
        self.misses += u64::from(over.lookups.misses);
        self.latency_sum_ps += u128::from(over.latency.0);
        self.latency_max = self.latency_max.max(over.latency);
    }

    /// Adds what another part of the same window counted.
    pub fn merge(&mut self, other: &Self) {
        self.translated += other.translated;
        self.blocked += other.blocked;
        self.bytes = [self.bytes[0] + other.bytes[0], self.bytes[1] + other.bytes[1]];
        self.hits += other.hits;
        self.misses += other.misses;
        self.latency_sum_ps += other.latency_sum_ps;
        self.latency_max = self.latency_max.max(other.latency_max);
    }
}

/// The windows of a host that are still open and in which something completed.
#[derive(Component, Clone, Debug)]
pub struct Windows {
    /// Length of a window.
    pub length: Picoseconds,
    /// Number of the first open window.
    pub first: u64,
    /// The open windows but for the current one, by number.
    open: BTreeMap<u64, Window>,
    current: Current,
}

/// The window that was used last.
#[derive(Clone, Copy, Debug, Default)]
struct Current {
    number: u64,
    start: Picoseconds,
    end: Picoseconds,
    window: Window,
}

impl Windows {
    /// Windows of `length`.
    #[must_use]
    pub fn new(length: Picoseconds) -> Self {
        Self { length, first: 0, open: BTreeMap::new(), current: Current::default() }
    }

    /// The window of a completion at `time`.
    #[inline]
    pub fn at(&mut self, time: Picoseconds) -> &mut Window {
        if time < self.current.start || time >= self.current.end {
            self.turn_to(time);
        }
        &mut self.current.window
    }

    #[cold]
    #[inline(never)]
    fn turn_to(&mut self, time: Picoseconds) {
        self.put_away();
        let number = time.0 / self.length.0;
        debug_assert!(number >= self.first, "a window that is closed stays so");
        let start = Picoseconds(number * self.length.0);
        let end = start.saturating_add(self.length);
        let window = self.open.remove(&number).unwrap_or_default();
        self.current = Current { number, start, end, window };
    }

    /// Puts the current window among the others, if anything completed in it.
    fn put_away(&mut self) {
        let Current { number, window, .. } = core::mem::take(&mut self.current);
        if window.translated + window.blocked > 0 {
            self.open.insert(number, window);
        }
    }

    /// Takes every window that ends at or before `until` and in which something completed, with its number.
    pub fn close_until(&mut self, until: Picoseconds) -> impl Iterator<Item = (u64, Window)> {
        self.put_away();
        self.first = self.first.max(until.0 / self.length.0);
        let open = self.open.split_off(&self.first);
        core::mem::replace(&mut self.open, open).into_iter()
    }
}

/// What happened to a host at one of its IOMMUs, bounded.
#[derive(Component, Clone, Debug)]
pub struct Timeline {
    /// The rows but those of switches, in the order of time.
    pub rows: Vec<TimelineRow>,
    /// The first phases of switches, by time, VF and their order within a switch, whichever was known first.
    pub switches: BTreeMap<(u64, u32, usize), TimelineRow>,
    /// Rows of a kind that have room: each IOMMU's timeline has as much as its host's.
    pub room: u32,
    /// Rows that did not fit.
    pub dropped: u64,
    /// What the world holds.
    pub place: Place,
}

/// More phases than a switch has.
const PHASES_MAX: usize = 64;

/// More than a switch and a stall have phases.
const STATES_FROM: usize = 2 * PHASES_MAX;

impl Timeline {
    /// An empty timeline with room for `room` rows.
    #[must_use]
    pub fn new(place: Place, room: u32) -> Self {
        Self { rows: Vec::new(), switches: BTreeMap::new(), room, dropped: 0, place }
    }

    /// A fault that was recorded.
    pub fn fault(&mut self, note: &FaultNote) {
        self.note(
            note.vf,
            TimelineRow {
                time_ps: note.time.0,
                kind: "fault",
                detail: note.fault.name(),
                iova: Some(note.iova.0),
                op: Some(note.op.letter()),
                ..TimelineRow::default()
            },
        );
    }

    /// The tenant of a VF asks for it before the run begins.
    pub fn admission(&mut self, vf: u32, outcome: Result<(), Refusal>) {
        let detail = outcome_name(outcome);
        self.note(vf, TimelineRow { kind: "admission", detail, ..TimelineRow::default() });
    }

    /// A VF could not be attached to a domain before the run begins.
    pub fn attachment(&mut self, vf: u32, error: AttachError) {
        self.note(vf, TimelineRow { kind: "attach", detail: error.name(), ..TimelineRow::default() });
    }

    /// The phases of a switch of a VF's domain, each with its beginning and its end.
    pub fn switch(&mut self, vf: u32, phases: &[(&'static str, Picoseconds, Picoseconds)]) {
        for (number, &(phase, begin, end)) in phases.iter().enumerate() {
            self.phase((begin.0, vf, number), ("switch", phase), end);
        }
    }

    /// A host that a VF was the end of.
    #[must_use]
    pub fn bug_check(&self, bug_check: &BugCheck) -> TimelineRow {
        let BugCheck { vf, cause, down } = *bug_check;
        let end_ps = (down.end < Picoseconds::MAX).then_some(down.end.0);
        let (time_ps, detail) = (down.begin.0, cause.name());
        self.about(vf, TimelineRow { time_ps, end_ps, kind: "bug_check", detail, ..TimelineRow::default() })
    }

    /// The states that a VF entered, and when.
    pub fn lifecycle(&mut self, vf: u32, states: &[(Picoseconds, VfState)]) {
        for &(Picoseconds(time_ps), state) in states {
            let row =
                TimelineRow { time_ps, kind: "lifecycle", detail: state.name(), ..TimelineRow::default() };
            // Behind the phases that begin at the same time.
            self.insert((time_ps, vf, STATES_FROM + state as usize), row);
        }
    }

    /// The phases of a stall by an escape of a VF's tenant, each with its beginning and its end.
    pub fn stall(&mut self, vf: u32, phases: &[(&'static str, Picoseconds, Picoseconds)]) {
        for (number, &(phase, begin, end)) in phases.iter().enumerate() {
            // At one instant, behind the phases of switches.
            self.phase((begin.0, vf, PHASES_MAX + number), ("escape_stall", phase), end);
        }
    }

    fn phase(
        &mut self,
        (time_ps, vf, number): (u64, u32, usize),
        (kind, detail): (&'static str, &'static str),
        end: Picoseconds,
    ) {
        let row = TimelineRow { time_ps, kind, detail, ..TimelineRow::default() };
        let end_ps = (end < Picoseconds::MAX).then_some(end.0);
        self.insert((time_ps, vf, number), TimelineRow { end_ps, ..row });
    }

    /// Adds a row that comes late, if there is room.
    fn insert(&mut self, key: (u64, u32, usize), row: TimelineRow) {
        let row = self.about(key.1, row);
        self.switches.insert(key, row);
        if self.switches.len() > self.room as usize {
            self.switches.pop_last();
            self.dropped += 1;
        }
    }

    /// Adds a row about a VF of the world, if there is room.
    fn note(&mut self, vf: u32, row: TimelineRow) {
        if self.rows.len() as u32 >= self.room {
            self.dropped += 1;
            return;
        }
        let row = self.about(vf, row);
        self.rows.push(row);
    }

    /// A row about a VF of the world.
    fn about(&self, vf: u32, row: TimelineRow) -> TimelineRow {
        let (adapter, vf) = self.place.name_of(vf);
        let (host, iommu) = (self.place.host.0, self.place.iommu.0);
        TimelineRow { host, iommu, adapter, vf, ..row }
    }
}
