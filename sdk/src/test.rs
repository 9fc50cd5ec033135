//! Runs an operator as the host would, without a host: keys, timers, a watermark, and the bytes of the real boundary.
//!
//! Time is given, never taken. Batches are of one event unless [`Harness::batch`] says otherwise; it makes no difference to what comes
//! out, and a test may prove that.

mod input;

use std::collections::BTreeMap;
use std::fmt;

use sangam_protocol::effects::{Answering, Cause, EffectLimits, Effects, Emit, OutputKey, RejectKind};
use sangam_protocol::frame::{DueTimer, FrameWriter};
use sangam_protocol::manifest::{EventType, Field as Wanted, Kind, Manifest};
use sangam_protocol::msgpack::Reader;
use sangam_protocol::{Millis, WATERMARK_MAX, WATERMARK_MIN, key};

use crate::batch::Instance;
use crate::cells::host;
use crate::config::Config;
use crate::field::{Encode, Field};
use crate::log::{self, Level};
use crate::operator::Operator;
use crate::state::State;
use crate::stored;
use input::{Input, Read};

/// Something that the operator emitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// The output port.
    pub port: String,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Event time.
    pub time: Millis,
    /// The key; `None` where the output has none, or a stateless operator does not know it.
    pub key: Option<Vec<u8>>,
    /// Headers.
    pub headers: BTreeMap<String, Vec<u8>>,
}

impl Sent {
    /// The value as an event, or as any field type.
    ///
    /// # Panics
    /// When the value is a tombstone or something else.
    #[track_caller]
    pub fn decode<E: for<'a> Field<'a>>(&self) -> E {
        let Some(value) = &self.value else { panic!("the output is a tombstone") };
        match E::decode(&mut Reader::new(value)) {
            Ok(event) => event,
            Err(wrong) => panic!("the output is another event: {}", wrong.reason()),
        }
    }

    /// The key as text, composite keys joined by `/`.
    pub fn key(&self) -> String {
        self.key.as_deref().map(key::display).unwrap_or_default()
    }
}

/// An event that was not processed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Number of the event, counted over everything sent.
    pub event: usize,
    /// The reason.
    pub why: String,
}

/// State, timers and watermark of an operator under test, see [`Harness::snapshot`].
#[derive(Clone, PartialEq)]
pub struct Snapshot {
    keys: BTreeMap<Vec<u8>, Kept>,
    timers: Vec<Set>,
    clock_timers: Vec<Set>,
    settings: u64,
    watermark: Millis,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Snapshot of {} keys and {} timers at watermark {}",
            self.keys.len(),
            self.timers.len() + self.clock_timers.len(),
            self.watermark
        )
    }
}

/// Runs the operator `O`.
///
/// ```
/// use sangam_sdk::*;
/// use sangam_sdk::test::Harness;
///
/// #[event] struct Click { user: String }
/// #[event] struct Visit { clicks: u64 }
/// #[state] struct Session { clicks: u64 }
/// #[config] struct Sessions { idle: Millis }
///
/// #[operator(key = "user")]
/// impl Sessions {
///     fn on_event(&self, _click: Click, session: &mut Session, ctx: &mut Context) {
///         session.clicks += 1;
///         ctx.wake("idle", ctx.time() + self.idle);
///     }
///     fn on_timer(&self, _idle: Timer, session: &mut Session) -> Visit {
///         Visit { clicks: std::mem::take(session).clicks }
///     }
/// }
///
/// let click = || Click { user: "ann".into() };
/// let mut h = Harness::<Sessions>::with(Sessions { idle: minutes(30) });
/// h.send(0, click()).send(minutes(20), click());
/// assert_eq!(h.timers("ann"), [("idle".to_owned(), minutes(50))]);
/// h.advance(minutes(50));
/// assert_eq!(h.take::<Visit>("out"), [Visit { clicks: 2 }]);
/// assert_eq!(h.state("ann"), None);
/// ```
pub struct Harness<O: Operator> {
    instance: Instance<O>,
    manifest: Manifest,
    inputs: Vec<Input>,
    batch: usize,
    frame: FrameWriter,
    pending: Vec<Pending>,
    sent: usize,
    watermark: Millis,
    reached: Millis,
    now: Millis,
    keys: BTreeMap<Vec<u8>, Kept>,
    timers: Vec<Set>,
    clock_timers: Vec<Set>,
    settings: u64,
    outputs: Vec<Sent>,
    rejects: Vec<Rejected>,
    late: Vec<Rejected>,
    dropped: Vec<Rejected>,
    counters: BTreeMap<String, u64>,
    logs: Vec<(Level, String)>,
}

/// An event that waits for its batch.
struct Pending {
    number: usize,
    time: Millis,
    watermark: Millis,
    value: Vec<u8>,
    read: Read,
}

/// What is kept for one key.
#[derive(Clone, Default, PartialEq)]
struct Kept {
    state: Option<Vec<u8>>,
    cells: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A pending timer.
#[derive(Clone, PartialEq)]
struct Set {
    key: Vec<u8>,
    name: String,
    at: Millis,
    order: u64,
}

impl<O: Operator> Harness<O> {
    /// Runs the operator with the configuration of an empty table.
    ///
    /// # Panics
    /// When the configuration has a field that must be given.
    #[track_caller]
    pub fn new() -> Self {
        match O::Config::read(&[0x80]) {
            Ok(config) => Self::with(config),
            Err(why) => panic!("{why}: use Harness::with(config)"),
        }
    }

    /// Runs the operator with a configuration.
    ///
    /// # Panics
    /// When the operator's manifest says what cannot be.
    #[track_caller]
    pub fn with(config: impl Into<O::Config>) -> Self {
        let manifest: Manifest = match serde_json::from_str(O::MANIFEST) {
            Ok(manifest) => manifest,
            Err(error) => panic!("the manifest is not what the host reads: {error}\n{}", O::MANIFEST),
        };
        if let Err(why) = manifest.check() {
            panic!("the host would refuse the operator: {why}");
        }
        let instance = Instance::<O>::new(config.into());
        let declared = O::DYNAMIC.then(|| {
            let fields = O::fields(instance.config()).into_iter();
            let fields = fields.map(|field| Wanted { path: field.path, kind: String::new(), optional: field.optional }).collect();
            EventType { name: "row".into(), fields }
        });
        Harness {
            instance,
            inputs: Input::all(&manifest, declared.as_ref()),
            manifest,
            batch: 1,
            frame: FrameWriter::default(),
            pending: Vec::new(),
            sent: 0,
            watermark: WATERMARK_MIN,
            reached: WATERMARK_MIN,
            now: 0,
            keys: BTreeMap::new(),
            timers: Vec::new(),
            clock_timers: Vec::new(),
            settings: 0,
            outputs: Vec::new(),
            rejects: Vec::new(),
            late: Vec::new(),
            dropped: Vec::new(),
            counters: BTreeMap::new(),
            logs: Vec::new(),
        }
    }

    /// Names the key as a pipeline would: for `#[operator(keyed)]`, or to replace the operator's own key.
    #[must_use]
    pub fn key(mut self, paths: &str) -> Self {
        self.inputs.iter_mut().for_each(|input| input.set_key(paths));
        self
    }

    /// Gives the operator up to `events` events at a time.
    #[must_use]
    pub fn batch(mut self, events: usize) -> Self {
        self.batch = events.max(1);
        self
    }

    /// Puts another build or configuration of the operator in the place of this one, between two batches: states and timers stay, as their
    /// bytes, and nothing else does.
    #[track_caller]
    pub fn reload(&mut self, config: O::Config) -> &mut Self {
        self.flush();
        self.instance = Instance::new(config);
        self
    }

    /// Sends an event to an operator with one input, not counting broadcast ones.
    ///
    /// # Panics
    /// When the operator has several inputs.
    #[track_caller]
    pub fn send(&mut self, time: Millis, event: impl Encode) -> &mut Self {
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        self.send_raw(time, &bytes)
    }

    /// Sends an event as MessagePack, or as any bytes to an operator that takes `Raw`.
    ///
    /// # Panics
    /// When the operator has several inputs.
    #[track_caller]
    pub fn send_raw(&mut self, time: Millis, value: &[u8]) -> &mut Self {
        let keyed = self.inputs.iter().filter(|input| !input.broadcast).count();
        assert!(keyed == 1, "the operator has the inputs {}: use send_to(\"{}\", ..)", self.names(), self.inputs[0].name);
        self.take_in(0, time, value)
    }

    /// Sends an event to one of several inputs.
    ///
    /// ```
    /// use sangam_sdk::*;
    /// use sangam_sdk::test::Harness;
    ///
    /// #[event] struct Order { user: String }
    /// #[event] struct Payment { payer: String }
    /// #[event] struct Balance { open: i64 }
    /// #[state] struct Account { open: i64 }
    /// #[inputs] enum In { Orders(Order), Payments(Payment) }
    ///
    /// #[operator(key(orders = "user", payments = "payer"))]
    /// fn balance(event: In, account: &mut Account) -> Balance {
    ///     account.open += match event { In::Orders(_) => 1, In::Payments(_) => -1 };
    ///     Balance { open: account.open }
    /// }
    ///
    /// let mut h = Harness::<balance>::new();
    /// h.send_to("orders", 0, Order { user: "ann".into() });
    /// h.send_to("payments", 5, Payment { payer: "ann".into() });
    /// assert_eq!(h.take::<Balance>("out"), [Balance { open: 1 }, Balance { open: 0 }]);
    /// assert_eq!(h.state("ann"), None);
    /// ```
    ///
    /// # Panics
    /// When there is no such input.
    #[track_caller]
    pub fn send_to(&mut self, input: &str, time: Millis, event: impl Encode) -> &mut Self {
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        self.send_raw_to(input, time, &bytes)
    }

    /// Sends bytes to one of several inputs.
    ///
    /// # Panics
    /// When there is no such input.
    #[track_caller]
    pub fn send_raw_to(&mut self, input: &str, time: Millis, value: &[u8]) -> &mut Self {
        match self.manifest.input(input) {
            Some(index) => self.take_in(index, time, value),
            None => panic!("there is no input `{input}`; there are {}", self.names()),
        }
    }

    fn names(&self) -> String {
        self.inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    #[track_caller]
    fn take_in(&mut self, input: usize, time: Millis, value: &[u8]) -> &mut Self {
        let number = self.sent;
        self.sent += 1;
        match self.inputs[input].read(value) {
            Ok(read) => self.pending.push(Pending { number, time, watermark: self.watermark, value: value.to_vec(), read }),
            Err(why) => {
                // In the order of the events, so those before it must have been handled.
                self.flush();
                self.rejects.push(Rejected { event: number, why });
            }
        }
        if self.pending.len() >= self.batch {
            self.flush();
        }
        self
    }

    /// Moves the watermark: no event with a time up to `watermark` will follow. It never goes back.
    #[track_caller]
    pub fn advance(&mut self, watermark: Millis) -> &mut Self {
        self.watermark = self.watermark.max(watermark);
        self
    }

    /// Moves the watermark to the end of time: everything closes.
    #[track_caller]
    pub fn end(&mut self) -> &mut Self {
        self.advance(WATERMARK_MAX)
    }

    /// Moves the host's clock to `now`, which stands at 0 before: what waits is handled under the old reading, and then every
    /// processing-time timer up to `now` fires, in order, as after a jump of the clock. It never goes back. The watermark stays.
    #[track_caller]
    pub fn processing_time(&mut self, now: Millis) -> &mut Self {
        self.flush();
        self.now = self.now.max(now);
        self.fire_clock();
        self
    }

    /// Gives the operator what waits, although the batch is not full. Every question below does it first. Processing-time timers that
    /// were set for the past fire afterwards, as they do between two batches.
    #[track_caller]
    pub fn flush(&mut self) -> &mut Self {
        if !self.pending.is_empty() || self.watermark > self.reached {
            self.run(Vec::new());
        }
        self.fire_clock();
        self
    }

    /// All that the host keeps between two batches: what a restart, or another build, goes on from.
    #[track_caller]
    pub fn snapshot(&mut self) -> Snapshot {
        self.flush();
        let (keys, timers, clock_timers) = (self.keys.clone(), self.timers.clone(), self.clock_timers.clone());
        Snapshot { keys, timers, clock_timers, settings: self.settings, watermark: self.watermark }
    }

    /// Goes back to a snapshot, or takes over from another build: state, timers and watermark are those of the snapshot, the clock goes on. What was emitted
    /// stays, what waited for its batch is gone.
    pub fn restore(&mut self, from: &Snapshot) -> &mut Self {
        let Snapshot { keys, timers, clock_timers, settings, watermark } = from.clone();
        (self.keys, self.timers, self.clock_timers, self.settings) = (keys, timers, clock_timers, settings);
        (self.watermark, self.reached) = (watermark, watermark);
        self.pending.clear();
        self
    }

    #[track_caller]
    fn fire_clock(&mut self) {
        loop {
            let due = take_due(&mut self.clock_timers, self.now);
            if due.is_empty() {
                return;
            }
            self.run(due);
        }
    }

    /// Everything emitted and not yet taken, in order.
    #[track_caller]
    pub fn outputs(&mut self) -> &[Sent] {
        &self.flush().outputs
    }

    /// Takes what was emitted by one port.
    ///
    /// # Panics
    /// When the operator has no such port, or something else left by it.
    #[track_caller]
    pub fn take<E: for<'a> Field<'a>>(&mut self, port: &str) -> Vec<E> {
        assert!(self.manifest.port(port).is_some(), "there is no port `{port}`; there are {:?}", self.manifest.outputs);
        self.flush();
        let (taken, left) = std::mem::take(&mut self.outputs).into_iter().partition(|sent| sent.port == port);
        self.outputs = left;
        let taken: Vec<Sent> = taken;
        taken.iter().map(Sent::decode).collect()
    }

    /// Whether nothing is remembered and no timer is set, for any key: as it must be once everything has closed. What came by a broadcast
    /// input may stay.
    #[track_caller]
    pub fn is_idle(&mut self) -> bool {
        self.keys().is_empty() && self.timers.is_empty() && self.clock_timers.is_empty()
    }

    /// What is remembered for a key: its text, or the parts of a composite key joined by `/`.
    #[track_caller]
    pub fn state(&mut self, key: &str) -> Option<O::State> {
        self.flush();
        let (_, kept) = self.keys.iter().find(|(known, _)| key::display(known) == key)?;
        let mut state: O::State = match stored::read(kept.state.as_deref()?) {
            Ok(state) => state,
            Err(error) => panic!("{error}"),
        };
        state.own_all(&kept.cells);
        Some(state)
    }

    /// The broadcast state.
    #[track_caller]
    pub fn broadcast(&mut self) -> O::Broadcast {
        self.flush();
        let bytes = self.keys.get(key::BROADCAST).and_then(|kept| kept.state.as_deref());
        match bytes.map_or_else(|| Ok(O::Broadcast::default()), stored::read) {
            Ok(state) => state,
            Err(error) => panic!("{error}"),
        }
    }

    /// The keys that something is remembered for.
    #[track_caller]
    pub fn keys(&mut self) -> Vec<String> {
        self.flush();
        self.keys.keys().filter(|key| *key != key::BROADCAST).map(|key| key::display(key)).collect()
    }

    /// The pending event-time timers of a key, in the order in which they will fire.
    #[track_caller]
    pub fn timers(&mut self, key: &str) -> Vec<(String, Millis)> {
        pending(&self.flush().timers, key)
    }

    /// The pending processing-time timers of a key, in the order in which they will fire.
    #[track_caller]
    pub fn processing_timers(&mut self, key: &str) -> Vec<(String, Millis)> {
        pending(&self.flush().clock_timers, key)
    }

    /// Events that were refused: these go to the dead letters.
    #[track_caller]
    pub fn rejects(&mut self) -> &[Rejected] {
        &self.flush().rejects
    }

    /// Events that came too late.
    #[track_caller]
    pub fn late(&mut self) -> &[Rejected] {
        &self.flush().late
    }

    /// Events that the operator had no use for.
    #[track_caller]
    pub fn dropped(&mut self) -> &[Rejected] {
        &self.flush().dropped
    }

    /// The operator's counters.
    #[track_caller]
    pub fn counters(&mut self) -> &BTreeMap<String, u64> {
        &self.flush().counters
    }

    /// What the operator logged.
    #[track_caller]
    pub fn logs(&mut self) -> &[(Level, String)] {
        &self.flush().logs
    }

    /// Runs one batch, or the processing-time timers `by_clock`, through the bytes of the boundary and applies the effects.
    #[track_caller]
    fn run(&mut self, by_clock: Vec<Set>) {
        let events = std::mem::take(&mut self.pending);
        let due = take_due(&mut self.timers, self.watermark);
        self.reached = self.watermark;
        if events.is_empty() && due.is_empty() && by_clock.is_empty() {
            return;
        }

        let keyed = self.manifest.kind == Kind::Keyed;
        let several = self.manifest.first_type(self.manifest.inputs.len()) > 1;
        let mut slots: Vec<Vec<u8>> = Vec::new();
        self.frame.start();
        let mut slot_of = |frame: &mut FrameWriter, keys: &BTreeMap<Vec<u8>, Kept>, key: &[u8]| {
            slots.iter().position(|known| known == key).unwrap_or_else(|| {
                slots.push(key.to_vec());
                frame.key(key, keys.get(key).and_then(|kept| kept.state.as_deref())) as usize
            }) as u32
        };
        if self.manifest.has_broadcast() {
            slot_of(&mut self.frame, &self.keys, key::BROADCAST);
        }
        for event in &events {
            self.frame.event(event.time, event.watermark).extend_from_slice(&event.read.fields);
            if keyed {
                let slot = slot_of(&mut self.frame, &self.keys, &event.read.key);
                self.frame.slot(slot);
            }
            if several {
                self.frame.kind(event.read.kind);
            }
        }
        for timer in &due {
            let slot = slot_of(&mut self.frame, &self.keys, &timer.key);
            self.frame.timer(DueTimer { slot, at: timer.at, name: &timer.name });
        }
        if self.manifest.processing_time {
            self.frame.clock(self.now, WATERMARK_MAX);
            for timer in &by_clock {
                let slot = slot_of(&mut self.frame, &self.keys, &timer.key);
                self.frame.clock_timer(DueTimer { slot, at: timer.at, name: &timer.name });
            }
        }
        if O::State::HANDLES {
            host::provide(slots.iter().map(|key| self.keys.get(key).map(|kept| kept.cells.clone()).unwrap_or_default()).collect());
        }
        let bytes = self.frame.finish(self.watermark, WATERMARK_MAX).concat();
        let (effects, lines) = log::gather(|| self.instance.process(&bytes).to_vec());
        self.logs.extend(lines);
        let answering =
            Answering { events: events.len(), slots: slots.len(), timers: due.len() + by_clock.len(), ports: self.manifest.outputs.len() };
        match Effects::read(&effects, answering, &EffectLimits::default()) {
            Ok(effects) => self.apply(&effects, &events, &slots),
            Err(error) => panic!("{error}"),
        }
    }

    fn apply(&mut self, effects: &Effects<'_>, events: &[Pending], slots: &[Vec<u8>]) {
        let ports = &self.manifest.outputs;
        let keyed = self.manifest.kind == Kind::Keyed;
        let key_of = |event: &Pending| keyed.then(|| event.read.key.clone());
        for emit in effects.emits() {
            let sent = match emit {
                Emit::Forward { port, event } | Emit::Simple { port, event, .. } => {
                    let event = &events[event as usize];
                    let value = if let Emit::Simple { value, .. } = emit { value.map(<[u8]>::to_vec) } else { Some(event.value.clone()) };
                    Sent { port: ports[port as usize].clone(), value, time: event.time, key: key_of(event), headers: BTreeMap::new() }
                }
                Emit::Full { port, cause, value, time, key, headers } => {
                    if let Cause::TimerBefore(event) = cause {
                        debug_assert!(event as usize <= events.len());
                    }
                    let key = match key {
                        OutputKey::Slot(slot) => Some(slots[slot as usize].clone()),
                        OutputKey::Bytes(bytes) => Some(bytes.to_vec()),
                        OutputKey::None => None,
                    };
                    Sent { port: ports[port as usize].clone(), value: value.map(<[u8]>::to_vec), time, key, headers: read_headers(headers) }
                }
            };
            self.outputs.push(sent);
        }
        for (slot, state) in effects.states() {
            self.keys.entry(slots[slot as usize].clone()).or_default().state = state.map(<[u8]>::to_vec);
        }
        for (slot, cell, value) in effects.cells() {
            let cells = &mut self.keys.entry(slots[slot as usize].clone()).or_default().cells;
            match value {
                Some(value) => cells.insert(cell.to_vec(), value.to_vec()),
                None => cells.remove(cell),
            };
        }
        self.keys.retain(|_, kept| kept.state.is_some() || !kept.cells.is_empty());
        for (slot, name, at) in effects.timers() {
            set(&mut self.timers, &mut self.settings, &slots[slot as usize], name, at);
        }
        for (slot, name, at) in effects.clock_timers() {
            set(&mut self.clock_timers, &mut self.settings, &slots[slot as usize], name, at);
        }
        for (event, kind, why) in effects.rejects() {
            let rejected = Rejected { event: events[event as usize].number, why: why.to_owned() };
            match kind {
                RejectKind::Reject => self.rejects.push(rejected),
                RejectKind::Late => self.late.push(rejected),
                RejectKind::Drop => self.dropped.push(rejected),
            }
        }
        for (name, add) in effects.counters() {
            *self.counters.entry(name.to_owned()).or_default() += add;
        }
    }
}

/// Sets or clears a timer as the host does: the same time again keeps its place in the order.
fn set(timers: &mut Vec<Set>, settings: &mut u64, key: &[u8], name: &str, at: Option<Millis>) {
    let place = timers.iter().position(|timer| timer.key == key && timer.name == name);
    if place.is_some_and(|place| Some(timers[place].at) == at) {
        return;
    }
    if let Some(place) = place {
        timers.remove(place);
    }
    if let Some(at) = at {
        *settings += 1;
        timers.push(Set { key: key.to_vec(), name: name.to_owned(), at, order: *settings });
    }
}

/// Takes out the timers up to `reach`, in firing order.
fn take_due(timers: &mut Vec<Set>, reach: Millis) -> Vec<Set> {
    timers.sort_by_key(|timer| (timer.at, timer.order));
    let waiting = timers.split_off(timers.partition_point(|timer| timer.at <= reach));
    std::mem::replace(timers, waiting)
}

/// The timers of one key, in firing order.
fn pending(timers: &[Set], key: &str) -> Vec<(String, Millis)> {
    let mut timers: Vec<_> = timers.iter().filter(|timer| key::display(&timer.key) == key).collect();
    timers.sort_by_key(|timer| (timer.at, timer.order));
    timers.into_iter().map(|timer| (timer.name.clone(), timer.at)).collect()
}

fn read_headers(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut headers = BTreeMap::new();
    let mut reader = Reader::new(bytes);
    for _ in 0..reader.map().unwrap_or(0) {
        if let (Ok(name), Ok(value)) = (reader.str(), reader.bin()) {
            headers.insert(name.to_owned(), value.to_vec());
        }
    }
    headers
}

impl<O: Operator> Default for Harness<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O: Operator> fmt::Debug for Harness<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Harness of {} after {} events", self.manifest.name, self.sent)
    }
}
