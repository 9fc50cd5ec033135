//! A captured call, and what came of it when it was run again: for people, and as JSON.

use super::super::bytes::{TEXT_BYTES_MAX, base64, msgpack_shown, shown};
use super::Outcome;
use crate::admin::moment;
use crate::digest::{sha256, short};
use crate::sandbox::{Plugin, printable};
use crate::stage::{Captured, Failure, FailureKind};
use crate::time::{Millis, WATERMARK_MAX, WATERMARK_MIN};
use sangam_protocol::effects::{Cause, Effects, Emit, OutputKey, RejectKind};
use sangam_protocol::frame::Frame;
use sangam_protocol::key;
use sangam_protocol::manifest::{EventType, Manifest};
use sangam_protocol::msgpack::Reader;
use serde_json::{Value, json};

/// What is to be shown.
pub(super) struct View<'a> {
    pub captured: &'a Captured,
    /// The build that ran now.
    pub plugin: &'a Plugin,
    pub outcome: &'a Outcome,
}

/// A line: what it is about, and what there is to say.
type Line = (&'static str, String);

impl View<'_> {
    /// Whether everything is as it was then.
    fn is_as_then(&self) -> bool {
        let (then, now) = (self.captured, self.outcome);
        // Where a loop without end is when its time is over, no two runs agree.
        let place = |failure: &Failure| if failure.kind == FailureKind::Timeout { Vec::new() } else { failure.backtrace.clone() };
        let known = |failure: &Failure| (failure.kind, failure.message.clone(), place(failure));
        now.failure.as_ref().map(known) == Some(known(&then.failure)) && now.effects == then.effects
    }

    fn is_another_build(&self) -> bool {
        self.plugin.sha256() != self.captured.sha256
    }

    pub fn page(&self) -> String {
        let captured = self.captured;
        let mut lines: Vec<Line> = vec![
            ("operator", format!("{} of the pipeline {}, captured by sangam {}", captured.operator, captured.pipeline, captured.engine)),
            ("build", format!("{}, sha256 {}", captured.plugin, short(&captured.sha256))),
        ];
        match Frame::read(&captured.frame) {
            Ok(frame) => self.frame(&frame, &mut lines),
            Err(why) => lines.push(("frame", format!("cannot be read: {why}"))),
        }
        lines.push(("reads", format!("{} of large state", captured.reads.len())));
        failure_lines("then", &captured.failure, &mut lines);
        if self.is_another_build() {
            lines.push((
                "now with",
                format!("{} {}, sha256 {}", self.plugin.manifest().name, self.plugin.manifest().version, short(self.plugin.sha256())),
            ));
        }
        lines.extend(self.outcome.log.iter().map(|line| ("log", printable(line.as_bytes(), TEXT_BYTES_MAX))));
        match &self.outcome.failure {
            _ if self.is_as_then() => lines.push(("now", "the same, byte for byte".to_owned())),
            Some(failure) => failure_lines("now", failure, &mut lines),
            None => self.effects(&mut lines),
        }
        if self.outcome.unknown > 0 {
            let unknown = self.outcome.unknown;
            lines.push((
                "beware",
                format!("{unknown} reads of state were not captured and found nothing: in the pipeline it may go on otherwise"),
            ));
        }
        if self.outcome.failure.is_none() && !self.is_another_build() {
            let why = "it failed then and does not now: what it kept in its memory from earlier calls, or the time limit, had a part in it";
            lines.push(("beware", why.to_owned()));
        }
        lines.into_iter().map(|(name, value)| format!("{name:<9} {value}\n")).collect()
    }

    pub fn json(&self) -> Value {
        let (captured, outcome) = (self.captured, self.outcome);
        json!({
            "operator": captured.operator,
            "pipeline": captured.pipeline,
            "engine": captured.engine,
            "plugin": captured.plugin,
            "sha256": captured.sha256,
            "events": captured.answering.events,
            "timers": captured.answering.timers,
            "keys": captured.answering.slots,
            "reads": captured.reads.len(),
            "frame_base64": base64(&captured.frame),
            "then": outcome_json(Some(&captured.failure), captured.effects.as_deref()),
            "now": outcome_json(outcome.failure.as_ref(), outcome.effects.as_deref()),
            "now_sha256": self.plugin.sha256(),
            "log": outcome.log,
            "unknown_reads": outcome.unknown,
            "same": self.is_as_then(),
        })
    }

    /// What the guest was given.
    fn frame(&self, frame: &Frame<'_>, lines: &mut Vec<Line>) {
        lines.push((
            "batch",
            format!(
                "{} events, {} keys, {} timers, watermark {}",
                frame.len(),
                frame.slots(),
                frame.timer_count() + frame.clock_timer_count(),
                at(frame.watermark)
            ),
        ));
        if let Some(now) = frame.now {
            lines.push(("clock", at(now)));
        }
        let manifest = self.plugin.manifest();
        let mut events = frame.events();
        for i in 0..frame.len() {
            let Ok(value) = events.value() else { break };
            let slot = frame.slot(i).map_or_else(String::new, |slot| format!(", key {slot}"));
            lines.push(("event", format!("{i}: {}{slot}: {}", at(frame.time(i)), event(value, frame.kind(i), manifest))));
        }
        for (slot, pair) in frame.keys().enumerate() {
            let Ok((key, state)) = pair else { break };
            let state = state.map_or_else(|| "no state".to_owned(), |state| format!("state {}", shown(state)));
            lines.push(("key", format!("{slot}: {}, {state}", printable(key::display(key).as_bytes(), TEXT_BYTES_MAX))));
        }
        for timer in frame.timers().chain(frame.clock_timers()).flatten() {
            lines
                .push(("timer", format!("{} of key {} at {}", printable(timer.name.as_bytes(), TEXT_BYTES_MAX), timer.slot, at(timer.at))));
        }
    }

    /// What the guest has answered.
    fn effects(&self, lines: &mut Vec<Line>) {
        let Some(bytes) = &self.outcome.effects else { return };
        let Ok(effects) = Effects::read(bytes, self.outcome.answering, &self.captured.limits.effects) else { return };
        lines.push(("now", format!("it takes them: {} bytes of effects, sha256 {}", bytes.len(), short(&sha256(bytes)))));
        let ports = &self.plugin.manifest().outputs;
        for emit in effects.emits() {
            lines.push(("emits", emitted(emit, ports)));
        }
        let cell = |cell: &[u8], value: Option<&[u8]>| format!("{} = {}", shown(cell), value.map_or_else(|| "nothing".to_owned(), shown));
        for (slot, state) in effects.states() {
            lines.push(("state", format!("of key {slot}: {}", state.map_or_else(|| "none".to_owned(), shown))));
        }
        for (slot, key, value) in effects.cells() {
            lines.push(("cell", format!("of key {slot}: {}", cell(key, value))));
        }
        for (slot, name, time) in effects.timers().chain(effects.clock_timers()) {
            let time = time.map_or_else(|| "not pending".to_owned(), |time| format!("at {}", at(time)));
            lines.push(("timer", format!("{} of key {slot}: {time}", printable(name.as_bytes(), TEXT_BYTES_MAX))));
        }
        for (event, kind, reason) in effects.rejects() {
            let kind = match kind {
                RejectKind::Reject => "refused",
                RejectKind::Late => "late",
                RejectKind::Drop => "dropped",
            };
            lines.push(("event", format!("{event}: {kind}: {}", printable(reason.as_bytes(), TEXT_BYTES_MAX))));
        }
        for (name, add) in effects.counters() {
            lines.push(("counter", format!("{} +{add}", printable(name.as_bytes(), TEXT_BYTES_MAX))));
        }
    }
}

fn failure_lines(name: &'static str, failure: &Failure, lines: &mut Vec<Line>) {
    let message = printable(failure.message.as_bytes(), TEXT_BYTES_MAX);
    lines.push((name, format!("{}: {message}", failure.kind.as_str())));
    lines.extend(failure.backtrace.iter().map(|frame| ("", printable(frame.as_bytes(), TEXT_BYTES_MAX))));
}

/// An event's fields under their names, or its bytes.
fn event(value: &[u8], kind: u8, manifest: &Manifest) -> String {
    let types: Vec<&EventType> = manifest.inputs.iter().flat_map(|input| &input.types).collect();
    let mut reader = Reader::new(value);
    if let Ok(bytes) = reader.bin() {
        return shown(bytes);
    }
    let mut reader = Reader::new(value);
    let Ok(count) = reader.array() else { return shown(value) };
    let fields = types.get(usize::from(kind)).map_or(&[][..], |event| &event.fields);
    let named = (0..count).map_while(|i| {
        let value = msgpack_shown(reader.value().ok()?);
        Some(match fields.get(i) {
            Some(field) => format!("{} = {value}", field.path),
            None => value,
        })
    });
    named.collect::<Vec<_>>().join(", ")
}

fn emitted(emit: Emit<'_>, ports: &[String]) -> String {
    let named = |port: u32| ports.get(port as usize).map_or("?", String::as_str);
    let value = |value: Option<&[u8]>| value.map_or_else(|| "a tombstone".to_owned(), msgpack_shown);
    match emit {
        Emit::Forward { port, event } => format!("by {}: event {event} as it came", named(port)),
        Emit::Simple { port, event, value: bytes } => format!("by {}, of event {event}: {}", named(port), value(bytes)),
        Emit::Full { port, cause, value: bytes, time, key, .. } => {
            let cause = match cause {
                Cause::Event(event) => format!("of event {event}"),
                Cause::TimerBefore(event) => format!("of a timer before event {event}"),
            };
            let key = match key {
                OutputKey::Slot(slot) => format!("key {slot}"),
                OutputKey::Bytes(bytes) => format!("key {}", shown(bytes)),
                OutputKey::None => "no key".to_owned(),
            };
            format!("by {}, {cause}, {}, {key}: {}", named(port), at(time), value(bytes))
        }
    }
}

fn outcome_json(failure: Option<&Failure>, effects: Option<&[u8]>) -> Value {
    json!({
        "kind": failure.map(|failure| failure.kind.as_str()),
        "error": failure.map(|failure| failure.message.as_str()),
        "backtrace": failure.map(|failure| failure.backtrace.clone()).unwrap_or_default(),
        "effects_base64": effects.map(base64),
        "effects_sha256": effects.map(sha256),
    })
}

fn at(time: Millis) -> String {
    match time {
        WATERMARK_MIN => "none yet".to_owned(),
        WATERMARK_MAX => "end of time".to_owned(),
        time => moment(time),
    }
}
