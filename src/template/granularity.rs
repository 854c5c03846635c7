//! How fine dates are written.

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike, Utc};

use crate::record::date::{before, floor_to_second};

/// The span between two dates that differ when they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Granularity {
    /// So many nanoseconds, fewer than a second has: as fine as the dates of records are.
    PartOfSecond(u32),
    /// A second, also where a format writes parts of one: many APIs keep no less.
    #[default]
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Granularity {
    /// The span.
    #[must_use]
    pub fn unit(self) -> TimeDelta {
        match self {
            Self::PartOfSecond(nanoseconds) => TimeDelta::nanoseconds(i64::from(nanoseconds)),
            Self::Second => TimeDelta::seconds(1),
            Self::Minute => TimeDelta::minutes(1),
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::days(1),
        }
    }

    /// The instant that the API gets to see of a date: never a later one.
    #[must_use]
    pub fn sent(self, date: DateTime<Utc>) -> DateTime<Utc> {
        let floor = |time: NaiveTime| date.date_naive().and_time(time).and_utc();
        let hour = NaiveTime::from_hms_opt(date.hour(), 0, 0).unwrap_or(NaiveTime::MIN);
        match self {
            Self::PartOfSecond(nanoseconds) => {
                let excess = date.timestamp_subsec_nanos() % nanoseconds.max(1);
                before(date, TimeDelta::nanoseconds(i64::from(excess)))
            }
            Self::Second => floor_to_second(date),
            Self::Minute => floor(hour.with_minute(date.minute()).unwrap_or(hour)),
            Self::Hour => floor(hour),
            Self::Day => floor(NaiveTime::MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;

    use super::*;

    #[test]
    fn what_is_sent_is_never_later() {
        let date = DateTime::from_timestamp(1_716_900_123, 987_654_321).expect("a date");
        for (granularity, expected) in [
            (Granularity::Second, "2024-05-28T12:42:03Z"),
            (Granularity::Minute, "2024-05-28T12:42:00Z"),
            (Granularity::Hour, "2024-05-28T12:00:00Z"),
            (Granularity::Day, "2024-05-28T00:00:00Z"),
        ] {
            assert_eq!(granularity.sent(date).to_rfc3339_opts(SecondsFormat::AutoSi, true), expected);
        }
    }
}
