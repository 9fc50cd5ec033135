//! Spans of time as people write them: `"250ms"`, `"1h30m"`.
//!
//! Whole numbers only: what is written is exact.

use crate::Millis;

/// Reads a span of time, in milliseconds: whole numbers with their units `ms`, `s`, `m`, `h`, `d`, from the largest unit down, each once.
/// `None` where it is no such text or too long for 64 bits.
///
/// ```
/// use sangam_protocol::duration::parse;
///
/// assert_eq!(parse("1h30m"), Some(5_400_000));
/// assert_eq!(parse("0s"), Some(0));
/// assert_eq!(parse("30m1h"), None);
/// ```
pub fn parse(text: &str) -> Option<Millis> {
    const UNITS: [(&str, Millis); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut total: Millis = 0;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() || total == 0 && rest.len() == text.len() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let (_, scale) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<Millis>().ok()?.checked_mul(*scale)?)?;
        rest = after;
    }
    Some(total)
}
