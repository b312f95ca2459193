//! From the cells of a trace's row to an event: the part of reading that every format shares.

use super::Event;
use crate::domain::{LeafSize, Permissions};
use crate::ids::{DomainId, Iova, PhysAddr, RequesterId};
use crate::request::Op;

/// Bits of a device number: an 8-bit segment over a 16-bit requester ID.
pub const DEVICE_BITS: u32 = 24;

/// The cells of one row of a trace, `None` where a cell is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// When, in nanoseconds. Carried along, not part of the event: see [`EventClock`].
    pub time_ns: Option<u64>,
    /// The event's name, one of [`Event::NAMES`].
    pub event: &'a str,
    /// `segment << 16 | requester ID`.
    pub device: Option<u64>,
    /// Domain number.
    pub domain: Option<u64>,
    /// First address, in bytes.
    pub iova: Option<u64>,
    /// Where it maps to, in bytes.
    pub pa: Option<u64>,
    /// Leaf size in bytes: 4,096, 2,097,152 or 1,073,741,824.
    pub size: Option<u64>,
    /// `r`, `w`, `rw` or `none`.
    pub perm: Option<&'a str>,
    /// Length of a DMA in bytes.
    pub length: Option<u64>,
    /// `r` or `w`.
    pub op: Option<&'a str>,
}

impl RawEvent<'_> {
    /// The columns of a trace, by name.
    pub const COLUMNS: [&'static str; 10] =
        ["time_ns", "event", "device", "domain", "iova", "pa", "size", "perm", "length", "op"];

    /// The event these cells describe.
    ///
    /// A cell that the event does not use must be empty: a value there is most often a value in
    /// the wrong column.
    ///
    /// # Errors
    /// Says which cell is missing, out of range, unknown or not used by the event.
    pub fn parse(&self) -> Result<Event, String> {
        match self.event {
            "dma" => {
                self.only(&["device", "iova", "length", "op"])?;
                Ok(Event::Dma {
                    device: self.device()?,
                    iova: self.iova()?,
                    length_bytes: self.needed("length", self.length)?,
                    op: self.op()?,
                })
            }
            "map" => {
                self.only(&["domain", "iova", "pa", "size", "perm"])?;
                Ok(Event::Map {
                    domain: self.domain()?,
                    iova: self.iova()?,
                    pa: PhysAddr(self.needed("pa", self.pa)?),
                    size: self.size()?,
                    permissions: self.permissions()?,
                })
            }
            "unmap" | "unmap_deferred" | "invalidate_page" => self.parse_range(),
            "invalidate_domain" => {
                self.only(&["domain"])?;
                Ok(Event::InvalidateDomain { domain: self.domain()? })
            }
            "invalidate_all" => {
                self.only(&[])?;
                Ok(Event::InvalidateAll)
            }
            "attach" => {
                self.only(&["device", "domain"])?;
                Ok(Event::Attach { device: self.device()?, domain: self.domain()? })
            }
            "detach" => {
                self.only(&["device"])?;
                Ok(Event::Detach { device: self.device()? })
            }
            "" => Err(String::from("the column `event` is empty")),
            other => Err(format!("`event` is {other:?}; it must be one of {}", Event::NAMES.join(", "))),
        }
    }

    /// The three events that name a leaf of a domain.
    fn parse_range(&self) -> Result<Event, String> {
        self.only(&["domain", "iova", "size"])?;
        let (domain, iova, size) = (self.domain()?, self.iova()?, self.size()?);
        Ok(match self.event {
            "unmap" => Event::Unmap { domain, iova, size },
            "unmap_deferred" => Event::UnmapDeferred { domain, iova, size },
            _ => Event::InvalidatePage { domain, iova, size },
        })
    }

    /// Checks that no cell but `used` holds a value; `time_ns` and `event` always may.
    fn only(&self, used: &[&str]) -> Result<(), String> {
        let filled = [
            ("device", self.device.is_some()),
            ("domain", self.domain.is_some()),
            ("iova", self.iova.is_some()),
            ("pa", self.pa.is_some()),
            ("size", self.size.is_some()),
            ("perm", self.perm.is_some()),
            ("length", self.length.is_some()),
            ("op", self.op.is_some()),
        ];
        match filled.iter().find(|(column, filled)| *filled && !used.contains(column)) {
            Some((column, _)) => {
                Err(format!("`{}` does not use the column `{column}`; leave it empty", self.event))
            }
            None => Ok(()),
        }
    }

    fn needed<T>(&self, column: &str, cell: Option<T>) -> Result<T, String> {
        cell.ok_or_else(|| format!("`{}` needs a value in the column `{column}`", self.event))
    }

    fn device(&self) -> Result<RequesterId, String> {
        let device = self.needed("device", self.device)?;
        if device >> DEVICE_BITS != 0 {
            return Err(format!(
                "`device` is {device}; a segment and a requester ID have {DEVICE_BITS} bits"
            ));
        }
        Ok(RequesterId(device as u32))
    }

    fn domain(&self) -> Result<DomainId, String> {
        let domain = self.needed("domain", self.domain)?;
        u32::try_from(domain)
            .map(DomainId)
            .map_err(|_| format!("`domain` is {domain}; a domain number has 32 bits"))
    }

    fn iova(&self) -> Result<Iova, String> {
        self.needed("iova", self.iova).map(Iova)
    }

    fn size(&self) -> Result<LeafSize, String> {
        let size = self.needed("size", self.size)?;
        LeafSize::from_bytes(size)
            .ok_or_else(|| format!("`size` is {size}; it must be 4096, 2097152 or 1073741824"))
    }

    fn permissions(&self) -> Result<Permissions, String> {
        match self.needed("perm", self.perm)? {
            "r" => Ok(Permissions::Read),
            "w" => Ok(Permissions::Write),
            "rw" => Ok(Permissions::ReadWrite),
            "none" => Ok(Permissions::None),
            other => Err(format!("`perm` is {other:?}; it must be r, w, rw or none")),
        }
    }

    fn op(&self) -> Result<Op, String> {
        match self.needed("op", self.op)? {
            "r" => Ok(Op::Read),
            "w" => Ok(Op::Write),
            other => Err(format!("`op` is {other:?}; it must be r or w")),
        }
    }
}

/// Checks that the times of a trace do not decrease.
///
/// Rows without a time are passed over: the next time is held against the last one seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventClock {
    last_ns: Option<u64>,
}

impl EventClock {
    /// Takes the time of the next row, in nanoseconds.
    ///
    /// # Errors
    /// If it is earlier than one before it.
    pub fn check(&mut self, time_ns: Option<u64>) -> Result<(), String> {
        let Some(now) = time_ns else { return Ok(()) };
        if let Some(last) = self.last_ns
            && now < last
        {
            return Err(format!("`time_ns` goes back from {last} to {now}; it must not decrease"));
        }
        self.last_ns = Some(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dma() -> RawEvent<'static> {
        RawEvent {
            event: "dma",
            device: Some(8),
            iova: Some(0x1000),
            length: Some(64),
            op: Some("r"),
            ..RawEvent::default()
        }
    }

    fn map() -> RawEvent<'static> {
        RawEvent {
            event: "map",
            domain: Some(3),
            iova: Some(0x1000),
            pa: Some(0x2000),
            size: Some(4096),
            perm: Some("rw"),
            ..RawEvent::default()
        }
    }

    /// A row of the event `name` with every cell it needs.
    fn complete(name: &str) -> RawEvent<'_> {
        let (d, m) = (dma(), map());
        match name {
            "dma" => d,
            "map" => m,
            "unmap" | "unmap_deferred" | "invalidate_page" => {
                RawEvent { event: name, pa: None, perm: None, ..m }
            }
            "invalidate_domain" => RawEvent { event: name, domain: Some(3), ..RawEvent::default() },
            "attach" => RawEvent { event: name, device: Some(8), domain: Some(3), ..RawEvent::default() },
            "detach" => RawEvent { event: name, device: Some(8), ..RawEvent::default() },
            _ => RawEvent { event: name, ..RawEvent::default() },
        }
    }

    #[test]
    fn every_event_parses_and_keeps_its_name() {
        for name in Event::NAMES {
            assert_eq!(complete(name).parse().expect(name).name(), name);
        }
        assert_eq!(
            map().parse(),
            Ok(Event::Map {
                domain: DomainId(3),
                iova: Iova(0x1000),
                pa: PhysAddr(0x2000),
                size: LeafSize::Size4K,
                permissions: Permissions::ReadWrite,
            })
        );
        assert_eq!(
            dma().parse(),
            Ok(Event::Dma { device: RequesterId(8), iova: Iova(0x1000), length_bytes: 64, op: Op::Read })
        );
    }

    /// Empties one cell or fills it with something that fits, by column name.
    fn toggle(row: &mut RawEvent<'_>, column: &str) {
        fn flip<T>(cell: &mut Option<T>, value: T) {
            *cell = if cell.is_some() { None } else { Some(value) };
        }
        match column {
            "device" => flip(&mut row.device, 1),
            "domain" => flip(&mut row.domain, 1),
            "iova" => flip(&mut row.iova, 0),
            "pa" => flip(&mut row.pa, 0),
            "size" => flip(&mut row.size, 4096),
            "perm" => flip(&mut row.perm, "r"),
            "length" => flip(&mut row.length, 1),
            "op" => flip(&mut row.op, "r"),
            other => unreachable!("{other}"),
        }
    }

    #[test]
    fn a_missing_or_surplus_cell_is_named() {
        for name in Event::NAMES {
            for column in &RawEvent::COLUMNS[2..] {
                let mut row = complete(name);
                toggle(&mut row, column);
                let error = row.parse().expect_err(column);
                assert!(error.contains(&format!("`{column}`")), "{name}, {column}: {error}");
                assert!(error.contains(&format!("`{name}`")), "{name}, {column}: {error}");
            }
        }
    }

    #[test]
    fn values_are_checked_at_their_bounds() {
        let device = |device| RawEvent { device: Some(device), ..dma() }.parse();
        assert!(device((1 << DEVICE_BITS) - 1).is_ok());
        assert!(device(1 << DEVICE_BITS).expect_err("too wide").contains("`device`"));
        let domain = |domain| RawEvent { domain: Some(domain), ..map() }.parse();
        assert!(domain(u64::from(u32::MAX)).is_ok());
        assert!(domain(1 << 32).expect_err("too wide").contains("`domain`"));
        for size in LeafSize::ALL {
            assert!(RawEvent { size: Some(size.bytes()), ..map() }.parse().is_ok());
        }
        for size in [0, 1, 4095, 8192, u64::MAX] {
            let error = RawEvent { size: Some(size), ..map() }.parse().expect_err("size");
            assert!(error.contains("`size`"), "{error}");
        }
        assert!(RawEvent { perm: Some("x"), ..map() }.parse().expect_err("perm").contains("`perm`"));
        assert!(RawEvent { op: Some("R"), ..dma() }.parse().expect_err("op").contains("`op`"));
        let unknown = RawEvent { event: "Map", ..map() }.parse().expect_err("event");
        assert!(unknown.contains("\"Map\"") && unknown.contains("unmap_deferred"), "{unknown}");
        assert!(RawEvent::default().parse().expect_err("no event").contains("empty"));
        assert!(RawEvent { length: Some(0), ..dma() }.parse().is_ok(), "for the replay to block");
    }

    #[test]
    fn time_may_stand_still_or_be_left_out_but_not_go_back() {
        let mut clock = EventClock::default();
        for time in [None, Some(5), Some(5), None, Some(6)] {
            assert_eq!(clock.check(time), Ok(()));
        }
        let error = clock.check(Some(5)).expect_err("earlier");
        assert!(error.contains("from 6 to 5"), "{error}");
    }
}
