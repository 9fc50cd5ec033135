//! An event's time, read from a field and checked to be a time that anybody could mean.

use crate::time::Millis;
use sangam_protocol::msgpack::Reader;

/// What a time field counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// Milliseconds since the Unix epoch.
    #[default]
    Millis,
    /// Seconds since the Unix epoch.
    Seconds,
}

/// The first instant that is refused: the year 9999. One such event would carry the watermark past everything that is still to come.
pub const TIME_MAX: Millis = 253_370_764_800_000;

/// Reads an event's time from a MessagePack value; the error says what is wrong with it.
#[inline]
pub fn event_time(value: &[u8], unit: TimeUnit) -> Result<Millis, String> {
    let mut reader = Reader::new(value);
    let number = match reader.peek() {
        // Producers in dynamic languages write whole numbers as floats.
        Ok(0xca | 0xcb) => match reader.f64() {
            Ok(float) if float.is_finite() && float.abs() < 9e18 => float as i64,
            _ => return Err("is not a time".into()),
        },
        _ => reader.i64().map_err(|why| format!("is not a time: {why}"))?,
    };
    let millis = match unit {
        TimeUnit::Millis => number,
        TimeUnit::Seconds => number.saturating_mul(1000),
    };
    check(millis)
}

/// Refuses times before 1970 and from the year 9999 on.
#[inline]
pub fn check(millis: Millis) -> Result<Millis, String> {
    if (0..TIME_MAX).contains(&millis) {
        Ok(millis)
    } else if millis < 0 {
        Err(format!("is {millis}, before 1970; is the unit right?"))
    } else {
        Err(format!("is {millis} ms, in the year 9999 or later; is the unit right?"))
    }
}
