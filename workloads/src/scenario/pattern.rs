//! Where in its buffer a VF's DMAs go.

use portcullis_engine::error::SpecError;
use serde::{Deserialize, Serialize};

/// The kinds of access pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatternKind {
    /// One DMA after the other through the buffer, then again from its start.
    Ring,
    /// Every page alike.
    #[default]
    Uniform,
    /// Pages by Zipf's law.
    Zipf,
    /// A page every so many pages, round and round.
    Strided,
    /// A hot set of pages and the cold rest.
    HotCold,
    /// Copies: runs of pages in order, each from a start drawn anew.
    Stream,
}

impl PatternKind {
    /// The keys that `[tenants.pattern]` takes for the kind called `name`.
    pub(super) fn keys_of(name: &str) -> Option<&'static [&'static str]> {
        match name {
            "ring" | "uniform" => Some(&["kind"]),
            "zipf" => Some(&["kind", "exponent"]),
            "strided" => Some(&["kind", "stride_pages"]),
            "hot_cold" => Some(&["kind", "hot_share", "hot_access_share"]),
            "stream" => Some(&["kind", "copy_pages"]),
            _ => None,
        }
    }

    /// The kind's name in a scenario.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
            Self::Strided => "strided",
            Self::HotCold => "hot_cold",
            Self::Stream => "stream",
        }
    }

    /// Most pages of a buffer the kind can choose from: those that need a table are bounded by it.
    #[must_use]
    pub const fn pages_max(self) -> u64 {
        match self {
            Self::Zipf | Self::HotCold => 1 << 24,
            _ => super::ClassMemory::PAGES_MAX,
        }
    }
}

/// `[tenants.pattern]`: which pages of the buffer DMAs touch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatternSpec {
    /// `ring`, `uniform`, `zipf`, `strided`, `hot_cold` or `stream`. Default `uniform`.
    #[serde(default)]
    pub kind: PatternKind,
    /// `zipf`: exponent; the page of rank k is touched in proportion to k^-exponent.
    /// Default 0.99 (YCSB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exponent: Option<f64>,
    /// `strided`: pages from one DMA to the next. Default 16 (modelled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride_pages: Option<u64>,
    /// `hot_cold`: share of the pages that are hot. Default 0.1 (modelled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hot_share: Option<f64>,
    /// `hot_cold`: share of the DMAs that go to hot pages. Default 0.9 (modelled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hot_access_share: Option<f64>,
    /// `stream`: pages of a copy. Default 16, or the whole buffer if that is smaller (modelled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_pages: Option<u64>,
}

impl PatternSpec {
    /// A pattern in which every key is present.
    pub(super) fn with_every_key() -> Self {
        Self {
            kind: PatternKind::Zipf,
            exponent: Some(1.0),
            stride_pages: Some(1),
            hot_share: Some(0.5),
            hot_access_share: Some(0.5),
            copy_pages: Some(1),
        }
    }

    /// Writes down the defaults of the keys that the kind uses, for a buffer of `pages` pages.
    pub(super) fn fill_in(&mut self, pages: u64) {
        match self.kind {
            PatternKind::Ring | PatternKind::Uniform => {}
            PatternKind::Zipf => {
                self.exponent.get_or_insert(0.99);
            }
            PatternKind::Strided => {
                self.stride_pages.get_or_insert(16);
            }
            PatternKind::HotCold => {
                self.hot_share.get_or_insert(0.1);
                self.hot_access_share.get_or_insert(0.9);
            }
            PatternKind::Stream => {
                self.copy_pages.get_or_insert(pages.min(16));
            }
        }
    }

    /// Pages of the hot set: at least one, and at least one is left cold.
    #[must_use]
    pub fn hot_pages(&self, pages: u64) -> u64 {
        let hot = (self.hot_share.unwrap_or_default() * pages as f64 + 0.5) as u64;
        hot.clamp(1, (pages - 1).max(1))
    }

    /// Checks every value, with keys under `path`, for a buffer of `pages` pages.
    pub(super) fn validate(&self, path: &str, pages: u64) -> Result<(), SpecError> {
        self.validate_use(path)?;
        if pages > self.kind.pages_max() {
            return Err(SpecError::new(
                format!("{path}.kind"),
                format!(
                    "is {:?}, which can choose from {} pages at most, not from {pages}",
                    self.kind.name(),
                    self.kind.pages_max()
                ),
            ));
        }
        if let Some(exponent) = self.exponent {
            SpecError::in_range(&format!("{path}.exponent"), exponent, 0.0, 10.0)?;
        }
        if let Some(stride) = self.stride_pages {
            SpecError::in_range(&format!("{path}.stride_pages"), stride, 1, super::ClassMemory::PAGES_MAX)?;
        }
        for (key, share) in [("hot_share", self.hot_share), ("hot_access_share", self.hot_access_share)] {
            SpecError::in_range(&format!("{path}.{key}"), share.unwrap_or_default(), 0.0, 1.0)?;
        }
        if self.kind == PatternKind::HotCold && pages < 2 {
            return Err(SpecError::new(
                format!("{path}.kind"),
                "is \"hot_cold\", which needs two pages or more",
            ));
        }
        match self.copy_pages {
            Some(copy) => SpecError::in_range(&format!("{path}.copy_pages"), copy, 1, pages),
            None => Ok(()),
        }
    }

    /// Checks that no key is given that the kind does not use.
    fn validate_use(&self, path: &str) -> Result<(), SpecError> {
        let used = PatternKind::keys_of(self.kind.name()).expect("a kind knows its name");
        let surplus = [
            ("exponent", self.exponent.is_some()),
            ("stride_pages", self.stride_pages.is_some()),
            ("hot_share", self.hot_share.is_some()),
            ("hot_access_share", self.hot_access_share.is_some()),
            ("copy_pages", self.copy_pages.is_some()),
        ]
        .into_iter()
        .find(|(key, given)| *given && !used.contains(key));
        match surplus {
            Some((key, _)) => Err(SpecError::new(
                format!("{path}.{key}"),
                format!("is not for a pattern of the kind {:?}", self.kind.name()),
            )),
            None => Ok(()),
        }
    }
}
