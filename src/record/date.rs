//! Event dates: every form that APIs write, as one instant in UTC.
//!
//! An offset is converted, never relabelled; a date without a zone is UTC, or in a record the zone of the config; a date
//! without a time is midnight. Fractions are kept to the nanosecond, further digits are cut.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};

use super::zone::Zone;

/// Before this, 1970-01-02 in UTC, an event's date means that there is none: the year 1 (Go, .NET), 1601 (Windows), the
/// zero of UNIX time and what a time zone makes of it, and negative numbers are what programs write for "never". No
/// system that an API tells of logged anything then.
const EVENTS_SINCE: DateTime<Utc> = match DateTime::from_timestamp(86_400, 0) {
    Some(date) => date,
    None => DateTime::<Utc>::UNIX_EPOCH,
};

/// Reads a date in any of the forms RFC 3339, ISO 8601 (also compact, with a blank, without a zone), RFC 2822, UNIX
/// time in seconds, milliseconds, microseconds or nanoseconds, and `/Date(ms)/`.
///
/// Only the years 0 to 9999, which RFC 3339 can write: a checkpoint must be readable again.
#[must_use]
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    read(text, Zone::Utc)
}

/// Reads an event's date, as [`parse`] does; where it names no zone it is meant in this one. A date before 1970-01-02 is
/// none: it is what programs write for "never".
#[must_use]
pub fn of_event(text: &str, zone: Zone) -> Option<DateTime<Utc>> {
    read(text, zone).filter(|date| *date >= EVENTS_SINCE)
}

fn read(text: &str, zone: Zone) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let date = unix_wrapped(text).or_else(|| iso(text, zone)).or_else(|| unix(text)).or_else(|| rfc2822(text));
    date.and_then(writable)
}

/// Reads a date that people write: any form but UNIX time, which half a line may look like.
#[must_use]
pub fn parse_written(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    iso(text, Zone::Utc).or_else(|| rfc2822(text)).and_then(writable)
}

/// The instant as it can be written and read again: a leap second is the second after it.
fn writable(date: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let leap_ns = date.timestamp_subsec_nanos().checked_sub(1_000_000_000);
    let date = leap_ns.map_or(Some(date), |ns| DateTime::from_timestamp(date.timestamp() + 1, ns))?;
    (0..=9999).contains(&date.year()).then_some(date)
}

/// As checkpoints are written: RFC 3339 in UTC, with as many digits as the instant has.
#[must_use]
pub fn format(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The whole second that an instant lies in.
#[must_use]
pub fn floor_to_second(date: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(date.timestamp(), 0).unwrap_or(date)
}

/// Earlier by a span, at most down to the earliest instant there is.
#[must_use]
pub fn before(date: DateTime<Utc>, span: TimeDelta) -> DateTime<Utc> {
    date.checked_sub_signed(span).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// `/Date(1716900000000)/`, as old .NET services write it; an offset inside only says how to display it.
fn unix_wrapped(text: &str) -> Option<DateTime<Utc>> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let digits = inner.find(['+', '-']).filter(|at| *at > 0).and_then(|at| inner.get(..at)).unwrap_or(inner);
    DateTime::from_timestamp_millis(digits.parse().ok()?)
}

/// UNIX time; its size tells the unit: seconds up to the year 5138, then milliseconds, microseconds, nanoseconds.
fn unix(text: &str) -> Option<DateTime<Utc>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole_number: i64 = match whole.parse() {
        Ok(number) if !whole.starts_with('+') => number,
        _ => return unix_float(text),
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return unix_float(text);
    }
    let unit_ns: i128 = match whole_number.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let fraction_ns = i128::from(nanoseconds(fraction)) * unit_ns / 1_000_000_000;
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    from_nanoseconds(i128::from(whole_number) * unit_ns + sign * fraction_ns)
}

/// `1.7169e9`: the one form whose digits can't be read as they stand.
fn unix_float(text: &str) -> Option<DateTime<Utc>> {
    if !text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) {
        return None;
    }
    let seconds: f64 = text.parse().ok()?;
    let milliseconds = if seconds.abs() < 1e11 { seconds * 1000.0 } else { seconds };
    #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates, and chrono checks the range")]
    DateTime::from_timestamp_millis(milliseconds as i64)
}

fn from_nanoseconds(total: i128) -> Option<DateTime<Utc>> {
    let seconds = i64::try_from(total.div_euclid(1_000_000_000)).ok()?;
    let rest = u32::try_from(total.rem_euclid(1_000_000_000)).ok()?;
    DateTime::from_timestamp(seconds, rest)
}

/// RFC 2822, with the zone names that chrono leaves out.
fn rfc2822(text: &str) -> Option<DateTime<Utc>> {
    let named = text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" Z"));
    let text = named.map_or_else(|| text.to_owned(), |rest| format!("{rest} +0000"));
    DateTime::parse_from_rfc2822(&text).ok().map(|date| date.to_utc())
}

/// ISO 8601: a calendar date, perhaps a time, perhaps a zone.
fn iso(text: &str, unnamed: Zone) -> Option<DateTime<Utc>> {
    let mut rest = DateScan(text.as_bytes());
    let year = rest.digits(4)?;
    let separator = rest.any(b"-/");
    let month = rest.digits(2)?;
    if let Some(separator) = separator {
        rest.any(&[separator])?;
    }
    let day = rest.digits(2)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    if rest.0.is_empty() {
        return unnamed.utc(date.and_time(NaiveTime::MIN));
    }
    if rest.any(b"Tt ").is_some() {
        rest.blanks();
    } else if separator.is_some() {
        return None;
    }
    let (time, leap) = clock(&mut rest)?;
    rest.blanks();
    let local = date.and_time(time).checked_add_signed(leap)?;
    match rest.0 {
        b"" => unnamed.utc(local),
        _ => local.and_utc().checked_sub_signed(offset(&mut rest)?),
    }
}

/// `10:10`, `10:10:10`, `101010`, with a fraction; a leap second is the second after it.
fn clock(rest: &mut DateScan<'_>) -> Option<(NaiveTime, TimeDelta)> {
    let hour = rest.digits(2)?;
    let colon = rest.any(b":").is_some();
    let minute = rest.digits(2)?;
    let has_second = if colon { rest.any(b":").is_some() } else { rest.0.first().is_some_and(u8::is_ascii_digit) };
    let mut second = if has_second { rest.digits(2)? } else { 0 };
    let fraction = if has_second && rest.any(b".,").is_some() { nanoseconds(rest.all_digits()?) } else { 0 };
    let leap = if second == 60 { TimeDelta::seconds(1) } else { TimeDelta::zero() };
    second = if second == 60 { 59 } else { second };
    Some((NaiveTime::from_hms_nano_opt(hour, minute, second, fraction)?, leap))
}

/// The offset from UTC: `Z`, `UTC`, `GMT`, `+02:00`, `+0200`, `+02`.
fn offset(rest: &mut DateScan<'_>) -> Option<TimeDelta> {
    if matches!(rest.0, b"Z" | b"z" | b"UTC" | b"utc" | b"GMT" | b"gmt") {
        return Some(TimeDelta::zero());
    }
    let sign = if rest.any(b"+-")? == b'-' { -1 } else { 1 };
    let hours = rest.digits(2)?;
    rest.any(b":");
    let minutes = if rest.0.is_empty() { 0 } else { rest.digits(2)? };
    let in_range = hours < 24 && minutes < 60 && rest.0.is_empty();
    in_range.then(|| TimeDelta::minutes(sign * i64::from(hours * 60 + minutes)))
}

/// The first nine digits of a fraction of a second.
fn nanoseconds(fraction: &str) -> u32 {
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    digits.fold(0, |sum, digit| sum * 10 + u32::from(digit.saturating_sub(b'0')))
}

/// What is left to read.
struct DateScan<'a>(&'a [u8]);

impl<'a> DateScan<'a> {
    /// A number of exactly `count` digits, four at most.
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let number = digits.iter().try_fold(0_u32, |number, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then(|| number * 10 + u32::from(digit))
        })?;
        self.0 = rest;
        Some(number)
    }

    /// All the digits that come next, at least one.
    fn all_digits(&mut self) -> Option<&'a str> {
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(count).filter(|(digits, _)| !digits.is_empty())?;
        self.0 = rest;
        std::str::from_utf8(digits).ok()
    }

    /// The next byte, if it is one of these.
    fn any(&mut self, of: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first().filter(|(first, _)| of.contains(first))?;
        self.0 = rest;
        Some(*first)
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }
}
