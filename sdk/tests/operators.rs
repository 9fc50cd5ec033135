//! Every form of operator, as a plain function and through the bytes of the boundary.

use sangam_sdk::test::Harness;
use sangam_sdk::*;

mod stateless {
    use super::*;

    #[event]
    struct Order {
        id: u64,
        total: f64,
    }
    #[config]
    struct Limit {
        max: f64,
    }

    #[operator]
    fn cheap(order: Order, limit: &Limit) -> Option<Order> {
        (order.total <= limit.max).then_some(order)
    }

    #[test]
    fn an_operator_is_still_a_plain_function() {
        assert!(cheap(Order { id: 1, total: 10.0 }, &Limit { max: 10.0 }).is_some());
        assert!(cheap(Order { id: 1, total: 10.1 }, &Limit { max: 10.0 }).is_none());
    }

    #[test]
    fn only_what_is_returned_is_emitted_with_the_time_of_its_event() {
        let mut h = Harness::<cheap>::with(Limit { max: 1.0 });
        h.send(5, Order { id: 1, total: 0.5 }).send(6, Order { id: 2, total: 5.0 }).send(7, Order { id: 3, total: 1.0 });
        assert_eq!(h.outputs().iter().map(|sent| sent.time).collect::<Vec<_>>(), [5, 7]);
        assert_eq!(h.take::<Order>("out"), [Order { id: 1, total: 0.5 }, Order { id: 3, total: 1.0 }]);
    }

    #[test]
    fn a_field_of_another_type_refuses_that_event_and_the_rest_goes_on() {
        let check = |value: &[u8], why: &str| {
            let mut h = Harness::<cheap>::with(Limit { max: 1.0 }).batch(3);
            h.send(0, Order { id: 1, total: 0.5 }).send_raw(1, value).send(2, Order { id: 2, total: 0.5 });
            assert_eq!(h.rejects().iter().map(|rejected| (rejected.event, rejected.why.as_str())).collect::<Vec<_>>(), [(1, why)]);
            assert_eq!(h.take::<Order>("out").len(), 2);
        };
        check(b"\x82\xa2id\x01\xa5total\xa3low", "field `total`: expected a number, found a string");
        check(b"\x82\xa2id\xff\xa5total\x01", "field `id`: the number does not fit an unsigned integer");
        check(b"\x82\xa2id\xc0\xa5total\x01", "field `id`: expected an integer, found nil");
        check(b"\x81\xa2id\x01", "the field `total` is missing");
    }
}

mod borrowed {
    use super::*;

    #[event]
    struct Payment<'a> {
        id: &'a str,
        #[event(path = "user.country")]
        country: Option<&'a str>,
        #[event(path = "user.tags")]
        tags: Vec<&'a str>,
        #[event(rename = "type")]
        kind: &'a str,
        photo: &'a [u8],
    }

    #[operator]
    fn abroad<'a>(payment: Payment<'a>) -> Option<Payment<'a>> {
        (payment.country.is_some_and(|country| country != "de")).then_some(payment)
    }

    #[test]
    fn fields_are_found_by_path_and_written_back_where_they_were() {
        let payment = Payment { id: "p", country: Some("fr"), tags: vec!["a", "b"], kind: "card", photo: &[1, 2] };
        let mut bytes = Vec::new();
        payment.encode(&mut bytes);
        assert_eq!(bytes, b"\x84\xa2id\xa1p\xa4user\x82\xa7country\xa2fr\xa4tags\x92\xa1a\xa1b\xa4type\xa4card\xa5photo\xc4\x02\x01\x02");
        let mut h = Harness::<abroad>::new();
        h.send(0, &payment).send(0, Payment { country: None, ..payment.clone() });
        assert_eq!(h.outputs().len(), 1);
        assert_eq!(h.outputs()[0].value.as_deref(), Some(bytes.as_slice()));
    }
}

mod nested {
    use std::collections::BTreeMap;

    use super::*;

    #[event]
    struct Line {
        sku: String,
        count: u32,
        #[event(path = "price.net")]
        net: f32,
    }
    #[event]
    struct Basket {
        lines: Vec<Line>,
        first: Option<Line>,
        labels: BTreeMap<String, i64>,
        blob: Vec<u8>,
        extra: Value,
        large: bool,
        depth: i8,
    }

    #[operator]
    fn same(basket: Basket) -> Basket {
        basket
    }

    fn basket() -> Basket {
        let line = Line { sku: "x".into(), count: 3, net: 1.5 };
        Basket {
            lines: vec![line.clone(), line.clone()],
            first: Some(line),
            labels: BTreeMap::from([("a".into(), -5), ("b".into(), i64::MIN)]),
            blob: vec![0, 255],
            extra: Value::from(&vec!["x".to_owned()]),
            large: true,
            depth: -128,
        }
    }

    #[test]
    fn values_of_every_kind_come_back_as_they_were_written() {
        let mut h = Harness::<same>::new();
        h.send(0, basket());
        assert_eq!(h.take::<Basket>("out"), [basket()]);
    }

    #[test]
    fn an_error_deep_inside_names_the_whole_path() {
        let mut h = Harness::<same>::new();
        let mut bytes = Vec::new();
        basket().encode(&mut bytes);
        let at = bytes.windows(2).position(|pair| pair == b"\xa1x").unwrap();
        bytes.splice(at..at + 2, [0x07]);
        h.send_raw(0, &bytes);
        assert_eq!(h.rejects()[0].why, "field `lines.0.sku`: expected a string, found an integer");
    }
}

mod tagged {
    use super::*;

    #[event]
    struct Click<'a> {
        page: &'a str,
    }
    #[event]
    struct Buy {
        price: f64,
    }
    #[event(tag = "kind")]
    enum Activity<'a> {
        Click(Click<'a>),
        #[event(rename = "purchase")]
        Buy(Buy),
    }
    #[event]
    struct Score {
        points: f64,
    }

    #[operator]
    fn score(activity: Activity<'_>) -> Score {
        match activity {
            Activity::Click(click) => Score { points: click.page.len() as f64 },
            Activity::Buy(buy) => Score { points: buy.price },
        }
    }

    #[test]
    fn a_tag_tells_which_type_an_event_is_of() {
        let mut h = Harness::<score>::new().batch(2);
        h.send(0, Activity::Click(Click { page: "abc" })).send(1, Activity::Buy(Buy { price: 9.5 }));
        assert_eq!(h.take::<Score>("out"), [Score { points: 3.0 }, Score { points: 9.5 }]);
        h.send_raw(2, b"\x81\xa4kind\xa4sale");
        assert_eq!(h.rejects()[0].why, "the field `kind` is `sale`; the operator knows click, purchase");
    }
}

mod outputs {
    use super::*;

    #[event]
    struct Order {
        id: u64,
        risk: f64,
    }
    #[event]
    struct Refusal {
        id: u64,
    }
    #[outputs]
    enum Route {
        Accepted(Forward),
        InReview(Order),
        #[outputs(rename = "no")]
        Refused(Output<Refusal>),
    }

    #[operator]
    fn route(order: Order) -> Result<Route> {
        Ok(match order.risk {
            risk if !(0.0..=1.0).contains(&risk) => return Err(reject("risk is not a probability")),
            risk if risk < 0.3 => Route::Accepted(Forward),
            risk if risk < 0.8 => Route::InReview(order),
            _ => Route::Refused(Output::new(Refusal { id: order.id }).at(99).key("k").header("why", b"risk")),
        })
    }

    #[test]
    fn each_variant_leaves_by_its_own_port() {
        let mut h = Harness::<route>::new();
        for risk in [0.1, 0.5, 0.9, 7.0] {
            h.send(1, Order { id: 1, risk });
        }
        let ports: Vec<_> = h.outputs().iter().map(|sent| sent.port.clone()).collect();
        assert_eq!(ports, ["accepted", "in_review", "no"]);
        let refused = h.outputs()[2].clone();
        assert_eq!((refused.time, refused.key(), refused.headers["why"].as_slice()), (99, "k".to_owned(), &b"risk"[..]));
        assert_eq!(h.rejects()[0].why, "risk is not a probability");
    }

    #[test]
    fn what_is_forwarded_keeps_its_bytes() {
        let mut h = Harness::<route>::new();
        let odd = b"\x83\xa5extra\xc0\xa4risk\x00\xa2id\xcd\x00\x01";
        h.send_raw(0, odd);
        assert_eq!(h.outputs()[0].value.as_deref(), Some(&odd[..]));
    }
}

mod keyed {
    use super::*;

    #[event]
    struct Sale {
        city: String,
        category: u32,
        amount: f64,
    }
    #[event]
    struct Total {
        key: String,
        amount: f64,
    }
    #[state]
    struct Sum {
        amount: f64,
    }

    #[operator(key = "city, category")]
    fn total(sale: Sale, sum: &mut Sum, ctx: &Context) -> Total {
        sum.amount += sale.amount;
        Total { key: [ctx.key_part(0), ctx.key_part(1)].map(Option::unwrap_or_default).join("|"), amount: sum.amount }
    }

    #[operator(keyed)]
    fn by_pipeline(sale: Sale, sum: &mut Sum, ctx: &Context) -> Total {
        sum.amount += sale.amount;
        Total { key: ctx.key().into(), amount: sum.amount }
    }

    fn sale(city: &str, amount: f64) -> Sale {
        Sale { city: city.into(), category: 7, amount }
    }

    #[test]
    fn a_key_of_two_fields_keeps_state_for_each_pair() {
        let mut h = Harness::<total>::new();
        h.send(0, sale("rome", 1.0)).send(1, sale("oslo", 2.0)).send(2, sale("rome", 4.0));
        assert_eq!(h.take::<Total>("out").last(), Some(&Total { key: "rome|7".into(), amount: 5.0 }));
        assert_eq!(h.state("oslo/7"), Some(Sum { amount: 2.0 }));
        assert_eq!(h.keys(), ["oslo/7", "rome/7"]);
    }

    #[test]
    fn the_pipeline_may_name_the_key() {
        let mut h = Harness::<by_pipeline>::new().key("city");
        h.send(0, sale("rome", 1.0)).send(1, sale("rome", 2.0));
        assert_eq!(h.take::<Total>("out")[1], Total { key: "rome".into(), amount: 3.0 });
    }

    #[test]
    fn state_that_equals_its_default_is_deleted() {
        let mut h = Harness::<total>::new();
        h.send(0, sale("rome", 1.0)).send(1, sale("rome", -1.0));
        assert_eq!(h.keys(), Vec::<String>::new());
    }

    #[test]
    fn an_event_without_its_key_is_refused() {
        let mut h = Harness::<by_pipeline>::new().key("shop");
        h.send(0, sale("rome", 1.0));
        assert_eq!(h.rejects()[0].why, "the key field `shop` is missing");
    }
}

mod timed {
    use super::*;

    #[event]
    struct Click {
        user: String,
    }
    #[event]
    struct Visit {
        clicks: u64,
        ended_by: String,
    }
    #[state]
    struct Session {
        clicks: u64,
    }
    #[config]
    struct Sessions {
        idle: Millis,
        #[config(default = 3u64)]
        most: u64,
    }

    #[operator(key = "user")]
    impl Sessions {
        fn on_event(&self, _click: Click, session: &mut Session, ctx: &mut Context) -> Option<Visit> {
            session.clicks += 1;
            if session.clicks < self.most {
                ctx.wake("idle", ctx.time() + self.idle);
                return None;
            }
            ctx.cancel("idle");
            Some(Visit { clicks: std::mem::take(session).clicks, ended_by: "click".into() })
        }
        fn on_timer(&self, timer: Timer, session: &mut Session, ctx: &Context) -> Visit {
            assert_eq!(timer.at(), ctx.time());
            Visit { clicks: std::mem::take(session).clicks, ended_by: timer.name().into() }
        }
    }

    fn click() -> Click {
        Click { user: "ann".into() }
    }

    #[test]
    fn a_timer_that_is_set_again_moves() {
        let mut h = Harness::<Sessions>::with(Sessions { idle: 30, most: 3 });
        h.send(0, click()).send(20, click()).advance(49);
        assert_eq!(h.timers("ann"), [("idle".to_owned(), 50)]);
        assert_eq!(h.outputs(), []);
        h.advance(50);
        assert_eq!(h.outputs()[0].time, 50);
        assert_eq!(h.outputs()[0].key(), "ann");
        assert_eq!(h.take::<Visit>("out"), [Visit { clicks: 2, ended_by: "idle".into() }]);
    }

    #[test]
    fn a_timer_that_is_cancelled_does_not_fire() {
        let mut h = Harness::<Sessions>::with(Sessions { idle: 30, most: 3 });
        h.send(0, click()).send(1, click()).send(2, click()).end();
        assert_eq!(h.take::<Visit>("out"), [Visit { clicks: 3, ended_by: "click".into() }]);
        assert_eq!(h.timers("ann"), []);
    }
}

mod dynamic {
    use super::*;

    #[config]
    struct Above {
        fields: Vec<String>,
        limit: f64,
    }

    #[operator]
    impl Above {
        fn fields(&self) -> Vec<FieldPath> {
            self.fields.iter().map(FieldPath::optional).collect()
        }
        fn on_event<'a>(&self, row: Row<'a>) -> Result<Option<Row<'a>>> {
            for i in 0..row.len() {
                if !row.is_nil(i) && row.f64(i)? > self.limit {
                    return Ok(Some(row));
                }
            }
            Ok(None)
        }
    }

    #[test]
    fn an_operator_gets_the_fields_that_its_configuration_names() {
        let names: Vec<String> = (0..20).map(|i| format!("f{i}")).collect();
        let mut h = Harness::<Above>::with(Above { fields: names, limit: 5.0 });
        h.send_raw(0, b"\x81\xa3f19\x09").send_raw(1, b"\x81\xa2f3\x09").send_raw(2, b"\x81\xa3f18\x01").send_raw(3, b"\x81\xa2f2\xa1x");
        assert_eq!(h.outputs().len(), 2);
        assert_eq!(h.outputs()[0].value.as_deref().map(|value| (value[2], value.last().copied())), Some((20, Some(9))));
        assert_eq!(h.rejects()[0].why, "field `#2`: expected a number, found a string");
    }
}

mod faults {
    use super::*;

    #[event]
    struct Text {
        text: String,
    }
    #[state]
    struct Seen {
        times: u64,
    }

    #[config]
    struct Parse;

    #[operator(key = "text")]
    impl Parse {
        fn on_event(&self, text: Text, seen: &mut Seen, ctx: &mut Context) -> Result<Option<Text>> {
            seen.times += 1;
            ctx.count("parsed", 1);
            ctx.wake("later", 100);
            match text.text.as_str() {
                "late" => Err(late("too late")),
                "drop" => Err(discard("no use")),
                "bad" => Err(reject("bad text")),
                number => {
                    let _: u64 = number.parse()?;
                    Ok(Some(text))
                }
            }
        }
        fn on_timer(&self, _timer: Timer, seen: &mut Seen) -> Result<()> {
            if seen.times > 1 { Err(reject("twice")) } else { Ok(()) }
        }
    }

    #[operator(key = "text")]
    fn hopeful(_text: Text, ctx: &mut Context) {
        ctx.wake("later", 100);
    }

    fn text(text: &str) -> Text {
        Text { text: text.into() }
    }

    #[test]
    fn an_event_that_is_refused_leaves_no_trace() {
        for name in ["late", "drop", "bad"] {
            let mut h = Harness::<Parse>::new().batch(2);
            h.send(0, text(name)).send(1, text("7"));
            assert_eq!((h.keys(), h.timers(name), h.counters()["parsed"]), (vec!["7".to_owned()], vec![], 1));
            let ends = (h.late().len(), h.dropped().len(), h.rejects().len());
            assert_eq!(ends, (usize::from(name == "late"), usize::from(name == "drop"), usize::from(name == "bad")));
        }
    }

    #[test]
    #[should_panic(expected = "the operator failed: invalid digit found in string")]
    fn an_error_that_nobody_thought_about_is_a_fault_of_the_operator() {
        Harness::<Parse>::new().send(0, text("seven"));
    }

    #[test]
    #[should_panic(expected = "timer `later`: on_timer has no event to refuse: twice")]
    fn a_timer_cannot_refuse_anything() {
        Harness::<Parse>::new().send(0, text("7")).send(1, text("7")).end().flush();
    }

    #[test]
    #[should_panic(expected = "it sets a timer but has no on_timer")]
    fn a_timer_that_nobody_waits_for_is_a_fault() {
        Harness::<hopeful>::new().send(0, text("7"));
    }
}

mod logging {
    use super::*;
    use sangam_sdk::log::Level;

    #[operator]
    fn tell(event: Raw<'_>) {
        if event.bytes().is_empty() {
            warn!("nothing");
        }
        info!("{} bytes", event.bytes().len());
    }

    #[test]
    fn lines_of_the_log_are_kept_for_the_test() {
        let mut h = Harness::<tell>::new();
        h.send_raw(0, b"").send_raw(1, b"not MessagePack");
        let lines: Vec<_> = h.logs().iter().map(|(level, line)| (*level, line.as_str())).collect();
        assert_eq!(lines, [(Level::Warn, "nothing"), (Level::Info, "0 bytes"), (Level::Info, "15 bytes")]);
    }
}
