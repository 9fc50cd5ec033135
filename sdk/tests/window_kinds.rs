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
clicks!(batches { window = batch("10s", 3) });
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
    check::<batches::Clicks>(&[1, 2, 3, 4, 13, 14], &[(1, 3, 3), (4, 14, 2), (14, 24, 1)]);
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

mod given {
    use super::*;
    use sangam_sdk::window::Untouched;

    #[event]
    pub struct Part {
        pub shop: String,
        pub start: Millis,
        pub end: Millis,
        pub sales: i64,
    }

    #[state]
    pub struct Sales {
        sales: i64,
        told: i64,
    }

    #[operator(key = "shop", window = given, early = "10ms")]
    impl Sales {
        fn bounds(part: &Part) -> Window {
            Window { start: part.start, end: part.end }
        }
        fn add(&mut self, part: Part) -> Result<(), Untouched> {
            match part.sales {
                0 => Err(ignore().into()),
                sales if sales < 0 => Err(reject("nothing is unsold").into()),
                sales => {
                    self.sales += sales;
                    Ok(())
                }
            }
        }
        fn early(&mut self, w: Window) -> Part {
            let news = self.sales - std::mem::replace(&mut self.told, self.sales);
            Part { shop: "early".into(), start: w.start, end: w.end, sales: news }
        }
        fn close(self, w: Window) -> Part {
            Part { shop: "closed".into(), start: w.start, end: w.end, sales: self.sales }
        }
    }
}

/// Runs parts `(time, start, end, sales)`, each followed by a watermark just before its time, up to the end of time; what comes out, as text.
fn parts(given: &[(Millis, Millis, Millis, i64)]) -> Vec<String> {
    let mut results = Vec::new();
    for batch in [1, 2, 100] {
        let mut h = Harness::<given::Sales>::new().batch(batch);
        for (time, start, end, sales) in given {
            h.send(*time, given::Part { shop: "a".into(), start: *start, end: *end, sales: *sales }).advance(time - 1);
        }
        h.end();
        let found: Vec<_> = h.take::<given::Part>("out").iter().map(|p| format!("{} {}..{} {}", p.shop, p.start, p.end, p.sales)).collect();
        assert!(h.is_idle(), "something is left");
        assert!(results.is_empty() || results == found, "in batches of {batch}");
        results = found;
    }
    results
}

#[test]
fn results_of_windows_are_gathered_by_the_same_windows_also_where_those_overlap() {
    let found = parts(&[(99, 0, 100, 1), (149, 50, 150, 2), (99, 0, 100, 3), (149, 50, 150, 4), (199, 100, 200, 5)]);
    assert_eq!(found, ["closed 0..100 1", "closed 50..150 6", "closed 100..200 5"], "the second part of the first window was late");
}

#[test]
fn a_window_that_is_open_tells_what_is_new_and_remembers_what_it_has_told() {
    let found = parts(&[(5, 0, 100, 1), (12, 0, 100, 2), (14, 0, 100, 3), (60, 0, 100, 4), (60, 50, 100, 9)]);
    assert_eq!(found, ["early 0..100 3", "early 0..100 7", "early 50..100 9", "closed 0..100 10", "closed 50..100 9"]);
}

#[test]
fn what_earlier_windows_tell_at_one_time_is_told_together() {
    let mut h = Harness::<given::Sales>::new();
    let part = |sales| given::Part { shop: "a".into(), start: 0, end: 100, sales };
    let mut check = |time: Millis, watermark: Millis, expected: &[i64]| {
        h.send(time, part(1)).advance(watermark);
        assert_eq!(h.take::<given::Part>("out").iter().map(|part| part.sales).collect::<Vec<_>>(), expected, "{time}, then {watermark}");
    };
    check(20, 29, &[]);
    check(20, 30, &[2]);
    check(50, 35, &[]);
    // The other half of what is told at 50 comes while the watermark has moved on, but not past it.
    check(50, 59, &[]);
    check(50, 60, &[3]);
    check(90, 99, &[6]);
}

#[test]
fn an_event_that_is_ignored_is_processed_and_opens_no_window() {
    let mut h = Harness::<given::Sales>::new();
    let part = |start, sales| given::Part { shop: "a".into(), start, end: 100, sales };
    h.send(1, part(0, 0));
    assert!(h.is_idle());
    assert_eq!((h.rejects().len(), h.late().len(), h.dropped().len()), (0, 0, 0));
    h.send(1, part(0, 7)).send(1, part(0, -1)).send(1, part(0, 0)).send(1, part(100, 3)).end();
    let why: Vec<_> = h.rejects().iter().map(|reject| reject.why.as_str()).collect();
    assert_eq!(why, ["nothing is unsold", "its window ends at 100, before it has begun at 100"]);
    assert_eq!(h.take::<given::Part>("out").iter().map(|part| part.sales).collect::<Vec<_>>(), [7, 7]);
}

mod careful {
    use super::*;
    use sangam_sdk::window::Untouched;

    #[state]
    pub struct Clicks {
        clicks: u64,
    }

    #[operator(key = "user", window = session("30s"))]
    impl Clicks {
        fn add(&mut self, click: Click) -> Result<(), Untouched> {
            if click.stay < 0 {
                return Err(reject("before it came").into());
            }
            self.clicks += 1;
            Ok(())
        }
        fn merge(&mut self, later: Self) {
            self.clicks += later.clicks;
        }
        fn close(self, w: Window) -> Visit {
            Visit { start: w.start, end: w.end, clicks: self.clicks }
        }
    }
}

#[test]
fn an_event_that_is_refused_untouched_neither_joins_nor_prolongs_sessions() {
    let mut h = Harness::<careful::Clicks>::new();
    for (time, stay) in [(0, 0), (50, 0), (25, -1), (60, -1)] {
        h.send(seconds(time), Click { user: "ann".into(), stay });
    }
    h.end();
    let found: Vec<_> = h.take::<Visit>("out").iter().map(|visit| (visit.start / 1_000, visit.end / 1_000, visit.clicks)).collect();
    assert_eq!(found, [(0, 30, 1), (50, 80, 1)]);
    assert_eq!(h.rejects().len(), 2);
}
