//! The IOMMU: IOTLB, walk caches, walkers, fault queue.

use serde::{Deserialize, Serialize};

use super::replacement::ReplacementPolicy;
use super::sharing::{IotlbSharing, Part, WalkerSharing};
use crate::domain::LeafSize;
use crate::error::SpecError;
use crate::invalidation::InvalidationSpec;

/// `iommu.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IommuMode {
    /// Every DMA is translated through its domain.
    #[default]
    Translate,
    /// No IOMMU: devices reach all of memory.
    Off,
    /// Identity domains: devices that have a context reach all of memory, untranslated.
    Passthrough,
}

/// `[iommu]`: the IOMMU of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IommuSpec {
    /// `translate`, `off` or `passthrough`. Default `translate`.
    pub mode: IommuMode,
    /// Levels of the page table, 3 to 5: what a walk to a 4 KiB leaf reads. Default 4 (48-bit IOVAs).
    pub page_table_levels: u8,
    /// 1: page tables hold host addresses. 2: they are a guest's, and the host translates what they hold
    /// once more. Default 1.
    pub stages: u8,
    /// With two stages: levels of the host's page table, 3 to 5. Default 4.
    pub host_levels: u8,
    /// With two stages: the host's leaves, `4k`, `2m` or `1g`. Default `4k`.
    pub host_page_size: LeafSize,
    /// The IOTLB.
    pub iotlb: IotlbSpec,
    /// The walk caches.
    pub walk_caches: WalkCachesSpec,
    /// The page-table walkers.
    pub walkers: WalkersSpec,
    /// When cached translations of what is unmapped go.
    pub invalidation: InvalidationSpec,
    /// The fault queue.
    pub faults: FaultQueueSpec,
}

impl Default for IommuSpec {
    fn default() -> Self {
        Self {
            mode: IommuMode::Translate,
            page_table_levels: 4,
            stages: 1,
            host_levels: 4,
            host_page_size: LeafSize::Size4K,
            iotlb: IotlbSpec::default(),
            walk_caches: WalkCachesSpec::default(),
            walkers: WalkersSpec::default(),
            invalidation: InvalidationSpec::default(),
            faults: FaultQueueSpec::default(),
        }
    }
}

impl IommuSpec {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        self.invalidation.validate()?;
        SpecError::in_range("iommu.page_table_levels", self.page_table_levels, 3, 5)?;
        SpecError::in_range("iommu.stages", self.stages, 1, 2)?;
        SpecError::in_range("iommu.host_levels", self.host_levels, 3, 5)?;
        self.iotlb.validate()?;
        self.walk_caches.validate(self.page_table_levels)?;
        self.walkers.validate()?;
        if self.walkers.walk_ns.is_some() {
            let whole = "cannot go with `iommu.walkers.walk_ns`, the time of a whole walk: give `iommu.walkers.memory_ns`";
            if self.stages == 2 {
                return Err(SpecError::new("iommu.stages", format!("is 2, which {whole}")));
            }
            if let Some((level, _)) = self.walk_caches.levels().into_iter().find(|(_, cache)| cache.is_on()) {
                return Err(SpecError::new(format!("iommu.walk_caches.l{level}.entries"), whole));
            }
        }
        self.faults.validate()
    }

    /// Accesses that translate one address of the guest: none with one stage.
    #[must_use]
    pub fn host_accesses(&self) -> u32 {
        if self.stages == 1 { 0 } else { u32::from(self.host_levels) - self.host_page_size as u32 }
    }

    /// The largest leaf that can be cached as it is: with two stages one no larger than the host's.
    #[must_use]
    pub fn largest_cached(&self) -> LeafSize {
        if self.stages == 1 { LeafSize::Size1G } else { self.host_page_size }
    }
}

/// How an address chooses its set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IotlbIndex {
    /// The low bits of the page number, whatever the domain; sets must be a power of two.
    Iova,
    /// A hash of domain, page number and leaf size; any number of sets.
    #[default]
    Hash,
}

/// `iommu.iotlb.ways`: a number, or `"full"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number of ways, or \"full\"")]
pub enum Ways {
    /// This many ways a set.
    Count(u32),
    /// One set of all entries.
    Full(FullWord),
}

/// The word `"full"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FullWord {
    /// `"full"`.
    Full,
}

/// `[iommu.iotlb]`: the cache of translations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IotlbSpec {
    /// Entries in all, a multiple of `ways`. Default 1,024 (QEMU's emulated IOMMU).
    pub entries: u32,
    /// Ways a set, or `"full"`. Default 8 (modelled).
    pub ways: Ways,
    /// Replacement policy: `lru`, `fifo`, `plru` (tree; ways a power of two) or `random`. Default `lru`.
    pub replacement: ReplacementPolicy,
    /// How an address chooses its set: `iova` or `hash`. Default `hash`.
    pub index: IotlbIndex,
    /// How classes of tenants share it: `shared`, or each with `ways` or `sets` of its own, or with a `quota` of
    /// entries. Default `shared`.
    pub sharing: IotlbSharing,
    /// Look-up latency in nanoseconds, paid by every translation. Default 2 (HyperTRIO, ISCA 2020).
    pub hit_ns: f64,
}

impl Default for IotlbSpec {
    fn default() -> Self {
        Self {
            entries: 1_024,
            ways: Ways::Count(8),
            replacement: ReplacementPolicy::default(),
            index: IotlbIndex::Hash,
            sharing: IotlbSharing::Shared,
            hit_ns: 2.0,
        }
    }
}

impl IotlbSpec {
    /// Ways a set.
    #[must_use]
    pub fn ways(&self) -> u32 {
        match self.ways {
            Ways::Count(ways) => ways,
            Ways::Full(_) => self.entries,
        }
    }

    /// Sets.
    #[must_use]
    pub fn sets(&self) -> u32 {
        self.entries / self.ways()
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        let ways = self.ways();
        validate_ways("iommu.iotlb", self.entries, ways)?;
        if self.index == IotlbIndex::Iova && !self.sets().is_power_of_two() {
            return Err(SpecError::new(
                "iommu.iotlb.entries",
                format!(
                    "makes {} sets of {ways} ways; the index \"iova\" needs a power of two of sets",
                    self.sets()
                ),
            ));
        }
        self.replacement.validate("iommu.iotlb.ways", ways)?;
        SpecError::in_range("iommu.iotlb.hit_ns", self.hit_ns, 0.0, 1e6)
    }

    /// Checks that the index can choose among each class's sets.
    pub(super) fn validate_parts_of_sets(&self, parts: &[Part]) -> Result<(), SpecError> {
        match parts.iter().find(|part| self.index == IotlbIndex::Iova && !part.count.is_power_of_two()) {
            None => Ok(()),
            Some(part) => Err(SpecError::new(
                "iommu.iotlb.sharing",
                format!(
                    "is \"sets\" and gives a class {} sets; the index \"iova\" needs a power of two",
                    part.count
                ),
            )),
        }
    }
}

/// Checks that the entries of the cache of this section make sets of so many ways.
fn validate_ways(section: &str, entries: u32, ways: u32) -> Result<(), SpecError> {
    let entries_key = format!("{section}.entries");
    SpecError::in_range(&entries_key, entries, 1, 1 << 24)?;
    SpecError::in_range(&format!("{section}.ways"), ways, 1, entries)?;
    if entries.is_multiple_of(ways) {
        return Ok(());
    }
    Err(SpecError::new(entries_key, format!("is {entries}, which is no multiple of its {ways} ways")))
}

/// `[iommu.walk_caches]`: a cache for each level of the page table above the last. Levels are counted
/// from the one that holds 4 KiB leaves, which is 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WalkCachesSpec {
    /// Of entries for 2 MiB (VT-d: the PDE cache).
    pub l2: WalkCacheSpec,
    /// Of entries for 1 GiB (VT-d: the PDPE cache).
    pub l3: WalkCacheSpec,
    /// Of entries for 512 GiB (VT-d: the PML4 cache).
    pub l4: WalkCacheSpec,
    /// Of entries for 256 TiB (VT-d: the PML5 cache).
    pub l5: WalkCacheSpec,
}

impl WalkCachesSpec {
    /// Every cache with its level, the deepest first.
    #[must_use]
    pub fn levels(&self) -> [(u8, &WalkCacheSpec); 4] {
        [(2, &self.l2), (3, &self.l3), (4, &self.l4), (5, &self.l5)]
    }

    /// Whether there is any.
    #[must_use]
    pub fn any(&self) -> bool {
        self.levels().into_iter().any(|(_, cache)| cache.is_on())
    }

    fn validate(&self, page_table_levels: u8) -> Result<(), SpecError> {
        for (level, cache) in self.levels() {
            let section = format!("iommu.walk_caches.l{level}");
            if cache.is_on() && level > page_table_levels {
                return Err(SpecError::new(
                    format!("{section}.entries"),
                    format!("is {}, but page tables have {page_table_levels} levels", cache.entries),
                ));
            }
            cache.validate(&section)?;
        }
        Ok(())
    }
}

/// `[iommu.walk_caches.lN]`: the walk cache of a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WalkCacheSpec {
    /// Entries in all, a multiple of `ways`; 0, the default, is off.
    pub entries: u32,
    /// Ways a set, or `"full"`. Default `"full"` (modelled: such caches are small).
    pub ways: Ways,
    /// Replacement policy: `lru`, `fifo`, `plru` (tree; ways a power of two) or `random`. Default `lru`.
    pub replacement: ReplacementPolicy,
}

impl Default for WalkCacheSpec {
    fn default() -> Self {
        Self { entries: 0, ways: Ways::Full(FullWord::Full), replacement: ReplacementPolicy::default() }
    }
}

impl WalkCacheSpec {
    /// Whether there is such a cache.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.entries > 0
    }

    /// The same as a cache of pages, one for what an entry of the level covers.
    #[must_use]
    pub fn of_pages(&self) -> IotlbSpec {
        let Self { entries, ways, replacement } = *self;
        IotlbSpec { entries, ways, replacement, hit_ns: 0.0, ..IotlbSpec::default() }
    }

    fn validate(&self, section: &str) -> Result<(), SpecError> {
        if !self.is_on() {
            return Ok(());
        }
        let ways = self.of_pages().ways();
        validate_ways(section, self.entries, ways)?;
        self.replacement.validate(&format!("{section}.ways"), ways)
    }
}

/// `iommu.walkers.latency`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WalkLatency {
    /// Always as long as its key says.
    #[default]
    Constant,
    /// Exponential; its key is the mean.
    Exponential,
    /// An access drawn from a list.
    Empirical,
}

/// `[iommu.walkers]`: the page-table walkers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WalkersSpec {
    /// Walks that can be under way at once. Default 16 (gem5's SMMUv3).
    pub count: u32,
    /// Walks that can wait for a walker; a full queue stalls the look-ups. Default 64 (modelled).
    pub queue_entries: u32,
    /// Whether classes of tenants share them: `shared`, or `classes` for walkers of its own for each. Default
    /// `shared`.
    pub sharing: WalkerSharing,
    /// How long a memory access takes, or a whole walk where `walk_ns` is given: `constant`, `exponential`
    /// or `empirical`. Default `constant`.
    pub latency: WalkLatency,
    /// One memory access of a walk in nanoseconds; excludes `walk_ns`.
    /// Default 80 (rounded from pcie-bench: about 330 ns for the four of a walk).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_ns: Option<f64>,
    /// A whole walk in nanoseconds, whatever its leaf; excludes `memory_ns`. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub walk_ns: Option<f64>,
    /// What an access may take: pairs of nanoseconds and weights. For `latency = "empirical"`, and instead
    /// of `memory_ns`. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empirical_ns: Option<Vec<(f64, f64)>>,
}

impl Default for WalkersSpec {
    fn default() -> Self {
        Self {
            count: 16,
            queue_entries: 64,
            sharing: WalkerSharing::Shared,
            latency: WalkLatency::default(),
            memory_ns: None,
            walk_ns: None,
            empirical_ns: None,
        }
    }
}

impl WalkersSpec {
    /// What one memory access takes where neither key is set, in nanoseconds.
    pub const MEMORY_NS_DEFAULT: f64 = 80.0;
    const EMPIRICAL_MAX: usize = 65_536;

    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("iommu.walkers.count", self.count, 1, 65_536)?;
        SpecError::in_range("iommu.walkers.queue_entries", self.queue_entries, 1, 1 << 20)?;
        match (self.memory_ns, self.walk_ns) {
            (Some(_), Some(_)) => Err(SpecError::new(
                "iommu.walkers.walk_ns",
                "excludes `iommu.walkers.memory_ns`: give a whole walk or an access, not both",
            )),
            (Some(ns), None) => SpecError::in_range("iommu.walkers.memory_ns", ns, 0.001, 1e6),
            (None, Some(ns)) => SpecError::in_range("iommu.walkers.walk_ns", ns, 0.001, 1e6),
            (None, None) => Ok(()),
        }?;
        self.validate_empirical()
    }

    fn validate_empirical(&self) -> Result<(), SpecError> {
        let error = |problem: &str| Err(SpecError::new("iommu.walkers.empirical_ns", problem));
        let empirical = self.latency == WalkLatency::Empirical;
        match &self.empirical_ns {
            None if empirical => error("is missing; `iommu.walkers.latency = \"empirical\"` draws from it"),
            None => Ok(()),
            Some(_) if !empirical => error("needs `iommu.walkers.latency = \"empirical\"`"),
            Some(_) if self.memory_ns.is_some() || self.walk_ns.is_some() => error(
                "says what an access takes: leave `iommu.walkers.memory_ns` and `iommu.walkers.walk_ns` out",
            ),
            Some(list) if list.is_empty() || list.len() > Self::EMPIRICAL_MAX => {
                error("must hold 1 to 65,536 pairs of nanoseconds and weights")
            }
            Some(list) => list.iter().try_for_each(|(ns, weight)| {
                SpecError::in_range("iommu.walkers.empirical_ns", *ns, 0.001, 1e6)?;
                let in_range = SpecError::in_range("iommu.walkers.empirical_ns", *weight, 1e-9, 1e9);
                in_range.map_err(|error| SpecError {
                    problem: format!("has a weight that {}", error.problem),
                    ..error
                })
            }),
        }
    }
}

/// `[iommu.faults]`: the bounded queue of fault records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultQueueSpec {
    /// Records the queue holds; a fault that finds it full is lost and counted. Default 256 (VT-d: one page of records).
    pub queue_entries: u32,
    /// What the host's driver takes to consume a record, in nanoseconds. Default 2,000 (modelled).
    pub service_ns: f64,
}

impl Default for FaultQueueSpec {
    fn default() -> Self {
        Self { queue_entries: 256, service_ns: 2_000.0 }
    }
}

impl FaultQueueSpec {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be built.
    pub fn validate(&self) -> Result<(), SpecError> {
        SpecError::in_range("iommu.faults.queue_entries", self.queue_entries, 1, 1 << 20)?;
        SpecError::in_range("iommu.faults.service_ns", self.service_ns, 0.0, 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: u32, ways: Ways, replacement: ReplacementPolicy) -> WalkCacheSpec {
        WalkCacheSpec { entries, ways, replacement }
    }

    #[track_caller]
    fn assert_refused(change: impl Fn(&mut IommuSpec), key: &str, words: &str) {
        let mut spec = IommuSpec::default();
        change(&mut spec);
        let error = spec.validate().expect_err("cannot be built");
        assert_eq!(error.key, key, "{error}");
        assert!(error.problem.contains(words), "{error}");
    }

    #[test]
    fn walks_that_cannot_be_built_are_refused_by_their_key() {
        assert_eq!(IommuSpec::default().validate(), Ok(()));
        let of_16 = || cache(16, Ways::Count(4), ReplacementPolicy::Lru);
        let whole = |spec: &mut IommuSpec| spec.walkers.walk_ns = Some(300.0);
        let ways = "iommu.walk_caches.l3.ways";
        for (entries, per_set, policy, key, words) in [
            (16, 32, ReplacementPolicy::Lru, ways, "between 1 and 16"),
            (16, 5, ReplacementPolicy::Lru, "iommu.walk_caches.l3.entries", "no multiple"),
            (12, 3, ReplacementPolicy::Plru, ways, "a power of two"),
        ] {
            let l3 = cache(entries, Ways::Count(per_set), policy);
            assert_refused(|spec| spec.walk_caches.l3 = l3.clone(), key, words);
        }
        assert_refused(|spec| spec.walk_caches.l5 = of_16(), "iommu.walk_caches.l5.entries", "have 4 levels");
        let with_cache = |spec: &mut IommuSpec| {
            whole(spec);
            spec.walk_caches.l2 = of_16();
        };
        assert_refused(with_cache, "iommu.walk_caches.l2.entries", "iommu.walkers.walk_ns");
        let nested = |spec: &mut IommuSpec| {
            whole(spec);
            spec.stages = 2;
        };
        assert_refused(nested, "iommu.stages", "iommu.walkers.walk_ns");
        assert_refused(|spec| spec.stages = 3, "iommu.stages", "between 1 and 2");
        assert_refused(|spec| spec.host_levels = 6, "iommu.host_levels", "between 3 and 5");
    }

    #[test]
    fn lists_of_latencies_that_cannot_be_drawn_from_are_refused() {
        let key = "iommu.walkers.empirical_ns";
        let empirical = |spec: &mut IommuSpec, list: &[(f64, f64)]| {
            spec.walkers.latency = WalkLatency::Empirical;
            spec.walkers.empirical_ns = Some(list.to_vec());
        };
        assert_refused(|spec| spec.walkers.latency = WalkLatency::Empirical, key, "is missing");
        assert_refused(|spec| spec.walkers.empirical_ns = Some(vec![(80.0, 1.0)]), key, "\"empirical\"");
        assert_refused(|spec| empirical(spec, &[]), key, "1 to 65,536 pairs");
        assert_refused(|spec| empirical(spec, &[(0.0, 1.0)]), key, "is 0");
        assert_refused(|spec| empirical(spec, &[(80.0, 0.0)]), key, "a weight that is 0");
        assert_refused(|spec| empirical(spec, &[(80.0, f64::NAN)]), key, "a weight that is NaN");
        let with_mean = |spec: &mut IommuSpec| {
            empirical(spec, &[(80.0, 1.0)]);
            spec.walkers.memory_ns = Some(80.0);
        };
        assert_refused(with_mean, key, "`iommu.walkers.memory_ns`");
        let mut spec = IommuSpec::default();
        empirical(&mut spec, &[(80.0, 2.0), (400.0, 0.5)]);
        assert_eq!(spec.validate(), Ok(()));
    }
}
