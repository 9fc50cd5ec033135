//! Time to live: a state that nobody has used for long enough is gone.
//!
//! The clock is event time, unless the state says otherwise: a call happens at its event's time, or at the watermark where that is ahead; a timer's call at the timer's
//! time. So the same input gives the same result whenever it is read. A state has expired when the clock has reached its last use plus
//! its time to live; no call gets to see it then. It leaves the store by a timer of the SDK, one per key, that is set when the state is
//! made and, when it fires, is set again for as long as the state was used since: at most one firing per key and time to live, and no
//! scan. What it costs besides: the state is encoded after every call, to see whether it has changed.

use sangam_protocol::Millis;

/// How long a state lives. `#[state(ttl = "1h", ttl_from = "read")]` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// For how long after its last use.
    pub millis: Millis,
    /// What counts as a use.
    pub from: TtlFrom,
    /// Which time it counts.
    pub clock: TtlClock,
}

/// Which time a state's life counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlClock {
    /// That of events. The default: the same input gives the same result whenever it is read.
    Event,
    /// That of the host, `#[state(ttl_time = "processing")]`, for operators that ask for processing time.
    Processing,
}

/// What prolongs a state's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlFrom {
    /// A call that changes the state, or that says `ctx.touch()`. The default.
    Write,
    /// Every call for its key that is not refused.
    Read,
}

/// Name of the timer that takes an expired state out of the store. Names that begin with `$` belong to the SDK.
pub(crate) const TIMER: &str = "$ttl";

impl Ttl {
    /// When a state expires that was last used at `used`.
    #[inline]
    pub(crate) fn deadline(self, used: Millis) -> Millis {
        used.saturating_add(self.millis)
    }
}

/// The life of the state of one slot.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// When it was last used; `None` where there is no state, or one from before it had a time to live.
    used: Option<Millis>,
    /// Its timer is pending.
    armed: bool,
    /// Its bytes after the last call.
    seen: Vec<u8>,
}

/// What is to happen to the timer of a state after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    Wake(Millis),
    Cancel,
}

impl Life {
    /// As many lives as there are slots, of states that nobody has looked at yet.
    pub(crate) fn unborn(slots: usize) -> Vec<Life> {
        std::iter::repeat_with(Life::default).take(slots).collect()
    }

    /// The life of a state as the store has it; `bytes` is its encoding.
    pub(crate) fn stored(used: Option<Millis>, bytes: &[u8]) -> Self {
        Life { used, armed: used.is_some(), seen: bytes.to_vec() }
    }

    /// When it was last used.
    pub(crate) fn used(&self) -> Option<Millis> {
        self.used
    }

    /// Whether it is over at `now`.
    #[inline]
    pub(crate) fn is_over(&self, ttl: Ttl, now: Millis) -> bool {
        self.used.is_some_and(|used| now >= ttl.deadline(used))
    }

    /// Ends it; true when a timer is pending that has nothing to do any more.
    pub(crate) fn end(&mut self, blank: &[u8]) -> bool {
        let armed = self.armed;
        *self = Life::stored(None, blank);
        armed
    }

    /// The timer has fired before its state's time was over: when it is to fire next.
    pub(crate) fn again(&self, ttl: Ttl) -> Option<Millis> {
        self.used.map(|used| ttl.deadline(used))
    }

    /// A call at `now` has left the state with these bytes. `touched` says that it counts as a write whatever the bytes are.
    pub(crate) fn after(&mut self, ttl: Ttl, now: Millis, bytes: &[u8], blank: &[u8], touched: bool) -> After {
        let written = touched || self.seen != bytes;
        if written && self.seen != bytes {
            self.seen.clear();
            self.seen.extend_from_slice(bytes);
        }
        if bytes == blank {
            self.used = None;
            return if std::mem::take(&mut self.armed) { After::Cancel } else { After::Nothing };
        }
        if written || ttl.from == TtlFrom::Read || self.used.is_none() {
            self.used = self.used.max(Some(now));
        }
        match (std::mem::replace(&mut self.armed, true), self.used) {
            (false, Some(used)) => After::Wake(ttl.deadline(used)),
            _ => After::Nothing,
        }
    }
}
