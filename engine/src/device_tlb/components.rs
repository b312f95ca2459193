//! The device TLB of an adapter and what is under way because of it.

use std::collections::VecDeque;

use bevy_ecs::component::Component;

use super::function::Function;
use super::invalidations::Invalidations;
use super::spec::{DeviceTlbSpec, TlbSharing};
use crate::domain::Leaf;
use crate::hash::mix64;
use crate::ids::{DomainId, Iova};
use crate::translation::AnyIotlb;
use crate::units::Picoseconds;

/// The device TLB of an adapter, if it has one.
#[derive(Component, Default)]
pub struct DeviceTlb(pub Option<Box<Ats>>);

impl DeviceTlb {
    /// The device TLB.
    #[inline]
    pub fn get(&mut self) -> Option<&mut Ats> {
        self.0.as_deref_mut()
    }
}

/// What a TLP carries up the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Route {
    /// A DMA that the IOMMU translates.
    #[default]
    Untranslated,
    /// A request for a translation.
    Request,
    /// A DMA that the device has translated.
    Translated,
    /// A DMA that is marked as translated, with an address that the device made up. The IOMMU cannot tell.
    Forged,
}

impl Route {
    /// Whether its TLP is marked as translated.
    #[inline]
    #[must_use]
    pub const fn is_marked_translated(self) -> bool {
        matches!(self, Self::Translated | Self::Forged)
    }
}

/// What became of a DMA's look-up in the device TLB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum TlbLookup {
    /// There is no device TLB.
    #[default]
    None,
    /// An entry served it.
    Hit,
    /// It sent a translation request.
    Miss,
    /// It joined a request under way.
    Joined,
}

impl TlbLookup {
    /// The name reports use.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Hit => Some("hit"),
            Self::Miss => Some("miss"),
            Self::Joined => Some("joined"),
        }
    }
}

/// A translation request under way.
#[derive(Clone, Debug)]
pub struct TranslationRequest {
    /// Which of the adapter's.
    pub number: u64,
    /// The row of the DMA that sent it, while that is not over.
    pub row: Option<u32>,
    /// What others join: the tag of the entries and the 4 KiB page.
    pub page: Option<(DomainId, u64)>,
    /// Whether its translation was invalidated meanwhile: then nothing is filled.
    pub cancelled: bool,
    /// Rows that joined, in order.
    pub joined: Vec<u32>,
    /// What the IOMMU answered: a leaf, unless it refused.
    pub leaf: Option<Leaf>,
}

/// An answer that arrives at the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When.
    pub time: Picoseconds,
    /// The number of its request.
    pub request: u64,
}

/// A TLP that waits for the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Since when, or when its look-up is over.
    pub ready: Picoseconds,
    /// Whether it follows from a look-up; else from an answer, which goes first.
    pub looked_up: bool,
    /// What its TLP carries.
    pub route: Route,
    /// Its row.
    pub row: u32,
}

/// A packet of which more DMAs may be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketUnderWay {
    /// Its VF.
    pub vf: u32,
    /// When it was taken up.
    pub time: Picoseconds,
}

/// A device TLB and what is under way because of it.
pub struct Ats {
    /// One, or one a VF.
    tlbs: Vec<AnyIotlb>,
    /// The adapter's first VF.
    first_vf: u32,
    /// What tags the entries of each VF; none where it has no domain. A device knows functions, not domains: a VF keeps
    /// the tag whichever domain it has by now.
    tags: Vec<Option<DomainId>>,
    /// What is dropped, and when.
    pub invalidations: Invalidations,
    /// From a look-up to the TLP that follows from it.
    pub hit: Picoseconds,
    /// Requests that may be under way when a packet is taken up.
    pub pending: usize,
    /// Packets are taken up at multiples of this; zero for any time.
    pub slot: Picoseconds,
    /// The packet that is being taken up.
    pub packet: Option<PacketUnderWay>,
    /// TLPs that wait for the link, in the order in which they leave.
    pub leaving: VecDeque<Leaving>,
    /// Nothing is taken up before this time: when the last TLP left, or the last DMA was taken up.
    pub takes_up_from: Picoseconds,
    /// No packet is taken up before this time: a slot takes one.
    pub packets_from: Picoseconds,
    /// Reads that retired behind a write that left, and when.
    pub retired_reads: Vec<(u32, Picoseconds)>,
    /// Requests under way, in the order of their look-ups.
    pub requests: Vec<TranslationRequest>,
    /// Answers whose arrival is known and not yet taken, in order.
    pub answers: VecDeque<Answer>,
    /// DMAs that were taken up; kept where domains are switched.
    pub taken_up: u64,
    /// TLPs beyond one a DMA that leave, less DMAs that never do, as far as answers were taken.
    pub more_tlps: i64,
    /// Requests sent so far, or about to be.
    pub(super) numbered: u64,
    /// The adapter's VFs, where any of them forges or has its ATS off; else none.
    pub(super) functions: Vec<Function>,
}

impl Ats {
    /// Of a valid specification that is on, for an adapter whose VFs have these tags, the first of them `first_vf`, and its `invalidations`; `slot`
    /// is the device's, and `seed` feeds random policies.
    #[must_use]
    pub fn new(
        spec: &DeviceTlbSpec,
        slot: Picoseconds,
        first_vf: u32,
        tags: Vec<Option<DomainId>>,
        invalidations: Invalidations,
        seed: u64,
    ) -> Self {
        let count = if spec.sharing == TlbSharing::Vf { tags.len() as u32 } else { 1 };
        let tlb = |number: u32| AnyIotlb::new(&spec.of_iotlb(), mix64(seed ^ mix64(u64::from(number))));
        Self {
            tlbs: (0..count).map(tlb).collect(),
            first_vf,
            tags,
            invalidations,
            hit: Picoseconds::from_ns_f64(spec.hit_ns),
            pending: spec.pending as usize,
            slot,
            packet: None,
            leaving: VecDeque::new(),
            takes_up_from: Picoseconds::ZERO,
            packets_from: Picoseconds::ZERO,
            retired_reads: Vec::new(),
            requests: Vec::new(),
            answers: VecDeque::new(),
            taken_up: 0,
            more_tlps: 0,
            numbered: 0,
            functions: Vec::new(),
        }
    }

    /// Tells which of the adapter's VFs forge or have their ATS off: all of them, or none where nobody does.
    ///
    /// # Panics
    /// If it has already taken up anything.
    pub fn set_functions(&mut self, functions: Vec<Function>) {
        assert!(self.numbered == 0 && self.leaving.is_empty(), "functions are told before the first DMA");
        self.functions = functions;
    }

    /// Whether any of its VFs forges or has its ATS off.
    #[inline]
    #[must_use]
    pub fn has_special_functions(&self) -> bool {
        !self.functions.is_empty()
    }

    /// The VF, where any of its adapter forges or has its ATS off.
    #[inline]
    pub(super) fn function(&self, vf: u32) -> Option<&Function> {
        self.functions.get((vf - self.first_vf) as usize)
    }

    /// Whether the context entry of a VF enables ATS.
    #[inline]
    #[must_use]
    pub fn is_enabled_for(&self, vf: u32) -> bool {
        self.function(vf).is_none_or(|function| function.ats_enabled)
    }

    /// The least time from when a DMA is taken up to what follows from that: who looks nothing up sends at once.
    #[inline]
    #[must_use]
    pub fn least_look_up(&self) -> Picoseconds {
        if self.functions.is_empty() { self.hit } else { Picoseconds::ZERO }
    }

    /// The TLB of a VF.
    pub(super) fn tlb_of(&mut self, vf: u32) -> &mut AnyIotlb {
        let at = if self.tlbs.len() == 1 { 0 } else { (vf - self.first_vf) as usize };
        &mut self.tlbs[at]
    }

    /// What tags the entries of a VF, where it has a domain.
    pub(super) fn tag_of(&self, vf: u32) -> Option<DomainId> {
        self.tags[(vf - self.first_vf) as usize]
    }

    /// The request that the DMA in `row` sent.
    ///
    /// # Panics
    /// If there is none.
    pub fn request_of(&mut self, row: u32) -> &mut TranslationRequest {
        self.requests.iter_mut().find(|request| request.row == Some(row)).expect("a request under way")
    }

    /// The row of the DMA whose request an answer is for, unless that is over.
    #[must_use]
    pub fn row_of_answer(&self, answer: Answer) -> Option<u32> {
        self.requests.iter().find(|request| request.number == answer.request).and_then(|request| request.row)
    }

    /// The answer to the request of the DMA in `row` arrives at `time`; one that is refused is over.
    pub fn note_answer(&mut self, row: u32, time: Picoseconds, refused: bool) {
        let request = self.request_of(row);
        if refused {
            request.row = None;
        }
        let request = request.number;
        self.answers.push_back(Answer { time, request });
    }

    /// Calls `change` with every row that waits here.
    pub fn for_each_row(&mut self, mut change: impl FnMut(&mut u32)) {
        self.leaving.iter_mut().for_each(|leaving| change(&mut leaving.row));
        for request in &mut self.requests {
            request.row.iter_mut().chain(&mut request.joined).for_each(&mut change);
        }
    }
}

/// The 4 KiB page that requests are joined by.
pub(super) fn page_of(tag: DomainId, iova: Iova) -> (DomainId, u64) {
    (tag, iova.0 >> 12)
}
