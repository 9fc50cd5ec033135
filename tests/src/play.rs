//! The smallest host there is: one batch through the real bytes, nothing applied. For tests that ask what a guest answers.

use sangam::sandbox::{CallError, Instance, Limits, NoState};
use sangam_protocol::effects::{Answering, Effects, EffectsError};
use sangam_protocol::frame::{DueTimer, FrameWriter};
use sangam_protocol::{WATERMARK_MIN, msgpack::write};

/// One batch, put together by hand. Times and watermarks do not matter to those who use this: they count up from 0.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// Each event's slot and its value: an array of fields, or binary.
    pub events: Vec<(u32, Vec<u8>)>,
    /// Each slot's key and state.
    pub slots: Vec<(&'a [u8], Option<Vec<u8>>)>,
    /// The timers that are due, in firing order.
    pub timers: Vec<DueTimer<'a>>,
}

impl Batch<'_> {
    /// Events of one string field without state, all in one slot.
    pub fn texts(texts: &[&str]) -> Batch<'static> {
        Batch { events: texts.iter().map(|text| (0, field(text))).collect(), slots: vec![(b"key", None)], timers: Vec::new() }
    }
}

/// An event of one string field.
pub fn field(text: &str) -> Vec<u8> {
    let mut event = Vec::new();
    write::array(&mut event, 1);
    write::str(&mut event, text);
    event
}

/// Why a batch gave no effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The call failed.
    Call(CallError),
    /// The call came back, and its effects do not hold.
    Effects(EffectsError),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Call(e) => e.fmt(f),
            Refused::Effects(e) => e.fmt(f),
        }
    }
}

/// Runs one batch and hands its checked effects to `look`.
pub fn play<T>(instance: &mut Instance, batch: &Batch<'_>, limits: &Limits, look: impl FnOnce(Effects<'_>) -> T) -> Result<T, Refused> {
    let ports = instance.plugin().manifest().outputs.len();
    let mut writer = FrameWriter::default();
    writer.start();
    for (key, state) in &batch.slots {
        writer.key(key, state.as_deref());
    }
    for (time, (slot, value)) in (0..).zip(&batch.events) {
        writer.event(time, WATERMARK_MIN).extend_from_slice(value);
        writer.slot(*slot);
    }
    for timer in &batch.timers {
        writer.timer(*timer);
    }
    let frame = writer.finish(WATERMARK_MIN, WATERMARK_MIN);
    let bytes = instance.process(frame, 0, &mut NoState).map_err(Refused::Call)?;
    let answering = Answering { events: batch.events.len(), slots: batch.slots.len(), timers: batch.timers.len(), ports };
    Effects::read(bytes, answering, &limits.effects).map(look).map_err(Refused::Effects)
}
