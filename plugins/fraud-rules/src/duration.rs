//! A span of time as configurations write it.

use sangam_sdk::Millis;
use serde::Deserialize;

/// `"250ms"`, `"30s"`, `"5m"`, `"1h"` or `"1d"`, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Duration(pub Millis);

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            "d" => Some(86_400_000),
            _ => None,
        };
        let millis = number.parse::<Millis>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        millis
            .map(Duration)
            .ok_or_else(|| format!("`{text}` is no duration: write a whole number and a unit, as in 250ms, 30s, 5m, 1h, 1d"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        let check = |text: &str, expected: Option<Millis>| {
            assert_eq!(Duration::try_from(text.to_owned()).ok(), expected.map(Duration), "{text}");
        };
        check("250ms", Some(250));
        check("30s", Some(30_000));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
        check("1d", Some(86_400_000));
        check("0s", Some(0));
        for wrong in ["", "5", "m", "-5m", "1.5s", "5 m", "5M", "1h30m", "9223372036854775807d"] {
            check(wrong, None);
        }
    }
}
