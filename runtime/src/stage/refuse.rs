//! Why was my event refused? What becomes of an event that an operator cannot take.

use super::letter::{Origin, Subject};
use super::{Failure, FailureKind, Run, StageError, StageSpec, Way};
use crate::events::{Events, Row, Span};
use crate::metrics::OperatorMetrics;
use std::sync::Arc;

/// What becomes of events that an operator refuses or fails at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// They are kept as dead letters.
    #[default]
    DeadLetter,
    /// They are counted and gone.
    Drop,
    /// The pipeline stops, with nothing of the commit that they are in.
    Stop,
}

/// Sends events where they belong that an operator did not process, and counts them.
pub(super) struct Refuser {
    origin: Origin,
    /// The stream that the run at hand comes from.
    pub input: Arc<str>,
    on_error: OnError,
    metrics: OperatorMetrics,
    /// Whether this is the first of the operator's tasks.
    pub first: bool,
    /// Whether the run at hand goes to all of them.
    pub broadcast: bool,
}

impl Refuser {
    /// `first` says whether it is that of the operator's first task.
    pub fn new(spec: &StageSpec, first: bool) -> Refuser {
        let origin = Origin { operator: spec.name.clone(), plugin: spec.plugin.sha256().into(), streams: spec.streams.clone() };
        Refuser { origin, input: "".into(), on_error: spec.on_error, metrics: spec.metrics.clone(), first, broadcast: false }
    }

    /// Settles row `i` of the run, which is not processed because of `failure`.
    pub fn refuse(&mut self, run: &mut Run<'_>, i: usize, failure: &Failure) -> Result<(), StageError> {
        let Some(row) = run.events.rows.get(i) else { return Ok(()) };
        if failure.kind == FailureKind::Late {
            self.metrics.late.inc();
            copy(run.events, row, &mut run.out.late);
            run.out.order.push(Way::Late);
            return Ok(());
        }
        match self.on_error {
            // Every task gets every broadcast event, so every task refuses it; one of them keeps it.
            OnError::DeadLetter if self.broadcast && !self.first => self.drop_quietly(),
            OnError::Drop => {
                self.metrics.dropped.inc();
            }
            OnError::DeadLetter => {
                self.metrics.dead_letters.inc();
                self.origin.dead_letter(run.events, row, Subject::Event(&self.input), failure, &mut run.out.dead_letters);
                run.out.order.push(Way::DeadLetter);
            }
            OnError::Stop => return Err(StageError::Stop(self.origin.operator.to_string(), self.origin.placed(row, &failure.message))),
        }
        Ok(())
    }

    /// Counts an event that the operator has no use for.
    pub fn drop_quietly(&self) {
        self.metrics.dropped.inc();
    }

    /// Settles a timer that the operator failed at: there is no event to keep, so the dead letter holds the key and the timer's name.
    pub fn refuse_timer(&mut self, run: &mut Run<'_>, key: &[u8], name: &str, at: i64, failure: &Failure) -> Result<(), StageError> {
        if self.on_error == OnError::Stop {
            return Err(StageError::Stop(self.origin.operator.to_string(), format!("the timer `{name}`: {}", failure.message)));
        }
        let mut timer = Events::default();
        timer.push(&crate::events::Record { key: Some(key), time: at, offset: -1, ..Default::default() });
        if let (OnError::DeadLetter, Some(row)) = (self.on_error, timer.rows.first()) {
            let failure = Failure { message: format!("the timer `{name}` for {at}: {}", failure.message), ..failure.clone() };
            self.origin.dead_letter(&timer, row, Subject::Timer(name), &failure, &mut run.out.dead_letters);
            run.out.order.push(Way::DeadLetter);
        }
        Ok(())
    }
}

/// Copies an event as it came.
pub(super) fn copy(events: &Events, row: &Row, out: &mut Events) {
    let mut take = |bytes: Option<&[u8]>| bytes.map_or(Span::NONE, |bytes| out.store(bytes));
    let (key, value) = (take(events.key(row)), take(events.value(row)));
    let headers = if row.headers.is_none() { Span::NONE } else { take(Some(events.headers(row))) };
    out.rows.push(Row { key, value, headers, ..*row });
}
