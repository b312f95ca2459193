//! The host's clock as text, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// A second of the calendar.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    /// Proleptic Gregorian date of a time in UTC; times before 1970 become 1970.
    ///
    /// Years are counted from March, in eras of 400 years, so that leap days come last.
    fn new(time: SystemTime) -> Self {
        const SECONDS_A_DAY: i64 = 86_400;
        const DAYS_AN_ERA: i64 = 146_097;
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |span| span.as_secs() as i64);
        let days = seconds / SECONDS_A_DAY + 719_468; // since 0000-03-01
        let (era, day_of_era) = (days / DAYS_AN_ERA, days % DAYS_AN_ERA);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let second = seconds % SECONDS_A_DAY;
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }
}

/// `2026-01-31T23:59:59Z`: RFC 3339, to the second.
#[must_use]
pub fn utc_rfc3339(time: SystemTime) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::new(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `20260131T235959Z`: the same without punctuation, for names of files.
#[must_use]
pub fn utc_compact(time: SystemTime) -> String {
    utc_rfc3339(time).replace(['-', ':'], "")
}
