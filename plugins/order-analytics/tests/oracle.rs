//! Random orders, out of order and late, through random windows: what comes out is what a slow and simple program says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may stop at the first surprise")]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use sangam_sdk::Millis;
use serde_json::{Value, json};
use support::{groups, order, send, tops, with};

const SECOND: Millis = 1_000;

#[derive(Clone, Copy, Debug)]
struct Sale {
    time: Millis,
    city: &'static str,
    cents: i64,
    /// How far the watermark moves behind it, from where it stands.
    step: Millis,
}

/// Windows, and all spans that have a time, told in the plainest way.
#[derive(Clone, Copy, Debug)]
enum Windows {
    Tumbling(Millis),
    Hopping(Millis, Millis),
    Cumulate(Millis, Millis),
}

impl Windows {
    fn config(self) -> Value {
        let ms = |length: Millis| format!("{length}ms");
        match self {
            Windows::Tumbling(size) => json!(ms(size)),
            Windows::Hopping(size, slide) => json!({ "type": "hopping", "size": ms(size), "slide": ms(slide) }),
            Windows::Cumulate(size, step) => json!({ "type": "cumulate", "size": ms(size), "step": ms(step) }),
        }
    }

    fn of(self, time: Millis) -> Vec<(Millis, Millis)> {
        let starts = |size: Millis, slide: Millis| (-20 * size / slide..=40 * size / slide).map(move |i| i * slide);
        let spans: Vec<(Millis, Millis)> = match self {
            Windows::Tumbling(size) => starts(size, size).map(|start| (start, start + size)).collect(),
            Windows::Hopping(size, slide) => starts(size, slide).map(|start| (start, start + size)).collect(),
            Windows::Cumulate(size, step) => {
                starts(size, size).flat_map(|start| (1..=size / step).map(move |i| (start, start + i * step))).collect()
            }
        };
        spans.into_iter().filter(|(start, end)| (*start..*end).contains(&time)).collect()
    }
}

type Groups = BTreeMap<&'static str, (u64, i64)>;

/// What each window has in the end, by its end and its start; and how many orders are late for all of theirs.
fn oracle(windows: Windows, sales: &[Sale]) -> (BTreeMap<(Millis, Millis), Groups>, usize) {
    let (mut all, mut late, mut watermark) = (BTreeMap::<(Millis, Millis), Groups>::new(), 0, Millis::MIN);
    for sale in sales {
        let open: Vec<_> = windows.of(sale.time).into_iter().filter(|(_, end)| watermark < end - 1).collect();
        late += usize::from(open.is_empty());
        for (start, end) in open {
            let group = all.entry((end, start)).or_default().entry(sale.city).or_default();
            *group = (group.0 + 1, group.1 + sale.cents);
        }
        watermark = watermark.max(sale.step);
    }
    (all, late)
}

fn money(cents: i64) -> String {
    json!(cents as f64 / 100.0).to_string()
}

fn expected_groups(windows: &BTreeMap<(Millis, Millis), Groups>) -> Vec<String> {
    let lines = windows.iter().flat_map(|((end, start), groups)| {
        groups.iter().map(move |(city, (orders, cents))| format!("{start}..{end} {city}/tea {orders} {}", money(*cents)))
    });
    lines.collect()
}

fn expected_tops(windows: &BTreeMap<(Millis, Millis), Groups>, most: usize, by_orders: bool) -> Vec<String> {
    let line = |((end, start), groups): (&(Millis, Millis), &Groups)| {
        let mut ranked: Vec<_> = groups.iter().collect();
        ranked.sort_by_key(|(city, (orders, cents))| (if by_orders { -(*orders as i64) } else { -cents }, **city));
        let sellers: Vec<String> =
            ranked.iter().take(most).map(|(city, (orders, cents))| format!("{city}/tea {orders} {}", money(*cents))).collect();
        let (orders, cents) = groups.values().fold((0, 0), |all, group| (all.0 + group.0, all.1 + group.1));
        format!("{start}..{end} closed {orders} {}: {}", money(cents), sellers.join(", "))
    };
    windows.iter().map(line).collect()
}

fn windows() -> impl Strategy<Value = Windows> {
    prop_oneof![
        (1..5i64).prop_map(|size| Windows::Tumbling(size * SECOND)),
        (1..5i64, 1..4i64).prop_map(|(slide, more)| Windows::Hopping((slide + more) * SECOND, slide * SECOND)),
        (1..4i64, 1..4i64).prop_map(|(step, times)| Windows::Cumulate(step * times * SECOND, step * SECOND)),
    ]
}

/// Orders whose times wander forward; the watermark behind each stands up to five seconds before or two after its time.
fn sales() -> impl Strategy<Value = Vec<Sale>> {
    let city = prop_oneof![Just("Agra"), Just("Delhi"), Just("Kochi"), Just("Pune")];
    let sale = (0..700i64, -4_000..4_000i64, city, 0..4i64, -5_000..2_000i64);
    prop::collection::vec(sale, 0..60).prop_map(|sales| {
        let mut now = 0;
        let sale = |(pace, out, city, price, step): (i64, i64, &'static str, i64, i64)| {
            now += pace;
            Sale { time: now + out, city, cents: price * 50, step: now + out + step }
        };
        sales.into_iter().map(sale).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn groups_and_tops_are_those_of_a_slow_and_simple_program(
        windows in windows(), sales in sales(), most in 1..4usize, by_orders: bool, update in prop_oneof![Just(0i64), Just(700), Just(2_000)],
    ) {
        let (windows_expected, late) = oracle(windows, &sales);
        let by = if by_orders { "orders" } else { "revenue" };
        let update = format!("{update}ms");
        for batch in [1, 2, 7, 1_000] {
            let config = json!({ "window": windows.config(), "top": most, "by": by, "update": update });
            let mut alone = with(&config).batch(batch);
            let mut first = with(&json!({ "role": "groups", "window": windows.config(), "update": update })).key("city, category").batch(batch);
            let mut second = with(&json!({ "role": "top", "top": most, "by": by })).batch(batch);
            let mut passed = 0;
            let mut watermark = Millis::MIN;
            for sale in &sales {
                watermark = watermark.max(sale.step);
                let event = order(sale.city, "tea", sale.cents as f64 / 100.0);
                send(&mut alone, sale.time, &event);
                alone.advance(watermark);
                send(&mut first, sale.time, &event);
                first.advance(watermark);
                for sent in &first.outputs()[passed..] {
                    second.send_raw(sent.time, sent.value.as_ref().unwrap());
                }
                passed = first.outputs().len();
                second.advance(watermark);
            }
            alone.end();
            first.end();
            for sent in &first.outputs()[passed..] {
                second.send_raw(sent.time, sent.value.as_ref().unwrap());
            }
            second.end();
            prop_assert_eq!(alone.late().len(), late);
            prop_assert_eq!(first.late().len(), late);
            prop_assert_eq!(second.late().len(), 0);
            prop_assert_eq!(groups(&mut alone), expected_groups(&windows_expected));
            let closed = |tops: Vec<String>| tops.into_iter().filter(|top| top.contains(" closed ")).collect::<Vec<_>>();
            prop_assert_eq!(closed(tops(&mut alone)), expected_tops(&windows_expected, most, by_orders));
            prop_assert_eq!(closed(tops(&mut second)), expected_tops(&windows_expected, most, by_orders));
            prop_assert!(alone.is_idle() && first.is_idle() && second.is_idle());
        }
    }

    #[test]
    fn a_running_top_is_that_of_all_orders_that_have_come(windows in windows(), sales in sales(), most in 1..4usize) {
        let mut h = with(&json!({ "window": windows.config(), "top": most, "update": "700ms" }));
        let mut watermark = Millis::MIN;
        for (i, sale) in sales.iter().enumerate() {
            send(&mut h, sale.time, &order(sale.city, "tea", sale.cents as f64 / 100.0));
            watermark = watermark.max(sale.step);
            h.advance(watermark);
            let (so_far, _) = oracle(windows, &sales[..=i]);
            let expected = expected_tops(&so_far, most, false);
            for top in tops(&mut h) {
                prop_assert!(expected.contains(&top.replace(" open ", " closed ")), "{} is not among {:?}", top, expected);
            }
        }
    }
}
