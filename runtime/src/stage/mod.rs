//! One operator over one slice of keys: a run of events goes in, what it emits comes out, state and timers stay.
//!
//! It does not know topics, threads or commits. It promises that however its input is cut into runs, the outcome is the same, and
//! that an event which the operator cannot take leaves no trace but a dead letter.

mod bisect;
mod call;
mod capture;
mod circuit;
mod failure;
pub mod letter;
mod outputs;
mod probation;
mod refuse;
mod watermark;

pub use call::read_effects;
pub use capture::{CaptureError, Captured, Captures, Read, Recorded};
pub use failure::{Failure, FailureKind, StageError};
pub use letter::{Origin, Subject};
pub use outputs::{Outputs, Way};
pub use probation::RolledBack;
pub use refuse::OnError;
pub use watermark::{Aligned, Alignment, Combined, Generator, Idleness, Quantile, Standing, Strategy};

use crate::breaker::Breaker;
use crate::events::Events;
use crate::metrics::OperatorMetrics;
use crate::route::Input;
use crate::sandbox::{Instance, Limits, Plugin};
use crate::store::{Changes, Due, KeyId, KeyedTable, Store, StoreError};
use crate::time::{Clock, Millis, WATERMARK_MIN};
use probation::Probation;
use refuse::Refuser;
use sangam_protocol::frame::FrameWriter;
use sangam_protocol::key::BROADCAST;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a stage is made from.
#[derive(Clone)]
pub struct StageSpec {
    /// The operator's name in the pipeline.
    pub name: Arc<str>,
    /// The code.
    pub plugin: Arc<Plugin>,
    /// Its configuration, a MessagePack map.
    pub config: Arc<[u8]>,
    /// What it may use.
    pub limits: Limits,
    /// How it reads each of the streams that it takes.
    pub inputs: Vec<Input>,
    /// What becomes of events that it refuses or fails at.
    pub on_error: OnError,
    /// Names of the pipeline's streams, by the number that rows carry.
    pub streams: Arc<[String]>,
    /// Most events per call.
    pub batch: usize,
    /// What it counts.
    pub metrics: OperatorMetrics,
    /// Output ports.
    pub ports: usize,
    /// Where state lies between commits.
    pub store: Arc<dyn Store>,
    /// Processing time, for operators that ask for it.
    pub clock: Arc<dyn Clock>,
    /// Where failed calls are kept; `None`: nowhere.
    pub captures: Option<Arc<Captures>>,
}

/// One operator over one slice of keys.
pub struct Stage {
    spec: StageSpec,
    instance: Option<Instance>,
    /// Its slice of the keys.
    partition: u32,
    /// Linear memory as it was last reported.
    memory_bytes: i64,
    probation: Option<Probation>,
    rolled_back: Option<RolledBack>,
    /// The last call, if it has failed and may be worth a file.
    failed_call: Option<Captured>,
    table: KeyedTable,
    /// Timers by the clock: a table of keys that have nothing else.
    clock_table: KeyedTable,
    /// The last reading of the clock, one for everything that a run does. It never goes back.
    now: Millis,
    watermark: Millis,
    refuser: Refuser,
    /// Where another operator stands in for this one while it keeps failing.
    breaker: Option<Breaker>,
    frame: FrameWriter,
    batch_number: u32,
    /// Whether there is a broadcast state, which goes into every frame.
    shared: bool,
    admitted: Vec<Admitted>,
    /// Rows that the operator cannot see, in order; they are settled when their turn comes.
    unreadable: VecDeque<(usize, Failure)>,
    slots: Vec<KeyId>,
    due: Vec<Due>,
    /// Due timers by the clock; their keys are the clock table's.
    clock_due: Vec<Due>,
    key: Vec<u8>,
    /// The keys of a run of events, one behind the other, and where each ends.
    keys: (Vec<u8>, Vec<usize>),
}

/// An event that the operator is going to see.
#[derive(Clone, Copy, Debug)]
struct Admitted {
    row: u32,
    kind: u8,
    key: Option<KeyId>,
}

/// One run of events on its way through the stage.
struct Run<'a> {
    events: &'a Events,
    input: usize,
    out: &'a mut Outputs,
}

/// Bytes of events that go into one frame; a single event that has more goes alone. A guest's memory holds a frame and its decoding.
const FRAME_BYTES_MAX: usize = 4 << 20;

/// The key, in the stage's space of the store, that holds its watermark.
const WATERMARK_KEY: &[u8] = b"watermark";

impl Stage {
    /// Makes the stage and brings its state and timers back from the store.
    ///
    /// # Errors
    /// When the store fails, or the plugin will not start.
    pub fn new(spec: StageSpec, partition: u32) -> Result<Stage, StageError> {
        let mut table = KeyedTable::new(format!("state/{}/{partition}", spec.name));
        table.restore(spec.store.as_ref())?;
        let mut clock_table = KeyedTable::new(format!("clock/{}/{partition}", spec.name));
        clock_table.restore(spec.store.as_ref())?;
        let watermark = spec.store.get(&meta_space(&spec.name, partition), WATERMARK_KEY)?;
        let watermark = watermark.and_then(|bytes| bytes.try_into().ok()).map_or(WATERMARK_MIN, i64::from_le_bytes);
        let refuser = Refuser::new(&spec, partition == 0);
        let mut stage = Stage {
            spec,
            instance: None,
            partition,
            memory_bytes: 0,
            probation: None,
            rolled_back: None,
            failed_call: None,
            table,
            clock_table,
            now: Millis::MIN,
            watermark,
            refuser,
            breaker: None,
            frame: FrameWriter::default(),
            batch_number: 0,
            shared: false,
            admitted: Vec::new(),
            unreadable: VecDeque::new(),
            slots: Vec::new(),
            due: Vec::new(),
            clock_due: Vec::new(),
            key: Vec::new(),
            keys: <_>::default(),
        };
        stage.shared = stage.spec.plugin.manifest().has_broadcast();
        stage.spec.metrics.holds(partition, stage.keys(), stage.state_bytes());
        stage.close_circuit();
        stage.instance()?;
        Ok(stage)
    }

    /// The operator's name.
    pub fn name(&self) -> &Arc<str> {
        &self.spec.name
    }

    /// Where the watermark stands.
    pub fn watermark(&self) -> Millis {
        self.watermark
    }

    /// Its keyed state and timers.
    pub fn table(&self) -> &KeyedTable {
        &self.table
    }

    /// The code that runs now.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.spec.plugin
    }

    /// What it counts.
    pub fn metrics(&self) -> &OperatorMetrics {
        &self.spec.metrics
    }

    /// Takes a run of scanned events from its input `input`, with their watermarks filled in, and then moves its watermark to `end`.
    ///
    /// # Errors
    /// When the host is at fault, or the operator's errors are to stop the pipeline. What the operator does wrong with an event is
    /// not an error here: the event becomes a dead letter in `out`.
    pub fn process(&mut self, events: &Events, input: usize, end: Millis, out: &mut Outputs) -> Result<(), StageError> {
        let end = end.max(self.watermark);
        self.read_clock();
        // What was due when the clock came to show so much happens before what comes with it.
        self.fire_due_by_clock(out)?;
        self.unreadable.clear();
        let run = &mut Run { events, input, out };
        if let Some(input) = self.spec.inputs.get(input) {
            self.refuser.broadcast = input.broadcast();
            self.refuser.input = input.stream().clone();
        }
        self.admit(run);
        self.spec.metrics.events_in.inc_by(events.len() as u64);
        let mut from = 0;
        loop {
            self.pass_unreadable(run, from, end)?;
            if from == self.admitted.len() {
                break;
            }
            let to = self.cut(run, from);
            let watermark = self.watermark_after(run, to).unwrap_or(end);
            self.advance(run, from, to, watermark)?;
            from = to;
        }
        if self.watermark < end {
            self.advance(run, from, from, end)?;
        }
        Ok(())
    }

    /// The next time at which a timer is due.
    pub fn next_timer(&mut self) -> Option<Millis> {
        self.table.next_timer()
    }

    /// The next time at which a timer by the clock is due; none are pending for a build that does not ask for processing time.
    pub fn next_clock_timer(&mut self) -> Option<Millis> {
        if self.asks_for_processing_time() { self.clock_table.next_timer() } else { None }
    }

    /// Number of pending timers by the clock.
    pub fn clock_timers(&self) -> usize {
        self.clock_table.timers()
    }

    /// Fires every timer by the clock whose time has come, in order, however long the clock was not looked at.
    ///
    /// # Errors
    /// As [`Stage::process`].
    pub fn fire_clock(&mut self, out: &mut Outputs) -> Result<(), StageError> {
        self.read_clock();
        self.fire_due_by_clock(out)
    }

    fn fire_due_by_clock(&mut self, out: &mut Outputs) -> Result<(), StageError> {
        if self.next_clock_timer().is_none_or(|at| at > self.now) {
            return Ok(());
        }
        self.unreadable.clear();
        self.admitted.clear();
        self.fire_by_clock(&mut Run { events: &Events::default(), input: 0, out })
    }

    fn asks_for_processing_time(&self) -> bool {
        self.spec.plugin.manifest().processing_time
    }

    fn read_clock(&mut self) {
        if self.asks_for_processing_time() {
            self.now = self.now.max(self.spec.clock.now());
        }
    }

    /// Adds what changed since the last commit.
    pub fn changes(&mut self, partition: u32, into: &mut Changes) {
        self.table.changes(into);
        self.clock_table.changes(into);
        into.put(&meta_space(&self.spec.name, partition), WATERMARK_KEY, &self.watermark.to_le_bytes());
    }

    /// The changes are part of a commit; what comes now belongs to the next one.
    pub fn committed(&mut self) {
        self.table.committed();
        self.spec.metrics.holds(self.partition, self.keys(), self.state_bytes());
        self.clock_table.committed();
    }

    /// Everything committed is in the store.
    pub fn written(&mut self) {
        self.table.written();
    }

    /// How many keys have state or timers; the broadcast state is none of them.
    pub fn keys(&self) -> usize {
        let shared = self.shared && self.table.find(BROADCAST).is_some_and(|id| self.table.state(id).is_some());
        self.table.len() - usize::from(shared)
    }

    /// About how much memory state and timers take.
    fn state_bytes(&self) -> usize {
        self.table.bytes() + self.clock_table.bytes()
    }

    /// Decides for every row whether the operator can see it, under which key and as which type.
    fn admit(&mut self, run: &Run<'_>) {
        self.admitted.clear();
        let Some(input) = self.spec.inputs.get(run.input) else { return };
        let mut unreadable = run.events.unreadable.iter().peekable();
        let (keys, ends) = &mut self.keys;
        keys.clear();
        ends.clear();
        for (i, row) in run.events.rows.iter().enumerate() {
            let verdict = match unreadable.next_if(|(row, _)| *row == i) {
                Some((_, reason)) => Err(reason.clone()),
                None => input.admit(run.events, i).and_then(|kind| {
                    if !input.keyed() {
                        return Ok(kind);
                    }
                    let key = input.key(run.events, i, row, &mut self.key)?;
                    if self.shared && !input.broadcast() && key == BROADCAST {
                        return Err("its key is the one under which the broadcast state is kept".to_owned());
                    }
                    keys.extend_from_slice(key);
                    ends.push(keys.len());
                    Ok(kind)
                }),
            };
            match verdict {
                Ok(kind) => self.admitted.push(Admitted { row: i as u32, kind, key: None }),
                Err(reason) => self.unreadable.push_back((i, Failure::new(FailureKind::Unreadable, reason))),
            }
        }
        // One after the other with nothing in between, so that the waits for memory overlap.
        let mut start = 0;
        for (admitted, end) in self.admitted.iter_mut().zip(ends) {
            admitted.key = keys.get(start..*end).map(|key| self.table.key(key));
            start = *end;
        }
    }

    /// Settles the unreadable rows that come before admitted event `from`, each after the timers that it makes due: as if a run ended there.
    fn pass_unreadable(&mut self, run: &mut Run<'_>, from: usize, end: Millis) -> Result<(), StageError> {
        let before = self.admitted.get(from).map_or(usize::MAX, |admitted| admitted.row as usize);
        while let Some(row) = self.unreadable.front().map(|(row, _)| *row).filter(|row| *row < before) {
            let watermark = run.events.rows.get(row + 1).map_or(end, |next| next.watermark);
            if self.watermark < watermark {
                self.advance(run, from, from, watermark)?;
            }
            self.settle_unreadable(run, row + 1)?;
        }
        Ok(())
    }

    /// Settles the unreadable rows that come before admitted event `event`.
    fn settle_before(&mut self, run: &mut Run<'_>, event: usize) -> Result<(), StageError> {
        let row = self.admitted.get(event).map_or(0, |admitted| admitted.row as usize);
        self.settle_unreadable(run, row)
    }

    /// Settles the unreadable rows that come before row `before`.
    fn settle_unreadable(&mut self, run: &mut Run<'_>, before: usize) -> Result<(), StageError> {
        call::settle_unreadable(&mut self.refuser, &mut self.unreadable, run, before)
    }

    /// Where the frame that starts with admitted event `from` ends: after a full batch, before it has too many bytes, or where a row that the
    /// operator does not see moves the watermark: timers fire before that, as they would if a run ended there.
    fn cut(&self, run: &Run<'_>, from: usize) -> usize {
        let mut bytes = 0;
        let batch = self.admitted.iter().skip(from).take(self.spec.batch);
        let fits = batch.take_while(|admitted| {
            let value = run.events.rows.get(admitted.row as usize).and_then(|row| run.events.value(row));
            bytes += value.map_or(0, <[u8]>::len);
            bytes <= FRAME_BYTES_MAX
        });
        let to = from + fits.count().max(1);
        let moved = (from + 1..to).find(|&i| self.watermark_after(run, i) != Some(self.watermark_before(run, i)));
        moved.unwrap_or(to)
    }

    /// The watermark as it stood before admitted event `i`.
    fn watermark_before(&self, run: &Run<'_>, i: usize) -> Millis {
        let row = self.admitted.get(i).and_then(|admitted| run.events.rows.get(admitted.row as usize));
        row.map_or(self.watermark, |row| row.watermark.max(self.watermark))
    }

    /// The watermark as it stood after the admitted event before `i`; `None` after the last row.
    fn watermark_after(&self, run: &Run<'_>, i: usize) -> Option<Millis> {
        let before = self.admitted.get(i.checked_sub(1)?)?;
        let row = run.events.rows.get(before.row as usize + 1)?;
        Some(row.watermark.max(self.watermark))
    }

    /// The running instance, a new one if the last call broke it.
    fn instance(&mut self) -> Result<&mut Instance, StageError> {
        if self.instance.as_ref().is_some_and(Instance::is_poisoned) {
            self.instance = None;
        }
        match &mut self.instance {
            Some(instance) => Ok(instance),
            empty => {
                let started = self.spec.plugin.start(&self.spec.config, &self.spec.limits);
                Ok(empty.insert(started.map_err(|why| StageError::Start(self.spec.name.to_string(), why))?))
            }
        }
    }
}

impl Drop for Stage {
    /// Its memory goes with it: after a failure another stage is made from the last commit, and reports its own.
    fn drop(&mut self) {
        self.spec.metrics.memory_bytes.dec_by(self.memory_bytes);
        self.spec.metrics.circuits_open.dec_by(i64::from(self.circuit_is_open()));
    }
}

/// The space of a stage's own bookkeeping.
fn meta_space(operator: &str, partition: u32) -> String {
    format!("stage/{operator}/{partition}")
}

impl From<StoreError> for StageError {
    fn from(why: StoreError) -> Self {
        StageError::Store(why)
    }
}
