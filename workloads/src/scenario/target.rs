//! Where a class's DMAs go instead of its own buffer: what a hostile device tries.

use portcullis_engine::domain::LeafSize;
use portcullis_engine::error::SpecError;
use serde::{Deserialize, Serialize};

use super::{ClassMemory, TenantClass};

/// `[tenants.target]`: addresses that DMAs go to instead of the class's own buffer, by the class's pattern. Either
/// those of another class's buffers, or a range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetSpec {
    /// The class whose buffers lie there; in a domain that an adapter's VFs share, the buffer of one VF of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// First address of a range, a multiple of the page size of the class's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iova: Option<u64>,
    /// Pages of the range, of that size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<u64>,
}

/// Where a class's DMAs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    /// First address.
    pub iova: u64,
    /// Pages.
    pub pages: u64,
    /// Their size.
    pub page_size: LeafSize,
    /// The class whose buffer it is, by its index; `None` for its own, or for nobody's.
    pub class: Option<usize>,
}

impl Aim {
    /// First address after it.
    #[must_use]
    pub fn end(&self) -> u128 {
        u128::from(self.iova) + u128::from(self.pages) * u128::from(self.page_size.bytes())
    }
}

impl TenantClass {
    /// Where the DMAs of this class, one of `classes`, go.
    ///
    /// # Errors
    /// The key of the target, under `path`, that does not come out.
    pub fn aim(&self, classes: &[Self], path: &str) -> Result<Aim, SpecError> {
        let of_memory = |memory: &ClassMemory, class| Aim {
            iova: memory.iova,
            pages: memory.pages,
            page_size: memory.page_size,
            class,
        };
        let Some(target) = &self.target else { return Ok(of_memory(&self.memory, None)) };
        let key = |name: &str| format!("{path}.target.{name}");
        match target {
            TargetSpec { class: Some(name), iova: None, pages: None } => {
                let known = || classes.iter().map(|class| &*class.name);
                let Some(at) = known().position(|known| known == name) else {
                    let near = super::nearest(name, known()).unwrap_or_default();
                    return Err(SpecError::new(
                        key("class"),
                        format!("is {name:?}, which is no class of tenants; did you mean {near:?}?"),
                    ));
                };
                Ok(of_memory(&classes[at].memory, Some(at)))
            }
            TargetSpec { class: None, iova: Some(iova), pages: Some(pages) } => {
                let page_size = self.memory.page_size;
                SpecError::in_range(&key("pages"), *pages, 1, ClassMemory::PAGES_MAX)?;
                if !iova.is_multiple_of(page_size.bytes()) {
                    return Err(SpecError::new(
                        key("iova"),
                        format!("is {iova:#x}, which is no multiple of the pages of {page_size}"),
                    ));
                }
                Ok(Aim { iova: *iova, pages: *pages, page_size, class: None })
            }
            TargetSpec { class: Some(_), .. } => {
                Err(SpecError::new(key("class"), "excludes `iova` and `pages`: give a class or a range"))
            }
            TargetSpec { iova: None, .. } => {
                Err(SpecError::new(key("iova"), "is missing; a target is a `class`, or `iova` and `pages`"))
            }
            TargetSpec { pages: None, .. } => {
                Err(SpecError::new(key("pages"), "is missing; a target is a `class`, or `iova` and `pages`"))
            }
        }
    }
}
