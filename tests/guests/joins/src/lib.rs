//! Every join, deduplication, top-N and suppression of the SDK, chosen by configuration: what the facts in `tests/vectors` run through.
//!
//! An author would write only the one that is needed, with its rule as a constant.

use sangam_sdk::change::Change;
use sangam_sdk::dedup::{Dedup, Keep};
use sangam_sdk::join::{AsOf, AsOfJoin, Grid, Interval, IntervalJoin, Joined, Kind, Table, TableChange, TableJoin, WindowJoin};
use sangam_sdk::suppress::{Hold, Released, Suppress};
use sangam_sdk::top::{Ranked, Top, TopN};
use sangam_sdk::*;

/// One row of either side.
#[event]
#[derive(Default)]
pub struct Row {
    /// What belongs together.
    pub key: String,
    /// What the row says; nothing is a tombstone.
    pub value: Option<String>,
    /// What a ranking goes by.
    pub number: Option<i64>,
    /// How many are the best, where each row says so.
    pub n: Option<u64>,
    /// The key in a buffer of several.
    pub part: Option<String>,
    /// Where the window of an update starts.
    pub window_start: Option<i64>,
    /// Where the window of an update ends.
    pub window_end: Option<i64>,
}

/// The sides of a join; what has one side only takes it from the left, retractions of a ranking from the right.
#[event(tag = "side")]
pub enum In {
    /// The stream, or the first table.
    Left(Row),
    /// The other stream, or the table.
    Right(Row),
}

/// What comes out.
#[event]
#[derive(Default)]
pub struct Out {
    /// The left row.
    pub left: Option<String>,
    /// The right row.
    pub right: Option<String>,
    /// What happened to the row: `+I`, `-U`, `+U`, `-D`.
    pub change: Option<String>,
    /// What a ranking goes by.
    pub number: Option<i64>,
    /// The row's rank.
    pub rank: Option<u64>,
    /// The key in a buffer of several.
    pub part: Option<String>,
}

/// A row of a ranking.
#[state]
pub struct Place {
    /// What it is ranked by.
    pub number: i64,
    /// What it is called.
    pub name: String,
}

/// What is remembered for each key. Only the part that the configuration names is ever used.
#[state]
pub struct Memory {
    /// For `interval`.
    pub interval: IntervalJoin<String, String>,
    /// For `window`.
    pub window: WindowJoin<String, String>,
    /// For `as_of`.
    pub as_of: AsOfJoin<String, String>,
    /// For `stream_table`.
    pub table: Table<String>,
    /// For `table_table`.
    pub tables: TableJoin<String, String>,
    /// For `dedup`.
    pub dedup: Dedup<String>,
    /// For `top`.
    pub top: TopN<Place>,
    /// For `suppress`.
    pub held: Suppress<String, String>,
}

/// What to do, and by what rules.
#[config]
#[derive(Clone, Default)]
pub struct Joins {
    /// `interval`, `window`, `as_of`, `stream_table`, `table_table`, `dedup`, `top` or `suppress`.
    pub what: String,
    /// `inner`, `left`, `right` or `full`.
    #[config(default = "inner")]
    pub kind: String,
    /// Lower bound of an interval.
    #[config(default = 0)]
    pub lower: i64,
    /// Upper bound of an interval.
    #[config(default = 0)]
    pub upper: i64,
    /// Whether the lower bound is out of the interval.
    #[config(default = false)]
    pub lower_exclusive: bool,
    /// Whether the upper bound is out of the interval.
    #[config(default = false)]
    pub upper_exclusive: bool,
    /// How much longer everything waits.
    #[config(default = 0)]
    pub grace: i64,
    /// How much longer versions are kept.
    #[config(default = 0)]
    pub history: i64,
    /// Whether late rows are taken as long as they can match.
    #[config(default = false)]
    pub late_pairs: bool,
    /// Length of a window.
    #[config(default = 1)]
    pub size: i64,
    /// From window to window; the size if it is 0.
    #[config(default = 0)]
    pub slide: i64,
    /// Where windows start.
    #[config(default = 0)]
    pub offset: i64,
    /// Whether the last row is kept instead of the first.
    #[config(default = false)]
    pub last: bool,
    /// How long a key is remembered.
    pub ttl: Option<i64>,
    /// Whether that is processing time.
    #[config(default = false)]
    pub ttl_by_clock: bool,
    /// How many are the best.
    #[config(default = 1u64)]
    pub n: u64,
    /// How many are kept behind them.
    pub keep: Option<u64>,
    /// Whether ranks are told.
    #[config(default = false)]
    pub ranked: bool,
    /// Whether the largest is the first.
    #[config(default = false)]
    pub descending: bool,
    /// How long updates are held; until their windows close if it is missing.
    pub limit: Option<i64>,
    /// How many keys are held.
    pub max_records: Option<u64>,
    /// How many bytes are held.
    pub max_bytes: Option<u64>,
    /// Whether a full buffer is a fault.
    #[config(default = false)]
    pub stop: bool,
}

#[operator(key = "key", processing_time)]
impl Joins {
    fn on_event(&self, event: In, memory: &mut Memory, ctx: &mut Context) -> Result<Vec<Output<Out>>> {
        let (left, row) = match event {
            In::Left(row) => (true, row),
            In::Right(row) => (false, row),
        };
        let kind = self.kind()?;
        let value = |row: &mut Row| row.value.take().ok_or_else(|| discard("a row of a stream has a value"));
        let mut row = row;
        Ok(match self.what.as_str() {
            "interval" => {
                let (join, value, interval) = (&mut memory.interval, value(&mut row)?, self.interval(kind));
                each(if left { join.left(&interval, value, ctx)? } else { join.right(&interval, value, ctx)? }, joined)
            }
            "window" => {
                let (join, value, grid) = (&mut memory.window, value(&mut row)?, self.grid(kind));
                if left {
                    join.left(&grid, value, ctx)?
                } else {
                    join.right(&grid, value, ctx)?
                }
                Vec::new()
            }
            "as_of" if left => {
                let value = value(&mut row)?;
                each(memory.as_of.left(&self.as_of(kind), value, ctx), joined)
            }
            "as_of" => {
                memory.as_of.right(&self.as_of(kind), row.value, ctx);
                Vec::new()
            }
            "stream_table" if left => each(memory.table.join(kind, value(&mut row)?, ctx), joined),
            "stream_table" => {
                memory.table.set(row.value);
                Vec::new()
            }
            "table_table" if left => each(memory.tables.left(kind, row.value, ctx), table),
            "table_table" => each(memory.tables.right(kind, row.value, ctx), table),
            "dedup" => each(memory.dedup.update(&self.dedup(), value(&mut row)?, ctx)?, changed),
            "top" => self.rank(left, row, &mut memory.top),
            "suppress" => self.suppress(row, memory, ctx)?,
            other => return Err(Error::Fault(format!("`what = \"{other}\"` is none of the things that this operator does"))),
        })
    }

    fn on_timer(&self, timer: Timer, memory: &mut Memory, ctx: &mut Context) -> Vec<Output<Out>> {
        let kind = self.kind().unwrap_or_default();
        memory.dedup.on_timer(&self.dedup(), timer);
        let mut out = each(memory.interval.on_timer(&self.interval(kind), timer, ctx), joined);
        out.extend(each(memory.window.on_timer(&self.grid(kind), timer, ctx), joined));
        out.extend(each(memory.as_of.on_timer(&self.as_of(kind), timer, ctx), joined));
        out.extend(each(memory.held.on_timer(&self.hold(), timer, ctx), released));
        out
    }
}

impl Joins {
    fn kind(&self) -> Result<Kind> {
        Kind::named(&self.kind).ok_or_else(|| Error::Fault(format!("`kind = \"{}\"` is no kind of join", self.kind)))
    }

    fn interval(&self, kind: Kind) -> Interval {
        let mut interval = Interval::between(self.lower, self.upper).kind(kind).grace(self.grace);
        for (wanted, change) in [
            (self.lower_exclusive, Interval::lower_exclusive as fn(Interval) -> Interval),
            (self.upper_exclusive, Interval::upper_exclusive),
            (self.late_pairs, Interval::late_pairs),
        ] {
            interval = if wanted { change(interval) } else { interval };
        }
        interval
    }

    fn grid(&self, kind: Kind) -> Grid {
        let slide = if self.slide == 0 { self.size } else { self.slide };
        Grid::hopping(self.size, slide).offset(self.offset).grace(self.grace).kind(kind)
    }

    fn as_of(&self, kind: Kind) -> AsOf {
        AsOf::new().kind(kind).grace(self.grace).history(self.history)
    }

    fn dedup(&self) -> Keep {
        let keep = if self.last { Keep::last() } else { Keep::first() };
        match (self.ttl, self.ttl_by_clock) {
            (None, _) => keep,
            (Some(ttl), false) => keep.ttl(ttl),
            (Some(ttl), true) => keep.ttl_processing_time(ttl),
        }
    }

    fn hold(&self) -> Hold {
        let hold = self.limit.map_or(Hold::until_window_closes(self.grace), Hold::until_time_limit);
        let hold = if self.stop { hold.stop_when_full() } else { hold.emit_early_when_full() };
        let most = |most: Option<u64>| most.map_or(usize::MAX, |most| most as usize);
        hold.max_records(most(self.max_records)).max_bytes(most(self.max_bytes))
    }

    fn rank(&self, adds: bool, row: Row, rows: &mut TopN<Place>) -> Vec<Output<Out>> {
        let order =
            if self.descending { |a: &Place, b: &Place| b.number.cmp(&a.number) } else { |a: &Place, b: &Place| a.number.cmp(&b.number) };
        let top = Top::new(row.n.unwrap_or(self.n) as usize, order).keep(self.keep.unwrap_or(0) as usize);
        let place = Place { number: row.number.unwrap_or_default(), name: row.value.unwrap_or_default() };
        match (self.ranked, adds) {
            (false, true) => each(rows.insert(&top, place), placed),
            (false, false) => each(rows.retract(&top, &place), placed),
            (true, true) => each(rows.insert_ranked(&top, place), ranked),
            (true, false) => each(rows.retract_ranked(&top, &place), ranked),
        }
    }

    fn suppress(&self, row: Row, memory: &mut Memory, ctx: &mut Context) -> Result<Vec<Output<Out>>> {
        let (hold, part) = (self.hold(), row.part.unwrap_or_default());
        let left = match row.window_start.zip(row.window_end) {
            Some((start, end)) => memory.held.update_window(&hold, Window { start, end }, part, row.value, ctx)?,
            None => memory.held.update(&hold, part, row.value, ctx)?,
        };
        Ok(each(left, released))
    }
}

fn each<T>(all: impl IntoIterator<Item = T>, one: fn(T) -> Output<Out>) -> Vec<Output<Out>> {
    all.into_iter().map(one).collect()
}

fn joined(joined: Joined<String, String>) -> Output<Out> {
    joined.output(|left, right| Out { left, right, ..Out::default() })
}

fn table(change: TableChange<String, String>) -> Output<Out> {
    change.output(|left, right| Out { left, right, ..Out::default() })
}

fn changed(change: Change<String>) -> Output<Out> {
    let symbol = Some(change.symbol().to_owned());
    Output::new(Out { left: Some(change.into_row()), change: symbol, ..Out::default() })
}

fn placed(change: Change<Place>) -> Output<Out> {
    let symbol = Some(change.symbol().to_owned());
    let Place { number, name } = change.into_row();
    Output::new(Out { left: Some(name), number: Some(number), change: symbol, ..Out::default() })
}

fn ranked(change: Change<Ranked<Place>>) -> Output<Out> {
    let symbol = Some(change.symbol().to_owned());
    let Ranked { rank, row: Place { number, name } } = change.into_row();
    Output::new(Out { left: Some(name), number: Some(number), rank: Some(rank as u64), change: symbol, ..Out::default() })
}

fn released(row: Released<String, String>) -> Output<Out> {
    let part = row.key.clone();
    match row.value {
        Some(value) => Output::new(Out { left: Some(value), part: Some(part), ..Out::default() }).at(row.time),
        // A tombstone has no value to say which part it is of.
        None => Output::tombstone().at(row.time).header("part", part),
    }
}
