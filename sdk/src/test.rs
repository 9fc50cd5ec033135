//! Runs an operator as the host would, without a host: keys, timers, a watermark, and the bytes of the real boundary.
//!
//! Time is given, never taken. Batches are of one event unless [`Harness::batch`] says otherwise; it makes no difference to what comes
//! out, and a test may prove that.

use std::collections::BTreeMap;
use std::fmt;

use sangam_protocol::effects::{Answering, Cause, EffectLimits, Effects, Emit, OutputKey, RejectKind};
use sangam_protocol::frame::{DueTimer, FrameWriter};
use sangam_protocol::manifest::{EventType, Field as Wanted, Kind, Manifest};
use sangam_protocol::msgpack::{Reader, write};
use sangam_protocol::{Millis, WATERMARK_MAX, WATERMARK_MIN, key};

use crate::batch::Instance;
use crate::cells::host;
use crate::config::Config;
use crate::field::{Encode, Field};
use crate::log::{self, Level};
use crate::operator::Operator;
use crate::shape;
use crate::state::{self, State};

/// The key path that puts all events under one key, which is empty.
const ALL: &str = "$all";

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
    key: Vec<String>,
    types: Vec<EventType>,
    batch: usize,
    frame: FrameWriter,
    pending: Vec<Pending>,
    sent: usize,
    watermark: Millis,
    reached: Millis,
    keys: BTreeMap<Vec<u8>, Kept>,
    timers: Vec<Set>,
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
    key: Vec<u8>,
    kind: u8,
    value: Vec<u8>,
    fields: Vec<u8>,
}

/// What is kept for one key.
#[derive(Default)]
struct Kept {
    state: Option<Vec<u8>>,
    cells: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A pending timer.
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
    pub fn with(config: O::Config) -> Self {
        let manifest: Manifest = match serde_json::from_str(O::MANIFEST) {
            Ok(manifest) => manifest,
            Err(error) => panic!("the manifest is not what the host reads: {error}\n{}", O::MANIFEST),
        };
        if let Err(why) = manifest.check() {
            panic!("the host would refuse the operator: {why}");
        }
        let instance = Instance::<O>::new(config);
        let types = if O::DYNAMIC {
            let fields = O::fields(instance.config()).into_iter();
            vec![EventType {
                name: "row".into(),
                fields: fields.map(|field| Wanted { path: field.path, kind: String::new(), optional: field.optional }).collect(),
            }]
        } else {
            manifest.inputs.iter().flat_map(|input| input.types.clone()).collect()
        };
        Harness {
            instance,
            key: manifest.key.clone(),
            types,
            manifest,
            batch: 1,
            frame: FrameWriter::default(),
            pending: Vec::new(),
            sent: 0,
            watermark: WATERMARK_MIN,
            reached: WATERMARK_MIN,
            keys: BTreeMap::new(),
            timers: Vec::new(),
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
        self.key = paths.split(',').map(|path| path.trim().to_owned()).collect();
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

    /// Sends an event.
    #[track_caller]
    pub fn send(&mut self, time: Millis, event: impl Encode) -> &mut Self {
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        self.send_raw(time, &bytes)
    }

    /// Sends an event as MessagePack, or as any bytes to an operator that takes `Raw`.
    #[track_caller]
    pub fn send_raw(&mut self, time: Millis, value: &[u8]) -> &mut Self {
        let number = self.sent;
        self.sent += 1;
        match self.admit(number, time, value) {
            Ok(event) => self.pending.push(event),
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

    /// Gives the operator what waits, although the batch is not full. Every question below does it first.
    #[track_caller]
    pub fn flush(&mut self) -> &mut Self {
        if !self.pending.is_empty() || self.watermark > self.reached {
            self.run();
        }
        self
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

    /// Whether nothing is remembered and no timer is set, for any key: as it must be once everything has closed.
    #[track_caller]
    pub fn is_idle(&mut self) -> bool {
        self.flush();
        self.keys.is_empty() && self.timers.is_empty()
    }

    /// What is remembered for a key: its text, or the parts of a composite key joined by `/`.
    #[track_caller]
    pub fn state(&mut self, key: &str) -> Option<O::State> {
        self.flush();
        let (_, kept) = self.keys.iter().find(|(known, _)| key::display(known) == key)?;
        let mut state: O::State = match state::read(kept.state.as_deref()?) {
            Ok(state) => state,
            Err(error) => panic!("{error}"),
        };
        state.own_all(&kept.cells);
        Some(state)
    }

    /// The keys that something is remembered for.
    #[track_caller]
    pub fn keys(&mut self) -> Vec<String> {
        self.flush();
        self.keys.keys().map(|key| key::display(key)).collect()
    }

    /// The pending timers of a key, in the order in which they will fire.
    #[track_caller]
    pub fn timers(&mut self, key: &str) -> Vec<(String, Millis)> {
        self.flush();
        let mut timers: Vec<_> = self.timers.iter().filter(|timer| key::display(&timer.key) == key).collect();
        timers.sort_by_key(|timer| (timer.at, timer.order));
        timers.into_iter().map(|timer| (timer.name.clone(), timer.at)).collect()
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

    /// Finds key, type and fields of an event, by the host's rules.
    fn admit(&self, number: usize, time: Millis, value: &[u8]) -> Result<Pending, String> {
        let root = Reader::new(value);
        let at = |path: &str| shape::find(root, path).and_then(|mut reader| reader.value().ok()).filter(|value| *value != [0xc0]);
        let mut key = Vec::new();
        if self.manifest.kind == Kind::Keyed {
            let parts: Vec<&[u8]> = self.key.iter().map(|path| at(path).unwrap_or(&[])).collect();
            assert!(!parts.is_empty(), "the operator's key is named by the pipeline: say Harness::new().key(\"field\")");
            let all = self.key == [ALL];
            for (part, path) in parts.iter().zip(&self.key).filter(|_| !all) {
                key::append(part, &mut Vec::new()).map_err(|why| format!("the key field `{path}` {why}"))?;
            }
            match parts.as_slice() {
                _ if all => Ok(()),
                [one] => key::append(one, &mut key),
                several => key::append_composite(several.iter().copied(), &mut key),
            }
            .map_err(|why| why.to_string())?;
        }
        let mut fields = Vec::new();
        let mut kind = 0;
        if self.types.is_empty() {
            write::bin(&mut fields, value);
        } else {
            if let Some(tag) = self.manifest.inputs.iter().find_map(|input| input.tag.as_ref()) {
                let name = at(tag).and_then(|value| Reader::new(value).str().ok());
                let name = name.ok_or_else(|| format!("the field `{tag}`, which tells the event's type, is missing"))?;
                kind = self.types.iter().position(|event| event.name == name).ok_or_else(|| {
                    let known: Vec<&str> = self.types.iter().map(|event| event.name.as_str()).collect();
                    format!("the field `{tag}` is `{name}`; the operator knows {}", known.join(", "))
                })?;
            }
            let wanted = self.types.get(kind).map_or(&[][..], |event| &event.fields);
            write::array(&mut fields, wanted.len());
            for field in wanted {
                match shape::find(root, &field.path).and_then(|mut reader| reader.value().ok()) {
                    Some(value) => fields.extend_from_slice(value),
                    None if field.optional => write::nil(&mut fields),
                    None => return Err(format!("the field `{}` is missing", field.path)),
                }
            }
        }
        Ok(Pending { number, time, watermark: self.watermark, key, kind: kind as u8, value: value.to_vec(), fields })
    }

    /// Runs one batch through the bytes of the boundary and applies its effects.
    #[track_caller]
    fn run(&mut self) {
        let events = std::mem::take(&mut self.pending);
        self.timers.sort_by_key(|timer| (timer.at, timer.order));
        let later = self.timers.partition_point(|timer| timer.at <= self.watermark);
        let waiting = self.timers.split_off(later);
        let due = std::mem::replace(&mut self.timers, waiting);
        self.reached = self.watermark;
        if events.is_empty() && due.is_empty() {
            return;
        }

        let keyed = self.manifest.kind == Kind::Keyed;
        let mut slots: Vec<Vec<u8>> = Vec::new();
        self.frame.start();
        let mut slot_of = |frame: &mut FrameWriter, keys: &BTreeMap<Vec<u8>, Kept>, key: &[u8]| {
            slots.iter().position(|known| known == key).unwrap_or_else(|| {
                slots.push(key.to_vec());
                frame.key(key, keys.get(key).and_then(|kept| kept.state.as_deref())) as usize
            }) as u32
        };
        for event in &events {
            self.frame.event(event.time, event.watermark).extend_from_slice(&event.fields);
            if keyed {
                let slot = slot_of(&mut self.frame, &self.keys, &event.key);
                self.frame.slot(slot);
            }
            if self.types.len() > 1 {
                self.frame.kind(event.kind);
            }
        }
        for timer in &due {
            let slot = slot_of(&mut self.frame, &self.keys, &timer.key);
            self.frame.timer(DueTimer { slot, at: timer.at, name: &timer.name });
        }
        if O::State::HANDLES {
            host::provide(slots.iter().map(|key| self.keys.get(key).map(|kept| kept.cells.clone()).unwrap_or_default()).collect());
        }
        let bytes = self.frame.finish(self.watermark, WATERMARK_MAX).concat();
        let (effects, lines) = log::gather(|| self.instance.process(&bytes).to_vec());
        self.logs.extend(lines);
        let answering = Answering { events: events.len(), slots: slots.len(), timers: due.len(), ports: self.manifest.outputs.len() };
        match Effects::read(&effects, answering, &EffectLimits::default()) {
            Ok(effects) => self.apply(&effects, &events, &slots),
            Err(error) => panic!("{error}"),
        }
    }

    fn apply(&mut self, effects: &Effects<'_>, events: &[Pending], slots: &[Vec<u8>]) {
        let ports = &self.manifest.outputs;
        let keyed = self.manifest.kind == Kind::Keyed;
        let key_of = |event: &Pending| keyed.then(|| event.key.clone());
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
            self.set(&slots[slot as usize], name, at);
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

    fn set(&mut self, key: &[u8], name: &str, at: Option<Millis>) {
        let place = self.timers.iter().position(|timer| timer.key == key && timer.name == name);
        if let (Some(place), Some(at)) = (place, at)
            && self.timers[place].at == at
        {
            return;
        }
        if let Some(place) = place {
            self.timers.remove(place);
        }
        if let Some(at) = at {
            self.settings += 1;
            self.timers.push(Set { key: key.to_vec(), name: name.to_owned(), at, order: self.settings });
        }
    }
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
