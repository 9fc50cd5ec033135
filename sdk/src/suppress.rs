//! Suppression: holds back the updates of a table until a window closes or a time is over, so that only the last of them is seen.
//!
//! It holds what the updates of one key of the operator bring. Where one buffer is to hold many keys of a table, they are keys of the
//! buffer and the operator has a coarser key, at the extreme the same for all.

use sangam_protocol::Millis;
use sangam_protocol::msgpack::{Reader, write};

use crate::emit::Output;
use crate::field::{Cells, Encode, Field};
use crate::wrong::Wrong;
use crate::{Context, Error, Result, Timer, Window};

/// How long updates are held, how many of them, and what happens when there are more.
///
/// ```
/// use sangam_sdk::suppress::Hold;
/// use sangam_sdk::seconds;
///
/// // At most one update per key in ten seconds, and never more than 1,000 keys.
/// const CALM: Hold = Hold::until_time_limit(seconds(10)).max_records(1_000);
/// // One result per window, and a fault rather than a result that is not final.
/// const FINAL: Hold = Hold::until_window_closes(seconds(5)).max_bytes(1 << 20);
/// # let _ = (CALM, FINAL);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    wait: Millis,
    /// Only the last word counts: a key that is deleted before it was ever seen is not mentioned.
    last_word: bool,
    max_records: usize,
    max_bytes: usize,
    stop: bool,
    timer: &'static str,
}

impl Hold {
    /// Holds the updates of a key for `limit` milliseconds after the first of them.
    pub const fn until_time_limit(limit: Millis) -> Self {
        Hold { wait: limit, last_word: false, max_records: usize::MAX, max_bytes: usize::MAX, stop: false, timer: "suppress" }
    }

    /// Holds the updates of a window until it has closed and `grace` milliseconds have passed. It stops when it is full.
    pub const fn until_window_closes(grace: Millis) -> Self {
        Hold { wait: grace, last_word: true, stop: true, ..Hold::until_time_limit(0) }
    }

    /// Holds at most this many keys.
    #[must_use]
    pub const fn max_records(self, max_records: usize) -> Self {
        Hold { max_records, ..self }
    }

    /// Holds at most this many bytes: keys and values as they are stored.
    #[must_use]
    pub const fn max_bytes(self, max_bytes: usize) -> Self {
        Hold { max_bytes, ..self }
    }

    /// When it is full, the longest held leave early: the default of a time limit. Until a window closes, that gives results which are not
    /// final.
    #[must_use]
    pub const fn emit_early_when_full(self) -> Self {
        Hold { stop: false, ..self }
    }

    /// When it is full, the update is a fault of the operator: the default until a window closes.
    #[must_use]
    pub const fn stop_when_full(self) -> Self {
        Hold { stop: true, ..self }
    }

    /// The name of its timer, `suppress` by default: for a second one in the same operator.
    #[must_use]
    pub const fn timer(self, timer: &'static str) -> Self {
        Hold { timer, ..self }
    }
}

/// The last update of a key, when its time has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Released<K, V> {
    /// The key in the buffer.
    pub key: K,
    /// The value; `None` says that the key is deleted.
    pub value: Option<V>,
    /// Event time of this update.
    pub time: Millis,
}

impl<K, V> Released<K, V> {
    /// An output of the update's time: the value, or a tombstone for the key at hand.
    pub fn output<E>(self, event: impl FnOnce(K, V) -> E) -> Output<E> {
        match self.value {
            Some(value) => Output::new(event(self.key, value)).at(self.time),
            None => Output::tombstone().at(self.time),
        }
    }
}

/// The updates that are held: a field of an operator's state. One timer per key of the operator.
///
/// ```
/// use sangam_sdk::suppress::{Hold, Suppress};
/// use sangam_sdk::test::Harness;
/// use sangam_sdk::*;
///
/// #[event] struct Total { shop: String, total: f64 }
/// #[state] struct Held { totals: Suppress<u8, f64> }
/// #[config] struct Calm {}
/// const HOLD: Hold = Hold::until_time_limit(seconds(10));
///
/// #[operator(key = "shop")]
/// impl Calm {
///     fn on_event(&self, total: Total, held: &mut Held, ctx: &mut Context) -> Result<Vec<Output<Total>>> {
///         // One row per key of the operator: the key in the buffer is always the same.
///         let released = held.totals.update(&HOLD, 0, Some(total.total), ctx)?;
///         Ok(released.into_iter().map(|row| row.output(|_, value| Total { shop: ctx.key().into(), total: value })).collect())
///     }
///     fn on_timer(&self, timer: Timer, held: &mut Held, ctx: &mut Context) -> Vec<Output<Total>> {
///         let released = held.totals.on_timer(&HOLD, timer, ctx);
///         released.into_iter().map(|row| row.output(|_, value| Total { shop: ctx.key().into(), total: value })).collect()
///     }
/// }
///
/// let mut h = Harness::<Calm>::new();
/// for (time, total) in [(0, 1.0), (4_000, 2.0), (9_000, 3.0)] {
///     h.send(time, Total { shop: "s".into(), total });
/// }
/// h.advance(10_000);
/// assert_eq!(h.take::<Total>("out"), [Total { shop: "s".into(), total: 3.0 }]);
/// assert_eq!(h.keys(), Vec::<String>::new());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Suppress<K, V> {
    /// In order of the time that they are due, then of their keys.
    held: Vec<Held<K, V>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Held<K, V> {
    due: Millis,
    update: Released<K, V>,
    /// Length of key and value as they are stored.
    bytes: usize,
}

impl<K: Ord + Encode, V: Encode> Suppress<K, V> {
    /// Takes an update of a key, `None` deletes it; returns what leaves because the buffer is too full for it, or because nothing is to
    /// be waited for. The first update of a key says until when it is held.
    ///
    /// # Errors
    /// A fault where the buffer is full and is to stop then.
    pub fn update(&mut self, hold: &Hold, key: K, value: Option<V>, ctx: &mut Context<'_>) -> Result<Vec<Released<K, V>>> {
        self.put(hold, ctx.time().saturating_add(hold.wait), key, value, ctx)
    }

    /// Takes an update of a window's result; `None` takes the window back, as when sessions merge. It is held until the window has closed
    /// and the grace is over; what comes after that leaves at once.
    ///
    /// # Errors
    /// A fault where the buffer is full and is to stop then.
    pub fn update_window(
        &mut self,
        hold: &Hold,
        window: Window,
        key: K,
        value: Option<V>,
        ctx: &mut Context<'_>,
    ) -> Result<Vec<Released<K, V>>> {
        self.put(hold, window.last().saturating_add(hold.wait), key, value, ctx)
    }

    fn put(&mut self, hold: &Hold, due: Millis, key: K, value: Option<V>, ctx: &mut Context<'_>) -> Result<Vec<Released<K, V>>> {
        let pending = self.next();
        let known = self.held.iter().position(|held| held.update.key == key).map(|place| self.held.remove(place));
        if value.is_some() || !hold.last_word {
            let due = known.map_or(due, |known| known.due);
            let bytes = stored(&key, &value);
            let place = self.held.partition_point(|held| (held.due, &held.update.key) < (due, &key));
            self.held.insert(place, Held { due, update: Released { key, value, time: ctx.time() }, bytes });
        }
        let mut gone = self.due(ctx.watermark());
        let mut bytes: usize = if hold.max_bytes < usize::MAX { self.held.iter().map(|held| held.bytes).sum() } else { 0 };
        let mut early = 0;
        for held in &self.held {
            if self.held.len() - early <= hold.max_records && bytes <= hold.max_bytes {
                break;
            }
            bytes = bytes.saturating_sub(held.bytes);
            early += 1;
        }
        if early > 0 && hold.stop {
            let (records, most) = (self.held.len(), hold.max_records);
            return Err(Error::Fault(format!(
                "the buffer that suppresses updates is full ({records} of {most} records): raise its limits or let it emit early"
            )));
        }
        gone.extend(self.held.drain(..early).map(|held| held.update));
        self.arm(hold, pending, ctx);
        Ok(gone)
    }
}

impl<K, V> Suppress<K, V> {
    /// Releases what has been held long enough. A timer of another name is none of its business.
    pub fn on_timer(&mut self, hold: &Hold, timer: Timer<'_>, ctx: &mut Context<'_>) -> Vec<Released<K, V>> {
        if timer.name() != hold.timer {
            return Vec::new();
        }
        let released = self.due(timer.at());
        // The timer has fired: nothing is pending.
        self.arm(hold, None, ctx);
        released
    }

    /// Number of keys that are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn due(&mut self, now: Millis) -> Vec<Released<K, V>> {
        let due = self.held.partition_point(|held| held.due <= now);
        self.held.drain(..due).map(|held| held.update).collect()
    }

    fn next(&self) -> Option<Millis> {
        self.held.first().map(|held| held.due)
    }

    fn arm(&self, hold: &Hold, pending: Option<Millis>, ctx: &mut Context<'_>) {
        match (self.next(), pending) {
            (next, pending) if next == pending => {}
            (Some(at), _) => ctx.wake(hold.timer, at),
            // All that was held has left early.
            (None, _) => ctx.cancel(hold.timer),
        }
    }
}

fn stored<K: Encode, V: Encode>(key: &K, value: &Option<V>) -> usize {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    value.encode(&mut bytes);
    bytes.len()
}

// === as a field of a state ===

impl<K, V> Default for Suppress<K, V> {
    fn default() -> Self {
        Suppress { held: Vec::new() }
    }
}

impl<'a, K: Field<'a>, V: Field<'a>> Field<'a> for Suppress<K, V> {
    const KIND: &'static str = "array";
    const CELLS: Cells = Cells::None.or(K::CELLS.inside()).or(V::CELLS.inside());
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Wrong> {
        let mut held = Vec::new();
        for _ in 0..reader.array()? / 4 {
            let (due, time, start) = (reader.i64()?, reader.i64()?, reader.position());
            let (key, value) = (K::decode(reader)?, Option::decode(reader)?);
            held.push(Held { due, update: Released { key, value, time }, bytes: reader.position() - start });
        }
        Ok(Suppress { held })
    }
}

impl<K: Encode, V: Encode> Encode for Suppress<K, V> {
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, self.held.len() * 4);
        for Held { due, update, .. } in &self.held {
            write::i64(out, *due);
            write::i64(out, update.time);
            update.key.encode(out);
            update.value.encode(out);
        }
    }
}
