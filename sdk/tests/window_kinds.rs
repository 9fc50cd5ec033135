//! Windows as authors declare them: every kind and every option of `#[operator(window = ..)]`.

#![allow(missing_docs, reason = "the operators of a test speak for themselves")]

use sangam_sdk::test::Harness;
use sangam_sdk::*;

#[event]
pub struct Click {
    user: String,
    stay: Millis,
}
#[event]
pub struct Visit {
    start: Millis,
    end: Millis,
    clicks: u64,
}

macro_rules! clicks {
    ($module:ident { $($options:tt)* } $($more:item)*) => {
        mod $module {
            use super::*;

            #[state]
            pub struct Clicks {
                clicks: u64,
            }

            #[operator(key = "user", $($options)*)]
            impl Clicks {
                fn add(&mut self, _click: Click) {
                    self.clicks += 1;
                }
                #[allow(dead_code, reason = "not every kind merges")]
                fn merge(&mut self, later: Self) {
                    self.clicks += later.clicks;
                }
                fn close(self, w: Window) -> Visit {
                    Visit { start: w.start, end: w.end, clicks: self.clicks }
                }
                $($more)*
            }
        }
    };
}

clicks!(tumbling { window = "1m30s", offset = "-30s" });
clicks!(hopping { window = hopping("1m", "20s") });
clicks!(sliding { window = sliding("10s") });
clicks!(session { window = session("30s") });
clicks!(cumulate { window = cumulate("1m", "20s"), emit = "on_close" });
clicks!(counted { window = count(3, 2) });
clicks!(global { window = global });
clicks!(daily { window = "1d", zone = "America/New_York" });
clicks!(updates { window = "1m", emit = "on_update" });
clicks!(early { window = "1m", early = "10s" });
clicks!(fours { window = global, emit = count(4), purging });
clicks!(deltas { window = "1m", lateness = "1m", purging });

mod stays {
    use super::*;

    #[state]
    pub struct Clicks {
        clicks: u64,
    }

    #[operator(key = "user", window = session)]
    impl Clicks {
        fn gap(click: &Click) -> Millis {
            click.stay
        }
        fn add(&mut self, click: Click) -> Result<()> {
            self.clicks += 1;
            if click.user == "robot" { Err(reject("a robot")) } else { Ok(()) }
        }
        fn merge(&mut self, later: Self) {
            self.clicks += later.clicks;
        }
        fn close(self, w: Window) -> Visit {
            Visit { start: w.start, end: w.end, clicks: self.clicks }
        }
    }
}

/// Events at these seconds, then the end of time: `(start, end, clicks)` in seconds, the same in batches of any size, and nothing left.
fn check<O: Operator<Config = ()>>(times: &[Millis], expected: &[(Millis, Millis, u64)]) {
    for batch in [1, 2, 100] {
        let mut h = Harness::<O>::new().batch(batch);
        for time in times {
            h.send(seconds(*time), Click { user: "ann".into(), stay: 0 });
        }
        h.end();
        let found = h.take::<Visit>("out");
        let found: Vec<_> = found.iter().map(|visit| (visit.start / 1_000, visit.end / 1_000, visit.clicks)).collect();
        assert_eq!(found, expected, "in batches of {batch}");
        assert!(h.is_idle(), "something is left");
    }
}

#[test]
fn an_author_declares_the_windows_in_one_line() {
    check::<tumbling::Clicks>(&[0, 59, 60], &[(-30, 60, 2), (60, 150, 1)]);
    check::<hopping::Clicks>(&[0, 50], &[(-40, 20, 1), (-20, 40, 1), (0, 60, 2), (20, 80, 1), (40, 100, 1)]);
    check::<sliding::Clicks>(&[0, 5, 20], &[(-10, 0, 1), (-5, 5, 2), (0, 10, 1), (10, 20, 1)]);
    check::<session::Clicks>(&[0, 30, 61, 200], &[(0, 60, 2), (61, 91, 1), (200, 230, 1)]);
    check::<cumulate::Clicks>(&[0, 30, 61], &[(0, 20, 1), (0, 40, 2), (0, 60, 2), (60, 80, 1), (60, 100, 1), (60, 120, 1)]);
    check::<counted::Clicks>(&[1, 2, 3, 4, 5], &[(1, 2, 2), (2, 4, 3)]);
    check::<global::Clicks>(&[1, 2], &[(i64::MIN / 1_000, i64::MAX / 1_000, 2)]);
    check::<updates::Clicks>(&[1, 2], &[(0, 60, 1), (0, 60, 2)]);
    check::<fours::Clicks>(&[1, 2, 3, 4, 5], &[(i64::MIN / 1_000, i64::MAX / 1_000, 4)]);
}

#[test]
fn a_day_is_as_long_as_the_clock_on_the_wall_says() {
    // New York's clocks went forward on 2024-03-10 at 2:00, 07:00 UTC; the day began at 05:00 UTC.
    let begin = 1_710_046_800;
    check::<daily::Clicks>(&[begin, begin + 3_600], &[(begin, begin + 23 * 3_600, 2)]);
    // They went back on 2024-11-03 at 2:00, 06:00 UTC; the day began at 04:00 UTC.
    let begin = 1_730_606_400;
    check::<daily::Clicks>(&[begin, begin + 24 * 3_600], &[(begin, begin + 25 * 3_600, 2)]);
}

#[test]
fn early_results_come_at_multiples_and_the_final_one_at_the_close() {
    let mut h = Harness::<early::Clicks>::new();
    let click = || Click { user: "ann".into(), stay: 0 };
    h.send(seconds(3), click()).advance(seconds(10)).send(seconds(12), click()).advance(seconds(40));
    assert_eq!(h.take::<Visit>("out").iter().map(|visit| visit.clicks).collect::<Vec<_>>(), [1, 2]);
    h.advance(seconds(60));
    assert_eq!(h.take::<Visit>("out").iter().map(|visit| visit.clicks).collect::<Vec<_>>(), [2]);
    assert!(h.is_idle());
}

#[test]
fn a_purging_window_emits_what_is_new() {
    let mut h = Harness::<deltas::Clicks>::new();
    let click = || Click { user: "ann".into(), stay: 0 };
    h.send(seconds(3), click()).send(seconds(4), click()).advance(seconds(60)).send(seconds(5), click()).advance(seconds(120));
    assert_eq!(h.take::<Visit>("out").iter().map(|visit| visit.clicks).collect::<Vec<_>>(), [2, 1]);
    assert!(h.is_idle());
}

#[test]
fn an_event_may_say_how_long_its_session_waits_but_never_shortens_it() {
    let mut h = Harness::<stays::Clicks>::new();
    for (time, stay) in [(0, 100), (10, 5), (40, 10)] {
        h.send(seconds(time), Click { user: "ann".into(), stay: seconds(stay) });
    }
    h.end();
    assert_eq!(h.take::<Visit>("out"), [Visit { start: 0, end: seconds(100), clicks: 3 }]);
    h = Harness::<stays::Clicks>::new();
    h.send(0, Click { user: "ann".into(), stay: 0 });
    assert_eq!(h.rejects()[0].why, "the session's gap for it is not positive");
}

#[test]
fn a_refused_event_joins_no_sessions() {
    let mut h = Harness::<stays::Clicks>::new().key("$all");
    for (time, user) in [(0, "ann"), (20, "ann"), (10, "robot"), (40, "robot")] {
        h.send(seconds(time), Click { user: user.into(), stay: seconds(10) });
    }
    h.end();
    let visits = h.take::<Visit>("out");
    assert_eq!(
        visits.iter().map(|visit| (visit.start, visit.end, visit.clicks)).collect::<Vec<_>>(),
        [(0, 10_000, 1), (20_000, 30_000, 1)]
    );
    assert_eq!(h.rejects().len(), 2);
    assert!(h.is_idle());
}
