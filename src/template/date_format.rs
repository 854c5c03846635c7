//! How dates are written in requests.

use std::fmt::Write;
use std::sync::Arc;

use chrono::format::{Fixed, Item, Numeric, StrftimeItems};
use chrono::{DateTime, SecondsFormat, Utc};

use super::{DateStyle, Granularity};
use crate::record::Zone;
use crate::record::date::format;

/// How a date is written in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DateFormat {
    /// `2021-10-05T10:10:10+00:00`
    Offset,
    /// `2021-10-05T10:10:10Z` (RFC 3339)
    Zulu,
    /// `2021-10-05T10:10:10.123Z`
    ZuluMilliseconds,
    /// `Tue, 05 Oct 2021 10:10:10 +0000`
    Rfc2822,
    /// `2021-10-05`
    Day,
    /// UNIX time in seconds.
    UnixSeconds,
    /// UNIX time in milliseconds.
    UnixMilliseconds,
    /// UNIX time in microseconds.
    UnixMicroseconds,
    /// UNIX time in nanoseconds.
    UnixNanoseconds,
    /// As records write their dates. Before one is known, like `2021-10-05T10:10:10Z` with as many digits as there are.
    LikeRecords(Option<Arc<DateStyle>>),
    /// By a pattern of [chrono's strftime](chrono::format::strftime), as a clock in the zone shows it.
    Pattern(Arc<str>, Zone),
}

impl DateFormat {
    /// By its name in the config, or by a pattern in quotes.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let quoted = |quote: char| name.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        Some(match name {
            "unix" => Self::UnixSeconds,
            "unix_ms" => Self::UnixMilliseconds,
            "unix_us" => Self::UnixMicroseconds,
            "unix_ns" => Self::UnixNanoseconds,
            "day" => Self::Day,
            "rfc2822" => Self::Rfc2822,
            "rfc3339_ms" => Self::ZuluMilliseconds,
            "like_records" => Self::LikeRecords(None),
            _ => {
                let pattern = quoted('\'').or_else(|| quoted('"'))?;
                let is_known = StrftimeItems::new(pattern).all(|item| item != Item::Error);
                return (is_known && !pattern.is_empty()).then(|| Self::Pattern(pattern.into(), Zone::Utc));
            }
        })
    }

    /// How fine it is.
    #[must_use]
    pub fn granularity(&self) -> Granularity {
        match self {
            Self::Day => Granularity::Day,
            Self::LikeRecords(Some(style)) => style.granularity(),
            Self::Pattern(..) => {
                let first = DateTime::<Utc>::UNIX_EPOCH;
                let differs = |granularity: &Granularity| self.write(first) != self.write(first + granularity.unit());
                let all = [Granularity::Second, Granularity::Minute, Granularity::Hour];
                all.into_iter().find(differs).unwrap_or(Granularity::Day)
            }
            _ => Granularity::Second,
        }
    }

    /// Whether it writes a number.
    #[must_use]
    pub fn is_number(&self) -> bool {
        match self {
            Self::UnixSeconds | Self::UnixMilliseconds | Self::UnixMicroseconds | Self::UnixNanoseconds => true,
            Self::LikeRecords(style) => style.as_ref().is_some_and(|style| style.is_number()),
            _ => false,
        }
    }

    /// Writes a date, never a later one than it is.
    #[must_use]
    pub fn write(&self, date: DateTime<Utc>) -> String {
        match self {
            Self::Offset => date.to_rfc3339_opts(SecondsFormat::Secs, false),
            Self::Zulu => date.to_rfc3339_opts(SecondsFormat::Secs, true),
            Self::ZuluMilliseconds => date.to_rfc3339_opts(SecondsFormat::Millis, true),
            Self::Rfc2822 => date.to_rfc2822(),
            Self::LikeRecords(Some(style)) => style.write(date),
            Self::LikeRecords(None) => format(date),
            Self::Day => date.format("%Y-%m-%d").to_string(),
            Self::UnixSeconds => date.timestamp().to_string(),
            Self::UnixMilliseconds => date.timestamp_millis().to_string(),
            Self::UnixMicroseconds => date.timestamp_micros().to_string(),
            Self::UnixNanoseconds => match date.timestamp_nanos_opt() {
                Some(nanoseconds) => nanoseconds.to_string(),
                None => format!("{}000", date.timestamp_micros()),
            },
            Self::Pattern(pattern, zone) => {
                let mut written = String::new();
                // The pattern was tried when the config was read; one that names a zone stays in UTC.
                let _ = match zone {
                    Zone::Utc => write!(written, "{}", date.format(pattern)),
                    zone => write!(written, "{}", zone.local(date).format(pattern)),
                };
                written
            }
        }
    }

    /// A pattern that names no zone is written as a clock in this one shows it, as the dates of records are read.
    pub(super) fn write_in_zone(&mut self, zone: Zone) {
        if let Self::Pattern(pattern, own) = self
            && !names_zone(pattern)
        {
            *own = zone;
        }
    }
}

/// Whether a pattern says in which zone it is written: by an offset, a name, a `Z` at its end, or as UNIX time.
fn names_zone(pattern: &str) -> bool {
    let of_zone = |item: Item<'_>| match item {
        Item::Numeric(numeric, _) => numeric == Numeric::Timestamp,
        Item::Fixed(fixed) => matches!(
            fixed,
            Fixed::TimezoneName
                | Fixed::TimezoneOffset
                | Fixed::TimezoneOffsetColon
                | Fixed::TimezoneOffsetDoubleColon
                | Fixed::TimezoneOffsetTripleColon
                | Fixed::TimezoneOffsetColonZ
                | Fixed::TimezoneOffsetZ
                | Fixed::RFC2822
                | Fixed::RFC3339
        ),
        _ => false,
    };
    pattern.ends_with('Z') || StrftimeItems::new(pattern).any(of_zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_as_fine_as_what_it_writes() {
        let of = |pattern: &str| DateFormat::parse(&format!("'{pattern}'")).expect("a pattern").granularity();
        assert_eq!(of("%Y-%m-%dT%H:%M:%S%.3fZ"), Granularity::Second);
        assert_eq!(of("%Y%m%d%H%M"), Granularity::Minute);
        assert_eq!(of("%Y/%m/%d %H:00"), Granularity::Hour);
        assert_eq!(of("%d.%m.%Y"), Granularity::Day);
    }

    #[test]
    fn a_pattern_is_written_in_the_zone_of_the_config_unless_it_names_one() {
        let date = DateTime::from_timestamp(1_716_900_123, 0).expect("a date");
        for (pattern, expected) in [
            ("%Y-%m-%d %H:%M:%S", "2024-05-28 08:42:03"),
            ("%I:%M %p %3f", "08:42 AM 000"),
            ("%Y-%m-%dT%H:%M:%SZ", "2024-05-28T12:42:03Z"),
            ("%H:%M%z", "12:42+0000"),
            ("%s", "1716900123"),
        ] {
            let mut format = DateFormat::parse(&format!("'{pattern}'")).expect("a pattern");
            format.write_in_zone(Zone::parse("America/New_York").expect("a zone"));
            assert_eq!(format.write(date), expected);
        }
    }
}
