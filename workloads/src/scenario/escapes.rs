//! What a class of tenants is to its host, and the escapes it sends.

use portcullis_engine::error::SpecError;
use portcullis_engine::escape::{EscapeFlags, PAYLOAD_BYTES_MAX, parse};
use portcullis_engine::topology::VmKind;
use serde::{Deserialize, Serialize};

use super::{PacketBytes, SizeMix};

/// `[tenants.vm]`: what a tenant is to its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VmSpec {
    /// `normal`, `secure` or `host_process`. Default `normal`.
    pub kind: VmKind,
    /// Whether a normal VM may send conventional escapes. Default true; Windows Sandbox has them disabled.
    pub escapes_enabled: bool,
}

impl Default for VmSpec {
    fn default() -> Self {
        Self { kind: VmKind::Normal, escapes_enabled: true }
    }
}

impl VmSpec {
    /// Checks every value, with keys under `path`.
    pub(super) fn validate(&self, path: &str) -> Result<(), SpecError> {
        if self.escapes_enabled || self.kind == VmKind::Normal {
            return Ok(());
        }
        Err(SpecError::new(
            format!("{path}.escapes_enabled"),
            format!("is for `{path}.kind = \"normal\"` only; it is \"{}\"", self.kind.name()),
        ))
    }
}

/// Which packets a VM sends, as weights. A key that is left out is 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EscapeMix {
    /// Known escapes, well formed: one of those there are.
    pub known: f64,
    /// Common escapes with a payload that the driver knows.
    pub common: f64,
    /// Conventional escapes with a payload that the driver knows.
    pub conventional: f64,
    /// The same that touch hardware and stall the adapter.
    pub hardware_access: f64,
    /// Types that are for testing.
    pub test: f64,
    /// What the runtime serves and never sends to the kernel.
    pub runtime: f64,
    /// Headers with one wrong field, packets cut short, sizes that are not those of the payload.
    pub malformed: f64,
    /// Payloads of sizes at the bounds of what is checked, known and conventional in turn.
    pub boundary: f64,
    /// Flags at random, those among them that no sender may set.
    pub spoofed_flags: f64,
    /// Handles of another VM, another adapter, another sender.
    pub foreign_handle: f64,
    /// Common and conventional escapes with a payload that the driver does not know.
    pub malformed_payload: f64,
    /// Random bytes.
    pub random: f64,
    /// One of `corpus`.
    pub corpus: f64,
}

impl EscapeMix {
    /// What a driver sends that means no harm (modelled).
    #[must_use]
    pub fn well_formed() -> Self {
        Self { known: 4.0, common: 1.0, conventional: 5.0, ..Self::default() }
    }

    /// The weights with their keys, in order.
    #[must_use]
    pub fn weights(&self) -> [(&'static str, f64); 13] {
        [
            ("known", self.known),
            ("common", self.common),
            ("conventional", self.conventional),
            ("hardware_access", self.hardware_access),
            ("test", self.test),
            ("runtime", self.runtime),
            ("malformed", self.malformed),
            ("boundary", self.boundary),
            ("spoofed_flags", self.spoofed_flags),
            ("foreign_handle", self.foreign_handle),
            ("malformed_payload", self.malformed_payload),
            ("random", self.random),
            ("corpus", self.corpus),
        ]
    }

    fn validate(&self, path: &str) -> Result<(), SpecError> {
        for (key, weight) in self.weights() {
            SpecError::in_range(&format!("{path}.{key}"), weight, 0.0, 1e12)?;
        }
        if self.weights().iter().all(|(_, weight)| *weight <= 0.0) {
            return Err(SpecError::new(path, "gives no kind of packet a weight above 0"));
        }
        Ok(())
    }
}

/// `[tenants.escapes]`: present where each VM of the class sends escapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscapesSpec {
    /// Mean packets a second of each VM, a Poisson process, pauses included. Required.
    pub packets_per_s: f64,
    /// Mean length of a burst in microseconds; needs `off_us`. Left out: no bursts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_us: Option<f64>,
    /// Mean pause between bursts in microseconds; needs `on_us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_us: Option<f64>,
    /// Which packets. Default `{ known = 4, common = 1, conventional = 5 }` (modelled).
    #[serde(default = "EscapeMix::well_formed")]
    pub mix: EscapeMix,
    /// Bytes of the payload of common, conventional and test escapes: at least 8. Default 64 (modelled).
    #[serde(default = "payload")]
    pub sizes: SizeMix,
    /// Packets for `mix.corpus`: their bytes in hexadecimal digits, or the path of a directory of which each file
    /// is one, or of one such file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corpus: Vec<PacketBytes>,
}

fn payload() -> SizeMix {
    SizeMix::Fixed(64)
}

impl EscapesSpec {
    /// Whether any of the packets may ask to touch hardware: those that do, and those whose flags are anything.
    #[must_use]
    pub fn may_touch_hardware(&self) -> bool {
        let EscapeMix { hardware_access, spoofed_flags, random, corpus, .. } = &self.mix;
        let asks = |packet: &PacketBytes| {
            let parsed = parse(&packet.0, packet.0.len());
            parsed.is_ok_and(|packet| packet.header.flags.has(EscapeFlags::HARDWARE_ACCESS))
        };
        [hardware_access, spoofed_flags, random].into_iter().any(|weight| *weight > 0.0)
            || (*corpus > 0.0 && self.corpus.iter().any(asks))
    }

    /// Most bytes of all packets of a corpus together.
    pub const CORPUS_BYTES_MAX: usize = 4 << 20;

    /// One in which every key is present.
    pub(super) fn with_every_key() -> Self {
        Self {
            packets_per_s: 1.0,
            on_us: Some(1.0),
            off_us: Some(1.0),
            mix: EscapeMix::well_formed(),
            sizes: payload(),
            corpus: vec![PacketBytes(Vec::new())],
        }
    }

    /// Checks every value, with keys under `path`.
    pub(super) fn validate(&self, path: &str) -> Result<(), SpecError> {
        SpecError::in_range(&format!("{path}.packets_per_s"), self.packets_per_s, 1.0, 1e9)?;
        self.validate_bursts(path)?;
        self.mix.validate(&format!("{path}.mix"))?;
        let key = format!("{path}.sizes");
        self.sizes.validate(&key)?;
        for (bytes, _) in self.sizes.weighted() {
            SpecError::in_range(&key, bytes, 8, PAYLOAD_BYTES_MAX)?;
        }
        let key = format!("{path}.corpus");
        match (self.mix.corpus > 0.0, self.corpus.is_empty()) {
            (true, true) => {
                return Err(SpecError::new(key, format!("is empty, and `{path}.mix.corpus` takes from it")));
            }
            (false, false) => {
                return Err(SpecError::new(key, format!("is not used: `{path}.mix.corpus` is 0")));
            }
            _ => {}
        }
        let bytes: usize = self.corpus.iter().map(|packet| packet.0.len()).sum();
        SpecError::in_range(&key, bytes, 0, Self::CORPUS_BYTES_MAX)
            .map_err(|_| SpecError::new(key, format!("holds more than {} bytes", Self::CORPUS_BYTES_MAX)))
    }

    fn validate_bursts(&self, path: &str) -> Result<(), SpecError> {
        let (on, off) = (format!("{path}.on_us"), format!("{path}.off_us"));
        match (self.on_us, self.off_us) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(SpecError::new(off, format!("is missing; `{on}` needs it"))),
            (None, Some(_)) => Err(SpecError::new(on, format!("is missing; `{off}` needs it"))),
            (Some(on_us), Some(off_us)) => {
                SpecError::in_range(&on, on_us, 0.001, 1e9)?;
                SpecError::in_range(&off, off_us, 0.0, 1e9)?;
                let per_burst = self.packets_per_s * (on_us + off_us) / 1e6;
                if per_burst < 0.01 {
                    let problem =
                        format!("makes bursts of {per_burst} packets on average; it must be 0.01 or more");
                    return Err(SpecError::new(on, problem));
                }
                Ok(())
            }
        }
    }
}
