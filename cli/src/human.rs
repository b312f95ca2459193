//! Quantities as a person reads them: three or four digits and a unit.

/// A span of simulated time given in nanoseconds.
pub fn nanoseconds(ns: f64) -> String {
    scaled(ns, 1e3, &["ns", "us", "ms", "s"])
}

/// A span of the host's time given in seconds.
pub fn seconds(s: f64) -> String {
    if s >= 60.0 {
        return format!("{} min {:.0} s", (s / 60.0).floor(), (s % 60.0).floor());
    }
    scaled(s * 1e6, 1e3, &["us", "ms", "s"])
}

/// A data rate given in gigabits a second.
pub fn gigabits(gbps: f64) -> String {
    scaled(gbps * 1e3, 1e3, &["Mb/s", "Gb/s", "Tb/s"])
}

/// A plain number in thousands, millions or milliards.
pub fn number(number: f64) -> String {
    scaled(number, 1e3, &["", "k", "M", "G"]).trim_end().to_owned()
}

/// A size in bytes, in binary units.
pub fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// A share of one, in per cent.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A count with its thousands set apart.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of a thing whose plural ends in s: `1 host`, `4,096 VFs`.
pub fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `value` in the first unit in which it is below `step` as printed, or in the last.
fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let (last, smaller) = units.split_last().expect("a unit at least");
    for unit in smaller {
        let text = digits(value);
        if text.parse::<f64>().is_ok_and(|printed| printed.abs() < step) {
            return format!("{text} {unit}");
        }
        value /= step;
    }
    format!("{} {last}", digits(value))
}

/// `value` with three significant digits, or as a whole number above 100.
fn digits(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || size >= 99.95 {
        format!("{value:.0}")
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_takes_the_unit_that_keeps_it_below_a_thousand() {
        let spans = [0.0, 2.0, 12.345, 999.4, 999.6, 1_000.0, 1_234_567.0, 5e9, 7.2e12];
        let read =
            ["0 ns", "2.00 ns", "12.3 ns", "999 ns", "1.00 us", "1.00 us", "1.23 ms", "5.00 s", "7200 s"];
        assert_eq!(spans.map(nanoseconds), read);
    }

    #[test]
    fn sizes_are_binary_and_rates_decimal() {
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(1_024), "1.00 KiB");
        assert_eq!(bytes(3 << 30), "3.00 GiB");
        assert_eq!(gigabits(0.5), "500 Mb/s");
        assert_eq!(gigabits(231.4), "231 Gb/s");
        assert_eq!(number(26_500_000.0), "26.5 M");
        assert_eq!(number(12.0), "12.0");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn one_thing_is_no_plural() {
        assert_eq!([0, 1, 4_096].map(|number| counted(number, "VF")), ["0 VFs", "1 VF", "4,096 VFs"]);
    }

    #[test]
    fn a_long_wall_time_is_in_minutes() {
        assert_eq!(seconds(59.96), "60.0 s");
        assert_eq!(seconds(61.5), "1 min 1 s");
        assert_eq!(seconds(0.0123), "12.3 ms");
    }
}
