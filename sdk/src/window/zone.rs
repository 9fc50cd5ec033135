//! Wall clocks: what a clock in a time zone shows at an instant, and at which instant it shows a time.
//!
//! The zones' data is compiled in, and only with the feature `zones`: a guest that names no zone carries none of it.

use sangam_protocol::Millis;

/// A time zone of the IANA database.
#[cfg(feature = "zones")]
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Zone {
    zone: jiff::tz::TimeZone,
    mark: u64,
}

/// A time zone; without the feature `zones` there is none.
#[cfg(not(feature = "zones"))]
#[derive(Clone, Debug, PartialEq)]
pub enum Zone {}

/// A field of a `#[config]` is a zone by its name.
///
/// ```
/// use sangam_sdk::{Config, config, window::Zone};
///
/// #[config] struct Clock { zone: Zone }
///
/// assert_eq!(Clock::read(b"\x81\xa4zone\xacAsia/Kolkata").unwrap().zone, Zone::named("Asia/Kolkata").unwrap());
/// let why = Clock::read(b"\x81\xa4zone\xa4Mars").err().unwrap();
/// assert_eq!(why, "config field `zone`: there is no time zone `Mars`: write a name such as Europe/Berlin");
/// ```
#[cfg(feature = "zones")]
impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Zone, String> {
        Zone::named(&name)
    }
}

#[cfg(feature = "zones")]
impl Zone {
    /// The zone of this name.
    ///
    /// # Errors
    /// When the database has none.
    ///
    /// ```
    /// use sangam_sdk::window::Zone;
    ///
    /// let zone = Zone::named("Asia/Shanghai").unwrap();
    /// assert_eq!(zone.local(0), 8 * 3_600_000);
    /// assert_eq!(zone.instant(1_000), 1_000 - 8 * 3_600_000);
    /// ```
    pub fn named(name: &str) -> Result<Zone, String> {
        let known = jiff::tz::TimeZoneDatabase::bundled().get(name).ok();
        // FNV-1a of the name: what open windows remember of their zone.
        let mark = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        known.map(|zone| Zone { zone, mark }).ok_or_else(|| format!("there is no time zone `{name}`: write a name such as Europe/Berlin"))
    }

    /// What the clock shows at an instant, as milliseconds since it showed the start of 1970.
    pub fn local(&self, time: Millis) -> Millis {
        if time == Millis::MAX {
            return time;
        }
        time.saturating_add(self.offset_ms(timestamp(time)))
    }

    /// When the clock shows a time. A time that it skips is the instant of the skip; one that it shows twice is the second instant, so
    /// that a window which ends there has both hours. The end of time stays what it is. (Flink: `TimeWindowUtil.toEpochMillsForTimer`.)
    pub fn instant(&self, local: Millis) -> Millis {
        self.resolve(local, true)
    }

    /// A number that tells the zone from others.
    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    /// As [`Zone::instant`], but of two instants the first.
    pub(super) fn first(&self, local: Millis) -> Millis {
        self.resolve(local, false)
    }

    fn resolve(&self, local: Millis, later: bool) -> Millis {
        if local == Millis::MAX || local == Millis::MIN {
            return local;
        }
        // Whatever the zone, a day earlier or later is on the other side of a change that is near.
        let before = self.offset_ms(timestamp(local.saturating_sub(DAY)));
        let after = self.offset_ms(timestamp(local.saturating_add(DAY)));
        let [first, second] = [before, after].map(|offset| local.saturating_sub(offset));
        match [first, second].map(|instant| self.local(instant) == local) {
            [true, true] if later => first.max(second),
            [true, true] => first.min(second),
            [true, false] => first,
            [false, true] => second,
            [false, false] => {
                let skip = self.zone.following(timestamp(local.saturating_sub(DAY))).next();
                skip.map_or(second, |change| change.timestamp().as_millisecond())
            }
        }
    }

    fn offset_ms(&self, at: jiff::Timestamp) -> Millis {
        Millis::from(self.zone.to_offset(at).seconds()) * 1_000
    }
}

#[cfg(feature = "zones")]
const DAY: Millis = 86_400_000;

/// The instant, or the nearest that the calendar has: it ends with the year 9999.
#[cfg(feature = "zones")]
fn timestamp(time: Millis) -> jiff::Timestamp {
    let nearest = if time < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(time).unwrap_or(nearest)
}

#[cfg(not(feature = "zones"))]
impl Zone {
    /// There is none without the feature `zones`.
    ///
    /// # Errors
    /// Always.
    pub fn named(name: &str) -> Result<Zone, String> {
        Err(format!("the time zone `{name}` needs the feature `zones` of sangam-sdk"))
    }

    /// What the clock shows at an instant.
    pub fn local(&self, _time: Millis) -> Millis {
        match *self {}
    }

    /// When the clock shows a time.
    pub fn instant(&self, _local: Millis) -> Millis {
        match *self {}
    }

    pub(super) fn mark(&self) -> u64 {
        match *self {}
    }

    pub(super) fn first(&self, _local: Millis) -> Millis {
        match *self {}
    }
}
