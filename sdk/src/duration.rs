//! Spans of time in a configuration.
//!
//! It reads text only: a bare number would leave the unit open.

use sangam_protocol::{Millis, duration};
use serde::Deserialize;

/// `"250ms"`, `"30s"`, `"5m"`, `"1h"`, `"1d"` or `"1h30m"`, in milliseconds: for a field of a `#[config]`.
///
/// ```
/// use sangam_sdk::*;
///
/// #[config] struct Idle { after: Duration }
///
/// let idle = Idle::read(b"\x81\xa5after\xa51h30m").unwrap();
/// assert_eq!(idle.after.0, hours(1) + minutes(30));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Duration(pub Millis);

impl std::str::FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        duration::parse(text)
            .map(Duration)
            .ok_or_else(|| format!("`{text}` is no duration: write whole numbers with their units, as in 250ms, 30s, 5m, 1h30m, 1d"))
    }
}

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_whole_numbers_with_their_units_from_the_largest_down() {
        let check = |text: &str, expected: Option<Millis>| {
            assert_eq!(text.parse().ok(), expected.map(Duration), "{text}");
        };
        check("250ms", Some(250));
        check("30s", Some(30_000));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
        check("1d", Some(86_400_000));
        check("0s", Some(0));
        check("1h30m", Some(5_400_000));
        check("1d2h3m4s5ms", Some(93_784_005));
        check("90m", Some(5_400_000));
        for wrong in ["", "5", "m", "-5m", "1.5s", "5 m", "5M", "30m1h", "1m1m", "1h30", "9223372036854775807d", "9223372036854775807ms1s"]
        {
            check(wrong, None);
        }
    }
}
