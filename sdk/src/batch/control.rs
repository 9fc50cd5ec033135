//! The events of broadcast inputs in one batch.

use sangam_protocol::Millis;
use sangam_protocol::frame::Frame;
use sangam_protocol::msgpack::Reader;

use super::{Batch, Stop, misfit};
use crate::emit::Emitter;
use crate::event::Event;
use crate::operator::Operator;

impl<'f, O: Operator> Batch<'f, '_, O> {
    /// Handles an event of a broadcast input; `kind` counts through the types of those.
    pub(super) fn control(
        &mut self,
        frame: &Frame<'f>,
        i: usize,
        kind: u8,
        watermark: Millis,
        events: &mut Reader<'f>,
    ) -> Result<(), Stop> {
        let index = i as u32;
        let start = *events;
        let event = match O::Control::read(kind, events) {
            Ok(event) => event,
            Err(wrong) if wrong.is_frame() => return Err(misfit(index, &wrong.reason())),
            Err(wrong) => return self.misread(index, start, events, &wrong.reason()),
        };
        self.ctx.enter(frame.time(i), watermark, &[]);
        let mark = self.writer.mark();
        let mut out = Emitter::event(self.writer, index, None, frame.time(i));
        let state = self.shared.change();
        let before = if O::BROADCAST_FALLIBLE { Some(state.clone()) } else { None };
        let Err(error) = O::on_broadcast(self.config, event, state, &mut self.ctx, &mut out) else {
            if self.ctx.has_changes() {
                return Err(misfit(index, "on_broadcast sets a timer: timers belong to keys, and a broadcast event has none"));
            }
            self.ctx.take_touched();
            self.ctx.keep();
            return Ok(());
        };
        if let Some(before) = before {
            *state = before;
        }
        self.writer.rewind(mark);
        self.ctx.forget();
        self.refuse(index, error)
    }
}
