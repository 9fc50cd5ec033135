//! Aggregates over tumbling windows of event time, per key, told by the pipeline what to gather: nobody writes code to use it.
//!
//! A library over state and timers by Flink's rules; the host knows nothing of windows. It never looks at the clock.

pub mod aggregate;
mod duration;
mod number;
mod summary;

use sangam_sdk::*;
use serde::Deserialize;

pub use aggregate::{Aggregates, Gathered};
pub use duration::Duration;
pub use number::Number;
pub use summary::Summary;

/// The timer of a key, for the next of its windows to close or to be forgotten.
const TIMER: &str = "window";

/// The configuration.
#[config]
pub struct Windowing {
    /// Which windows.
    pub window: Tumbling,
    /// How long after its end a window still takes events; each of them emits it again.
    #[config(default = Duration(0))]
    pub allowed_lateness: Duration,
    /// When a window emits.
    #[config(default = EmitMode::OnClose)]
    pub emit: EmitMode,
    /// What it emits.
    pub aggregate: Aggregates,
}

/// Windows of one size, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Tumbling {
    /// Their length.
    pub size: Millis,
    /// Where the one after 1970 began starts; from zero up to the size.
    pub offset: Millis,
}

/// A window as the pipeline writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { type = \"tumbling\", size = \"1h\" }")]
struct Written {
    r#type: String,
    size: Option<Duration>,
    offset: Option<Duration>,
}

impl TryFrom<Written> for Tumbling {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if written.r#type != "tumbling" {
            return Err(format!("windows of type `{}` are not supported; there are tumbling ones", written.r#type));
        }
        let size = written.size.map_or(0, |size| size.0);
        let offset = written.offset.map_or(0, |offset| offset.0);
        if size == 0 {
            return Err("a window has some length: write size = \"1h\"".into());
        }
        if offset >= size {
            return Err("the offset must be less than the size".into());
        }
        Ok(Tumbling { size, offset })
    }
}

impl Tumbling {
    /// The window around `time`.
    pub fn around(self, time: Millis) -> Window {
        let into = time.saturating_sub(self.offset).rem_euclid(self.size);
        self.starting(time.saturating_sub(into))
    }

    fn starting(self, start: Millis) -> Window {
        Window { start, end: start.saturating_add(self.size) }
    }
}

/// When a window emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum EmitMode {
    /// When the watermark says that no more events will come for it.
    OnClose,
}

impl TryFrom<String> for EmitMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "on_close" => Ok(EmitMode::OnClose),
            other => Err(format!("the mode `{other}` is not supported; there is on_close")),
        }
    }
}

/// What is remembered for a key: its windows that are not over, in order of time.
#[state]
pub struct Windows {
    /// None once all are over: then nothing is kept for the key.
    pub open: Vec<Open>,
}

/// A window that still takes events.
#[state]
pub struct Open {
    /// Its first millisecond.
    pub start: Millis,
    /// One for each aggregate, in the order of the configuration.
    pub gathered: Vec<Gathered>,
}

#[operator(keyed)]
impl Windowing {
    /// The fields that the aggregates are made of. An event may lack them.
    pub fn fields(&self) -> Vec<FieldPath> {
        self.aggregate.fields.iter().map(FieldPath::optional).collect()
    }

    /// Takes an event into its window. One that has closed but still takes events is emitted again, with all it has.
    pub fn on_event(&self, row: Row<'_>, windows: &mut Windows, ctx: &mut Context) -> Result<Option<Output<Summary>>> {
        let window = self.window.around(ctx.time());
        let (last, watermark) = (window.last(), ctx.watermark());
        if watermark >= self.over(window) {
            return Err(late("its window has closed"));
        }
        let place = windows.open.binary_search_by_key(&window.start, |open| open.start);
        let index = place.unwrap_or_else(|index| {
            windows.open.insert(index, Open { start: window.start, gathered: Vec::new() });
            index
        });
        let Some(open) = windows.open.get_mut(index) else { return Ok(None) };
        self.gather(&row, open)?;
        let again = (watermark >= last).then(|| Output::new(Summary::new(ctx, window, &self.aggregate, open)).at(last));
        if place.is_err() {
            self.arm(windows, watermark, ctx);
        }
        Ok(again)
    }

    /// Emits the window that closes now, forgets the one that takes no more events.
    pub fn on_timer(&self, timer: Timer, windows: &mut Windows, ctx: &mut Context) -> Option<Summary> {
        let now = timer.at();
        let closing = windows.open.iter().find(|open| self.window.starting(open.start).last() == now);
        let summary = closing.map(|open| Summary::new(ctx, self.window.starting(open.start), &self.aggregate, open));
        windows.open.retain(|open| self.over(self.window.starting(open.start)) > now);
        self.arm(windows, now, ctx);
        summary
    }
}

impl Windowing {
    /// When a window is over: from then on its events are late.
    fn over(&self, window: Window) -> Millis {
        window.last().saturating_add(self.allowed_lateness.0)
    }

    fn gather(&self, row: &Row<'_>, open: &mut Open) -> Result<()> {
        // Longer than what was stored if an aggregate has been added to the configuration since.
        open.gathered.resize_with(self.aggregate.list.len(), Gathered::default);
        for (aggregate, gathered) in self.aggregate.list.iter().zip(&mut open.gathered) {
            match aggregate.field {
                None => gathered.taken += 1,
                Some(place) => {
                    let value = row.get::<Option<Number>>(place).map_err(|_| self.no_number(place))?;
                    if let Some(value) = value {
                        gathered.take(aggregate.function, value);
                    }
                }
            }
        }
        Ok(())
    }

    #[cold]
    fn no_number(&self, place: usize) -> Error {
        reject(format!("the field `{}` is not a number", self.aggregate.fields.get(place).map_or("", String::as_str)))
    }

    /// Sets the timer for the first thing that happens to any window after `now`.
    fn arm(&self, windows: &Windows, now: Millis, ctx: &mut Context) {
        let next = windows.open.iter().map(|open| {
            let window = self.window.starting(open.start);
            if window.last() > now { window.last() } else { self.over(window) }
        });
        if let Some(next) = next.min() {
            ctx.wake(TIMER, next);
        }
    }
}
