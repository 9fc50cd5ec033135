//! Payments and orders as a shop of shops might see them: few payers pay most, most of them from home. The same ones in every run.

use crate::time::Millis;
use sangam_protocol::msgpack::write;

/// Makes payments and orders.
pub(super) struct Generator {
    /// Sums of the payers' weights, the heaviest payer first: payer `r` pays 1 / r^1.1 as often as the first.
    ranks: Vec<f64>,
    payments: Random,
    orders: Random,
    /// Events of either kind so far.
    made: u64,
}

/// SplitMix64: the shortest generator that passes the usual tests.
struct Random(u64);

/// Payers.
const USERS: usize = 100_000;

/// Time of the first event; a multiple of a minute.
const START: Millis = 1_700_000_040_000;

/// Event time between two payments: a demo of ten seconds shows three minutes, so that windows close.
const STEP_MS: Millis = 2;

/// Events come in another order than they happened in: up to so late.
const LATENESS_MS: u64 = 5_000;

/// One payment in so many comes from a device that the payer has not used before.
const NEW_DEVICE_IN: u64 = 200;

/// One payment in so many is made away from home.
const AWAY_IN: u64 = 500;

const CITIES: [&str; 20] = [
    "Mumbai",
    "Delhi",
    "Bengaluru",
    "Hyderabad",
    "Ahmedabad",
    "Chennai",
    "Kolkata",
    "Surat",
    "Pune",
    "Jaipur",
    "Lucknow",
    "Kanpur",
    "Nagpur",
    "Indore",
    "Thane",
    "Bhopal",
    "Patna",
    "Vadodara",
    "Ghaziabad",
    "Ludhiana",
];

const CATEGORIES: [&str; 12] = [
    "grocery",
    "fuel",
    "dining",
    "travel",
    "utilities",
    "electronics",
    "fashion",
    "pharmacy",
    "education",
    "gaming",
    "jewellery",
    "transport",
];

// === impl Generator ===

impl Generator {
    pub(super) fn new() -> Self {
        let mut sum = 0.0;
        let weights = (1..=USERS).map(|rank| {
            sum += (rank as f64).powf(-1.1);
            sum
        });
        Generator { ranks: weights.collect(), payments: Random(42), orders: Random(43), made: 0 }
    }

    /// Writes the next payment (a MessagePack map) and its key, the payer.
    pub(super) fn payment(&mut self, key: &mut String, value: &mut Vec<u8>) {
        let random = &mut self.payments;
        let user = user(&self.ranks, random);
        *key = format!("user{user:06}@okbank");
        let receiver = format!("shop{:05}@upi", random.below(10_000));
        // From 1 to 100,000, evenly over the orders of magnitude: one in five is above 10,000.
        let amount = cents(10f64.powf(random.unit() * 5.0));
        let device = if random.below(NEW_DEVICE_IN) == 0 { random.next() as u32 } else { user as u32 };
        let home = user % CITIES.len() as u64;
        let city = if random.below(AWAY_IN) == 0 { random.below(CITIES.len() as u64) } else { home };
        let category = (random.below(5) != 0).then(|| random.pick(&CATEGORIES));
        let time = time(self.made, random);

        value.clear();
        write::map(value, if category.is_some() { 8 } else { 7 });
        text(value, "transaction_id", &format!("txn-{:012}", self.made));
        text(value, "sender_vpa", key);
        text(value, "receiver_vpa", &receiver);
        number(value, "amount", amount);
        write::str(value, "timestamp");
        write::i64(value, time);
        text(value, "device_id", &format!("dev-{device:08x}"));
        text(value, "location", CITIES[city as usize]);
        if let Some(category) = category {
            text(value, "merchant_category", category);
        }
        self.made += 1;
    }

    /// Writes the next order (a MessagePack map) and its key, the user.
    pub(super) fn order(&mut self, key: &mut String, value: &mut Vec<u8>) {
        let random = &mut self.orders;
        *key = format!("user{:06}", user(&self.ranks, random));
        let amount = cents(10f64.powf(1.0 + random.unit() * 3.0));
        let (category, city) = (random.pick(&CATEGORIES), random.pick(&CITIES));
        let time = time(self.made, random);

        value.clear();
        write::map(value, 6);
        text(value, "order_id", &format!("ord-{:010}", self.made));
        text(value, "user_id", key);
        text(value, "category", category);
        text(value, "city", city);
        number(value, "amount", amount);
        write::str(value, "ts");
        write::i64(value, time);
        self.made += 1;
    }
}

/// A user: the rank by weight, scattered over the names.
fn user(ranks: &[f64], random: &mut Random) -> u64 {
    let all = ranks.last().copied().unwrap_or(1.0);
    let at = random.unit() * all;
    let rank = ranks.partition_point(|sum| *sum < at).min(USERS - 1);
    ((rank * 7919 + 13) % USERS) as u64
}

/// When event `made` happened.
fn time(made: u64, random: &mut Random) -> Millis {
    // Payments and orders take turns, so each kind moves by a whole step.
    START + made as Millis * STEP_MS / 2 - random.below(LATENESS_MS) as Millis
}

fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

fn text(value: &mut Vec<u8>, name: &str, field: &str) {
    write::str(value, name);
    write::str(value, field);
}

fn number(value: &mut Vec<u8>, name: &str, field: f64) {
    write::str(value, name);
    write::f64(value, field);
}

// === impl Random ===

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to `end`, which is small.
    fn below(&mut self, end: u64) -> u64 {
        ((self.next() >> 32) * end) >> 32
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len() as u64) as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeMap;

    fn make(count: usize, one: fn(&mut Generator, &mut String, &mut Vec<u8>)) -> Vec<(String, Value)> {
        let (mut generator, mut key, mut value) = (Generator::new(), String::new(), Vec::new());
        let mut made = || {
            one(&mut generator, &mut key, &mut value);
            (key.clone(), rmp_serde::from_slice(&value).unwrap())
        };
        (0..count).map(|_| made()).collect()
    }

    #[test]
    fn every_run_sees_the_same_events() {
        assert_eq!(make(100, Generator::payment), make(100, Generator::payment));
        assert_eq!(make(100, Generator::order), make(100, Generator::order));
    }

    #[test]
    fn no_event_is_further_behind_than_the_pipeline_allows_for() {
        for (field, events) in [("timestamp", make(5_000, Generator::payment)), ("ts", make(5_000, Generator::order))] {
            let mut newest = Millis::MIN;
            for (_, event) in events {
                let time = event[field].as_i64().unwrap();
                assert!(time > newest.saturating_sub(LATENESS_MS as Millis), "{event}");
                newest = newest.max(time);
            }
        }
    }

    #[test]
    fn payments_are_keyed_by_who_pays_and_few_pay_most() {
        let mut by_payer = BTreeMap::<String, usize>::new();
        for (key, payment) in make(10_000, Generator::payment) {
            assert_eq!(payment["sender_vpa"], key);
            assert!((1.0..=100_000.0).contains(&payment["amount"].as_f64().unwrap()), "{payment}");
            *by_payer.entry(key).or_default() += 1;
        }
        let most = by_payer.values().max().copied().unwrap_or_default();
        assert!(most > 500 && by_payer.len() > 2_000, "{} payers, {most} payments of one", by_payer.len());
    }
}
