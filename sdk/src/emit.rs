//! What an operator returns, and how it gets into the effects without a copy in between.

use sangam_protocol::Millis;
use sangam_protocol::effects::{Cause, EffectsWriter, OutputKey};
use sangam_protocol::msgpack::write;

use crate::field::Encode;
use crate::{Error, Result};

/// Where the outputs of one call go.
#[derive(Debug)]
pub struct Emitter<'w> {
    writer: &'w mut EffectsWriter,
    cause: Cause,
    slot: Option<u32>,
    time: Millis,
    /// The outputs have a time of their own and cannot take over what the event has.
    apart: bool,
}

impl<'w> Emitter<'w> {
    #[inline]
    pub(crate) fn event(writer: &'w mut EffectsWriter, event: u32, slot: Option<u32>, time: Millis) -> Self {
        Emitter { writer, cause: Cause::Event(event), slot, time, apart: false }
    }

    #[inline]
    pub(crate) fn timer(writer: &'w mut EffectsWriter, before: u32, slot: u32, time: Millis) -> Self {
        Emitter { writer, cause: Cause::TimerBefore(before), slot: Some(slot), time, apart: true }
    }

    /// The same place, for outputs of this time.
    pub(crate) fn at(&mut self, time: Millis) -> Emitter<'_> {
        Emitter { writer: self.writer, cause: self.cause, slot: self.slot, time, apart: true }
    }

    /// Emits a value by port `port`.
    #[doc(hidden)]
    #[inline]
    pub fn value(&mut self, port: u32, value: impl FnOnce(&mut Vec<u8>)) {
        match self.cause {
            Cause::Event(event) if !self.apart => self.writer.simple(port, event, value),
            cause => self.writer.full(port, cause, self.time, key(self.slot), &[], Some(value)),
        }
    }

    /// Emits the event at hand as it came.
    fn forward(&mut self, port: u32) -> Result<()> {
        match self.cause {
            Cause::Event(event) => self.writer.forward(port, event),
            Cause::TimerBefore(_) => {
                return Err(Error::Fault("a timer, or the end of a batch, has no event to forward: return an event".into()));
            }
        }
        Ok(())
    }
}

fn key(slot: Option<u32>) -> OutputKey<'static> {
    slot.map_or(OutputKey::None, OutputKey::Slot)
}

/// A thing that leaves by one port: an `#[event]`, [`Forward`], or an [`Output`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event, so an operator cannot emit it",
    label = "not an event",
    note = "an operator returns an #[event], Forward, Output<event>, an #[outputs] enum, (), or Option, Vec or Result of those"
)]
pub trait Payload {
    /// Emits the thing by port `port`.
    fn leave_by(self, port: u32, out: &mut Emitter<'_>) -> Result<()>;
}

/// A thing that knows its port: a [`Payload`], by the only port `out`; or an `#[outputs]` enum.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event, so an operator cannot emit it",
    label = "not an event",
    note = "an operator returns an #[event], Forward, Output<event>, an #[outputs] enum, (), or Option, Vec or Result of those"
)]
pub trait Leave {
    /// The ports, as a JSON array.
    const PORTS: &'static str;
    /// Emits the thing.
    fn leave(self, out: &mut Emitter<'_>) -> Result<()>;
}

impl<T: Payload> Leave for T {
    const PORTS: &'static str = "[\"out\"]";
    #[inline]
    fn leave(self, out: &mut Emitter<'_>) -> Result<()> {
        self.leave_by(0, out)
    }
}

/// What an operator may return.
#[diagnostic::on_unimplemented(
    message = "an operator cannot return `{Self}`",
    label = "not something that can be emitted",
    note = "an operator returns an #[event], Forward, Output<event>, an #[outputs] enum, (), or Option, Vec or Result of those"
)]
pub trait Emit {
    /// The ports that it leaves by, as a JSON array.
    const PORTS: &'static str;
    /// Whether it can refuse an event. One that cannot needs no copy of its state to go back to.
    const FALLIBLE: bool = false;
    /// Emits all of it.
    fn emit(self, out: &mut Emitter<'_>) -> Result<()>;
}

impl Emit for () {
    const PORTS: &'static str = crate::manifest::NO_PORTS;
    #[inline]
    fn emit(self, _out: &mut Emitter<'_>) -> Result<()> {
        Ok(())
    }
}

impl<T: Leave> Emit for T {
    const PORTS: &'static str = T::PORTS;
    #[inline]
    fn emit(self, out: &mut Emitter<'_>) -> Result<()> {
        self.leave(out)
    }
}

impl<T: Leave> Emit for Option<T> {
    const PORTS: &'static str = T::PORTS;
    #[inline]
    fn emit(self, out: &mut Emitter<'_>) -> Result<()> {
        self.map_or(Ok(()), |one| one.leave(out))
    }
}

impl<T: Leave> Emit for Vec<T> {
    const PORTS: &'static str = T::PORTS;
    #[inline]
    fn emit(self, out: &mut Emitter<'_>) -> Result<()> {
        self.into_iter().try_for_each(|one| one.leave(out))
    }
}

impl<R: Emit> Emit for Result<R> {
    const PORTS: &'static str = R::PORTS;
    const FALLIBLE: bool = true;
    #[inline]
    fn emit(self, out: &mut Emitter<'_>) -> Result<()> {
        self?.emit(out)
    }
}

/// Emits the event as it came: value, key, time and headers, no byte encoded again.
///
/// ```
/// use sangam_sdk::*;
///
/// #[event] struct Order { total: f64 }
///
/// #[operator]
/// fn large(order: Order) -> Option<Forward> {
///     (order.total > 1_000.0).then_some(Forward)
/// }
/// assert_eq!(large(Order { total: 5.0 }), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward;

impl Payload for Forward {
    #[inline]
    fn leave_by(self, port: u32, out: &mut Emitter<'_>) -> Result<()> {
        out.forward(port)
    }
}

/// An event with a time, a key or headers of its own, instead of those of the event that it was made from.
///
/// An output of a stateless operator that has an own time or headers has no key unless it is given one: the key does not travel
/// to operators that do not ask for it.
///
/// ```
/// use sangam_sdk::*;
///
/// #[event] struct Alert { card: String }
///
/// let alert = Alert { card: "4".into() };
/// let output = Output::new(alert).at(1_000).key("4").header("reason", b"velocity");
/// assert_eq!(output.event().map(|alert| alert.card.as_str()), Some("4"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Output<E> {
    event: Option<E>,
    time: Option<Millis>,
    key: Option<Vec<u8>>,
    /// Pairs of text and binary in MessagePack, without the map's head.
    headers: Vec<u8>,
    header_count: usize,
}

impl<E> Output<E> {
    /// An output that differs in nothing yet.
    pub fn new(event: E) -> Self {
        Output { event: Some(event), time: None, key: None, headers: Vec::new(), header_count: 0 }
    }

    /// A key without a value: deletes the key where the topic is compacted.
    pub fn tombstone() -> Self {
        Output { event: None, time: None, key: None, headers: Vec::new(), header_count: 0 }
    }

    /// Sets its event time.
    #[must_use]
    pub fn at(mut self, time: Millis) -> Self {
        self.time = Some(time);
        self
    }

    /// Sets its key.
    #[must_use]
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        write::str(&mut self.headers, name);
        write::bin(&mut self.headers, value.as_ref());
        self.header_count += 1;
        self
    }

    /// The event, unless this is a tombstone.
    pub fn event(&self) -> Option<&E> {
        self.event.as_ref()
    }
}

impl<E: Payload + Encode> Payload for Output<E> {
    fn leave_by(self, port: u32, out: &mut Emitter<'_>) -> Result<()> {
        let mut headers = Vec::new();
        if self.header_count > 0 {
            write::map(&mut headers, self.header_count);
            headers.extend_from_slice(&self.headers);
        }
        let key = self.key.as_deref().map_or(key(out.slot), OutputKey::Bytes);
        let value = self.event.map(|event| move |buffer: &mut Vec<u8>| event.encode(buffer));
        out.writer.full(port, out.cause, self.time.unwrap_or(out.time), key, &headers, value);
        Ok(())
    }
}
