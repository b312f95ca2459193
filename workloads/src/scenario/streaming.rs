//! Streaming mappings of a class: a buffer that is mapped for each DMA, and unmapped after it.

use portcullis_engine::error::SpecError;
use portcullis_engine::invalidation::IovaReuse;
use serde::{Deserialize, Serialize};

use super::{ArrivalKind, PatternKind, TenantClass};

/// `[tenants.streaming]`: present where the class maps and unmaps a buffer a DMA. Its arrivals must be
/// `closed`: each client owns a buffer of one page, and goes on when its unmap has returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamingSpec {
    /// From the end of a DMA to the unmap of its buffer in nanoseconds: interrupt and driver. Default 1,000 (modelled).
    pub unmap_after_ns: f64,
    /// Which free address the driver hands out next: `lifo`, the one given back last (Linux's caches of
    /// IOVAs), or `fifo`, a ring. Default `lifo`.
    pub iova_reuse: IovaReuse,
    /// Share of the DMAs that go to the buffer of an earlier request, which the driver has most likely
    /// unmapped: a device that does not know when to stop. Default 0.
    pub late_share: f64,
    /// How many requests of the VF before. Default 64 (modelled).
    pub late_by: u32,
}

impl Default for StreamingSpec {
    fn default() -> Self {
        Self { unmap_after_ns: 1_000.0, iova_reuse: IovaReuse::default(), late_share: 0.0, late_by: 64 }
    }
}

impl StreamingSpec {
    /// Checks every value, with keys under `path`, for the class it belongs to, whose keys are under `class_path`.
    pub(super) fn validate(
        &self,
        path: &str,
        class: &TenantClass,
        class_path: &str,
    ) -> Result<(), SpecError> {
        SpecError::in_range(&format!("{path}.unmap_after_ns"), self.unmap_after_ns, 0.0, 1e9)?;
        SpecError::in_range(&format!("{path}.late_share"), self.late_share, 0.0, 1.0)?;
        SpecError::in_range(&format!("{path}.late_by"), self.late_by, 1, 1 << 20)?;
        let refuse = |key: &str, problem: String| Err(SpecError::new(format!("{class_path}.{key}"), problem));
        let must = |key: &str, is: &str| refuse(key, format!("must be {is} where mappings are streaming"));
        if class.arrivals.kind != ArrivalKind::Closed {
            return must("arrivals.kind", "\"closed\"");
        }
        if class.pattern.kind != PatternKind::Ring {
            return must("pattern.kind", "\"ring\": buffers are used as they come");
        }
        if class.target.is_some() {
            return refuse("target", String::from("cannot be where mappings are streaming"));
        }
        if class.cross_pages {
            return must("cross_pages", "false");
        }
        if class.memory.hole_share > 0.0 {
            return must("memory.hole_share", "0");
        }
        let buffers = u64::from(class.arrivals.outstanding.unwrap_or(1));
        if class.memory.pages < buffers {
            return refuse(
                "memory.pages",
                format!(
                    "is {}; streaming mappings need a page of addresses for each of the {buffers} clients",
                    class.memory.pages
                ),
            );
        }
        Ok(())
    }
}
