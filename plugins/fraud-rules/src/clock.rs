//! Local time: what the clock on the wall shows where the payments are made.

use sangam_sdk::window::Zone;
use sangam_sdk::{Millis, hours, minutes};
use serde::Deserialize;

const DAY: Millis = hours(24);

/// A clock on a wall: at a fixed distance from UTC, or in a time zone with its summer times.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Clock {
    /// Ahead of UTC by so many milliseconds.
    Offset(Millis),
    /// A zone of the IANA database.
    Zone(Zone),
}

/// A moment by the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Milliseconds since midnight.
    pub time_of_day: Millis,
    /// From 0 for Monday to 6.
    pub weekday: u8,
}

impl Clock {
    /// What the clock shows at an instant.
    pub fn local(&self, time: Millis) -> Local {
        let local = match self {
            Clock::Offset(offset) => time.saturating_add(*offset),
            Clock::Zone(zone) => zone.local(time),
        };
        // 1970 began on a Thursday.
        let weekday = (local.div_euclid(DAY) + 3).rem_euclid(7);
        Local { time_of_day: local.rem_euclid(DAY), weekday: weekday as u8 }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::Offset(0)
    }
}

impl TryFrom<String> for Clock {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "UTC" {
            return Ok(Clock::default());
        }
        let offset = |sign: Millis, rest: &str| time_of_day(rest).map(|offset| Clock::Offset(sign * offset));
        match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(ahead), _) => offset(1, ahead),
            (_, Some(behind)) => offset(-1, behind),
            (None, None) => Zone::named(&text).ok().map(Clock::Zone),
        }
        .ok_or_else(|| format!("there is no time zone `{text}`: write a name such as Asia/Kolkata, or how far from UTC, as in +05:30"))
    }
}

impl Local {
    /// Whether the time of day is from `from` on and before `to`; past midnight where `from` is the later one.
    pub fn is_between(self, from: Millis, to: Millis) -> bool {
        let now = self.time_of_day;
        if from <= to { from <= now && now < to } else { from <= now || now < to }
    }

    /// Hours since midnight, with fractions.
    pub fn hour(self) -> f64 {
        self.time_of_day as f64 / hours(1) as f64
    }

    /// Saturday and Sunday.
    pub fn is_weekend(self) -> bool {
        self.weekday >= 5
    }
}

/// `"06:00"` in milliseconds since midnight; `"24:00"` is the end of the day.
pub fn time_of_day(text: &str) -> Option<Millis> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse::<Millis>().ok())?;
    let time = hours(number(hour)?) + minutes(number(minute).filter(|minute| *minute < 60)?);
    (time <= DAY).then_some(time)
}

/// A time of day for people, to the minute.
pub fn show(time: Millis) -> String {
    format!("{:02}:{:02}", time / hours(1), time / minutes(1) % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(name: &str) -> Clock {
        Clock::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn a_clock_shows_local_time_and_the_day_of_the_week() {
        // 2023-11-14, a Tuesday, 22:13:20 UTC.
        let time = 1_700_000_000_000;
        let check = |name: &str, shown: &str, weekday: u8| {
            let local = clock(name).local(time);
            assert_eq!((show(local.time_of_day).as_str(), local.weekday), (shown, weekday), "{name}");
        };
        check("UTC", "22:13", 1);
        check("Asia/Kolkata", "03:43", 2);
        check("+05:30", "03:43", 2);
        check("-23:00", "23:13", 0);
        check("America/New_York", "17:13", 1);
        // Summer time.
        assert_eq!(show(clock("America/New_York").local(1_690_000_000_000).time_of_day), "00:26");
        assert!(!clock("UTC").local(-1).is_weekend());
        assert!(clock("UTC").local(hours(48)).is_weekend() && clock("UTC").local(hours(96) - 1).is_weekend());
        assert!(!clock("UTC").local(hours(96)).is_weekend());
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for name in ["Asia/Atlantis", "+5:30", "+05:60", "+25:00", "", "05:30"] {
            let why = format!("there is no time zone `{name}`: write a name such as Asia/Kolkata, or how far from UTC, as in +05:30");
            assert_eq!(Clock::try_from(name.to_owned()), Err(why));
        }
    }

    #[test]
    fn hours_of_the_day_begin_with_their_first_millisecond_and_may_go_past_midnight() {
        let check = |from: &str, to: &str, time: Millis, expected: bool| {
            let local = Local { time_of_day: time, weekday: 0 };
            assert_eq!(local.is_between(time_of_day(from).unwrap(), time_of_day(to).unwrap()), expected, "{from} to {to}, {time}");
        };
        check("00:00", "06:00", 0, true);
        check("00:00", "06:00", hours(6) - 1, true);
        check("00:00", "06:00", hours(6), false);
        check("22:00", "05:00", hours(22) - 1, false);
        check("22:00", "05:00", hours(22), true);
        check("22:00", "05:00", 0, true);
        check("22:00", "05:00", hours(5), false);
        check("18:00", "24:00", hours(24) - 1, true);
        check("06:00", "06:00", hours(6), false);
    }
}
