//! Decimal numbers, exact: ranges are counted in them, so that 0.1 + 0.2 is 0.3.

use std::cmp::Ordering;
use std::fmt;

/// Decimal digits that a product keeps: as many as leave room in 128 bits.
const DIGITS_KEPT: u32 = 36;

/// Most digits after the point that a number may be written with.
const SCALE_MAX: u32 = 30;

/// `units` x 10^-`scale`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    units: i128,
    scale: u32,
}

impl Decimal {
    /// Reads a TOML number: whole ones also in 0x, 0o and 0b, others with a point or an exponent.
    /// `None` if it is none, or has more digits than are kept exactly.
    pub fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let negative = text.starts_with('-');
        let number = Self::parse_unsigned(unsigned)?;
        Some(if negative { Self { units: -number.units, ..number } } else { number })
    }

    fn parse_unsigned(text: &str) -> Option<Self> {
        let well_formed = text.starts_with(|c: char| c.is_ascii_digit())
            && text.ends_with(|c: char| c.is_ascii_hexdigit())
            && !text.contains("__");
        if !well_formed {
            return None;
        }
        let text = text.replace('_', "");
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
            if let Some(digits) = text.strip_prefix(prefix) {
                let digits_only = digits.chars().all(|c| c.is_digit(radix));
                let units = i128::from_str_radix(digits, radix).ok().filter(|_| digits_only)?;
                return Some(Self { units, scale: 0 });
            }
        }
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        if mantissa.contains('.') && (whole.is_empty() || fraction.is_empty()) {
            return None;
        }
        let exponent: i32 = exponent.parse().ok()?;
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let units: i128 = digits.parse().ok()?;
        if let Ok(scale) = u32::try_from(scale) {
            return (scale <= SCALE_MAX).then_some(Self { units, scale }.trimmed());
        }
        let factor = 10_i128.checked_pow(scale.unsigned_abs())?;
        Some(Self { units: units.checked_mul(factor)?, scale: 0 })
    }

    /// A whole number.
    pub const fn whole(units: i128) -> Self {
        Self { units, scale: 0 }
    }

    /// The number, if it has no fraction.
    pub const fn to_whole(self) -> Option<i128> {
        let number = self.trimmed();
        if number.scale == 0 { Some(number.units) } else { None }
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        self.to_string().parse().expect("digits are a number")
    }

    /// Its sign: -1, 0 or 1.
    pub const fn signum(self) -> i128 {
        self.units.signum()
    }

    /// The sum; `None` where the digits run out.
    pub fn plus(self, other: Self) -> Option<Self> {
        let (one, two, scale) = aligned(self, other)?;
        Some(Self { units: one.checked_add(two)?, scale }.trimmed())
    }

    /// The product, rounded to the digits that are kept; `None` where they run out before the point.
    pub fn times(self, other: Self) -> Option<Self> {
        let mut one = self.trimmed();
        let two = other.trimmed();
        while digits(one.units) + digits(two.units) > DIGITS_KEPT {
            one = one.rounded_by_one()?;
        }
        Some(Self { units: one.units.checked_mul(two.units)?, scale: one.scale + two.scale }.trimmed())
    }

    /// The number with one digit less after the point; `None` without one.
    fn rounded_by_one(self) -> Option<Self> {
        let scale = self.scale.checked_sub(1)?;
        let (units, rest) = (self.units / 10, self.units % 10);
        let away = if rest.abs() >= 5 { self.units.signum() } else { 0 };
        Some(Self { units: units + away, scale })
    }

    /// Without zeros at the end of the fraction.
    const fn trimmed(self) -> Self {
        let Self { mut units, mut scale } = self;
        while scale > 0 && units % 10 == 0 {
            units /= 10;
            scale -= 1;
        }
        Self { units, scale }
    }
}

/// Decimal digits of a number.
fn digits(number: i128) -> u32 {
    number.unsigned_abs().checked_ilog10().map_or(1, |digits| digits + 1)
}

/// Both in units of the finer one.
fn aligned(one: Decimal, two: Decimal) -> Option<(i128, i128, u32)> {
    let scale = one.scale.max(two.scale);
    let units = |number: Decimal| number.units.checked_mul(10_i128.checked_pow(scale - number.scale)?);
    Some((units(one)?, units(two)?, scale))
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match aligned(*self, *other) {
            Some((one, two, _)) => one.cmp(&two),
            // Too far apart for one scale: whichever is greater by far.
            None => self.to_f64().total_cmp(&other.to_f64()),
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let scale = self.scale as usize;
        let digits = format!("{:0>width$}", self.units.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}
