//! Student's t distribution: how wide an interval is.

/// The t that a Student-distributed variable of `degrees` of freedom stays below in size with
/// probability 0.95: half the width of a two-sided 95 % interval in standard errors.
///
/// # Panics
/// If `degrees` is 0.
pub(super) fn t_95(degrees: u64) -> f64 {
    assert!(degrees > 0, "one value has no interval");
    let (mut low, mut high) = (1.0, 13.0);
    // Of the 53 bits of a double, none is left after these.
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if probability_within(middle, degrees) < 0.95 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The probability of -t to t: Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.7.3
/// and 26.7.4, the finite series for whole degrees of freedom.
fn probability_within(t: f64, degrees: u64) -> f64 {
    let ratio = t / (degrees as f64).sqrt();
    let cosine_squared = 1.0 / (1.0 + ratio * ratio);
    let cosine = cosine_squared.sqrt();
    let sine = ratio * cosine;
    let odd = !degrees.is_multiple_of(2);
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = if degrees == 1 { 0.0 } else { term };
    let mut k = if odd { 2 } else { 1 };
    while k + 2 < degrees {
        term *= k as f64 / (k + 1) as f64 * cosine_squared;
        sum += term;
        k += 2;
    }
    if odd {
        // The same on every machine: not the system's arc tangent.
        (libm::atan(ratio) + sine * sum) * std::f64::consts::FRAC_2_PI
    } else {
        sine * sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From tables of the distribution (NIST/SEMATECH e-Handbook, 1.3.6.7.2), to their last digit.
    #[test]
    fn t_agrees_with_the_tables() {
        for (degrees, t) in [
            (1, 12.706),
            (2, 4.303),
            (3, 3.182),
            (4, 2.776),
            (5, 2.571),
            (9, 2.262),
            (10, 2.228),
            (29, 2.045),
            (30, 2.042),
            (99, 1.984),
            (100, 1.984),
            (9_999, 1.960),
        ] {
            assert!((t_95(degrees) - t).abs() < 6e-4, "{degrees}: {}", t_95(degrees));
        }
    }
}
