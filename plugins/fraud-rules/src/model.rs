//! A logistic model: how likely fraud is, from a weighted sum of what is known of a payment.
//!
//! Its weights are data; nothing is learnt here.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use sangam_sdk::Money;

use crate::clock::Local;

/// The weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Of nothing: the sum begins with it.
    pub bias: f64,
    /// Of the natural logarithm of the amount plus one.
    pub log_amount: f64,
    /// Added on Saturdays and Sundays.
    pub weekend: f64,
    /// Of the sine of the time of day, 1 at six in the morning.
    pub hour_sin: f64,
    /// Of its cosine, 1 at midnight.
    pub hour_cos: f64,
    /// Of the score of the rules before it.
    pub score: f64,
    /// Added by type of the transaction.
    pub types: BTreeMap<String, f64>,
    /// Added by method of payment.
    pub methods: BTreeMap<String, f64>,
}

/// What a model looks at.
#[derive(Clone, Copy, Debug)]
pub struct Features<'f> {
    /// The amount.
    pub amount: Money,
    /// Local time.
    pub local: Local,
    /// The score so far.
    pub score: f64,
    /// Type of the transaction.
    pub kind: Option<&'f str>,
    /// Method of payment.
    pub method: Option<&'f str>,
}

impl Model {
    /// From 0 to 1.
    pub fn probability(&self, of: &Features<'_>) -> f64 {
        let angle = of.local.hour() / 24.0 * TAU;
        let named = |weights: &BTreeMap<String, f64>, name: Option<&str>| name.and_then(|name| weights.get(name)).copied().unwrap_or(0.0);
        let sum = self.bias
            + self.log_amount * of.amount.amount().ln_1p()
            + if of.local.is_weekend() { self.weekend } else { 0.0 }
            + self.hour_sin * angle.sin()
            + self.hour_cos * angle.cos()
            + self.score * of.score
            + named(&self.types, of.kind)
            + named(&self.methods, of.method);
        1.0 / (1.0 + (-sum).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sangam_sdk::hours;

    /// The weighted sum of a payment of e^3 - 1, on a Tuesday at six, with a score of 50, unless changed.
    fn sum(model: &Model, change: impl Fn(&mut Features<'_>)) -> f64 {
        let amount = Money::new(19.0855).unwrap();
        let local = Local { time_of_day: hours(6), weekday: 1 };
        let mut features = Features { amount, local, score: 50.0, kind: Some("p2p"), method: Some("card") };
        change(&mut features);
        let p = model.probability(&features);
        (p / (1.0 - p)).ln()
    }

    #[test]
    fn each_weight_has_its_say() {
        let check = |model: Model, expected: f64| {
            let found = sum(&model, |_| {});
            assert!((found - expected).abs() < 1e-3, "{model:?}: {found}");
        };
        let none = Model::default;
        check(none(), 0.0);
        check(Model { bias: -2.0, ..none() }, -2.0);
        check(Model { log_amount: 0.5, ..none() }, 1.5);
        check(Model { weekend: 7.0, ..none() }, 0.0);
        check(Model { hour_sin: 0.5, hour_cos: 9.0, ..none() }, 0.5);
        check(Model { score: 0.1, ..none() }, 5.0);
        check(Model { types: [("p2p".to_owned(), 0.25), ("p2m".to_owned(), 3.0)].into(), ..none() }, 0.25);
        check(Model { methods: [("card".to_owned(), -0.25)].into(), ..none() }, -0.25);
        check(Model { bias: -1.0, log_amount: 0.5, score: 0.1, ..none() }, 5.5);
    }

    #[test]
    fn weekends_midnight_and_missing_words_are_told_apart() {
        let model = Model { weekend: 7.0, hour_cos: 2.0, types: [("p2p".to_owned(), 1.0)].into(), ..Model::default() };
        let check = |change: &dyn Fn(&mut Features<'_>), expected: f64| assert!((sum(&model, change) - expected).abs() < 1e-9);
        check(&|_| {}, 1.0);
        check(&|payment| payment.local.weekday = 4, 1.0);
        check(&|payment| payment.local.weekday = 5, 8.0);
        check(&|payment| payment.local.time_of_day = 0, 3.0);
        check(&|payment| payment.local.time_of_day = hours(12), -1.0);
        check(&|payment| payment.kind = None, 0.0);
        check(&|payment| payment.kind = Some("else"), 0.0);
    }

    #[test]
    fn the_probability_stays_between_nothing_and_one_whatever_the_weights() {
        let check = |bias: f64, expected: f64| {
            let local = Local { time_of_day: 0, weekday: 0 };
            let features = Features { amount: Money::ZERO, local, score: 0.0, kind: None, method: None };
            assert_eq!(Model { bias, ..Model::default() }.probability(&features), expected, "{bias}");
        };
        check(0.0, 0.5);
        check(1e300, 1.0);
        check(-1e300, 0.0);
    }
}
