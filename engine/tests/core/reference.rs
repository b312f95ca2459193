//! The reference: one event after another from a queue, one request at a time, plain containers,
//! linear searches. It shares the specifications with the engine and nothing else.
//!
//! A [`Rule`] can be broken on purpose, to see that the comparison finds it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use portcullis_engine::attribution::Cause;
use portcullis_engine::device_tlb::TlbSharing;
use portcullis_engine::domain::{Leaf, LeafSize, Permissions};
use portcullis_engine::hash::mix64;
use portcullis_engine::ids::{DomainId, Iova, PhysAddr};
use portcullis_engine::invalidation::{
    Granularity, InvalidationMode, IovaReuse, StreamingPlan, WalkCacheInvalidation,
};
use portcullis_engine::link::{Retire, WriteOrder};
use portcullis_engine::memory::llc_set;
use portcullis_engine::request::{Fault, Op};
use portcullis_engine::topology::DomainScope;
use portcullis_engine::translation::{IommuMode, Part, WalkLatency, leaf_code};

use crate::case::{Case, Intent, STREAM_BASE};
use crate::causes::{
    Answer, Blocked, Book, COLD, DeviceWait, DeviceWaits, Evictions, INVALIDATION, Leg, Missed, Note, Split,
};
use crate::plain_iotlb::{IotlbRule, PlainIotlb};

#[path = "reference/crashes.rs"]
mod crashes;
#[path = "reference/escapes.rs"]
mod escapes;
#[path = "reference/failures.rs"]
mod failures;
#[path = "reference/slices.rs"]
mod slices;
#[path = "reference/switches.rs"]
mod switches;
#[path = "reference/vms.rs"]
pub mod vms;
use crashes::Crashes;
use escapes::EscapesOfAdapter;
pub use escapes::{Decided, EscapeCounts};
use slices::Turns;
use switches::{Invalidated, Switches};
use vms::Vms;

/// The rules of the model that can be broken one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    FillAtTheEndOfTheWalk,
    JoinAWalkUnderWay,
    AFaultFillsNothing,
    WalkEndsBeforeLookups,
    InvalidWaysFirst,
    HitsCountForReplacement,
    WalkersQueueIsBounded,
    VfQueueIsBounded,
    IssueBeforeSend,
    CreditsBoundTheLink,
    TagsBoundReads,
    RateLimitsSpaceStarts,
    ReturnsInTheOrderOfReadiness,
    AFaultSkipsMemory,
    ArrivalsTieByAdapter,
    StopAtTheFirstFault,
    WalkersServeInOrder,
    FaultQueueIsBounded,
    SlotsBoundVfs,
    SlotsBoundAdapters,
    EqualSlotsGoByVf,
    RetireInOrder,
    WritesRetireAsTheyLeave,
    ClientsThink,
    WalkCachesLookedUpAtTheMiss,
    DeepestEntryServes,
    WalkCachesFillAsWalksRead,
    AnEntryBeingReadIsWaitedFor,
    WhoWaitsHoldsItsWalker,
    WalksHaveAnOverhead,
    AFaultFillsNoWalkCache,
    WalkCachesKnowDomains,
    HitsCountInWalkCaches,
    GuestTablesAreTranslated,
    HostPagesCutLeaves,
    DrawsGoByWalkAndAccess,
    CountersStartAfterTheWarmUp,
    TimesAreCutAtTheEndOfTheWarmUp,
    DataIsCached,
    WritesBringLinesIn,
    WritesNeedNoData,
    CachedDataAges,
    WritesStayInOrder,
    WritesKeepCreditsUntilTheirTurn,
    CompletionsEndAtTheBoundary,
    UnmapsComeBeforeLookups,
    CommandsAreServedInTurn,
    CommandsWaitForAccesses,
    CancelledWalksFillNothing,
    NobodyJoinsACancelledWalk,
    UnmapsAreInvalidated,
    FullInvalidationsEmptyWalkCaches,
    LeafOnlyInvalidationsSpareWalkCaches,
    DroppedEntriesAreNotReadIntoWalkCaches,
    FramesTellStreamingData,
    CommandsWaitForData,
    CommandsWaitForTheTurnOfWrites,
    FullQueuesAreFlushed,
    TheFillerWaits,
    TimersFlush,
    AddressesWaitForTheFlush,
    AddressesAreReusedInOrder,
    FramesAreReusedInTurn,
    LateRequestsMapNothing,
    ClassesKeepToTheirParts,
    ClassesHaveTheirOwnWalkers,
    DriversPoll,
    AnswersFillDeviceTlbs,
    HitsCountInDeviceTlbs,
    DeviceTlbsKnowRights,
    MissesInDeviceTlbsJoin,
    RefusedOnesAskForThemselves,
    AnswersComeBeforeLookUps,
    AnsweredOnesLeaveFirst,
    PendingRequestsBoundPackets,
    PacketsAreTakenUpAtSlots,
    PacketsAreTakenUpTogether,
    TranslationRequestsHoldTags,
    DeviceLookUpsTakeTime,
    DeviceTlbsAreSharedAsToldTo,
    WhatWaitsForTheLinkGoesFirst,
    LargeLeavesHaveTheirOwnWalks,
    WhoIsBehindWaitsForTheSame,
    RateLimitsAreOfTheLink,
    VfSlotsHold,
    TheLastAnswerCounts,
    JoinersWaitForTheRest,
    DroppedMeansWalkedForInvalidation,
    StallsAreOfTheWalkQueue,
    WritesInTurnRetire,
    RetirementIsNotTheLink,
    JoinersShareTheCause,
    TheFullCacheHearsHits,
    DroppedIsNotEvicted,
    WhoStartsTheWalkEvicts,
    SuspendedSchedulersIssueNothing,
    DrainsWaitForReads,
    QuiescingWaitsForWrites,
    DomainIdsAreReused,
    ContextsAreInvalidated,
    SwitchedDomainsAreInvalidated,
    WaitingSwitchesAreBounded,
    SilenceIsNotTheLink,
    DrainsTimeOut,
    ResetsAbort,
    WhoIsGoneIsNotTold,
    ClientsWaitForTheRecovery,
    OldDomainsAreReattached,
    WhoDoesNotObeyIsNotWaitedFor,
    HostsThatAreDownLookNothingUp,
    RebootsEmptyCaches,
    StuckDriversEndHosts,
    HangsAreForgotten,
    WhoIsNotTakenUpWaitsForTheSame,
    DeviceLookUpsAreNotTheLink,
    WhoJoinedWaitsForTheDevice,
    RequestsWaitForWalks,
    AnswersComeOnTheLink,
    TranslatedOnesWaitForWalkers,
    SlotsAreNotTheDeviceTlb,
    PendingIsOfTheDeviceTlb,
    CreditsAreNotTheLink,
    DrainsWaitForTheDevice,
    WhatLeavesBehindTheHeldRecovers,
    DeviceTlbsAreInvalidated,
    CancelledRequestsFillNoDeviceTlb,
    NobodyJoinsACancelledRequest,
    DeviceTlbsKnowNoDomains,
    DevicesTakeTimeToAnswer,
    TheQueueWaitsForDevices,
    DevicesAnswerWhenAllIsOver,
    TranslatedOnesAreJudgedAsTheyPass,
    MarksOfTranslationAreTrusted,
    MarksNeedAnEnabledFunction,
    MarksNeedADomain,
    BlockedMarksTakeALookUp,
    ForgersLookNothingUp,
    WithoutAtsNothingIsAsked,
    OnlyWhoseSliceItIsSends,
    SlicesEndInTime,
    EmptySlotsIdle,
    SlicesGoRound,
    WhoHasNothingToSendGivesWay,
    WorldSwitchesTakeTime,
    TheSameVfNeedsNoWorldSwitch,
    SlicesAreWaitedForInTheQueue,
    VmsThatAreGoneIntendNothing,
    ClientsAreGoneWithTheirVm,
    ClientsBeginAnew,
    StopsAbortWhatHasNotLeft,
    MovesLoseNothing,
    NothingLeavesUntilTheVmRuns,
    StartsDetachNothing,
    TheNextVmHasItsOwnMemory,
    StallsPauseTheAdapter,
    StallsWaitForTheDrain,
    StallsWaitForTheDriver,
    StallsTakeTheirTurn,
    BeginsWaitForEscapes,
    EscapesWaitForWindows,
    EscapesWaitForStalls,
    EscapesWaitForRoom,
}

impl Rule {
    pub const ALL: [Self; 162] = [
        Self::FillAtTheEndOfTheWalk,
        Self::JoinAWalkUnderWay,
        Self::AFaultFillsNothing,
        Self::WalkEndsBeforeLookups,
        Self::InvalidWaysFirst,
        Self::HitsCountForReplacement,
        Self::WalkersQueueIsBounded,
        Self::VfQueueIsBounded,
        Self::IssueBeforeSend,
        Self::CreditsBoundTheLink,
        Self::TagsBoundReads,
        Self::RateLimitsSpaceStarts,
        Self::ReturnsInTheOrderOfReadiness,
        Self::AFaultSkipsMemory,
        Self::ArrivalsTieByAdapter,
        Self::StopAtTheFirstFault,
        Self::WalkersServeInOrder,
        Self::FaultQueueIsBounded,
        Self::SlotsBoundVfs,
        Self::SlotsBoundAdapters,
        Self::EqualSlotsGoByVf,
        Self::RetireInOrder,
        Self::WritesRetireAsTheyLeave,
        Self::ClientsThink,
        Self::WalkCachesLookedUpAtTheMiss,
        Self::DeepestEntryServes,
        Self::WalkCachesFillAsWalksRead,
        Self::AnEntryBeingReadIsWaitedFor,
        Self::WhoWaitsHoldsItsWalker,
        Self::WalksHaveAnOverhead,
        Self::AFaultFillsNoWalkCache,
        Self::WalkCachesKnowDomains,
        Self::HitsCountInWalkCaches,
        Self::GuestTablesAreTranslated,
        Self::HostPagesCutLeaves,
        Self::DrawsGoByWalkAndAccess,
        Self::CountersStartAfterTheWarmUp,
        Self::TimesAreCutAtTheEndOfTheWarmUp,
        Self::DataIsCached,
        Self::WritesBringLinesIn,
        Self::WritesNeedNoData,
        Self::CachedDataAges,
        Self::WritesStayInOrder,
        Self::WritesKeepCreditsUntilTheirTurn,
        Self::CompletionsEndAtTheBoundary,
        Self::UnmapsComeBeforeLookups,
        Self::CommandsAreServedInTurn,
        Self::CommandsWaitForAccesses,
        Self::CancelledWalksFillNothing,
        Self::NobodyJoinsACancelledWalk,
        Self::UnmapsAreInvalidated,
        Self::FullInvalidationsEmptyWalkCaches,
        Self::LeafOnlyInvalidationsSpareWalkCaches,
        Self::DroppedEntriesAreNotReadIntoWalkCaches,
        Self::FramesTellStreamingData,
        Self::CommandsWaitForData,
        Self::CommandsWaitForTheTurnOfWrites,
        Self::FullQueuesAreFlushed,
        Self::TheFillerWaits,
        Self::TimersFlush,
        Self::AddressesWaitForTheFlush,
        Self::AddressesAreReusedInOrder,
        Self::FramesAreReusedInTurn,
        Self::LateRequestsMapNothing,
        Self::ClassesKeepToTheirParts,
        Self::ClassesHaveTheirOwnWalkers,
        Self::DriversPoll,
        Self::AnswersFillDeviceTlbs,
        Self::HitsCountInDeviceTlbs,
        Self::DeviceTlbsKnowRights,
        Self::MissesInDeviceTlbsJoin,
        Self::RefusedOnesAskForThemselves,
        Self::AnswersComeBeforeLookUps,
        Self::AnsweredOnesLeaveFirst,
        Self::PendingRequestsBoundPackets,
        Self::PacketsAreTakenUpAtSlots,
        Self::PacketsAreTakenUpTogether,
        Self::TranslationRequestsHoldTags,
        Self::DeviceLookUpsTakeTime,
        Self::DeviceTlbsAreSharedAsToldTo,
        Self::WhatWaitsForTheLinkGoesFirst,
        Self::LargeLeavesHaveTheirOwnWalks,
        Self::WhoIsBehindWaitsForTheSame,
        Self::RateLimitsAreOfTheLink,
        Self::VfSlotsHold,
        Self::TheLastAnswerCounts,
        Self::JoinersWaitForTheRest,
        Self::DroppedMeansWalkedForInvalidation,
        Self::StallsAreOfTheWalkQueue,
        Self::WritesInTurnRetire,
        Self::RetirementIsNotTheLink,
        Self::JoinersShareTheCause,
        Self::TheFullCacheHearsHits,
        Self::DroppedIsNotEvicted,
        Self::WhoStartsTheWalkEvicts,
        Self::SuspendedSchedulersIssueNothing,
        Self::DrainsWaitForReads,
        Self::QuiescingWaitsForWrites,
        Self::DomainIdsAreReused,
        Self::ContextsAreInvalidated,
        Self::SwitchedDomainsAreInvalidated,
        Self::WaitingSwitchesAreBounded,
        Self::SilenceIsNotTheLink,
        Self::DrainsTimeOut,
        Self::ResetsAbort,
        Self::WhoIsGoneIsNotTold,
        Self::ClientsWaitForTheRecovery,
        Self::OldDomainsAreReattached,
        Self::WhoDoesNotObeyIsNotWaitedFor,
        Self::HostsThatAreDownLookNothingUp,
        Self::RebootsEmptyCaches,
        Self::StuckDriversEndHosts,
        Self::HangsAreForgotten,
        Self::WhoIsNotTakenUpWaitsForTheSame,
        Self::DeviceLookUpsAreNotTheLink,
        Self::WhoJoinedWaitsForTheDevice,
        Self::RequestsWaitForWalks,
        Self::AnswersComeOnTheLink,
        Self::TranslatedOnesWaitForWalkers,
        Self::SlotsAreNotTheDeviceTlb,
        Self::PendingIsOfTheDeviceTlb,
        Self::CreditsAreNotTheLink,
        Self::DrainsWaitForTheDevice,
        Self::WhatLeavesBehindTheHeldRecovers,
        Self::DeviceTlbsAreInvalidated,
        Self::CancelledRequestsFillNoDeviceTlb,
        Self::NobodyJoinsACancelledRequest,
        Self::DeviceTlbsKnowNoDomains,
        Self::DevicesTakeTimeToAnswer,
        Self::TheQueueWaitsForDevices,
        Self::DevicesAnswerWhenAllIsOver,
        Self::TranslatedOnesAreJudgedAsTheyPass,
        Self::MarksOfTranslationAreTrusted,
        Self::MarksNeedAnEnabledFunction,
        Self::MarksNeedADomain,
        Self::BlockedMarksTakeALookUp,
        Self::ForgersLookNothingUp,
        Self::WithoutAtsNothingIsAsked,
        Self::OnlyWhoseSliceItIsSends,
        Self::SlicesEndInTime,
        Self::EmptySlotsIdle,
        Self::SlicesGoRound,
        Self::WhoHasNothingToSendGivesWay,
        Self::WorldSwitchesTakeTime,
        Self::TheSameVfNeedsNoWorldSwitch,
        Self::SlicesAreWaitedForInTheQueue,
        Self::VmsThatAreGoneIntendNothing,
        Self::ClientsAreGoneWithTheirVm,
        Self::ClientsBeginAnew,
        Self::StopsAbortWhatHasNotLeft,
        Self::MovesLoseNothing,
        Self::NothingLeavesUntilTheVmRuns,
        Self::StartsDetachNothing,
        Self::TheNextVmHasItsOwnMemory,
        Self::StallsPauseTheAdapter,
        Self::StallsWaitForTheDrain,
        Self::StallsWaitForTheDriver,
        Self::StallsTakeTheirTurn,
        Self::BeginsWaitForEscapes,
        Self::EscapesWaitForWindows,
        Self::EscapesWaitForStalls,
        Self::EscapesWaitForRoom,
    ];
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    pub intended: u64,
    pub issued: u64,
    pub translated: u64,
    pub completed: u64,
    pub fault: Option<Fault>,
    /// Physical address, or the address that faulted.
    pub address: u64,
    pub hits: u64,
    pub misses: u64,
    pub joined: u64,
    pub stale: bool,
    /// What became of its look-up in a device TLB.
    pub device_tlb: Option<&'static str>,
    /// Where its time went; zeros where nobody asks.
    pub split: Split,
    /// Why its look-ups missed.
    pub missed: Missed,
    /// Whether it never left: it was aborted, or is held for good.
    pub lost: bool,
    /// Whether it was never even intended, since nobody was left to.
    pub never: bool,
    /// Whether its host went down before it was over.
    pub aborted: bool,
    /// When it was over: complete, lost, or aborted with its host.
    pub over: u64,
}

/// What the hardware counted after the warm-up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub walks: u64,
    pub walks_faulted: u64,
    pub walk_accesses: u64,
    /// By level, from 2 on.
    pub walk_cache_hits: [u64; 4],
    pub walk_cache_misses: [u64; 4],
    pub evictions: u64,
    pub queue_stalls: u64,
    pub source_stalls: u64,
    pub faults_recorded: u64,
    pub faults_lost: u64,
    pub unmaps: u64,
    pub unmap_wait_ps: u64,
    pub unmap_wait_max_ps: u64,
    pub invalidations: u64,
    pub flushes: u64,
    pub invalidated: u64,
    pub exposure_ps: u64,
    pub overrun: u64,
    pub invalidation_busy_ps: u64,
    /// When invalidation queues carry out their commands: what of it counts is known at the end of the run.
    pub commands: Vec<(u64, u64)>,
    pub invalidation_wait_ps: u64,
    pub uplink_busy_ps: u64,
    pub downlink_busy_ps: u64,
    pub walker_busy_ps: u64,
    pub walk_wait_ps: u64,
    pub stall_ps: u64,
    /// By the class that evicts and the class that is evicted; zeros where nobody asks.
    pub evicted: Evictions,
    /// Switches of domains, how long they took, and the DMAs that met one.
    pub switches: u64,
    pub switch_ps: u64,
    pub switch_faults: u64,
    pub switches_refused: u64,
    pub switches_aborted: u64,
    pub switches_failed: u64,
    /// Requests that never left, and how long they had waited.
    pub aborted: u64,
    pub starved: u64,
    pub lost_wait_ps: u64,
    pub bug_checks: u64,
    /// Requests that a pause held back, and for how long.
    pub held: u64,
    pub held_ps: u64,
    /// Latencies of these.
    pub held_latency_ps: u64,
    /// Of these, those that were not aborted.
    pub held_over: u64,
    /// Requests that left behind those, intended before the last of those had left, and their latencies.
    pub recovering: u64,
    pub recovering_ps: u64,
    /// From the ends of switches until the last request that each held back left; the sum, the number, the longest.
    pub recovery_ps: u64,
    pub recoveries: u64,
    pub recovery_max_ps: u64,
    /// When VFs could send nothing because of switches: what of it counts is known at the end of the run.
    pub stops: Vec<(u64, u64)>,
    pub unavailable_ps: u64,
    /// Forged DMAs that reached a frame of another.
    pub forged_foreign: u64,
    /// Slices that began, and were used: what of them counts is known at the end of the run.
    pub slices_had: Vec<(u64, bool)>,
    pub slices: u64,
    pub slices_used: u64,
    /// Requests of VFs that send in turn, and how long they waited for that.
    pub slice_sent: u64,
    pub slice_wait_ps: u64,
    /// VMs that started, stopped and moved, and how long that took them.
    pub vm_starts: u64,
    pub vm_start_ps: u64,
    pub vm_stops: u64,
    pub vm_migrations: u64,
    pub blackout_ps: u64,
    pub blackout_max_ps: u64,
    pub vm_down_ps: u64,
    /// What escapes came to.
    pub escapes: EscapeCounts,
}

impl Counters {
    /// Adds what other hardware counted.
    pub fn add(&mut self, other: &Self) {
        self.walks += other.walks;
        self.walks_faulted += other.walks_faulted;
        self.evictions += other.evictions;
        self.queue_stalls += other.queue_stalls;
        self.source_stalls += other.source_stalls;
        self.faults_recorded += other.faults_recorded;
        self.faults_lost += other.faults_lost;
        self.walk_accesses += other.walk_accesses;
        for (sum, more) in [
            (&mut self.walk_cache_hits, &other.walk_cache_hits),
            (&mut self.walk_cache_misses, &other.walk_cache_misses),
        ] {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self.uplink_busy_ps += other.uplink_busy_ps;
        self.downlink_busy_ps += other.downlink_busy_ps;
        self.walker_busy_ps += other.walker_busy_ps;
        self.walk_wait_ps += other.walk_wait_ps;
        self.stall_ps += other.stall_ps;
        let sums = self.evicted.iter_mut().flatten();
        sums.zip(other.evicted.iter().flatten()).for_each(|(sum, more)| *sum += more);
        self.unmaps += other.unmaps;
        self.unmap_wait_ps += other.unmap_wait_ps;
        self.unmap_wait_max_ps = self.unmap_wait_max_ps.max(other.unmap_wait_max_ps);
        self.invalidations += other.invalidations;
        self.flushes += other.flushes;
        self.invalidated += other.invalidated;
        self.exposure_ps += other.exposure_ps;
        self.commands.extend_from_slice(&other.commands);
        self.invalidation_wait_ps += other.invalidation_wait_ps;
        self.overrun += other.overrun;
        self.switches += other.switches;
        self.switch_ps += other.switch_ps;
        self.switch_faults += other.switch_faults;
        self.switches_refused += other.switches_refused;
        self.switches_aborted += other.switches_aborted;
        self.switches_failed += other.switches_failed;
        self.aborted += other.aborted;
        self.starved += other.starved;
        self.lost_wait_ps += other.lost_wait_ps;
        self.bug_checks += other.bug_checks;
        self.held += other.held;
        self.held_ps += other.held_ps;
        self.held_latency_ps += other.held_latency_ps;
        self.held_over += other.held_over;
        self.recovering += other.recovering;
        self.recovering_ps += other.recovering_ps;
        self.recovery_ps += other.recovery_ps;
        self.recoveries += other.recoveries;
        self.recovery_max_ps = self.recovery_max_ps.max(other.recovery_max_ps);
        self.stops.extend_from_slice(&other.stops);
        self.unavailable_ps += other.unavailable_ps;
        self.forged_foreign += other.forged_foreign;
        self.slices += other.slices;
        self.slices_used += other.slices_used;
        self.slice_sent += other.slice_sent;
        self.slice_wait_ps += other.slice_wait_ps;
        self.vm_starts += other.vm_starts;
        self.vm_start_ps += other.vm_start_ps;
        self.vm_stops += other.vm_stops;
        self.vm_migrations += other.vm_migrations;
        self.blackout_ps += other.blackout_ps;
        self.blackout_max_ps = self.blackout_max_ps.max(other.blackout_max_ps);
        self.vm_down_ps += other.vm_down_ps;
        self.escapes.add(&other.escapes);
    }
}

/// A request, by VF and number.
pub type Id = (usize, usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Completion { adapter: usize, id: Id },
    Left { adapter: usize, id: Id },
    LeftDevice { id: Id },
    WriteOver { id: Id },
    SwitchResume { adapter: usize, unit: usize },
    SwitchNext { adapter: usize, unit: usize },
    SwitchDue { adapter: usize },
    SliceEnds { adapter: usize },
    SliceBegins { adapter: usize },
    Escapes { adapter: usize },
    EscapeLeaves { adapter: usize },
    WindowEnds { adapter: usize },
    StallSuspended { adapter: usize },
    StallLeaves { adapter: usize },
    DrainTimeout { adapter: usize, unit: usize, number: u64 },
    Reset { adapter: usize, unit: usize },
    Lose { id: Id },
    Abort { id: Id },
    VmComes { vf: usize, number: usize },
    Reboot,
    GivenUp { adapter: usize, unit: usize },
    Suspended { adapter: usize, unit: usize, number: u64 },
    Quiesced { adapter: usize, unit: usize },
    InvalidateDeviceTlbs { vf: usize },
    DeviceAnswers { command: usize },
    Credit { adapter: usize, lookup: usize },
    Issue { vf: usize, origin: u64 },
    Send { adapter: usize },
    Dispatched { walk: usize },
    Read { walk: usize },
    WalkEnd { walk: usize },
    AccessEnd { id: Id },
    CommandComplete { command: usize },
    Invalidate { command: usize },
    FlushTimer { table: usize },
    Unmap { id: Id },
    Return { id: Id },
    Detach { vf: usize },
    Attach { vf: usize },
    Resume,
    Arrival { adapter: usize, number: usize, id: Id },
    Ready { lookup: usize, id: Id },
    DownlinkFree { adapter: usize },
    FaultKnown { lookup: usize, id: Id },
}

#[derive(Default)]
struct AdapterState {
    /// Since when, whether a place was vacated for it at that time, which.
    eligible: BTreeSet<(u64, bool, Id)>,
    slots: u32,
    /// Requests under way in the order of issue; whether they are done.
    under_way: VecDeque<(Id, bool)>,
    sent: usize,
    blocked: Blocked,
    waits: DeviceWaits,
    link_free: u64,
    credits: u32,
    tags: u32,
    next_start: [u64; 2],
    returns: VecDeque<(Id, bool)>,
    downlink_free: u64,
    /// Its device TLBs: none, one, or one a VF.
    tlbs: Vec<PlainIotlb>,
    /// TLPs that wait for the link: since when, whether they follow from a look-up, in which order; which DMA's, and
    /// as what.
    leaving: BTreeMap<(u64, bool, usize), (Id, GoesUp)>,
    leaving_numbered: usize,
    asked: Vec<Asked>,
    /// The VF of the packet that is being taken up, and when.
    packet: Option<(usize, u64)>,
    /// When the next slot for a packet may be.
    packets_from: u64,
}

/// A translation request under way.
#[derive(Clone)]
struct Asked {
    id: Id,
    page: Option<(u32, u64)>,
    joined: Vec<Id>,
    leaf: Option<Leaf>,
    /// Whether the device TLB was told to drop it meanwhile.
    cancelled: bool,
}

/// What goes up the link for a DMA.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum GoesUp {
    #[default]
    AsItIs,
    ToAsk,
    Translated,
    /// Marked as translated, which it never was.
    Forged,
}

#[derive(Clone)]
struct Walk {
    domain: u32,
    code: u64,
    leaf: Option<Leaf>,
    /// The level that holds the leaf, or would.
    leaf_level: u8,
    at: u64,
    fills: bool,
    fills_walk_caches: bool,
    /// Accesses to come; after some, an entry of a level can be cached.
    steps: VecDeque<Option<u8>>,
    accesses: u64,
    /// Levels whose entries it has still to read for the walk caches.
    to_fill: BTreeSet<u8>,
    /// Levels whose entries were invalidated before it has read them: they are not cached, nor found.
    dropped: BTreeSet<u8>,
    /// The walk that reads the entry it goes on from, and the level.
    goes_on_from: Option<(usize, u8)>,
    /// Walks that wait for an entry of a level that this one reads.
    waiting: Vec<(u8, usize)>,
    queued_at: u64,
    began_at: u64,
    ended_at: u64,
    /// Why the look-up that started it missed, and its class.
    cause: usize,
    class: usize,
    waiters: Vec<Id>,
    over: bool,
    cancelled: bool,
}

/// The streaming mappings of a VF.
#[derive(Clone, Default)]
struct StreamState {
    posted: VecDeque<u64>,
    free: VecDeque<u64>,
    fresh: u64,
    handed_out: u64,
    queued: u32,
    /// Where each request went.
    went: Vec<u64>,
}

/// A buffer that was unmapped at a time.
#[derive(Clone, Copy)]
struct Unmapped {
    id: Id,
    leaf: Leaf,
    at: u64,
}

#[derive(Clone)]
struct Command {
    table: usize,
    drops: Granularity,
    flushes: Vec<Unmapped>,
    waiter: Option<Unmapped>,
    /// The VF whose domain is switched, what is invalidated of it, and whether it is the last of that.
    switch: Option<(usize, Invalidated, bool)>,
    /// Accesses that must end before it is complete; nothing before it was carried out.
    accesses: Option<BTreeSet<Id>>,
    /// Whether the device has answered, where it is one that it answers.
    answered: bool,
}

/// A DMA whose look-ups are under way or whose walks are not over.
#[derive(Clone, Copy, Default)]
struct Translation {
    walks_left: u32,
    known_at: u64,
    looked_up: bool,
    lookup_number: usize,
    /// When its look-ups were over.
    looked_up_at: u64,
    /// Whether its flow credit is on its way back.
    credit_is_back: bool,
    /// What its data takes longer than cached data.
    data_wait: u64,
    /// Whether its walks and look-ups are over.
    over: bool,
    goes_up: GoesUp,
    /// Whether nobody was there to record its fault.
    unrecorded: bool,
}

pub struct Reference<'a> {
    case: &'a Case,
    broken: Option<Rule>,
    /// ID and leaves of every domain.
    domains: Vec<(u32, Vec<Leaf>)>,
    streams: Vec<StreamState>,
    /// Frames that nobody owns, by leaf size, the last given back last.
    free_frames: [VecDeque<u64>; 3],
    commands: Vec<Command>,
    commands_complete: usize,
    invalidation_free: u64,
    flush_queues: Vec<Vec<Unmapped>>,
    timers_on: Vec<bool>,
    /// Accesses to memory that were translated and have not ended.
    accesses: BTreeSet<Id>,
    /// The leaf that served each access of a streaming mapping under way.
    reached: BTreeMap<Id, u64>,
    /// Leaves that are unmapped and may be cached, by table and base; whether the unmap has returned.
    pending: BTreeMap<(usize, u64), bool>,
    events: BTreeMap<(u64, u8, Event), ()>,
    now: u64,
    adapters: Vec<AdapterState>,
    queued: Vec<u32>,
    stalled: Vec<VecDeque<Id>>,
    /// Requests of each VF that were intended so far.
    intended: Vec<usize>,
    slots: Vec<u32>,
    /// Requests in the queues that wait for a slot of their VF.
    held: Vec<VecDeque<Id>>,
    fates: Vec<Vec<Fate>>,
    translations: Vec<Vec<Translation>>,
    /// Arrivals that wait because the DMA at the front is stalled.
    input: VecDeque<Id>,
    /// Where the look-ups of the DMA at the front of the input go on.
    resume_at: Option<u64>,
    /// Since when that DMA is stalled.
    stalled_since: u64,
    /// The pool of walkers whose queue is full.
    stalled_by: usize,
    /// The leaf that served the last look-up.
    served: Option<Leaf>,
    iotlb: PlainIotlb,
    /// By level; regions lie in them as pages do.
    walk_caches: BTreeMap<u8, PlainIotlb>,
    latency_seed: u64,
    walks: Vec<Walk>,
    /// Walks that wait, by the pool of walkers that serves them.
    walk_queues: Vec<VecDeque<usize>>,
    walkers_busy: Vec<u32>,
    /// How many walkers each pool has: one pool, or one a class of tenants.
    walkers: Vec<u32>,
    lookups: usize,
    fault_queue: VecDeque<u64>,
    fault_server_free: u64,
    /// The last-level cache: domain and number of each line of a set, the last touched last.
    llc: Vec<Vec<(u32, u64)>>,
    /// Writes of each VF in the order of their look-ups, that may not reach memory yet.
    posted: Vec<VecDeque<Id>>,
    /// When the last write of each VF went to memory.
    last_write: Vec<u64>,
    notes: BTreeMap<Id, Note>,
    book: Book,
    switches: Switches,
    /// By adapter; nothing where nobody sends any.
    escapes: Vec<EscapesOfAdapter>,
    crashes: Crashes,
    turns: Turns,
    vms: Vms,
    pub counters: Counters,
}

/// The place of the address that an allocator without order hands out as its `number`th, of `free`.
fn drawn_address(seed: u64, number: u64, free: usize) -> usize {
    let word = mix64(seed ^ mix64(number ^ 1 << 62));
    ((u128::from(word) * free as u128) >> 64) as usize
}

/// A VF's addresses and its first buffers.
fn first_buffers(plan: &StreamingPlan, seed: u64) -> StreamState {
    let bytes = plan.page_size.bytes();
    let pages = |range: core::ops::Range<u64>| range.map(|page| plan.iova.0 + page * bytes);
    let buffers = u64::from(plan.buffers);
    let mut free: VecDeque<u64> = pages(0..plan.addresses).collect();
    let posted = match plan.reuse {
        IovaReuse::Random => (0..buffers)
            .map(|number| {
                let at = drawn_address(seed, number, free.len());
                let last = free.pop_back().expect("an address for each buffer");
                if at < free.len() { core::mem::replace(&mut free[at], last) } else { last }
            })
            .collect(),
        IovaReuse::Fifo | IovaReuse::Lifo => free.drain(..buffers as usize).collect(),
    };
    if plan.reuse == IovaReuse::Lifo {
        free = free.into_iter().rev().collect();
    }
    StreamState {
        posted,
        free,
        fresh: plan.iova.0 + plan.addresses * bytes,
        handed_out: buffers,
        queued: 0,
        went: Vec::new(),
    }
}

/// One frame to spare for each VF with streaming mappings, behind those that are mapped first.
fn spare_frames(case: &Case, domains: &[(u32, Vec<Leaf>)]) -> [VecDeque<u64>; 3] {
    LeafSize::ALL.map(|size| {
        let in_part = |leaf: &&Leaf| leaf.size == size && leaf.base.0 % (1 << 40) >= STREAM_BASE;
        let first_leaves = domains.iter().flat_map(|(_, leaves)| leaves).filter(in_part);
        let last = first_leaves.map(|leaf| leaf.target.0).max().unwrap_or(0);
        let vfs = case.streams.iter().flatten().filter(|plan| plan.page_size == size).count() as u64;
        (1..=vfs).map(|number| last + number * size.bytes()).collect()
    })
}

/// The seed of a VF's streaming mappings.
fn stream_seed(case: &Case, vf: usize) -> u64 {
    mix64(case.seed ^ mix64((case.first_vf + vf) as u64) ^ 1 << 63)
}

/// The device TLBs of an adapter, by its number behind the IOMMU.
fn device_tlbs(case: &Case, adapter: u32, broken: Option<Rule>) -> Vec<PlainIotlb> {
    let (device, vfs) = (&case.machine.device, case.machine.topology.vfs_per_adapter);
    let own = device.tlb.sharing == TlbSharing::Vf && broken != Some(Rule::DeviceTlbsAreSharedAsToldTo);
    let count = if device.tlb.entries == 0 { 0 } else { [1, vfs][usize::from(own)] };
    let rule = (broken == Some(Rule::HitsCountInDeviceTlbs)).then_some(IotlbRule::HitsCountForReplacement);
    let number = u64::from(case.first_vf as u32 / vfs + adapter);
    let seed = mix64(case.seed ^ mix64(number) ^ 1 << 62);
    let tlb = |vf: u32| PlainIotlb::new(&device.tlb.of_iotlb(), mix64(seed ^ mix64(u64::from(vf))), rule);
    (0..count).map(tlb).collect()
}

/// Picoseconds on the case's link: 4 ns a byte.
fn wire(bytes: u64) -> u64 {
    bytes * 4_000
}

/// Slots under a limit; 0 is none.
fn slots(limit: u32) -> u32 {
    if limit == 0 { u32::MAX } else { limit }
}

/// What an entry of a level covers around an address, by its number, as the address of a page.
fn region(at: u64, level: u8) -> Iova {
    Iova(at >> (12 + 9 * u32::from(level - 1)) << 12)
}

fn ps(ns: f64) -> u64 {
    (ns * 1_000.0) as u64
}

impl<'a> Reference<'a> {
    pub fn new(case: &'a Case, domains: Vec<(u32, Vec<Leaf>)>, broken: Option<Rule>) -> Self {
        let machine = &case.machine;
        let vfs = case.traffic.len();
        let broken_in_iotlb = match broken {
            Some(Rule::InvalidWaysFirst) => Some(IotlbRule::InvalidWaysFirst),
            Some(Rule::HitsCountForReplacement) => Some(IotlbRule::HitsCountForReplacement),
            _ => None,
        };
        let iommu_seed = mix64(case.seed ^ mix64(u64::from(case.iommu) << 32 | 1));
        let parts = machine.parts(&case.class_names(), &case.classes).expect("parts that come out");
        let counts = |parts: &[Part]| parts.iter().map(|part| part.count).collect::<Vec<_>>();
        let mut walkers = counts(&parts.walkers);
        if walkers.is_empty() || broken == Some(Rule::ClassesHaveTheirOwnWalkers) {
            walkers = vec![machine.iommu.walkers.count];
        }
        let mut iotlb = PlainIotlb::new(&machine.iommu.iotlb, iommu_seed, broken_in_iotlb);
        if broken != Some(Rule::ClassesKeepToTheirParts) {
            iotlb.divide(counts(&parts.iotlb), (0..vfs).map(|vf| case.class_of(vf)).collect());
        }
        let mut reference = Self {
            case,
            broken,
            streams: case
                .streams
                .iter()
                .enumerate()
                .map(|(vf, plan)| match plan {
                    Some(plan) => first_buffers(plan, stream_seed(case, vf)),
                    None => StreamState::default(),
                })
                .collect(),
            free_frames: spare_frames(case, &domains),
            commands: Vec::new(),
            commands_complete: 0,
            invalidation_free: 0,
            flush_queues: vec![Vec::new(); domains.len()],
            timers_on: vec![false; domains.len()],
            accesses: BTreeSet::new(),
            reached: BTreeMap::new(),
            pending: BTreeMap::new(),
            domains,
            events: BTreeMap::new(),
            now: 0,
            adapters: (0..machine.topology.adapters_per_host)
                .map(|adapter| AdapterState {
                    tlbs: device_tlbs(case, adapter, broken),
                    credits: machine.link.flow_credits,
                    tags: machine.device.read_tags,
                    slots: slots(machine.device.outstanding),
                    ..AdapterState::default()
                })
                .collect(),
            queued: vec![0; vfs],
            stalled: vec![VecDeque::new(); vfs],
            intended: vec![0; vfs],
            slots: vec![slots(machine.scheduler.vf_outstanding); vfs],
            held: vec![VecDeque::new(); vfs],
            fates: case.traffic.iter().map(|intents| vec![Fate::default(); intents.len()]).collect(),
            translations: case
                .traffic
                .iter()
                .map(|intents| vec![Translation::default(); intents.len()])
                .collect(),
            input: VecDeque::new(),
            resume_at: None,
            stalled_since: 0,
            stalled_by: 0,
            served: None,
            iotlb,
            walk_caches: machine
                .iommu
                .walk_caches
                .levels()
                .into_iter()
                .filter(|(_, cache)| cache.entries > 0)
                .map(|(level, cache)| {
                    let broken = (broken == Some(Rule::HitsCountInWalkCaches))
                        .then_some(IotlbRule::HitsCountForReplacement);
                    (level, PlainIotlb::new(&cache.of_pages(), mix64(iommu_seed ^ u64::from(level)), broken))
                })
                .collect(),
            latency_seed: mix64(iommu_seed ^ 0x5EED_0F3A_1C5A_11E5),
            walks: Vec::new(),
            walk_queues: vec![VecDeque::new(); walkers.len()],
            walkers_busy: vec![0; walkers.len()],
            walkers,
            lookups: 0,
            fault_queue: VecDeque::new(),
            fault_server_free: 0,
            llc: vec![Vec::new(); machine.memory.llc.sets() as usize],
            posted: vec![VecDeque::new(); vfs],
            last_write: vec![0; vfs],
            notes: BTreeMap::new(),
            book: Book::new(&machine.iommu.iotlb, iommu_seed),
            switches: Switches::default(),
            escapes: if case.escapes.iter().all(Vec::is_empty) { Vec::new() } else { escapes::of_case(case) },
            crashes: Crashes::default(),
            turns: Turns::new(case),
            vms: Vms::new(case),
            counters: Counters::default(),
        };
        reference.book.hears_hits = reference.holds(Rule::TheFullCacheHearsHits);
        reference.book.knows_invalidations = reference.holds(Rule::DroppedIsNotEvicted);
        reference.switches = Switches::new(case, &reference.domains);
        reference.write_buffers();
        reference
    }

    /// The host has written all buffers before the run.
    fn write_buffers(&mut self) {
        let topology = &self.case.machine.topology;
        for vf in 0..self.case.traffic.len() {
            let shared = topology.domain_scope == DomainScope::Adapter;
            let in_adapter = vf as u64 % u64::from(topology.vfs_per_adapter);
            let part = if shared { in_adapter << 40 } else { 0 };
            // Domains are numbered from 1 as they are made, whether the VF is attached or not.
            let domain = if shared { self.adapter_of(vf) } else { vf } as u32 + 1;
            for buffer in &self.case.buffers {
                let bytes = buffer.pages * buffer.page_size.bytes();
                let llc_bytes = self.case.machine.memory.llc.bytes;
                let held = bytes.min(llc_bytes);
                if held > 0 {
                    self.touch_data(domain, buffer.iova.0 + part + bytes - held, held);
                }
            }
        }
    }

    /// Touches the lines of some bytes; whether all were cached.
    fn touch_data(&mut self, domain: u32, first: u64, length: u64) -> bool {
        let ways = self.case.machine.memory.llc.ways as usize;
        let sets = self.case.machine.memory.llc.sets();
        let ages = self.holds(Rule::CachedDataAges);
        let mut all = true;
        for line in first / 64..=(first + length - 1) / 64 {
            let set = &mut self.llc[llc_set(DomainId(domain), line, sets) as usize];
            let at = set.iter().position(|there| *there == (domain, line));
            all &= at.is_some();
            match at {
                Some(at) if ages => set.push(set[at]),
                None => set.push((domain, line)),
                Some(_) => continue,
            }
            match at {
                Some(at) => {
                    set.remove(at);
                }
                None if set.len() > ways => {
                    set.remove(0);
                }
                None => {}
            }
        }
        all
    }

    /// The DMA, which is translated, touches its data.
    fn touch(&mut self, id: Id) {
        let memory = &self.case.machine.memory;
        let off = memory.llc.bytes == 0 || !self.case.attached[id.0];
        let miss = ps(memory.llc.miss_ns);
        let intent = self.intent(id);
        let is_write = intent.op == Op::Write;
        if off || !self.holds(Rule::DataIsCached) || (is_write && !self.holds(Rule::WritesBringLinesIn)) {
            return;
        }
        let mut domain = self.domains[self.table_of(id.0)].0;
        let mut first = intent.iova;
        // The frames of streaming mappings change hands with what is cached of them.
        if self.case.streams[id.0].is_some() && self.holds(Rule::FramesTellStreamingData) {
            (domain, first) = (0, self.fates[id.0][id.1].address);
        }
        let cached = self.touch_data(domain, first, u64::from(intent.length_bytes));
        if !cached && (!is_write || !self.holds(Rule::WritesNeedNoData)) {
            self.translations[id.0][id.1].data_wait = miss;
        }
    }

    fn holds(&self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    /// 1 if what happens at `time` counts.
    fn counted(&self, time: u64) -> u64 {
        let counts = time >= self.case.warm_up_ps || !self.holds(Rule::CountersStartAfterTheWarmUp);
        u64::from(counts)
    }

    /// The part of the time from `start` to `end` that counts.
    fn counted_time(&self, start: u64, end: u64) -> u64 {
        if self.holds(Rule::TimesAreCutAtTheEndOfTheWarmUp) {
            end.saturating_sub(start.max(self.case.warm_up_ps))
        } else {
            self.counted(start) * (end - start)
        }
    }

    fn intent(&self, (vf, number): Id) -> Intent {
        let mut intent = self.case.traffic[vf][number];
        if let Some(plan) = &self.case.streams[vf] {
            intent.iova = self.streams[vf].went[number] | (intent.iova & (plan.page_size.bytes() - 1));
        }
        let topology = &self.case.machine.topology;
        if topology.domain_scope == DomainScope::Adapter {
            intent.iova += (vf as u64 % u64::from(topology.vfs_per_adapter)) << 40;
        }
        intent
    }

    /// Index of the domain of a VF.
    fn table_of(&self, vf: usize) -> usize {
        match self.case.machine.topology.domain_scope {
            DomainScope::Vf => vf,
            DomainScope::Adapter => self.adapter_of(vf),
        }
    }

    fn adapter_of(&self, vf: usize) -> usize {
        vf / self.case.machine.topology.vfs_per_adapter as usize
    }

    fn at(&mut self, time: u64, event: Event) {
        let class = match event {
            Event::Completion { id, .. }
                if self.translations[id.0][id.1].goes_up == GoesUp::ToAsk
                    && !self.holds(Rule::AnswersComeBeforeLookUps) =>
            {
                5
            }
            Event::Completion { .. }
            | Event::Left { .. }
            | Event::LeftDevice { .. }
            | Event::WriteOver { .. }
            | Event::Suspended { .. }
            | Event::Quiesced { .. }
            | Event::StallSuspended { .. }
            | Event::Credit { .. } => 0,
            Event::SwitchResume { .. }
            | Event::SwitchNext { .. }
            | Event::DrainTimeout { .. }
            | Event::GivenUp { .. }
            | Event::EscapeLeaves { .. }
            | Event::WindowEnds { .. }
            | Event::StallLeaves { .. }
            | Event::InvalidateDeviceTlbs { .. } => 1,
            // Where both are due at one instant the switch is first.
            Event::SwitchDue { .. }
            | Event::Escapes { .. }
            | Event::SliceEnds { .. }
            | Event::SliceBegins { .. }
            | Event::VmComes { .. } => 2,
            Event::Issue { .. } => {
                if self.holds(Rule::IssueBeforeSend) {
                    3
                } else {
                    5
                }
            }
            Event::Send { .. } => 4,
            Event::Dispatched { .. } | Event::Read { .. } | Event::WalkEnd { .. } => {
                if self.holds(Rule::WalkEndsBeforeLookups) { 6 } else { 10 }
            }
            Event::AccessEnd { .. }
            | Event::Reset { .. }
            | Event::Lose { .. }
            | Event::Abort { .. }
            | Event::DeviceAnswers { .. } => 5,
            Event::CommandComplete { .. }
            | Event::Invalidate { .. }
            | Event::FlushTimer { .. }
            | Event::Unmap { .. }
            | Event::Return { .. }
            | Event::Detach { .. }
            | Event::Reboot
            | Event::Attach { .. } => {
                if self.holds(Rule::UnmapsComeBeforeLookups) {
                    7
                } else {
                    10
                }
            }
            Event::Resume => 8,
            Event::Arrival { .. } => 9,
            Event::Ready { .. } | Event::DownlinkFree { .. } | Event::FaultKnown { .. } => 11,
        };
        self.events.insert((time, class, event), ());
    }

    /// Runs to the end and returns what became of every request of every VF.
    pub fn run(mut self) -> (Vec<Vec<Fate>>, Counters) {
        for vf in 0..self.case.traffic.len() {
            if self.vms.are_on() && !self.vms.begins_up(vf) {
                self.switches.begin_without_domain(vf, self.case.machine.silence.did_reuse);
            }
            if self.vms.are_on() && self.case.loops[vf].is_some() {
                self.vm_comes(vf, 0);
                continue;
            }
            if let Some(closed) = &self.case.loops[vf] {
                for client in 0..closed.clients {
                    self.at(closed.think(client), Event::Issue { vf, origin: client });
                }
                continue;
            }
            for (intent, origin) in self.case.traffic[vf].iter().zip(0..) {
                self.at(intent.intended_ps, Event::Issue { vf, origin });
            }
        }
        for adapter in 0..self.switches.adapters.len() {
            self.expect_switch(adapter);
        }
        self.start_slices();
        self.expect_escapes();
        let (mut before, mut handled) = (None, 0);
        while let Some(((time, _, event), ())) = self.events.pop_first() {
            assert!(time >= self.now, "time went back");
            handled += 1;
            assert!(handled < 10_000_000, "it comes to no end");
            self.now = time;
            if self.counted(time) == 1 {
                before.get_or_insert((self.iotlb.evictions, self.iotlb.invalidated));
            }
            self.handle(event);
        }
        if let Some((evictions, invalidated)) = before {
            self.counters.evictions = self.iotlb.evictions - evictions;
            self.counters.invalidated = self.iotlb.invalidated - invalidated;
        }
        self.count_switches();
        self.counters.switch_faults = self.switches.faults;
        self.counters.switches_refused = self.switches.refused;
        self.counters.aborted = self.switches.lost.aborted;
        self.counters.starved = self.switches.lost.starved;
        self.counters.lost_wait_ps = self.switches.lost.waited_ps;
        let count = |what: &str| self.vms.counts.get(what).copied().unwrap_or_default();
        self.counters.vm_starts = count("starts");
        self.counters.vm_start_ps = count("starting");
        self.counters.vm_stops = count("stops");
        self.counters.vm_migrations = count("migrations");
        self.counters.blackout_ps = count("blackout");
        self.counters.blackout_max_ps = count("longest");
        let last = self.fates.iter().flatten().map(|fate| fate.completed).max().unwrap_or(0);
        let down = self.crashes.down.iter().filter(|(from, _)| *from <= last);
        self.counters.bug_checks = down.count() as u64;
        self.abort();
        (self.counters.held, self.counters.held_ps) = (self.switches.held, self.switches.held_ps);
        self.count_disturbances();
        self.count_slices();
        if self.case.miss_causes {
            self.counters.evicted = self.book.evictions;
        }
        for vf in 0..self.fates.len() {
            for number in 0..self.fates[vf].len() {
                if number >= self.intended[vf] {
                    self.fates[vf][number] = Fate { lost: true, never: true, ..Fate::default() };
                }
                // Where a rule is broken, requests may wait for good.
                if self.broken.is_some() && self.fates[vf][number].completed == 0 {
                    self.fates[vf][number].lost = true;
                }
                if self.fates[vf][number].lost {
                    continue;
                }
                self.fates[vf][number].split = self.split((vf, number));
                if !self.case.miss_causes {
                    self.fates[vf][number].missed = Missed::default();
                }
            }
        }
        (self.fates, self.counters)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Completion { adapter, id } => {
                self.note(id).back = self.now;
                let answer = self.translations[id.0][id.1].goes_up == GoesUp::ToAsk;
                if !answer {
                    self.note_over(id);
                }
                if !answer || self.holds(Rule::TranslationRequestsHoldTags) {
                    self.adapters[adapter].tags += 1;
                }
                if answer {
                    self.leg(id).back = self.now;
                    self.answered(adapter, id);
                } else {
                    self.done(adapter, id);
                }
            }
            Event::LeftDevice { id } => self.note_left(id),
            Event::Left { adapter, id } => self.done(adapter, id),
            Event::WriteOver { id } => self.note_over(id),
            Event::SwitchDue { adapter } => self.switch_due(adapter),
            Event::SliceEnds { adapter } => self.slice_ends(adapter),
            Event::SliceBegins { adapter } => self.slice_begins(adapter),
            Event::Escapes { adapter } => self.move_escapes(adapter),
            Event::EscapeLeaves { adapter } => self.escape_leaves(adapter),
            Event::WindowEnds { adapter } => self.window_ends(adapter),
            Event::StallSuspended { adapter } => self.stall_suspended(adapter),
            Event::StallLeaves { adapter } => self.stall_leaves(adapter),
            Event::SwitchNext { adapter, unit } => self.switch_next(adapter, unit),
            Event::DrainTimeout { adapter, unit, number } => self.drain_timeout(adapter, unit, number),
            Event::Reboot => self.reboot(),
            Event::Lose { id } => self.lose_request(id),
            Event::Abort { id } => self.abort_request(id),
            Event::VmComes { vf, number } => self.vm_comes(vf, number),
            Event::Reset { adapter, unit } => self.reset(adapter, unit),
            Event::GivenUp { adapter, unit } => self.given_up(adapter, unit),
            Event::Suspended { adapter, unit, number } => self.suspended(adapter, unit, number),
            Event::Quiesced { adapter, unit } => self.quiesced(adapter, unit),
            Event::InvalidateDeviceTlbs { vf } => self.invalidate_device_tlbs(vf),
            Event::DeviceAnswers { command } => self.device_answers(command),
            Event::SwitchResume { adapter, unit } => self.switch_over(adapter, unit),
            Event::Detach { vf } => self.detach(vf),
            Event::Attach { vf } => self.attach(vf),
            Event::Credit { adapter, .. } => {
                self.adapters[adapter].credits += 1;
                self.at(self.now, Event::Send { adapter });
            }
            Event::Issue { vf, .. } => self.intend(vf),
            Event::Send { adapter } => self.send(adapter),
            Event::Dispatched { walk } => self.first_access(walk),
            Event::Read { walk } => self.access_over(walk),
            Event::WalkEnd { walk } => self.walk_end(walk),
            Event::AccessEnd { id } => self.access_end(id),
            Event::CommandComplete { command } => self.command_complete(command),
            Event::Invalidate { command } => self.invalidate(command),
            Event::FlushTimer { table } => {
                self.timers_on[table] = false;
                if !self.flush_queues[table].is_empty() && self.holds(Rule::TimersFlush) {
                    self.flush(table, None);
                }
            }
            Event::Unmap { id } => self.unmap(id),
            Event::Return { id } => self.think(id),
            Event::Resume => self.look_up_input(),
            Event::Arrival { id, .. } => {
                self.note(id).arrived = self.now;
                let now = self.now;
                if let Some(leg) = self.note(id).legs.last_mut() {
                    leg.arrived = now;
                }
                self.input.push_back(id);
                if self.resume_at.is_none() && self.input.len() == 1 {
                    self.look_up_input();
                }
            }
            Event::Ready { id, .. } => self.ready(id),
            Event::DownlinkFree { adapter } => self.serve_return(adapter),
            Event::FaultKnown { .. } => self.record_fault(),
        }
    }

    fn intend(&mut self, vf: usize) {
        self.note_issue(vf);
        let number = self.intended[vf];
        if number == self.case.traffic[vf].len() {
            return;
        }
        self.intended[vf] += 1;
        let id = (vf, number);
        self.choose_buffer(id);
        self.fates[vf][number].intended = self.now;
        let bounded = self.holds(Rule::VfQueueIsBounded);
        if bounded && self.queued[vf] >= self.case.machine.scheduler.vf_queue_entries {
            self.counters.source_stalls += self.counted(self.now);
            self.stalled[vf].push_back(id);
            return;
        }
        self.enter(id, false);
    }

    /// A request enters its VF's queue, in a place vacated now or in a free one.
    fn enter(&mut self, id: Id, vacated: bool) {
        self.queued[id.0] += 1;
        self.note(id).eligible = self.now;
        if self.slots[id.0] == 0 && self.holds(Rule::SlotsBoundVfs) {
            self.held[id.0].push_back(id);
            return;
        }
        self.slots[id.0] = self.slots[id.0].saturating_sub(1);
        self.make_eligible(id, vacated);
    }

    fn make_eligible(&mut self, id: Id, vacated: bool) {
        let adapter = self.adapter_of(id.0);
        if self.holds(Rule::VfSlotsHold) {
            self.note(id).eligible = self.now;
        }
        self.note_first_eligible(id);
        if self.loses(id)
            || self.was_stopped(id)
            || self.switches.sets_aside(adapter, id)
            || self.waits_for_vm(id)
        {
            return;
        }
        self.adapters[adapter].eligible.insert((self.now, vacated, id));
        self.at(self.now, Event::Send { adapter });
    }

    /// A read's data is back, or a write has left.
    fn done(&mut self, adapter: usize, id: Id) {
        self.at(self.now, Event::Send { adapter });
        let in_order = self.case.machine.device.retire == Retire::InOrder && self.holds(Rule::RetireInOrder);
        let under_way = &mut self.adapters[adapter].under_way;
        let at = under_way.iter().position(|(there, _)| *there == id).expect("under way");
        if !in_order {
            under_way.remove(at);
            return self.retire(adapter, id);
        }
        under_way[at].1 = true;
        while let Some((first, true)) = self.adapters[adapter].under_way.front().copied() {
            self.adapters[adapter].under_way.pop_front();
            self.retire(adapter, first);
        }
    }

    fn retire(&mut self, adapter: usize, id: Id) {
        let (vf, number) = id;
        if self.intent(id).op == Op::Read {
            self.fates[vf][number].completed = self.now;
            self.tell_driver(id, self.now);
        }
        self.adapters[adapter].slots += 1;
        match self.held[vf].pop_front() {
            Some(next) => self.make_eligible(next, !self.holds(Rule::EqualSlotsGoByVf)),
            None => self.slots[vf] += 1,
        }
        if self.case.streams[vf].is_none() {
            self.think(id);
        }
    }

    /// The client of a request thinks, and sends the next.
    fn think(&mut self, id: Id) {
        self.think_from(id, self.now);
    }

    /// The same from a time on.
    fn think_from(&mut self, (vf, number): Id, from: u64) {
        let closed = self.case.loops[vf].clone();
        if let Some(closed) = &closed {
            let think = if self.holds(Rule::ClientsThink) { closed.think(number as u64) } else { 0 };
            // What a control event makes a client send is sent later than at that instant.
            let later = u64::from(self.case.streams[vf].is_some());
            if self.is_there_to_send((vf, number), from + think + later) {
                self.at(from + think + later, Event::Issue { vf, origin: closed.clients + number as u64 });
            }
        }
    }

    fn send(&mut self, adapter: usize) {
        if self.case.machine.device.tlb.entries > 0 {
            return self.send_through_tlb(adapter);
        }
        let Some(id) = self.head(adapter) else { return };
        if self.switches.is_paused(adapter) {
            return;
        }
        let Intent { op, length_bytes, .. } = self.intent(id);
        let limited = self.holds(Rule::RateLimitsSpaceStarts);
        let credits_hold = self.holds(Rule::CreditsBoundTheLink);
        let tags_hold = self.holds(Rule::TagsBoundReads);
        let slots_hold = self.holds(Rule::SlotsBoundAdapters);
        let number = self.adapters[adapter].sent;
        let state = &mut self.adapters[adapter];
        let mut earliest = state.link_free;
        if limited {
            earliest = earliest.max(state.next_start[op as usize]);
        }
        if earliest > self.now {
            let of_link = state.link_free > self.now || self.broken != Some(Rule::RateLimitsAreOfTheLink);
            state.blocked.since = if of_link { None } else { state.blocked.since.or(Some(self.now)) };
            return self.at(earliest, Event::Send { adapter });
        }
        if (credits_hold && state.credits == 0)
            || (tags_hold && op == Op::Read && state.tags == 0)
            || (slots_hold && state.slots == 0)
        {
            state.blocked.since.get_or_insert(self.now);
            return;
        }
        state.blocked.end(self.now);
        state.eligible.retain(|(_, _, there)| *there != id);
        state.slots = state.slots.saturating_sub(1);
        state.under_way.push_back((id, false));
        state.sent += 1;
        state.credits = state.credits.saturating_sub(1);
        let device = &self.case.machine.device;
        if op == Op::Read {
            state.tags = state.tags.saturating_sub(1);
        }
        let mops = if op == Op::Read { device.max_read_mops } else { device.max_write_mops };
        state.next_start[op as usize] = self.now + if mops == 0.0 { 0 } else { ps(1_000.0 / mops) };
        let bytes = u64::from(length_bytes);
        let link = &self.case.machine.link;
        let tlps = bytes.div_ceil(if op == Op::Write { link.mps } else { link.mrrs }.into());
        let on_wire = if op == Op::Write { bytes + 24 * tlps } else { 24 * tlps };
        state.link_free = self.now + wire(on_wire);
        let free = state.link_free;
        self.counters.uplink_busy_ps += self.counted_time(self.now, free);
        self.fates[id.0][id.1].issued = self.now;
        self.note_sent(adapter, id);
        self.note_slice_wait(adapter, id);
        self.queued[id.0] -= 1;
        if let Some(released) = self.stalled[id.0].pop_front() {
            self.enter(released, true);
        }
        if op == Op::Write && self.holds(Rule::WritesRetireAsTheyLeave) {
            self.at(free, Event::Left { adapter, id });
        }
        let arrives = free + ps(self.case.machine.link.propagation_ns);
        let adapter_in_tie =
            if self.holds(Rule::ArrivalsTieByAdapter) { adapter } else { usize::MAX - adapter };
        self.at(arrives, Event::Arrival { adapter: adapter_in_tie, number, id });
        self.at(free, Event::Send { adapter });
    }

    /// A device with a TLB: what waits for the link leaves, else the next request is taken up; one after another, as
    /// far as something can happen now.
    fn send_through_tlb(&mut self, adapter: usize) {
        self.adapters[adapter].waits.end(self.now);
        if let Some(wait) = self.go_on_through_tlb(adapter) {
            self.adapters[adapter].waits.begin(self.now, wait);
        }
    }

    /// What the device waits for then, if anything.
    fn go_on_through_tlb(&mut self, adapter: usize) -> Option<DeviceWait> {
        loop {
            let state = &self.adapters[adapter];
            let head = state.eligible.first().map(|&(_, _, id)| id);
            if let Some((vf, time)) = state.packet {
                let part = head.filter(|id| {
                    time == self.now && id.0 == vf && state.slots > 0 && !self.is_first_of_packet(*id)
                });
                match part {
                    Some(id) => self.take_up(adapter, id),
                    None => self.adapters[adapter].packet = None,
                }
                continue;
            }
            if let Some((&key, &(id, goes_up))) = state.leaving.first_key_value() {
                let asks = goes_up == GoesUp::ToAsk;
                let (ready, link_free) = (key.0, state.link_free);
                if ready.max(link_free) > self.now {
                    self.at(ready.max(link_free), Event::Send { adapter });
                    return Some(if ready > self.now { DeviceWait::Tlb } else { DeviceWait::Link });
                }
                let needs_tag = (asks && self.holds(Rule::TranslationRequestsHoldTags))
                    || (!asks && self.intent(id).op == Op::Read);
                if (state.credits == 0 && self.holds(Rule::CreditsBoundTheLink))
                    || (needs_tag && state.tags == 0 && self.holds(Rule::TagsBoundReads))
                {
                    let of_credits = self.holds(Rule::CreditsAreNotTheLink);
                    return Some(if of_credits { DeviceWait::Credit } else { DeviceWait::Link });
                }
                self.adapters[adapter].leaving.remove(&key);
                self.leave(adapter, id, goes_up, needs_tag);
                if self.holds(Rule::WhatWaitsForTheLinkGoesFirst) {
                    continue;
                }
            }
            let id = head?;
            if self.switches.is_paused(adapter) {
                return None;
            }
            let device = &self.case.machine.device;
            let state = &self.adapters[adapter];
            let limited = self.holds(Rule::RateLimitsSpaceStarts);
            let earliest = if limited { state.next_start[self.intent(id).op as usize] } else { 0 };
            if earliest > self.now {
                self.at(earliest, Event::Send { adapter });
                return Some(DeviceWait::Link);
            }
            if state.slots == 0 && self.holds(Rule::SlotsBoundAdapters) {
                let of_slots = self.holds(Rule::SlotsAreNotTheDeviceTlb);
                return Some(if of_slots { DeviceWait::Credit } else { DeviceWait::Tlb });
            }
            if self.is_first_of_packet(id) {
                let full = state.asked.len() >= device.tlb.pending as usize;
                if full && self.holds(Rule::PendingRequestsBoundPackets) {
                    let of_tlb = self.holds(Rule::PendingIsOfTheDeviceTlb);
                    return Some(if of_tlb { DeviceWait::Tlb } else { DeviceWait::Credit });
                }
                let slot = ps(device.slot_ns).max(1);
                // A slot takes one packet.
                if state.packets_from > self.now && self.holds(Rule::PacketsAreTakenUpAtSlots) {
                    self.at(state.packets_from, Event::Send { adapter });
                    return Some(DeviceWait::Tlb);
                }
                if !self.now.is_multiple_of(slot) && self.holds(Rule::PacketsAreTakenUpAtSlots) {
                    self.at(self.now.next_multiple_of(slot), Event::Send { adapter });
                    return Some(DeviceWait::Tlb);
                }
            }
            self.take_up(adapter, id);
        }
    }

    fn is_first_of_packet(&self, id: Id) -> bool {
        id.1.is_multiple_of(self.case.packet_dmas as usize)
    }

    /// The device looks a request up.
    fn take_up(&mut self, adapter: usize, id: Id) {
        let Intent { op, iova, .. } = self.intent(id);
        let device = &self.case.machine.device;
        let mops = if op == Op::Read { device.max_read_mops } else { device.max_write_mops };
        let hit = if self.holds(Rule::DeviceLookUpsTakeTime) { ps(device.tlb.hit_ns) } else { 0 };
        self.note(id).taken_up = self.now;
        self.note_taken_up(id);
        let state = &mut self.adapters[adapter];
        state.eligible.pop_first();
        state.slots = state.slots.saturating_sub(1);
        state.under_way.push_back((id, false));
        state.next_start[op as usize] = self.now + if mops == 0.0 { 0 } else { ps(1_000.0 / mops) };
        let dmas = self.case.packet_dmas as usize;
        let more = id.1 % dmas + 1 < dmas;
        state.packet =
            (more && self.broken != Some(Rule::PacketsAreTakenUpTogether)).then_some((id.0, self.now));
        if id.1.is_multiple_of(dmas) {
            self.adapters[adapter].packets_from = self.now + ps(self.case.machine.device.slot_ns);
        }
        self.queued[id.0] -= 1;
        if let Some(released) = self.stalled[id.0].pop_front() {
            self.enter(released, true);
        }
        if let Some(address) = self.forged(id) {
            let ready = self.now + if self.holds(Rule::ForgersLookNothingUp) { 0 } else { hit };
            self.fates[id.0][id.1].device_tlb = Some("forged");
            self.fates[id.0][id.1].address = address;
            return self.wait_for_the_link(id, GoesUp::Forged, ready, true);
        }
        if !self.case.ats[id.0].enabled && self.holds(Rule::WithoutAtsNothingIsAsked) {
            return self.wait_for_the_link(id, GoesUp::AsItIs, self.now, true);
        }
        let domain = self.case.attached[id.0].then(|| self.tag_of(id.0));
        let cached = domain.and_then(|domain| self.device_tlb(id.0).lookup(domain, iova));
        let knows_rights = self.holds(Rule::DeviceTlbsKnowRights);
        if let Some(leaf) = cached.filter(|leaf| leaf.permissions.allow(op) || !knows_rights) {
            self.fates[id.0][id.1].device_tlb = Some("hit");
            return self.goes(id, &leaf, self.now + hit, true);
        }
        let page = domain.map(|domain| (domain, iova >> 12));
        let joins = self.holds(Rule::MissesInDeviceTlbsJoin);
        let not_cancelled = self.holds(Rule::NobodyJoinsACancelledRequest);
        let asked = &mut self.adapters[adapter].asked;
        let joinable = |asked: &&mut Asked| {
            page.is_some() && asked.page == page && joins && !(asked.cancelled && not_cancelled)
        };
        if let Some(asked) = asked.iter_mut().find(joinable) {
            asked.joined.push(id);
            self.fates[id.0][id.1].device_tlb = Some("joined");
            return;
        }
        self.fates[id.0][id.1].device_tlb = Some("miss");
        self.ask(id, page, self.now + hit, true);
    }

    /// What tags the entries of a VF in its device: the number of its first domain, whichever it has by now.
    fn tag_of(&self, vf: usize) -> u32 {
        let first = self.domains[self.table_of(vf)].0;
        if self.holds(Rule::DeviceTlbsKnowNoDomains) {
            first
        } else {
            self.current_domain(vf).unwrap_or(first)
        }
    }

    fn device_tlb(&mut self, vf: usize) -> &mut PlainIotlb {
        let in_adapter = vf % self.case.machine.topology.vfs_per_adapter as usize;
        let adapter = self.adapter_of(vf);
        let tlbs = &mut self.adapters[adapter].tlbs;
        let at = if tlbs.len() == 1 { 0 } else { in_adapter };
        &mut tlbs[at]
    }

    /// The address that the device makes up for a DMA, if it does: each of the frames that tenants behind the IOMMU were
    /// given, and what lies between them, as likely as any other; the place in it stays.
    fn forged(&self, id: Id) -> Option<u64> {
        let seed = mix64(self.case.seed ^ mix64((self.case.first_vf + id.0) as u64) ^ 1 << 60);
        let word = mix64(seed ^ mix64(id.1 as u64));
        if (word >> 11) as f64 / 2_f64.powi(53) >= self.case.ats[id.0].forged_share {
            return None;
        }
        let first = self.case.frames_before(0);
        let frames = self.case.frames_before(self.case.traffic.len()) - first;
        let frame = first + ((u128::from(mix64(word)) * u128::from(frames)) >> 64) as u64;
        Some(frame * 4_096 + self.intent(id).iova % 4_096)
    }

    /// A translated DMA goes to the link at `ready`.
    fn goes(&mut self, id: Id, leaf: &Leaf, ready: u64, looked_up: bool) {
        self.fates[id.0][id.1].address = leaf.target.0 + (self.intent(id).iova - leaf.base.0);
        self.wait_for_the_link(id, GoesUp::Translated, ready, looked_up);
    }

    /// A translation request goes to the link at `ready`.
    fn ask(&mut self, id: Id, page: Option<(u32, u64)>, ready: u64, looked_up: bool) {
        let adapter = self.adapter_of(id.0);
        self.adapters[adapter].asked.push(Asked {
            id,
            page,
            joined: Vec::new(),
            leaf: None,
            cancelled: false,
        });
        self.wait_for_the_link(id, GoesUp::ToAsk, ready, looked_up);
    }

    fn wait_for_the_link(&mut self, id: Id, goes_up: GoesUp, ready: u64, looked_up: bool) {
        let adapter = self.adapter_of(id.0);
        let asks = goes_up == GoesUp::ToAsk;
        self.note(id).legs.push(Leg { asks, looked_up, ready, ..Leg::default() });
        let looked_up = looked_up == self.holds(Rule::AnsweredOnesLeaveFirst);
        let state = &mut self.adapters[adapter];
        state.leaving_numbered += 1;
        state.leaving.insert((ready, looked_up, state.leaving_numbered), (id, goes_up));
        self.at(ready, Event::Send { adapter });
    }

    /// What waited for the link leaves.
    fn leave(&mut self, adapter: usize, id: Id, goes_up: GoesUp, holds_tag: bool) {
        let asks = goes_up == GoesUp::ToAsk;
        let Intent { op, length_bytes, .. } = self.intent(id);
        let bytes = u64::from(length_bytes);
        let link = &self.case.machine.link;
        let tlps =
            if asks { 1 } else { bytes.div_ceil(if op == Op::Write { link.mps } else { link.mrrs }.into()) };
        let on_wire = if asks || op == Op::Read { 24 * tlps } else { bytes + 24 * tlps };
        let state = &mut self.adapters[adapter];
        state.credits = state.credits.saturating_sub(1);
        if holds_tag {
            state.tags = state.tags.saturating_sub(1);
        }
        let number = state.sent;
        state.sent += 1;
        state.link_free = self.now + wire(on_wire);
        let free = state.link_free;
        self.leg(id).left = self.now;
        self.counters.uplink_busy_ps += self.counted_time(self.now, free);
        let translation = &mut self.translations[id.0][id.1];
        if translation.goes_up == GoesUp::AsItIs {
            self.fates[id.0][id.1].issued = self.now;
        }
        translation.goes_up = goes_up;
        if !asks && op == Op::Write && self.holds(Rule::WritesRetireAsTheyLeave) {
            self.at(free, Event::Left { adapter, id });
        }
        if !asks {
            self.note_leaving(id, free);
        }
        let arrives = free + ps(self.case.machine.link.propagation_ns);
        let adapter_in_tie =
            if self.holds(Rule::ArrivalsTieByAdapter) { adapter } else { usize::MAX - adapter };
        self.at(arrives, Event::Arrival { adapter: adapter_in_tie, number, id });
        self.at(free, Event::Send { adapter });
    }

    /// The answer to a translation request is back.
    fn answered(&mut self, adapter: usize, id: Id) {
        let asked = &mut self.adapters[adapter].asked;
        let at = asked.iter().position(|asked| asked.id == id).expect("asked");
        let Asked { page, joined, leaf, cancelled, .. } = asked.remove(at);
        let fills = self.holds(Rule::AnswersFillDeviceTlbs)
            && !(cancelled && self.holds(Rule::CancelledRequestsFillNoDeviceTlb));
        self.at(self.now, Event::Send { adapter });
        match leaf {
            Some(leaf) => {
                let (domain, _) = page.expect("a device with a domain");
                if fills && !self.device_tlb(id.0).caches(domain, &leaf) {
                    self.device_tlb(id.0).fill(domain, leaf);
                }
                self.goes(id, &leaf, self.now, false);
            }
            None => {
                if self.intent(id).op == Op::Write {
                    self.fates[id.0][id.1].completed = self.now;
                }
                self.note_refused(id);
                self.done(adapter, id);
            }
        }
        for other in joined {
            let op = self.intent(other).op;
            match leaf.filter(|leaf| leaf.permissions.allow(op)) {
                Some(leaf) => self.goes(other, &leaf, self.now, false),
                None if self.holds(Rule::RefusedOnesAskForThemselves) => {
                    self.ask(other, page, self.now, false)
                }
                None => {
                    self.fates[other.0][other.1] =
                        Fate { intended: self.fates[other.0][other.1].intended, ..self.fates[id.0][id.1] };
                    self.note_refused(other);
                    self.done(adapter, other);
                }
            }
        }
    }

    /// What is marked as translated passes the IOMMU, or is blocked; all else is looked up. Whether all was looked up.
    fn look_up_for_device(&mut self, id: Id) -> bool {
        let intent = self.intent(id);
        let lookup_number = self.lookups;
        let translation = &mut self.translations[id.0][id.1];
        if self.resume_at.is_none() {
            self.lookups += 1;
            let goes_up = translation.goes_up;
            *translation =
                Translation { lookup_number, known_at: self.now, goes_up, ..Translation::default() };
        }
        let goes_up = translation.goes_up;
        if matches!(goes_up, GoesUp::Translated | GoesUp::Forged) {
            self.pass_as_translated(id, goes_up);
            return true;
        }
        if self.resume_at.take().is_some() {
            self.counters.stall_ps += self.counted_time(self.stalled_since, self.now);
        } else {
            translation.known_at += ps(self.case.machine.iommu.iotlb.hit_ns);
        }
        let Some(next) = self.look_up(id, intent.iova, intent) else {
            self.resume_at = Some(intent.iova);
            return false;
        };
        let leaf = next.and(self.served);
        if goes_up == GoesUp::AsItIs {
            self.looked_up(id);
            return true;
        }
        let adapter = self.adapter_of(id.0);
        let leaf = leaf.filter(|_| self.fates[id.0][id.1].fault.is_none());
        let asked = self.adapters[adapter].asked.iter_mut().find(|asked| asked.id == id);
        asked.expect("asked").leaf = leaf;
        self.translations[id.0][id.1].looked_up = true;
        self.conclude(id);
        true
    }

    /// The IOMMU believes the mark of a translated request, if the context entry of its function lets it have one.
    fn pass_as_translated(&mut self, id: Id, goes_up: GoesUp) {
        let Fate { intended, address, .. } = self.fates[id.0][id.1];
        let blocked = [
            (!self.case.attached[id.0], Rule::MarksNeedADomain, Fault::NoContext),
            (!self.case.ats[id.0].enabled, Rule::MarksNeedAnEnabledFunction, Fault::AtsDisabled),
        ];
        let mut faults = blocked.into_iter().filter(|(is, rule, _)| *is && self.holds(*rule));
        let mut fault = faults.next().map(|(.., fault)| fault);
        if goes_up == GoesUp::Forged && !self.holds(Rule::MarksOfTranslationAreTrusted) {
            fault = fault.or(Some(Fault::NotMapped));
        }
        match fault {
            Some(fault) => {
                if self.holds(Rule::BlockedMarksTakeALookUp) {
                    self.translations[id.0][id.1].known_at += ps(self.case.machine.iommu.iotlb.hit_ns);
                }
                self.fault(id, fault, address);
            }
            None if goes_up == GoesUp::Forged && intended >= self.case.warm_up_ps => {
                let last = address + u64::from(self.intent(id).length_bytes) - 1;
                let foreign = [address, last].iter().any(|at| !self.case.is_given(id.0, at / 4_096));
                self.counters.forged_foreign += u64::from(foreign);
            }
            None => self.judge_passing(id),
        }
        self.looked_up(id);
    }

    /// Looks up the DMAs in the input, up to one that a full walkers' queue stalls.
    fn look_up_input(&mut self) {
        while let Some(&id) = self.input.front() {
            if !self.look_up_dma(id) {
                return;
            }
            self.input.pop_front();
            if !self.waits_for_its_turn(id) {
                self.give_credit_back(id, self.now);
            }
        }
    }

    /// Whether a write goes to memory behind those of its VF.
    fn waits_for_its_turn(&self, (vf, number): Id) -> bool {
        self.case.machine.device.write_order == WriteOrder::InOrder
            && self.holds(Rule::WritesStayInOrder)
            && self.holds(Rule::WritesKeepCreditsUntilTheirTurn)
            && self.translations[vf][number].goes_up != GoesUp::ToAsk
            && self.intent((vf, number)).op == Op::Write
    }

    /// The IOMMU has room for another request in place of this one.
    fn give_credit_back(&mut self, id: Id, time: u64) {
        let adapter = self.adapter_of(id.0);
        let back = time + ps(self.case.machine.link.propagation_ns);
        let lookup = self.translations[id.0][id.1].lookup_number;
        self.translations[id.0][id.1].credit_is_back = true;
        self.at(back, Event::Credit { adapter, lookup });
    }

    /// Whether all look-ups of the DMA were done; `false` where the walkers' queue was full.
    fn look_up_dma(&mut self, id: Id) -> bool {
        let hit_ps = ps(self.case.machine.iommu.iotlb.hit_ns);
        if self.case.machine.device.tlb.entries > 0 {
            return self.look_up_for_device(id);
        }
        let intent = self.intent(id);
        if self.resume_at.is_none() {
            self.translations[id.0][id.1].lookup_number = self.lookups;
            self.lookups += 1;
            self.translations[id.0][id.1].known_at = self.now + hit_ps;
            if self.meets_nobody(id) {
                return true;
            }
            if self.case.machine.iommu.mode != IommuMode::Translate {
                self.pass_by(id, intent);
                return true;
            }
            if self.context(id.0).is_none() {
                self.fault(id, Fault::NoContext, intent.iova);
                self.note_switch_fault(id);
                self.looked_up(id);
                return true;
            }
        }
        let last = intent.iova + u64::from(intent.length_bytes) - 1;
        let resume_at = self.resume_at.take();
        if resume_at.is_some() {
            self.counters.stall_ps += self.counted_time(self.stalled_since, self.now);
            let translation = &mut self.translations[id.0][id.1];
            if self.crashes.is_down(self.now) {
                translation.known_at = translation.known_at.max(self.now + hit_ps);
            }
            if self.meets_nobody(id) {
                return true;
            }
        }
        let mut at = resume_at.unwrap_or(intent.iova);
        loop {
            let Some(next) = self.look_up(id, at, intent) else {
                self.resume_at = Some(at);
                return false;
            };
            match next {
                Some(next) if next <= last => at = next,
                _ => break,
            }
        }
        self.looked_up(id);
        true
    }

    /// One look-up. `None`: the walkers' queue is full. `Some(None)`: the DMA goes no further.
    /// `Some(Some(next))`: the first address behind the leaf.
    fn look_up(&mut self, id: Id, at: u64, intent: Intent) -> Option<Option<u64>> {
        let hit_ps = ps(self.case.machine.iommu.iotlb.hit_ns);
        let Some((domain, table)) = self.context(id.0) else {
            self.fault(id, Fault::NoContext, at);
            self.note_switch_fault(id);
            let translation = &mut self.translations[id.0][id.1];
            translation.known_at = translation.known_at.max(self.now + hit_ps);
            return Some(None);
        };
        let mapped = self.leaf_at(table, at);
        let found = mapped.map(|leaf| self.cached_part(leaf, at));
        if let Some(leaf) = self.iotlb.lookup(domain, at) {
            self.book.hit(domain, at, leaf);
            let answer = Answer { looked_up: self.now, walk: None };
            self.note(id).answers.push(answer);
            self.note_stale(id, table, leaf, found);
            self.fates[id.0][id.1].hits += 1;
            let translation = &mut self.translations[id.0][id.1];
            translation.known_at = translation.known_at.max(self.now + hit_ps);
            return Some(self.checked(id, at, intent, Some(leaf)));
        }
        let code =
            found.map_or(leaf_code(Iova(at), LeafSize::Size4K), |leaf| leaf_code(leaf.base, leaf.size));
        let pending = self.walks.iter().position(|walk| {
            let joinable = !walk.cancelled || !self.holds(Rule::NobodyJoinsACancelledWalk);
            let is_it = walk.domain == domain && walk.code == code;
            !walk.over && joinable && is_it && walk.leaf.is_some() == found.is_some()
        });
        if let Some(walk) = pending.filter(|_| self.holds(Rule::JoinAWalkUnderWay)) {
            self.fates[id.0][id.1].misses += 1;
            self.fates[id.0][id.1].joined += 1;
            let own = self.book.cause(domain, code, at);
            let shared = self.walks[walk].cause;
            self.note_miss(id, if self.holds(Rule::JoinersShareTheCause) { shared } else { own });
            self.wait_for(id, walk);
            return Some(self.checked(id, at, intent, found));
        }
        let queue_entries = self.case.machine.iommu.walkers.queue_entries;
        let bounded = self.holds(Rule::WalkersQueueIsBounded);
        let pool = self.pool(domain);
        let full = self.walkers_busy[pool] == self.walkers[pool]
            && self.walk_queues[pool].len() as u32 >= queue_entries;
        if full && bounded {
            self.counters.queue_stalls += self.counted(self.now);
            (self.stalled_since, self.stalled_by) = (self.now, pool);
            return None;
        }
        self.fates[id.0][id.1].misses += 1;
        let granted = found.is_some_and(|leaf| leaf.permissions.allow(intent.op));
        let leaf_level = mapped.map_or(1, |leaf| 1 + leaf.size as u8);
        let cause = self.book.cause(domain, code, at);
        self.note_miss(id, cause);
        let walk = self.start_walk(domain, code, found, granted, (at, leaf_level));
        self.walks[walk].cause = cause;
        let class = self.case.class_of(id.0);
        self.walks[walk].class = if self.holds(Rule::WhoStartsTheWalkEvicts) { class } else { 0 };
        self.wait_for(id, walk);
        Some(self.checked(id, at, intent, found))
    }

    fn wait_for(&mut self, id: Id, walk: usize) {
        let answer = Answer { looked_up: self.now, walk: Some(walk) };
        self.note(id).answers.push(answer);
        self.translations[id.0][id.1].walks_left += 1;
        self.walks[walk].waiters.push(id);
    }

    /// What the leaf means for the DMA: a fault, or the address behind the leaf.
    fn checked(&mut self, id: Id, at: u64, intent: Intent, leaf: Option<Leaf>) -> Option<u64> {
        let fault = match leaf {
            None => Fault::NotMapped,
            Some(leaf) if !leaf.permissions.allow(intent.op) => Fault::NoPermission,
            Some(leaf) => {
                self.served = Some(leaf);
                if self.translations[id.0][id.1].goes_up != GoesUp::ToAsk
                    || !self.holds(Rule::TranslatedOnesAreJudgedAsTheyPass)
                {
                    self.judge(id, leaf);
                }
                if let Some(plan) = &self.case.streams[id.0] {
                    self.reached.insert(id, leaf.target.0 / plan.page_size.bytes() * plan.page_size.bytes());
                }
                if at == intent.iova && self.fates[id.0][id.1].fault.is_none() {
                    self.fates[id.0][id.1].address = leaf.target.0 + (at - leaf.base.0);
                }
                return Some(leaf.base.0 + leaf.size.bytes());
            }
        };
        if self.fates[id.0][id.1].fault.is_none() {
            self.fault(id, fault, at);
        }
        if self.holds(Rule::StopAtTheFirstFault) {
            return None;
        }
        Some((at | 0xFFF) + 1)
    }

    fn fault(&mut self, id: Id, fault: Fault, at: u64) {
        let fate = &mut self.fates[id.0][id.1];
        fate.fault = Some(fault);
        fate.address = at;
    }

    fn looked_up(&mut self, id: Id) {
        self.translations[id.0][id.1].looked_up = true;
        self.translations[id.0][id.1].looked_up_at = self.now;
        self.note_fault(id);
        if self.fates[id.0][id.1].fault.is_none() {
            self.accesses.insert(id);
            self.touch(id);
        } else {
            self.fates[id.0][id.1].stale = false;
        }
        if self.intent(id).op == Op::Write && self.translations[id.0][id.1].goes_up != GoesUp::ToAsk {
            self.posted[id.0].push_back(id);
            self.note_turn(id.0);
        }
        self.conclude(id);
    }

    /// Ends the translation of a DMA, if its look-ups and walks are over.
    fn conclude(&mut self, id: Id) {
        let Translation { walks_left, known_at, looked_up, lookup_number: lookup, data_wait, .. } =
            self.translations[id.0][id.1];
        if walks_left > 0 || !looked_up {
            return;
        }
        if self.translations[id.0][id.1].goes_up == GoesUp::ToAsk {
            self.fates[id.0][id.1].translated = known_at;
            self.leg(id).known = known_at;
            if self.fates[id.0][id.1].fault.is_some() {
                self.at(known_at, Event::FaultKnown { lookup, id });
            }
            return self.at(known_at, Event::Ready { lookup, id });
        }
        let memory = &self.case.machine.memory;
        let op = self.intent(id).op;
        self.fates[id.0][id.1].translated = known_at;
        let blocked = self.fates[id.0][id.1].fault.is_some();
        self.translations[id.0][id.1].over = true;
        if op == Op::Write {
            self.write_memory(id.0);
        }
        if blocked {
            if !self.translations[id.0][id.1].unrecorded {
                self.at(known_at, Event::FaultKnown { lookup, id });
            }
        } else if op == Op::Read {
            let data_wait = if self.holds(Rule::CommandsWaitForData) { data_wait } else { 0 };
            self.at(known_at + ps(memory.read_ns) + data_wait, Event::AccessEnd { id });
        }
        if op == Op::Read {
            let skips = self.holds(Rule::AFaultSkipsMemory);
            let latency = if blocked && skips { memory.unsupported_request_ns } else { memory.read_ns };
            self.note(id).turn = known_at;
            self.note(id).ready = known_at + ps(latency) + data_wait;
            self.at(known_at + ps(latency) + data_wait, Event::Ready { lookup, id });
        }
    }

    /// It is the turn of the first of a VF's posted writes as soon as those before it are translated.
    fn note_turn(&mut self, vf: usize) {
        let Some(&id) = self.posted[vf].front() else { return };
        let Translation { looked_up_at, credit_is_back, .. } = self.translations[vf][id.1];
        if self.waits_for_its_turn(id) && !credit_is_back {
            self.give_credit_back(id, looked_up_at.max(self.last_write[vf]));
        }
    }

    /// The writes of a VF whose translation is over reach memory, in their order or each at once.
    fn write_memory(&mut self, vf: usize) {
        let order = self.case.machine.device.write_order;
        let in_order = order == WriteOrder::InOrder && self.holds(Rule::WritesStayInOrder);
        let over = |reference: &Self, id: &Id| reference.translations[id.0][id.1].over;
        loop {
            let waiting = &self.posted[vf];
            let ready = waiting.iter().position(|id| over(self, id)).filter(|at| *at == 0 || !in_order);
            let Some(id) = ready.and_then(|at| self.posted[vf].remove(at)) else { return };
            // Its translation ends now, or it waited for one whose translation does.
            let Translation { known_at, data_wait, .. } = self.translations[vf][id.1];
            let turn = if in_order { known_at.max(self.last_write[vf]) } else { known_at };
            self.last_write[vf] = turn;
            self.note_turn(vf);
            let blocked = self.fates[vf][id.1].fault.is_some();
            let wait = if blocked { 0 } else { ps(self.case.machine.memory.write_ns) + data_wait };
            self.fates[vf][id.1].completed = turn + wait;
            self.note(id).turn = turn;
            self.tell_driver(id, turn + wait);
            if !blocked {
                let drains = if self.holds(Rule::CommandsWaitForTheTurnOfWrites) { turn } else { known_at };
                self.at((drains + wait).max(self.now), Event::AccessEnd { id });
            }
            self.at(turn + wait, Event::WriteOver { id });
            if !self.holds(Rule::WritesRetireAsTheyLeave) {
                let adapter = self.adapter_of(vf);
                self.at(turn + wait, Event::Left { adapter, id });
            }
        }
    }

    /// What of a leaf can be cached: with two stages no more than a leaf of the host.
    fn cached_part(&self, leaf: Leaf, at: u64) -> Leaf {
        let iommu = &self.case.machine.iommu;
        let size = iommu.host_page_size;
        if iommu.stages == 1 || leaf.size <= size || !self.holds(Rule::HostPagesCutLeaves) {
            return leaf;
        }
        let base = at / size.bytes() * size.bytes();
        let target = PhysAddr(leaf.target.0 + (base - leaf.base.0));
        Leaf { base: Iova(base), target, size, permissions: leaf.permissions }
    }

    fn start_walk(
        &mut self,
        domain: u32,
        code: u64,
        leaf: Option<Leaf>,
        granted: bool,
        (at, leaf_level): (u64, u8),
    ) -> usize {
        let fills = granted || (leaf.is_some() && !self.holds(Rule::AFaultFillsNothing));
        let fills_walk_caches = granted || !self.holds(Rule::AFaultFillsNoWalkCache);
        let walk = self.walks.len();
        let queued_at = self.now;
        self.walks.push(Walk {
            domain,
            code,
            leaf,
            leaf_level,
            at,
            fills,
            fills_walk_caches,
            steps: VecDeque::new(),
            accesses: 0,
            to_fill: BTreeSet::new(),
            dropped: BTreeSet::new(),
            goes_on_from: None,
            waiting: Vec::new(),
            queued_at,
            began_at: 0,
            ended_at: 0,
            cause: COLD,
            class: 0,
            waiters: Vec::new(),
            over: false,
            cancelled: false,
        });
        self.counters.walks += self.counted(self.now);
        self.counters.walks_faulted += if granted { 0 } else { self.counted(self.now) };
        if !self.holds(Rule::FillAtTheEndOfTheWalk) && fills {
            self.fill(walk);
        }
        if self.holds(Rule::WalkCachesLookedUpAtTheMiss) {
            self.plan_walk(walk);
        }
        let pool = self.pool(domain);
        if self.walkers_busy[pool] < self.walkers[pool] {
            self.walkers_busy[pool] += 1;
            self.begin_walk(walk);
        } else if self.holds(Rule::WalkersServeInOrder) {
            self.walk_queues[pool].push_back(walk);
        } else {
            self.walk_queues[pool].push_front(walk);
        }
        walk
    }

    /// The pool of walkers that serves a domain: a VF has one of its own, numbered from 1, where classes matter.
    fn pool(&self, domain: u32) -> usize {
        if self.walkers.len() == 1 { 0 } else { self.case.class_of(domain as usize - 1) }
    }

    /// Looks up the walk caches, and notes what is left to read.
    fn plan_walk(&mut self, walk: usize) {
        let iommu = &self.case.machine.iommu;
        let (levels, leaf_level) = (iommu.page_table_levels, self.walks[walk].leaf_level);
        if iommu.walkers.walk_ns.is_some() {
            // One time for all that it reads.
            self.walks[walk].steps.push_back(None);
            let counted = self.counted(self.walks[walk].queued_at);
            self.counters.walk_accesses += counted * u64::from(levels - leaf_level);
            return;
        }
        let host_levels = iommu.host_levels - iommu.host_page_size as u8;
        let host_accesses = if iommu.stages == 1 { 0 } else { usize::from(host_levels) };
        let Walk { at, fills_walk_caches, .. } = self.walks[walk];
        let domain = self.walk_cache_domain(walk);
        let mut cached: Vec<u8> = self.walk_caches.keys().copied().collect();
        if !self.holds(Rule::DeepestEntryServes) {
            cached.reverse();
        }
        let mut first = levels;
        let mut steps = VecDeque::new();
        if self.holds(Rule::GuestTablesAreTranslated) {
            steps.extend(vec![None; host_accesses]);
        }
        for level in cached {
            let there =
                self.walk_caches.get_mut(&level).expect("it is on").lookup(domain, region(at, level).0);
            let being_read = self.walks.iter().position(|other| {
                other.to_fill.contains(&level)
                    && !other.dropped.contains(&level)
                    && other.domain == self.walks[walk].domain
                    && region(other.at, level) == region(at, level)
            });
            if there.is_none() && being_read.is_none() {
                self.counters.walk_cache_misses[usize::from(level - 2)] += self.counted(self.now);
                continue;
            }
            self.counters.walk_cache_hits[usize::from(level - 2)] += self.counted(self.now);
            if there.is_none() {
                self.walks[walk].goes_on_from = being_read.map(|other| (other, level));
            }
            first = level - 1;
            steps.clear();
            break;
        }
        for level in (leaf_level..=first.max(leaf_level)).rev() {
            steps.push_back(None);
            steps.extend(vec![None; host_accesses]);
            if level > leaf_level && fills_walk_caches && self.walk_caches.contains_key(&level) {
                self.walks[walk].to_fill.insert(level);
                *steps.back_mut().expect("an access") = Some(level);
            }
        }
        self.walks[walk].steps = steps;
    }

    fn walk_cache_domain(&self, walk: usize) -> u32 {
        if self.holds(Rule::WalkCachesKnowDomains) { self.walks[walk].domain } else { 0 }
    }

    /// A walker takes the walk.
    fn begin_walk(&mut self, walk: usize) {
        if !self.holds(Rule::WalkCachesLookedUpAtTheMiss) {
            self.plan_walk(walk);
        }
        let queued_at = self.walks[walk].queued_at;
        self.walks[walk].began_at = self.now;
        self.counters.walk_wait_ps += self.counted(queued_at) * (self.now - queued_at);
        let overhead = ps(self.case.machine.iommu.walkers.overhead_ns);
        if overhead > 0 && self.holds(Rule::WalksHaveAnOverhead) {
            return self.at(self.now + overhead, Event::Dispatched { walk });
        }
        self.first_access(walk);
    }

    /// The walk goes on from what is cached as soon as it is.
    fn first_access(&mut self, walk: usize) {
        match self.walks[walk].goes_on_from {
            Some((other, level))
                if self.walks[other].to_fill.contains(&level)
                    && self.holds(Rule::AnEntryBeingReadIsWaitedFor) =>
            {
                self.walks[other].waiting.push((level, walk));
                if !self.holds(Rule::WhoWaitsHoldsItsWalker) {
                    self.walker_is_free(walk);
                }
            }
            _ => self.next_access(walk),
        }
    }

    fn next_access(&mut self, walk: usize) {
        let last = self.walks[walk].steps.len() == 1;
        let event = if last { Event::WalkEnd { walk } } else { Event::Read { walk } };
        self.at(self.now + self.access_time(walk), event);
    }

    /// What the next access of a walk takes, or a whole walk.
    fn access_time(&self, walk: usize) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let walkers = &self.case.machine.iommu.walkers;
        let of_leaf = match self.walks[walk].leaf_level {
            2 => walkers.walk_2m_ns,
            3 => walkers.walk_1g_ns,
            _ => None,
        };
        let of_leaf = of_leaf.filter(|_| self.holds(Rule::LargeLeavesHaveTheirOwnWalks));
        let ns = of_leaf.or(walkers.walk_ns).or(walkers.memory_ns).unwrap_or(80.0);
        let number = if self.holds(Rule::DrawsGoByWalkAndAccess) { walk as u64 } else { 0 };
        let stream = mix64(self.latency_seed.wrapping_add(number.wrapping_mul(STEP)));
        let word = mix64(stream.wrapping_add((self.walks[walk].accesses + 1).wrapping_mul(STEP)));
        match walkers.latency {
            WalkLatency::Constant => ps(ns),
            WalkLatency::Exponential => {
                let uniform = ((word >> 11) + 1) as f64 / 2_f64.powi(53);
                ((-uniform.ln() * ns * 1_000.0 + 0.5) as u64).max(1)
            }
            WalkLatency::Empirical => {
                let list = walkers.empirical_ns.as_ref().expect("the cases have one");
                let total: f64 = list.iter().map(|(_, weight)| weight).sum();
                let mut behind = 0.0;
                for (ns, weight) in list {
                    behind += weight;
                    if (word as f64) < behind / total * 2_f64.powi(64) {
                        return ps(*ns);
                    }
                }
                ps(list.last().expect("not empty").0)
            }
        }
    }

    /// An access is over that is not the walk's last.
    fn access_over(&mut self, walk: usize) {
        self.walks[walk].accesses += 1;
        self.counters.walk_accesses += self.counted(self.walks[walk].queued_at);
        if let Some(level) = self.walks[walk].steps.pop_front().expect("an access")
            && self.holds(Rule::WalkCachesFillAsWalksRead)
        {
            self.fill_walk_cache(walk, level);
        }
        self.next_access(walk);
    }

    /// Caches the entry of a level that the walk has read; those that wait for it go on.
    fn fill_walk_cache(&mut self, walk: usize, level: u8) {
        let domain = self.walk_cache_domain(walk);
        self.walks[walk].to_fill.remove(&level);
        let dropped = self.walks[walk].dropped.contains(&level);
        let entry = Leaf {
            base: region(self.walks[walk].at, level),
            target: PhysAddr(0),
            size: LeafSize::Size4K,
            permissions: Permissions::None,
        };
        if !dropped || !self.holds(Rule::DroppedEntriesAreNotReadIntoWalkCaches) {
            self.walk_caches.get_mut(&level).expect("it is on").fill(domain, entry);
        }
        let (go_on, wait) = self.walks[walk].waiting.iter().partition(|(for_level, _)| *for_level == level);
        self.walks[walk].waiting = wait;
        let go_on: Vec<(u8, usize)> = go_on;
        for (_, waiting) in go_on {
            if !self.holds(Rule::WhoWaitsHoldsItsWalker) {
                let pool = self.pool(self.walks[waiting].domain);
                self.walkers_busy[pool] += 1;
            }
            self.next_access(waiting);
        }
    }

    fn walker_is_free(&mut self, walk: usize) {
        let pool = self.pool(self.walks[walk].domain);
        self.walkers_busy[pool] -= 1;
        if let Some(next) = self.walk_queues[pool].pop_front() {
            self.walkers_busy[pool] += 1;
            self.begin_walk(next);
        }
    }

    fn walk_end(&mut self, walk: usize) {
        self.walks[walk].over = true;
        self.walks[walk].ended_at = self.now;
        let Walk { fills, waiters, cancelled, .. } = self.walks[walk].clone();
        let fills = fills && !(cancelled && self.holds(Rule::CancelledWalksFillNothing));
        if fills && self.holds(Rule::FillAtTheEndOfTheWalk) {
            self.fill(walk);
        }
        self.counters.walk_accesses += self.counted(self.walks[walk].queued_at);
        while let Some(level) = self.walks[walk].to_fill.first().copied() {
            self.fill_walk_cache(walk, level);
        }
        self.counters.walker_busy_ps += self.counted_time(self.walks[walk].began_at, self.now);
        self.walker_is_free(walk);
        let known = self.now + ps(self.case.machine.iommu.iotlb.hit_ns);
        for id in waiters {
            let translation = &mut self.translations[id.0][id.1];
            translation.walks_left -= 1;
            translation.known_at = translation.known_at.max(known);
            self.conclude(id);
        }
        let more_now =
            self.events.range((self.now, 0, Event::Completion { adapter: 0, id: (0, 0) })..).next();
        let another = more_now.is_some_and(|((time, _, event), ())| {
            *time == self.now && matches!(event, Event::WalkEnd { .. })
        });
        // Every walk that ends now fills before a stalled look-up goes on.
        let queue_entries = self.case.machine.iommu.walkers.queue_entries as usize;
        let vacated = self.walk_queues[self.stalled_by].len() < queue_entries;
        if self.resume_at.is_some() && vacated && !another {
            self.at(self.now, Event::Resume);
        }
    }

    /// What a walk found is cached.
    fn fill(&mut self, walk: usize) {
        let Walk { domain, leaf, class, .. } = self.walks[walk];
        let leaf = leaf.expect("only leaves are filled");
        let cached = self.iotlb.fill(domain, leaf);
        let counts = self.counted(self.now) == 1;
        self.book.fill(domain, leaf, class, cached, counts);
    }

    fn note(&mut self, id: Id) -> &mut Note {
        self.notes.entry(id).or_default()
    }

    /// The way up the link that a DMA is on.
    fn leg(&mut self, id: Id) -> &mut Leg {
        self.note(id).legs.last_mut().expect("it went to the link")
    }

    fn note_miss(&mut self, id: Id, cause: usize) {
        self.fates[id.0][id.1].missed[cause] += 1;
    }

    /// Where the time of a request went.
    fn split(&self, id: Id) -> Split {
        if !self.case.attribution {
            return Split::default();
        }
        if self.case.machine.device.tlb.entries > 0 {
            return self.split_through_tlb(id);
        }
        let Fate { intended, issued, translated, .. } = self.fates[id.0][id.1];
        let note = &self.notes[&id];
        let own = !self.holds(Rule::WhoIsBehindWaitsForTheSame);
        let credit = self.adapters[self.adapter_of(id.0)].blocked.between(note.eligible, issued, own);
        let mut split = Split::default();
        let eligible = note.eligible;
        let paused = |from, to| self.switches.paused(id.0, from, to);
        let (before, silence) = (paused(intended, eligible), paused(intended, issued));
        let of_silence = if self.holds(Rule::SilenceIsNotTheLink) { Cause::Silence } else { Cause::Link };
        split[of_silence as usize] += silence;
        split[Cause::Held as usize] += eligible - intended - before;
        split[Cause::Credit as usize] += credit;
        split[Cause::Link as usize] +=
            issued - eligible - (silence - before) - credit + (note.arrived - issued);
        self.add_look_ups(&mut split, note, note.arrived, translated);
        self.add_memory(&mut split, id, note);
        split
    }

    /// Adds what the look-ups of what arrived at `arrived` waited for until they were over at `known`.
    fn add_look_ups(&self, split: &mut Split, note: &Note, arrived: u64, known: u64) {
        let off = self.case.machine.iommu.mode == IommuMode::Off;
        let hit = if off { 0 } else { ps(self.case.machine.iommu.iotlb.hit_ns) };
        // Of the look-ups, the first of those whose answers came last.
        let answered =
            |answer: &&Answer| answer.walk.map_or(answer.looked_up, |walk| self.walks[walk].ended_at);
        let mut answers: Vec<&Answer> = note.answers.iter().collect();
        if self.holds(Rule::TheLastAnswerCounts) {
            answers.sort_by_key(|answer| std::cmp::Reverse(answered(answer)));
        }
        let looked_up = answers.first().map_or(known - hit, |answer| answer.looked_up);
        let [mut queue, mut walked, mut invalidation] = [looked_up - arrived, 0, 0];
        if !self.holds(Rule::StallsAreOfTheWalkQueue) {
            split[Cause::Link as usize] += queue;
            queue = 0;
        }
        if let Some(walk) = answers.first().and_then(|answer| answer.walk) {
            let Walk { mut began_at, ended_at, cause, queued_at, .. } = self.walks[walk];
            began_at = began_at.max(looked_up);
            if queued_at < looked_up && !self.holds(Rule::JoinersWaitForTheRest) {
                began_at = ended_at;
            }
            if cause == INVALIDATION && self.holds(Rule::DroppedMeansWalkedForInvalidation) {
                invalidation = ended_at - looked_up;
            } else {
                queue += began_at - looked_up;
                walked = ended_at - began_at;
            }
        }
        split[Cause::Iotlb as usize] += hit;
        split[Cause::WalkQueue as usize] += queue;
        split[Cause::Walk as usize] += walked;
        split[Cause::Invalidation as usize] += invalidation;
    }

    /// Adds where the time of a request went once it was translated.
    fn add_memory(&self, split: &mut Split, id: Id, note: &Note) {
        let Fate { translated, completed, .. } = self.fates[id.0][id.1];
        let read = self.intent(id).op == Op::Read;
        let (ready, back) = if read { (note.ready, note.back) } else { (completed, completed) };
        // Where a rule is broken, times may be out of order: that is for the comparison to find.
        let (turn, order) = (note.turn.wrapping_sub(translated), completed.wrapping_sub(back));
        let of_turn = if self.holds(Rule::WritesInTurnRetire) { Cause::Retirement } else { Cause::Memory };
        let of_order = if self.holds(Rule::RetirementIsNotTheLink) { Cause::Retirement } else { Cause::Link };
        split[of_turn as usize] = split[of_turn as usize].wrapping_add(turn);
        split[of_order as usize] = split[of_order as usize].wrapping_add(order);
        split[Cause::Memory as usize] =
            split[Cause::Memory as usize].wrapping_add(ready.wrapping_sub(note.turn));
        split[Cause::Link as usize] += back - ready;
    }

    /// The same for a request that its device has looked up: it went up the link once or twice.
    fn split_through_tlb(&self, id: Id) -> Split {
        let Fate { intended, translated, completed, fault, .. } = self.fates[id.0][id.1];
        let note = &self.notes[&id];
        let goes_up = self.translations[id.0][id.1].goes_up;
        let waits = &self.adapters[self.adapter_of(id.0)].waits;
        let pauses = self.switches.pauses_of(id.0);
        let paused = |from, to| self.switches.paused(id.0, from, to);
        let of = |rule, cause, otherwise| if self.holds(rule) { cause } else { otherwise } as usize;
        let mut split = Split::default();
        split[Cause::Held as usize] = note.eligible - intended - paused(intended, note.eligible);
        split[of(Rule::SilenceIsNotTheLink, Cause::Silence, Cause::Link)] += paused(intended, note.taken_up);
        let of_others = [
            (DeviceWait::Tlb, Cause::DeviceTlb),
            (DeviceWait::Credit, Cause::Credit),
            (DeviceWait::Link, Cause::Link),
        ];
        for (wait, cause) in of_others {
            let cause = of(Rule::WhoIsNotTakenUpWaitsForTheSame, cause, Cause::DeviceTlb);
            split[cause] += waits.between(wait, note.eligible, note.taken_up);
            for &(start, end) in pauses {
                let (start, end) = (start.max(note.eligible), end.min(note.taken_up));
                split[cause] -= if start < end { waits.between(wait, start, end) } else { 0 };
            }
        }
        let mut since = note.taken_up;
        for leg in &note.legs {
            let rule = if leg.looked_up {
                Rule::DeviceLookUpsAreNotTheLink
            } else {
                Rule::WhoJoinedWaitsForTheDevice
            };
            split[of(rule, Cause::DeviceTlb, Cause::Link)] += leg.ready - since;
            let credit = waits.between(DeviceWait::Credit, leg.ready, leg.left);
            split[Cause::Credit as usize] += credit;
            split[Cause::Link as usize] += leg.arrived - leg.ready - credit;
            if !leg.asks && goes_up != GoesUp::AsItIs {
                let looks_up = fault.is_some() && self.holds(Rule::BlockedMarksTakeALookUp);
                let hit = if looks_up { ps(self.case.machine.iommu.iotlb.hit_ns) } else { 0 };
                let cause = of(Rule::TranslatedOnesWaitForWalkers, Cause::WalkQueue, Cause::Link);
                split[cause] += translated - leg.arrived - hit;
                split[Cause::Iotlb as usize] += hit;
                continue;
            }
            let known = if leg.asks { leg.known } else { translated };
            if self.holds(Rule::RequestsWaitForWalks) {
                self.add_look_ups(&mut split, note, leg.arrived, known);
            } else {
                split[Cause::DeviceTlb as usize] += known - leg.arrived;
            }
            if !leg.asks {
                continue;
            }
            split[of(Rule::AnswersComeOnTheLink, Cause::Link, Cause::DeviceTlb)] += leg.back - leg.known;
            since = leg.back;
        }
        if goes_up == GoesUp::ToAsk {
            split[Cause::Retirement as usize] += completed - since;
        } else {
            self.add_memory(&mut split, id, note);
        }
        split
    }

    fn ready(&mut self, id: Id) {
        let adapter = self.adapter_of(id.0);
        let with_data = self.fates[id.0][id.1].fault.is_none();
        if self.holds(Rule::ReturnsInTheOrderOfReadiness) {
            self.adapters[adapter].returns.push_back((id, with_data));
        } else {
            self.adapters[adapter].returns.push_front((id, with_data));
        }
        if self.adapters[adapter].downlink_free <= self.now {
            self.serve_return(adapter);
        }
    }

    fn serve_return(&mut self, adapter: usize) {
        if self.adapters[adapter].downlink_free > self.now {
            return;
        }
        let Some((id, with_data)) = self.adapters[adapter].returns.pop_front() else { return };
        let answer = self.translations[id.0][id.1].goes_up == GoesUp::ToAsk;
        let on_wire = match (with_data, answer) {
            (false, _) => 20,
            (true, true) => 8 + 20,
            (true, false) => self.completion_bytes(id),
        };
        let free = self.now + wire(on_wire);
        self.adapters[adapter].downlink_free = free;
        self.counters.downlink_busy_ps += self.counted_time(self.now, free);
        let completed = free + ps(self.case.machine.link.propagation_ns);
        self.at(completed, Event::Completion { adapter, id });
        self.at(free, Event::DownlinkFree { adapter });
    }

    /// What the data of a read puts on the link: request by request, one completion after the other, each as long as it may
    /// be and up to a multiple of the boundary.
    fn completion_bytes(&self, id: Id) -> u64 {
        let link = &self.case.machine.link;
        let Intent { iova, length_bytes, .. } = self.intent(id);
        let rcb = if self.holds(Rule::CompletionsEndAtTheBoundary) { link.rcb.unwrap_or(1) } else { 1 };
        let (rcb, most) = (u64::from(rcb), u64::from(link.completion_bytes.unwrap_or(link.mps)));
        let end = iova + u64::from(length_bytes);
        let mut on_wire = u64::from(length_bytes);
        let mut request = iova;
        while request < end {
            let request_end = end.min(request + u64::from(link.mrrs));
            while request < request_end {
                request = request_end.min((request + most) / rcb * rcb);
                on_wire += 20;
            }
        }
        on_wire
    }

    fn record_fault(&mut self) {
        let spec = &self.case.machine.iommu.faults;
        while self.fault_queue.front().is_some_and(|consumed| *consumed <= self.now) {
            self.fault_queue.pop_front();
        }
        if self.holds(Rule::FaultQueueIsBounded) && self.fault_queue.len() as u32 >= spec.queue_entries {
            self.counters.faults_lost += self.counted(self.now);
            return;
        }
        self.fault_server_free = self.fault_server_free.max(self.now) + ps(spec.service_ns);
        self.fault_queue.push_back(self.fault_server_free);
        self.counters.faults_recorded += self.counted(self.now);
    }

    /// The part of a shared domain that a VF's addresses lie in.
    fn part_of(&self, vf: usize) -> u64 {
        let topology = &self.case.machine.topology;
        if topology.domain_scope == DomainScope::Adapter {
            (vf as u64 % u64::from(topology.vfs_per_adapter)) << 40
        } else {
            0
        }
    }

    fn leaf_at(&self, table: usize, at: u64) -> Option<Leaf> {
        let covers = |leaf: &&Leaf| at >= leaf.base.0 && at - leaf.base.0 < leaf.size.bytes();
        self.domains[table].1.iter().find(covers).copied()
    }

    fn is_late(&self, (vf, number): Id) -> bool {
        let Some(plan) = &self.case.streams[vf] else { return false };
        let seed = stream_seed(self.case, vf);
        let drawn = mix64(seed ^ mix64(number as u64)) as f64 / 2_f64.powi(64);
        number >= plan.late_by as usize && drawn < plan.late_share
    }

    /// A client sends: which buffer does its request go to?
    fn choose_buffer(&mut self, id: Id) {
        let Some(plan) = &self.case.streams[id.0] else { return };
        let late = self.is_late(id);
        let stream = &mut self.streams[id.0];
        let buffer = if late {
            stream.went[id.1 - plan.late_by as usize]
        } else {
            stream.posted.pop_front().expect("a buffer")
        };
        stream.went.push(buffer);
    }

    /// A DMA that no IOMMU translates.
    fn pass_by(&mut self, id: Id, intent: Intent) {
        let iommu = &self.case.machine.iommu;
        let passthrough = iommu.mode == IommuMode::Passthrough;
        self.translations[id.0][id.1].known_at =
            self.now + if passthrough { ps(iommu.iotlb.hit_ns) } else { 0 };
        if passthrough && !self.case.attached[id.0] {
            self.fault(id, Fault::NoContext, intent.iova);
        } else {
            let leaf = self.leaf_at(self.table_of(id.0), intent.iova).filter(|_| self.case.attached[id.0]);
            let address = leaf.map_or(intent.iova, |leaf| leaf.target.0 + (intent.iova - leaf.base.0));
            self.fates[id.0][id.1].address = address;
        }
        self.looked_up(id);
    }

    /// A cached translation served a look-up, and this is what the page table says.
    fn note_stale(&mut self, id: Id, table: usize, leaf: Leaf, found: Option<Leaf>) {
        let Some(plan) = &self.case.streams[id.0] else { return };
        let buffer = leaf.base.0 / plan.page_size.bytes() * plan.page_size.bytes();
        if found != Some(leaf) && self.pending.get(&(table, buffer)) == Some(&true) {
            self.fates[id.0][id.1].stale = true;
        }
    }

    /// A request is over at `completed`: its driver reacts.
    fn tell_driver(&mut self, id: Id, completed: u64) {
        let Some(plan) = &self.case.streams[id.0] else { return };
        let mut at = completed + plan.unmap_after.0;
        if plan.poll.0 > 0 && self.holds(Rule::DriversPoll) {
            at = at.div_ceil(plan.poll.0) * plan.poll.0;
        }
        let late = self.is_late(id) && self.holds(Rule::LateRequestsMapNothing);
        let again = self.is_late(id) && !late && self.leaf_at(self.table_of(id.0), self.buffer(id)).is_none();
        self.at(at, if late || again { Event::Return { id } } else { Event::Unmap { id } });
    }

    /// The buffer of a request, in its VF's part of the domain.
    fn buffer(&self, id: Id) -> u64 {
        self.streams[id.0].went[id.1] + self.part_of(id.0)
    }

    fn unmap(&mut self, id: Id) {
        let table = self.table_of(id.0);
        let buffer = self.buffer(id);
        let leaves = &mut self.domains[table].1;
        let Some(place) = leaves.iter().position(|leaf| leaf.base.0 == buffer) else {
            return self.think(id);
        };
        let leaf = leaves.remove(place);
        self.counters.unmaps += self.counted(self.now);
        let unmapped = Unmapped { id, leaf, at: self.now };
        let iommu = &self.case.machine.iommu;
        if iommu.mode != IommuMode::Translate {
            self.free_address(&unmapped);
            self.give_frame_back(&leaf);
            return self.map_next(id);
        }
        self.pending.insert((table, leaf.base.0), false);
        let spec = &iommu.invalidation;
        if spec.mode == InvalidationMode::Strict {
            let drops = spec.granularity.unwrap_or(Granularity::Page);
            return self.submit(Command {
                table,
                drops,
                flushes: Vec::new(),
                waiter: Some(unmapped),
                switch: None,
                accesses: None,
                answered: true,
            });
        }
        self.streams[id.0].queued += 1;
        let full = self.streams[id.0].queued >= spec.flush_entries && self.holds(Rule::FullQueuesAreFlushed);
        if full && self.holds(Rule::TheFillerWaits) {
            return self.flush(table, Some(unmapped));
        }
        self.flush_queues[table].push(unmapped);
        if !self.timers_on[table] {
            self.timers_on[table] = true;
            self.at(self.now + ps(spec.flush_timer_us * 1e3), Event::FlushTimer { table });
        }
        self.pending.insert((table, leaf.base.0), true);
        self.free_frame(&unmapped);
        if !self.holds(Rule::AddressesWaitForTheFlush) {
            self.free_address(&unmapped);
        }
        self.map_next(id);
        if full {
            self.flush(table, None);
        }
    }

    fn flush(&mut self, table: usize, waiter: Option<Unmapped>) {
        let flushes = std::mem::take(&mut self.flush_queues[table]);
        for unmapped in flushes.iter().chain(&waiter) {
            self.streams[unmapped.id.0].queued = 0;
        }
        let drops = self.case.machine.iommu.invalidation.granularity.unwrap_or(Granularity::Domain);
        self.submit(Command { table, drops, flushes, waiter, switch: None, accesses: None, answered: true });
    }

    fn submit(&mut self, command: Command) {
        let mut cost = ps(self.case.machine.iommu.invalidation.command_ns);
        if let Some((vf, _, true)) = command.switch {
            cost = self.cost_of_the_last(vf, cost);
        }
        let in_turn = self.holds(Rule::CommandsAreServedInTurn);
        let start = if in_turn { self.now.max(self.invalidation_free) } else { self.now };
        let answer = if command.answered { 0 } else { self.device_answer_time() };
        let holds_up = if self.holds(Rule::TheQueueWaitsForDevices) { answer } else { 0 };
        self.invalidation_free = start + cost + holds_up;
        self.counters.commands.push((start, start + cost + holds_up));
        self.counters.invalidation_wait_ps += self.counted(start + cost) * (start - self.now);
        self.counters.invalidations += self.counted(start + cost);
        self.commands.push(command);
        self.at(start + cost, Event::Invalidate { command: self.commands.len() - 1 });
    }

    fn invalidate(&mut self, number: usize) {
        let Command { table, drops, ref flushes, ref waiter, switch, .. } = self.commands[number];
        if let Some((vf, Invalidated::Contexts, _)) = switch {
            self.switches.invalidate_contexts(vf);
            return self.await_accesses(number);
        }
        if let Some((vf, Invalidated::DeviceTlbs, _)) = switch {
            self.at(self.now + 1, Event::InvalidateDeviceTlbs { vf });
            self.at(self.now + self.device_answer_time(), Event::DeviceAnswers { command: number });
            return self.await_accesses(number);
        }
        let domain = self.domain_of_command(number, table);
        let page = waiter.as_ref().filter(|_| flushes.is_empty()).map(|unmapped| unmapped.leaf);
        let covers = |there: u32, base: u64, size: u64| match drops {
            Granularity::Global => true,
            Granularity::Domain => there == domain,
            Granularity::Page => {
                let leaf = page.expect("a page is unmapped alone");
                let overlaps = base < leaf.base.0 + leaf.size.bytes() && leaf.base.0 < base + size;
                there == domain && overlaps
            }
        };
        if self.holds(Rule::UnmapsAreInvalidated) {
            let covers_leaf = |there: u32, leaf: &Leaf| covers(there, leaf.base.0, leaf.size.bytes());
            let dropped = self.iotlb.drop_where(covers_leaf);
            self.book.invalidate(dropped, covers_leaf);
        }
        for walk in self.walks.iter_mut().filter(|walk| !walk.over) {
            let (base, size) = match walk.leaf {
                Some(leaf) => (leaf.base.0, leaf.size.bytes()),
                // The code of a 4 KiB page: its number, doubled, and one.
                None => (walk.code >> 1 << 12, 4_096),
            };
            walk.cancelled |= covers(walk.domain, base, size);
        }
        let deferred =
            self.case.machine.iommu.invalidation.mode == InvalidationMode::Deferred && switch.is_none();
        self.counters.flushes += if deferred { self.counted(self.now) } else { 0 };
        self.drop_from_walk_caches(number);
        self.await_accesses(number);
    }

    /// A command is complete when the accesses that were translated before it are over.
    fn await_accesses(&mut self, number: usize) {
        let waits = self.holds(Rule::CommandsWaitForAccesses);
        self.commands[number].accesses = Some(if waits { self.accesses.clone() } else { BTreeSet::new() });
        self.complete_commands();
    }

    /// A command that is not of leaves only drops what walk caches hold of what it names.
    fn drop_from_walk_caches(&mut self, number: usize) {
        let Command { table, drops, ref waiter, switch, .. } = self.commands[number];
        let spec = &self.case.machine.iommu.invalidation;
        let by_default = match drops {
            Granularity::Page => WalkCacheInvalidation::LeafOnly,
            Granularity::Domain | Granularity::Global => WalkCacheInvalidation::Full,
        };
        let drop = match spec.walk_caches.unwrap_or(by_default) {
            WalkCacheInvalidation::Full => self.holds(Rule::FullInvalidationsEmptyWalkCaches),
            WalkCacheInvalidation::LeafOnly => !self.holds(Rule::LeafOnlyInvalidationsSpareWalkCaches),
        };
        if !drop && switch.is_none() {
            return;
        }
        let domain = self.domain_of_command(number, table);
        let page = waiter.as_ref().map(|unmapped| unmapped.leaf);
        let covers = |there: u32, level: u8, entry: Iova| match drops {
            Granularity::Global => true,
            Granularity::Domain => there == domain,
            Granularity::Page => {
                let leaf = page.expect("a page is unmapped alone");
                let last = leaf.base.0 + (leaf.size.bytes() - 1);
                there == domain && (region(leaf.base.0, level)..=region(last, level)).contains(&entry)
            }
        };
        for (level, cache) in &mut self.walk_caches {
            cache.drop_where(|there, leaf| covers(there, *level, leaf.base));
        }
        for walk in &mut self.walks {
            let (there, at) = (walk.domain, walk.at);
            let dropped = walk.to_fill.iter().filter(|level| covers(there, **level, region(at, **level)));
            let dropped: Vec<u8> = dropped.copied().collect();
            walk.dropped.extend(dropped);
        }
    }

    fn access_end(&mut self, id: Id) {
        self.accesses.remove(&id);
        self.switches.note_access_end(id, self.now);
        self.reached.remove(&id);
        for command in &mut self.commands[self.commands_complete..] {
            if let Some(accesses) = &mut command.accesses {
                accesses.remove(&id);
            }
        }
        self.complete_commands();
    }

    /// Commands are complete, in their order, when no access before them is left.
    fn complete_commands(&mut self) {
        while let Some(command) = self.commands.get(self.commands_complete) {
            if !command.answered || command.accesses.as_ref().is_none_or(|accesses| !accesses.is_empty()) {
                return;
            }
            self.at(self.now, Event::CommandComplete { command: self.commands_complete });
            self.commands_complete += 1;
        }
    }

    fn command_complete(&mut self, number: usize) {
        let Command { table, flushes, waiter, .. } = self.commands[number].clone();
        for unmapped in &flushes {
            self.pending.remove(&(table, unmapped.leaf.base.0));
            if self.holds(Rule::AddressesWaitForTheFlush) {
                self.free_address(unmapped);
            }
            self.counters.exposure_ps += self.counted_time(unmapped.at, self.now);
        }
        if let Some(unmapped) = waiter {
            self.pending.remove(&(table, unmapped.leaf.base.0));
            self.free_address(&unmapped);
            self.free_frame(&unmapped);
            let waited = self.counted(unmapped.at) * (self.now - unmapped.at);
            self.counters.unmap_wait_ps += waited;
            self.counters.unmap_wait_max_ps = self.counters.unmap_wait_max_ps.max(waited);
            self.map_next(unmapped.id);
        }
        if let Some((vf, _, true)) = self.commands[number].switch {
            self.invalidated(vf);
        }
    }

    fn free_address(&mut self, unmapped: &Unmapped) {
        let vf = unmapped.id.0;
        let address = unmapped.leaf.base.0 - self.part_of(vf);
        self.streams[vf].free.push_back(address);
    }

    fn free_frame(&mut self, unmapped: &Unmapped) {
        let frame = unmapped.leaf.target.0;
        // What still reaches it will do so after it has left its owner.
        let reached = self.reached.iter().filter(|(id, target)| {
            let same_vf = id.0 == unmapped.id.0;
            same_vf && **target == frame && self.accesses.contains(id)
        });
        let overrun = reached.count() > 0;
        self.counters.overrun += if overrun { self.counted(self.now) } else { 0 };
        self.give_frame_back(&unmapped.leaf);
    }

    fn give_frame_back(&mut self, leaf: &Leaf) {
        let in_turn = self.holds(Rule::FramesAreReusedInTurn);
        let free = &mut self.free_frames[leaf.size as usize];
        if in_turn {
            free.push_back(leaf.target.0);
        } else {
            free.push_front(leaf.target.0);
        }
    }

    /// The driver maps the next buffer, and the client goes on.
    fn map_next(&mut self, id: Id) {
        let plan = self.case.streams[id.0].as_ref().expect("a VF with streaming mappings");
        let in_order = self.holds(Rule::AddressesAreReusedInOrder);
        let seed = stream_seed(self.case, id.0);
        let stream = &mut self.streams[id.0];
        let free = match plan.reuse {
            IovaReuse::Random if in_order && !stream.free.is_empty() => {
                let at = drawn_address(seed, stream.handed_out, stream.free.len());
                let last = stream.free.pop_back().expect("not empty");
                Some(if at < stream.free.len() {
                    core::mem::replace(&mut stream.free[at], last)
                } else {
                    last
                })
            }
            IovaReuse::Lifo if in_order => stream.free.pop_back(),
            IovaReuse::Fifo if !in_order => stream.free.pop_back(),
            _ => stream.free.pop_front(),
        };
        stream.handed_out += 1;
        let address = free.unwrap_or_else(|| {
            stream.fresh += plan.page_size.bytes();
            stream.fresh - plan.page_size.bytes()
        });
        stream.posted.push_back(address);
        let leaf = Leaf {
            base: Iova(address + self.part_of(id.0)),
            target: PhysAddr(self.free_frames[plan.page_size as usize].pop_front().expect("a frame")),
            size: plan.page_size,
            permissions: plan.permissions,
        };
        let table = self.table_of(id.0);
        self.domains[table].1.push(leaf);
        self.think(id);
    }
}
