//! The workloads as loops written by hand, on one thread: the floor that the engine is measured against.
//!
//! They trust their input, which the generator made, and have no state to keep, no commits, no operator to protect themselves from.

use super::frames::Frames;
use super::totals::{Totals, cents};
use hashbrown::{HashMap, HashSet};
use rustc_hash::FxBuildHasher;
use std::collections::{BTreeMap, VecDeque};

type Table<K, V> = HashMap<K, V, FxBuildHasher>;

const WINDOW_MS: u64 = 60_000;
const DISORDER_MS: u64 = 5_000;

/// W1.
pub fn w1(frames: &Frames) -> Totals {
    let mut out = Output::default();
    for record in frames.iter() {
        let payment = Payment::decode(record);
        if payment.amount > 10_000.0 {
            out.map(3);
            out.text("transaction_id", payment.transaction_id);
            out.text("sender_vpa", payment.sender_vpa);
            out.float("amount", payment.amount);
            out.done();
        }
    }
    out.totals()
}

/// W2.
pub fn w2(frames: &Frames) -> Totals {
    let mut out = Output::default();
    let mut windows: Windows<Table<Box<str>, (u64, f64)>> = Windows::default();
    let close = |out: &mut Output, start: u64, senders: Table<Box<str>, (u64, f64)>| {
        for (sender, (count, sum)) in senders {
            out.map(4);
            out.text("sender_vpa", &sender);
            out.integer("window_start", start);
            out.integer("count", count);
            out.float("sum", sum);
            out.totals.count += count;
            out.totals.cents += cents(sum);
            out.done();
        }
    };
    for record in frames.iter() {
        let payment = Payment::decode(record);
        let senders = windows.at(payment.timestamp);
        let sender = match senders.get_mut(payment.sender_vpa) {
            Some(known) => known,
            None => senders.entry(payment.sender_vpa.into()).or_default(),
        };
        sender.0 += 1;
        sender.1 += payment.amount;
        windows.advance(payment.timestamp, |start, senders| close(&mut out, start, senders));
    }
    windows.open.into_iter().for_each(|(start, senders)| close(&mut out, start, senders));
    out.totals()
}

/// W3.
pub fn w3(frames: &Frames) -> Totals {
    let mut out = Output::default();
    let mut hours: Table<Box<str>, Hour> = Table::default();
    for record in frames.iter() {
        let payment = Payment::decode(record);
        let hour = match hours.get_mut(payment.sender_vpa) {
            Some(known) => known,
            None => hours.entry(payment.sender_vpa.into()).or_default(),
        };
        hour.add((payment.timestamp / 60_000) as u32, cents(payment.amount));
        let sum = hour.cents as f64 / 100.0;
        out.map(5);
        out.text("transaction_id", payment.transaction_id);
        out.text("sender_vpa", payment.sender_vpa);
        out.integer("count_1h", u64::from(hour.count));
        out.float("sum_1h", sum);
        out.float("score", 0.5 * (f64::from(hour.count) / 50.0).min(1.0) + 0.5 * (sum / 500_000.0).min(1.0));
        out.totals.count += u64::from(hour.count);
        out.totals.cents = out.totals.cents.wrapping_add(hour.cents);
        out.done();
    }
    out.totals()
}

/// W4.
pub fn w4(frames: &Frames) -> Totals {
    type Groups<'a> = Table<(&'a str, &'a str), (u64, i64)>;
    let mut out = Output::default();
    // Seventy names: each is kept once.
    let mut names: HashSet<&str, FxBuildHasher> = HashSet::default();
    let mut windows: Windows<Groups<'_>> = Windows::default();
    let close = |out: &mut Output, start: u64, groups: Groups<'_>| {
        let mut best = Vec::with_capacity(groups.len());
        for ((city, category), (count, cents)) in groups {
            out.map(5);
            out.text("city", city);
            out.text("category", category);
            out.integer("window_start", start);
            out.integer("count", count);
            out.float("revenue", cents as f64 / 100.0);
            out.totals.count += count;
            out.totals.cents += cents;
            out.done();
            best.push((city, category, cents));
        }
        out.top(start, best);
    };
    for record in frames.iter() {
        let order = Order::decode(record);
        let groups = windows.at(order.ts);
        let group = match groups.get_mut(&(order.city, order.category)) {
            Some(known) => known,
            None => {
                let mut name = |text| *names.get_or_insert_with(text, |_| text);
                let (city, category) = (name(order.city), name(order.category));
                groups.entry((city, category)).or_default()
            }
        };
        group.0 += 1;
        group.1 += cents(order.amount);
        windows.advance(order.ts, |start, groups| close(&mut out, start, groups));
    }
    windows.open.into_iter().for_each(|(start, groups)| close(&mut out, start, groups));
    out.totals()
}

/// Open windows by their start.
struct Windows<T> {
    open: BTreeMap<u64, T>,
    newest: u64,
    /// End of the oldest open window.
    next: u64,
}

impl<T> Default for Windows<T> {
    fn default() -> Self {
        Windows { open: BTreeMap::new(), newest: 0, next: u64::MAX }
    }
}

impl<T: Default> Windows<T> {
    /// The window around a time.
    #[inline(always)]
    fn at(&mut self, time: u64) -> &mut T {
        let start = time - time % WINDOW_MS;
        self.next = self.next.min(start + WINDOW_MS);
        self.open.entry(start).or_default()
    }

    /// Closes the windows that are over now that there was an event at `time`.
    #[inline(always)]
    fn advance(&mut self, time: u64, mut close: impl FnMut(u64, T)) {
        if time <= self.newest {
            return;
        }
        self.newest = time;
        while self.newest - DISORDER_MS >= self.next {
            let Some((start, content)) = self.open.pop_first() else { return };
            close(start, content);
            self.next = self.open.keys().next().map_or(u64::MAX, |start| start + WINDOW_MS);
        }
    }
}

/// The last hour of one sender: minute, count, cents of each minute with a payment, and their totals.
#[derive(Default)]
struct Hour {
    minutes: VecDeque<(u32, u32, i64)>,
    count: u32,
    cents: i64,
}

impl Hour {
    #[inline(always)]
    fn add(&mut self, minute: u32, cents: i64) {
        let minutes = &mut self.minutes;
        let newest = minutes.back().map_or(minute, |last| last.0.max(minute));
        if minute + 60 > newest {
            let mut place = minutes.len();
            while place > 0 && minutes[place - 1].0 > minute {
                place -= 1;
            }
            if place > 0 && minutes[place - 1].0 == minute {
                minutes[place - 1].1 += 1;
                minutes[place - 1].2 += cents;
            } else {
                minutes.insert(place, (minute, 1, cents));
            }
            self.count += 1;
            self.cents += cents;
        }
        while let Some(&(first, count, cents)) = minutes.front() {
            if first + 60 > newest {
                break;
            }
            self.count -= count;
            self.cents -= cents;
            minutes.pop_front();
        }
    }
}

// === events ===

#[derive(Default)]
struct Payment<'a> {
    transaction_id: &'a str,
    sender_vpa: &'a str,
    receiver_vpa: &'a str,
    amount: f64,
    timestamp: u64,
    device_id: &'a str,
    location: &'a str,
    merchant_category: Option<&'a str>,
}

impl<'a> Payment<'a> {
    #[inline(always)]
    fn decode(record: &'a [u8]) -> Self {
        let mut input = Input { bytes: record, at: 0 };
        let mut payment = Payment::default();
        for _ in 0..input.map() {
            match input.bytes_of_text() {
                b"transaction_id" => payment.transaction_id = input.text(),
                b"sender_vpa" => payment.sender_vpa = input.text(),
                b"receiver_vpa" => payment.receiver_vpa = input.text(),
                b"amount" => payment.amount = input.float(),
                b"timestamp" => payment.timestamp = input.integer(),
                b"device_id" => payment.device_id = input.text(),
                b"location" => payment.location = input.text(),
                b"merchant_category" => payment.merchant_category = Some(input.text()),
                other => panic!("no payment has a field {other:?}"),
            }
        }
        payment
    }
}

#[derive(Default)]
struct Order<'a> {
    order_id: &'a str,
    user_id: &'a str,
    category: &'a str,
    city: &'a str,
    amount: f64,
    ts: u64,
}

impl<'a> Order<'a> {
    #[inline(always)]
    fn decode(record: &'a [u8]) -> Self {
        let mut input = Input { bytes: record, at: 0 };
        let mut order = Order::default();
        for _ in 0..input.map() {
            match input.bytes_of_text() {
                b"order_id" => order.order_id = input.text(),
                b"user_id" => order.user_id = input.text(),
                b"category" => order.category = input.text(),
                b"city" => order.city = input.text(),
                b"amount" => order.amount = input.float(),
                b"ts" => order.ts = input.integer(),
                other => panic!("no order has a field {other:?}"),
            }
        }
        order
    }
}

// === the encoding ===

/// Reads one record.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    #[inline(always)]
    fn byte(&mut self) -> u8 {
        let byte = self.bytes[self.at];
        self.at += 1;
        byte
    }

    #[inline(always)]
    fn take(&mut self, len: usize) -> &'a [u8] {
        let taken = &self.bytes[self.at..self.at + len];
        self.at += len;
        taken
    }

    #[inline(always)]
    fn eight(&mut self) -> [u8; 8] {
        let mut eight = [0; 8];
        eight.copy_from_slice(self.take(8));
        eight
    }

    #[inline(always)]
    fn map(&mut self) -> usize {
        match self.byte() {
            marker @ 0x80..=0x8f => usize::from(marker & 0x0f),
            marker => panic!("{marker:#x} where a map belongs"),
        }
    }

    #[inline(always)]
    fn bytes_of_text(&mut self) -> &'a [u8] {
        let len = match self.byte() {
            marker @ 0xa0..=0xbf => usize::from(marker & 0x1f),
            0xd9 => usize::from(self.byte()),
            marker => panic!("{marker:#x} where text belongs"),
        };
        self.take(len)
    }

    #[inline(always)]
    #[expect(clippy::expect_used, reason = "the generator writes text as UTF-8")]
    fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.bytes_of_text()).expect("text is UTF-8")
    }

    #[inline(always)]
    fn float(&mut self) -> f64 {
        assert_eq!(self.byte(), 0xcb, "a float belongs here");
        f64::from_be_bytes(self.eight())
    }

    #[inline(always)]
    fn integer(&mut self) -> u64 {
        match self.byte() {
            marker @ 0x00..=0x7f => u64::from(marker),
            0xcf => u64::from_be_bytes(self.eight()),
            marker => panic!("{marker:#x} where an integer belongs"),
        }
    }
}

/// Takes records and drops them a buffer at a time, as if to a writer.
#[derive(Default)]
struct Output {
    buffer: Vec<u8>,
    totals: Totals,
}

/// Bytes after which the buffer is dropped.
const BUFFER: usize = 256 << 10;

impl Output {
    #[inline(always)]
    fn map(&mut self, fields: u8) {
        self.buffer.push(0x80 | fields);
    }

    #[inline(always)]
    fn str(&mut self, value: &str) {
        let len = value.len();
        if len < 32 {
            self.buffer.push(0xa0 | len as u8);
        } else {
            assert!(len < 256, "no text is this long");
            self.buffer.extend_from_slice(&[0xd9, len as u8]);
        }
        self.buffer.extend_from_slice(value.as_bytes());
    }

    #[inline(always)]
    fn text(&mut self, name: &str, value: &str) {
        self.str(name);
        self.str(value);
    }

    #[inline(always)]
    fn float(&mut self, name: &str, value: f64) {
        self.str(name);
        self.buffer.push(0xcb);
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Always nine bytes.
    #[inline(always)]
    fn integer(&mut self, name: &str, value: u64) {
        self.str(name);
        self.buffer.push(0xcf);
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// The ten largest, as one record.
    fn top(&mut self, start: u64, mut groups: Vec<(&str, &str, i64)>) {
        let kept = groups.len().min(10);
        if kept == 0 {
            return;
        }
        groups.select_nth_unstable_by(kept - 1, |a, b| b.2.cmp(&a.2));
        groups.truncate(kept);
        groups.sort_unstable_by_key(|group| std::cmp::Reverse(group.2));
        self.map(2);
        self.integer("window_start", start);
        self.str("top");
        self.buffer.push(0x90 | kept as u8);
        for (city, category, cents) in groups {
            self.map(3);
            self.text("city", city);
            self.text("category", category);
            self.float("revenue", cents as f64 / 100.0);
        }
        self.totals.tops += 1;
        self.spill();
    }

    #[inline(always)]
    fn done(&mut self) {
        self.totals.records += 1;
        self.spill();
    }

    #[inline(always)]
    fn spill(&mut self) {
        if self.buffer.len() > BUFFER {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.totals.bytes += self.buffer.len() as u64;
        std::hint::black_box(self.buffer.as_ptr());
        self.buffer.clear();
    }

    fn totals(mut self) -> Totals {
        self.flush();
        self.totals
    }
}
