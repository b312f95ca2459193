//! What the events of an adapter's VMs ask of its VFs and their domains, in the order of time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::schedule::{VmEvent, VmSchedule};
use super::spec::{LifecycleSpec, VmEventKind};
use crate::units::Picoseconds;

/// What is done with a VF and its domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// A domain takes the place of another: a switch.
    #[default]
    Replace,
    /// Nothing of the VF leaves any more until the next VM runs.
    Hold {
        /// What was intended before and has not left never does: the VM has stopped.
        loses: bool,
        /// When the next domain is to be attached; `Picoseconds::MAX` if none is.
        attach_due: Picoseconds,
    },
    /// Its domain is detached.
    Detach(VmEvent),
    /// A new one is attached.
    Attach(VmEvent),
}

/// The steps of one VF.
#[derive(Clone, Debug)]
struct OfVf {
    events: core::iter::Peekable<VmSchedule>,
    /// Those that are due next, in order.
    pending: VecDeque<(Picoseconds, Step)>,
    /// When the last is due that changes the domain.
    last_change: Picoseconds,
}

impl OfVf {
    fn new(schedule: VmSchedule) -> Self {
        let begins_up = schedule.begins_up();
        let mut of_vf =
            Self { events: schedule.peekable(), pending: VecDeque::new(), last_change: Picoseconds::ZERO };
        if !begins_up {
            let attach_due = of_vf.next_start(Picoseconds::ZERO);
            of_vf.push(Picoseconds::ZERO, Step::Hold { loses: false, attach_due });
        }
        of_vf
    }

    /// When the VM that comes next is to be attached, where that cannot be before a time.
    fn next_start(&mut self, not_before: Picoseconds) -> Picoseconds {
        self.events.peek().map_or(Picoseconds::MAX, |event| event.time.max(not_before))
    }

    /// A step behind all that are due by then.
    fn push(&mut self, time: Picoseconds, step: Step) {
        let at = self.pending.partition_point(|(other, _)| *other <= time);
        self.pending.insert(at, (time, step));
    }

    /// A step that changes the domain: one after the other.
    fn change(&mut self, time: Picoseconds, step: Step) {
        self.last_change = self.last_change.max(time);
        self.push(self.last_change, step);
    }

    /// When the next step is due, which is pending.
    fn prepare(&mut self, spec: &LifecycleSpec) -> Option<Picoseconds> {
        loop {
            let next = self.events.peek().map(|event| event.time);
            let first = self.pending.front().map(|(time, _)| *time);
            match (next, first) {
                (Some(next), first) if first.is_none_or(|first| next <= first) => self.expand(spec),
                _ => return first,
            }
        }
    }

    /// What the next event asks for.
    fn expand(&mut self, spec: &LifecycleSpec) {
        let Some(event) = self.events.next() else { return };
        let after = |us: f64| event.time + Picoseconds::from_ns_f64(us * 1e3);
        match event.kind {
            VmEventKind::Start => self.change(event.time, Step::Attach(event)),
            VmEventKind::Stop => {
                let detached = after(spec.reset_us).max(self.last_change);
                let attach_due = self.next_start(detached);
                self.push(event.time, Step::Hold { loses: true, attach_due });
                self.change(detached, Step::Detach(event));
            }
            VmEventKind::Migrate => {
                let copied = after(spec.migration_pause_us).max(self.last_change);
                self.push(event.time, Step::Hold { loses: false, attach_due: copied });
                self.change(copied, Step::Detach(event));
                self.change(copied, Step::Attach(event));
            }
        }
    }
}

/// The steps of the VFs of an adapter; at one instant by VF.
#[derive(Clone, Debug)]
pub struct Steps {
    spec: LifecycleSpec,
    vfs: Vec<OfVf>,
    order: BinaryHeap<Reverse<(Picoseconds, u32)>>,
}

impl Steps {
    /// Of VFs with these schedules.
    #[must_use]
    pub fn new(spec: &LifecycleSpec, schedules: impl Iterator<Item = VmSchedule>) -> Self {
        let spec = LifecycleSpec { list: Vec::new(), ..spec.clone() };
        let mut vfs: Vec<_> = schedules.map(OfVf::new).collect();
        let due =
            vfs.iter_mut().zip(0..).filter_map(|(of_vf, vf)| Some(Reverse((of_vf.prepare(&spec)?, vf))));
        let order = due.collect();
        Self { spec, vfs, order }
    }
}

impl Iterator for Steps {
    /// When it is due, the VF by its index within the adapter, and what it is.
    type Item = (Picoseconds, u32, Step);

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((_, vf)) = self.order.pop()?;
        let of_vf = &mut self.vfs[vf as usize];
        let (time, step) = of_vf.pending.pop_front().expect("it is due");
        if let Some(next) = of_vf.prepare(&self.spec) {
            self.order.push(Reverse((next, vf)));
        }
        Some((time, vf, step))
    }
}
