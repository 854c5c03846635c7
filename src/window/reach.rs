//! How far back an API answers, found out where it refuses a start date as too old.
//!
//! Some APIs name the earliest start date they take, most don't. Then it is looked for between the refused date and the
//! last hour, halving the span each time, down to a minute. An API that refuses the last hour, too, means something else.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::plan::AGE_MARGIN;
use crate::record::date::{self, before, floor_to_second};

/// How exactly the limit is looked for. What lies between is given up.
const EXACTNESS: TimeDelta = TimeDelta::minutes(1);
/// What every API must take; one that refuses this means something else.
const LAST_RESORT: TimeDelta = TimeDelta::hours(1);
/// The most dates that are tried: a hundred years halved down to a minute, and two more.
const TRIES_MAX: u32 = 28;
/// After this time a limit is no longer believed: APIs change, and their licences.
const BELIEVED: TimeDelta = TimeDelta::days(1);
/// What answers to a start date that is too old have in common; `#` is a number. Words of Graph, Proofpoint TAP, the
/// Management Activity API, Cloudflare, and what is common.
const SIGNS: [&str; 20] = [
    "minimum allowed time",
    "too far in the past",
    "too far into the past",
    "too far back",
    "too old",
    "retention",
    "older than #",
    "more than # days ago",
    "more than # days in the past",
    "more than # hours ago",
    "more than # hours in the past",
    "within the last #",
    "within the past #",
    "in the last #",
    "in the past #",
    "last # days",
    "past # days",
    "up to # days",
    "earlier than",
    "before the earliest",
];
/// What such words may be about instead: then they count only where the start date is spoken of, too.
const OTHERS: [&str; 14] = [
    "token",
    "session",
    "credential",
    "password",
    "certificate",
    "client",
    "version",
    "signature",
    "nonce",
    "cookie",
    "license",
    "licence",
    "browser",
    "agent",
];
/// How a start date is called: words, or beginnings of words.
const STARTS: [&str; 9] = ["start", "since", "from", "begin", "after", "oldest", "earliest", "period", "range"];

/// How far back an API answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionLimit {
    seconds: i64,
    learned: DateTime<Utc>,
}

impl RetentionLimit {
    /// From a start date that was taken, when others were refused.
    #[must_use]
    pub fn learned(accepted: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self { seconds: now.signed_duration_since(accepted).num_seconds().max(0), learned: now }
    }

    /// The span, as long as it is believed. A clock that was set back ends that, too.
    #[must_use]
    pub fn span(self, now: DateTime<Utc>) -> Option<TimeDelta> {
        let age = now.signed_duration_since(self.learned);
        let is_believed = age >= TimeDelta::zero() && age < BELIEVED;
        is_believed.then(|| TimeDelta::try_seconds(self.seconds)).flatten()
    }
}

/// Whether an answer of status 400, 403 or 422 says that a start date lies too far back. Words may mean something else, so
/// more than one answer must bear that out before data is given up for it.
#[must_use]
pub fn is_too_old(said: &str) -> bool {
    let said = with_numbers_marked(&said.to_lowercase());
    let mut words = said.split(|c: char| !c.is_ascii_alphanumeric());
    let speaks_of_start = words.any(|word| STARTS.iter().any(|start| word.starts_with(start)));
    let speaks_of_other = OTHERS.iter().any(|other| said.contains(other));
    SIGNS.iter().any(|sign| said.contains(sign)) && (speaks_of_start || !speaks_of_other)
}

/// Each number as one `#`, each run of blanks as one.
fn with_numbers_marked(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        if is_number {
            format!("#{}", word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'))
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The search for the earliest start date that an API takes.
#[derive(Clone, Copy, Debug)]
pub struct RetentionSearch {
    refused: DateTime<Utc>,
    accepted: Option<DateTime<Utc>>,
    /// The date that the API named itself.
    named: Option<DateTime<Utc>>,
    tries: u32,
}

impl RetentionSearch {
    /// After a start date was refused with these words.
    #[must_use]
    pub fn new(refused: DateTime<Utc>, said: &str, now: DateTime<Utc>) -> Self {
        Self { refused, accepted: None, named: named(said, refused, now), tries: 0 }
    }

    /// The next date to try; nothing where the search is over.
    pub fn next(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.tries += 1;
        let next = match (self.named, self.accepted) {
            (Some(named), _) => named,
            (None, None) => before(now, LAST_RESORT),
            (None, Some(accepted)) => {
                let span = accepted.signed_duration_since(self.refused);
                if span > EXACTNESS { before(accepted, span / 2) } else { return None }
            }
        };
        let next = floor_to_second(next);
        (self.tries <= TRIES_MAX && next > self.refused).then_some(next)
    }

    /// Notes that a date was taken. One that the API named itself ends the search.
    pub fn accept(&mut self, date: DateTime<Utc>) {
        self.accepted = Some(date);
        if self.named.take().is_some() {
            self.refused = date;
        }
    }

    /// Notes that a date was refused, too.
    pub fn refuse(&mut self, date: DateTime<Utc>) {
        self.refused = date;
        self.named = None;
    }

    /// The earliest date that was taken.
    #[must_use]
    pub fn accepted(&self) -> Option<DateTime<Utc>> {
        self.accepted
    }
}

/// The date in an answer, if it lies between the refused one and the present.
fn named(said: &str, refused: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let words = said.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()));
    let dates = words.filter_map(date::parse_written).filter_map(|date| date.checked_add_signed(AGE_MARGIN));
    dates.filter(|date| *date > refused && *date < now).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        date::parse(text).expect("a date")
    }

    /// An API that takes start dates from `limit` on, and how many requests it gets.
    fn search(said: &str, refused: &str, limit: &str, now: &str) -> (Option<DateTime<Utc>>, u32) {
        let (limit, now) = (at(limit), at(now));
        let mut probe = RetentionSearch::new(at(refused), said, now);
        let mut asked = 0;
        while let Some(date) = probe.next(now) {
            asked += 1;
            if date >= limit { probe.accept(date) } else { probe.refuse(date) }
        }
        (probe.accepted(), asked)
    }

    #[test]
    fn takes_the_date_that_the_api_names() {
        let said = "Minimum allowed time is 2024-04-28T12:00:00Z.";
        assert!(is_too_old(said) && !is_too_old("Invalid filter clause"));
        let found = search(said, "2024-01-01", "2024-04-28T12:00:00Z", "2024-05-28T12:00:00Z");
        assert_eq!(found, (Some(at("2024-04-28T12:01:00Z")), 1));
    }

    #[test]
    fn finds_an_unnamed_limit_to_the_minute() {
        let (found, asked) = search("too old", "2020-01-01", "2024-04-28T12:00:00Z", "2024-05-28T12:00:00Z");
        let found = found.expect("a date");
        let given_up = found.signed_duration_since(at("2024-04-28T12:00:00Z"));
        assert!(given_up >= TimeDelta::zero() && given_up <= EXACTNESS, "{given_up}");
        assert!(asked <= TRIES_MAX, "{asked}");
    }

    #[test]
    fn gives_up_where_no_date_is_taken() {
        let (found, asked) = search("too old", "2020-01-01", "2030-01-01", "2024-05-28T12:00:00Z");
        assert_eq!((found, asked), (None, 1));
    }

    #[test]
    fn an_old_start_is_known_in_many_words() {
        for said in [
            "The requested start time is too far into the past. Requests for information up to 7.00d are accepted",
            "Start time and end time must both be specified, with the start time no more than 7 days in the past.",
            "start_date cannot be older than 90 days",
            "since must be within the last 7 days",
            "start time exceeds the data retention period",
            "Minimum allowed time exceeded",
            "bad query: error parsing time: start must be no more than 168 hours ago",
            "`from` is earlier than 2024-01-01",
        ] {
            assert!(is_too_old(said), "{said}");
        }
        for said in [
            "The access token is too old",
            "Session opened at 2024-05-28T12:00:00Z is too old",
            "Your client version is too old",
            "Password older than 90 days",
            "Invalid filter clause",
            "start_date is no date",
            "The range is longer than 30 days",
        ] {
            assert!(!is_too_old(said), "{said}");
        }
    }

    #[test]
    fn is_believed_for_a_day() {
        let reach = RetentionLimit::learned(at("2024-04-28"), at("2024-05-28"));
        assert_eq!(reach.span(at("2024-05-28T23:00:00Z")), Some(TimeDelta::days(30)));
        assert_eq!(reach.span(at("2024-05-29")), None);
        assert_eq!(reach.span(at("2024-05-27")), None);
    }
}
