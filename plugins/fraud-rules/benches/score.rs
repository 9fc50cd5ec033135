//! What a payment costs under the shipped rule sets, natively: a frame of real bytes in, effects of real bytes out.
//!
//!     cargo bench -p fraud-rules [-- PAYMENTS]
//!
//! Only the guest's function is timed, by the CPU time of its thread, and the best of the rounds counts; states and timers are kept beside it, as a host does. The
//! nanoseconds are those of this machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a benchmark may stop at the first surprise")]

use fraud_rules::FraudRules;
use sangam_protocol::effects::{Answering, EffectLimits, Effects};
use sangam_protocol::frame::FrameWriter;
use sangam_protocol::key::BROADCAST;
use sangam_protocol::msgpack::write;
use sangam_sdk::guest::Guest;
use sangam_sdk::test::Harness;
use sangam_sdk::{Encode, Millis, minutes};
use serde_json::{Value, json};

const ROUNDS: usize = 5;
const BATCH: usize = 1_000;

/// A payer pays so often on average, in event time.
struct Load {
    name: &'static str,
    payers: usize,
    every: Millis,
}

struct Cost {
    guest_ns: u64,
    state_bytes: usize,
    alerts: usize,
}

fn main() {
    let payments = std::env::args().filter_map(|argument| argument.parse().ok()).next_back().unwrap_or(200_000);
    let loads = [
        Load { name: "each payer every 2 h", payers: 5_000, every: minutes(120) },
        Load { name: "each payer every 2 min", payers: 200, every: minutes(2) },
    ];
    let rules = [
        ("no rules", json!({ "rules": [] })),
        ("default", json!({})),
        ("upi", json!({ "preset": "upi" })),
        ("upi, 250 kept", json!({ "preset": "upi", "payments_kept": 250 })),
        ("upi, zone +05:30", json!({ "preset": "upi", "zone": "+05:30" })),
        ("upi, a rule by id", json!({ "preset": "upi" })),
        ("paytm", json!({ "preset": "paytm", "fields": { "device_id": "device_id" } })),
    ];
    println!("{:<24} {:<18} {:>12} {:>16} {:>8}", "load", "rules", "ns/payment", "state bytes/key", "alerts");
    for load in &loads {
        for (name, config) in &rules {
            let ruling = if name.ends_with("by id") { by_id() } else { Vec::new() };
            let rounds: Vec<Cost> = (0..ROUNDS).map(|_| run(load, config, &ruling, payments)).collect();
            let best = rounds.iter().min_by_key(|cost| cost.guest_ns).unwrap();
            let ns = best.guest_ns / payments as u64;
            println!("{:<24} {name:<18} {ns:>12} {:>16} {:>8}", load.name, best.state_bytes / load.payers, best.alerts);
        }
    }
}

/// The broadcast state after a message with one rule.
fn by_id() -> Vec<u8> {
    let mut h = Harness::<FraudRules>::new();
    let message = json!({ "id": "huge", "rule": { "type": "amount_above", "amount": 200_000 } });
    h.send_raw_to("broadcast", -1, &rmp_serde::to_vec_named(&message).unwrap());
    let mut bytes = Vec::new();
    h.broadcast().encode(&mut bytes);
    bytes
}

fn run(load: &Load, config: &Value, ruling: &[u8], payments: usize) -> Cost {
    let guest: Guest<FraudRules> = Guest::new();
    let mut cost = Cost { guest_ns: 0, state_bytes: 0, alerts: 0 };
    call(&guest, &rmp_serde::to_vec_named(config).unwrap(), |guest, ptr, len| guest.init(ptr, len));
    let keys: Vec<String> = (0..load.payers).map(|payer| format!("user{payer:06}@okbank")).collect();
    let mut states: Vec<Option<Vec<u8>>> = vec![None; load.payers];
    let mut random = Random(7);
    let mut frame = FrameWriter::default();
    for start in (0..payments).step_by(BATCH) {
        frame.start();
        frame.key(BROADCAST, Some(ruling).filter(|ruling| !ruling.is_empty()));
        let (mut slots, mut slot_of) = (vec![usize::MAX], vec![None; load.payers]);
        for i in start..payments.min(start + BATCH) {
            let payer = random.below(load.payers);
            let time = i as Millis * load.every / load.payers as Millis;
            fields(frame.event(time, time - 5_000), &mut random, i, payer);
            let slot = *slot_of[payer].get_or_insert_with(|| {
                slots.push(payer);
                frame.key(keys[payer].as_bytes(), states[payer].as_deref())
            });
            frame.slot(slot);
            frame.kind(0);
        }
        let bytes = frame.finish(Millis::MIN, Millis::MAX).concat();
        let begun = cpu_ns();
        let effects = call(&guest, &bytes, |guest, ptr, len| guest.process(ptr, len)).to_vec();
        cost.guest_ns += cpu_ns() - begun;
        let answering = Answering { events: payments.min(start + BATCH) - start, slots: slots.len(), timers: 0, ports: 2 };
        let effects = Effects::read(&effects, answering, &EffectLimits::default()).unwrap();
        cost.alerts += effects.emits().count() - answering.events;
        for (slot, state) in effects.states() {
            states[slots[slot as usize]] = state.map(<[u8]>::to_vec);
        }
    }
    cost.state_bytes = states.iter().flatten().map(Vec::len).sum();
    cost
}

/// The fields of a payment, in the order in which the operator asks for them.
fn fields(out: &mut Vec<u8>, random: &mut Random, i: usize, payer: usize) {
    const CITIES: [&str; 7] = ["Mumbai", "Delhi", "Bengaluru", "Chennai", "Pune", "Kolkata", "Surat"];
    write::array(out, 9);
    write::str(out, &format!("t{i}"));
    // From 1 to 100,000, evenly over the orders of magnitude.
    write::f64(out, (10f64.powf(random.unit() * 5.0) * 100.0).round() / 100.0);
    let device = if random.below(200) == 0 { random.below(1 << 30) } else { payer };
    write::str(out, &format!("device-{device:010}"));
    let home = payer % CITIES.len();
    write::str(out, CITIES[if random.below(500) == 0 { random.below(CITIES.len()) } else { home }]);
    if random.below(10) < 3 {
        write::str(out, &format!("merchant{:03}", random.below(20)));
        write::str(out, "groceries");
    } else {
        write::nil(out);
        write::nil(out);
    }
    write::str(out, "p2p");
    write::str(out, "wallet");
    write::nil(out);
}

fn call<'g>(
    guest: &'g Guest<FraudRules>,
    bytes: &[u8],
    f: impl Fn(&'g Guest<FraudRules>, *const u8, usize) -> (*const u8, usize),
) -> &'g [u8] {
    let ptr = guest.alloc(bytes.len());
    // SAFETY: `alloc` gives room for so many bytes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), ptr, bytes.len()) };
    let (ptr, len) = f(guest, ptr, bytes.len());
    // SAFETY: the reply is valid until the next call, which the borrow of the guest does not see; every caller copies it before.
    unsafe { std::slice::from_raw_parts(ptr, len) }
}

/// CPU time of this thread.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which is this one.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A linear congruential generator: the same payments in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }

    fn unit(&mut self) -> f64 {
        self.next() as f64 / (1u64 << 31) as f64
    }
}
