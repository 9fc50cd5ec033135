//! Numbers, times and tables as people read them.

use crate::time::{Millis, WATERMARK_MAX, date};
use std::time::Duration;

/// All digits, in threes: `12,345,678`.
pub(super) fn exact(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// At most six characters: `99,999`, then `123.4k`, `12.3M`.
pub(super) fn short(number: u64) -> String {
    if number < 100_000 {
        return exact(number);
    }
    let (unit, name) = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M")]
        .into_iter()
        .find(|(unit, _)| number >= *unit)
        .unwrap_or((1_000, "k"));
    // Cut rather than rounded: 999,999 is not a million yet.
    let tenths = number / (unit / 10);
    format!("{}.{}{name}", tenths / 10, tenths % 10)
}

/// `2023-11-14 22:13:20 UTC`; to the second, which is what fits and what people compare.
pub(super) fn utc(at: Millis) -> String {
    let seconds = at.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

/// A watermark: a time, or that there is none, or that the input has ended.
pub(super) fn watermark(at: Option<Millis>) -> String {
    match at {
        None => "none yet".to_owned(),
        Some(WATERMARK_MAX) => "end of input".to_owned(),
        Some(at) => utc(at),
    }
}

/// How long, in two units: `340 µs`, `12.3 ms`, `4.5 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(super) fn length(time: Duration) -> String {
    let (micros, seconds) = (time.as_micros(), time.as_secs());
    match seconds {
        _ if micros < 1_000 => format!("{micros} µs"),
        0 => format!("{}.{} ms", micros / 1_000, micros / 100 % 10),
        1..60 => format!("{seconds}.{} s", micros / 100_000 % 10),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// How long ago, in whole units: `4 s ago`.
pub(super) fn ago(now: Millis, then: Millis) -> String {
    let seconds = u64::try_from(now.saturating_sub(then)).unwrap_or(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s ago"),
        _ => format!("{} ago", length(Duration::from_secs(seconds))),
    }
}

/// Rows of one length in columns, each at least `least` wide: the first one starts at the left, all others end at the right.
pub(super) fn columns<R: AsRef<[String]>>(rows: &[R], least: usize) -> Vec<String> {
    let cell = |row: &R, column: usize| row.as_ref().get(column).map_or(0, |cell| cell.chars().count());
    let width = |column: usize| rows.iter().map(|row| cell(row, column)).max().unwrap_or(0).max(least);
    let widths: Vec<usize> = (0..rows.first().map_or(0, |row| row.as_ref().len())).map(width).collect();
    let line = |row: &R| {
        let cells: Vec<String> = row
            .as_ref()
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (cell, width))| if i == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
            .collect();
        cells.join(" ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shown: String, expected: &str) {
        assert_eq!(shown, expected);
    }

    #[test]
    fn numbers_are_easy_to_read() {
        check(exact(0u64), "0");
        check(exact(999u64), "999");
        check(exact(1_000u64), "1,000");
        check(exact(-1_234_567i64), "-1,234,567");
        check(exact(u64::MAX), "18,446,744,073,709,551,615");
        check(short(99_999), "99,999");
        check(short(100_000), "100.0k");
        check(short(999_999), "999.9k");
        check(short(12_345_678), "12.3M");
        check(short(7_000_000_000), "7.0G");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        check(utc(0), "1970-01-01 00:00:00 UTC");
        check(utc(-1), "1969-12-31 23:59:59 UTC");
        check(utc(951_782_399_999), "2000-02-28 23:59:59 UTC");
        check(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        check(utc(1_700_000_000_000), "2023-11-14 22:13:20 UTC");
        check(utc(4_107_542_400_000), "2100-03-01 00:00:00 UTC");
        check(watermark(None), "none yet");
        check(watermark(Some(WATERMARK_MAX)), "end of input");
    }

    #[test]
    fn lengths_have_the_unit_that_fits() {
        check(length(Duration::from_micros(340)), "340 µs");
        check(length(Duration::from_micros(12_345)), "12.3 ms");
        check(length(Duration::from_millis(4_567)), "4.5 s");
        check(length(Duration::from_secs(200)), "3 min 20 s");
        check(length(Duration::from_secs(7_500)), "2 h 5 min");
        check(length(Duration::from_secs(273_600)), "3 d 4 h");
        check(ago(10_000, 6_500), "3 s ago");
        check(ago(6_500, 10_000), "0 s ago");
        check(ago(200_000, 0), "3 min 20 s ago");
    }
}
