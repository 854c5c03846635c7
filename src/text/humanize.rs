//! Numbers, spans and dates as people read them.

use std::time::Duration;

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use crate::record::date::{self, floor_to_second};

/// A date, to the second.
#[must_use]
pub fn second(date: DateTime<Utc>) -> String {
    date::format(floor_to_second(date))
}

/// A date as short as it can be: today the time alone. UTC.
#[must_use]
pub fn short(date: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match date {
        _ if date.date_naive() == now.date_naive() => date.format("%H:%M:%S"),
        _ if date.year() == now.year() => date.format("%-d %b %H:%M"),
        _ => date.format("%Y-%m-%d"),
    }
    .to_string()
}

/// So many of something.
#[must_use]
pub fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{} {what}s", grouped(count)) }
}

/// How far a date lies back, or ahead.
#[must_use]
pub fn ago(date: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let past = now.signed_duration_since(date);
    if past < TimeDelta::zero() { format!("{} ahead", span(-past)) } else { format!("{} ago", span(past)) }
}

/// A span in its largest unit.
#[must_use]
pub fn span(span: TimeDelta) -> String {
    let seconds = span.num_seconds();
    let tenths = |unit: i64| format!("{}.{}", seconds / unit, seconds % unit * 10 / unit);
    let (number, unit) = match seconds {
        ..120 => (seconds.to_string(), "s"),
        120..7_200 => (tenths(60), "min"),
        7_200..172_800 => (tenths(3_600), "h"),
        _ => (tenths(86_400), "days"),
    };
    format!("{} {unit}", number.strip_suffix(".0").unwrap_or(&number))
}

/// A pause between two iterations, which may be short.
#[must_use]
pub fn pause(pause: Duration) -> String {
    if pause < Duration::from_secs(120) {
        return format!("{} s", pause.as_secs_f64());
    }
    TimeDelta::from_std(pause).map_or_else(|_| "for ever".to_owned(), span)
}

/// A number with its thousands apart.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size, in the largest unit of 1,024.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut size = bytes as f64;
    let mut named = "B";
    for unit in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, named) = (size / 1024.0, unit);
    }
    if named == "B" { format!("{bytes} B") } else { format!("{size:.1} {named}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let spans = [0, 119, 120, 150, 7_199, 7_200, 36_000, 172_800, 864_000];
        let said: Vec<String> = spans.into_iter().map(|seconds| span(TimeDelta::seconds(seconds))).collect();
        assert_eq!(said, ["0 s", "119 s", "2 min", "2.5 min", "119.9 min", "2 h", "10 h", "2 days", "10 days"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1_023, 1_536, 3 << 20, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "3.0 MiB", "16.0 EiB"]
        );
        assert_eq!((counted(1, "page"), counted(2_000, "page")), ("1 page".to_owned(), "2,000 pages".to_owned()));
    }
}
