//! Tumbling windows, by Flink's rules.

#![expect(missing_docs, reason = "the operators of a test speak for themselves")]

use sangam_sdk::test::Harness;
use sangam_sdk::*;

#[event]
pub struct Sale {
    shop: String,
    amount: f64,
}
#[event]
pub struct Minute {
    start: Millis,
    sales: u64,
    total: f64,
}

mod strict {
    use super::*;

    #[state]
    pub struct Revenue {
        sales: u64,
        total: f64,
    }

    #[operator(key = "shop", window = "1m")]
    impl Revenue {
        fn add(&mut self, sale: Sale) {
            self.sales += 1;
            self.total += sale.amount;
        }
        fn close(self, w: Window) -> Minute {
            Minute { start: w.start, sales: self.sales, total: self.total }
        }
    }
}

mod patient {
    use super::*;

    #[config]
    pub struct Rules {
        pub most: f64,
    }

    #[state]
    pub struct Revenue {
        total: f64,
    }

    #[operator(key = "shop", window = "10s", lateness = "5s")]
    impl Revenue {
        fn add(&mut self, sale: Sale, rules: &Rules) -> Result<()> {
            self.total += sale.amount;
            if self.total > rules.most { Err(reject("too much")) } else { Ok(()) }
        }
        fn close(&self, w: Window) -> Option<Minute> {
            (self.total != 0.0).then_some(Minute { start: w.start, sales: 0, total: self.total })
        }
    }
}

fn sale(amount: f64) -> Sale {
    Sale { shop: "s".into(), amount }
}

#[test]
fn a_minute_closes_when_the_watermark_reaches_its_last_millisecond() {
    let mut h = Harness::<strict::Revenue>::new();
    h.send(5_000, sale(1.0)).send(59_999, sale(2.0)).send(60_000, sale(4.0)).advance(59_998);
    assert_eq!(h.outputs(), []);
    h.advance(59_999);
    assert_eq!((h.outputs()[0].time, h.outputs()[0].key()), (59_999, "s".to_owned()));
    assert_eq!(h.take::<Minute>("out"), [Minute { start: 0, sales: 2, total: 3.0 }]);
    h.send(30_000, sale(9.0));
    assert_eq!(h.late()[0].why, "its window has closed");
    h.end();
    assert_eq!(h.take::<Minute>("out"), [Minute { start: 60_000, sales: 1, total: 4.0 }]);
    assert_eq!((h.keys(), h.timers("s")), (vec![], vec![]));
}

#[test]
fn windows_before_1970_start_at_multiples_of_their_size_too() {
    let mut h = Harness::<strict::Revenue>::new();
    h.send(-1, sale(1.0)).send(-60_000, sale(2.0)).send(-60_001, sale(4.0)).end();
    let minutes = h.take::<Minute>("out");
    assert_eq!(minutes.iter().map(|minute| (minute.start, minute.sales)).collect::<Vec<_>>(), [(-120_000, 1), (-60_000, 2)]);
}

#[test]
fn a_late_event_within_the_lateness_emits_the_window_again_with_all_it_has() {
    let mut h = Harness::<patient::Revenue>::with(patient::Rules { most: 100.0 });
    h.send(1_000, sale(1.0)).advance(9_999).send(2_000, sale(2.0)).send(3_000, sale(4.0));
    assert_eq!(h.outputs().iter().map(|sent| sent.time).collect::<Vec<_>>(), [9_999; 3]);
    assert_eq!(h.take::<Minute>("out").iter().map(|minute| minute.total).collect::<Vec<_>>(), [1.0, 3.0, 7.0]);
    assert_eq!(h.timers("s"), [("window".to_owned(), 14_999)]);
    h.advance(14_998).send(4_000, sale(8.0)).advance(14_999);
    assert_eq!(h.take::<Minute>("out").len(), 1);
    assert_eq!(h.keys(), Vec::<String>::new());
    h.send(5_000, sale(16.0));
    assert_eq!(h.late().len(), 1);
}

#[test]
fn an_event_that_add_refuses_leaves_its_window_as_it_was() {
    for batch in [1, 10] {
        let mut h = Harness::<patient::Revenue>::with(patient::Rules { most: 5.0 }).batch(batch);
        h.send(1_000, sale(3.0)).send(2_000, sale(3.0)).send(3_000, sale(1.0)).send(14_000, sale(9.0)).end();
        assert_eq!(h.take::<Minute>("out"), [Minute { start: 0, sales: 0, total: 4.0 }]);
        assert_eq!(h.rejects().len(), 2);
    }
}

#[test]
fn a_window_that_opens_late_still_emits_and_is_forgotten_in_time() {
    let mut h = Harness::<patient::Revenue>::with(patient::Rules { most: 100.0 });
    h.send(25_000, sale(1.0)).advance(12_000).send(5_000, sale(2.0));
    assert_eq!(h.take::<Minute>("out"), [Minute { start: 0, sales: 0, total: 2.0 }]);
    assert_eq!(h.timers("s"), [("window".to_owned(), 14_999)]);
    h.advance(29_999);
    assert_eq!(h.take::<Minute>("out"), [Minute { start: 20_000, sales: 0, total: 1.0 }]);
}

#[test]
fn all_windows_of_one_batch_close_in_order_whatever_the_batch() {
    let run = |batch| {
        let mut h = Harness::<strict::Revenue>::new().batch(batch);
        for i in [5, 1, 3, 0, 2, 4] {
            h.send(minutes(i), sale(i as f64)).send(minutes(i), Sale { shop: "t".into(), amount: 1.0 });
        }
        h.advance(minutes(3)).send(minutes(7), sale(0.5)).end();
        h.outputs().to_vec()
    };
    assert_eq!(run(1), run(3));
    assert_eq!(run(1), run(100));
    assert_eq!(run(100).len(), 13);
    assert!(run(100).windows(2).all(|pair| pair[0].time <= pair[1].time));
}
