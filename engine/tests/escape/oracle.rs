//! The decision table of `docs/model.md` as data: rows of a condition and of what three kinds of senders get,
//! read from the raw bytes. It shares nothing with the engine but the names of results.

use portcullis_engine::topology::VmKind;

/// Who sends what, as bytes.
pub struct Case<'a> {
    pub bytes: &'a [u8],
    pub kind: VmKind,
    pub escapes_enabled: bool,
    /// The VM, its adapter, and its first handle of 1,024.
    pub vm: u32,
    pub adapter: u32,
    pub first_handle: u32,
    pub limit: u64,
    pub test_types: bool,
    /// Minor version behind 2.0 in tenths: 25 for WDDM 2.5, 32 for 3.2.
    pub wddm: u32,
    /// Size of the one known escape whose size is not documented.
    pub undocumented: Option<u64>,
}

impl Case<'_> {
    /// A field of the header: where it begins, and its bytes.
    fn field(&self, at: usize, bytes: usize) -> u64 {
        let mut value = 0;
        for (number, byte) in self.bytes[at..at + bytes].iter().enumerate() {
            value += u64::from(*byte) * 256_u64.pow(number as u32);
        }
        value
    }
    fn size(&self) -> u64 {
        self.field(28, 4)
    }
    fn typ(&self) -> u64 {
        self.field(20, 4)
    }
    fn flag(&self, mask: u64) -> bool {
        self.field(24, 4) & mask != 0
    }
    fn mine(&self, handle: u64) -> bool {
        let first = u64::from(self.first_handle);
        (first..first + 1024).contains(&handle)
    }

    fn class(&self) -> &'static str {
        if self.malformed() {
            return "malformed";
        }
        let by_flags = ["", "known", "common", "ambiguous"][self.field(24, 1) as usize / 64];
        match (by_flags, self.typ()) {
            ("", 0) => "conventional",
            ("", _) => "test",
            _ => by_flags,
        }
    }

    fn malformed(&self) -> bool {
        self.bytes.len() < 48
            || &self.bytes[..8] != b"ESC1\x01\x00\x30\x00"
            || self.bytes[36..40] != [0; 4]
            || self.size() != (self.bytes.len() - 48) as u64
    }
    fn foreign(&self) -> bool {
        let (device, context) = (self.field(12, 4), self.field(16, 4));
        self.field(32, 4) != u64::from(self.vm)
            || self.field(8, 4) != u64::from(self.adapter)
            || context != 0 && device == 0
            || [device, context].iter().any(|handle| *handle != 0 && !self.mine(*handle))
    }
    fn known_size(&self, number: u64) -> Option<u64> {
        let (since, size) = match number {
            0 | 1 => (25, Some(8)),
            2 => (30, Some(48)),
            3 => (32, self.undocumented),
            _ => return None,
        };
        if self.wddm < since { None } else { size }
    }
    fn bad_known(&self) -> bool {
        self.typ() != 0
            || self.flag(1)
            || self.size() < 8
            || self.known_size(self.field(48, 4)) != Some(self.size())
            || !self.mine(self.field(52, 4))
    }
}

/// What a kind of sender gets: `None` where the row is not for it.
type Outcome = Option<bool>;
const ALLOW: Outcome = Some(true);
const DENY: Outcome = Some(false);

/// A row: number, condition, and what a host process, a VM and a secure VM get, with the reason of each.
struct Row {
    number: u32,
    condition: fn(&Case<'_>) -> bool,
    outcomes: [(Outcome, &'static str); 3],
}

const fn same(outcome: Outcome, reason: &'static str) -> [(Outcome, &'static str); 3] {
    [(outcome, reason), (outcome, reason), (outcome, reason)]
}

const TABLE: &[Row] = &[
    Row { number: 1, condition: |case| case.malformed(), outcomes: same(DENY, "malformed") },
    Row {
        number: 2,
        condition: |case| case.size() > case.limit,
        outcomes: [(None, ""), (DENY, "too_large"), (DENY, "too_large")],
    },
    Row { number: 3, condition: |case| case.foreign(), outcomes: same(DENY, "invalid_handle") },
    Row { number: 4, condition: |case| case.flag(0xFFFF_FF30), outcomes: same(DENY, "reserved_flag") },
    Row {
        number: 5,
        condition: |case| [1, 2, 4].iter().filter(|mask| case.flag(**mask)).count() > 1,
        outcomes: same(DENY, "flag_conflict"),
    },
    Row { number: 6, condition: |case| case.flag(2) || case.flag(4), outcomes: same(DENY, "runtime_only") },
    Row {
        number: 7,
        condition: |case| case.flag(0x40) && case.flag(0x80),
        outcomes: same(DENY, "ambiguous_class"),
    },
    Row {
        number: 8,
        condition: |case| case.flag(0x40) && case.bad_known(),
        outcomes: same(DENY, "bad_known_escape"),
    },
    Row { number: 9, condition: |case| case.flag(0x40), outcomes: same(ALLOW, "known") },
    Row {
        number: 10,
        condition: |case| case.flag(0x80),
        outcomes: [(ALLOW, "common"), (ALLOW, "common"), (DENY, "common_in_secure")],
    },
    Row {
        number: 11,
        condition: |case| case.typ() == 0 && case.kind == VmKind::Normal && !case.escapes_enabled,
        outcomes: [(None, ""), (DENY, "escapes_disabled"), (None, "")],
    },
    Row {
        number: 11,
        condition: |case| case.typ() == 0,
        outcomes: [(ALLOW, "conventional"), (ALLOW, "conventional"), (DENY, "conventional_in_secure")],
    },
    Row {
        number: 12,
        condition: |case| case.test_types,
        outcomes: [(ALLOW, "test_escape"), (DENY, "test_escape"), (DENY, "test_escape")],
    },
    Row { number: 12, condition: |_| true, outcomes: same(DENY, "test_escape") },
];

/// What the oracle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    pub row: u32,
    pub allowed: bool,
    pub reason: &'static str,
    /// Whether the driver gets the flag that says it came from a VM.
    pub stamped: bool,
    /// Which kind of escape it is.
    pub class: &'static str,
}

impl Answer {
    /// All but the row, as the engine says it.
    pub fn without_row(&self) -> (bool, &'static str, bool, &'static str) {
        (self.allowed, self.reason, self.stamped, self.class)
    }
}

/// The first row that holds decides.
pub fn answer(case: &Case<'_>) -> Answer {
    let column = match case.kind {
        VmKind::HostProcess => 0,
        VmKind::Normal => 1,
        VmKind::Secure => 2,
    };
    for Row { number, condition, outcomes } in TABLE {
        let (outcome, reason) = outcomes[column];
        if let (Some(allowed), true) = (outcome, condition(case)) {
            let stamped = *number == 11 && column == 1 && allowed;
            return Answer { row: *number, allowed, reason, stamped, class: case.class() };
        }
    }
    unreachable!("the last row holds for all")
}
