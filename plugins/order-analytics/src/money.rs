//! Amounts as the fields of a state hold them: whole hundredths, by the SDK's rules for money.

use sangam_sdk::Money;

/// Money in hundredths.
pub type Cents = i64;

/// An amount as it is written; none for one that is no amount of money.
pub fn cents(amount: f64) -> Option<Cents> {
    Money::new(amount).map(Money::hundredths)
}

/// Hundredths as they are written.
pub fn amount(cents: Cents) -> f64 {
    Money::of_hundredths(cents).amount()
}
