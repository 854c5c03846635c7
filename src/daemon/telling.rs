//! What the log says when an iteration ends: what is new in full, what is as before in short. Pure.
//!
//! Whoever reads a log at night looks for the line that differs. So a failure is told in full once, and every tenth time;
//! in between a short line says that it goes on. An iteration without news is told at the level DEBUG, and counted for the
//! line that sums them up.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};

/// How often a failure that is as before is told in full.
const FULL_EVERY: u32 = 10;

/// What was told of one API so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    failures: u32,
    failing_since: Option<DateTime<Utc>>,
    /// Without its numbers: the page that fails may be another one.
    cause: String,
    has_succeeded: bool,
}

/// What to say of an iteration that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Success {
    /// It is the first one, or it brought something.
    News,
    /// It is the first one after failures.
    Recovered {
        /// How many failed.
        failures: u32,
        /// When the first of them ended.
        since: DateTime<Utc>,
    },
    /// It is like the one before.
    Quiet,
}

/// What to say of an iteration that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureReport {
    /// That it waits, as the API asks, and until when: that is no failure.
    Waits(DateTime<Utc>),
    /// Everything.
    Full,
    /// That it goes on.
    Again {
        /// How many have failed in a row.
        times: u32,
        /// When the first of them ended.
        since: DateTime<Utc>,
    },
}

impl Told {
    /// After a success; `has_news` where it shipped something, or left something behind.
    pub(super) fn succeed(&mut self, has_news: bool) -> Success {
        let is_first = !self.has_succeeded;
        let failures = self.failures;
        let since = self.failing_since.take();
        *self = Self { has_succeeded: true, ..Self::default() };
        match since {
            Some(since) => Success::Recovered { failures, since },
            None if has_news || is_first => Success::News,
            None => Success::Quiet,
        }
    }

    /// After a failure; `until` is when the API may be asked again, where it said so.
    pub(super) fn fail(&mut self, cause: &str, until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> FailureReport {
        if let Some(until) = until {
            return FailureReport::Waits(until);
        }
        let cause: String = cause.chars().filter(|char| !char.is_ascii_digit()).collect();
        let is_new = self.failing_since.is_none() || cause != self.cause;
        self.cause = cause;
        self.failures = self.failures.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        if is_new || self.failures.is_multiple_of(FULL_EVERY) {
            return FailureReport::Full;
        }
        FailureReport::Again { times: self.failures, since }
    }
}

/// A number as one counts: 1st, 2nd, 11th.
pub(super) fn ordinal(number: u32) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

/// Iterations that were not told of, until a line sums them up.
#[derive(Debug, Default)]
pub(super) struct Untold(AtomicU64);

impl Untold {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were since this was asked last.
    pub(super) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minute)
    }

    #[test]
    fn a_failure_is_told_in_full_once_and_every_tenth_time_and_where_it_changes() {
        let mut told = Told::default();
        let mut said: Vec<FailureReport> =
            (1..=11).map(|minute| told.fail("page 7: no luck", None, at(minute))).collect();
        assert_eq!(said.remove(0), FailureReport::Full);
        assert_eq!(said.remove(8), FailureReport::Full, "the tenth");
        assert_eq!(said.first(), Some(&FailureReport::Again { times: 2, since: at(1) }));
        assert_eq!(said.last(), Some(&FailureReport::Again { times: 11, since: at(1) }));
        assert_eq!(told.fail("page 8: no luck", None, at(12)), FailureReport::Again { times: 12, since: at(1) });
        assert_eq!(told.fail("page 8: another thing", None, at(13)), FailureReport::Full);
    }

    #[test]
    fn a_recovery_is_told_and_what_has_no_news_is_not() {
        let mut told = Told::default();
        assert_eq!(
            [told.succeed(false), told.succeed(false), told.succeed(true)],
            [Success::News, Success::Quiet, Success::News]
        );
        told.fail("no luck", None, at(1));
        told.fail("no luck", None, at(2));
        assert_eq!(told.succeed(false), Success::Recovered { failures: 2, since: at(1) });
        assert_eq!(told.succeed(false), Success::Quiet);
    }

    #[test]
    fn a_wait_that_the_api_asks_for_is_no_failure() {
        let mut told = Told::default();
        told.succeed(false);
        assert_eq!(told.fail("busy", Some(at(60)), at(1)), FailureReport::Waits(at(60)));
        assert_eq!(told.succeed(false), Success::Quiet, "there is nothing to recover from");
    }

    #[test]
    fn numbers_are_counted_as_people_do() {
        let said = [1, 2, 3, 4, 11, 12, 13, 21, 35, 112].map(ordinal);
        assert_eq!(said, ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "35th", "112th"]);
    }
}
