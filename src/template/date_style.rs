//! How an API writes its dates, taken from one of them. Pure.
//!
//! Enters: the text of a record's date. Leaves: other dates in the same form, with as many digits and the same offset. What
//! always holds: a form is believed only where it writes the text again that it was taken from.

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, FixedOffset, Timelike, Utc};

use super::Granularity;
use crate::record::{Zone, date};

/// The digits of a second's fraction that an instant has.
const FRACTION_DIGITS_MAX: usize = 9;
/// The patterns of RFC 2822 and of what is like it, up to the second.
const MAIL_PATTERNS: [&str; 4] =
    ["%a, %d %b %Y %H:%M:%S", "%a, %-d %b %Y %H:%M:%S", "%d %b %Y %H:%M:%S", "%-d %b %Y %H:%M:%S"];

/// The form of a date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateStyle(DateForm);

#[derive(Clone, Debug, PartialEq, Eq)]
enum DateForm {
    /// A calendar date, perhaps with a time.
    Calendar {
        /// [chrono's pattern](chrono::format::strftime) up to the fraction of the second.
        pattern: String,
        /// What stands before the fraction, and how many digits that has.
        fraction: Option<(char, usize)>,
        /// What stands behind it: the zone.
        tail: String,
        offset: Offset,
        unit: Granularity,
    },
    /// UNIX time.
    Unix {
        /// How many nanoseconds one is.
        unit_ns: u32,
        /// The digits behind its point.
        digits: usize,
        /// `/Date(` and what ends it, or nothing.
        around: (&'static str, String),
    },
}

/// In which zone it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offset {
    Fixed(FixedOffset),
    /// None is named.
    Of(Zone),
}

impl DateStyle {
    /// The form of a date; one that names no zone is meant in this one. `None` where it can't be written again as it is.
    #[must_use]
    pub fn of(text: &str, zone: Zone) -> Option<Self> {
        let text = text.trim();
        let instant = date::of_event(text, zone)?;
        let forms = [wrapped(text), calendar(text, zone), unix(text)].into_iter().flatten().chain(mail(text));
        forms.map(Self).find(|style| style.write(instant) == text)
    }

    /// How fine it is.
    #[must_use]
    pub fn granularity(&self) -> Granularity {
        match &self.0 {
            DateForm::Calendar { unit, .. } => *unit,
            DateForm::Unix { unit_ns, digits, .. } => of_nanoseconds(i64::from(*unit_ns) / power_of_ten(*digits)),
        }
    }

    /// Whether it writes a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(&self.0, DateForm::Unix { around, .. } if around.0.is_empty())
    }

    /// Writes a date, never a later one than it is.
    #[must_use]
    pub fn write(&self, date: DateTime<Utc>) -> String {
        match &self.0 {
            DateForm::Calendar { pattern, fraction, tail, offset, .. } => {
                let mut text = match offset {
                    Offset::Fixed(offset) => date.with_timezone(offset).format(pattern).to_string(),
                    Offset::Of(zone) => zone.local(date).format(pattern).to_string(),
                };
                if let Some((mark, digits)) = fraction {
                    text.push(*mark);
                    text.push_str(&leading_digits(date.nanosecond() % 1_000_000_000, *digits));
                }
                text + tail
            }
            DateForm::Unix { unit_ns, digits, around: (begin, end) } => {
                let total = i128::from(date.timestamp()) * 1_000_000_000 + i128::from(date.timestamp_subsec_nanos());
                let unit = i128::from(*unit_ns);
                let (whole, rest) = (total.div_euclid(unit), total.rem_euclid(unit));
                let point = match digits {
                    0 => String::new(),
                    digits => {
                        let parts = rest * i128::from(power_of_ten(FRACTION_DIGITS_MAX)) / unit;
                        format!(".{}", leading_digits(u32::try_from(parts).unwrap_or_default(), *digits))
                    }
                };
                format!("{begin}{whole}{point}{end}")
            }
        }
    }
}

/// The first digits of a fraction that is given in billionths.
fn leading_digits(billionths: u32, digits: usize) -> String {
    format!("{billionths:09}").chars().take(digits).collect()
}

fn power_of_ten(digits: usize) -> i64 {
    (0..digits.min(FRACTION_DIGITS_MAX)).fold(1, |power, _| power * 10)
}

/// A span below a second, at least a nanosecond.
fn of_nanoseconds(nanoseconds: i64) -> Granularity {
    match u32::try_from(nanoseconds.max(1)) {
        Ok(nanoseconds) if nanoseconds < 1_000_000_000 => Granularity::PartOfSecond(nanoseconds),
        _ => Granularity::Second,
    }
}

/// `/Date(1716900000000)/`; an offset inside stays as it is.
fn wrapped(text: &str) -> Option<DateForm> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
    let end = format!("{})/", inner.get(digits..)?);
    Some(DateForm::Unix { unit_ns: 1_000_000, digits: 0, around: ("/Date(", end) })
}

/// UNIX time, of whatever unit its size tells.
fn unix(text: &str) -> Option<DateForm> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = [whole, fraction].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let unit_ns = match whole.len() {
        0 => return None,
        1..=11 => 1_000_000_000,
        12..=14 => 1_000_000,
        15..=17 => 1_000,
        _ => 1,
    };
    is_number.then(|| DateForm::Unix { unit_ns, digits: fraction.len(), around: ("", String::new()) })
}

/// RFC 2822.
fn mail(text: &str) -> impl Iterator<Item = DateForm> {
    let zone = text.rsplit_once(' ').map(|(_, zone)| zone);
    let offset = zone.and_then(|zone| {
        let is_named = zone.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_named { FixedOffset::east_opt(0) } else { zone.parse().ok() }
    });
    zone.zip(offset).into_iter().flat_map(|(zone, offset)| {
        MAIL_PATTERNS.map(|pattern| DateForm::Calendar {
            pattern: pattern.to_owned(),
            fraction: None,
            tail: format!(" {zone}"),
            offset: Offset::Fixed(offset),
            unit: Granularity::Second,
        })
    })
}

/// ISO 8601 and RFC 3339, as [`date::parse`] reads them.
fn calendar(text: &str, zone: Zone) -> Option<DateForm> {
    let mut rest = StyleScan(text);
    let mut pattern = String::from("%Y");
    rest.digits(4)?;
    pattern.push_str(rest.marks(&['-', '/']));
    rest.digits(2)?;
    pattern.push_str("%m");
    pattern.push_str(rest.marks(&['-', '/']));
    rest.digits(2)?;
    pattern.push_str("%d");
    let (mut unit, mut fraction) = (Granularity::Day, None);
    if !rest.0.is_empty() {
        pattern.push_str(rest.marks(&['T', 't', ' ']));
        rest.digits(2)?;
        pattern.push_str("%H");
        pattern.push_str(rest.marks(&[':']));
        rest.digits(2)?;
        pattern.push_str("%M");
        unit = Granularity::Minute;
        if rest.0.starts_with(|next: char| next == ':' || next.is_ascii_digit()) {
            pattern.push_str(rest.marks(&[':']));
            rest.digits(2)?;
            pattern.push_str("%S");
            unit = Granularity::Second;
        }
        if let Some(mark) = rest.0.chars().next().filter(|mark| matches!(mark, '.' | ',')) {
            rest.marks(&[mark]);
            let digits = rest.0.bytes().take_while(u8::is_ascii_digit).count();
            rest.digits(digits)?;
            fraction = Some((mark, digits));
            unit = of_nanoseconds(1_000_000_000 / power_of_ten(digits));
        }
    }
    let offset = match rest.0.trim() {
        "" => Offset::Of(zone),
        "Z" | "z" | "UTC" | "utc" | "GMT" | "gmt" => Offset::Fixed(FixedOffset::east_opt(0)?),
        named => Offset::Fixed(named.parse().ok().or_else(|| format!("{named}00").parse().ok())?),
    };
    let is_pattern = StrftimeItems::new(&pattern).all(|item| item != Item::Error);
    is_pattern.then(|| DateForm::Calendar { pattern, fraction, tail: rest.0.to_owned(), offset, unit })
}

/// What is left to read.
struct StyleScan<'t>(&'t str);

impl<'t> StyleScan<'t> {
    /// So many digits.
    fn digits(&mut self, count: usize) -> Option<&'t str> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// The marks that come next, perhaps none.
    fn marks(&mut self, of: &[char]) -> &'t str {
        let end = self.0.find(|next| !of.contains(&next)).unwrap_or(self.0.len());
        let (marks, rest) = self.0.split_at(end);
        self.0 = rest;
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one unit before a date is written like.
    #[track_caller]
    fn check(text: &str, before: &str) {
        check_in(Zone::parse("Europe/Berlin").expect("a zone"), text, before);
    }

    #[track_caller]
    fn check_in(zone: Zone, text: &str, before: &str) {
        let style = DateStyle::of(text, zone).unwrap_or_else(|| panic!("{text} has no form"));
        let date = date::of_event(text, zone).expect("a date");
        assert_eq!(style.write(date), text);
        let unit = style.granularity();
        assert_eq!(style.write(date::before(unit.sent(date), unit.unit())), before, "{text}");
    }

    #[test]
    fn dates_are_written_as_the_api_writes_them_with_as_many_digits_and_the_same_offset() {
        check("2026-11-26T00:00:03Z", "2026-11-26T00:00:02Z");
        check("2026-11-26T00:00:03.123456Z", "2026-11-26T00:00:03.123455Z");
        check("2026-11-26T00:00:41.6195833Z", "2026-11-26T00:00:41.6195832Z");
        check("2026-11-26T00:00:41.000000000Z", "2026-11-26T00:00:40.999999999Z");
        check("2026-11-26T00:00:03.0+02:00", "2026-11-26T00:00:02.9+02:00");
        check("2026-11-26T00:00:03-0530", "2026-11-26T00:00:02-0530");
        check("2026-11-26T00:00:03+02", "2026-11-26T00:00:02+02");
        check("2026-11-26 00:00:03,50", "2026-11-26 00:00:03,49");
        check("2026/11/26 00:00 UTC", "2026/11/25 23:59 UTC");
        check("20261126T000003Z", "20261126T000002Z");
        check_in(Zone::Utc, "2026-11-26", "2026-11-25");
        check("1716900000", "1716899999");
        check("1716900000.25", "1716900000.24");
        check("1716900000000", "1716899999999");
        check("1716900000000000", "1716899999999999");
        check("1716900000123456789", "1716900000123456788");
        check("/Date(1716900000000)/", "/Date(1716899999999)/");
        check("/Date(1716900000000+0200)/", "/Date(1716899999999+0200)/");
        check("Thu, 26 Nov 2026 00:00:03 GMT", "Thu, 26 Nov 2026 00:00:02 GMT");
        check("Thu, 5 Nov 2026 00:00:03 +0200", "Thu, 5 Nov 2026 00:00:02 +0200");
    }

    #[test]
    fn what_can_not_be_written_again_has_no_form() {
        for text in ["2026-11-26T00:00:60Z", "1.7169e9", "yesterday", "", "2026-11-26T00:00:03.1234567891Z"] {
            assert_eq!(DateStyle::of(text, Zone::Utc), None, "{text}");
        }
    }
}
