//! Makes the events: the same ones each time, out of order by up to five seconds, with few senders that are busy and many that are not.

use super::frames::{Events, Frames, Kind};
use sangam_protocol::msgpack::write;
use std::io::Write;

/// Senders; how often each appears follows Zipf's law with exponent 1.1.
const SENDERS: usize = 100_000;

/// Event time of the first event, a full minute.
const BASE_MS: u64 = 1_700_000_040_000;

/// An event is up to this much older than its place in the order says.
const DISORDER_MS: u64 = 5_000;

const CITIES: [&str; 50] = [
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
    "Agra",
    "Nashik",
    "Faridabad",
    "Meerut",
    "Rajkot",
    "Varanasi",
    "Srinagar",
    "Aurangabad",
    "Dhanbad",
    "Amritsar",
    "Prayagraj",
    "Ranchi",
    "Howrah",
    "Coimbatore",
    "Jabalpur",
    "Gwalior",
    "Vijayawada",
    "Jodhpur",
    "Madurai",
    "Raipur",
    "Kota",
    "Guwahati",
    "Chandigarh",
    "Solapur",
    "Hubli",
    "Mysuru",
    "Tiruchirappalli",
    "Bareilly",
    "Aligarh",
    "Kochi",
];

const CATEGORIES: [&str; 20] = [
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
    "books",
    "toys",
    "sports",
    "garden",
    "beauty",
    "furniture",
    "music",
    "pets",
];

/// Makes `count` events.
pub fn generate(events: Events, count: usize) -> Frames {
    let senders = Senders::new();
    let mut random = SplitMix64(42);
    let mut frames = Frames::default();
    let mut text = Text::default();
    for i in 0..count as u64 {
        let sender = senders.pick(&mut random);
        let size = random.unit();
        let time = BASE_MS + i * events.step_us / 1000 - random.below(DISORDER_MS);
        frames.push(|out| match events.kind {
            Kind::Payments => payment(out, &mut text, &mut random, i, sender, size, time),
            Kind::Orders => order(out, &mut text, &mut random, i, sender, size, time),
        });
    }
    frames
}

fn payment(out: &mut Vec<u8>, text: &mut Text, random: &mut SplitMix64, i: u64, sender: usize, size: f64, time: u64) {
    let (receiver, device) = (random.below(10_000), random.next() as u32);
    let location = CITIES[random.below(20) as usize];
    let category = (random.below(5) != 0).then(|| CATEGORIES[random.below(12) as usize]);
    write::map(out, if category.is_some() { 8 } else { 7 });
    field(out, "transaction_id", text.put(format_args!("txn-{i:012}")));
    field(out, "sender_vpa", text.put(format_args!("user{sender:06}@okbank")));
    field(out, "receiver_vpa", text.put(format_args!("shop{receiver:05}@upi")));
    write::str(out, "amount");
    write::f64(out, hundredths(10f64.powf(size * 5.0)));
    write::str(out, "timestamp");
    wide(out, time);
    field(out, "device_id", text.put(format_args!("dev-{device:08x}")));
    field(out, "location", location);
    if let Some(category) = category {
        field(out, "merchant_category", category);
    }
}

fn order(out: &mut Vec<u8>, text: &mut Text, random: &mut SplitMix64, i: u64, user: usize, size: f64, time: u64) {
    let (category, city) = (CATEGORIES[random.below(20) as usize], CITIES[random.below(50) as usize]);
    write::map(out, 6);
    field(out, "order_id", text.put(format_args!("ord-{i:010}")));
    field(out, "user_id", text.put(format_args!("user{user:06}")));
    field(out, "category", category);
    field(out, "city", city);
    write::str(out, "amount");
    write::f64(out, hundredths(10f64.powf(1.0 + size * 3.0)));
    write::str(out, "ts");
    wide(out, time);
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    write::str(out, name);
    write::str(out, value);
}

/// Always nine bytes, whatever the number.
fn wide(out: &mut Vec<u8>, value: u64) {
    out.push(0xcf);
    out.extend_from_slice(&value.to_be_bytes());
}

fn hundredths(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

/// Text that is put together in one buffer.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn put(&mut self, text: std::fmt::Arguments<'_>) -> &str {
        self.0.clear();
        // Writing to memory does not fail, and what was formatted is text.
        let _ = self.0.write_fmt(text);
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Steele, Lea and Flood's generator: one number in, one number out, the same on every machine.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to, but not including, 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to, but not including, `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        ((self.next() >> 32) * bound) >> 32
    }
}

/// Picks senders by Zipf's law.
struct Senders {
    cumulative: Vec<f64>,
}

impl Senders {
    fn new() -> Senders {
        let mut sum = 0.0;
        let mut share = |rank: usize| {
            sum += 1.0 / (rank as f64).powf(1.1);
            sum
        };
        Senders { cumulative: (1..=SENDERS).map(&mut share).collect() }
    }

    fn pick(&self, random: &mut SplitMix64) -> usize {
        let at = random.unit() * self.cumulative[SENDERS - 1];
        let rank = self.cumulative.partition_point(|sum| *sum < at).min(SENDERS - 1);
        // Busy senders are to lie apart, so that their names do not sort together.
        (rank * 7919 + 13) % SENDERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// Of the first 20 000 events, each behind its length in four bytes, little-endian, as the peers were given them.
    #[test]
    fn the_events_are_the_ones_that_the_peers_were_measured_with() {
        let check = |events, expected: &str| {
            let mut sha = Sha256::new();
            for record in generate(events, 20_000).iter() {
                sha.update((record.len() as u32).to_le_bytes());
                sha.update(record);
            }
            let sha: String = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(sha, expected, "{events:?}");
        };
        check(Events::PAYMENTS, "44a7516d552af4df272eacd1fd66d1b59a3fae54c48db18978e96b5de621d19b");
        check(Events::SLOW_PAYMENTS, "9d0019105d59571e9de4d040032aa8ad2a4519fa62a62dd7e3d5e5fe863d9a4e");
        check(Events::ORDERS, "d8ad5e6f0852850bc6c6c7dc131860e4e589b60c05d2907018fe4bc89a3710ae");
    }
}
