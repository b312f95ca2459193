//! A class of tenants: its memory and when it sends.

use portcullis_engine::admission::AttachError;
use portcullis_engine::device_tlb::AtsPlan;
use portcullis_engine::domain::{LeafSize, Permissions};
use portcullis_engine::error::SpecError;
use portcullis_engine::plan::FrameLayout;
use serde::{Deserialize, Serialize};

use super::{Aim, EscapesSpec, PacketDma, PatternSpec, SizeMix, StreamingSpec, TargetSpec, VmSpec};

/// `[[tenants]]`: a class of tenants, one tenant a VF.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantClass {
    /// Its name: letters, digits, `-` and `_`, not digits alone. Required.
    pub name: String,
    /// VFs of the class on every adapter. One class may leave it out and gets the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Whether its VFs are attached to a domain; the DMAs of one that is not are blocked. Default true.
    #[serde(default = "yes")]
    pub attached: bool,
    /// Why its VFs could not be attached, where `attached = false`: `already_attached`, `type_not_allowed`, `out_of_resources`, or
    /// `not_attached`, where nobody tried. Default `not_attached`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attach_error: Option<AttachError>,
    /// Whether its VFs send nothing while a switch of a domain has their adapter silent. Where one does not, nobody waits for
    /// what it sends, and its DMAs meet its domain in the middle of a switch. Only `silence.mode = "silence"`. Default true.
    #[serde(default = "yes")]
    pub obeys_silence: bool,
    /// Whether the context entries of its VFs enable ATS, where devices have TLBs. Without it their DMAs go to the IOMMU
    /// untranslated, which blocks what they mark as translated. Default true.
    #[serde(default = "yes")]
    pub ats: bool,
    /// Share of the DMAs that a hostile device sends as translated requests with a physical address that it made up.
    /// Needs a device TLB. Default 0.
    #[serde(default)]
    pub forged_share: f64,
    /// Share of the DMAs that read host memory; the others write. Default 0.5 (modelled).
    #[serde(default = "half")]
    pub read_share: f64,
    /// Bytes of a DMA: one size, a mix, or a range of powers of two. Default 4096 (a 4 KiB page).
    #[serde(default)]
    pub sizes: SizeMix,
    /// Bytes every DMA's address is a multiple of, a power of two. Default 64 (a cache line).
    #[serde(default = "cache_line")]
    pub alignment: u32,
    /// Whether a DMA may run from one page of its buffer into the next. Default false.
    #[serde(default)]
    pub cross_pages: bool,
    /// The buffer each VF of the class maps.
    #[serde(default)]
    pub memory: ClassMemory,
    /// Where `iommu.iotlb.sharing` divides the IOTLB: the share of its ways, sets or entries that the class gets, as
    /// a whole number of them. Default an equal part of what other classes leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iotlb_share: Option<f64>,
    /// Where `iommu.walkers.sharing` divides the walkers: the same of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walker_share: Option<f64>,
    /// When DMAs are intended. Required, for its rate.
    pub arrivals: ArrivalsSpec,
    /// Where in the buffer DMAs go.
    #[serde(default)]
    pub pattern: PatternSpec,
    /// Where DMAs go instead of the class's own buffer. Left out: to the buffer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetSpec>,
    /// The DMAs of a packet, in place of `sizes`, `read_share`, `alignment`, `memory` and `pattern`. Left out: DMAs come
    /// one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packet: Vec<PacketDma>,
    /// Where a buffer is mapped for each DMA, and unmapped after it. Left out: mappings last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streaming: Option<StreamingSpec>,
    /// What a tenant is to its host.
    #[serde(default)]
    pub vm: VmSpec,
    /// Where each VM of the class sends escapes. Left out: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escapes: Option<EscapesSpec>,
}

fn yes() -> bool {
    true
}
pub(super) fn half() -> f64 {
    0.5
}
pub(super) fn cache_line() -> u32 {
    64
}

impl TenantClass {
    /// A class in which every key is present.
    pub(super) fn with_every_key() -> Self {
        Self {
            name: String::from("every-key"),
            count: Some(1),
            attached: true,
            attach_error: Some(AttachError::OutOfResources),
            obeys_silence: true,
            ats: true,
            forged_share: 0.0,
            read_share: half(),
            sizes: SizeMix::default(),
            alignment: cache_line(),
            cross_pages: false,
            memory: ClassMemory::default(),
            iotlb_share: Some(1.0),
            walker_share: Some(1.0),
            arrivals: ArrivalsSpec {
                kind: ArrivalKind::OnOff,
                mops_per_vf: Some(1.0),
                link_load: Some(1.0),
                on_us: Some(1.0),
                off_us: Some(1.0),
                durations: Some(Durations::Fixed),
                outstanding: Some(1),
                think_ns: Some(1.0),
            },
            pattern: PatternSpec::with_every_key(),
            target: Some(TargetSpec { class: Some(String::new()), iova: Some(0), pages: Some(1) }),
            packet: vec![PacketDma::with_every_key()],
            streaming: Some(StreamingSpec::default()),
            vm: VmSpec::default(),
            escapes: Some(EscapesSpec::with_every_key()),
        }
    }

    /// Checks every value, with keys under `path`; `classes` are all there are.
    pub(super) fn validate(&self, path: &str, classes: &[Self]) -> Result<(), SpecError> {
        let aim = self.aim(classes, path)?;
        SpecError::in_range(&format!("{path}.read_share"), self.read_share, 0.0, 1.0)?;
        SpecError::in_range(&format!("{path}.forged_share"), self.forged_share, 0.0, 1.0)?;
        for (key, share) in [("iotlb_share", self.iotlb_share), ("walker_share", self.walker_share)] {
            SpecError::in_range(&format!("{path}.{key}"), share.unwrap_or(1.0), 0.0, 1.0)?;
        }
        self.memory.validate(&format!("{path}.memory"))?;
        self.arrivals.validate(&format!("{path}.arrivals"))?;
        self.pattern.validate(&format!("{path}.pattern"), aim.pages)?;
        self.sizes.validate(&format!("{path}.sizes"))?;
        self.validate_alignment(&format!("{path}.alignment"), &aim)?;
        if let Some(streaming) = &self.streaming {
            streaming.validate(&format!("{path}.streaming"), self, path)?;
        }
        if self.attached && self.attach_error.is_some() {
            let problem = format!("says why VFs are not attached, which needs `{path}.attached = false`");
            return Err(SpecError::new(format!("{path}.attach_error"), problem));
        }
        self.validate_packet(path)?;
        self.vm.validate(&format!("{path}.vm"))?;
        if let Some(escapes) = &self.escapes {
            escapes.validate(&format!("{path}.escapes"))?;
        }
        self.validate_fit(path, &aim)
    }

    /// Whether its VFs are attached to a domain, or why not.
    ///
    /// # Errors
    /// Why not.
    pub fn attachment(&self) -> Result<(), AttachError> {
        if self.attached { Ok(()) } else { Err(self.attach_error.unwrap_or_default()) }
    }

    /// What its VFs do with ATS.
    #[must_use]
    pub fn ats_plan(&self) -> AtsPlan {
        AtsPlan { enabled: self.ats, forged_share: self.forged_share }
    }

    fn validate_alignment(&self, key: &str, aim: &Aim) -> Result<(), SpecError> {
        let page = aim.page_size.bytes();
        if self.alignment.is_power_of_two() && u64::from(self.alignment) <= page {
            return Ok(());
        }
        Err(SpecError::new(
            key,
            format!("is {}; it must be a power of two, at most a page of {page} bytes", self.alignment),
        ))
    }

    /// Checks that the largest DMA fits where it may go.
    fn validate_fit(&self, path: &str, aim: &Aim) -> Result<(), SpecError> {
        let largest = u64::from(self.sizes.largest());
        let page = aim.page_size.bytes();
        let pages = self.pattern.copy_pages.unwrap_or(aim.pages).min(aim.pages);
        let (room, what) = match self.cross_pages {
            false => (page, "a page; `cross_pages = true` lets DMAs run over several"),
            true => (page * pages, "what the pattern covers in one go"),
        };
        if largest <= room {
            return Ok(());
        }
        Err(SpecError::new(
            format!("{path}.sizes"),
            format!("holds {largest} bytes, which is more than the {room} bytes of {what}"),
        ))
    }
}

/// `[tenants.memory]`: the buffer a VF maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassMemory {
    /// Pages of the buffer. Default 1,024 (modelled).
    pub pages: u64,
    /// Size of a page: `4k`, `2m` or `1g`. Default `4k` (Linux without huge pages).
    pub page_size: LeafSize,
    /// Rights of every page: `r`, `w`, `rw` or `none`. Default `rw`.
    pub permissions: Permissions,
    /// How its frames lie in host memory: `contiguous` or `scattered`. Default `contiguous`.
    pub frames: FrameLayout,
    /// Share of the pages left unmapped, so that DMAs to them fault. Default 0.
    pub hole_share: f64,
    /// First address, a multiple of the page size. Default 1 GiB (modelled).
    pub iova: u64,
}

impl Default for ClassMemory {
    fn default() -> Self {
        Self {
            pages: 1_024,
            page_size: LeafSize::Size4K,
            permissions: Permissions::ReadWrite,
            frames: FrameLayout::Contiguous,
            hole_share: 0.0,
            iova: 1 << 30,
        }
    }
}

impl ClassMemory {
    /// Most pages a buffer can have.
    pub const PAGES_MAX: u64 = 1 << 26;

    /// First address after the buffer.
    #[must_use]
    pub fn end(&self) -> u128 {
        u128::from(self.iova) + u128::from(self.pages) * u128::from(self.page_size.bytes())
    }

    pub(super) fn validate(&self, path: &str) -> Result<(), SpecError> {
        SpecError::in_range(&format!("{path}.pages"), self.pages, 1, Self::PAGES_MAX)?;
        SpecError::in_range(&format!("{path}.hole_share"), self.hole_share, 0.0, 1.0)?;
        if !self.iova.is_multiple_of(self.page_size.bytes()) {
            return Err(SpecError::new(
                format!("{path}.iova"),
                format!("is {:#x}, which is no multiple of its pages of {}", self.iova, self.page_size),
            ));
        }
        Ok(())
    }
}

/// How the intended times of a VF's DMAs lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArrivalKind {
    /// Evenly spaced, from a start drawn for each VF.
    Constant,
    /// A Poisson process.
    #[default]
    Poisson,
    /// Bursts: a Poisson process that is switched on and off.
    OnOff,
    /// Evenly spaced, the VFs of an adapter in strict turn.
    #[serde(rename = "round_robin")]
    RoundRobin,
    /// A closed loop: as the requests before retire.
    Closed,
}

impl ArrivalKind {
    const RATE_KEYS: &'static [&'static str] = &["kind", "mops_per_vf", "link_load"];
    const ONOFF_KEYS: &'static [&'static str] =
        &["kind", "mops_per_vf", "link_load", "on_us", "off_us", "durations"];
    const CLOSED_KEYS: &'static [&'static str] = &["kind", "outstanding", "think_ns", "durations"];

    /// The keys that `[tenants.arrivals]` takes for the kind called `name`.
    pub(super) fn keys_of(name: &str) -> Option<&'static [&'static str]> {
        match name {
            "constant" | "poisson" | "round_robin" => Some(Self::RATE_KEYS),
            "onoff" => Some(Self::ONOFF_KEYS),
            "closed" => Some(Self::CLOSED_KEYS),
            _ => None,
        }
    }
}

/// How long bursts and the pauses between them are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durations {
    /// Drawn from an exponential distribution.
    #[default]
    Exponential,
    /// All alike.
    Fixed,
}

/// `[tenants.arrivals]`: when each VF of a class intends its DMAs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrivalsSpec {
    /// `constant`, `poisson`, `onoff`, `round_robin` or `closed`. Default `poisson`.
    #[serde(default)]
    pub kind: ArrivalKind,
    /// Mean rate of each VF in millions of DMAs a second, pauses included; excludes `link_load`.
    /// One of the two is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mops_per_vf: Option<f64>,
    /// Share of an adapter's link that all VFs of the class offer together, in the direction it loads
    /// more; excludes `mops_per_vf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_load: Option<f64>,
    /// `onoff`: mean length of a burst in microseconds. Default 10 (modelled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_us: Option<f64>,
    /// `onoff`: mean pause between bursts in microseconds. Default 10 (modelled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_us: Option<f64>,
    /// `onoff` and `closed`: whether bursts and pauses, or think times, are `exponential` or `fixed`.
    /// Default `exponential`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durations: Option<Durations>,
    /// `closed`: requests of each VF that are under way or thought about: its clients. Default 32
    /// (an NVMe-like queue depth, modelled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outstanding: Option<u32>,
    /// `closed`: mean time in nanoseconds from the end of a request to the next of that client. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think_ns: Option<f64>,
}

impl ArrivalsSpec {
    const BURST_US_DEFAULT: f64 = 10.0;
    const OUTSTANDING_DEFAULT: u32 = 32;

    /// Writes down the defaults of the keys that the kind uses.
    pub(super) fn fill_in(&mut self) {
        if self.kind == ArrivalKind::OnOff {
            self.on_us.get_or_insert(Self::BURST_US_DEFAULT);
            self.off_us.get_or_insert(Self::BURST_US_DEFAULT);
            self.durations.get_or_insert_default();
        }
        if self.kind == ArrivalKind::Closed {
            self.outstanding.get_or_insert(Self::OUTSTANDING_DEFAULT);
            self.think_ns.get_or_insert_default();
            self.durations.get_or_insert_default();
        }
    }

    fn validate(&self, path: &str) -> Result<(), SpecError> {
        self.validate_kind(path)?;
        match self.kind {
            ArrivalKind::Constant | ArrivalKind::Poisson | ArrivalKind::RoundRobin => {
                self.validate_rate(path)
            }
            ArrivalKind::OnOff => {
                self.validate_rate(path)?;
                SpecError::in_range(&format!("{path}.on_us"), self.on_us.unwrap_or(1.0), 0.001, 1e9)?;
                SpecError::in_range(&format!("{path}.off_us"), self.off_us.unwrap_or(1.0), 0.0, 1e9)
            }
            ArrivalKind::Closed => {
                let outstanding = self.outstanding.unwrap_or(1);
                SpecError::in_range(&format!("{path}.outstanding"), outstanding, 1, 65_536)?;
                SpecError::in_range(&format!("{path}.think_ns"), self.think_ns.unwrap_or(0.0), 0.0, 1e9)
            }
        }
    }

    /// Exactly one of the two keys for the rate.
    fn validate_rate(&self, path: &str) -> Result<(), SpecError> {
        match (self.mops_per_vf, self.link_load) {
            (None, None) => Err(SpecError::new(
                format!("{path}.mops_per_vf"),
                format!("is missing; the rate is given by it or by `{path}.link_load`"),
            )),
            (Some(_), Some(_)) => Err(SpecError::new(
                format!("{path}.link_load"),
                format!("excludes `{path}.mops_per_vf`: give only one of them"),
            )),
            (Some(mops), None) => SpecError::in_range(&format!("{path}.mops_per_vf"), mops, 1e-6, 1e4),
            (None, Some(load)) => SpecError::in_range(&format!("{path}.link_load"), load, 1e-9, 1e3),
        }
    }

    /// No key that belongs to other kinds only.
    fn validate_kind(&self, path: &str) -> Result<(), SpecError> {
        use ArrivalKind::{Closed, Constant, OnOff, Poisson, RoundRobin};
        let open: &[ArrivalKind] = &[Constant, Poisson, OnOff, RoundRobin];
        let open_names = "\"constant\", \"poisson\", \"onoff\" or \"round_robin\"";
        for (key, given, kinds, names) in [
            ("mops_per_vf", self.mops_per_vf.is_some(), open, open_names),
            ("link_load", self.link_load.is_some(), open, open_names),
            ("on_us", self.on_us.is_some(), &[OnOff], "\"onoff\""),
            ("off_us", self.off_us.is_some(), &[OnOff], "\"onoff\""),
            ("durations", self.durations.is_some(), &[OnOff, Closed], "\"onoff\" or \"closed\""),
            ("outstanding", self.outstanding.is_some(), &[Closed], "\"closed\""),
            ("think_ns", self.think_ns.is_some(), &[Closed], "\"closed\""),
        ] {
            if given && !kinds.contains(&self.kind) {
                let problem = format!("is only for arrivals of the kind {names}");
                return Err(SpecError::new(format!("{path}.{key}"), problem));
            }
        }
        Ok(())
    }
}
