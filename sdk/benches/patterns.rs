//! What an event costs in a sequence of three at 100,000 keys: CPU time of the operator, native, through the bytes of the boundary.
//!
//! The host around it is the smallest that keeps states and timers; its time is not counted. Beside it runs an operator that only counts,
//! on the same events: what an event costs before any pattern.

#![expect(missing_docs, reason = "a benchmark")]
#![expect(clippy::panic, reason = "a benchmark: the first surprise ends it")]

use std::collections::BTreeMap;

use sangam_protocol::effects::{Answering, EffectLimits, Effects};
use sangam_protocol::frame::{DueTimer, FrameWriter};
use sangam_protocol::{Millis, WATERMARK_MAX, WATERMARK_MIN};
use sangam_sdk::guest::Guest;
use sangam_sdk::pattern::{AfterMatch, Match, Pattern};
use sangam_sdk::*;

const KEYS: usize = 100_000;
const EVENTS: usize = 2_000_000;
const BATCH: usize = 1_000;

#[event]
pub struct Step {
    pub kind: u32,
    pub amount: f64,
}

#[event]
pub struct Hit {
    pub amount: f64,
}

#[config]
pub struct Sequence;

#[operator(keyed, pattern)]
impl Sequence {
    fn pattern(&self) -> Pattern<Step> {
        Pattern::begin("first")
            .where_(|step: &Step, _| step.kind == 0)
            .followed_by("second")
            .where_(|step, _| step.kind == 1)
            .followed_by("third")
            .where_(|step, _| step.kind == 2 && step.amount > 0.0)
            .within(minutes(10))
            .after_match(AfterMatch::SkipPastLastEvent)
    }
    fn on_match(&self, m: Match<Step>) -> Option<Hit> {
        m.last("third").map(|third| Hit { amount: third.amount })
    }
}

#[state]
pub struct Count {
    pub count: u64,
    pub total: f64,
}

#[operator(keyed)]
pub fn counting(step: Step, count: &mut Count) -> Option<Hit> {
    count.count += 1;
    count.total += step.amount;
    count.count.is_multiple_of(3).then_some(Hit { amount: count.total })
}

/// States and timers of all keys.
struct Host<O: Operator> {
    guest: Guest<O>,
    states: Vec<Option<Vec<u8>>>,
    timers: BTreeMap<(Millis, u64), usize>,
    timer_of: Vec<Option<(Millis, u64)>>,
    order: u64,
    /// Slot of a key in the batch, and the batch that it was given in.
    slots: Vec<(u32, usize)>,
    frame: FrameWriter,
    ns: u64,
    hits: usize,
    batches: usize,
}

/// One event: its key, its time, what it is.
struct Event {
    key: usize,
    time: Millis,
    kind: u32,
}

impl<O: Operator> Host<O> {
    fn new() -> Self {
        let guest = Guest::<O>::new();
        let ptr = guest.alloc(1);
        // SAFETY: the guest has just given this buffer of at least one byte.
        unsafe { ptr.write(0x80) };
        assert_eq!(guest.init(ptr, 1).1, 0);
        Host {
            guest,
            states: vec![None; KEYS],
            timers: BTreeMap::new(),
            timer_of: vec![None; KEYS],
            order: 0,
            slots: vec![(0, usize::MAX); KEYS],
            frame: FrameWriter::default(),
            ns: 0,
            hits: 0,
            batches: 0,
        }
    }

    /// Runs a batch. An event's watermark is that of the ones before it, `bound` behind.
    fn batch(&mut self, events: &[Event], watermark: &mut Millis, bound: Millis) {
        self.frame.start();
        let mut keys = Vec::new();
        let number = self.batches;
        let slot_of = |frame: &mut FrameWriter, slots: &mut [(u32, usize)], keys: &mut Vec<usize>, state: &Option<Vec<u8>>, key: usize| {
            if slots[key].1 != number {
                slots[key] = (frame.key(&(key as u32).to_be_bytes(), state.as_deref()), number);
                keys.push(key);
            }
            slots[key].0
        };
        for event in events {
            let fields = self.frame.event(event.time, *watermark);
            fields.push(0x92);
            event.kind.encode(fields);
            (event.time as f64).encode(fields);
            let slot = slot_of(&mut self.frame, &mut self.slots, &mut keys, &self.states[event.key], event.key);
            self.frame.slot(slot);
            *watermark = (*watermark).max(event.time - bound - 1);
        }
        let mut due = 0;
        while let Some((&place, &key)) = self.timers.first_key_value().filter(|((at, _), _)| *at <= *watermark) {
            self.timers.remove(&place);
            self.timer_of[key] = None;
            let slot = slot_of(&mut self.frame, &mut self.slots, &mut keys, &self.states[key], key);
            self.frame.timer(DueTimer { slot, at: place.0, name: "pattern" });
            due += 1;
        }
        let bytes = self.frame.finish(*watermark, WATERMARK_MAX).concat();
        let ptr = self.guest.alloc(bytes.len());
        // SAFETY: the guest has just given this buffer of at least so many bytes.
        unsafe { ptr.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        let start = cpu_ns();
        let (effects, len) = self.guest.process(ptr, bytes.len());
        self.ns += cpu_ns() - start;
        // SAFETY: the effects stay where they are until the next call.
        let effects = unsafe { std::slice::from_raw_parts(effects, len) };
        let answering = Answering { events: events.len(), slots: keys.len(), timers: due, ports: 1 };
        let effects = Effects::read(effects, answering, &EffectLimits::default()).unwrap_or_else(|why| panic!("{why}"));
        self.hits += effects.emit_count();
        for (slot, state) in effects.states() {
            self.states[keys[slot as usize]] = state.map(<[u8]>::to_vec);
        }
        for (slot, _, at) in effects.timers() {
            let key = keys[slot as usize];
            if let Some(place) = self.timer_of[key].take() {
                self.timers.remove(&place);
            }
            if let Some(at) = at {
                self.order += 1;
                self.timers.insert((at, self.order), key);
                self.timer_of[key] = Some((at, self.order));
            }
        }
        self.batches += 1;
    }
}

/// CPU time of this thread.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which is this one.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Events of keys in random order, 5 per millisecond; the kinds of a key go round, and one event in four is of no use.
fn events() -> Vec<Event> {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut kinds = vec![0u32; KEYS];
    let event = |i: usize| {
        let key = (next() % KEYS as u64) as usize;
        let kind = if next() % 4 == 0 {
            9
        } else {
            kinds[key] += 1;
            (kinds[key] - 1) % 3
        };
        Event { key, time: 1_700_000_000_000 + i as i64 / 5, kind }
    };
    (0..EVENTS).map(event).collect()
}

fn measure<O: Operator>(name: &str, events: &[Event], bound: Millis) {
    let mut host = Host::<O>::new();
    let mut watermark = WATERMARK_MIN;
    let (warm, counted) = events.split_at(EVENTS / 4);
    warm.chunks(BATCH).for_each(|batch| host.batch(batch, &mut watermark, bound));
    (host.ns, host.hits) = (0, 0);
    counted.chunks(BATCH).for_each(|batch| host.batch(batch, &mut watermark, bound));
    let live: Vec<usize> = host.states.iter().flatten().map(Vec::len).collect();
    let bytes = live.iter().sum::<usize>() / live.len().max(1);
    println!(
        "{name:<44} {:>5} ns per event   {:>6} hits   {bytes:>3} bytes of state per live key",
        host.ns / counted.len() as u64,
        host.hits
    );
}

fn main() {
    let events = events();
    for _ in 0..3 {
        measure::<counting>("counting", &events, 0);
        measure::<Sequence>("sequence of three, in order", &events, 0);
        measure::<Sequence>("sequence of three, 5 s of disorder allowed", &events, 5_000);
    }
}
