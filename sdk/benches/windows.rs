//! What an event costs in windows of each kind, against tumbling ones of the same size, on the same events in the same run.
//!
//!     cargo bench -p sangam-sdk --bench windows [-- EVENTS] [KIND]
//!
//! Only the guest is timed: a frame of real bytes in, effects of real bytes out. States and timers are kept beside it, as a host does,
//! outside of what is timed. The figures are ratios, medians over rounds in turn; the nanoseconds are those of this machine.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sangam_protocol::effects::{Answering, EffectLimits, Effects};
use sangam_protocol::frame::{DueTimer, FrameWriter};
use sangam_protocol::msgpack::write;
use sangam_sdk::guest::{Guest, provide_cells};
use sangam_sdk::*;

const ROUNDS: usize = 5;

macro_rules! totals {
    ($module:ident, $($window:tt)*) => {
        mod $module {
            use sangam_sdk::*;

            #[event]
            pub struct Sale<'a> {
                pub shop: &'a str,
                pub amount: f64,
            }
            #[event]
            pub struct Row {
                pub start: Millis,
                pub sales: u64,
                pub total: f64,
            }
            #[state]
            pub struct Total {
                sales: u64,
                total: f64,
            }
            #[operator(key = "shop", $($window)*)]
            impl Total {
                fn add(&mut self, sale: Sale<'_>) {
                    self.sales += 1;
                    self.total += sale.amount;
                }
                #[allow(dead_code, reason = "tumbling windows do not merge")]
                fn merge(&mut self, later: Self) {
                    self.sales += later.sales;
                    self.total += later.total;
                }
                fn close(self, w: Window) -> Row {
                    Row { start: w.start, sales: self.sales, total: self.total }
                }
            }
        }
    };
}

totals!(tumbling, window = "1h");
totals!(minutely, window = "1m");
totals!(hopping, window = hopping("1h", "1m"));
totals!(cumulate, window = cumulate("1h", "1m"));
totals!(session, window = session("30s"));
totals!(count, window = count(60, 10));

/// Events, by key number and time.
struct Load {
    name: &'static str,
    keys: usize,
    events: Vec<(usize, Millis)>,
}

impl Load {
    /// `rate` events per second of event time over `keys` keys; a key pauses for a minute after every two, so that its sessions end.
    fn new(name: &'static str, keys: usize, rate: i64, events: usize) -> Load {
        let mut seed = 7u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize
        };
        let mut load = Load { name, keys, events: Vec::with_capacity(events) };
        let mut i = 0;
        while load.events.len() < events {
            let time = i * 1_000 / rate;
            i += 1;
            let key = random() % keys;
            let behind = (random() % 2_000) as i64;
            if (time / 60_000 + key as i64) % 3 != 0 {
                load.events.push((key, time - behind));
            }
        }
        load
    }
}

/// What the host keeps.
#[derive(Default)]
struct Host {
    states: Vec<Option<Vec<u8>>>,
    cells: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Pending timers by time and order of setting: the key.
    queue: BTreeMap<(Millis, u64), usize>,
    /// The pending timer of each key.
    pending: HashMap<usize, (Millis, u64)>,
    settings: u64,
}

struct Cost {
    guest: Duration,
    outputs: usize,
    state_bytes: usize,
    cell_bytes: usize,
}

fn run<O: Operator>(load: &Load, batch: usize) -> Cost {
    let guest: Guest<O> = Guest::new();
    let mut cost = Cost { guest: Duration::ZERO, outputs: 0, state_bytes: 0, cell_bytes: 0 };
    enter(&guest, &[0x80], |guest, ptr, len| guest.init(ptr, len));
    let mut host = Host { states: vec![None; load.keys], cells: vec![BTreeMap::new(); load.keys], ..Host::default() };
    let (mut frame, mut watermark, mut newest) = (FrameWriter::default(), Millis::MIN, Millis::MIN);
    let names: Vec<String> = (0..load.keys).map(|key| format!("shop-{key}")).collect();
    for chunk in load.events.chunks(batch).map(Some).chain([None]) {
        frame.start();
        let mut slots: HashMap<usize, u32> = HashMap::new();
        let mut keys: Vec<usize> = Vec::new();
        let mut slot_of = |frame: &mut FrameWriter, key: usize| {
            *slots.entry(key).or_insert_with(|| {
                keys.push(key);
                frame.key(names[key].as_bytes(), host.states[key].as_deref())
            })
        };
        for &(key, time) in chunk.unwrap_or_default() {
            let fields = frame.event(time, watermark);
            write::array(fields, 2);
            write::str(fields, &names[key]);
            write::f64(fields, time as f64);
            let slot = slot_of(&mut frame, key);
            frame.slot(slot);
            newest = newest.max(time);
            watermark = newest - 5_001;
        }
        let after = if chunk.is_some() { watermark } else { Millis::MAX };
        let mut due = 0;
        while let Some((&(at, order), &key)) = host.queue.first_key_value().filter(|((at, _), _)| *at <= after) {
            host.queue.remove(&(at, order));
            host.pending.remove(&key);
            let slot = slot_of(&mut frame, key);
            frame.timer(DueTimer { slot, at, name: "window" });
            due += 1;
        }
        provide_cells(keys.iter().map(|key| std::mem::take(&mut host.cells[*key])).collect());
        let bytes = frame.finish(after, Millis::MAX).concat();
        let started = cpu_time();
        let (ptr, len) = enter(&guest, &bytes, |guest, ptr, len| guest.process(ptr, len));
        if chunk.is_some() {
            // When time ends all windows close at once, which is no part of what an event costs.
            cost.guest += cpu_time() - started;
        }
        for (key, cells) in keys.iter().zip(provide_cells(Vec::new())) {
            host.cells[*key] = cells;
        }
        // SAFETY: the effects stay where they are until the next call.
        let effects = unsafe { std::slice::from_raw_parts(ptr, len) };
        let answering = Answering { events: chunk.unwrap_or_default().len(), slots: keys.len(), timers: due, ports: 1 };
        let limits = EffectLimits { output_bytes: usize::MAX, ..EffectLimits::default() };
        let effects = Effects::read(effects, answering, &limits).unwrap_or_else(|error| panic!("{error}"));
        cost.outputs += if chunk.is_some() { effects.emit_count() } else { 0 };
        for (slot, state) in effects.states() {
            host.states[keys[slot as usize]] = state.map(<[u8]>::to_vec);
        }
        for (slot, cell, value) in effects.cells() {
            let cells = &mut host.cells[keys[slot as usize]];
            match value {
                Some(value) => cells.insert(cell.to_vec(), value.to_vec()),
                None => cells.remove(cell),
            };
        }
        for (slot, _, at) in effects.timers() {
            let key = keys[slot as usize];
            if let Some(before) = host.pending.remove(&key) {
                host.queue.remove(&before);
            }
            if let Some(at) = at {
                host.settings += 1;
                host.pending.insert(key, (at, host.settings));
                host.queue.insert((at, host.settings), key);
            }
        }
        cost.state_bytes = cost.state_bytes.max(host.states.iter().flatten().map(Vec::len).max().unwrap_or(0));
        cost.cell_bytes = cost.cell_bytes.max(host.cells.iter().flat_map(BTreeMap::values).map(Vec::len).max().unwrap_or(0));
    }
    assert!(host.states.iter().all(Option::is_none) && host.cells.iter().all(BTreeMap::is_empty), "a state is left");
    assert!(host.queue.is_empty(), "a timer is left");
    cost
}

/// Lays bytes where the guest wants them, and calls it.
fn enter<O: Operator, R>(guest: &Guest<O>, bytes: &[u8], call: impl FnOnce(&Guest<O>, *const u8, usize) -> R) -> R {
    let ptr = guest.alloc(bytes.len());
    // SAFETY: the guest has given a buffer of at least that many bytes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), ptr, bytes.len()) };
    call(guest, ptr, bytes.len())
}

type Run = fn(&Load, usize) -> Cost;

fn main() {
    let events = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let kinds: [(&str, Run); 6] = [
        ("tumbling 1h", run::<tumbling::Total>),
        ("tumbling 1m", run::<minutely::Total>),
        ("hopping 1h/1m", run::<hopping::Total>),
        ("cumulate 1h/1m", run::<cumulate::Total>),
        ("session 30s", run::<session::Total>),
        ("count 60/10", run::<count::Total>),
    ];
    let only = std::env::args().skip(1).find(|word| kinds.iter().any(|(name, _)| name.starts_with(word.as_str())));
    let kinds: Vec<_> = kinds
        .into_iter()
        .filter(|(name, _)| only.as_ref().is_none_or(|only| name.starts_with(only.as_str()) || name.starts_with("tumbling")))
        .collect();
    for load in [Load::new("100 keys, 500 events/s", 100, 500, events), Load::new("1,000 keys, 500 events/s", 1_000, 500, events)] {
        println!("\n{} events, {}, batches of 1,024", load.events.len(), load.name);
        println!("{:16} {:>9} {:>8} {:>12} {:>11} {:>10}", "window", "ns/event", "ratio", "results", "state bytes", "cell bytes");
        let mut times = vec![Vec::new(); kinds.len()];
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            last = kinds.iter().map(|(_, run)| run(&load, 1_024)).collect();
            for (times, cost) in times.iter_mut().zip(&last) {
                times.push(cost.guest.as_nanos() as f64 / load.events.len() as f64);
            }
        }
        // Each against the tumbling windows of its own round, so that a busy machine slows both.
        let base = times[0].clone();
        for (((name, _), times), cost) in kinds.iter().zip(&times).zip(&last) {
            let ratios = times.iter().zip(&base).map(|(time, base)| time / base).collect();
            let (ns, ratio) = (median(times.clone()), median(ratios));
            println!("{name:16} {ns:9.0} {ratio:8.2} {:12} {:11} {:10}", cost.outputs, cost.state_bytes, cost.cell_bytes);
        }
    }
}

/// CPU time of this thread: what else runs on the machine counts only as far as it takes the caches.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which is this one.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
