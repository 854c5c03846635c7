//! The time zone of dates that name none (`settings.timezone`).

use chrono::offset::{MappedLocalTime, Offset};
use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

/// The longest time that a clock was ever set forward by, in hours: Samoa left a whole day out in 2011.
const GAP_HOURS_MAX: i64 = 25;
/// The largest offset from UTC in use is 14 hours; beyond a day there is none at all.
const OFFSET_HOURS_MAX: i32 = 23;

/// The zone in which a date without one is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// UTC, where the config says nothing.
    #[default]
    Utc,
    /// Always the same offset from UTC.
    Fixed(FixedOffset),
    /// A zone of the IANA database, with its summer times, as it was when the fetcher was built.
    Named(Tz),
}

impl Zone {
    /// Reads `UTC`, an offset like `+02:00`, or a name of the IANA database like `Europe/Berlin`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("utc") || text.eq_ignore_ascii_case("z") {
            return Some(Self::Utc);
        }
        if text.starts_with(['+', '-']) {
            return offset(text).map(Self::Fixed);
        }
        TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(text)).copied().map(Self::Named)
    }

    /// Returns the instant that a clock in this zone shows as `local`, or `None` if no date can be written that is so far
    /// away.
    ///
    /// Where a clock shows a time twice, as at the end of a summer time, or leaves it out, the later of the two readings
    /// counts: read as the earlier one, an event would seem to be older than the checkpoint, and be left out. The later one
    /// is in the future for an hour at most, moves no checkpoint then, and is shipped.
    pub(super) fn utc(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        let offset = match self {
            Self::Utc => return Some(local.and_utc()),
            Self::Fixed(offset) => offset,
            Self::Named(zone) => match zone.offset_from_local_datetime(&local) {
                MappedLocalTime::Single(offset) => offset.fix(),
                MappedLocalTime::Ambiguous(one, other) => [one.fix(), other.fix()].into_iter().min_by_key(east)?,
                MappedLocalTime::None => before_gap(zone, local)?,
            },
        };
        local.checked_sub_offset(offset).map(|date| date.and_utc())
    }
}

impl Zone {
    /// What a clock in this zone shows at an instant. Where it shows that twice, as at the end of a summer time, and this is
    /// the first time, it is the time before: who reads it as the second time reads no later instant than is meant.
    #[must_use]
    pub fn local(self, date: DateTime<Utc>) -> NaiveDateTime {
        let shown = match self {
            Self::Utc => date.naive_utc(),
            Self::Fixed(offset) => date.with_timezone(&offset).naive_local(),
            Self::Named(zone) => date.with_timezone(&zone).naive_local(),
        };
        let too_late = self.utc(shown).map_or(TimeDelta::zero(), |read| read - date);
        shown.checked_sub_signed(too_late.max(TimeDelta::zero())).unwrap_or(shown)
    }
}

/// The offset that held before the gap in which a local time lies.
fn before_gap(zone: Tz, local: NaiveDateTime) -> Option<FixedOffset> {
    (1..=GAP_HOURS_MAX).find_map(|hours| {
        let earlier = local.checked_sub_signed(TimeDelta::hours(hours))?;
        zone.offset_from_local_datetime(&earlier).latest().map(|offset| offset.fix())
    })
}

fn east(offset: &FixedOffset) -> i32 {
    offset.local_minus_utc()
}

/// `+02:00`, `+0200`, `+02`, and the same with a minus.
fn offset(text: &str) -> Option<FixedOffset> {
    let (sign, digits) = (if text.starts_with('-') { -1 } else { 1 }, text.get(1..)?);
    let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
        (Some(parts), _) => parts,
        (None, 4) => digits.split_at(2),
        (None, _) => (digits, "00"),
    };
    let number = |text: &str| match text.len() {
        1 | 2 if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse::<i32>().ok(),
        _ => None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let is_valid = hours <= OFFSET_HOURS_MAX && minutes < 60;
    FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60)).filter(|_| is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::date;

    #[track_caller]
    fn check(zone: &str, text: &str, expected: &str) {
        let zone = Zone::parse(zone).expect("a zone");
        assert_eq!(date::of_event(text, zone).map(date::format).as_deref(), Some(expected), "{text} in {zone:?}");
    }

    #[test]
    fn what_is_written_in_a_zone_is_never_read_as_later() {
        let zone = Zone::parse("Europe/Berlin").expect("a zone");
        for (utc, expected) in [
            ("2026-07-01T10:00:00Z", "2026-07-01 12:00:00"),
            // 02:30 is shown twice that night.
            ("2026-10-25T00:30:00Z", "2026-10-25 01:30:00"),
            ("2026-10-25T01:30:00Z", "2026-10-25 02:30:00"),
            ("2026-10-25T02:30:00Z", "2026-10-25 03:30:00"),
        ] {
            let date: DateTime<Utc> = utc.parse().expect("a date");
            let local = zone.local(date);
            assert_eq!(local.to_string(), expected);
            assert!(zone.utc(local).is_some_and(|read| read <= date));
        }
    }

    #[test]
    fn a_date_without_a_zone_is_read_in_the_one_of_the_config() {
        check("UTC", "2026-07-01 12:00:00", "2026-07-01T12:00:00Z");
        check("Europe/Berlin", "2026-07-01 12:00:00", "2026-07-01T10:00:00Z");
        check("europe/berlin", "2026-01-01T12:00", "2026-01-01T11:00:00Z");
        check("America/New_York", "20260701T120000,5", "2026-07-01T16:00:00.500Z");
        check("Asia/Kolkata", "2026-07-01", "2026-06-30T18:30:00Z");
        check("+02:00", "2026-07-01 12:00:00", "2026-07-01T10:00:00Z");
        check("-0330", "2026-07-01 12:00:00", "2026-07-01T15:30:00Z");
        check("+2", "2026-07-01 12:00:60", "2026-07-01T10:01:00Z");
    }

    #[test]
    fn a_date_that_names_its_zone_is_read_in_that_one() {
        for text in [
            "2026-07-01T12:00:00Z",
            "2026-07-01 12:00:00 UTC",
            "2026-07-01T14:00:00+02:00",
            "Wed, 01 Jul 2026 12:00:00 GMT",
        ] {
            check("America/New_York", text, "2026-07-01T12:00:00Z");
        }
        check("America/New_York", "1782907200", "2026-07-01T12:00:00Z");
    }

    #[test]
    fn of_two_readings_the_later_one_counts() {
        // Berlin has 02:30 twice, at +02:00 and at +01:00.
        check("Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25T01:30:00Z");
        check("Europe/Berlin", "2026-10-25 01:59:59", "2026-10-24T23:59:59Z");
        // It has no 02:30 in the spring; Samoa had no 30 December in 2011.
        check("Europe/Berlin", "2026-03-29 02:30:00", "2026-03-29T01:30:00Z");
        check("Pacific/Apia", "2011-12-30 12:00:00", "2011-12-30T22:00:00Z");
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for text in ["", "Mars/Base", "Berlin", "+", "+24:00", "+1:2:3", "+02:60", "+12345", "2", "+ä:00", "CEST "] {
            assert_eq!(Zone::parse(text), None, "{text}");
        }
    }
}
