//! One call of the guest: the frame is built, the effects are checked whole, and only then applied.

use super::capture::{Call, Captured, Recorder};
use super::refuse::{Refuser, copy};
use super::{Admitted, Failure, FailureKind, Outputs, Run, Stage, StageError, Way};
use crate::events::{Events, Format, Row, Span};
use crate::sandbox::StateReads;
use crate::store::keyed::NEAR;
use crate::store::{Due, KeyId, KeyedTable, Store, StoreError};
use crate::time::Millis;
use sangam_protocol::effects::{Answering, Cause, EffectLimits, Effects, Emit, OutputKey, RejectKind};
use sangam_protocol::frame::DueTimer;
use sangam_protocol::key::BROADCAST;
use sangam_protocol::manifest::Manifest;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Instant;

/// What one call covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// First admitted event.
    pub from: usize,
    /// Past the last admitted event.
    pub to: usize,
    /// Where the guest's watermark stands after the call.
    pub watermark: Millis,
    /// Timers set during the call fire in it only before this time.
    pub until: Millis,
    /// Timers by the clock that are set during a call without events fire in it only before this time.
    pub clock_until: Millis,
    /// Whether the stage's watermark has arrived at `watermark` after the call; false while more timers of that time are to come.
    pub arrives: bool,
}

impl Stretch {
    /// These events, and everything that is due up to `watermark`.
    pub fn events(from: usize, to: usize, watermark: Millis) -> Stretch {
        Stretch { from, to, watermark, until: Millis::MAX, clock_until: Millis::MAX, arrives: true }
    }
}

/// Why a call changed nothing.
pub(super) enum CallFailed {
    /// The operator or an event is to blame.
    Failure(Failure),
    /// The stage cannot go on.
    Fatal(StageError),
}

impl Stage {
    /// Calls the guest once, with the due timers in `self.due`, and applies its effects; on failure nothing has changed.
    pub(super) fn call(&mut self, run: &mut Run<'_>, span: Stretch) -> Result<(), CallFailed> {
        self.failed_call = None;
        self.build_frame(run, span);
        self.instance().map_err(CallFailed::Fatal)?;
        let Stage {
            instance: Some(instance),
            frame,
            table,
            clock_table,
            slots,
            spec,
            due,
            clock_due,
            admitted,
            unreadable,
            refuser,
            watermark,
            probation,
            failed_call,
            ..
        } = self
        else {
            return Ok(());
        };
        let events = admitted.get(span.from..span.to).unwrap_or(&[]);
        let timers = due.len() + clock_due.len();
        let answering = Answering { events: events.len(), slots: slots.len(), timers, ports: run.out.ports.len() };
        let pieces = frame.finish(span.watermark, span.until);
        let time = events.last().and_then(|last| run.events.rows.get(last.row as usize)).map_or(span.watermark, |row| row.time);
        let started = Instant::now();
        let mut reads = Reads { table, store: spec.store.as_ref(), slots, failed: None };
        // What fails as a part of more is called again, until it is alone; a new build on probation is taken back at its first failure.
        let is_last = events.len() + timers == 1 || probation.is_some();
        let mut recorded = None;
        let bytes = if spec.captures.is_some() && is_last {
            let mut recorder = Recorder::new(&mut reads);
            let bytes = instance.process(pieces, time, &mut recorder);
            recorded = recorder.into_reads();
            bytes
        } else {
            instance.process(pieces, time, &mut reads)
        };
        spec.metrics.called(started.elapsed());
        if let Some(why) = reads.failed {
            return Err(CallFailed::Fatal(why.into()));
        }
        let mut failed = |failure: Failure, effects: Option<&[u8]>| {
            if let Some(reads) = recorded.take() {
                *failed_call = Some(Captured::new(spec, Call { frame: pieces, time, answering, reads }, failure.clone(), effects));
            }
            failure
        };
        let bytes = bytes.map_err(|why| {
            if why.is_hosts_fault() {
                CallFailed::Fatal(StageError::Host(spec.name.to_string(), why))
            } else {
                CallFailed::Failure(failed(why.into(), None))
            }
        })?;
        let effects = read_effects(bytes, answering, &spec.limits.effects, spec.plugin.manifest());
        let effects = effects.map_err(|why| CallFailed::Failure(failed(why, Some(bytes))))?;

        // From here on nothing can fail but `on_error = "stop"`, which gives the whole commit up.
        table.consume(due);
        clock_table.consume(clock_due);
        let mut rejects: Vec<_> = effects.rejects().collect();
        rejects.sort_by_key(|(event, ..)| *event);
        let mut rejects = rejects.into_iter().peekable();
        let emitter = Emitter { events: run.events, admitted: events, table, slots, before: *watermark };
        let mut behind = 0;
        for emit in effects.emits() {
            // What was not processed comes before what came of later events.
            let (Emit::Forward { event: next, .. }
            | Emit::Simple { event: next, .. }
            | Emit::Full { cause: Cause::Event(next) | Cause::TimerBefore(next), .. }) = emit;
            let timer = matches!(emit, Emit::Full { cause: Cause::TimerBefore(_), .. });
            while let Some((event, kind, reason)) = rejects.next_if(|(event, ..)| *event < next) {
                settle(refuser, unreadable, run, events, event, kind, reason).map_err(CallFailed::Fatal)?;
            }
            // A timer fires right after the event before it.
            let row = if timer { next.checked_sub(1) } else { Some(next) }.and_then(|event| events.get(event as usize));
            settle_unreadable(refuser, unreadable, run, row.map_or(0, |admitted| admitted.row as usize)).map_err(CallFailed::Fatal)?;
            behind += u64::from(emitter.emit(emit, run.out));
        }
        for (event, kind, reason) in rejects {
            settle(refuser, unreadable, run, events, event, kind, reason).map_err(CallFailed::Fatal)?;
        }
        spec.metrics.events_out.inc_by(effects.emit_count() as u64);
        spec.metrics.outputs_behind.inc_by(behind);
        spec.metrics.timers_fired.inc_by(timers as u64);
        let id = |slot: u32| slots.get(slot as usize).copied();
        for (slot, state) in effects.states() {
            id(slot).into_iter().for_each(|id| table.set_state(id, state));
        }
        for (slot, name, at) in effects.timers() {
            id(slot).into_iter().for_each(|id| table.set_timer(id, name, at));
        }
        for (slot, name, at) in effects.clock_timers() {
            if let Some(key) = id(slot).map(|id| clock_table.key(table.name(id))) {
                clock_table.set_timer(key, name, at);
            }
        }
        for (slot, cell, value) in effects.cells() {
            id(slot).into_iter().for_each(|id| table.set_cell(id, cell, value));
        }
        for (name, add) in effects.counters() {
            spec.metrics.guest_counter(name, add);
        }
        spec.metrics.ok.inc_by((events.len() - effects.reject_count().min(events.len())) as u64);
        let memory = instance.memory_bytes() as i64;
        if memory != self.memory_bytes {
            spec.metrics.memory_changed(memory - self.memory_bytes);
            self.memory_bytes = memory;
        }
        if span.arrives {
            self.watermark = self.watermark.max(span.watermark);
        }
        Ok(())
    }

    fn build_frame(&mut self, run: &Run<'_>, span: Stretch) {
        self.batch_number = self.batch_number.wrapping_add(1).max(1);
        self.frame.start();
        self.slots.clear();
        let Some(input) = self.spec.inputs.get(run.input) else { return };
        if self.shared {
            let id = self.table.key(BROADCAST);
            slot_of(id, self.batch_number, &mut self.table, &mut self.slots);
        }
        for due in &self.due {
            let slot = slot_of(due.id, self.batch_number, &mut self.table, &mut self.slots);
            self.frame.timer(DueTimer { slot, at: due.at, name: self.table.timer_name(due.name) });
        }
        if self.asks_for_processing_time() {
            self.frame.clock(self.now, span.clock_until);
            for due in &self.clock_due {
                let id = self.table.key(self.clock_table.name(due.id));
                let slot = slot_of(id, self.batch_number, &mut self.table, &mut self.slots);
                self.frame.clock_timer(DueTimer { slot, at: due.at, name: self.clock_table.timer_name(due.name) });
            }
        }
        for admitted in self.admitted.get(span.from..span.to).unwrap_or(&[]) {
            let Some(row) = run.events.rows.get(admitted.row as usize) else { continue };
            input.write(run.events, admitted.row as usize, row, admitted.kind, &mut self.frame);
            if let Some(id) = admitted.key {
                self.frame.slot(slot_of(id, self.batch_number, &mut self.table, &mut self.slots));
            }
        }
        // Keys and states go in once all slots are known, so that their look-ups overlap.
        for ids in self.slots.chunks(NEAR) {
            self.table.fetch(ids);
            for id in ids {
                self.frame.key(self.table.name(*id), self.table.state(*id));
            }
        }
    }
}

/// Reads what a guest has answered, and checks it whole.
///
/// # Errors
/// What is wrong with it, or the fault that it stands for.
pub fn read_effects<'a>(bytes: &'a [u8], answering: Answering, limits: &EffectLimits, manifest: &Manifest) -> Result<Effects<'a>, Failure> {
    let effects = Effects::read(bytes, answering, limits)?;
    if !manifest.processing_time && effects.clock_timers().next().is_some() {
        let why = "it sets a processing-time timer, but its manifest does not say `\"processing_time\": true`";
        return Err(Failure::new(FailureKind::Effects, why.to_owned()));
    }
    Ok(effects)
}

/// The slot of a key in this batch, a new one where it has none yet.
#[inline]
fn slot_of(id: KeyId, batch: u32, table: &mut KeyedTable, slots: &mut Vec<KeyId>) -> u32 {
    let slot = table.slot_mark(id, batch, slots.len() as u32);
    if slot as usize == slots.len() {
        slots.push(id);
    }
    slot
}

/// Large state as the guest reads it during a call.
struct Reads<'a> {
    table: &'a mut KeyedTable,
    store: &'a dyn Store,
    slots: &'a [KeyId],
    /// The store failed: what the guest was told is not to be trusted, and the call does not count.
    failed: Option<StoreError>,
}

impl StateReads for Reads<'_> {
    fn get(&mut self, slot: u32, cell: &[u8]) -> Option<Cow<'_, [u8]>> {
        let id = *self.slots.get(slot as usize)?;
        match self.table.cell(self.store, id, cell) {
            Ok(value) => value.map(Cow::Owned),
            Err(why) => {
                self.failed = Some(why);
                None
            }
        }
    }

    fn scan(&mut self, slot: u32, prefix: &[u8], after: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let Some(id) = self.slots.get(slot as usize) else { return };
        let after = (!after.is_empty()).then_some(after);
        let mut visit = |cell: &[u8], value: &[u8]| if each(cell, value) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        if let Err(why) = self.table.scan_cells(self.store, *id, prefix, after, &mut visit) {
            self.failed = Some(why);
        }
    }
}

/// Turns emits into rows.
struct Emitter<'a> {
    events: &'a Events,
    admitted: &'a [Admitted],
    table: &'a KeyedTable,
    slots: &'a [KeyId],
    /// The watermark before the first event of the call.
    before: Millis,
}

impl Emitter<'_> {
    /// Appends one emit to its port; true when its time is not after the watermark.
    fn emit(&self, emit: Emit<'_>, outputs: &mut Outputs) -> bool {
        let (Emit::Forward { port, .. } | Emit::Simple { port, .. } | Emit::Full { port, .. }) = emit;
        let Some(out) = outputs.ports.get_mut(port as usize) else { return false };
        outputs.order.push(Way::Port(port as u16));
        let row = match emit {
            Emit::Forward { event, .. } => {
                let Some((_, row)) = self.event(event) else { return false };
                copy(self.events, row, out);
                *row
            }
            Emit::Simple { event, value, .. } => {
                let Some((admitted, row)) = self.event(event) else { return false };
                let key = match admitted.key {
                    Some(id) => out.store(self.table.name(id)),
                    None => self.events.key(row).map_or(Span::NONE, |key| out.store(key)),
                };
                let value = value.map_or(Span::NONE, |value| out.store(value));
                let row = Row { key, value, headers: Span::NONE, format: Format::MsgPack, ..*row };
                out.rows.push(row);
                row
            }
            Emit::Full { cause, value, time, key, headers, .. } => {
                let key = match key {
                    OutputKey::None => Span::NONE,
                    OutputKey::Bytes(bytes) => out.store(bytes),
                    OutputKey::Slot(slot) => self.slots.get(slot as usize).map_or(Span::NONE, |id| out.store(self.table.name(*id))),
                };
                let value = value.map_or(Span::NONE, |value| out.store(value));
                let headers = if headers.is_empty() { Span::NONE } else { out.store(headers) };
                let origin = match cause {
                    Cause::Event(event) => self.event(event).map_or(Row::at(time), |(_, row)| *row),
                    Cause::TimerBefore(event) => Row { watermark: self.watermark_before_timer(event), ..Row::at(time) },
                };
                let row = Row { key, value, headers, time, format: Format::MsgPack, ..origin };
                out.rows.push(row);
                row
            }
        };
        row.time <= row.watermark
    }

    fn event(&self, event: u32) -> Option<(&Admitted, &Row)> {
        let admitted = self.admitted.get(event as usize)?;
        Some((admitted, self.events.rows.get(admitted.row as usize)?))
    }

    /// A timer's outputs come before the watermark that fired it: they are stamped with the one that stood before.
    fn watermark_before_timer(&self, event: u32) -> Millis {
        let previous = event.checked_sub(1).and_then(|previous| self.event(previous));
        previous.map_or(self.before, |(_, row)| row.watermark.max(self.before))
    }
}

/// Settles the unreadable rows that come before row `before`.
pub(super) fn settle_unreadable(
    refuser: &mut Refuser,
    unreadable: &mut VecDeque<(usize, Failure)>,
    run: &mut Run<'_>,
    before: usize,
) -> Result<(), StageError> {
    while let Some((row, failure)) = unreadable.pop_front_if(|(row, _)| *row < before) {
        refuser.refuse(run, row, &failure)?;
    }
    Ok(())
}

/// Settles an event that the guest did not process.
fn settle(
    refuser: &mut Refuser,
    unreadable: &mut VecDeque<(usize, Failure)>,
    run: &mut Run<'_>,
    events: &[Admitted],
    event: u32,
    kind: RejectKind,
    reason: &str,
) -> Result<(), StageError> {
    let Some(row) = events.get(event as usize).map(|admitted| admitted.row as usize) else { return Ok(()) };
    settle_unreadable(refuser, unreadable, run, row)?;
    let kind = match kind {
        RejectKind::Reject => FailureKind::Reject,
        RejectKind::Late => FailureKind::Late,
        RejectKind::Drop => {
            refuser.drop_quietly();
            return Ok(());
        }
    };
    refuser.refuse(run, row, &Failure::new(kind, reason.to_owned()))
}

/// Consumes due timers that the guest will never be shown again.
pub(super) fn consume(table: &mut KeyedTable, due: &[Due]) {
    table.consume(due);
}
