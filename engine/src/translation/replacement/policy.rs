//! What a policy is, and what is made of the list of all.

/// How one policy chooses what to replace.
pub trait Replacement: Send + Sync + Sized + 'static {
    /// `Err` says, as the rest of a sentence about the number of ways, why it cannot be ruled.
    ///
    /// # Errors
    /// See above.
    fn check(_ways: u32) -> Result<(), &'static str> {
        Ok(())
    }

    /// The state of `sets` sets of `ways` ways, none of them valid.
    fn new(sets: u32, ways: u32, seed: u64) -> Self;

    /// A look-up hit `way`.
    fn on_hit(&mut self, set: u32, way: u32);

    /// `way` received a new entry.
    fn on_fill(&mut self, set: u32, way: u32);

    /// The way to replace; every way of the set is valid.
    fn victim(&mut self, set: u32) -> u32;

    /// The way to replace, which receives a new entry at once; every way of the set is valid.
    #[inline]
    fn replace(&mut self, set: u32) -> u32 {
        let way = self.victim(set);
        self.on_fill(set, way);
        way
    }

    /// The way to replace among those of the set's `ways` that are `allowed`, all of them valid; `None` where there
    /// is none. Unless a policy knows better: the first from its victim on, round and round.
    fn victim_among(&mut self, set: u32, ways: u32, allowed: impl Fn(u32) -> bool) -> Option<u32> {
        let from = self.victim(set);
        (0..ways).map(|step| (from + step) % ways).find(|way| allowed(*way))
    }

    /// Asks for the cache lines of a set's state.
    #[inline]
    fn prefetch(&self, _set: u32) {}
}

/// Makes of a list of policies their modules, their names and the IOTLB under each.
macro_rules! policies {
    ($($module:ident::$policy:ident => $name:ident $doc:literal $(($default:ident))?,)+) => {
        $(mod $module;)+

        use serde::{Deserialize, Serialize};

        use super::iotlb::Iotlb;
        use super::sharing::Part;
        use super::spec::IotlbSpec;
        use crate::error::SpecError;

        /// `iommu.iotlb.replacement`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum ReplacementPolicy {
            $(#[doc = $doc] $(#[$default])? $name,)+
        }

        impl ReplacementPolicy {
            /// Every policy.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            fn check(self, ways: u32) -> Result<(), &'static str> {
                match self {
                    $(Self::$name => $module::$policy::check(ways),)+
                }
            }
        }

        /// An IOTLB under the policy of its specification; the macro `with_iotlb` reaches into it.
        pub enum AnyIotlb {
            $(#[doc = $doc] $name(Iotlb<$module::$policy>),)+
        }

        impl AnyIotlb {
            /// An empty IOTLB; `seed` feeds random policies and nothing else.
            #[must_use]
            pub fn new(spec: &IotlbSpec, seed: u64) -> Self {
                match spec.replacement {
                    $(ReplacementPolicy::$name => Self::$name(Iotlb::new(spec, seed)),)+
                }
            }

            /// The same, divided among classes of tenants as these parts say.
            #[must_use]
            pub fn divided(spec: &IotlbSpec, seed: u64, parts: &[Part]) -> Self {
                match spec.replacement {
                    $(ReplacementPolicy::$name => Self::$name(Iotlb::divided(spec, seed, parts)),)+
                }
            }
        }

        impl ReplacementPolicy {
            /// Checks that the policy can rule `ways` ways, the value of this key.
            ///
            /// # Errors
            /// Says why not.
            pub fn validate(self, key: &str, ways: u32) -> Result<(), SpecError> {
                self.check(ways).map_err(|problem| SpecError::new(key, format!("is {ways}; {problem}")))
            }
        }

        /// Runs `$body` with `$iotlb` bound to the IOTLB inside an [`AnyIotlb`], compiled once a policy.
        macro_rules! with_iotlb {
            ($any:expr, |$iotlb:ident| $body:expr) => {
                match $any {
                    $($crate::translation::AnyIotlb::$name($iotlb) => $body,)+
                }
            };
        }
        pub(crate) use with_iotlb;
    };
}
pub(crate) use policies;
