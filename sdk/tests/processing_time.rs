//! Processing time: timers by the host's clock, and what operators may know of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use sangam_sdk::test::Harness;
use sangam_sdk::*;

#[event]
#[derive(Clone)]
struct Click {
    user: String,
    wait: i64,
    name: String,
}

#[event]
struct Said {
    what: String,
    now: i64,
}

#[state]
struct Count {
    clicks: u64,
}

#[config]
struct Reminders {}

#[operator(key = "user", processing_time)]
impl Reminders {
    fn on_event(&self, click: Click, count: &mut Count, ctx: &mut Context) {
        count.clicks += 1;
        match (click.name.strip_prefix("event "), click.wait) {
            (Some(name), at) => ctx.wake(name, at),
            (None, ..0) => ctx.cancel_processing_time(&click.name),
            (None, wait) => ctx.wake_after(&click.name, wait),
        }
    }

    fn on_timer(&self, timer: Timer, count: &mut Count, ctx: &mut Context) -> Said {
        if timer.name() == "again" && timer.at() < 100 {
            ctx.wake_at_processing_time("again", timer.at() + 10);
        }
        if timer.name() == "past" {
            ctx.wake("now", ctx.watermark());
        }
        if timer.name() == "clear" {
            count.clicks = 0;
        }
        let kind = if timer.is_processing_time() { "clock" } else { "event" };
        Said { what: format!("{} {kind} {}@{}", ctx.key(), timer.name(), timer.at()), now: ctx.now() }
    }
}

fn click(user: &str, name: &str, wait: i64) -> Click {
    Click { user: user.into(), wait, name: name.into() }
}

fn said(harness: &mut Harness<Reminders>) -> Vec<String> {
    harness.take::<Said>("out").into_iter().map(|said| format!("{} now {}", said.what, said.now)).collect()
}

#[test]
fn a_timer_by_the_clock_fires_when_the_clock_gets_there_whatever_the_watermark_does() {
    let mut h = Harness::<Reminders>::with(Reminders {});
    h.processing_time(1_000).send(5, click("ann", "idle", 50));
    assert_eq!(h.processing_timers("ann"), [("idle".to_owned(), 1_050)]);
    assert_eq!(h.timers("ann"), []);
    h.advance(i64::MAX).processing_time(1_049);
    assert_eq!(said(&mut h), [""; 0]);
    h.processing_time(1_050);
    assert_eq!(said(&mut h), ["ann clock idle@1050 now 1050"]);
    assert_eq!(h.processing_timers("ann"), []);
}

#[test]
fn a_jump_of_the_clock_fires_everything_that_was_missed_in_order_also_what_is_set_meanwhile() {
    let mut h = Harness::<Reminders>::with(Reminders {});
    h.send(0, click("ann", "late", 95)).send(0, click("bob", "again", 70)).send(0, click("cid", "early", 20));
    h.processing_time(500);
    let expected = [
        "cid clock early@20",
        "bob clock again@70",
        "bob clock again@80",
        "bob clock again@90",
        "ann clock late@95",
        "bob clock again@100",
    ];
    assert_eq!(said(&mut h), expected.map(|what| format!("{what} now 500")));
}

#[test]
fn a_clock_that_goes_back_moves_nothing() {
    let mut h = Harness::<Reminders>::with(Reminders {});
    h.processing_time(1_000).processing_time(10).send(0, click("ann", "idle", 5)).processing_time(900);
    assert_eq!(h.processing_timers("ann"), [("idle".to_owned(), 1_005)]);
}

#[test]
fn a_timer_for_the_past_fires_after_the_batch_that_set_it() {
    let mut h = Harness::<Reminders>::with(Reminders {});
    h.processing_time(40).send(0, click("ann", "at once", 0));
    assert_eq!(said(&mut h), ["ann clock at once@40 now 40"]);
}

#[test]
fn the_two_kinds_of_timers_have_names_of_their_own() {
    let mut h = Harness::<Reminders>::with(Reminders {});
    h.send(0, click("ann", "idle", 30)).send(0, click("ann", "event idle", 20));
    assert_eq!((h.timers("ann"), h.processing_timers("ann")), (vec![("idle".into(), 20)], vec![("idle".into(), 30)]));
    h.send(0, click("ann", "idle", -1));
    assert_eq!((h.timers("ann").len(), h.processing_timers("ann").len()), (1, 0));
    h.advance(20);
    assert_eq!(said(&mut h), ["ann event idle@20 now 0"]);
}

#[test]
fn an_event_time_timer_that_a_clock_timer_sets_for_the_past_fires_with_it() {
    let mut h = Harness::<Reminders>::with(Reminders {});
    h.advance(7).send(0, click("ann", "past", 10)).send(0, click("ann", "then", 11)).processing_time(20);
    assert_eq!(said(&mut h), ["ann clock past@10 now 20", "ann event now@7 now 20", "ann clock then@11 now 20"]);
}

#[test]
fn nothing_is_left_behind() {
    let mut h = Harness::<Reminders>::with(Reminders {});
    h.send(0, click("ann", "clear", 10)).processing_time(10);
    assert_eq!((h.keys(), h.timers("ann"), h.processing_timers("ann")), (vec![], vec![], vec![]));
}

#[test]
fn a_timer_set_again_moves_and_one_of_a_refused_moment_does_not() {
    let mut h = Harness::<Reminders>::with(Reminders {});
    h.send(0, click("ann", "idle", 10)).processing_time(5).send(0, click("ann", "idle", 10)).processing_time(14);
    assert_eq!(said(&mut h), [""; 0]);
    h.processing_time(15);
    assert_eq!(said(&mut h), ["ann clock idle@15 now 15"]);
}

#[test]
fn in_one_batch_or_many_the_same_happens_as_long_as_the_clock_stands() {
    let clicks: Vec<_> =
        (0..30).map(|i| (i, click(["ann", "bob"][i as usize % 2], ["idle", "event e", "again"][i as usize % 3], 1 + i * 7 % 40))).collect();
    let run = |batch| {
        let mut h = Harness::<Reminders>::with(Reminders {}).batch(batch);
        h.processing_time(10);
        clicks.iter().for_each(|(time, click)| {
            h.advance(time - 1).send(*time, click.clone());
        });
        let before: Vec<_> = ["ann", "bob"].map(|key| (h.timers(key), h.processing_timers(key), h.state(key))).into();
        h.end().processing_time(200);
        (before, said(&mut h))
    };
    let expected = run(1);
    assert!(!expected.1.is_empty());
    // A timer for the very moment fires between two batches, so the clicks above set none.
    for batch in [2, 7, 100] {
        assert_eq!(run(batch), expected, "batch {batch}");
    }
}

// --- on_batch_end ---

#[config]
struct PerBatch {}

#[operator(key = "user")]
impl PerBatch {
    fn on_event(&self, click: Click, count: &mut Count) -> Result<()> {
        if click.wait < 0 {
            return Err(reject("no"));
        }
        count.clicks += 1;
        Ok(())
    }
    fn on_batch_end(&self, count: &mut Count, ctx: &mut Context) -> Said {
        Said { what: format!("{} {}", ctx.key(), count.clicks), now: ctx.time() }
    }
}

#[test]
fn a_batch_ends_once_for_every_key_that_had_an_event_with_the_time_of_the_newest() {
    let mut h = Harness::<PerBatch>::with(PerBatch {}).batch(4);
    for (time, user, wait) in [(5, "ann", 0), (9, "bob", 0), (7, "ann", 0), (30, "cid", -1), (8, "ann", 0)] {
        h.send(time, click(user, "", wait));
    }
    let outputs: Vec<_> = h.outputs().iter().map(|sent| (sent.key(), sent.time, sent.decode::<Said>().what)).collect();
    let expected = [("ann", 7, "ann 2"), ("bob", 9, "bob 1"), ("ann", 8, "ann 3")];
    assert_eq!(outputs, expected.map(|(key, time, what)| (key.to_owned(), time, what.to_owned())));
}
