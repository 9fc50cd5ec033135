//! Durations and sizes as people write them: `250ms`, `64MiB`.

use std::time::Duration;

/// Why a text is not a duration or a size: a clause that goes on after "it is not a duration".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(pub String);

/// The longest duration: a hundred years, so that milliseconds added to a time of day never overflow.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

const DURATIONS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: [(&str, u64); 7] =
    [("B", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Reads `250ms`, `5s`, `1m`, `2h` or `1d`; a fraction as in `1.5s` is fine. The smallest step is a millisecond.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let help = "write a number and its unit, such as `250ms`, `5s`, `1m`, `2h` or `1d`";
    let millis = parse(text, &DURATIONS, help)?;
    let duration = Duration::from_millis(millis);
    if duration > DURATION_MAX { Err(UnitError("the longest is `36500d`".into())) } else { Ok(duration) }
}

/// Reads `64MiB`, `1GB` or `512`; a fraction as in `1.5GiB` is fine.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let help = "write a number and its unit, such as `512B`, `64KiB`, `64MiB` or `1GB`";
    let plain = text.trim();
    if !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit()) {
        return plain.parse().map_err(|_| UnitError(help.into()));
    }
    parse(text, &SIZES, help)
}

fn parse(text: &str, units: &[(&str, u64)], help: &str) -> Result<u64, UnitError> {
    let wrong = || UnitError(help.into());
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = (text[..split].trim_end(), &text[split..]);
    let (_, scale) = units
        .iter()
        .find(|(name, _)| *name == unit)
        .or_else(|| units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)))
        .ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.len() <= 18 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let part: u128 = fraction.parse().map_err(|_| wrong())?;
    let part = u64::try_from(part * u128::from(*scale) / 10u128.pow(fraction.len() as u32)).map_err(|_| wrong())?;
    whole.checked_mul(*scale).and_then(|all| all.checked_add(part)).ok_or_else(|| UnitError("it is too large".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn duration(text: &str, millis: Option<u64>) {
        assert_eq!(parse_duration(text).ok(), millis.map(Duration::from_millis), "{text}");
    }

    #[track_caller]
    fn bytes(text: &str, expected: Option<u64>) {
        assert_eq!(parse_bytes(text).ok(), expected, "{text}");
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        duration("250ms", Some(250));
        duration("5s", Some(5_000));
        duration("1.5s", Some(1_500));
        duration("1m", Some(60_000));
        duration("2 h", Some(7_200_000));
        duration("1d", Some(86_400_000));
        duration("0s", Some(0));
        duration("", None);
        duration("5", None);
        duration("s", None);
        duration("-5s", None);
        duration("5 parsecs", None);
        duration("1e3s", None);
        duration("1.s", None);
        duration("36501d", None);
        duration("99999999999999999999d", None);
    }

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        bytes("512", Some(512));
        bytes("512B", Some(512));
        bytes("64MiB", Some(64 << 20));
        bytes("64mib", Some(64 << 20));
        bytes("1GB", Some(1_000_000_000));
        bytes("1.5KiB", Some(1_536));
        bytes("0.1GiB", Some(107_374_182));
        bytes("64", Some(64));
        bytes("", None);
        bytes("MiB", None);
        bytes("64 MiBs", None);
        bytes("-1MiB", None);
        bytes("99999999999999999GiB", None);
    }
}
