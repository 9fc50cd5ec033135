//! What the tests of this plugin share: an operator from a table, payments from JSON, scores out.

use fraud_rules::{FraudRules, Scored};
use sangam_sdk::test::Harness;
use sangam_sdk::{Config, Millis};
use serde_json::{Value, json};

/// The operator of a configuration.
pub fn read(config: &Value) -> Result<FraudRules, String> {
    FraudRules::read(&rmp_serde::to_vec_named(config).unwrap())
}

/// A harness around the operator of a configuration, keyed by `payer`.
pub fn harness(config: &Value) -> Harness<FraudRules> {
    Harness::with(read(config).unwrap()).key("payer")
}

/// Sends a payment.
pub fn send(h: &mut Harness<FraudRules>, time: Millis, payment: &Value) {
    h.send_raw(time, &rmp_serde::to_vec_named(payment).unwrap());
}

/// Sends a message with rules or scores.
pub fn tell(h: &mut Harness<FraudRules>, time: Millis, message: &Value) {
    h.send_raw_to("broadcast", time, &rmp_serde::to_vec_named(message).unwrap());
}

/// A payment of 1.00 by ann, with these fields changed.
pub fn payment(fields: &Value) -> Value {
    let mut payment = json!({ "transaction_id": "t", "payer": "ann", "amount": 1 });
    for (name, value) in fields.as_object().unwrap() {
        payment[name] = value.clone();
    }
    payment
}

/// What was scored since the last look.
pub fn scored(h: &mut Harness<FraudRules>) -> Vec<Scored> {
    h.take("scored")
}

/// The scores of payments with these fields, at their times, under one configuration; the same in batches of any size.
pub fn scores_under(config: &Value, payments: &[(Millis, Value)]) -> Vec<f64> {
    let run = |batch: usize| {
        let mut h = harness(config).batch(batch);
        payments.iter().for_each(|(time, fields)| send(&mut h, *time, &payment(fields)));
        let scores: Vec<f64> = scored(&mut h).iter().map(|scored| scored.score).collect();
        assert_eq!(h.rejects(), []);
        scores
    };
    let scores = run(1);
    for batch in [2, 3, 100] {
        assert_eq!(run(batch), scores, "in batches of {batch}");
    }
    scores
}

/// The same under one rule.
pub fn scores(rule: &Value, payments: &[(Millis, Value)]) -> Vec<f64> {
    scores_under(&json!({ "rules": [rule] }), payments)
}
