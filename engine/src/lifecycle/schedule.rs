//! What happens to the VM of a VF, and when: a function of the seed and the VF's place alone.

use super::spec::{LifecycleSchedule, LifecycleSpec, VmEventKind};
use crate::hash::mix64;
use crate::units::Picoseconds;

/// Something that happens to a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmEvent {
    /// When.
    pub time: Picoseconds,
    /// What.
    pub kind: VmEventKind,
}

/// A time in which a VF has a VM: from its start until it stops; `Picoseconds::MAX` where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpSpan {
    /// Its first instant.
    pub from: Picoseconds,
    /// The first behind it.
    pub until: Picoseconds,
}

/// What happens to the VM of one VF, in the order of time.
#[derive(Clone, Debug)]
pub struct VmSchedule {
    listed: std::vec::IntoIter<VmEvent>,
    /// The mean times up and down, in picoseconds, where VMs come and go at random.
    churn_ps: Option<[f64; 2]>,
    seed: u64,
    number: u64,
    last: Picoseconds,
}

impl VmSchedule {
    /// Of a VF, by its index within the adapter at (host, adapter), whose switches have this seed.
    #[must_use]
    pub fn new(spec: &LifecycleSpec, (host, adapter): (u32, u32), vf: u32, seed: u64) -> Self {
        let here = spec.list.iter().filter(|listed| listed.vf() == (host, adapter, vf));
        let event = |listed: &super::spec::ListedVmEvent| VmEvent {
            time: Picoseconds::from_ns_f64(listed.at_us * 1e3),
            kind: listed.event,
        };
        let churns = spec.schedule == LifecycleSchedule::Churn;
        Self {
            listed: here.map(event).collect::<Vec<_>>().into_iter(),
            churn_ps: churns.then_some([spec.up_us * 1e6, spec.down_us * 1e6]),
            seed: mix64(seed ^ mix64(0x11FE_C1C1E ^ u64::from(vf) << 36)),
            number: 0,
            last: Picoseconds::ZERO,
        }
    }

    /// Whether the VF has a VM from the beginning: unless the first thing that happens is a start.
    #[must_use]
    pub fn begins_up(&self) -> bool {
        self.listed.as_slice().first().is_none_or(|event| event.kind != VmEventKind::Start)
    }

    /// The times in which the VF has a VM, in order.
    pub fn up_spans(mut self) -> impl Iterator<Item = UpSpan> + Send + Sync {
        let mut from = self.begins_up().then_some(Picoseconds::ZERO);
        core::iter::from_fn(move || {
            let find = |events: &mut Self, kind| events.find(|event| event.kind == kind);
            let from = from.take().or_else(|| find(&mut self, VmEventKind::Start).map(|event| event.time))?;
            let until = find(&mut self, VmEventKind::Stop).map_or(Picoseconds::MAX, |event| event.time);
            Some(UpSpan { from, until })
        })
    }

    /// How much of the time between two instants the VF has no VM.
    #[must_use]
    pub fn down_ps(self, from: Picoseconds, until: Picoseconds) -> u64 {
        let spans = self.up_spans().take_while(|span| span.from < until);
        let up = |span: UpSpan| span.until.min(until).saturating_sub(span.from.max(from)).0;
        until.saturating_sub(from).0 - spans.map(up).sum::<u64>()
    }
}

impl Iterator for VmSchedule {
    type Item = VmEvent;

    fn next(&mut self) -> Option<VmEvent> {
        let Some(means_ps) = self.churn_ps else { return self.listed.next() };
        let word = mix64(self.seed ^ mix64(self.number + 1));
        let uniform = ((word >> 11) + 1) as f64 / 2_f64.powi(53);
        let is_down = self.number % 2 == 1;
        let lasts = (-uniform.ln() * means_ps[usize::from(is_down)] + 0.5) as u64;
        self.number += 1;
        self.last = self.last.saturating_add(Picoseconds(lasts.max(1)));
        let kind = if is_down { VmEventKind::Start } else { VmEventKind::Stop };
        (self.last < Picoseconds::MAX).then_some(VmEvent { time: self.last, kind })
    }
}
