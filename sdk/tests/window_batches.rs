//! Batches: so many events or so much time, whichever is first, and never the calls in which the engine brings the events.

#![expect(missing_docs, reason = "the operators of a test speak for themselves")]

use sangam_sdk::test::Harness;
use sangam_sdk::window::WindowSpec;
use sangam_sdk::*;

#[event]
pub struct Order {
    shop: String,
    amount: i64,
}

#[event]
pub struct Batch {
    start: Millis,
    end: Millis,
    orders: u64,
    sum: i64,
}

macro_rules! orders {
    ($module:ident { $($options:tt)* }) => {
        mod $module {
            use super::*;

            #[state]
            pub struct Orders {
                orders: u64,
                sum: i64,
            }

            #[operator(key = "shop", $($options)*)]
            impl Orders {
                fn add(&mut self, order: Order) -> Result<()> {
                    self.orders += 1;
                    self.sum += order.amount;
                    if order.amount < 0 { Err(reject("less than nothing")) } else { Ok(()) }
                }
                fn close(self, w: Window) -> Batch {
                    Batch { start: w.start, end: w.end, orders: self.orders, sum: self.sum }
                }
            }
        }
    };
}

orders!(micro { window = batch("3s", 1000) });
orders!(fours { window = batch("3s", 4) });
orders!(ones { window = batch("3s", 1) });
orders!(by_clock { window = batch("3s", 4), processing_time });

fn order(amount: i64) -> Order {
    Order { shop: "s".into(), amount }
}

/// `(start, end, orders)` of the batches of these amounts at these times, and the number of times that each had come out by; the same however the
/// engine cuts its calls. `last` is a watermark after all of them.
#[track_caller]
fn check<O: Operator<Config = ()>>(orders: &[(Millis, i64)], last: Millis, expected: &[(Millis, Millis, u64)]) {
    for call in [1, 2, 3, 7, 5_000] {
        let mut h = Harness::<O>::new().batch(call);
        for (time, amount) in orders {
            h.send(*time, order(*amount));
        }
        h.advance(last);
        let found: Vec<_> = h.take::<Batch>("out").iter().map(|batch| (batch.start, batch.end, batch.orders)).collect();
        assert_eq!(found, expected, "in calls of {call}");
        h.end();
    }
}

fn every_millisecond(count: i64) -> Vec<(Millis, i64)> {
    (0..count).map(|i| (i, 1)).collect()
}

#[test]
fn a_batch_is_over_with_its_thousandth_event_and_not_before() {
    check::<micro::Orders>(&every_millisecond(999), 2_998, &[]);
    check::<micro::Orders>(&every_millisecond(1_000), 0, &[(0, 1_000, 1_000)]);
    check::<micro::Orders>(&every_millisecond(1_001), 2_998, &[(0, 1_000, 1_000)]);
    check::<micro::Orders>(&every_millisecond(1_001), 3_999, &[(0, 1_000, 1_000), (1_000, 4_000, 1)]);
    check::<micro::Orders>(&every_millisecond(2_000), 0, &[(0, 1_000, 1_000), (1_000, 2_000, 1_000)]);
}

#[test]
fn a_batch_is_over_three_seconds_after_its_first_event_and_not_before() {
    check::<fours::Orders>(&[(100, 1), (3_099, 1)], 3_098, &[]);
    check::<fours::Orders>(&[(100, 1), (3_099, 1)], 3_099, &[(100, 3_100, 2)]);
    // The event that is exactly three seconds younger belongs to the next one, which begins with it.
    check::<fours::Orders>(&[(100, 1), (3_100, 1)], 3_099, &[(100, 3_100, 1)]);
    check::<fours::Orders>(&[(100, 1), (3_100, 1), (6_099, 1)], 6_099, &[(100, 3_100, 1), (3_100, 6_100, 2)]);
}

#[test]
fn the_event_that_begins_the_next_batch_closes_the_one_before_whatever_the_watermark() {
    check::<fours::Orders>(&[(0, 1), (5_000, 1), (9_000, 1)], Millis::MIN, &[(0, 3_000, 1), (5_000, 8_000, 1)]);
}

#[test]
fn the_result_has_the_time_of_the_latest_event_where_the_batch_is_full_and_else_of_its_last_millisecond() {
    let mut h = Harness::<fours::Orders>::new();
    for time in [10, 40, 20, 30, 50] {
        h.send(time, order(1));
    }
    h.end();
    assert_eq!(h.outputs().iter().map(|sent| sent.time).collect::<Vec<_>>(), [40, 3_049]);
    let batches = h.take::<Batch>("out");
    assert_eq!(batches, [Batch { start: 10, end: 41, orders: 4, sum: 4 }, Batch { start: 50, end: 3_050, orders: 1, sum: 1 }]);
    assert!(h.is_idle(), "nothing is remembered once the batches are over");
}

#[test]
fn no_event_is_late_and_one_behind_the_watermark_comes_as_if_right_after_it() {
    for call in [1, 10] {
        let mut h = Harness::<fours::Orders>::new().batch(call);
        h.send(10_000, order(1)).advance(12_999).send(500, order(2)).send(12_000, order(4)).advance(15_998);
        assert_eq!(h.take::<Batch>("out"), [Batch { start: 10_000, end: 13_000, orders: 1, sum: 1 }]);
        h.advance(15_999);
        assert_eq!(h.take::<Batch>("out"), [Batch { start: 13_000, end: 16_000, orders: 2, sum: 6 }]);
        assert_eq!(h.late(), []);
    }
}

#[test]
fn an_event_that_is_refused_neither_begins_nor_ends_a_batch() {
    check::<fours::Orders>(&[(0, -1), (1_000, 1), (1_500, -1), (1_600, 1), (1_700, 1), (3_999, 1)], 0, &[(1_000, 4_000, 4)]);
    check::<fours::Orders>(&[(0, 1), (9_000, -1), (1, 1)], 2_998, &[]);
}

#[test]
fn a_batch_of_one_is_told_at_once_and_leaves_no_timer() {
    let mut h = Harness::<ones::Orders>::new();
    h.send(5, order(1)).send(6, order(1));
    assert_eq!(h.take::<Batch>("out").len(), 2);
    assert!(h.is_idle());
}

#[test]
fn a_full_batch_leaves_no_timer_and_a_key_has_batches_of_its_own() {
    let mut h = Harness::<fours::Orders>::new();
    for time in 0..4 {
        h.send(time, order(1)).send(time + 2_000, Order { shop: "t".into(), amount: 1 });
    }
    assert_eq!(h.take::<Batch>("out").iter().map(|batch| batch.start).collect::<Vec<_>>(), [0, 2_000]);
    assert_eq!((h.timers("s"), h.timers("t")), (vec![], vec![]));
}

#[test]
fn by_the_clock_a_batch_ends_when_the_clock_says_so_whatever_the_events_say() {
    let mut h = Harness::<by_clock::Orders>::new();
    h.processing_time(1_000).send(77, order(1)).send(5, order(1));
    h.processing_time(3_998).send(6, order(1));
    assert_eq!(h.take::<Batch>("out"), []);
    h.processing_time(3_999);
    assert_eq!(h.take::<Batch>("out"), [Batch { start: 1_000, end: 4_000, orders: 3, sum: 3 }]);
    for _ in 0..4 {
        h.send(1, order(1));
    }
    assert_eq!(h.take::<Batch>("out"), [Batch { start: 3_999, end: 4_000, orders: 4, sum: 4 }]);
    assert!(h.is_idle());
}

#[test]
fn a_configuration_can_say_what_a_batch_is() {
    let read = |text: &str| serde_json::from_str::<WindowSpec>(text);
    assert_eq!(read(r#"{"type": "batch", "size": "3s", "count": 1000}"#).unwrap(), WindowSpec::batch(seconds(3), 1_000));
    // Where in the text it stands comes behind it.
    let refused = |text: &str, why: &str| assert!(read(text).unwrap_err().to_string().starts_with(why), "{text}");
    refused(r#"{"type": "batch", "size": "3s"}"#, "a batch has some events at most: write count = 1000");
    refused(r#"{"type": "batch", "count": 1000}"#, "a window has some length: write size = \"3s\"");
    refused(r#"{"type": "batch", "size": "3s", "count": 0}"#, "a batch holds at least one event: batch(\"3s\", 1000)");
    refused(r#"{"type": "batch", "size": "0s", "count": 1}"#, "a window has some length: \"10s\", \"5m\", \"1h\"");
    refused(r#"{"type": "tumbling", "size": "3s", "count": 1}"#, "tumbling windows have no count: remove it");
    assert!(WindowSpec::batch(1, 1).lateness(1).check().unwrap_err().contains("no event is late"));
}
