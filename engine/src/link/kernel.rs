//! How long a DMA occupies the link, and what the device's rate limit makes of it.

use super::spec::{DeviceSpec, LinkSpec};
use crate::ids::Iova;
use crate::request::{Op, Transfer};
use crate::units::Picoseconds;

/// Times on the wire, from the bytes of TLPs.
///
/// A write of s bytes puts s + h x ceil(s / MPS) bytes upstream; a read puts h x ceil(s / MRRS)
/// upstream and s + c x ceil(s / P) downstream, with h the header of a request, c that of a completion and P the most
/// data of one, MPS if nothing else is said (the PCIe model of pcie-bench, Neugebauer et al., SIGCOMM 2018).
///
/// With a read completion boundary, completions end at its multiples: a request of n bytes from address a has
/// ceil((a mod RCB + n) / P) of them (PCI Express Base Specification, 2.3.1.1).
#[derive(Clone, Copy, Debug)]
pub struct WireTimes {
    /// Picoseconds a byte, as a 32.32 fixed-point number.
    ps_per_byte: u64,
    mps_shift: u32,
    mrrs_shift: u32,
    /// Of the most data of a completion.
    completion_shift: u32,
    /// The same, but no more than a request asks for.
    payload_shift: u32,
    /// The part of an address below the read completion boundary; 0 where there is none.
    below_rcb: u64,
    request_header: u64,
    completion_header: u64,
    /// One way.
    pub propagation: Picoseconds,
}

impl WireTimes {
    /// From a valid specification.
    #[must_use]
    pub fn new(spec: &LinkSpec) -> Self {
        let ps_per_byte = 8e3 / spec.tlp_gbps();
        Self {
            ps_per_byte: (ps_per_byte * (1_u64 << 32) as f64) as u64,
            mps_shift: spec.mps.trailing_zeros(),
            mrrs_shift: spec.mrrs.trailing_zeros(),
            completion_shift: spec.completion_bytes.unwrap_or(spec.mps).trailing_zeros(),
            payload_shift: spec.completion_payload().trailing_zeros(),
            below_rcb: u64::from(spec.rcb.map_or(0, |rcb| rcb - 1)),
            request_header: u64::from(spec.tlp_header_bytes),
            completion_header: u64::from(spec.completion_header_bytes),
            propagation: Picoseconds::from_ns_f64(spec.propagation_ns),
        }
    }

    #[inline]
    fn wire(&self, bytes: u64) -> Picoseconds {
        Picoseconds(((u128::from(bytes) * u128::from(self.ps_per_byte) + (1 << 31)) >> 32) as u64)
    }

    /// How long the request occupies the upstream direction.
    #[inline]
    #[must_use]
    pub fn upstream(&self, transfer: Transfer) -> Picoseconds {
        let bytes = u64::from(transfer.length_bytes);
        match transfer.op {
            Op::Write => self.wire(bytes + self.request_header * tlps(bytes, self.mps_shift)),
            Op::Read => self.wire(self.request_header * tlps(bytes, self.mrrs_shift)),
        }
    }

    /// How long a read's data occupies the downstream direction, whatever its address; one without data where it faulted.
    #[inline]
    #[must_use]
    pub fn downstream(&self, length_bytes: u32, with_data: bool) -> Picoseconds {
        let bytes = if with_data { u64::from(length_bytes) } else { 0 };
        self.wire(bytes + self.completion_header * tlps(bytes, self.payload_shift))
    }

    /// Whether the address of a read matters: completions end at the read completion boundary.
    #[inline]
    #[must_use]
    pub fn knows_addresses(&self) -> bool {
        self.below_rcb > 0
    }

    /// The same as [`Self::downstream`] for a read from `iova`, with completions that end at the read completion boundary.
    #[must_use]
    pub fn downstream_from(&self, iova: Iova, length_bytes: u32, with_data: bool) -> Picoseconds {
        let bytes = u64::from(length_bytes);
        if !with_data || bytes == 0 {
            return self.wire(self.completion_header);
        }
        // Requests but the last are of MRRS bytes, a multiple of the boundary: they all start as far behind one.
        let behind = iova.0 & self.below_rcb;
        let of_request = |bytes: u64| tlps(behind + bytes, self.completion_shift);
        let mrrs = 1 << self.mrrs_shift;
        let requests = tlps(bytes, self.mrrs_shift);
        let last = bytes - (requests - 1) * mrrs;
        let completions = (requests - 1) * of_request(mrrs) + of_request(last);
        self.wire(bytes + self.completion_header * completions)
    }

    /// The least time from a request's start on the link to its arrival.
    #[must_use]
    pub fn least_upstream(&self) -> Picoseconds {
        self.wire(self.request_header) + self.propagation
    }

    /// The least time a write occupies the upstream direction.
    #[must_use]
    pub fn least_write(&self) -> Picoseconds {
        self.wire(self.request_header + 1)
    }

    /// The least time from a completion's start on the link to its arrival.
    #[must_use]
    pub fn least_downstream(&self) -> Picoseconds {
        self.wire(self.completion_header) + self.propagation
    }
}

/// TLPs that carry `bytes` bytes; one where there are none.
#[inline]
fn tlps(bytes: u64, payload_shift: u32) -> u64 {
    ((bytes.max(1) - 1) >> payload_shift) + 1
}

/// Least time between two starts of a kind: the device's own rate limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateLimits {
    interval: [Picoseconds; 2],
    next: [Picoseconds; 2],
}

impl RateLimits {
    /// From a valid specification; 0 is no limit.
    #[must_use]
    pub fn new(spec: &DeviceSpec) -> Self {
        let interval =
            |mops: f64| if mops == 0.0 { Picoseconds::ZERO } else { Picoseconds::from_ns_f64(1e3 / mops) };
        Self {
            interval: [interval(spec.max_read_mops), interval(spec.max_write_mops)],
            next: [Picoseconds::ZERO; 2],
        }
    }

    /// When the next request of this kind may start.
    #[inline]
    #[must_use]
    pub fn earliest(&self, op: Op) -> Picoseconds {
        self.next[op as usize]
    }

    /// A request of this kind starts at `start`.
    #[inline]
    pub fn start(&mut self, op: Op, start: Picoseconds) {
        self.next[op as usize] = start + self.interval[op as usize];
    }
}

/// Link: when the request's first byte left the device.
#[derive(bevy_ecs::component::Component, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Issued(pub Picoseconds);

/// The part of the time from `start` to `end` that lies before `until`, in picoseconds.
#[inline]
#[must_use]
pub fn time_before(until: Picoseconds, start: Picoseconds, end: Picoseconds) -> u64 {
    (end.min(until) - start.min(until)).0
}
