//! Amounts: floats outside, whole hundredths inside, so that sums do not drift.

/// Hundredths of the currency.
pub type Cents = i64;

/// Beyond this a float no longer tells hundredths apart.
const AMOUNT_MAX: f64 = 1e13;

/// An amount in hundredths, rounded; none for a negative one, one too large, and what is no number.
pub fn cents(amount: f64) -> Option<Cents> {
    (0.0..=AMOUNT_MAX).contains(&amount).then(|| (amount * 100.0).round() as Cents)
}

/// Hundredths as an amount.
pub fn amount(cents: Cents) -> f64 {
    cents as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_to_hundredths() {
        let check = |given: f64, expected: Option<Cents>| assert_eq!(cents(given), expected, "{given}");
        check(0.0, Some(0));
        check(0.29, Some(29));
        check(50_000.004, Some(5_000_000));
        check(50_000.006, Some(5_000_001));
        check(1e13, Some(1_000_000_000_000_000));
        check(1.1e13, None);
        check(-0.01, None);
        check(f64::NAN, None);
        check(f64::INFINITY, None);
        assert_eq!(amount(5_000_001), 50_000.01);
    }
}
