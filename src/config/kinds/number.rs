//! Numbers, spans of time, and what is counted in them.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::pattern::{EXPONENT, NUMBER, or_filled_in, span, spelled_in_any_case};
use super::{Kind, Traits};
use crate::config::place::Place;
use crate::config::span::{MINUTES_MAX, duration};
use crate::config::value::Found;
use crate::memory::{BUDGET_BYTES_MAX, BUDGET_BYTES_MIN};
use crate::pace::Rate;
use crate::record::Zone;

/// The shortest pause between iterations; a smaller number is more likely a slip than a wish.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// The longest `http_request.timeout`: who says nothing for an hour won't say anything any more.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// The furthest that `settings.days_back_fetch` goes: a hundred years.
const DAYS_BACK_MAX: f64 = 36_500.0;
const SECONDS_PER_DAY: f64 = 86_400.0;
/// Requests per span of time.
const RATE: &str =
    r"^\s*0*[1-9][0-9]{0,4}\s*/\s*([sS]|[sS][eE][cC]|second|[mM]|[mM][iI][nN]|minute|[hH]|hour|[dD]|[dD][aA][yY])\s*$";
/// A number of bytes with its unit.
const BYTES: &str = r"^\s*\+?[0-9]+\s*([kKmMgG][iI]?[bB]|[kKmMgG][iI]|[bB])?\s*$";
/// The units of a number of bytes, in small letters; `Mi` is what Kubernetes writes.
const UNITS: [(&str, u64); 10] = [
    ("kib", 1 << 10),
    ("ki", 1 << 10),
    ("kb", 1_000),
    ("mib", 1 << 20),
    ("mi", 1 << 20),
    ("mb", 1_000_000),
    ("gib", 1 << 30),
    ("gi", 1 << 30),
    ("gb", 1_000_000_000),
    ("b", 1),
];

/// A number of bytes.
pub(in crate::config) enum Bytes {}

impl Kind for Bytes {
    type Value<'v> = u64;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<u64> {
        let refuse = |what: &str| found.refuse(what, Some("a number with its unit, like 128MiB, 500MB or 1GiB"));
        match bytes(&found.text()?) {
            None => refuse("it is not a number of bytes"),
            Some(bytes) if bytes < BUDGET_BYTES_MIN => {
                refuse(&format!("it should be {} MiB at least", BUDGET_BYTES_MIN >> 20))
            }
            Some(bytes) if bytes > BUDGET_BYTES_MAX => {
                refuse(&format!("it should be {} GiB at most", BUDGET_BYTES_MAX >> 30))
            }
            Some(bytes) => Some(bytes),
        }
    }

    fn schema(_: Place) -> Value {
        json!({
            "type": ["integer", "string"],
            "minimum": BUDGET_BYTES_MIN,
            "maximum": BUDGET_BYTES_MAX,
            "pattern": or_filled_in(BYTES)
        })
    }
}

/// The pause between iterations: minutes as a number, or text like `30s`, `5m`, `1h`, `2d`.
pub(in crate::config) enum Interval {}

impl Kind for Interval {
    type Value<'v> = Duration;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Duration> {
        let interval = minutes(found)?;
        match interval.is_zero() {
            true => found.refuse("it should be more than 0", Some("minutes, or text like 30s, 5m, 1h")),
            false => Some(interval.max(INTERVAL_MIN)),
        }
    }

    fn schema(_: Place) -> Value {
        json!({
            "type": ["number", "string"],
            "exclusiveMinimum": 0,
            "maximum": MINUTES_MAX,
            "pattern": or_filled_in(&format!(r"^\s*(?=[+0-9.]*[1-9]){}\s*$", span()))
        })
    }
}

/// How long to wait: seconds as a number, or text like `90s`, `5m`.
pub(in crate::config) enum Timeout {}

impl Kind for Timeout {
    type Value<'v> = Duration;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Duration> {
        let text = found.text()?;
        let plain = text.parse::<f64>().ok().map(|_| format!("{text}s"));
        match duration(plain.as_deref().unwrap_or(&text)) {
            Ok(span) if span.is_zero() => found.refuse("it should be more than 0", None),
            Ok(span) if span > TIMEOUT_MAX => {
                found.refuse(&format!("it should be {} s at most", TIMEOUT_MAX.as_secs()), None)
            }
            Ok(span) => Some(span),
            Err(what) => found.refuse(what, Some("seconds like 90, or text like 90s, 5m")),
        }
    }

    fn schema(_: Place) -> Value {
        json!({
            "type": ["number", "string"],
            "exclusiveMinimum": 0,
            "maximum": TIMEOUT_MAX.as_secs(),
            "pattern": or_filled_in(&format!(r"^\s*(?=[+0-9.]*[1-9]){}\s*$", span()))
        })
    }
}

/// A number of days, not negative.
pub(in crate::config) enum Days {}

impl Kind for Days {
    type Value<'v> = TimeDelta;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<TimeDelta> {
        match found.text()?.parse::<f64>() {
            Ok(days) if days < 0.0 => found.refuse("it can't be negative", None),
            Ok(days) if days <= DAYS_BACK_MAX => {
                TimeDelta::from_std(Duration::try_from_secs_f64(days * SECONDS_PER_DAY).ok()?).ok()
            }
            Ok(_) => found.refuse(&format!("it should be {DAYS_BACK_MAX} at most"), None),
            Err(_) => found.refuse("it is not a number", None),
        }
    }

    fn schema(_: Place) -> Value {
        json!({
            "type": ["number", "string"],
            "minimum": 0,
            "maximum": DAYS_BACK_MAX,
            "pattern": or_filled_in(&format!(r"^\s*{NUMBER}{EXPONENT}?\s*$"))
        })
    }
}

/// How far to look back: minutes, or text like `30s`; `None` for `auto`.
pub(in crate::config) enum OverlapKind {}

impl Kind for OverlapKind {
    type Value<'v> = Option<TimeDelta>;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Option<TimeDelta>> {
        if found.text()?.eq_ignore_ascii_case("auto") {
            return Some(None);
        }
        TimeDelta::from_std(minutes(found)?).ok().map(Some)
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(
            &["auto"],
            Some(json!({
                "type": ["number", "string"],
                "minimum": 0,
                "maximum": MINUTES_MAX,
                "pattern": format!(r"^\s*{}\s*$", span())
            })),
        )
    }
}

/// A span of time: minutes as a number, or text like `30s`, `5m`, `24h`.
pub(in crate::config) enum Span {}

impl Kind for Span {
    type Value<'v> = TimeDelta;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<TimeDelta> {
        TimeDelta::from_std(minutes(found)?).ok()
    }

    fn schema(_: Place) -> Value {
        json!({
            "type": ["number", "string"],
            "minimum": 0,
            "maximum": MINUTES_MAX,
            "pattern": or_filled_in(&format!(r"^\s*{}\s*$", span()))
        })
    }
}

/// A time zone.
pub(in crate::config) enum TimeZone {}

impl Kind for TimeZone {
    type Value<'v> = Zone;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Zone> {
        let zone = Zone::parse(&found.text()?);
        zone.or_else(|| {
            let hint = "a name like `Europe/Berlin`, an offset like `+02:00`, or `UTC`";
            found.refuse("there is no such time zone", Some(hint))
        })
    }

    /// Numbers are offsets in hours and minutes: YAML takes `+0200` for one.
    fn schema(_: Place) -> Value {
        json!({
            "type": ["string", "number"],
            "pattern": or_filled_in(r"^\s*([A-Za-z][A-Za-z0-9_+/-]*|[+-][0-9]{1,2}(:?[0-9]{2})?)\s*$")
        })
    }
}

/// Requests per span of time.
pub(in crate::config) enum RateLimit {}

impl Kind for RateLimit {
    type Value<'v> = Rate;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Rate> {
        let hint = "requests per s, min, h or day, like 30/min";
        found.or_refuse(Rate::parse(&found.text()?), hint)
    }

    fn schema(_: Place) -> Value {
        json!({ "type": "string", "pattern": or_filled_in(RATE) })
    }
}

pub(super) fn minutes(found: &Found<'_>) -> Option<Duration> {
    let hint = "minutes like 5 or 0.5, or text like 30s, 5m, 1h";
    found.or_refuse(duration(&found.text()?), hint)
}

/// A number with its unit, or of bytes.
fn bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_at)?;
    let each = match unit {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.trim().parse::<u64>().ok()?.checked_mul(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_bytes_has_a_unit_as_people_write_it() {
        for (text, expected) in [
            ("128MiB", Some(128 << 20)),
            ("128 mi", Some(128 << 20)),
            ("500MB", Some(500_000_000)),
            ("1 GiB", Some(1 << 30)),
            ("16777216", Some(16 << 20)),
            ("12b", Some(12)),
            ("0.5GiB", None),
            ("-1MB", None),
            ("5 apples", None),
            ("MiB", None),
            ("99999999999999999999GiB", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
