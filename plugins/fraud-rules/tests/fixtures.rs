//! The fixtures, natively; `sangam test` runs the same ones through the `.wasm`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

#[allow(dead_code, reason = "shared by the tests of all plugins")]
#[path = "../../fixtures.rs"]
mod fixtures;

#[test]
fn the_fixtures_give_what_they_must_in_batches_of_any_size() {
    fixtures::check::<fraud_rules::FraudRules>(env!("CARGO_MANIFEST_DIR"));
}
