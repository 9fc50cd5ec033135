//! The benchmark's workloads come to the same totals on the engine as by hand: a speed is worth nothing where the work was not done.

use sangam_tests::bench::Workload;
use sangam_tests::bench::engine::{self, Conditions};
use sangam_tests::bench::generate::generate;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A window closes within so many events, and the end finds others open.
const EVENTS: usize = 400_000;

fn check(workload: Workload, batch: usize) {
    let cache = tempfile::tempdir().unwrap();
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests");
    let plugins = engine::plugins(&guests, cache.path()).unwrap();
    let frames = Arc::new(generate(workload.events(), EVENTS));
    let conditions = Conditions { batch: Some(batch), commit: Some(Duration::from_millis(20)), read_outputs: true };
    let expected = workload.native(&frames);
    let run = engine::run(workload, &frames, &plugins, conditions).unwrap();
    assert_eq!(run.totals.without_bytes(), expected.without_bytes(), "{workload:?}");
    // W1's output holds no integers, which may be written in several ways.
    assert!(workload != Workload::W1 || run.totals.bytes == expected.bytes, "{} instead of {expected}", run.totals);
}

#[test]
fn large_payments_are_all_kept_with_every_byte() {
    check(Workload::W1, 1000);
}

#[test]
fn every_payment_is_in_one_window_and_no_window_is_lost() {
    check(Workload::W2, 1000);
}

#[test]
fn the_last_hour_of_each_sender_is_the_same_to_the_cent() {
    check(Workload::W3, 1000);
}

#[test]
fn the_best_of_each_minute_are_made_of_all_orders() {
    check(Workload::W4, 1000);
}
