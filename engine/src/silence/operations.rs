//! What a switch does to the IOMMU: context entries, domain IDs, page tables, and who owns the frames behind them.

use core::ops::Range;

use super::components::Switched;
use super::failures::Failure;
use super::spec::{ProtocolStep, SilenceSpec, SwitchMode};
use crate::device_tlb::TlbInvalidation;
use crate::domain::DidAllocator;
use crate::ids::{DomainId, PhysAddr};
use crate::translation::Context;
use crate::units::Picoseconds;

/// What a switch is to do, from the detachment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What attaching takes, once the invalidations are complete; nothing is attached where there is none.
    pub attach: Option<Picoseconds>,
    /// When it does something next, or later.
    pub not_before: Picoseconds,
    /// When the last invalidation was complete; when the entry was cleared, where none is.
    pub invalidated_at: Picoseconds,
    /// What fails.
    pub failure: Option<Failure>,
    /// Whether the new entry could not be set.
    pub tried: bool,
    /// The last of its commands, counted from 0, once they are there.
    pub last_command: Option<u64>,
    /// What became of the invalidation of the device TLB.
    pub device: DeviceInvalidation,
}

/// What comes of setting a context entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// It is there.
    Done(NewDomain),
    /// It cannot be set; the old one is set again at this time, or is not.
    Again(Picoseconds),
    /// There will be none.
    Never,
}

/// The invalidation of a device TLB by a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceInvalidation {
    /// There is none, or the device has answered.
    Over,
    /// To come.
    ToCome {
        /// It is carried out then or later.
        carried_out_from: Picoseconds,
        /// The device answers then or later.
        answers_from: Picoseconds,
    },
    /// Carried out: the device has still to answer.
    Awaited {
        /// The device heard of it.
        heard_at: Picoseconds,
        /// It does then, or later.
        answers_from: Picoseconds,
    },
}

/// A switch whose new context entry is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The VF whose domain was switched, by its index within the world.
    pub vf: u32,
    /// See [`Operation`].
    pub invalidated_at: Picoseconds,
    /// When.
    pub attached_at: Picoseconds,
}

/// A domain and the one that takes its place at the next switch.
#[derive(Clone, Debug)]
struct Images {
    /// VFs whose context entries name it.
    vfs: Range<u32>,
    /// The page tables.
    tables: [u32; 2],
    /// Which of them is, or was last, in use.
    current: usize,
    /// The domain ID, where one is attached or is being detached.
    id: DomainId,
    /// The class of the tenants, for hardware that is divided.
    class: u32,
    /// The frames behind each.
    frames: [Range<PhysAddr>; 2],
    /// From when on they are nobody's.
    released_at: [Picoseconds; 2],
}

/// What the context cache and memory hold of a device.
#[derive(Clone, Copy, Debug, Default)]
struct ContextState {
    /// What memory says.
    entry: Option<Context>,
    /// What look-ups use.
    used: Option<Context>,
    /// Whether that is cached.
    cached: bool,
    /// Whether a switch is under way.
    switching: bool,
    /// Whether it has a domain but for switches: its VM was let in.
    attached: bool,
}

/// What became of the DMAs of a VF because of switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwitchBooks {
    /// DMAs that met a domain in the middle of its switch and were blocked.
    pub faults: u64,
    /// DMAs that reached a frame of the domain that is gone, since an invalidation was left out.
    pub stale: u64,
    /// The same with no invalidation left out.
    pub breaches: u64,
}

/// The domains of an IOMMU that are switched.
#[derive(Debug)]
pub struct DomainSwitches {
    images: Vec<Images>,
    /// Which images each VF uses.
    of_vf: Vec<u32>,
    contexts: Vec<ContextState>,
    /// Switches under way, by the VF whose domain it is.
    operations: Vec<Option<Operation>>,
    /// Switches that are over, for the adapters to go on.
    pub attached: Vec<Attached>,
    /// Switches that are over and have not been booked, in the order in which their domains were attached.
    pub over: Vec<Switched>,
    /// What became of each VF's DMAs.
    pub books: Vec<SwitchBooks>,
    ids: DidAllocator,
    reuses_ids: bool,
    /// What a switch invalidates.
    pub invalidates_context: bool,
    /// See above.
    pub invalidates_iotlb: bool,
    /// See above; no where devices have no TLBs.
    pub invalidates_device_tlb: bool,
    /// Invalidations of device TLBs that the devices have not heard of, in order.
    pub device_invalidations: Vec<TlbInvalidation>,
    leaves_out_invalidations: bool,
    /// Whether hardware replaces context entries at once.
    pub is_atomic: bool,
}

/// What a new context entry brings: its domain ID and the class of its tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewDomain {
    /// The ID.
    pub id: DomainId,
    /// The class.
    pub class: u32,
    /// Index of its page table.
    pub table: u32,
}

impl DomainSwitches {
    /// None yet, for `vfs` VFs, whose devices have TLBs where `device_tlbs`; `ids` has given out what is in use.
    #[must_use]
    pub fn new(spec: &SilenceSpec, vfs: u32, ids: DidAllocator, device_tlbs: bool) -> Self {
        let vfs = vfs as usize;
        let invalidations = [
            ProtocolStep::InvalidateContext,
            ProtocolStep::InvalidateIotlb,
            ProtocolStep::InvalidateDeviceTlb,
        ];
        Self {
            images: Vec::new(),
            of_vf: vec![0; vfs],
            contexts: vec![ContextState::default(); vfs],
            operations: vec![None; vfs],
            attached: Vec::new(),
            over: Vec::new(),
            books: vec![SwitchBooks::default(); vfs],
            ids,
            reuses_ids: spec.did_reuse,
            invalidates_context: !spec.skips(ProtocolStep::InvalidateContext),
            invalidates_iotlb: !spec.skips(ProtocolStep::InvalidateIotlb),
            invalidates_device_tlb: device_tlbs && !spec.skips(ProtocolStep::InvalidateDeviceTlb),
            device_invalidations: Vec::new(),
            leaves_out_invalidations: invalidations.into_iter().any(|step| spec.skips(step)),
            is_atomic: spec.mode == SwitchMode::AtomicReplace,
        }
    }

    /// The next domain: the VFs that use it, its ID and class, its page table and the one that takes its place, and the
    /// frames behind both.
    pub fn add(
        &mut self,
        vfs: Range<u32>,
        (id, class): (DomainId, u32),
        tables: [u32; 2],
        frames: [Range<PhysAddr>; 2],
    ) {
        let number = self.images.len() as u32;
        self.of_vf[vfs.start as usize..vfs.end as usize].fill(number);
        let released_at = [Picoseconds::MAX, Picoseconds::ZERO];
        self.images.push(Images { vfs, tables, current: 0, id, class, frames, released_at });
    }

    /// A VF has this context entry at the start.
    pub fn start_with(&mut self, vf: u32, context: Option<Context>) {
        let state = &mut self.contexts[vf as usize];
        (state.entry, state.used, state.attached) = (context, context, context.is_some());
    }

    /// The context entry that a look-up of the VF uses, which is cached from now on.
    #[inline]
    pub fn use_context(&mut self, vf: u32) -> Option<Context> {
        let state = &mut self.contexts[vf as usize];
        state.cached = state.used.is_some();
        state.used
    }

    /// The context entry in memory.
    #[must_use]
    pub fn entry(&self, vf: u32) -> Option<Context> {
        self.contexts[vf as usize].entry
    }

    /// Whether the VF's domain is being switched.
    #[must_use]
    pub fn is_switching(&self, vf: u32) -> bool {
        self.contexts[vf as usize].switching
    }

    /// The index of the page table that a VF's context entries name, or named last.
    #[must_use]
    pub fn table_of(&self, vf: u32) -> u32 {
        let images = &self.images[self.of_vf[vf as usize] as usize];
        images.tables[images.current]
    }

    /// The switch of a VF's domain will begin at `at`: the new entry takes `attach` to be set, and a device takes `device` at
    /// least to answer to the invalidation of its TLB.
    pub fn begin(
        &mut self,
        vf: u32,
        at: Picoseconds,
        (attach, device): (Option<Picoseconds>, Picoseconds),
        failure: Option<Failure>,
    ) {
        let to_come = DeviceInvalidation::ToCome { carried_out_from: at, answers_from: at + device };
        let device = if self.invalidates_device_tlb { to_come } else { DeviceInvalidation::Over };
        let (invalidated_at, not_before) = (at, at);
        let operation = Operation {
            attach,
            not_before,
            invalidated_at,
            failure,
            tried: false,
            last_command: None,
            device,
        };
        let before = self.operations[vf as usize].replace(operation);
        debug_assert!(before.is_none(), "one switch of a domain at a time");
    }

    /// A domain will be attached at `at` to a VF that has none.
    pub fn begin_attachment(&mut self, vf: u32, at: Picoseconds) {
        self.begin(vf, at, (Some(Picoseconds::ZERO), Picoseconds::ZERO), None);
        self.operation(vf).device = DeviceInvalidation::Over;
    }

    /// A VF has no domain at the beginning: its VM is to come.
    pub fn start_without(&mut self, vf: u32) {
        let images = &mut self.images[self.of_vf[vf as usize] as usize];
        // The first of its domains is the next to be attached.
        images.current = 1;
        images.released_at = [Picoseconds::ZERO; 2];
        if self.reuses_ids {
            self.ids.release(images.id);
        }
        let state = &mut self.contexts[vf as usize];
        (state.entry, state.used) = (None, None);
    }

    /// The switch of a VF's domain, which is under way.
    ///
    /// # Panics
    /// If none is.
    pub fn operation(&mut self, vf: u32) -> &mut Operation {
        self.operations[vf as usize].as_mut().expect("a switch is under way")
    }

    /// The context entries of a VF's domain are cleared, or replaced at once where hardware can do that; its ID. What is new
    /// is for its hardware to know.
    pub fn detach(&mut self, vf: u32) -> (DomainId, Option<NewDomain>) {
        let images = &mut self.images[self.of_vf[vf as usize] as usize];
        let old = images.id;
        let new = if self.is_atomic {
            Some(self.replace(vf, true))
        } else {
            self.set_entries(vf, None);
            None
        };
        (old, new)
    }

    /// A domain takes the place of the VF's: a new one, or the old one under another ID.
    fn replace(&mut self, vf: u32, is_new: bool) -> NewDomain {
        let id = self.ids.allocate().expect("domain IDs do not run out");
        let images = &mut self.images[self.of_vf[vf as usize] as usize];
        images.current ^= usize::from(is_new);
        images.id = id;
        images.released_at[images.current] = Picoseconds::MAX;
        let (table, class) = (images.tables[images.current], images.class);
        self.set_entries(vf, Some(Context { domain: id, table }));
        NewDomain { id, class, table }
    }

    fn set_entries(&mut self, vf: u32, context: Option<Context>) {
        let vfs = self.images[self.of_vf[vf as usize] as usize].vfs.clone();
        let of_domain = &mut self.contexts[vfs.start as usize..vfs.end as usize];
        for state in of_domain.iter_mut().filter(|state| state.attached) {
            state.switching = context.is_none();
            state.entry = context;
            if !state.cached {
                state.used = context;
            }
        }
    }

    /// The context cache drops what it holds of a VF's domain.
    pub fn invalidate_context(&mut self, vf: u32) {
        let vfs = self.images[self.of_vf[vf as usize] as usize].vfs.clone();
        for state in &mut self.contexts[vfs.start as usize..vfs.end as usize] {
            state.cached = false;
            state.used = state.entry;
        }
    }

    /// The context cache is empty.
    pub fn forget_contexts(&mut self) {
        for state in &mut self.contexts {
            state.cached = false;
            state.used = state.entry;
        }
    }

    /// All invalidations of a switch are complete at `now`: the frames of the old domain are nobody's from `released_at`
    /// on. When the new entry will be there, where it is not yet.
    pub fn invalidated(
        &mut self,
        vf: u32,
        old: DomainId,
        now: Picoseconds,
        released_at: Picoseconds,
    ) -> Option<Picoseconds> {
        let images = &mut self.images[self.of_vf[vf as usize] as usize];
        let gone = if self.is_atomic { images.current ^ 1 } else { images.current };
        images.released_at[gone] = released_at;
        let operation = self.operations[vf as usize].as_mut().expect("a switch is under way");
        operation.invalidated_at = now;
        if operation.failure == Some(Failure::Invalidation) {
            // Nobody knows what is still cached: the ID is not given out again, and nothing is attached.
            self.finish(vf, now);
            return None;
        }
        if self.reuses_ids {
            self.ids.release(old);
        }
        match operation.attach.filter(|_| !self.is_atomic) {
            Some(attach) => {
                operation.not_before = now + attach;
                Some(operation.not_before)
            }
            None => {
                self.finish(vf, now);
                None
            }
        }
    }

    /// The context entry of a VF's domain is there at `now`, if nothing fails.
    pub fn attach(&mut self, vf: u32, now: Picoseconds) -> Attachment {
        let operation = self.operation(vf);
        let fails = matches!(operation.failure, Some(Failure::Attach | Failure::Reattach));
        if fails && !core::mem::replace(&mut operation.tried, true) {
            operation.not_before = now + operation.attach.expect("something is attached");
            return Attachment::Again(operation.not_before);
        }
        let done = (operation.failure != Some(Failure::Reattach)).then(|| self.replace(vf, !fails));
        self.finish(vf, now);
        done.map_or(Attachment::Never, Attachment::Done)
    }

    fn finish(&mut self, vf: u32, now: Picoseconds) {
        let operation = self.operations[vf as usize].take().expect("a switch is under way");
        self.attached.push(Attached { vf, invalidated_at: operation.invalidated_at, attached_at: now });
    }

    /// Whether a DMA of a VF at `now`, translated to `target`, reaches a frame of its domain, and not of one that is gone.
    #[must_use]
    pub fn owns(&self, vf: u32, target: PhysAddr, now: Picoseconds) -> bool {
        let images = &self.images[self.of_vf[vf as usize] as usize];
        let image = images.frames.iter().position(|frames| frames.contains(&target));
        image.is_some_and(|image| now < images.released_at[image])
    }

    /// Whether what a switch leaves out explains that.
    #[must_use]
    pub fn leaves_out_invalidations(&self) -> bool {
        self.leaves_out_invalidations
    }

    /// When the device TLBs of a VF's domain are told to drop it at the earliest, if that is to come.
    #[must_use]
    pub fn device_invalidated_from(&self, vf: u32) -> Option<Picoseconds> {
        match self.operations[vf as usize].as_ref()?.device {
            DeviceInvalidation::ToCome { carried_out_from, .. } => Some(carried_out_from),
            DeviceInvalidation::Over | DeviceInvalidation::Awaited { .. } => None,
        }
    }

    /// The device TLBs of a VF's domain drop what they hold of it, a picosecond after `now`: what the device did before,
    /// it did not know.
    pub fn invalidate_device_tlbs(&mut self, vf: u32, now: Picoseconds) {
        let vfs = self.images[self.of_vf[vf as usize] as usize].vfs.clone();
        self.device_invalidations.push(TlbInvalidation { time: now + Picoseconds(1), vfs });
    }
}
