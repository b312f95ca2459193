//! Events for a replay, made up from a seed.
//!
//! A trace is of as many devices as domains, each attached to its own, and of one buffer of 4 KiB pages
//! a domain. No event of it is refused and no DMA faults, so that a replay of it is of the common path.
//! But for the maps at the start, a trace can be replayed again and again: it leaves the pages mapped.

use std::fmt::Write as _;

use portcullis_engine::domain::{LeafSize, Permissions};
use portcullis_engine::hash::{mix64, reduce};
use portcullis_engine::ids::{DomainId, Iova, PhysAddr, RequesterId};
use portcullis_engine::replay::{Event, RawEvent};
use portcullis_engine::request::Op;

/// First address of every buffer.
const FIRST: u64 = 1 << 30;
/// Bytes of a DMA, which stays in its page.
const DMA_BYTES: u32 = 256;

/// Who is in a trace, and how much they map.
#[derive(Clone, Copy, Debug)]
pub struct Parties {
    /// Domains, and as many devices.
    pub domains: u32,
    /// Pages each maps.
    pub pages: u32,
}

impl Parties {
    /// The start of every trace: each device is attached, each page is mapped.
    #[must_use]
    pub fn maps(&self) -> Vec<Event> {
        let attach = |id| Event::Attach { device: RequesterId(id), domain: DomainId(id) };
        let pages = |id| (0..self.pages).map(move |page| self.map(id, page, 0));
        (0..self.domains).flat_map(|id| std::iter::once(attach(id)).chain(pages(id))).collect()
    }

    /// DMAs to pages drawn alike among all.
    #[must_use]
    pub fn dmas(&self, count: u32) -> Vec<Event> {
        (0..count).map(|number| self.dma(number)).collect()
    }

    /// Of ten events eight DMAs, an unmap and the map of the same page to another frame.
    #[must_use]
    pub fn churn(&self, count: u32) -> Vec<Event> {
        let event = |number: u32| match number % 10 {
            0 => {
                let (domain, iova) = self.place(number);
                Event::Unmap { domain: DomainId(domain), iova, size: LeafSize::Size4K }
            }
            1 => {
                let (domain, iova) = self.place(number - 1);
                self.map(domain, ((iova.0 - FIRST) >> 12) as u32, number)
            }
            _ => self.dma(number),
        };
        (0..count / 10 * 10).map(event).collect()
    }

    /// A map of one page; `frames` tells apart the frames it is mapped to.
    fn map(&self, domain: u32, page: u32, frames: u32) -> Event {
        let number = u64::from(domain) * u64::from(self.pages) + u64::from(page);
        Event::Map {
            domain: DomainId(domain),
            iova: Iova(FIRST + (u64::from(page) << 12)),
            pa: PhysAddr((u64::from(frames) << 32 | number) << 12 & ((1 << 52) - 1)),
            size: LeafSize::Size4K,
            permissions: Permissions::ReadWrite,
        }
    }

    fn dma(&self, number: u32) -> Event {
        let (domain, page) = self.place(number);
        let bits = mix64(!u64::from(number));
        let offset = u64::from(reduce(bits, 4_096 / DMA_BYTES) * DMA_BYTES);
        Event::Dma {
            device: RequesterId(domain),
            iova: Iova(page.0 + offset),
            length_bytes: u64::from(DMA_BYTES),
            op: if bits & 3 == 0 { Op::Write } else { Op::Read },
        }
    }

    /// A page drawn by a number.
    fn place(&self, number: u32) -> (u32, Iova) {
        let bits = mix64(u64::from(number) + 1);
        let page = reduce(bits << 32, self.pages);
        (reduce(bits, self.domains), Iova(FIRST + (u64::from(page) << 12)))
    }
}

/// The events as CSV, with every column.
///
/// # Panics
/// Never: a string takes any text.
#[must_use]
pub fn csv(events: &[Event]) -> String {
    let mut text = RawEvent::COLUMNS.join(",");
    text.push('\n');
    for (event, time_ns) in events.iter().zip((0_u64..).step_by(50)) {
        let name = event.name();
        let written = match *event {
            Event::Map { domain, iova, pa, size, .. } => writeln!(
                text,
                "{time_ns},{name},,{},{:#x},{:#x},{},rw,,",
                domain.0,
                iova.0,
                pa.0,
                size.bytes()
            ),
            Event::Unmap { domain, iova, size }
            | Event::UnmapDeferred { domain, iova, size }
            | Event::InvalidatePage { domain, iova, size } => {
                writeln!(text, "{time_ns},{name},,{},{:#x},,{},,,", domain.0, iova.0, size.bytes())
            }
            Event::InvalidateDomain { domain } => writeln!(text, "{time_ns},{name},,{},,,,,,", domain.0),
            Event::InvalidateAll => writeln!(text, "{time_ns},{name},,,,,,,,"),
            Event::Attach { device, domain } => {
                writeln!(text, "{time_ns},{name},{},{},,,,,,", device.0, domain.0)
            }
            Event::Detach { device } => writeln!(text, "{time_ns},{name},{},,,,,,,", device.0),
            Event::Dma { device, iova, length_bytes, op } => {
                writeln!(
                    text,
                    "{time_ns},{name},{},,{:#x},,,,{length_bytes},{}",
                    device.0,
                    iova.0,
                    op.letter()
                )
            }
        };
        written.expect("a string takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use portcullis_engine::plan::Audit;
    use portcullis_engine::replay::{Replay, ReplayPlan};
    use portcullis_engine::translation::IotlbSpec;
    use portcullis_workloads::CsvEvents;

    use super::*;

    const PARTIES: Parties = Parties { domains: 5, pages: 40 };

    #[test]
    fn a_trace_is_never_refused_and_can_be_replayed_again() {
        let iotlb = IotlbSpec::default();
        let plan = ReplayPlan { trace: String::from("made up"), seed: 1, iotlb, audit: Audit::Full };
        let mut replay = Replay::new(plan).expect("a valid IOTLB");
        replay.apply(&PARTIES.maps());
        for _ in 0..3 {
            replay.apply(&PARTIES.churn(1_009));
            replay.apply(&PARTIES.dmas(500));
        }
        let result = replay.finish();
        let summary = result.summary;
        assert_eq!((summary.refused_total, summary.dma_blocked, result.breach), (0, 0, None));
        assert_eq!((summary.events_total, summary.dma_total), (205 + 3 * 1_500, 3 * 1_300));
        assert_eq!((summary.leaves_mapped, summary.devices), (200, 5));
        assert!(summary.iotlb_hits > 0 && summary.iotlb_invalidated > 0);
    }

    #[test]
    fn the_csv_of_a_trace_reads_back_as_the_same_events() {
        let domain = DomainId(3);
        let size = LeafSize::Size2M;
        let rare = [
            Event::UnmapDeferred { domain, iova: Iova(0), size },
            Event::InvalidatePage { domain, iova: Iova(0), size },
            Event::InvalidateDomain { domain },
            Event::InvalidateAll,
            Event::Detach { device: RequesterId(3) },
        ];
        let events = [PARTIES.maps(), PARTIES.churn(100), rare.to_vec()].concat();
        let read: Result<Vec<Event>, _> =
            CsvEvents::new("made up", csv(&events).as_bytes()).expect("a header").collect();
        assert_eq!(read.expect("no malformed row"), events);
    }
}
